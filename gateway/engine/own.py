"""The gateway's own connection: soft holds for systems that have none. It takes the same road as every adapter.

Goods and slots are held here when the stock adapter has no ``stock_reserve``; a coupon code is locked here when its
system can only redeem (our own races then have one winner); a deposit is drawn on here; the uses of a campaign with
limits or a budget are counted here, in the words of a coupon. Its changes are embedded: they run in the engine's
transaction, so they are idempotent by construction and never unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from gateway.domain.errors import NotSupported
from gateway.domain.outcomes import Change, Declined, DeclineReason, Done
from gateway.domain.traits import Traits
from gateway.engine.seams import Effect
from gateway.store import holds, uses
from gateway.store.port import Tx

#: The name under which a leg refers to this connection.
OWN = "gateway"


_DEPOSIT = """
SELECT amount, refunded_amount FROM sagas
WHERE id = :id AND merchant = :merchant AND kind = 'deposit' AND state = 'completed'
"""
#: A capture is only refunded once it is known to have happened.
_REFUNDED = "SELECT key FROM ops WHERE saga_id = :saga AND leg = :leg AND hook = 'payment_refund'"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class OwnLedger:
    """Soft holds, as an embedded connection."""

    embedded = True
    name = adapter_name = OWN

    def has(self, hook: str) -> bool:
        return hook in _HOOKS

    def traits(self, hook: str) -> Traits:
        return Traits(idempotent=True)

    def change(self, effect: Effect, tx: Tx, now: int) -> Change:
        """Run one change in this transaction. Raises ``NotSupported`` for a hook it does not have."""
        hook = effect.todo.hook
        if hook not in _HOOKS:
            raise NotSupported(f"the gateway's own ledger has no {hook}")
        return _HOOKS[hook](effect, tx, now)


def _row(effect: Effect, kind: str, item: str, quantity: int, now: int, **more: Any) -> dict[str, Any]:
    return {
        "merchant": effect.merchant,
        "saga_id": effect.op.saga_id,
        "kind": kind,
        "store_id": effect.params.get("store_id", ""),
        "item": item,
        "quantity": quantity,
        "starts": 0,
        "ends": 0,
        "expires": 0,
        "now": now,
        **more,
    }


def _reserve_stock(effect: Effect, tx: Tx, now: int) -> Change:
    """All or nothing: the engine's transaction rolls back what a refused checkout took."""
    limits = effect.params.get("limits", {})
    for item in effect.request.items:
        quantity = int(item.quantity * 1000)
        limit = limits.get(item.sku)
        if limit is None:
            continue
        if not holds.take_count(tx, _row(effect, "stock", item.sku, quantity, now), limit["available"], limit["as_of"]):
            _cancel_stock(effect, tx, now)
            return Declined(reason=DeclineReason.OUT_OF_STOCK, code="soft-hold", message=item.sku)
    for slot in effect.request.slots:
        row = _row(
            effect, "slot", slot.resource_id, 1, now, starts=_milliseconds(slot.start), ends=_milliseconds(slot.end)
        )
        if not holds.take_slot(tx, row):
            _cancel_stock(effect, tx, now)
            return Declined(reason=DeclineReason.SLOT_TAKEN, code="soft-hold", message=slot.resource_id)
    return Done(ref=effect.op.key)


def _move(effect: Effect, tx: Tx, now: int, kinds: tuple[str, ...], state: str) -> Change:
    for kind in kinds:
        holds.move(tx, effect.merchant, effect.op.saga_id, kind, state, now)
    return Done(ref=effect.op.key)


def _confirm_stock(effect: Effect, tx: Tx, now: int) -> Change:
    return _move(effect, tx, now, ("stock", "slot"), "used")


def _cancel_stock(effect: Effect, tx: Tx, now: int) -> Change:
    return _move(effect, tx, now, ("stock", "slot"), "released")


def _return_stock(effect: Effect, tx: Tx, now: int) -> Change:
    """A refund gives back some goods, or a room, of the sale that holds them; an undo gives back all."""
    saga_id = effect.params.get("held_by")
    if saga_id is None:
        return _cancel_stock(effect, tx, now)
    for item in effect.request.items:
        holds.give_back(tx, effect.merchant, saga_id, "stock", item.sku, int(item.quantity * 1000), now)
    for slot in effect.request.slots:
        holds.free_slot(tx, effect.merchant, saga_id, slot.resource_id, _milliseconds(slot.start), now)
    return Done(ref=effect.op.key)


