"""Webhook endpoints."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import ValidationError, fields

from schemas.fields import FreeText, Listed, Moment, Request, Resource, Text, Whole, Word
from schemas.lists import Page

#: Every type of event; ``family.*`` stands for all of a family.
EVENT_TYPES = (
    *(
        f"checkout.{word}"
        for word in (
            "accepted",
            "awaiting_customer",
            "completed",
            "failed",
            "cancelled",
            "needs_attention",
            "late_payment_refunded",
        )
    ),
    "refund.succeeded",
    "reservation.expired",
    *(f"coupon.{word}" for word in ("issued", "redeemed", "reversed", "expired")),
    *(f"member.{word}" for word in ("enrolled", "merged")),
    "points.changed",
    *(f"stock.{word}" for word in ("changed", "sold_out")),
    *(f"task.{word}" for word in ("opened", "resolved")),
    *(f"connection.{word}" for word in ("down", "up")),
    "settlement.issued",
    "reconciliation.closed",
)
FAMILIES = tuple(dict.fromkeys(kind.partition(".")[0] for kind in (*EVENT_TYPES, "payment.", "deposit.", "transfer.")))


class WebhookRequest(Request):
    """Where events are to be sent."""

    example: ClassVar[dict[str, Any]] = {
        "url": "https://platform.example/hooks/gateway",
        "event_types": ["checkout.*", "refund.succeeded"],
    }

    url = Text(1, 2048, required=True, metadata={"description": "https on port 443 or 8443 of a public host"})
    description = FreeText(0, 200)
    merchants = Listed(
        Text(),
        1,
        200,
        metadata={"description": "whose events; those that the key sees, if left out", "uniqueItems": True},
    )
    event_types = Listed(
        Word(*EVENT_TYPES, *(f"{family}.*" for family in FAMILIES)),
        1,
        50,
        metadata={"description": "which events; all if left out", "uniqueItems": True},
    )

    def across(self, data: dict[str, Any]) -> None:
        for name in ("merchants", "event_types"):
            if len(set(data.get(name, ()))) != len(data.get(name, ())):
                raise ValidationError("must name each once", name)


class WebhookEndpoint(Resource):
    """An endpoint. `pending_count` events are still to be delivered, `dead_count` have been given up."""

    id = Text(required=True)
    url = Text(1, 2048, required=True)
    description = Text(0, 200, required=True)
    merchants = fields.List(Text(), required=True, metadata={"description": '`["*"]`: every merchant'})
    event_types = fields.List(Text(), required=True, metadata={"description": "`[]`: all"})
    status = Word("enabled", "disabled", required=True)
    reason = Text(0, 200, required=True, metadata={"description": "why it is disabled"})
    pending_count = Whole(0, 1 << 53, required=True)
    dead_count = Whole(0, 1 << 53, required=True)
    created_at = Moment(required=True)
    previous_secret_until = Moment(metadata={"description": "until then the secret before this one signs too"})


class WebhookSecret(WebhookEndpoint):
    """An endpoint with its secret, which is shown here and never again."""

    secret = Text(required=True, metadata={"description": "`whsec_…`, as Standard Webhooks has it"})


class WebhookDeleted(Resource):
    """What was removed."""

    id = Text(required=True)
    deleted = fields.Boolean(required=True)


class WebhookList(Page):
    """Endpoints, newest first."""

    data = fields.List(fields.Nested(WebhookEndpoint), required=True)
