"""kill -9 of a real server at every named point: nothing acknowledged is lost, nothing happens twice.

At random and under load: ``tests/long``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.street import TIMES, Street, wallet_code

#: Lease + 5 seconds, and the start of a worker under load.
WITHIN_S = TIMES["lease_s"] + 5.0
START_S = 4.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder: Path = tmp_path_factory.mktemp("street")
    with Street(folder, names=("alipay", "convenience"), merchants=("convenience",)) as street:
        with street.opened() as database:
            database.tx(lambda tx: tx.execute("UPDATE house_stock SET on_hand = 10000000"))
            database.tx(lambda tx: tx.execute("UPDATE house_members SET points = 5000000, real = 10000000"))
        yield street


_numbers = iter(range(1, 10_000))


def basket(order_no: str, code: str = "") -> dict[str, Any]:
    """59.90: one yuan from points, two from stored value, the rest from the wallet."""
    return {
        "store_id": "s1",
        "order_no": order_no,
        "lines": [{"line_id": "B", "sku": "B", "quantity": "1"}],
        "member": {"type": "phone", "value": "13800001001"},
        "points": 100,
        "tenders": [
            {"method": "stored_value", "amount": 200},
            {"method": "payment_code", "auth_code": code or wallet_code(next(_numbers))},
        ],
    }


def standing(street: Street) -> tuple[int, int, int, int, int, int]:
    """What the books say: money at the wallet; points, points held, value, stock, stock reserved in the house."""
    member = street.rows("SELECT * FROM house_members WHERE merchant = 'm1'")[0]
    goods = street.rows("SELECT * FROM house_stock WHERE sku = 'B'")[0]
    value = member["real"] + member["gift"]
    counts = (member["points"], member["points_held"], value, goods["on_hand"], goods["reserved"])
    return street.money()["net"], *counts


def same_reply_again(street: Street, path: str, body: dict[str, Any], key: str, merchant: str = "m1") -> Any:
    """The key's reply, twice; it must be final and the same byte for byte."""
    deadline = time.monotonic() + WITHIN_S + START_S
    while True:
        first = street.post(path, body, key, merchant=merchant)
        if (first is not None and first.status_code != 409) or time.monotonic() > deadline:
            break
        if first is not None and first.json()["type"] != "/problems/request-in-progress":
            break
        time.sleep(0.2)
    again = street.post(path, body, key, merchant=merchant)
    assert first is not None and again is not None
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    return first


@pytest.mark.parametrize(
    ("point", "end"),
    [
        # A payment code is kept nowhere: before its first byte the charge dies with its worker, and nothing is taken.
        ("accepted", "failed"),
        ("before-send:payment_charge", "failed"),
        ("after-send:payment_charge", "completed"),
        ("before-commit:paying", "completed"),
        ("committed:completed", "completed"),
        ("before-reply", "completed"),
    ],
)
def test_a_checkout_survives_the_death_of_its_worker(street: Street, point: str, end: str) -> None:
    before, order_no = standing(street), f"K-{next(_numbers)}"
    request = basket(order_no)
    street.die_at(point)
    assert street.post("/checkouts", request, order_no) is None, "the worker did not die"
    assert street.died(point)
    done = street.by_number(order_no, WITHIN_S + START_S)
    assert done["status"] == end, done
    after = standing(street)
    moved = tuple(new - old for old, new in zip(before, after, strict=True))
    if end == "completed":
        wallet = done["tenders"][1]["amount"]
        assert moved == (wallet, -100 + done["quote"]["points"]["earned"], 0, -200, -1000, 0)
        assert done["quote"]["payable_amount"] == wallet + 200
    else:
        assert moved == (0, 0, 0, 0, 0, 0)
    reply = same_reply_again(street, "/checkouts", request, order_no)
    assert reply.status_code == (201 if end == "completed" else 409)
    assert standing(street) == after


@pytest.mark.parametrize("point", ["before-send:payment_reverse", "after-send:payment_reverse", "committed:closing"])
def test_an_undo_survives(street: Street, point: str) -> None:
    before, order_no = standing(street), f"K-{next(_numbers)}"
    street.die_at(point)
    poor = f"28{next(_numbers):012d}9011"
    assert street.post("/checkouts", basket(order_no, poor), order_no) is None
    done = street.by_number(order_no, WITHIN_S + START_S)
    assert (done["status"], standing(street)) == ("failed", before)


@pytest.mark.parametrize("point", ["accepted", "before-send:payment_refund", "after-send:payment_refund"])
def test_a_refund_survives(street: Street, point: str) -> None:
    before, order_no = standing(street), f"K-{next(_numbers)}"
    sold = street.post("/checkouts", basket(order_no), order_no)
    assert sold is not None and sold.status_code == 201
    path = f"/checkouts/{sold.json()['id']}/refunds"
    street.die_at(point)
    body = {"refund_no": f"R-{order_no}"}
    assert street.post(path, body, f"r-{order_no}") is None
    reply = same_reply_again(street, path, body, f"r-{order_no}")
    assert (reply.status_code, reply.json()["status"]) == (201, "succeeded")
    assert standing(street) == before


@pytest.mark.parametrize("point", ["before-send:order_post", "after-send:order_post", "committed:posting"])
def test_a_sale_is_booked_once_in_the_till(street: Street, point: str) -> None:
    order_no = f"K-{next(_numbers)}"
    request = {
        "store_id": "wulin",
        "order_no": order_no,
        "lines": [{"line_id": "1", "sku": "980001", "quantity": "1"}],
        "tenders": [{"method": "payment_code", "auth_code": wallet_code(next(_numbers))}],
    }
    street.die_at(point)
    assert street.post("/checkouts", request, order_no, merchant="bianmin") is None
    reply = same_reply_again(street, "/checkouts", request, order_no, merchant="bianmin")
    assert reply.json()["status"] == "completed"
    checkout_id = reply.json()["id"]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = street.get(f"/checkouts/{checkout_id}", merchant="bianmin").json()
        if done["receipt"]:
            break
        time.sleep(0.3)
    posts = [leg for leg in done["legs"] if leg["name"] == "order/order_post"]
    assert [leg["status"] for leg in posts] == ["ok"], posts
    assert done["receipt"]
