"""SQLite's state in words for people: is it durable, is it safe between processes, how much room is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.store import driver
from gateway.store.errors import StorageError
from gateway.store.health import Health
from gateway.store.permission import unwritable
from gateway.store.port import Tx
from gateway.store.room import Room
from gateway.store.sqlite_writer import WAL_MOST_BYTES, Writer

Look = tuple[str, int, int]


def look(path: Path, room: Room, read: Callable[[Callable[[Tx], Look]], Look], writer: Writer) -> Health:
    """The health of the database at ``path``. Journals other than WAL are a matter of each connection: the writer's."""
    version = ".".join(map(str, driver.VERSION))
    try:
        mode, page_count, page_size = read(_ask)
        free = room.free_bytes()
    except (StorageError, OSError) as error:
        return Health("sqlite", ok=False, version=version, error=f"{path}: {writer.trouble() or error}")
    mode = mode if mode == "wal" else writer.journal_mode
    low, wal = room.low(), _size(path.with_name(path.name + "-wal"))
    refused = unwritable(path)
    trouble = f"it cannot be written: {refused}" if refused else writer.trouble()
    return Health(
        "sqlite",
        ok=not trouble,
        error=f"{path}: {trouble}" if trouble else "",
        version=version,
        journal_mode=mode,
        durable=True,
        warnings=tuple(_warnings(mode, version, free, low, wal)),
        free_bytes=free,
        low=low,
        wal_bytes=wal,
        database_bytes=page_count * page_size,
        ballast=room.has_ballast(),
    )


def _ask(tx: Tx) -> Look:
    return (
        str(_value(tx, "PRAGMA journal_mode")),
        int(_value(tx, "PRAGMA page_count")),
        int(_value(tx, "PRAGMA page_size")),
    )


def _value(tx: Tx, pragma: str) -> str:
    row = tx.one(pragma)
    assert row is not None
    return str(row[row.keys()[0]])


def _warnings(mode: str, version: str, free: int, low: bool, wal: int) -> list[str]:
    found = []
    if not driver.wal_is_safe(driver.VERSION):
        found.append(
            f"SQLite {version} can corrupt a WAL that several processes use, so the slower TRUNCATE journal is in use; "
            "install pysqlite3, or SQLite 3.51.3, 3.50.7 or 3.44.6 and later"
        )
        if mode == "wal":
            found.append("the file is in WAL mode and could not be changed: stop every other program that has it open")
    elif mode != "wal":
        found.append(f"the journal is {mode}, not WAL: readers and writers wait for each other")
    if wal > 2 * WAL_MOST_BYTES:
        found.append(f"the WAL has grown to {wal // 2**20} MiB: some program has been reading for very long")
    if low:
        found.append(f"the disk is almost full ({free // 2**20} MiB left): new work is refused")
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
