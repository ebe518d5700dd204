"""A whole checkout: the gateway's HTTP API, its engine, the real ticket system, and a wallet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.backoffice.reconcile import reconcile_day
from gateway.backoffice.sync import sync_products
from gateway.sdk.simulator import start
from plugins.alipay.simulator import AlipaySimulator
from plugins.pretix.cinema import Cinema
from tests.api.kit import Api, Gateway, paid_code
from tests.plugins.pretix.kit import TODAY, key
from tests.plugins.pretix.shop import write_shop

PHONE = "13812340000"


@pytest.fixture(scope="module")
def gold(cinema: Cinema) -> int:
    """A gold member, who pays 90 %; the number of the membership's type."""
    body = {"name": {"en": "Gold"}, "transferable": False, "allow_parallel_usage": True, "max_usages": None}
    number = int(cinema.api.post("membershiptypes/", body)["id"])
    who = {"email": f"{key().lower()}@example.org", "phone": f"+86{PHONE}", "locale": "en"}
    customer = cinema.api.post("customers/", {**who, "name_parts": {"_scheme": "full", "full_name": "王"}})
    now = datetime.now(UTC)
    cinema.api.post("memberships/", {
        "customer": customer["identifier"], "membership_type": number,
        "date_start": (now - timedelta(days=1)).isoformat(), "date_end": (now + timedelta(days=9)).isoformat(),
        "attendee_name_parts": {"_scheme": "full", "full_name": "王"},
    })  # fmt: skip
    return number


@pytest.fixture(scope="module")
def gateway(cinema: Cinema, gold: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    wallet = start(AlipaySimulator(folder / "alipay"))
    file = write_shop(folder, cinema, wallet, gold=gold)
    made = Gateway(Path(folder), create_app(file), {"alipay": wallet})
    sync_products(made.parts.engine, "screen")
    yield made
    made.stop()


def evening(cinema: Cinema, showing: str, **more: Any) -> dict[str, Any]:
    lines = [{"line_id": "1", "sku": cinema.sku(showing), "quantity": "2"}]
    return {"store_id": "screen-1", "order_no": key(), "lines": lines, **more}


def test_two_tickets_with_member_price_voucher_gift_card_and_wallet(gateway: Gateway, cinema: Cinema) -> None:
    """Two tickets at 45 yuan: 90 % for a gold member, 10 yuan off by a voucher, 30 by gift card, the rest by wallet."""
    api: Api = gateway.api("screen")
    voucher, card = cinema.voucher(), cinema.gift_card("30.00")
    tenders = [
        {"method": "gift_card", "code": card, "amount": 3000},
        {"method": "payment_code", "auth_code": paid_code()},
    ]
    member = {"type": "phone", "value": PHONE}
    request = evening(cinema, "one", member=member, coupons=[voucher], tenders=tenders)
    reply = api.post("…/checkouts", request)
    body = reply.get_json()
    assert (reply.status_code, body.get("status")) == (201, "completed"), body
    payable = body["quote"]["payable_amount"]
    assert payable == 9000 * 9 // 10 - 1000 or payable == (9000 - 1000) * 9 // 10
    assert body["tasks"] == []
    assert (cinema.left("one"), cinema.redeemed(voucher), cinema.balance(card)) == (3, 1, "0.00")
    order = next(row for row in cinema.orders() if row["api_meta"].get("order_no") == request["order_no"])
    assert (order["status"], order["total"]) == ("p", f"{payable / 100:.2f}")
    assert order["api_meta"]["tenders"][0][:2] == ["gift_card", 3000]

    refund = api.post(f"…/checkouts/{body['id']}/refunds", {"refund_no": key(), "reason": "不来了"})
    legs = [(leg["name"], leg["status"], leg.get("detail")) for leg in refund.get_json()["legs"]]
    assert (refund.status_code, refund.get_json()["status"]) == (201, "succeeded"), legs
    assert (cinema.left("one"), cinema.redeemed(voucher), cinema.balance(card)) == (5, 0, "30.00")


def test_the_last_ticket_is_refused_to_the_second_and_nothing_of_his_is_held(gateway: Gateway, cinema: Cinema) -> None:
    api: Api = gateway.api("screen")
    lines = [{"line_id": "1", "sku": cinema.sku("last2"), "quantity": "1"}]
    card = cinema.gift_card("45.00")
    first = api.post("…/checkouts", evening(cinema, "last2", lines=lines, tenders=[{"method": "cash"}]))
    assert first.status_code == 201, first.get_json()
    tenders = [{"method": "gift_card", "code": card}]
    second = api.post("…/checkouts", evening(cinema, "last2", lines=lines, tenders=tenders))
    assert second.status_code == 409, second.get_json()
    assert second.get_json()["type"].endswith("out-of-stock")
    assert (cinema.left("last2"), cinema.balance(card)) == (0, "45.00")


def test_the_day_is_reconciled_with_the_ticket_system_s_own_books(gateway: Gateway) -> None:
    """After an evening with a voucher, a gift card, tickets and a refund nothing differs, and nothing was skipped."""
    results = reconcile_day(gateway.parts.engine, "screen", TODAY)
    tickets = {result.hook: result for result in results if result.connection == "tickets"}
    assert {"order_statement", "coupon_statement"} <= tickets.keys()
    for name in ("order_statement", "coupon_statement"):
        found = tickets[name]
        assert not found.unavailable and found.rows >= 2, name
        assert found.differences == [], (name, [each.to_json() for each in found.differences])
        assert found.our_amount == found.their_amount
