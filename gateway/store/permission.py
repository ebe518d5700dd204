"""Whether the database's files may be written by this process, asked of the system and not of an open file.

A file that is open can go on being written after its permission is gone, and one that was opened without the permission
stays so after it is back. So the path is asked: a few microseconds, before new work is taken and when a file is opened.
"""

from __future__ import annotations

import os
from pathlib import Path


def unwritable(path: Path) -> str:
    """Why the database at ``path`` cannot be written, as a sentence's end that says what to do; empty if it can.

    Its folder counts too: a journal that is gone could not be made again. What is not there is no reason.
    """
    for file in (str(path), f"{path}-wal", f"{path}-shm", str(path.parent)):
        if not os.access(file, os.W_OK) and os.path.exists(file):  # noqa: PTH110 - for every checkout: pathlib takes twice as long
            return _why(file)
    return ""


def _why(file: str) -> str:
    if os.statvfs(file).f_flag & os.ST_RDONLY:
        return f"{file} lies on a disk that is mounted read-only: mount it for writing again"
    state = os.stat(file)  # noqa: PTH116
    whose = f"it belongs to {state.st_uid}, mode {state.st_mode & 0o777:03o}"
    return f"{file} may not be written by uid {os.getuid()} ({whose}): give the permission back"
