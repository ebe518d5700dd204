"""Gateways in processes of their own before the real ticket system: races between two, and pretix calling back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import requests

from gateway.sdk.simulator import Running, start
from plugins.alipay.simulator import AlipaySimulator
from plugins.pretix.cinema import Cinema
from plugins.pretix.ground import Pretix
from plugins.pretix.protocol import order_code
from tests.plugins.pretix.kit import key
from tests.plugins.pretix.shop import Counter, counter

#: What pretix has on record of its calls.
_CALLS = """
SELECT c.action_type, c.return_code, c.payload FROM pretixapi_webhookcall c WHERE c.target_url = %s ORDER BY c.id
"""


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(AlipaySimulator(tmp_path_factory.mktemp("alipay")))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def two(cinema: Cinema, wallet: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Counter, Counter]]:
    folder = tmp_path_factory.mktemp("counters")
    with counter(folder / "a", cinema, wallet) as a, counter(folder / "b", cinema, wallet) as b:
        yield a, b


def basket(cinema: Cinema, showing: str, **more: Any) -> dict[str, Any]:
    lines = [{"line_id": "1", "sku": cinema.sku(showing), "quantity": "1"}]
    return {"store_id": "screen-1", "order_no": key(), "lines": lines, "tenders": [{"method": "cash"}], **more}


def race(two: tuple[Counter, Counter], bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All at once, by turns at both counters; what each came to in the end."""

    def one(number: int) -> dict[str, Any]:
        chosen = two[number % 2]
        return chosen.ended(chosen.post("/checkouts", bodies[number]))

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(one, range(len(bodies))))


def sold(cinema: Cinema, bodies: list[dict[str, Any]]) -> list[str]:
    """The orders at the ticket system that are about these checkouts."""
    numbers = {body["order_no"] for body in bodies}
    return [
        row["api_meta"]["order_no"]
        for row in cinema.orders()
        if row["status"] == "p" and row["api_meta"].get("order_no") in numbers
    ]


def test_two_gateways_sell_no_seat_twice(two: tuple[Counter, Counter], cinema: Cinema) -> None:
    """Ten buyers at two gateways want five seats: five have one, the others are told and pay nothing."""
    bodies = [basket(cinema, "one") for _ in range(10)]
    ends = race(two, bodies)
    done = [body["order_no"] for body, end in zip(bodies, ends, strict=True) if end.get("status") == "completed"]
    refused = [end for end in ends if str(end.get("type", "")).endswith("out-of-stock")]
    assert len(done) + len(refused) == 10, ends
    assert sorted(sold(cinema, bodies)) == sorted(done)
    assert (len(done), cinema.left("one")) == (5, 0)


def test_two_gateways_redeem_a_voucher_once(two: tuple[Counter, Counter], cinema: Cinema) -> None:
    voucher = cinema.voucher()
    bodies = [basket(cinema, "two", coupons=[voucher]) for _ in range(4)]
    ends = race(two, bodies)
    done = [body["order_no"] for body, end in zip(bodies, ends, strict=True) if end.get("status") == "completed"]
    assert len(done) == cinema.redeemed(voucher) == 1, ends
    assert sold(cinema, bodies) == done
    assert cinema.left("two") == 4, "what the others held is free again"


def test_two_gateways_spend_a_gift_card_once(two: tuple[Counter, Counter], cinema: Cinema) -> None:
    card = cinema.gift_card("50.00")
    bodies = [basket(cinema, "three", tenders=[{"method": "gift_card", "code": card}]) for _ in range(4)]
    ends = race(two, bodies)
    done = [body["order_no"] for body, end in zip(bodies, ends, strict=True) if end.get("status") == "completed"]
    assert len(done) == 1, ends
    assert (sold(cinema, bodies), cinema.balance(card), cinema.left("three")) == (done, "5.00", 4)


# -------------------------------------------------------------- pretix calls back


def hook(cinema: Cinema, at: Counter, *actions: str) -> None:
    cinema.api.post("webhooks/", {
        "enabled": True, "target_url": at.callback, "all_events": False, "limit_events": [cinema.event],
        "action_types": list(actions),
    })  # fmt: skip


def calls(pretix: Pretix, at: Counter, count: int) -> list[tuple[str, int, str]]:
    """What pretix has sent there and what it was answered; waits for so many."""
    until = time.monotonic() + 30
    while True:
        with psycopg.connect(pretix.database, autocommit=True) as database:
            found = [(row[0], int(row[1]), row[2]) for row in database.execute(_CALLS, [at.callback]).fetchall()]
        if len(found) >= count or time.monotonic() > until:
            return found
        time.sleep(0.2)


def test_pretix_calls_back_about_a_sale_and_its_cancellation(
    pretix: Pretix, two: tuple[Counter, Counter], cinema: Cinema
) -> None:
    """It calls while it still answers our own request; the gateway asks it back, and each call is taken at once."""
    hook(cinema, two[0], "pretix.event.order.paid", "pretix.event.order.canceled")
    body = basket(cinema, "four")
    end = two[0].ended(two[0].post("/checkouts", body))
    assert end["status"] == "completed", end
    row = next(row for row in cinema.orders() if row["api_meta"].get("order_no") == body["order_no"])
    cinema.api.post(cinema.path(f"orders/{row['code']}/mark_canceled/"), {"send_email": False})
    found = calls(pretix, two[0], 2)
    assert [(action, code) for action, code, _ in found] == [
        ("pretix.event.order.paid", 200), ("pretix.event.order.canceled", 200),
    ], found  # fmt: skip
    assert all(row["code"] in payload for _, _, payload in found)


def test_what_is_not_ours_is_not_believed_at_the_same_address(two: tuple[Counter, Counter], cinema: Cinema) -> None:
    """Callbacks are not signed: somebody who knows the address can name an order, but not make it ours."""
    for code in (order_code(key()), "../../x", ""):
        body = {"notification_id": 1, "organizer": "screen", "event": cinema.event, "code": code, "action": "x"}
        assert requests.post(two[0].callback, json=body, timeout=20).status_code == 401
    assert requests.post(two[0].callback, data=b"{", timeout=20).status_code == 401
    wrong = two[0].callback[:-4] + "AAAA"
    assert requests.post(wrong, json={}, timeout=20).status_code == 404
