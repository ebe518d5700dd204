"""Builds the request of any hook from a saga's own record, so that a crash loses nothing that can be built again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.domain.common import Query, Step
from gateway.engine.model import Leg, Op, Saga
from gateway.engine.requests.coupons import Coupons
from gateway.engine.requests.membership import Membership
from gateway.engine.requests.orders import Orders
from gateway.engine.requests.parts import SecretGone, moment, site_from, tenders_of
from gateway.engine.requests.payments import Payments
from gateway.engine.requests.stock import Stock
from gateway.engine.seams import Secrets


def expected_amount(saga: Saga, leg: Leg, hook: str) -> int | None:
    """What a change of this leg must come back with, in minor units, where it moves money or value."""
    amount = leg.params.get("amount")
    return int(amount) if amount is not None else None


def build_query(saga: Saga, leg: Leg, op: Op, ops: Sequence[Op], now: int) -> Query:
    """Ask about an operation: with the request it was sent with, but for a payment code."""
    return Query(
        hook=op.hook,
        key=op.key,
        request=_Build(saga, leg, ops, None, now).request(op.hook),
        sent_at=moment(op.first_sent),
        ref=op.ref,
        facts=op.facts,
        steps=tuple(Step(name=s["name"], ref=s["ref"], done=s["done"]) for s in op.steps),
    )


def build_request(saga: Saga, leg: Leg, hook: str, ops: Sequence[Op], secrets: Secrets, now: int) -> Any:
    """The request of a change. Raises ``SecretGone`` for a payment code that nobody has any more."""
    return _Build(saga, leg, ops, secrets, now).request(hook)


class _Build(Payments, Membership, Coupons, Stock, Orders):
    """The builders of all families."""

    def request(self, hook: str) -> Any:
        return _BUILDERS[hook](self)


_BUILDERS: dict[str, Callable[[_Build], Any]] = {
    "payment_charge": _Build.charge,
    "payment_authorize": _Build.authorize,
    "payment_reverse": _Build.reverse,
    "payment_refund": _Build.refund,
    "payment_capture": _Build.capture,
    "payment_release": _Build.release,
    "points_reserve": _Build.points_reserve,
    "points_confirm": _Build.points_held,
    "points_cancel": _Build.points_held,
    "points_return": _Build.points_return,
    "points_earn": _Build.points_earn,
    "points_revoke": _Build.points_revoke,
    "value_reserve": _Build.value_reserve,
    "value_confirm": _Build.value_held,
    "value_cancel": _Build.value_held,
    "value_return": _Build.value_return,
    "coupon_reserve": _Build.coupon_use,
    "coupon_redeem": _Build.coupon_use,
    "coupon_confirm": _Build.coupon_held,
    "coupon_cancel": _Build.coupon_held,
    "coupon_restore": _Build.coupon_restore,
    "reward_send": _Build.reward_send,
    "reward_revoke": _Build.reward_revoke,
    "stock_reserve": _Build.stock_reserve,
    "stock_confirm": _Build.stock_held,
    "stock_cancel": _Build.stock_held,
    "stock_return": _Build.stock_return,
    "bill_hold": _Build.bill_hold,
    "bill_release": _Build.bill_release,
    "order_post": _Build.order_post,
    "order_void": _Build.order_void,
    "order_return": _Build.order_return,
    "deposit_post": _Build.deposit_post,
    "deposit_void": _Build.deposit_void,
    "session_open": _Build.session_open,
    "session_extend": _Build.session_extend,
    "session_close": _Build.session_close,
}

__all__ = [
    "SecretGone",
    "build_query",
    "build_request",
    "expected_amount",
    "site_from",
    "tenders_of",
]
