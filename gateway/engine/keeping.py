"""What is done beside checkouts for the evidence: which configuration is in force, late messages, what is too old."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.engine.seams import Clock, Ids, Journal
from gateway.runtime import Merchant
from gateway.store import audit, frames
from gateway.store.encoding import dump, load
from gateway.store.port import Tx

#: Attempts that are deleted in one transaction, and how often that is looked at (milliseconds).
PRUNE_MOST, PRUNE_EVERY = 500, 60_000

#: How long a quote that has run out is still known as one, in milliseconds.
QUOTES_KEPT = 86_400_000
# Their ids rise with the time, so that no index on it is needed.
_PRUNE_QUOTES = """
DELETE FROM quotes WHERE expires < :before AND id IN (SELECT id FROM quotes ORDER BY id LIMIT :most)
"""

Late = tuple[str, str, str, int, Mapping[str, Any]]


class Keeper:
    """Writes down what came late and deletes what is older than ``keep_days``; any process may do it."""

    def __init__(self, journal: Journal, clock: Clock, late: deque[Late], keep_days: int) -> None:
        self._journal, self._clock, self._late = journal, clock, late
        self._keep = keep_days * 86_400_000
        self._next_prune = 0

    def keep(self) -> None:
        """Do what is to be done now. Raises what the store raises."""
        self._write_late()
        now = self._clock.now()
        if now >= self._next_prune:
            deleted = self._journal.tx(lambda tx: self._prune(tx, now))
            self._next_prune = now if deleted == PRUNE_MOST else now + PRUNE_EVERY

    def _prune(self, tx: Tx, now: int) -> int:
        """Delete what is too old; the most that was deleted of one kind."""
        row = {"before": now - QUOTES_KEPT, "most": PRUNE_MOST}
        return max(frames.prune(tx, now - self._keep, PRUNE_MOST), tx.execute(_PRUNE_QUOTES, row))

    def _write_late(self) -> None:
        """Messages of calls that nobody waited for any more."""
        taken = [self._late.popleft() for _ in range(len(self._late))]
        if taken:
            rows = [_late_row(*each) for each in taken]
            self._journal.tx(lambda tx: frames.insert(tx, rows))


def _late_row(saga_id: str, op: str, verb: str, at: int, frame: Mapping[str, Any]) -> dict[str, Any]:
    said = dump({"error": "this came after the caller had given up"})
    row = {"saga_id": saga_id, "op": op, "verb": verb, "number": 0, "began": at, "took_us": 0}
    return {**row, "outcome": "late", "said": said, "frames": dump([frame])}


def note_configurations(journal: Journal, ids: Ids, merchants: Iterable[Merchant], now: int) -> None:
    """Note for each merchant which version of its file is in force, if it is another one than before."""
    for merchant in merchants:
        if merchant.file is None or not merchant.file.is_file():
            continue
        version = hashlib.sha256(merchant.file.read_bytes()).hexdigest()
        subject = f"config:{merchant.id}"

        def known(tx: Tx, merchant: str = merchant.id, subject: str = subject) -> str:
            last = audit.last_act(tx, merchant, subject, "config.in_force")
            return "" if last is None else str(load(last["data"])["sha256"])

        def note(tx: Tx, merchant: Merchant = merchant, subject: str = subject, version: str = version) -> None:
            tx.lock(subject)
            if known(tx, merchant.id, subject) == version:
                return
            row = {"id": f"act_{ids.new()}", "merchant": merchant.id, "subject": subject, "kind": "config.in_force"}
            data = dump({"sha256": version, "file": merchant.file.name if merchant.file else ""})
            audit.act(tx, {**row, "who": "gateway", "at": now, "data": data})

        if journal.read(known) != version:
            journal.tx(note)
