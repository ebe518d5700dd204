"""The till's database as the gateway uses it: short transactions, and a journal table of our own for what we write.

``O2O_JL`` is the one table that the gateway adds. Each of our writes puts a row (our key, part) there in the same
transaction as its effect, so a repeated write does nothing and a query can tell what happened. ``zt``: 1 done, 2
confirmed, 9 undone; a row with part ``*`` and ``zt`` 9 closes a key that may never act again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.sdk import InvalidReply, NotSent, OutcomeUnknown
from plugins.department.protocol import ParseError

JOURNAL = """CREATE TABLE IF NOT EXISTS O2O_JL(jlh CHAR(26), bz CHAR(13), lx CHAR(64), zt CHAR(1), nr TEXT,
    sj CHAR(14), PRIMARY KEY(jlh, bz))"""
EVERYTHING = "*"
DONE, CONFIRMED, UNDONE = "1", "2", "9"
_BUSY_S = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of our journal in their database."""

    part: str
    about: str
    state: str
    content: str


@contextmanager
def once_begun(begun: bool = True) -> Iterator[None]:
    """Inside, trouble that would count as not sent is unknown, because an earlier part of the change is done."""
    try:
        yield
    except NotSent as error:
        if not begun:
            raise
        raise OutcomeUnknown(f"begun and not ended: {error}") from None


class ClosedKey(Exception):
    """This key was undone before it acted; it must not act any more."""


class TillDatabase:
    """Opens a connection for each use, as every till does; it never creates the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with. Raises ``NotSent`` if the database cannot be read now."""
        connection = self._open(_BUSY_S)
        try:
            yield connection
        except sqlite3.Error as error:
            raise NotSent(f"the till's database cannot be read: {error}") from None
        except ParseError as error:
            raise InvalidReply(f"the till's database holds what cannot be: {error}") from None
        finally:
            connection.close()

    @contextmanager
    def write(self, seconds: float = _BUSY_S) -> Iterator[sqlite3.Connection]:
        """One write transaction, waiting at most ``seconds`` for the lock; what the block raises undoes it.

        Trouble before the commit is ``NotSent``, since the transaction is gone; at the commit it is
        ``OutcomeUnknown``.
        """
        connection = self._open(min(max(seconds, 0.05), _BUSY_S))
        committing = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(JOURNAL)
            yield connection
            committing = True
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            kind = OutcomeUnknown if committing else NotSent
            raise kind(f"the till's database cannot be written: {error}") from None
        except ParseError as error:
            raise InvalidReply(f"the till's database holds what cannot be: {error}") from None
        finally:
            connection.close()  # an open transaction is undone by it

    def _open(self, seconds: float) -> sqlite3.Connection:
        try:
            address = f"{self._path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(address, uri=True, timeout=seconds, isolation_level=None)
        except sqlite3.Error as error:
            raise NotSent(f"the till's database {self._path} cannot be opened: {error}") from None
        connection.row_factory = sqlite3.Row
        return connection


def entries(connection: sqlite3.Connection, key: str) -> dict[str, Entry]:
    """Our journal's rows of a key, by part."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'O2O_JL'").fetchone():
        return {}
    rows = connection.execute("SELECT * FROM O2O_JL WHERE jlh = ? ORDER BY bz", (key,)).fetchall()
    return {row["bz"]: Entry(row["bz"], row["lx"], row["zt"], row["nr"]) for row in rows}


def open_entries(connection: sqlite3.Connection, key: str) -> dict[str, Entry]:
    """As :func:`entries`; raises :class:`ClosedKey` if the key was closed."""
    found = entries(connection, key)
    if EVERYTHING in found:
        raise ClosedKey(key)
    return found


def note(connection: sqlite3.Connection, key: str, entry: Entry, stamp: str) -> None:
    """Write a row of our journal, or a new state of it."""
    connection.execute(
        "INSERT INTO O2O_JL VALUES(:key, :part, :about, :state, :content, :stamp) ON CONFLICT(jlh, bz)"
        " DO UPDATE SET lx = :about, zt = :state, nr = :content, sj = :stamp",
        {
            "key": key,
            "part": entry.part,
            "about": entry.about,
            "state": entry.state,
            "content": entry.content,
            "stamp": stamp,
        },
    )


def close_key(connection: sqlite3.Connection, key: str, stamp: str) -> None:
    """Make sure that a key never acts again."""
    note(connection, key, Entry(EVERYTHING, "", UNDONE, ""), stamp)
