"""What a round tells: the saga's events, and the cases of people that it opens and settles."""

from __future__ import annotations

from typing import Any

from gateway.engine.model import TERMINAL, Kind, NewTask, Saga, State
from gateway.engine.seams import Ids
from gateway.store import journal as sql
from gateway.store.port import Tx

#: How long a person has for a task, in milliseconds.
TASK_DEADLINE = 24 * 3600 * 1000


class Notes:
    """One transaction's events and cases; ``standing`` are the cases that the decision asks for."""

    tx: Tx
    ids: Ids
    saga: Saga
    now: int
    events: list[tuple[str, dict[str, Any]]]
    standing: list[NewTask]

    def _note_transition(self, was: State, ended: bool) -> None:
        kind, state = self.saga.kind, self.saga.state
        if ended:
            word = "succeeded" if kind is Kind.REFUND else state.value
            self.events.append((f"{kind}.{word}", {}))
        elif state is not was and state is State.AWAITING_TENDER:
            self.events.append((f"{kind}.awaiting_customer", {}))
        needs = bool(self.standing) and state not in TERMINAL
        if needs and not self.saga.progress.get("attention"):
            self.events.append((f"{kind}.needs_attention", {}))
        if needs or self.saga.progress.get("attention"):
            self.saga.progress["attention"] = needs

    def _event_rows(self) -> list[dict[str, Any]]:
        seq = int(self.saga.progress.get("events", 0))
        self.saga.progress["events"] = seq + len(self.events)
        return [
            {
                "id": f"evt_{self.ids.new()}",
                "merchant": self.saga.merchant,
                "subject": self.saga.id,
                "seq": seq + index,
                "type": name,
                "occurred": self.now,
                "data": sql.dump({"state": self.saga.state.value, "number": self.saga.number, **data}),
            }
            for index, (name, data) in enumerate(self.events)
        ]

    def _open_tasks(self) -> None:
        """Open what stands now; a case that was settled before and stands again is opened again."""
        for task in {(task.leg, task.kind): task for task in self.standing}.values():
            row = {
                "id": f"tsk_{self.ids.new()}",
                "merchant": self.saga.merchant,
                "subject": self.saga.id,
                "leg": task.leg,
                "kind": task.kind,
                "owner": task.owner,
                "detail": task.detail,
                "opened": self.now,
                "deadline": self.now + TASK_DEADLINE,
                "amount": self.saga.at_stake(task.leg),
            }
            known = self.saga.progress.setdefault("tasks", [])
            if any((item["leg"], item["kind"]) == (task.leg, task.kind) for item in known):
                continue
            opened = sql.open_task(self.tx, row)
            known.append({"id": opened, "leg": task.leg, "kind": task.kind, "detail": task.detail, "hook": task.hook})
            self.events.append(("task.opened", {"task_id": opened, "leg": task.leg, "kind": task.kind}))

    def _settle_tasks(self) -> None:
        """Close what does not stand any more: the far system has answered in the end, or a person has."""
        standing = {(task.leg, task.kind) for task in self.standing}
        for task in list(self.saga.progress.get("tasks", ())):
            if (task["leg"], task["kind"]) in standing:
                continue
            self.saga.progress["tasks"].remove(task)
            answered = self.saga.progress.get("answers", {}).pop(task["id"], None)
            resolution = answered or {"outcome": "settled", "by": "gateway"}
            sql.resolve_task(self.tx, task["id"], self.now, sql.dump(resolution))
            told = {"task_id": task["id"], "leg": task["leg"], "kind": task["kind"]}
            self.events.append(("task.resolved", told))