def _lock_coupon(effect: Effect, tx: Tx, now: int) -> Change:
    if "campaign" in effect.params:
        return _hold_use(effect, tx, now)
    row = _row(effect, "coupon", effect.params["code"], effect.params["count"], now)
    if holds.take_count(tx, row, effect.params["available"], effect.params["as_of"]):
        return Done(ref=effect.op.key)
    return Declined(reason=DeclineReason.COUPON_EXHAUSTED, code="soft-hold")


def _use_coupon(effect: Effect, tx: Tx, now: int) -> Change:
    """Still locked for whoever looked at the code before it was used up."""
    if "campaign" in effect.params:
        uses.confirm(tx, effect.merchant, effect.params["campaign"], effect.op.saga_id, now)
        return Done(ref=effect.op.key)
    holds.use(tx, effect.merchant, effect.op.saga_id, "coupon", effect.params["code"], now)
    return Done(ref=effect.op.key)


def _unlock_coupon(effect: Effect, tx: Tx, now: int) -> Change:
    if "campaign" in effect.params:
        return _give_use_back(effect, tx, now)
    params = effect.params
    holds.give_back(tx, effect.merchant, effect.op.saga_id, "coupon", params["code"], params["count"], now)
    return Done(ref=effect.op.key)


def _hold_use(effect: Effect, tx: Tx, now: int) -> Change:
    """Count one more use of a campaign, if its limits and its budget still cover it."""
    params = effect.params
    use = {name: params[name] for name in ("campaign", "version", "member", "business_date", "times")}
    use |= {"merchant": effect.merchant, "saga_id": effect.op.saga_id, "amount": params["worth_amount"]}
    try:
        uses.hold(tx, use, params["limits"], now)
    except uses.Overrun as overrun:
        message = f"{params['campaign']}: its limit is reached ({overrun.args[0]})"
        return Declined(reason=DeclineReason.LIMIT_EXCEEDED, code="limit", message=message)
    return Done(ref=effect.op.key)


def _give_use_back(effect: Effect, tx: Tx, now: int) -> Change:
    """All of it, where a checkout is undone; what a refund says, where a sale is returned."""
    params = effect.params
    saga_id, amount = params.get("held_by", effect.op.saga_id), params.get("back_amount", 0)
    whole = params.get("whole", True)
    uses.give_back(tx, effect.merchant, params["campaign"], saga_id, now, amount=amount, whole=whole)
    return Done(ref=effect.op.key)


def _draw_deposit(effect: Effect, tx: Tx, now: int) -> Change:
    """Draw on what the deposit holds *now*: others may draw on it, or it may be given back, at the same time."""
    row = {**_row(effect, "deposit", effect.params["account"], effect.params["amount"], now), "store_id": ""}
    tx.lock(holds.lock_name(row))
    deposit = tx.one(_DEPOSIT, {"id": effect.params["account"], "merchant": effect.merchant})
    left = deposit["amount"] - deposit["refunded_amount"] if deposit is not None else 0
    if holds.take_count(tx, row, left, 0):
        return Done(ref=effect.params["account"], amount=effect.params["amount"])
    return Declined(reason=DeclineReason.INSUFFICIENT_FUNDS, code="deposit", message="the deposit does not cover this")


def _confirm_deposit(effect: Effect, tx: Tx, now: int) -> Change:
    holds.use(tx, effect.merchant, effect.op.saga_id, "deposit", effect.params["account"], now)
    return Done(ref=effect.op.key)


def _return_deposit(effect: Effect, tx: Tx, now: int) -> Change:
    """What was captured and refunded went back to the customer: it is not held by the deposit any more."""
    if tx.one(_REFUNDED, {"saga": effect.op.saga_id, "leg": effect.params.get("lock_of", "")}):
        return _confirm_deposit(effect, tx, now)
    saga_id = effect.params.get("held_by", effect.op.saga_id)
    amount = int(effect.params["amount"])
    holds.give_back(tx, effect.merchant, saga_id, "deposit", effect.params["account"], amount, now)
    return Done(ref=effect.params["account"], amount=amount)


_HOOKS: dict[str, Callable[[Effect, Tx, int], Change]] = {
    "stock_reserve": _reserve_stock,
    "stock_confirm": _confirm_stock,
    "stock_cancel": _cancel_stock,
    "stock_return": _return_stock,
    "coupon_reserve": _lock_coupon,
    "coupon_confirm": _use_coupon,
    "coupon_cancel": _unlock_coupon,
    "coupon_restore": _unlock_coupon,
    "value_reserve": _draw_deposit,
    "value_confirm": _confirm_deposit,
    "value_cancel": _return_deposit,
    "value_return": _return_deposit,
}
