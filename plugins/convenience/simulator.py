"""便民365, a chain of convenience shops: a head office's database, offline tills, and their drop folders.

Run it with ``gateway simulate convenience``. Addresses: ``database`` (the head office's SQLite file) and ``drop`` (the
folder with one subfolder a branch). Options: ``upload_delay_s`` (how long after a sale a till uploads it; ``off`` for
only by lever), ``poll_ms`` (how often a till looks into its folder), ``latency_ms`` (a till's time for one file).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk.simulator import Simulator

from .protocol import SHOP_ZONE, ParseError
from .simulator_books import books_of
from .simulator_data import BRANCHES
from .simulator_head_office import Flow, HeadOffice, Paid
from .simulator_levers import LEVERS
from .simulator_till import Refusal, Tills
from .simulator_watcher import Watcher


class ConvenienceSimulator(Simulator):
    """Head office, four shops and their tills."""

    name: ClassVar[str] = "convenience"
    extra_faults: ClassVar[dict[str, str]] = {
        "disk_full": "the till has no disk left: .ERR 98, nothing rung up",
        "till_reset": "the till restarts its sequence: bill numbers of the day come again",
        "lose_memory": "the till answers .OK, then forgets every bill that it had not uploaded",
        "late_upload": "uploads wait longer than usual; value = seconds",
        "torn_upload": "a bill's lines and first payment row arrive now, its other payment rows with the next upload",
        "extra_tender": "a bill is uploaded again with one more payment row; value = fen",
        "deleted": "head office deletes the bill after its upload: a gap in com_no",
        "locked": "a report locks the database before the upload; value = milliseconds",
        "half_plu": "the price file is written in place and the till reads half of it",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self.drop = data / "drop"
        self.head_office = HeadOffice(data / "head_office.db", datetime.fromtimestamp(self.now(), SHOP_ZONE))
        self.tills = Tills(data / "tills.db", self.head_office, self.now)
        self.stopped = threading.Event()
        self.watchers = [
            Watcher(branch.number, self.drop / branch.number, self.tills, self.faults, self.stopped)
            for branch in BRANCHES
        ]
        self._uploading = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> dict[str, str]:
        """Start the tills; the addresses are paths, not ports: this system has no socket."""
        every = float(self.options.get("poll_ms", "50")) / 1000
        for watcher in self.watchers:
            watcher.latency = float(self.options.get("latency_ms", "0")) / 1000
            self._spawn(lambda watcher=watcher: watcher.run(every))  # type: ignore[misc]
        delay = self.options.get("upload_delay_s", "3")
        if delay != "off":
            self._spawn(lambda: self._upload_by_itself(float(delay), every))
        return {"database": str(self.head_office.path), "drop": str(self.drop)}

    def _spawn(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Stop the tills and close both files."""
        self.stopped.set()
        for thread in self._threads:
            thread.join(10)
        self.tills.close()
        self.head_office.close()

    def books(self) -> dict[str, Any]:
        """What the tills really sold, uploaded or not, and what head office knows; amounts in fen."""
        return books_of(self.tills, self.head_office)

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Pull a lever of :mod:`.simulator_levers`. Raises ``ValueError`` for an unknown one or a till's refusal."""
        lever = LEVERS.get(str(command.get("do")))
        if lever is None:
            raise ValueError(f"{self.name} has no lever {command.get('do')!r}; known: {', '.join(sorted(LEVERS))}")
        try:
            return lever(self, command)
        except (Refusal, ParseError, ArithmeticError) as error:
            raise ValueError(str(error)) from error

    # --- uploads ---------------------------------------------------------------------------------------------------

    def _upload_by_itself(self, delay: float, every: float) -> None:
        while not self.stopped.wait(min(every, 0.5)):
            late = sum(fault.value for fault in self.faults.list() if fault.name == "late_upload")
            self.upload(self.now() - delay - late)

    def upload(self, older_than: float | None, branch: str = "", till: str = "") -> int:
        """Upload what is due, in the order it was rung up; with ``None`` everything, tills that are offline too."""
        with self._uploading:
            torn = self.tills.entries("torn")
            if torn:
                self.head_office.upload([flow for _, flow in torn], skip_tenders=1)
                self.tills.mark([number for number, _ in torn], "uploaded")
            due = self.tills.due(older_than, branch, till)
            if not due:
                return len(torn)
            locked = self.faults.take("locked", "upload")
            if locked:
                self.head_office.hold_lock(self.stopped, locked.value / 1000)
            self._send([number for number, _ in due], [flow for _, flow in due])
            return len(torn) + len(due)

    def _send(self, numbers: list[int], flows: list[Flow]) -> None:
        if self.faults.take("torn_upload", "upload"):
            self.head_office.upload(flows, only_tenders=1)
            self.tills.mark(numbers, "torn")
            return
        self.head_office.upload(flows)
        self.tills.mark(numbers, "uploaded")
        if self.faults.take("duplicate", "upload"):
            self.head_office.upload(flows)
        extra = self.faults.take("extra_tender", "upload")
        if extra:
            self.upload_again(flows[-1], Paid("RMB", extra.value))
        if self.faults.take("deleted", "upload"):
            self.delete(flows[-1].flow_no)

    def delete(self, flow_no: str) -> None:
        """Head office deletes a bill."""
        self.head_office.delete_flow(flow_no)
        self.tills.mark_flow(flow_no, "deleted")

    def upload_again(self, flow: Flow, extra: Paid | None = None) -> None:
        """The whole bill once more, under new com_no, perhaps with one more payment row."""
        self.head_office.upload([replace(flow, paid=(*flow.paid, extra) if extra else flow.paid)])
