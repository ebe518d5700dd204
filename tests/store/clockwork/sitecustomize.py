"""Lets a test turn the clock of a process and of its children: ``CLOCK_FILE`` holds the seconds it is wrong by.

Loaded by Python itself at the start, from a folder on ``PYTHONPATH``. Only the wall clock is turned.
"""

import contextlib
import os
import threading
import time

import time_machine

_FILE = os.environ.get("CLOCK_FILE", "")
_now = time.time


def _follow() -> None:
    wrong_by, travel = 0.0, None
    while True:
        with contextlib.suppress(OSError, ValueError), open(_FILE) as file:  # noqa: PTH123
            asked = float(file.read())
            if asked != wrong_by:
                if travel is not None:
                    travel.stop()
                travel = time_machine.travel(_now() + asked, tick=True) if asked else None
                if travel is not None:
                    travel.start()
                wrong_by = asked
        time.sleep(0.02)


def _start() -> None:
    threading.Thread(target=_follow, daemon=True, name="clockwork").start()


if _FILE:
    os.register_at_fork(after_in_child=_start)
    _start()
