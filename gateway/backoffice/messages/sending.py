"""Sends messages by the engine's own rules: the intent is on the disk before the first byte, and what may have been
sent is only sent again where its system knows the same number again.

A message that is not sent in time expires. One that may have been sent, and can neither be asked about nor repeated,
ends as *unknown*. A connection through which messages get lost has one case for a person, which is settled by the next
message that goes through.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter as Counts
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.backoffice.messages.taking import OUTCOMES, about
from gateway.backoffice.messages.values import fields_of
from gateway.domain.errors import AdapterError, NotSent
from gateway.domain.messages import Message
from gateway.engine import outcomes as rules
from gateway.engine.evidence import attempt_row
from gateway.engine.model import Leg, Op, OpState, Todo, Verb
from gateway.engine.pursue import Pursuer, Way
from gateway.engine.seams import Effect, Outcome
from gateway.engine.service import Engine
from gateway.store import frames, messages
from gateway.store.encoding import dump, load
from gateway.store.errors import StorageError
from gateway.store.port import Tx
from gateway.webhooks.cases import Cases

log = logging.getLogger("gateway.messages")

HOOK = "message_send"
#: The kind of a case about a connection through which messages get lost.
LOST = "messages-lost"
#: Messages under way in one process: in all, and through one connection, so that a silent system holds up no other.
THREADS, PARALLEL = 16, 4
#: When to look again at a message that only another node can send, in milliseconds.
ELSEWHERE = 5_000
#: For how long a message is put off that could not be worked on, in milliseconds.
PUT_OFF = 60_000
#: Ended messages that are deleted in one transaction, and how often that is looked at (milliseconds).
PRUNE_MOST, PRUNE_EVERY = 500, 60_000
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Job:
    """A message that this worker has claimed and is about to send."""

    row: Mapping[str, Any]
    op: Op
    request: Message


class Sending:
    """A carrier for :class:`gateway.webhooks.service.RelayService`. Safe to share between threads."""

    def __init__(self, engine: Engine, keep_days: int) -> None:
        self._engine, self._keep = engine, keep_days * _DAY
        self._cases = Cases(engine.clock, engine.ids)
        self._lock = threading.Lock()
        self._busy: Counts[tuple[str, str]] = Counts()
        self._next_prune = 0

    def take_events(self) -> int:
        """Nothing is taken here: the relay does it. Old messages are forgotten."""
        now = self._engine.clock.now()
        if now >= self._next_prune:
            deleted = self._engine.journal.tx(lambda tx: messages.prune(tx, now - self._keep, PRUNE_MOST))
            self._next_prune = now if deleted == PRUNE_MOST else now + PRUNE_EVERY
        return 0

    # --- claiming ----------------------------------------------------------------------------------------------------

    def claim(self, most: int) -> list[Job]:
        """Take messages that are due, at most so many and few of one connection, with their intent written down."""
        now, jobs = self._engine.clock.now(), list[Job]()
        for row in self._engine.journal.read(lambda tx: messages.due(tx, now, PARALLEL)):
            where = (row["merchant"], row["connection"])
            if len(jobs) >= most:
                break
            if self._busy[where] >= PARALLEL:  # only this thread adds to it
                continue
            job = self._begun(row["key"])
            if job is not None:
                self._count(where, 1)
                jobs.append(job)
        return jobs

    def _begun(self, key: str) -> Job | None:
        """Begin a message; a fault of ours with one must not keep the others from being sent."""
        try:
            return self._engine.journal.tx(lambda tx: self._begin(tx, key))
        except StorageError:
            raise
        except Exception:
            log.exception("a message could not be begun; it is put off", extra={"subject": key})
            at = self._engine.clock.now() + PUT_OFF
            self._engine.journal.tx(lambda tx: messages.put_off(tx, key, at))
            return None

    def _count(self, where: tuple[str, str], more: int) -> None:
        with self._lock:
            self._busy[where] += more

    def _begin(self, tx: Tx, key: str) -> Job | None:
        """Claim a message and write down the intent to send it; ``None``: it is not to be sent now, or by us."""
        now, timing = self._engine.clock.now(), self._engine.timing
        found = messages.claim(tx, key, now, now + timing.lease)
        if found is None:
            return None
        row = dict(found)
        op = op_of(row)
        if op.state is OpState.INTENT:  # its worker died: nobody knows whether it was sent
            rules.orphaned(op, self._far(row).traits(HOOK), timing, now)
        request = self._to_be_sent(tx, row, op, now)
        if request is None:
            return None
        rules.begin(op, now)
        messages.write(tx, {**row_of(row, op), "status": "open", "due_at": now, "lease_until": now + timing.lease})
        return Job(row, op, request)

    def _to_be_sent(self, tx: Tx, row: Mapping[str, Any], op: Op, now: int) -> Message | None:
        """The message, if it is to be sent now; else how it stands has been written."""
        pursuit = Pursuer(self._engine.timing, now).pursue(leg_of(row), HOOK, op, self._far(row))
        if pursuit.way is not Way.DO or now >= row["expires"]:
            self._rest(tx, row, op, now)
            return None
        merchant = self._engine.runtime.merchants.get(row["merchant"])
        found = about(tx, merchant, row["subject"]) if merchant is not None else None
        rules_ = merchant.messages.about(row["type"], found.order.store_id) if merchant and found else ()
        rule = next((each for each in rules_ if each.template == row["template"]), None)
        if merchant is None or found is None or rule is None:  # nobody wants it sent any more
            self._end(tx, row, op, "unknown" if op.state is OpState.UNKNOWN else "skipped")
            return None
        receiver = self._engine.addresses.of(merchant.id, found.order.doc)
        config = merchant.connections.get(row["connection"])
        if receiver is None or config is None:  # another node may have the key, or the connection
            op.next_at = now + ELSEWHERE
            self._rest(tx, row, op, now)
            return None
        fields = fields_of(rule, merchant, found.saga, found.order, row["occurred"], found.language)
        return Message(
            channel=config.adapter, template=rule.template, receiver=receiver, fields=fields, language=found.language
        )

    def _far(self, row: Mapping[str, Any]) -> Any:
        return self._engine.caller.far(row["merchant"], row["connection"])

    # --- sending -----------------------------------------------------------------------------------------------------

    def send(self, job: Job) -> Outcome:
        """Send a message, without the database; trouble is part of the outcome."""
        row, timing = job.row, self._engine.timing
        todo = Todo(Verb.SEND, row["template"], HOOK, 0, row["connection"], job.op)
        deadline = self._engine.clock.now() + timing.call
        effect = Effect(todo, job.op, {}, row["merchant"], job.request, deadline, row["subject"], _no_steps)
        try:
            return self._engine.caller.run([effect])[0]
        finally:
            self._count((row["merchant"], row["connection"]), -1)

    # --- noting ------------------------------------------------------------------------------------------------------

    def note(self, job: Job, outcome: Outcome) -> None:
        """Write down what became of a message."""
        self._engine.journal.tx(lambda tx: self._note(tx, job, outcome))
        if isinstance(outcome.result, AdapterError):
            where = {"merchant": job.row["merchant"], "connection": job.row["connection"], "subject": job.row["event"]}
            log.info("a message was not sent", extra={**where, "error": type(outcome.result).__name__})

    def _note(self, tx: Tx, job: Job, outcome: Outcome) -> None:
        op, now, row = job.op.copy(), self._engine.clock.now(), job.row
        result: Any = outcome.result
        rules.apply_sent(op, result, None, self._far(row).traits(HOOK), self._engine.timing, now)
        if outcome.frames or not isinstance(outcome.result, NotSent):  # what never left is told by the last error
            frames.insert(tx, [attempt_row(op, Verb.SEND, outcome, now)])
        self._rest(tx, row, op, now)

    def _rest(self, tx: Tx, row: Mapping[str, Any], op: Op, now: int) -> None:
        """Write how a message stands that is not being sent: ended, or to be looked at again."""
        pursuit = Pursuer(self._engine.timing, now).pursue(leg_of(row), HOOK, op, self._far(row))
        late = max(now, op.next_at) >= row["expires"]
        if pursuit.way is Way.DONE:
            self._end(tx, row, op, "sent")
        elif pursuit.way is Way.REFUSED:
            self._end(tx, row, op, "refused")
        elif pursuit.way is Way.STUCK or late:
            self._end(tx, row, op, "expired" if op.state is OpState.NOT_SENT else "unknown")
        else:
            at = max(now, op.next_at)
            messages.write(tx, {**row_of(row, op), "status": "open", "due_at": at, "lease_until": 0})

    def _end(self, tx: Tx, row: Mapping[str, Any], op: Op, status: str) -> None:
        ended = {"status": status, "due_at": None, "lease_until": 0, "ended": self._engine.clock.now()}
        if not messages.write(tx, {**row_of(row, op), **ended}):
            return
        OUTCOMES.labels(status).inc()
        subject = f"messages:{row['merchant']}/{row['connection']}"
        tx.lock(f"webhook {subject}")
        if status == "sent":
            self._cases.close(tx, subject, f"message {row['key']} went through")
        elif status in ("unknown", "expired"):
            said = op.outcome.get("error") or "nobody could send it"
            detail = f"messages through {row['connection']} get lost; {row['template']}, {row['event']}: {said}"
            self._cases.open(tx, subject, row["merchant"], LOST, f"{detail}; see: gateway messages"[:500])


def leg_of(row: Mapping[str, Any]) -> Leg:
    return Leg(row["template"], row["connection"], "", {}, {})


def op_of(row: Mapping[str, Any]) -> Op:
    """A message as an operation of the engine; its attempts are filed under its own key."""
    names = ("attempts", "first_sent", "last_sent", "next_at", "finished")
    return Op(
        key=row["key"],
        saga_id=row["key"],
        leg=row["template"],
        hook=HOOK,
        turn=0,
        connection=row["connection"],
        state=OpState(row["state"]),
        outcome=load(row["outcome"]),
        **{name: row[name] for name in names},
    )


def row_of(row: Mapping[str, Any], op: Op) -> dict[str, Any]:
    """The columns of an operation, and those by which its row is found."""
    names = ("attempts", "first_sent", "last_sent", "next_at", "finished")
    told = {name: getattr(op, name) for name in names}
    own = {"key": op.key, "fence": row["fence"], "ended": 0}
    return {**own, **told, "state": str(op.state), "outcome": dump(op.outcome)}


def _no_steps(step: Mapping[str, Any]) -> None:
    """A message has no steps."""
