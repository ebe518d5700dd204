"""Webhook endpoints: where a platform wants to be told of events."""

from __future__ import annotations

from gateway.api.lists import cursor_of, cursor_position, page
from gateway.api.operation import Ask, operation
from gateway.api.owned import need_id
from gateway.engine.model import Json
from gateway.engine.problems import invalid
from gateway.engine.replies import Reply
from schemas.lists import PageQuery
from schemas.webhooks import WebhookDeleted, WebhookEndpoint, WebhookList, WebhookRequest, WebhookSecret

_SCOPES = ("webhook:write",)


@operation(
    "POST",
    "/v1/webhook-endpoints",
    body=WebhookRequest,
    returns={201: WebhookSecret},
    scopes=_SCOPES,
    idempotent=True,
    problems=("webhook-url-forbidden",),
)
def create_webhook_endpoint(ask: Ask) -> Reply:
    """Have events sent to an address, from now on, signed as Standard Webhooks has it.

    The secret is in this reply and in no other; one that is lost is rotated.
    """
    ask.need_room()
    for index, merchant in enumerate(ask.body.get("merchants", ())):
        if not ask.sees(merchant):
            raise invalid(f"/merchants/{index}", "no such merchant")
    return ask.parts.endpoints.create(ask.who, ask.change, ask.body)


@operation("GET", "/v1/webhook-endpoints", query=PageQuery, returns={200: WebhookList}, scopes=_SCOPES)
def list_webhook_endpoints(ask: Ask) -> Json:
    """Endpoints of the merchants that this key sees, newest first."""
    limit = ask.query["limit"]
    found = ask.parts.endpoints.all(ask.who, cursor_position(ask.query, "whe_"), limit + 1)
    return page(found, limit, lambda item: cursor_of(item["id"]))


@operation("GET", "/v1/webhook-endpoints/<endpoint_id>", returns={200: WebhookEndpoint}, scopes=_SCOPES)
def read_webhook_endpoint(ask: Ask) -> Json:
    """One endpoint, without its secret."""
    need_id(ask.ids["endpoint_id"], "webhook endpoint")
    return ask.parts.endpoints.get(ask.who, ask.ids["endpoint_id"])


@operation("DELETE", "/v1/webhook-endpoints/<endpoint_id>", returns={200: WebhookDeleted}, scopes=_SCOPES)
def delete_webhook_endpoint(ask: Ask) -> Json:
    """Remove an endpoint; what it has not been told yet is in the feed."""
    need_id(ask.ids["endpoint_id"], "webhook endpoint")
    ask.parts.endpoints.delete(ask.who, ask.ids["endpoint_id"])
    return {"id": ask.ids["endpoint_id"], "deleted": True}


@operation(
    "POST",
    "/v1/webhook-endpoints/<endpoint_id>/rotate-secret",
    returns={200: WebhookSecret},
    scopes=_SCOPES,
    idempotent=True,
)
def rotate_webhook_secret(ask: Ask) -> Reply:
    """Give an endpoint a new secret. For a day each message is signed with both; rotating twice ends the old one."""
    need_id(ask.ids["endpoint_id"], "webhook endpoint")
    return ask.parts.endpoints.rotate(ask.who, ask.change, ask.ids["endpoint_id"])
