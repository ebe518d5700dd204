"""People's cases about webhook endpoints: opened when events are given up or a receiver is gone, told in the feed.

An endpoint has one case of a kind for each merchant whose events it concerns. Its subject in the feed is the case's own
id; ``seq`` counts its openings and settlements. Hold the endpoint's lock (``store.webhooks.lock``) around both.
"""

from __future__ import annotations

from gateway.engine.seams import Clock, Ids
from gateway.store import journal, webhooks
from gateway.store.encoding import dump
from gateway.store.port import Row, Tx

#: How long a person has for a task, in milliseconds.
TASK_DEADLINE = 24 * 3600 * 1000


class Cases:
    """Opens and settles them. Safe to share between threads."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock, self._ids = clock, ids

    def open(self, tx: Tx, endpoint_id: str, merchant: str, kind: str, detail: str) -> None:
        """Open a case, and tell it; one that is open already is not opened again."""
        if any((each["leg"], each["kind"]) == (merchant, kind) for each in webhooks.open_tasks(tx, endpoint_id)):
            return
        now = self._clock.now()
        row = {
            "id": f"tsk_{self._ids.new()}",
            "merchant": merchant,
            "subject": endpoint_id,
            "leg": merchant,
            "kind": kind,
            "owner": "platform",
            "detail": detail,
            "opened": now,
            "deadline": now + TASK_DEADLINE,
            "amount": None,
        }
        self._tell(tx, {**row, "id": journal.open_task(tx, row)}, "task.opened")

    def close(self, tx: Tx, endpoint_id: str, evidence: str) -> None:
        """Settle an endpoint's open cases, and tell it."""
        resolution = dump({"outcome": "settled", "evidence": evidence, "by": "gateway"})
        for task in webhooks.open_tasks(tx, endpoint_id):
            journal.resolve_task(tx, task["id"], self._clock.now(), resolution)
            self._tell(tx, task, "task.resolved")

    def _tell(self, tx: Tx, task: Row | dict[str, object], kind: str) -> None:
        told = tx.one("SELECT count(*) AS n FROM events WHERE subject = :id", {"id": task["id"]})
        event = {
            "id": f"evt_{self._ids.new()}",
            "merchant": task["merchant"],
            "subject": task["id"],
            "seq": told["n"] if told is not None else 0,
            "type": kind,
            "occurred": self._clock.now(),
            "data": dump({"task_id": task["id"], "endpoint": task["subject"], "kind": task["kind"]}),
        }
        journal.insert_events(tx, [event])
