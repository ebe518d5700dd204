"""What the adapter keeps of each transaction in the connection's own store: written before its first byte goes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway.sdk import KeyValue

SENT, DONE, DECLINED, REVERSED, CLOSED = "sent", "done", "declined", "reversed", "closed"
KEPT_S = 400 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One transaction of the terminal: amount in fen, ``at`` in seconds since the epoch, ``date`` as yyyymmdd.

    ``state``: ``sent`` while its outcome is unknown, then ``done`` or ``declined``; ``reversed`` by a 0400 message;
    ``closed``: it was never sent, and must not be any more. ``undone_by`` is the key of its void or whole return,
    ``original`` the key that this one undoes.
    """

    kind: str
    amount: int
    batch: str = ""
    trace: str = ""
    at: float = 0
    state: str = SENT
    code: str = ""
    ref: str = ""
    date: str = ""
    original: str = ""
    undone_by: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What an undo needs to know."""
        return {"voucher": self.trace, "batch": self.batch, "date": self.date, "reference": self.ref}


class Records:
    """The entries of one terminal, and which of them is open: its outcome blocks all that comes after it."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store

    def get(self, key: str) -> Entry | None:
        value = self._store.get(f"tx/{key}")
        return Entry(**value) if value else None

    def put(self, key: str, entry: Entry) -> None:
        self._store.put(f"tx/{key}", asdict(entry))

    def begin(self, key: str, entry: Entry, *, blocks: bool) -> None:
        """Note what is about to be sent; ``blocks``: nothing else goes out until its outcome is known."""
        self.put(key, entry)
        if blocks:
            self._store.put("open", key)

    def end(self, key: str, entry: Entry) -> Entry:
        """Note an outcome: the terminal is free again."""
        self.put(key, entry)
        self._free(key)
        return entry

    def forget(self, key: str) -> None:
        """Nothing of it has left us."""
        self._store.delete(f"tx/{key}")
        self._free(key)

    def undone(self, key: str, by: str) -> None:
        """Note that a transaction was undone, by the change with this key."""
        entry = self.get(key)
        if entry is not None:
            self.put(key, replace(entry, undone_by=by))

    def open(self) -> str:
        """The key of the transaction whose outcome is not known; ``""`` if there is none."""
        return str(self._store.get("open") or "")

    def _free(self, key: str) -> None:
        if self.open() == key:
            self._store.delete("open")

    def of_batch(self, batch: str) -> Iterator[Entry]:
        """What was done in a batch."""
        for name in self._store.keys("tx/"):
            entry = self.get(name.removeprefix("tx/"))
            if entry is not None and entry.batch == batch and entry.state == DONE:
                yield entry

    def prune(self, now: float) -> None:
        """Let go of what is too old to be returned."""
        for name in self._store.keys("tx/"):
            entry = self.get(name.removeprefix("tx/"))
            if entry is not None and entry.at and entry.at < now - KEPT_S:
                self._store.delete(name)
