"""Deposits: money held for a room or a booking."""

from __future__ import annotations

from gateway.api.operation import Ask, operation
from gateway.api.owned import need_saga
from gateway.engine.model import Json, Kind
from gateway.engine.replies import Reply
from schemas.deposits import Deposit, DepositRelease, DepositRequest


@operation(
    "POST",
    "…/deposits",
    body=DepositRequest,
    returns={201: Deposit, 202: Deposit},
    scopes=("payment:write",),
    idempotent=True,
    problems=(
        "payment-declined",
        "payment-code-unrecognised",
        "checkout-failed",
        "duplicate-order",
        "adapter-unavailable",
        "storage-full",
    ),
)
def create_deposit(ask: Ask) -> Reply:
    """Hold an amount; checkouts draw on it by a tender ``deposit``, the rest is released."""
    ask.need_room()
    ask.need_store(ask.body["store_id"], "/store_id")
    ask.terminal(ask.body["tender"])
    return ask.parts.deposits.create(ask.change, ask.body)


@operation("GET", "…/deposits/<deposit_id>", returns={200: Deposit}, scopes=("checkout:read",))
def read_deposit(ask: Ask) -> Json:
    """One deposit as it stands now."""
    need_saga(ask, Kind.DEPOSIT, ask.ids["deposit_id"])
    return ask.parts.deposits.get(ask.merchant_id, ask.ids["deposit_id"])


@operation(
    "POST",
    "…/deposits/<deposit_id>/release",
    returns={201: DepositRelease, 202: DepositRelease},
    scopes=("payment:write",),
    idempotent=True,
    problems=("invalid-state", "adapter-unavailable", "storage-full"),
)
def release_deposit(ask: Ask) -> Reply:
    """Give back what no checkout has drawn on."""
    ask.need_room()
    need_saga(ask, Kind.DEPOSIT, ask.ids["deposit_id"])
    return ask.parts.deposits.release(ask.change, ask.ids["deposit_id"])
