"""What the platforms of a simulated world ask for: checkouts, cancels, tenders, refunds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.engine.deposits import Deposits
from gateway.engine.driver import Work
from gateway.engine.model import Json, Kind, Op, Saga, State
from gateway.engine.records import op_from, saga_from
from gateway.engine.refunds import Refunds
from gateway.engine.replies import Keys
from gateway.engine.requests import tenders_of
from gateway.engine.seams import Secrets
from gateway.store import holds
from gateway.store import journal as sql
from gateway.store.port import Tx
from tests.simulation.plans import MERCHANT, SITE, Held, refund_of, saga_of
from tests.simulation.workers import Workers


class Platform(Workers):
    """Requests, some of them twice, some of them in vain."""

    def pay_deposit(self, number: str) -> None:
        """A customer leaves a deposit."""
        self._start(self.planner.deposit(f"dep_{self.ids.new()}", number, self.now()), number)

    def submit(self, number: str) -> None:
        self._look_at_deposits()
        saga = self.planner.checkout(number, f"chk_{self.ids.new()}", self.now())
        copies = 2 if self.chance("again") else 1
        for _ in range(copies):
            self._start(saga, number)
            saga = self.planner.checkout(number, f"chk_{self.ids.new()}", self.now())

    def _start(self, saga: Saga, key: str, before: Callable[[Tx], None] | None = None) -> None:
        self.numbers[saga.id] = saga.number

        def accept(tx: Tx, new: Work) -> None:
            Keys.take(tx, MERCHANT, key, "fp", new.saga.id, f"/{new.saga.id}", self.now())
            if before is not None:
                self.touched.add(saga.parent)
                before(tx)

        self.work(Work(saga, [], Secrets(), fresh=True), self.now() + 15_000, accept)

    def _look_at_deposits(self) -> None:
        """What can be drawn on, as it stands at this moment: others may draw on it, or let it go, at the same time."""
        rows = self.db.rows("SELECT * FROM sagas WHERE kind = 'deposit' AND state = 'completed'")
        self.planner.deposits = [self._deposit(saga_from(row)) for row in rows]

    def _deposit(self, saga: Saga) -> Held:
        def look(tx: Tx) -> tuple[list[Op], int]:
            ops = [op_from(row) for row in sql.ops(tx, saga.id)]
            return ops, holds.taken(tx, MERCHANT, "deposit", "", saga.id, 0)

        ops, used = self.db.read(look)
        return saga, ops, saga.amount - saga.refunded - used

    def release_deposit(self, number: str) -> None:
        """What nobody has drawn on is asked back, now and then twice."""
        row = self.db.read(lambda tx: sql.saga_by_number(tx, MERCHANT, Kind.DEPOSIT, number))
        if row is None or row["state"] != State.COMPLETED:
            return
        parent, ops, left = self._deposit(saga_from(row))
        used = parent.amount - parent.refunded - left
        if left <= 0:
            return
        legs = Deposits._release_legs(None, parent, list(ops), left, used)  # type: ignore[arg-type]
        doc: Json = {"site": SITE, "currency": "CNY", "reason": "", "gives_back": {"amount": left}, "tenders": []}
        doc["legs"] = [leg.to_json() for leg in legs]
        take = Deposits._take
        for _ in range(2 if self.chance("again") else 1):
            saga_id, again = f"rel_{self.ids.new()}", f"{number}-R{parent.refunded}"
            saga = saga_of(Kind.RELEASE, saga_id, again, doc, left, self.now(), State.PAYING, 0, parent.id)
            self._start(saga, again, lambda tx: take(None, tx, parent, left, used))  # type: ignore[arg-type]

    def cancel(self, number: str) -> None:
        def alter(work: Work) -> bool:
            if work.saga.state not in (State.RESERVING, State.PAYING, State.AWAITING_TENDER):
                return False
            work.saga.progress["cancel"] = True
            return True

        self._change(number, alter)

    def add_tender(self, number: str, key: str = "") -> None:
        """Another payer's tender, in a request of its own; ``key`` is its idempotency key, taken with the change."""
        self._look_at_deposits()

        def alter(work: Work) -> bool:
            saga = work.saga
            left = saga.amount - sum(tender["amount"] for tender in tenders_of(saga))
            if saga.state is not State.AWAITING_TENDER or self.now() >= saga.expires_at or left <= 0:
                return False
            legs: list[Any] = []
            tenders: list[Any] = []
            count = len(saga.doc["tenders"]) + len(saga.progress.get("tenders", ())) + 1
            if self.more.random() < self.shop.splitting and left > 1:
                left = self.more.randrange(1, left)  # somebody else pays the rest
            self.planner.tender(f"t{count}", left, legs, tenders)
            saga.progress.setdefault("legs", []).extend(leg.to_json() for leg in legs)
            saga.progress.setdefault("tenders", []).extend(tenders)
            saga.progress["tender_added"] = True
            return True

        self._change(number, alter, State.AWAITING_TENDER, key=key)

    def payers(self, number: str) -> None:
        """Two who sit at one table pay at the same moment; one of them presses twice."""
        for index in range(2):
            key = f"{number}-{self.ids.new()}"
            for _ in range(2 if self.chance("again") else 1):
                delay = self.more.randrange(0, 800)
                self.at(delay * index, lambda k=key: self.add_tender(number, k))  # type: ignore[misc]

    def _change(self, number: str, alter: Callable[[Work], bool], *wanted: State, key: str = "") -> None:
        """A change that the platform asks for: mostly where it makes sense, now and then in vain."""
        row = self.db.rows("SELECT id, state FROM sagas WHERE number = :n AND kind = 'checkout'", n=number)
        if row and (not wanted or row[0]["state"] in wanted or self.rng.random() < 0.1):
            self.claim(row[0]["id"], alter, key)

    def refund(self, number: str) -> None:
        parent = self.saga(number)
        if parent is None or parent.state is not State.COMPLETED:
            return
        self.start_refund(parent, self.rng.randrange(1, parent.amount + 1))

    def start_refund(self, parent: Saga, amount: int) -> None:
        """Begin to give back so much of a completed checkout, if so much is left."""
        ops = [op_from(row) for row in self.db.read(lambda tx: sql.ops(tx, parent.id))]
        more = None if self.plain else self.more
        refund = refund_of(parent, ops, f"rfd_{self.ids.new()}", f"R{self.ids.new()}", amount, self.now(), more)
        if refund is not None and refund.amount + parent.refunded <= parent.amount:
            take = Refunds._take
            self.refunds.setdefault(parent.id, set()).add(refund.id)
            self._start(refund, refund.number, lambda tx: take(None, tx, parent, refund.amount))  # type: ignore[arg-type]

    def saga(self, number: str) -> Saga | None:
        row = self.db.read(lambda tx: sql.saga_by_number(tx, MERCHANT, Kind.CHECKOUT, number))
        return saga_from(row) if row is not None else None
