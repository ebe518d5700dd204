"""The hook specs: what an adapter may implement, family by family. Nothing else lives here.

Rules common to all domain hooks

- They are ``firstresult`` and are called through a relay that holds exactly one adapter. ``request`` is frozen.
- A hook that changes the outside world also takes ``call`` (:class:`gateway.domain.call.Call`) and returns ``Done``,
  ``Declined`` or ``Pending``. ``None`` from such a hook is a bug of the plugin (``PluginError``: unknown).
- Trouble is an exception of :mod:`gateway.domain.errors`: ``NotSent`` only if provably nothing left us (after a
  ``call.step`` that was answered it counts as unknown);
  ``OutcomeUnknown`` for everything else that went wrong on the way. Any other exception counts as unknown.
- Idempotency: the engine sends the same ``call.key`` again only if the adapter declares the hook ``idempotent`` (the
  far system itself acts once on a key, whoever sends it), if it was not sent, or if the family's query hook did not
  find it. With ``call.attempt > 1`` look before you send; that alone does not make a hook ``idempotent``.
- A query returns ``Done``, ``Declined``, ``Pending`` or ``NotFound``; it changes nothing and may be asked at any time.
- Amounts are integers in minor units; times carry an offset; quantities are ``Decimal`` with at most three places.
"""

from __future__ import annotations

from gateway.hookspecs.coupons import CouponHooks
from gateway.hookspecs.marker import PROJECT, hookimpl, hookspec
from gateway.hookspecs.membership import MembershipHooks
from gateway.hookspecs.messages import MessageHooks, NoticeHooks
from gateway.hookspecs.orders import OrderHooks
from gateway.hookspecs.payments import PaymentHooks
from gateway.hookspecs.process import ProcessHooks
from gateway.hookspecs.stock import StockHooks

#: The families of domain hooks and the class that holds each one's specs.
FAMILIES: dict[str, type] = {
    "payments": PaymentHooks,
    "membership": MembershipHooks,
    "coupons": CouponHooks,
    "stock": StockHooks,
    "orders": OrderHooks,
    "messages": MessageHooks,
    "notices": NoticeHooks,
}

#: The hook that answers for a family's changes after a time-out.
QUERY_HOOKS: dict[str, str] = {
    "payments": "payment_query",
    "membership": "member_query",
    "coupons": "coupon_query",
    "stock": "stock_query",
    "orders": "order_query",
}

#: A change and its undo.
UNDO_HOOKS: dict[str, str] = {
    "payment_charge": "payment_reverse",
    "payment_authorize": "payment_release",
    "payment_share": "payment_share_return",
    "member_merge": "member_unmerge",
    "points_reserve": "points_cancel",
    "points_confirm": "points_return",
    "points_earn": "points_revoke",
    "value_reserve": "value_cancel",
    "value_confirm": "value_return",
    "value_topup": "value_untopup",
    "coupon_issue": "coupon_void",
    "coupon_reserve": "coupon_cancel",
    "coupon_confirm": "coupon_restore",
    "coupon_redeem": "coupon_restore",
    "reward_send": "reward_revoke",
    "stock_reserve": "stock_cancel",
    "stock_confirm": "stock_return",
    "bill_hold": "bill_release",
    "order_post": "order_void",
    "deposit_post": "deposit_void",
    "session_open": "session_close",
}


def hook_names(family: str) -> tuple[str, ...]:
    """The hooks of a family, in the order of its page."""
    return tuple(name for name in vars(FAMILIES[family]) if not name.startswith("_"))


#: The family of each domain hook.
FAMILY_OF: dict[str, str] = {hook: family for family in FAMILIES for hook in hook_names(family)}

__all__ = [
    "FAMILIES",
    "FAMILY_OF",
    "PROJECT",
    "QUERY_HOOKS",
    "UNDO_HOOKS",
    "ProcessHooks",
    "hook_names",
    "hookimpl",
    "hookspec",
]
