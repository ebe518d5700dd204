"""What the API calls: each method is one thing the platform can ask for, and either answers or raises ``Problem``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.engine import crash
from gateway.engine.addresses import Addresses
from gateway.engine.campaigns import CampaignBook, Campaigns
from gateway.engine.driver import Driver, Duplicate, Lost, Refused, Work
from gateway.engine.model import TERMINAL, Json, Kind, Op, Saga, State, Timing
from gateway.engine.own import OWN
from gateway.engine.problems import Problem
from gateway.engine.reading import Reading
from gateway.engine.records import op_from, saga_from
from gateway.engine.replies import (
    Keys,
    KeyTaken,
    Reply,
    changed_reply,
    location_of,
    never_left,
    refusal,
    reply_of,
    task_reply,
)
from gateway.engine.sealed import Box
from gateway.engine.sealing import Sealer
from gateway.engine.seams import Caller, Clock, Ids, Journal, Secrets
from gateway.engine.worker import Worker
from gateway.runtime import Merchant, Runtime
from gateway.store import journal as sql
from gateway.store.errors import StorageBusy, StorageConflict, StorageError, StorageFull
from gateway.store.port import Tx

#: The kinds of sagas by the prefix of their ids.
KINDS = {"chk": Kind.CHECKOUT, "rfd": Kind.REFUND, "dep": Kind.DEPOSIT, "rel": Kind.RELEASE}
#: How often, and with what pause, a saga in another's hands is asked for.
CLAIMS_MOST, CLAIM_PAUSE_S = 5, 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a change: the merchant (from the credential), the idempotency key, the fingerprint of the body.

    ``request_id`` is kept with what is accepted, so that a problem that is replayed names the request that met it.
    """

    merchant: str
    key: str
    fingerprint: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Telling:
    """What a change is answered with where that is not the saga itself: what the key is kept for, and the reply, read
    when all is done."""

    subject: str
    location: str
    reply: Callable[[], Reply]


