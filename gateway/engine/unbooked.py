"""A sale that is given back before the till has booked it: the return waits, and is booked right after the sale.

A till that is down, or that takes its sales from a file at night, hears of a sale long after the customer has paid.
A return that came first would name a sale that nobody knows; one that never came would leave the day's books wrong.
"""

from __future__ import annotations

from gateway.engine.model import Kind, Leg, Op, OpState, Phase, Saga
from gateway.engine.records import op_from, original_of
from gateway.store import journal as sql
from gateway.store.port import Tx

#: The leg and the hook that book a sale.
LEG, HOOK = "order", "order_post"


def waits(saga: Saga, leg: Leg) -> bool:
    """Whether this is the return of a sale that is not booked yet, as far as is known."""
    return bool(leg.params.get("after_sale")) and "booked" not in saga.progress


def needless(saga: Saga, phase: Phase, op: Op | None) -> bool:
    """Whether all of a sale was given back before this got there: rewards are not given then; the sale is booked all
    the same (and then its return), unless a person says that it is not in the till."""
    if not saga.refunded >= saga.amount > 0:
        return False
    if phase is Phase.REWARD:
        return op is None or op.state in (OpState.NOT_SENT, OpState.GONE)
    return op is not None and op.state is OpState.GONE and bool(op.outcome.get("by_hand"))


def look_at_sale(tx: Tx, saga: Saga) -> None:
    """Note how the sale was booked that a refund's return waits for, once it was."""
    if saga.kind is not Kind.REFUND or not any(waits(saga, leg) for leg in saga.legs()):
        return
    tx.lock(_name(saga.parent))
    booked = next((op for op in map(op_from, sql.ops(tx, saga.parent)) if _books(op)), None)
    if booked is not None:
        saga.progress["booked"] = original_of(booked)


def tell_refunds(tx: Tx, saga: Saga, ops: list[Op], now: int) -> None:
    """The sale has just been booked: refunds that wait for it are due. Asked of checkouts that had ended before."""
    if saga.kind is Kind.CHECKOUT and any(op.dirty and _books(op) for op in ops):
        tx.lock(_name(saga.id))
        tx.execute(_DUE, {"parent": saga.id, "kind": Kind.REFUND.value, "now": now})


def _books(op: Op) -> bool:
    return (op.leg, op.hook, op.state) == (LEG, HOOK, OpState.OK)


def _name(checkout_id: str) -> str:
    return f"sale:{checkout_id}"


_DUE = "UPDATE sagas SET due_at = :now WHERE parent = :parent AND parent <> '' AND kind = :kind"
