"""The requests that are measured: checkouts of several kinds, and what their peers are sent."""

from __future__ import annotations

import random
import uuid
from typing import Any

from benchmarks.load import Request, json_bytes
from benchmarks.shop import LAST, MEMBERS, SKUS

PATH = "/v1/merchants/m1/checkouts"


def _posted(key: str, number: str, body: dict[str, Any], path: str = PATH) -> tuple[str, bytes, dict[str, str]]:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": number, "Content-Type": "application/json"}
    return path, json_bytes(body), headers


def _phone(draw: random.Random) -> dict[str, str]:
    return {"type": "phone", "value": f"139{draw.randrange(MEMBERS):08d}"}


def checkout(key: str, *, wallet: bool, hot: bool = False, seed: int = 1) -> Request:
    """An order of three lines with member rate, 满减, points used and earned, stock, the till, stored value, a tender.

    The rest is paid in cash or, with ``wallet``, by a payment code: one ``seed`` draws the same codes again, and a code
    can be used once.
    """
    draw = random.Random(seed)
    run_id = uuid.uuid4().hex[:8]

    def request(n: int) -> tuple[str, bytes, dict[str, str]]:
        skus = [0, 0, 0] if hot else draw.sample(range(SKUS), 3)
        code = f"28{draw.randrange(10**12):012d}{draw.randrange(8999):04d}"
        tender = {"method": "payment_code", "auth_code": code} if wallet else {"method": "cash"}
        body = {
            "store_id": "s1",
            "order_no": f"{run_id}-{n}",
            "lines": [{"sku": f"S{sku:04d}", "quantity": "1"} for sku in skus],
            "member": _phone(draw),
            "points": 100,
            "tenders": [{"method": "stored_value", "amount": 5000}, tender],
        }
        return _posted(key, f"{run_id}-{n}", body)

    return request


def last_pieces(key: str) -> Request:
    """Everybody wants one of the few pieces that are left."""

    def request(n: int) -> tuple[str, bytes, dict[str, str]]:
        lines = [{"sku": LAST, "quantity": "1"}]
        body = {"store_id": "s1", "order_no": f"last-{n}", "lines": lines, "tenders": [{"method": "cash"}]}
        return _posted(key, f"last-{n}", body)

    return request


def far_checkout(key: str) -> Request:
    """A coupon, points and goods in three far systems: held side by side, then confirmed side by side."""
    run_id = uuid.uuid4().hex[:8]

    def request(n: int) -> tuple[str, bytes, dict[str, str]]:
        body = {
            "store_id": "s1",
            "order_no": f"{run_id}-{n}",
            "lines": [{"sku": "S0001", "quantity": "1"}],
            "member": {"type": "phone", "value": "13900000000"},
            "coupons": [f"C{n}"],
            "points": 100,
            "tenders": [{"method": "cash"}],
        }
        return _posted(key, f"{run_id}-{n}", body)

    return request


def lookup(key: str) -> Request:
    """One call of an adapter, and nothing else: a member is looked up in a far system."""

    def request(n: int) -> tuple[str, bytes, dict[str, str]]:
        return _posted(key, "", {"type": "phone", "value": f"139{n:08d}"}, "/v1/merchants/m1/members/lookup")

    return request


def forwarded() -> Request:
    """The same look-up for the proxy."""

    def request(n: int) -> tuple[str, bytes, dict[str, str]]:
        body = {"type": "phone", "value": f"139{n:08d}"}
        return "/pass", json_bytes(body), {"Content-Type": "application/json"}

    return request


def plain() -> Request:
    """An order for the bare Flask route."""

    def request(n: int) -> tuple[str, bytes, dict[str, str]]:
        body = {"order_no": f"o{n}", "lines": [{"sku": "A", "quantity": "1"}] * 3}
        return "/echo", json_bytes(body), {"Content-Type": "application/json"}

    return request
