"""``make storage``'s second half: every scene of :mod:`tests.store.scenes`, with and without a worker killed in it.

Appends a line of evidence a scene. What the machine does not allow (the attribute ``i``) is said and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import evidence
from tests.store.scenes import PLAIN, SCENES, can_freeze

#: In a namespace of its own: what is mounted there nobody else sees.
_APART = ("unshare", "--user", "--map-root-user", "--mount")


def play(folder: Path, *words: str, plain: bool = False, seconds: float = 240) -> list[dict[str, Any]]:
    """Play scenes; those that ended well. Raises ``AssertionError`` with what the player said of one that did not."""
    command = [sys.executable, "-m", "tests.store.scenes", str(folder), *words]
    command = [*command, "--plain"] if plain else [*_APART, *command]
    done = subprocess.run(command, cwd=evidence.ROOT, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.store.play", description=__doc__)
    parser.add_argument("--times", type=int, default=1)
    asked = parser.parse_args()
    evidence.tree()
    with tempfile.TemporaryDirectory(prefix="scenes-") as name:
        if os.geteuid() == 0 and can_freeze(Path(name)):
            _all(Path(name), list(PLAIN), asked.times, plain=True)
        else:
            print(f"left out, for want of root or of the attribute i: {', '.join(PLAIN)}")
        _all(Path(name), list(SCENES), asked.times, plain=False)


def _all(folder: Path, scenes: Sequence[str], times: int, *, plain: bool) -> None:
    for kill in (False, True):
        for scene in scenes:
            words = ["--scenes", scene, "--times", str(times), *(["--kill"] if kill else [])]
            try:
                done = play(folder / f"{scene}-{kill}", *words, plain=plain, seconds=120 + 60 * times)
                _note(scene, kill, done, "")
            except (AssertionError, subprocess.TimeoutExpired) as error:
                _note(scene, kill, [], str(error)[-2000:])
                raise


def _note(scene: str, kill: bool, done: list[dict[str, Any]], error: str) -> None:
    variant = f"{scene}{', with a kill' if kill else ''}"
    print(f"{variant}: {error or 'ended well'}", flush=True)
    evidence.append(
        "scenes",
        command="make storage",
        count=max(1, len(done)),
        violations=int(bool(error)),
        seconds=sum(each["s"] for each in done),
        variant=variant,
        **({"error": error} if error else {}),
    )


if __name__ == "__main__":
    main()
