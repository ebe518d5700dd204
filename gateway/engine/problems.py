"""What the platform is told when something is refused: a slug, a status, a text that says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.domain.errors import GatewayError

#: Every problem of the API: slug → (status, title). The page ``/problems/<slug>`` explains it.
PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed-json": (400, "The body is not valid JSON"),
    "idempotency-key-missing": (400, "Idempotency-Key is missing"),
    "idempotency-key-invalid": (400, "Idempotency-Key is malformed"),
    "invalid-credentials": (401, "The credentials are missing or wrong"),
    "invalid-signature": (401, "The message signature does not verify"),
    "signature-expired": (401, "The message signature is too old or from the future"),
    "replayed-request": (401, "This signed request was seen before"),
    "key-revoked": (401, "The key has been revoked"),
    "payment-declined": (402, "The payment was declined"),
    "insufficient-scope": (403, "The key lacks a scope"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "The method is not allowed here"),
    "out-of-stock": (409, "Not enough stock"),
    "slot-taken": (409, "The room, table or seat is taken"),
    "coupon-exhausted": (409, "The coupon is used up"),
    "insufficient-points": (409, "Not enough points"),
    "insufficient-stored-value": (409, "Not enough stored value"),
    "price-changed": (409, "The price has changed"),
    "bill-changed": (409, "The bill in the till has changed"),
    "quote-expired": (409, "The quote has expired"),
    "checkout-failed": (409, "The checkout failed and was undone"),
    "request-in-progress": (409, "The request is still being worked on"),
    "duplicate-order": (409, "The order number has been used"),
    "invalid-state": (409, "The state does not allow this"),
    "body-too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body must be application/json"),
    "unsupported-encoding": (415, "The content encoding is not supported"),
    "validation-error": (422, "The request does not validate"),
    "unknown-field": (422, "The request has a field that does not exist"),
    "coupon-not-applicable": (422, "The coupon cannot be used here"),
    "tenders-mismatch": (422, "The tenders do not add up"),
    "payment-code-unrecognised": (422, "The payment code is of no known kind"),
    "refund-exceeds-paid": (422, "More is asked back than was paid"),
    "idempotency-key-reused": (422, "The Idempotency-Key was used for another request"),
    "card-data-rejected": (422, "Card data must not be sent"),
    "webhook-url-forbidden": (422, "The webhook address is not allowed"),
    "rate-limited": (429, "Too many requests"),
    "internal-error": (500, "Something went wrong on our side"),
    "adapter-unavailable": (503, "A merchant's system cannot be reached"),
    "storage-full": (503, "The gateway's disk is full"),
    "storage-busy": (503, "The gateway's database is busy"),
}


class Problem(GatewayError):
    """A refusal, as RFC 9457 has it.

    ``errors`` are ``{pointer, detail}`` for a body that does not validate; ``extra`` are further members of the problem
    document (``checkout_id``, ``location``, ``quote``); ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        slug: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        extra: dict[str, Any] | None = None,
        location: str = "",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail or slug)
        self.slug = slug
        self.status, self.title = PROBLEMS[slug]
        self.detail = detail or self.title
        self.errors = list(errors)
        self.extra = extra or {}
        self.location = location
        self.retry_after = retry_after


def invalid(pointer: str, detail: str, slug: str = "validation-error") -> Problem:
    """One field is wrong; ``pointer`` is a JSON pointer into the body."""
    return Problem(slug, detail, errors=[{"pointer": pointer, "detail": detail}])