class Engine:
    """The engine with its five seams; one a process, shared by all threads."""

    def __init__(
        self, runtime: Runtime, journal: Journal, caller: Caller, clock: Clock, ids: Ids, timing: Timing
    ) -> None:
        self.runtime, self.journal, self.caller = runtime, journal, caller
        self.clock, self.ids, self.timing = clock, ids, timing
        self.driver = Driver(journal, caller, clock, ids, timing)
        self.worker = Worker(self.driver, caller, clock)
        self.sealer = Sealer(journal, clock)
        self.worker.chores.append(self.sealer.seal)
        self.campaign_book = CampaignBook(journal, clock)
        self.addresses = Addresses()
        #: Seals who the member of a quote is.
        self.quoted = Box()

    # --- small words -------------------------------------------------------------------------------------------------

    def merchant(self, merchant_id: str) -> Merchant:
        """The merchant. Raises ``not-found``."""
        found = self.runtime.merchants.get(merchant_id)
        if found is None:
            raise Problem("not-found", "no such merchant")
        return found

    def reading(self, merchant_id: str) -> Reading:
        return Reading(self.runtime, self.journal, merchant_id)

    def campaigns(self, merchant: Merchant) -> Campaigns:
        """The merchant's campaigns in force, those of its file and those imported."""
        return self.campaign_book.of(merchant)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now() / 1000, UTC)

    # --- reading -----------------------------------------------------------------------------------------------------

    def load(self, merchant_id: str, kind: Kind, saga_id: str) -> tuple[Saga, list[Op]]:
        """A saga with its operations. Raises ``not-found``, also for another tenant's."""

        def unit(tx: Tx) -> tuple[Saga, list[Op]] | None:
            row = sql.saga(tx, saga_id)
            if row is None or row["merchant"] != merchant_id or row["kind"] != kind.value:
                return None
            return saga_from(row), [op_from(op) for op in sql.ops(tx, saga_id)]

        found = self.journal.read(unit)
        if found is None:
            raise Problem("not-found", f"no such {kind}")
        return found

    # --- new sagas ---------------------------------------------------------------------------------------------------

    def stored(self, asked: Asked) -> Reply | None:
        """The reply kept for this key, if the request was made before.

        A worker that died between its work and its reply left none: it is made up from how the saga stands now.
        """
        try:
            return self.journal.read(lambda tx: Keys.look(tx, asked.merchant, asked.key, asked.fingerprint))
        except Problem as problem:
            if problem.slug != "request-in-progress":
                raise
            reply = self._left_unanswered(asked)
            if reply is None:
                raise
            return reply if reply.status else None

    def _left_unanswered(self, asked: Asked) -> Reply | None:
        """The reply of a request whose worker is gone while its saga rests; ``None`` while anybody works on it.

        A saga of which nothing was ever sent is forgotten, as its worker would have done; the reply has then no status.
        """
        now = self.clock.now()
        row = self.journal.read(lambda tx: sql.key(tx, asked.merchant, asked.key))
        task = self.journal.read(lambda tx: sql.task(tx, row["subject"])) if row is not None else None
        subject = task["subject"] if task is not None else row["subject"] if row is not None else ""
        kind = KINDS.get(subject.split("_")[0])
        if row is None or kind is None:
            return None
        saga, ops = self.load(asked.merchant, kind, subject)
        soon = now + self.timing.inline  # whoever asks again in a moment is told how it ended
        if saga.lease_until >= now or (saga.due_at is not None and saga.due_at <= soon and saga.state not in TERMINAL):
            return None
        if saga.state is State.FAILED and self._never_left(Work(saga, ops)):
            self.journal.tx(lambda tx: sql.forget(tx, saga.id))
            return Reply(0, "")
        if task is not None:
            reply = task_reply(task)
        else:
            reply = changed_reply(saga, ops) if "#" in row["location"] else reply_of(saga, ops)
        self.journal.tx(lambda tx: sql.store_reply(tx, asked.merchant, asked.key, reply.status, reply.body))
        return self.journal.read(lambda tx: Keys.look(tx, asked.merchant, asked.key, asked.fingerprint))

    def start(
        self,
        asked: Asked,
        saga: Saga,
        secrets: Secrets,
        before: Callable[[Tx, Saga], None] | None = None,
    ) -> Reply:
        """Accept a new saga and work on it for as long as a request may take.

        ``before`` runs in the accepting transaction and may raise a ``Problem`` to refuse it all.
        """

        def accept(tx: Tx, new: Work) -> None:
            new.reply = self._final(new) if new.saga.state in TERMINAL else None
            location, now = location_of(new.saga), self.clock.now()
            Keys.take(tx, asked.merchant, asked.key, asked.fingerprint, new.saga.id, location, now, new.reply)
            if before is not None:
                before(tx, new.saga)

        if asked.request_id:
            saga.doc["request_id"] = asked.request_id
        work = Work(saga, [], secrets, fresh=True)
        until = self.clock.now() + self._inline(asked.merchant)
        try:
            work = self.worker.run(work, until, accept, self.finish)
        except Refused as refused:
            raise refusal(refused.saga, kept=False) from None
        except KeyTaken:
            return self.after_key_taken(asked)
        except Duplicate as duplicate:
            raise self._duplicate(duplicate.saga) from None
        except Lost:
            return self._taken_over(asked, saga)
        except StorageError as error:
            return self._storage_trouble(asked, saga, error)
        crash.point("before-reply")
        return self._reply(asked, work)

    def _taken_over(self, asked: Asked, saga: Saga, telling: Telling | None = None) -> Reply:
        """Another worker goes on with it: the reply is how it stands now."""
        return self._told(
            asked, telling.reply() if telling else changed_reply(*self.load(saga.merchant, saga.kind, saga.id))
        )

    def _told(self, asked: Asked, reply: Reply) -> Reply:
        """Keep what a change is answered with."""
        self.journal.tx(lambda tx: sql.store_reply(tx, asked.merchant, asked.key, reply.status, reply.body))
        return reply

    def _storage_trouble(self, asked: Asked, saga: Saga, error: StorageError) -> Reply:
        """Before it was accepted, nothing was sent and the request may be repeated; after it, recovery goes on."""
        try:
            accepted = self.journal.read(lambda tx: sql.key(tx, asked.merchant, asked.key)) is not None
        except StorageError:
            accepted = True  # nobody can tell: the careful answer
        if not accepted:
            raise storage_problem(error) from None
        detail = "the database could not be written; what was begun goes on, its resource has the truth"
        raise Problem("request-in-progress", detail, location=location_of(saga), retry_after=2) from None

    def _inline(self, merchant_id: str) -> int:
        own = self.merchant(merchant_id).policy.inline_wait_s
        return self.timing.inline if own is None else int(own * 1000)

    def after_key_taken(self, asked: Asked) -> Reply:
        reply = self.stored(asked)
        if reply is None:
            raise Problem("request-in-progress", "another request with this key came first", retry_after=2)
        return reply

    def _duplicate(self, saga: Saga) -> Problem:
        row = self.journal.read(lambda tx: sql.saga_by_number(tx, saga.merchant, saga.kind, saga.number))
        location = location_of(saga_from(row)) if row is not None else ""
        extra = {"checkout_id": row["id"]} if row is not None and saga.kind is Kind.CHECKOUT else {}
        detail = f"the number {saga.number!r} has been used; read Location"
        return Problem("duplicate-order", detail, location=location, extra=extra)

    def _reply(self, asked: Asked, work: Work) -> Reply:
        """The reply, kept for the same key; one of which nothing was ever sent is forgotten instead."""
        saga = work.saga
        if saga.state is State.FAILED and self._never_left(work):
            self.journal.tx(lambda tx: sql.forget(tx, saga.id))
            failed = str((saga.failure() or {}).get("leg", ""))
            detail = f"{failed}: its system cannot be reached, nothing was sent anywhere; try again with the same key"
            raise Problem("adapter-unavailable", detail, retry_after=5, extra={"leg": failed})
        reply = work.reply or reply_of(saga, work.ops)
        if reply.status == 202:
            self.journal.tx(lambda tx: sql.store_reply(tx, asked.merchant, asked.key, reply.status, reply.body))
        return reply

    def _never_left(self, work: Work) -> bool:
        embedded = {op.connection for op in work.ops if self.caller.far(work.saga.merchant, op.connection).embedded}
        return never_left(work.ops, embedded | {OWN})

    def finish(self, tx: Tx, work: Work) -> None:
        """Keep the final reply with the state that it reports, unless one was given before."""
        if work.reply is not None:
            return  # kept when the key was taken, in this same transaction
        reply = work.reply = self._final(work)
        if reply is not None:
            changed = changed_reply(work.saga, work.ops) if work.saga.progress.get("cancel") else reply
            about = {"subject": work.saga.id, "merchant": work.saga.merchant, "location": reply.location}
            kept, other = ({**about, "status": each.status, "body": each.body} for each in (reply, changed))
            sql.finish_keys(tx, kept, other)

    def _final(self, work: Work) -> Reply | None:
        """The reply of a saga at its end; none if nothing of it was ever sent, for then it is forgotten."""
        if work.saga.state is State.FAILED and self._never_left(work):
            return None
        return reply_of(work.saga, work.ops)

    # --- changing a saga that is there -------------------------------------------------------------------------------

    def change(
        self,
        asked: Asked,
        kind: Kind,
        saga_id: str,
        alter: Callable[[Work], None],
        secrets: Secrets,
        before: Callable[[Tx, Saga], None] | None = None,
        telling: Telling | None = None,
    ) -> Reply:
        """Alter a saga that rests (add a tender, cancel it), then work on it. ``alter`` may raise ``Problem``.

        The key is taken in the transaction that writes the change, so that both stand or neither does; ``before`` runs
        in it too, and may refuse it all with a ``Problem``. The reply is the saga, or what ``telling`` tells.
        """
        stored = self.stored(asked)
        if stored is not None:
            return stored
        saga, _ = self.load(asked.merchant, kind, saga_id)
        work = self._claimed(saga)
        try:
            alter(work)
        except BaseException:
            self.release(work)
            raise
        work.secrets = secrets
        subject = telling.subject if telling else saga_id
        location = telling.location if telling else f"{location_of(saga)}#{asked.key}"
        until = self.clock.now() + self._inline(asked.merchant)

        def accept(tx: Tx, changed: Work) -> None:
            Keys.take(tx, asked.merchant, asked.key, asked.fingerprint, subject, location, self.clock.now())
            if before is not None:
                before(tx, changed.saga)

        try:
            work = self.worker.run(work, until, accept, self.finish)
        except Problem:
            self.release(work)
            raise
        except KeyTaken:
            self.release(work)
            return self.after_key_taken(asked)
        except Lost:
            return self._taken_over(asked, saga, telling)
        except StorageError as error:
            return self._storage_trouble(asked, saga, error)
        return self._told(asked, telling.reply() if telling else changed_reply(work.saga, work.ops))

    def _claimed(self, saga: Saga) -> Work:
        """The saga in our hands; a worker that only looks at it for a moment is waited for."""
        for _ in range(CLAIMS_MOST):
            work = self.driver.claim(saga.id)
            if work is not None:
                return work
            self.worker.sleep(CLAIM_PAUSE_S)
        detail = "it is being worked on right now; try again in a moment"
        raise Problem("request-in-progress", detail, location=location_of(saga), retry_after=1)

    def release(self, work: Work) -> None:
        """Give a claim back without a change."""
        row = {"id": work.saga.id, "fence": work.saga.fence}
        self.journal.tx(
            lambda tx: tx.execute("UPDATE sagas SET lease_until = 0 WHERE id = :id AND fence = :fence", row)
        )

    def new_saga(
        self,
        kind: Kind,
        merchant_id: str,
        store_id: str,
        number: str,
        doc: Json,
        amount: int,
        state: State,
        expires_in: int,
        parent: str = "",
    ) -> Saga:
        """A saga that has not been accepted yet. ``expires_in`` is in milliseconds."""
        now = self.clock.now()
        prefix = {Kind.CHECKOUT: "chk", Kind.REFUND: "rfd", Kind.DEPOSIT: "dep", Kind.RELEASE: "rel"}[kind]
        return Saga(
            id=f"{prefix}_{self.ids.new()}",
            kind=kind,
            merchant=merchant_id,
            store_id=store_id,
            number=number,
            parent=parent,
            state=state,
            doc=doc,
            progress={},
            amount=amount,
            created=now,
            updated=now,
            expires_at=now + expires_in,
        )


def storage_problem(error: StorageError) -> Problem:
    """The store's trouble as the platform is told it; nothing was written."""
    if isinstance(error, StorageFull):
        return Problem("storage-full", "no room on the gateway's disk: nothing was accepted", retry_after=60)
    if isinstance(error, StorageBusy):
        return Problem("storage-busy", "nothing was accepted; try again", retry_after=1)
    if isinstance(error, StorageConflict):
        return Problem("invalid-state", "this contradicts what is stored")
    return Problem(
        "storage-busy", "the database cannot be reached; read the resource before trying again", retry_after=5
    )


def rows(items: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Copies of rows as JSON."""
    return [dict(item) for item in items]
