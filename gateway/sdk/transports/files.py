"""File drops: written whole or not at all, claimed by one reader, trusted only once their trailer is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gateway.sdk.transports import wire


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a power cut, never sees a part of it: temporary name, fsync, rename.

    Raises ``OSError``; when it does, ``path`` is as it was before.
    """
    wire.record(wire.SENT, data, f"file {path.name}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def claim(path: Path, folder: Path) -> Path | None:
    """Move a file into ``folder`` so that only one reader works on it; ``None`` if another one was faster."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / path.name
    try:
        path.replace(target)
    except FileNotFoundError:
        return None
    sync_folder(folder)
    return target


def read_whole(path: Path, complete: Callable[[bytes], bool], limit: int = 64 << 20) -> bytes | None:
    """The file's bytes if ``complete`` says that its trailer is there; ``None`` while it is still being written."""
    if not path.exists() or path.stat().st_size > limit:
        return None
    data = path.read_bytes()
    wire.record(wire.RECEIVED, data, f"file {path.name}")
    return data if complete(data) else None
