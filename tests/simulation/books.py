"""The far systems' own books, held against the journal at the end: money, deposits, points and value, codes, bills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.engine import invariants
from gateway.engine.model import Kind, Leg, OpState, Phase, Saga, State
from gateway.engine.records import saga_from
from gateway.engine.redeeming import honoured
from gateway.engine.requests import tenders_of
from gateway.store import holds
from gateway.store import journal as sql
from gateway.store.port import Row
from tests.simulation.far import FarSystem
from tests.simulation.ground import Ground
from tests.simulation.plans import MERCHANT
from tests.simulation.troubles import Violation


class Books(Ground):
    """Compares truths."""

    # --- money -------------------------------------------------------------------------------------------------------

    def net(self, saga_id: str) -> dict[str, int]:
        """What each charge of a checkout holds at its channel, as that says."""
        keys = self.db.rows(
            "SELECT key FROM ops WHERE saga_id = :id AND hook IN ('payment_charge', 'payment_capture')", id=saga_id
        )
        found: dict[str, int] = {}
        for row in keys:
            for system in self.systems.values():
                if (charge := system.charges.get(row["key"])) is not None and charge.net:
                    found[row["key"]] = charge.net
        return found

    def _overdrawn(self) -> None:
        """P1, C1, M2: nobody has given more than there is."""
        for system in self.systems.values():
            if system.free < 0:
                raise Violation(f"P1: {system.name} has given {-system.free} too many")
            if any(left < 0 for left in (system.uses or {}).values()):
                raise Violation(f"C1: {system.name} gave a code too often: {system.uses}")
            if any(charge.left < 0 for charge in system.charges.values()):
                raise Violation(f"M2: {system.name} gave back or took more than it held")

    # --- one checkout ------------------------------------------------------------------------------------------------

    def _books(self, found: invariants.Record) -> list[str]:
        """M1, C2, O1 by the far systems' own books."""
        saga = found.saga
        if saga.kind is not Kind.CHECKOUT or found.open_task() or self._given_back_open(saga):
            return []
        wrong = []
        net, given = sum(self.net(saga.id).values()), self._refunded(saga)
        done = saga.state is State.COMPLETED
        by_channel = sum(t["amount"] for t in tenders_of(saga) if self._external(saga, t["leg"]))
        if net != (by_channel - given if done else 0):
            wrong.append(f"M1: {saga.state}, and the channels hold {net} of {by_channel} less {given}")
        for system in self.systems.values():
            held = [held for held in system.held.values() if held.saga == saga.id and held.state != "released"]
            legs = [leg for leg in saga.legs() if self._stands(found, leg, system)]
            used = [each for each in held if each.state == "used"]
            if len(held) != len(used) or len(used) != (len(legs) if done else 0):
                wrong.append(f"C2: {saga.state}, and {system.name} has {[h.state for h in held]} for {len(legs)} legs")
        posted = sum(system.posted.get(saga.id, 0) for system in self.systems.values())
        planned = sum(leg.hook(Phase.POST) is not None for leg in saga.legs())
        if posted != (planned if done else 0):
            wrong.append(f"O1: {saga.state}, posted {posted} times of {planned}")
        wrong += self._returns(saga) if done else []
        return [f"{saga.id} {text}" for text in wrong]

    def _returns(self, saga: Saga) -> Iterator[str]:
        """O1: the till has each refund of a sale that it has, once."""
        for refund in map(saga_from, self._children(saga)):
            returned = sum(system.returned.get(refund.id, 0) for system in self.systems.values())
            if returned != len(refund.due(Phase.POST)):
                yield f"O1: {refund.id} was returned {returned} times at the till"

    def _stands(self, found: invariants.Record, leg: Leg, system: FarSystem) -> bool:
        """Whether this leg of a completed checkout has used something up at this system."""
        saga, hook = found.saga, leg.hook(Phase.SETTLE)
        if leg.connection != system.name or hook is None:
            return False
        if leg.name in (*saga.progress.get("declined", ()), *saga.without()):
            return False
        if not honoured(saga, leg, found.last(leg.name, hook)):
            return True
        if system.uses is not None and not (system.elsewhere or self._used_in_vain(saga, leg.params["code"], system)):
            raise Violation(f"{saga.id} C1: {leg.name} is honoured, and nobody else has used a code")
        return False

    def _used_in_vain(self, saga: Saga, code: str, system: FarSystem) -> bool:
        """Whether another sale of ours has used this code and then failed, at a system that takes no use back: that is
        a person's case, and the code is used for whoever comes with it next."""
        used = {held.saga for held in system.held.values() if (held.code, held.state) == (code, "used")} - {saga.id}
        return any(self._tasks(each) for each in used)

    def _external(self, saga: Saga, leg_name: str) -> bool:
        """Whether a channel has this tender's money: also what was drawn on a deposit that it only held."""
        leg = next((leg for leg in saga.legs() if leg.name == leg_name), None)
        if leg is None:
            return False
        return leg.hook(Phase.PAY) is not None or self._authorised(leg.params.get("account", ""))

    def _authorised(self, deposit_id: str) -> bool:
        rows = self.db.rows("SELECT hook FROM ops WHERE saga_id = :id AND hook = 'payment_authorize'", id=deposit_id)
        return bool(rows)

    def _refunded(self, saga: Saga) -> int:
        """What refunds have given back of what channels took."""
        rows = self.db.rows(
            "SELECT s.amount FROM sagas s JOIN ops o ON o.saga_id = s.id WHERE s.parent = :id AND s.kind = 'refund'"
            " AND s.state <> 'paying' AND o.hook = 'payment_refund'",
            id=saga.id,
        )
        return sum(row["amount"] for row in rows)

    def _given_back_open(self, saga: Saga) -> bool:
        return any(row["state"] != "completed" or self._tasks(row["id"]) for row in self._children(saga))

    def _children(self, saga: Saga) -> Sequence[Row]:
        kind = Kind.RELEASE if saga.kind is Kind.DEPOSIT else Kind.REFUND
        return self.db.read(lambda tx: sql.children(tx, saga.id, kind))

    def _tasks(self, saga_id: str) -> bool:
        return bool(self.db.rows("SELECT id FROM tasks WHERE subject = :id AND status = 'open'", id=saga_id))

    # --- all of them -------------------------------------------------------------------------------------------------

    def _far_books(self, records: list[invariants.Record]) -> list[str]:
        self._overdrawn()
        deposits = [found for found in records if found.saga.kind is Kind.DEPOSIT]
        wrong = [text for found in deposits for text in self._deposit_books(found)]
        if not any(found.open_task() for found in records):
            wrong += [text for name in (self.shop.points, self.shop.value) for text in self._balance(name, records)]
        return wrong

    def _deposit_books(self, found: invariants.Record) -> Iterator[str]:
        """M1: of a deposit the channel holds what is left, has taken what checkouts drew, and let go the rest."""
        saga = found.saga
        drawing = self.db.rows("SELECT DISTINCT saga_id FROM holds WHERE kind = 'deposit' AND item = :id", id=saga.id)
        if found.open_task() or self._given_back_open(saga) or any(self._tasks(row["saga_id"]) for row in drawing):
            return
        used = self.db.read(lambda tx: holds.taken(tx, MERCHANT, "deposit", "", saga.id, 0))
        if used + saga.refunded > saga.amount:
            yield f"{saga.id} M2: of {saga.amount} {used} was drawn and {saga.refunded} let go"
        given = sum(row["amount"] for row in self._children(saga))
        if given != saga.refunded:
            yield f"{saga.id} M2: releases of {given}, counted {saga.refunded}"
        left, taken, completes = self._held_at(found)
        drawn = used if taken is not None else 0
        wanted = saga.amount - given - drawn if saga.state is State.COMPLETED else 0
        if left != wanted and not (completes and drawn):
            yield f"{saga.id} M1: {saga.state}, the channel holds {left}, not {wanted} of {saga.amount}"
        if taken is not None and taken != drawn:
            yield f"{saga.id} M1: the channel took {taken} of this deposit, checkouts drew {drawn}"

    def _held_at(self, found: invariants.Record) -> tuple[int, int | None, bool]:
        """What the channel still has of a deposit, what it took (``None``: it took all at once), whether a first
        capture ends it."""
        left, taken, completes = 0, None, False
        for op in found.ops:
            if op.hook in ("payment_charge", "payment_authorize"):
                system = self.systems[op.connection]
                charge = system.charges.get(op.key)
                left += charge.left if charge is not None else 0
                if op.hook == "payment_authorize":
                    taken, completes = charge.captured if charge is not None else 0, system.completes
        return left, taken, completes

    def _balance(self, name: str, records: list[invariants.Record]) -> Iterator[str]:
        """P1: what opened, and was earned since, less what was used, and with what was given back, is there now."""
        system = self.systems[name]
        if not system.counts:
            return
        wanted = system.opening - system.elsewhere
        for found in records:
            for op in found.ops:
                if op.connection == name and op.state is OpState.OK:
                    wanted += self._moved(found, op.leg, op.hook)
        if system.free != wanted:
            yield f"P1: {name} has {system.free}, opened with {system.opening}; the journal says {wanted}"

    def _moved(self, found: invariants.Record, leg_name: str, hook: str) -> int:
        """What a change that happened added to an account; a use counts where it stands."""
        leg = next(leg for leg in found.saga.legs() if leg.name == leg_name)
        quantity = int(leg.params.get("points") or leg.params.get("amount", 0))
        if hook == "points_earn" or (found.saga.kind is Kind.REFUND and hook in ("value_return", "points_return")):
            return quantity
        stands = found.saga.state is State.COMPLETED and leg_name not in found.saga.progress.get("declined", ())
        return -quantity if stands and hook in ("points_confirm", "value_confirm") else 0
