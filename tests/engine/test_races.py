"""Many at once for the same thing: as many winners as there is of it, and a clean refusal for everyone else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gateway.engine.problems import Problem
from gateway.engine.replies import Reply
from gateway.engine.service import Asked
from tests.engine.conftest import LINES, PHONE
from tests.engine.kit import House

THREADS = 16


def at_once(count: int, work: Callable[[int], Reply]) -> list[Reply | Problem]:
    """What each of so many threads was answered, all let go at the same moment."""
    gate, found = threading.Barrier(count), [None] * count  # type: list[Any]

    def run(index: int) -> None:
        gate.wait()
        try:
            found[index] = work(index)
        except BaseException as error:
            found[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)
    strange = [each for each in found if not isinstance(each, Reply | Problem)]
    assert not strange, strange
    return found


def won(found: list[Reply | Problem]) -> int:
    return sum(isinstance(each, Reply) and each.status == 201 for each in found)


def clean(found: list[Reply | Problem]) -> None:
    """Losers are told 402, 409 or 422, never a fault of ours."""
    assert {each.status for each in found} <= {201, 202, 402, 409, 422}, [
        (each.status, getattr(each, "detail", "")) for each in found if each.status >= 500
    ]


def request(index: int, **more: Any) -> dict[str, Any]:
    code = {"method": "payment_code", "auth_code": f"28{index:012d}0001"}
    return {"store_id": "s1", "order_no": f"R{index}", "lines": LINES[:1], "tenders": [code], **more}


def create(shop: House, index: int, **more: Any) -> Reply:
    return shop.checkouts.create(Asked("m1", f"k{index}", f"f{index}"), request(index, **more))


def settled(shop: House) -> None:
    shop.settle(100)
    rows = shop.database.read(lambda tx: tx.all("SELECT state FROM sagas"))
    assert {row["state"] for row in rows} <= {"completed", "failed"}


def row(shop: House, sql: str) -> dict[str, Any]:
    return dict(shop.database.read(lambda tx: tx.one(sql)) or {})


def test_one_key_from_many_threads_is_one_checkout(shop: House) -> None:
    asked = Asked("m1", "same", "fp")
    found = at_once(8, lambda _: shop.checkouts.create(asked, request(1)))
    clean(found)
    bodies = {each.body for each in found if isinstance(each, Reply)}
    assert len(bodies) == 1
    assert {each.slug for each in found if isinstance(each, Problem)} <= {"request-in-progress"}
    assert shop.books("alipay")["money"]["net"] == 12_800
    again = shop.checkouts.create(asked, request(1))
    assert again.body in bodies and again.replayed


def test_one_order_number_from_many_threads_is_one_checkout(shop: House) -> None:
    found = at_once(8, lambda i: shop.checkouts.create(Asked("m1", f"k{i}", "f"), {**request(i), "order_no": "ONE"}))
    clean(found)
    assert won(found) == 1
    assert {each.slug for each in found if isinstance(each, Problem)} == {"duplicate-order"}
    assert shop.books("alipay")["money"]["net"] == 12_800


def test_the_last_item_is_sold_once(shop: House) -> None:
    shop.database.tx(lambda tx: tx.execute("UPDATE house_stock SET on_hand = 1000 WHERE sku = 'A'"))
    found = at_once(THREADS, lambda i: create(shop, i))
    clean(found)
    settled(shop)
    assert won(found) == 1
    assert row(shop, "SELECT on_hand, reserved FROM house_stock WHERE sku = 'A'") == {"on_hand": 0, "reserved": 0}
    assert shop.books("alipay")["money"]["net"] == 12_800


def test_a_coupon_with_one_use_is_used_once(shop: House) -> None:
    member = {"type": "phone", "value": PHONE}
    found = at_once(THREADS, lambda i: create(shop, i, member=member, coupons=["C30"], lines=LINES))
    clean(found)
    settled(shop)
    assert won(found) == 1
    coupon = row(shop, "SELECT available, held, used FROM house_coupons WHERE code = 'C30'")
    assert coupon == {"available": 0, "held": 0, "used": 1}


def test_stored_value_is_not_spent_twice(shop: House) -> None:
    member = {"type": "phone", "value": PHONE}
    tenders = [{"method": "stored_value"}]
    found = at_once(THREADS, lambda i: create(shop, i, member=member, tenders=tenders, lines=LINES[1:2]))
    clean(found)
    settled(shop)
    left = row(shop, "SELECT real, gift FROM house_members WHERE merchant = 'm1'")
    assert won(found) == 2, "120.00 covers 56.91 twice"
    assert left["real"] + left["gift"] == 12_000 - 2 * 5691


def test_points_are_not_spent_twice(shop: House) -> None:
    member = {"type": "phone", "value": PHONE}
    found = at_once(THREADS, lambda i: create(shop, i, member=member, points=3000))
    clean(found)
    settled(shop)
    left = row(shop, "SELECT points, points_held FROM house_members WHERE merchant = 'm1'")
    earned = sum(json.loads(each.body)["quote"]["points"]["earned"] for each in found if isinstance(each, Reply))
    used = sum(json.loads(each.body)["quote"]["points"]["used"] for each in found if isinstance(each, Reply))
    assert used <= 5000 + earned
    assert left == {"points": 5000 - used + earned, "points_held": 0}


def test_two_full_refunds_at_once_give_the_money_back_once(shop: House) -> None:
    sold = json.loads(create(shop, 1).body)
    found = at_once(8, lambda i: shop.refunds.create(Asked("m1", f"r{i}", f"f{i}"), sold["id"], {}))
    clean(found)
    assert won(found) == 1
    assert {each.slug for each in found if isinstance(each, Problem)} <= {"refund-exceeds-paid", "request-in-progress"}
    assert shop.books("alipay")["money"]["net"] == 0


@pytest.fixture
def deposit(shop: House) -> str:
    tender = {"method": "payment_code", "auth_code": "281111111111110001"}
    body = json.loads(shop.deposits.create(shop.asked(), {"store_id": "s1", "amount": 15_000, "tender": tender}).body)
    assert (body["status"], body["held_amount"]) == ("held", 15_000)
    return str(body["id"])


def from_deposit(deposit: str, amount: int | None = None) -> list[dict[str, Any]]:
    return [{"method": "deposit", "deposit_id": deposit, **({"amount": amount} if amount else {})}]


def test_a_deposit_is_drawn_on_until_it_is_used_up(shop: House, deposit: str) -> None:
    first = create(shop, 1, tenders=from_deposit(deposit), lines=LINES[1:2])
    second = create(shop, 2, tenders=from_deposit(deposit), lines=LINES[1:2])
    assert (first.status, second.status) == (201, 201)
    with pytest.raises(Problem) as refused:
        create(shop, 3, tenders=from_deposit(deposit), lines=LINES[1:2])
    assert refused.value.status in (409, 422)
    assert shop.deposits.get("m1", deposit)["captured_amount"] == 11_980


def test_a_deposit_is_not_drawn_on_twice_at_once(shop: House, deposit: str) -> None:
    found = at_once(8, lambda i: create(shop, i, tenders=from_deposit(deposit)))
    clean(found)
    assert won(found) == 1
    assert shop.deposits.get("m1", deposit)["captured_amount"] == 12_800


def test_a_deposit_is_not_given_back_and_drawn_on_at_once(shop: House, deposit: str) -> None:
    def work(index: int) -> Reply:
        if index % 2:
            return shop.deposits.release(Asked("m1", f"rel{index}", "f"), deposit)
        return create(shop, index, tenders=from_deposit(deposit))

    clean(at_once(8, work))
    shop.settle(50)
    after = shop.deposits.get("m1", deposit)
    drawn, back = after["captured_amount"], after["released_amount"]
    assert drawn + back <= 15_000
    assert shop.books("alipay")["money"]["net"] == 15_000 - back
