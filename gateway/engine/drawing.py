"""Drawing on a deposit: our ledger says how much is left of it, the channel takes what was only held there."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engine.model import Json, Leg, Op, OpState, Phase, Saga
from gateway.engine.own import OWN
from gateway.engine.records import original_of


def drawing_legs(name: str, tender_id: str, deposit: Saga, ops: Sequence[Op], amount: int) -> list[Leg]:
    """The legs of a tender that takes ``amount`` (minor units) of a deposit; the last one is the tender's own.

    A deposit that was paid needs the ledger alone. One that was authorised is captured as well, among the external
    tenders: an authorisation runs out, and what was only held is not the merchant's.
    """
    params: Json = {"account": deposit.id, "amount": amount, "held_amount": deposit.amount}
    own = {Phase.HOLD.value: "value_reserve", Phase.SETTLE.value: "value_confirm"}
    held = next((op for op in ops if op.hook == "payment_authorize" and op.state is OpState.OK), None)
    if held is None:
        return [Leg(name, OWN, OWN, own, params)]
    source = next(leg for leg in deposit.legs() if leg.name == held.leg)
    lock = Leg(f"lock:{name}", OWN, OWN, own, {**params, "lock_of": name})
    taken = {**source.params, "amount": amount, "held_amount": deposit.amount, "tender_id": tender_id}
    taken["authorisation"] = original_of(held)
    return [lock, Leg(name, source.connection, source.adapter, {Phase.PAY.value: "payment_capture"}, taken)]
