"""Watching over a simulated world: the invariants after every commit, at every effect, and at rest."""

from __future__ import annotations

from gateway.engine import invariants
from gateway.engine.model import Kind, Op
from gateway.engine.records import op_from
from gateway.store import uses
from gateway.store.port import Row
from tests.simulation.books import Books
from tests.simulation.troubles import NEVER, Standing, Violation


class Watch(Books):
    """Raises ``Violation`` when something happened that must not."""

    def _committed(self) -> None:
        """The invariants that hold at every moment, of the sagas that this commit may have touched."""
        tx = self._tx()
        for saga_id in self.touched.union(*(self.refunds.get(saga_id, ()) for saga_id in self.touched)):
            found = invariants.record(tx, saga_id, self._op)
            if found is None:
                self.standing.pop(saga_id, None)
                continue
            wrong = invariants.violations(found, invariants.ALWAYS)
            if found.saga.fence < self.fences.get(saga_id, 0):
                wrong.append(f"X3: {saga_id}'s fence went back")
            self.fences[saga_id] = found.saga.fence
            if wrong:
                raise Violation(wrong[0])
            due = found.saga.due_at
            look_at = None if due is None else max(due, found.saga.lease_until + 1)
            self.standing[saga_id] = Standing(found.saga.state, look_at)
        self.touched.clear()
        self.next_look = min((s.look_at for s in self.standing.values() if s.look_at is not None), default=NEVER)
        if self.locks_moved:
            self._locks_count()

    def _op(self, row: Row) -> Op:
        """The operation of a row as it stands in the database; parsed again only if it has changed."""
        known = self.ops.get(row["key"])
        if known is None or known[0] != row:
            known = self.ops[row["key"]] = (row, op_from(row))
        return known[1]

    def _locks_count(self) -> None:
        self.locks_moved = False
        taken = self.db.rows(
            "SELECT item, sum(quantity) AS n FROM holds WHERE kind = 'coupon' AND state IN ('held', 'used')"
            " GROUP BY item HAVING sum(quantity) > 1"
        )
        if taken:
            raise Violation(f"C1: the code {taken[0]['item']} is locked {taken[0]['n']} times")
        over = self.db.rows(
            "SELECT campaign, times FROM campaign_counters WHERE times > :most", most=self.shop.uses_most
        )
        if over:
            raise Violation(f"C1: {over[0]['campaign']} is used {over[0]['times']} times of {self.shop.uses_most}")

    def _seen(self, saga_id: str, what: str) -> None:
        """M2, M3, P1 at the far systems' own moment: never more money than the price, nothing let go while it is there,
        no account overdrawn."""
        if what != "released":
            self._overdrawn()
        taken = sum(self.net(saga_id).values())
        row = self.db.rows("SELECT amount, progress, state FROM sagas WHERE id = :id", id=saga_id)
        if not row:
            return
        state = row[0]["state"]
        # A copy of a refused request, whose channel had denied it: nothing could have waited for that.
        if what == "denied and charged" or (what == "charged" and state == "undoing"):
            self.late_money.add(saga_id)
        alone = '"replaced"' in row[0]["progress"]  # a tender that failed lets its own hold go; another one is awaited
        ended = state in ("failed", "cancelled", "completed") or saga_id in self.late_money
        if what == "released" and taken and not alone and not ended:
            raise Violation(f"{saga_id} M3: something was let go while {taken} was taken, in {state}")
        for key, net in self.net(saga_id).items():
            charge = next(s.charges[key] for s in self.systems.values() if key in s.charges)
            if net > charge.amount:
                raise Violation(f"{saga_id} M2: {net} taken for {charge.amount}")

    def _records(self) -> list[invariants.Record]:
        ids = [row["id"] for row in self.db.rows("SELECT id FROM sagas ORDER BY id")]
        return [found for saga_id in ids if (found := invariants.record(self._tx(), saga_id, self._op)) is not None]

    def _must_have_ended(self) -> None:
        for found in self._records():
            wrong = list(invariants.ended_or_a_persons_case(found))
            if wrong:
                raise Violation(f"{found.saga.id} {wrong[0]}: {_told(found)}")

    def _at_rest(self) -> None:
        records = self._records()
        for found in records:
            wrong = invariants.violations(found)
            wrong += self._books(found)
            if found.saga.kind is Kind.CHECKOUT:
                wrong += list(invariants.parent_covers_refunds(self._tx(), found.saga.id))
            wrong += [f"{found.saga.id} {text}" for text in invariants.ledger_agrees(self._tx(), found)]
            if wrong:
                raise Violation(f"{wrong[0]}: {_told(found)}")
        if wrong := self._far_books(records):
            raise Violation(wrong[0])
        self._uses_at_rest()
        numbers = [self.numbers[row["id"]] for row in self.db.rows("SELECT id FROM sagas")]
        if len(set(numbers)) != len(numbers):
            raise Violation("I2: two sagas for one number")

    def _uses_at_rest(self) -> None:
        """C1, C2: what is counted of a campaign is the sum of its uses, and no failed checkout has one."""
        if wrong := uses.drift(self._tx()):
            raise Violation(f"C1: a counter is not the sum of its uses: {wrong[0]}")
        held = self.db.rows(
            "SELECT h.saga_id, h.kind, h.item FROM holds h JOIN sagas s ON s.id = h.saga_id"
            " WHERE h.state = 'held' AND s.state IN ('completed', 'failed', 'cancelled')"
        )
        if held:
            raise Violation(f"C2: {dict(held[0])} is still held, though its checkout is over")
        for row in uses.orphans(self._tx()):
            found = invariants.record(self._tx(), row["saga_id"])
            if found is None or not found.open_task():
                raise Violation(f"C2: {row} though the checkout has failed")


def _told(found: invariants.Record) -> str:
    ops = ", ".join(f"{op.leg}/{op.hook}#{op.turn} {op.state} {op.attempts}" for op in found.ops)
    return f"{found.saga.state} {found.saga.progress} [{ops}]"
