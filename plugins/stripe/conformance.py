"""What the conformance suite must know of a processor of Stripe's kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from gateway.sdk import Method
from gateway.testing import Far, Profile, charge
from plugins.stripe.adapter import StripeAdapter
from plugins.stripe.protocol import read_object, read_webhook, signature
from plugins.stripe.simulator import SECRET_KEY, WEBHOOK_SECRET, StripeSimulator


class StripeProfile(Profile):
    """Customers' cards are tokens that the simulator makes."""

    adapter = StripeAdapter
    simulator = StripeSimulator
    faults: ClassVar[Mapping[str, int]] = {"rate_limited": 0}
    unchecked_secrets: ClassVar[Mapping[str, str]] = {
        "webhook_secret": "it verifies what comes in; no request carries it",
        "old_webhook_secret": "it verifies what comes in; no request carries it",
    }

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {
            "endpoint": far.address("api"),
            "secret_key": far.secret("secret_key", SECRET_KEY),
            "webhook_secret": far.secret("webhook_secret", WEBHOOK_SECRET),
            "timeout_s": 2.0,
        }

    def payment_charge(self, far: Far) -> Any:
        return _card(far)

    def notice_read(self, far: Far) -> Any:
        made = far.do("payment_charge", self.payment_charge(far))
        far.control("send_event", intent=made.ref, url=far.listener())
        return far.heard()

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "payment_charge":
            yield "insufficient_funds", _card(far, "insufficient_funds")
            yield "code_expired", _card(far, "expired_card")
            yield "declined", _card(far, "do_not_honor")
            yield "code_invalid", charge(far, method=Method.BANK_CARD, auth_code="pm_nobody")

    def trouble(self, far: Far, hook: str) -> Mapping[str, Any]:
        return {"asks the customer": _card(far, "action")} if hook == "payment_charge" else {}

    def parsers(self) -> Iterable[tuple[Any, bytes]]:
        yield read_object, b'{"id": "pi_1", "amount": 1200}'
        body = b'{"type": "x", "data": {"object": {}}}'
        header = signature("s", 1000, body)
        yield lambda raw: read_webhook(header, raw, ["s"], 1000), body
        yield lambda raw: read_webhook(raw.decode("latin-1"), body, ["s"], 1000), header.encode()

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return dict(books["net"])


def _card(far: Far, does: str = "") -> Any:
    token = far.control("make_method", does=does)["payment_method"]
    return charge(far, method=Method.BANK_CARD, auth_code=token)
