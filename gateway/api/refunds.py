"""Refunds of checkouts."""

from __future__ import annotations

from gateway.api.operation import Ask, operation
from gateway.api.owned import need_saga
from gateway.engine.model import Json, Kind
from gateway.engine.replies import Reply
from schemas.refunds import Refund, RefundPreview, RefundPreviewRequest, RefundRequest


@operation(
    "POST",
    "…/checkouts/<checkout_id>/refunds/preview",
    body=RefundPreviewRequest,
    returns={200: RefundPreview},
    scopes=("checkout:read",),
    problems=("invalid-state", "refund-exceeds-paid"),
    guess="refund",
)
def preview_refund(ask: Ask) -> Json:
    """What each system would give back. Changes nothing."""
    need_saga(ask, Kind.CHECKOUT, ask.ids["checkout_id"])
    return ask.parts.refunds.preview(ask.merchant_id, ask.ids["checkout_id"], ask.body)


@operation(
    "POST",
    "…/checkouts/<checkout_id>/refunds",
    body=RefundRequest,
    returns={201: Refund, 202: Refund},
    scopes=("refund:write",),
    idempotent=True,
    problems=("invalid-state", "refund-exceeds-paid", "duplicate-order", "adapter-unavailable", "storage-full"),
    guess="refund",
)
def create_refund(ask: Ask) -> Reply:
    """Give back lines, units or an amount, over every asset and every system, in the amounts of the sale."""
    ask.need_room()
    need_saga(ask, Kind.CHECKOUT, ask.ids["checkout_id"])
    return ask.parts.refunds.create(ask.change, ask.ids["checkout_id"], ask.body)


@operation("GET", "…/refunds/<refund_id>", returns={200: Refund}, scopes=("checkout:read",))
def read_refund(ask: Ask) -> Json:
    """One refund as it stands now."""
    need_saga(ask, Kind.REFUND, ask.ids["refund_id"])
    return ask.parts.refunds.get(ask.merchant_id, ask.ids["refund_id"])
