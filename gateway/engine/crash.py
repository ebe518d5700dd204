"""Named points at which a test may kill the process, as a power cut or the kernel would: no clean-up, no last word.

``GATEWAY_CRASH_AT`` names a folder. A process that reaches a point dies by SIGKILL if a file of the point's name lies
there; it takes the file away first, so that one process dies once. Without the variable the points cost one comparison.

Points: ``accepted`` (after the commit that accepts a saga), ``committed:STATE`` (after each commit of a round),
``before-commit:STATE`` (outcomes in hand, not yet recorded), ``before-send:HOOK`` and ``after-send:HOOK`` (the far
system has acted, nothing is recorded), ``before-reply`` (all is recorded, nobody has been told).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

#: Where the names of points lie; ``None`` in every installation that is not under test.
FOLDER = Path(os.environ["GATEWAY_CRASH_AT"]) if os.environ.get("GATEWAY_CRASH_AT") else None


def point(name: str, about: str = "") -> None:
    """Die here if a test asked for it."""
    if FOLDER is None:
        return
    try:
        (FOLDER / (f"{name}:{about}" if about else name)).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
