"""What a run of the suite shows while it runs: a line a check, what is left and about how long that takes.

On a terminal it is one line that is written over; anywhere else each check that has ended is a line of its own.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TextIO

_REWRITE = "\r\x1b[K"
#: After so many checks the time that is left is told from how long they took, before from what was expected.
_ENOUGH = 4


def told(seconds: float) -> str:
    """A duration as ``m:ss``, or with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Watch:
    """Watches the checks of one run; thread-safe. Without a stream it shows nothing."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._rewrites = stream is not None and stream.isatty()
        self._lock = threading.Lock()
        self._began = self._phase = time.monotonic()
        #: What all checks are expected to take, and those together that have ended since the last plan.
        self._expected: dict[str, float] = {}
        self._gone: list[float] = []
        self._running: dict[str, float] = {}
        self._side_by_side = 1
        self.ended: dict[str, float] = {}

    def say(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            self._write(f"{_REWRITE if self._rewrites else ''}{text}\n")

    def expect(self, checks: Mapping[str, float], side_by_side: int) -> None:
        """These checks are still to come, so many at a time; each with about how long it takes, in seconds."""
        with self._lock:
            ended = {name: seconds for name, seconds in self._expected.items() if name in self.ended}
            self._expected = {**ended, **checks}
            self._gone, self._side_by_side, self._phase = [], side_by_side, time.monotonic()

    def began(self, name: str) -> None:
        """A check begins."""
        with self._lock:
            self._running[name] = time.monotonic()
            self._expected.setdefault(name, 1.0)
            if self._rewrites:
                self._write(f"{_REWRITE}{self._line(name)}"[:200])

    def over(self, name: str) -> None:
        """A check has ended."""
        with self._lock:
            self.ended[name] = time.monotonic() - self._running.pop(name, self._began)
            self._gone.append(self._expected[name])
            if self._rewrites:
                self._write(f"{_REWRITE}{self._line(next(iter(self._running), name))}"[:200])
            else:
                self._write(f"{self._line(name)}: {self.ended[name]:.1f} s\n")

    def close(self) -> None:
        """Leave the line free for what is printed next."""
        if self._rewrites:
            self._write(_REWRITE)

    def _line(self, name: str) -> str:
        done, all_ = len(self.ended), len(self._expected)
        others = f" and {len(self._running) - 1} more" if self._rewrites and len(self._running) > 1 else ""
        left = f", {all_ - done} left, about {told(self.left_s())}" if done < all_ else ""
        return f"[{done}/{all_}] {told(time.monotonic() - self._began)}{left}: {name}{others}"

    def left_s(self) -> float:
        """About how long the rest takes: what is expected of it, at the pace of what has ended since it was told."""
        rest = sum(seconds for name, seconds in self._expected.items() if name not in self.ended)
        gone = sum(self._gone)
        if len(self._gone) < _ENOUGH or not gone:
            return rest / self._side_by_side
        return rest * (time.monotonic() - self._phase) / gone

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()


@dataclass(slots=True)
class LastTimes:
    """How long runs took before on this machine, in a file of the user's cache; without it nothing fails."""

    file: Path = field(
        default_factory=lambda: (
            Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "o2o-gateway" / "conformance.json"
        )
    )

    def of(self, name: str) -> str:
        """How long it took last time, and when; nothing if that is not known."""
        last = self._all().get(name)
        if not isinstance(last, dict) or not isinstance(last.get("seconds"), int | float):
            return ""
        return f"{told(last['seconds'])} on {last.get('date', 'some day')}"

    def keep(self, name: str, seconds: float) -> None:
        """Keep how long it took."""
        times = {**self._all(), name: {"seconds": round(seconds, 1), "date": date.today().isoformat()}}  # noqa: DTZ011
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            aside = self.file.with_suffix(f".{os.getpid()}")
            aside.write_text(json.dumps(times, indent=1), encoding="utf-8")
            aside.replace(self.file)

    def _all(self) -> dict[str, object]:
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
