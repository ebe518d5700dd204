"""Worked examples on stored checkouts, to the fen: sold and returned through the engine, booked by every system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.outcomes import Declined, DeclineReason, Done
from gateway.engine.problems import Problem
from gateway.engine.service import Asked
from plugins.groupbuy.simulator import GroupBuySimulator
from plugins.house import coupons
from tests.engine.conftest import LINES, PHONE
from tests.engine.kit import House
from tests.engine.street import in_threads
from tests.plugins.groupbuy.support import Shop

WALLET = {"method": "payment_code", "auth_code": "281234567890123456"}


def put(shop: House, code: str, template: dict[str, Any], count: int = 1, member: str = "") -> None:
    shop.database.tx(lambda tx: coupons.insert(tx, "m1", code, template, count, member, 0))


def row(shop: House, code: str) -> dict[str, Any]:
    sql = "SELECT * FROM house_coupons WHERE code = :code"
    return dict(shop.database.read(lambda tx: tx.one(sql, {"code": code})) or {})


def counts(shop: House, code: str) -> tuple[int, int, int]:
    found = row(shop, code)
    return found["available"], found["held"], found["used"]


def sell(shop: House, **request: Any) -> dict[str, Any]:
    reply, body = shop.checkout({"store_id": "s1", "order_no": "E", **request})
    assert reply.status == 201, body
    return body


def give_back(shop: House, checkout_id: str, *lines: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Return units of lines; the preview has said the same. Everything without lines."""
    request = {"lines": [{"line_id": line, "quantity": quantity} for line, quantity in lines], **more}
    if not lines:
        del request["lines"]
    preview = shop.refunds.preview("m1", checkout_id, request)
    reply = shop.refunds.create(shop.asked(), checkout_id, request)
    body = dict(json.loads(reply.body))
    assert (reply.status, body["gives_back"]) == (201, preview["gives_back"]), body
    return body


def tenders(body: dict[str, Any]) -> dict[str, int]:
    return {tender["id"]: tender["amount"] for tender in body["gives_back"]["tenders"]}


def e01(shop: House) -> dict[str, Any]:
    put(shop, "RED", {"kind": "red_envelope", "balance": 500})
    return sell(
        shop,
        lines=LINES,
        member={"type": "phone", "value": PHONE},
        coupons=["C30"],
        tenders=[{"method": "red_envelope", "code": "RED"}, WALLET],
    )


def test_e01_on_a_stored_checkout(shop: House) -> None:
    body = e01(shop)
    assert [line["net_amount"] for line in body["quote"]["lines"]] == [10783, 5047, 7666]
    assert body["quote"]["payable_amount"] == 23496
    assert [tender["amount"] for tender in body["tenders"]] == [500, 22996]
    by_tender = {(s["tender_id"], s["line_id"]): s["amount"] for s in body["splits"]}
    assert [by_tender["t1", line] for line in "ABC"] == [230, 107, 163]
    assert [by_tender["t2", line] for line in "ABC"] == [10553, 4940, 7503]
    assert (shop.books("alipay")["money"]["net"], row(shop, "RED")["balance"]) == (22996, 0)


def test_e02_and_e03_returns_one_after_the_other(shop: House) -> None:
    body = e01(shop)
    first = give_back(shop, body["id"], ("B", "1"))
    assert (first["amount"], tenders(first)) == (5047, {"t1": 107, "t2": 4940})
    assert counts(shop, "C30") == (0, 0, 1), "the coupon stays spent"
    assert (shop.books("alipay")["money"]["net"], row(shop, "RED")["balance"]) == (18056, 107)
    assert shop.checkouts.get("m1", body["id"])["refundable_amount"] == 18449
    second = give_back(shop, body["id"], ("A", "1"))
    assert (second["amount"], tenders(second)) == (10783, {"t1": 230, "t2": 10553})
    third = give_back(shop, body["id"], ("C", "2"))
    assert (third["amount"], tenders(third)) == (7666, {"t1": 163, "t2": 7503})
    assert first["amount"] + second["amount"] + third["amount"] == 23496
    assert counts(shop, "C30") == (1, 0, 0), "and is back with the last line"
    assert (shop.books("alipay")["money"]["net"], row(shop, "RED")["balance"]) == (0, 500)


@pytest.mark.parametrize(("policy", "given"), [("prorata", 6957), ("recompute", 5000)])
def test_e05_the_return_loses_the_threshold(shop: House, policy: str, given: int) -> None:
    terms = {"off_amount": 3000, "threshold_amount": 20_000}
    put(shop, "E05", {"kind": "cash", "terms": terms})
    open_prices(shop, {"A": 15_000, "B": 8_000})
    lines = [{"line_id": name, "sku": name, "quantity": "1"} for name in "AB"]
    body = sell(shop, lines=lines, coupons=["E05"], tenders=[WALLET])
    assert [line["net_amount"] for line in body["quote"]["lines"]] == [13043, 6957]
    assert give_back(shop, body["id"], ("B", "1"), policy=policy)["amount"] == given
    assert counts(shop, "E05") == ((1, 0, 0) if policy == "recompute" else (0, 0, 1))
    rest = give_back(shop, body["id"], policy=policy)
    assert rest["amount"] == 20_000 - given
    assert (rest["tasks"], counts(shop, "E05")) == ([], (1, 0, 0)), "a coupon comes back once"


def open_prices(shop: House, prices: dict[str, int]) -> None:
    docs = [(sku, json.dumps({"sku": sku, "name": sku, "unit_amount": amount})) for sku, amount in prices.items()]
    sql = "UPDATE products SET doc = :doc WHERE sku = :sku"
    shop.database.tx(lambda tx: [tx.execute(sql, {"sku": sku, "doc": doc}) for sku, doc in docs])


def test_what_cost_nothing_can_be_brought_back(shop: House) -> None:
    """A coupon above the price, cut off at it: the goods and the coupon come back, once, and no money moves."""
    put(shop, "FREE", {"kind": "cash", "terms": {"off_amount": 99_900}})
    body = sell(shop, lines=LINES[:1], coupons=["FREE"], tenders=[])
    assert (body["quote"]["payable_amount"], counts(shop, "FREE")) == (0, (0, 0, 1))
    races: list[int] = []

    def back(number: int) -> None:
        try:
            races.append(shop.refunds.create(Asked("m1", f"k{number}", "fp"), body["id"], {}).status)
        except Problem as problem:
            races.append(problem.status)

    assert in_threads(4, back) == []
    assert sorted(races)[0] == 201
    assert set(sorted(races)[1:]) <= {409, 422}
    assert counts(shop, "FREE") == (1, 0, 0)
    levels = shop.database.read(lambda tx: tx.one("SELECT on_hand FROM house_stock WHERE sku = 'A'"))
    assert levels is not None
    assert levels["on_hand"] == 10_000


def test_e24_stored_value_comes_back_to_its_buckets(shop: House) -> None:
    shop.database.tx(lambda tx: tx.execute("UPDATE house_members SET real = 50000, gift = 10000"))
    body = sell(
        shop,
        lines=LINES,
        member={"type": "phone", "value": PHONE},
        coupons=["C30"],
        tenders=[{"method": "stored_value"}],
    )
    assert body["quote"]["payable_amount"] == 23496
    member = buckets(shop)
    taken = (50_000 - member[0], 10_000 - member[1])
    assert sum(taken) == 23496
    order = shop.engine.reading("m1").member({"type": "phone", "value": PHONE}, "s1")
    assert order is not None
    word = order[0].value_order.value
    expected = {"percent": ((19580, 3916), (4206, 841)), "real_first": ((23496, 0), (5047, 0))}
    expected["gift_first"] = ((13496, 10000), (2899, 2148))
    assert taken == expected[word][0]
    give_back(shop, body["id"], ("B", "1"))
    now = buckets(shop)
    assert (now[0] - member[0], now[1] - member[1]) == expected[word][1]
    give_back(shop, body["id"])
    assert buckets(shop) == (50_000, 10_000)


def buckets(shop: House) -> tuple[int, int]:
    found = shop.database.read(lambda tx: tx.one("SELECT real, gift FROM house_members"))
    return (found["real"], found["gift"]) if found else (0, 0)


def test_e34_a_code_with_counts_over_checkouts(shop: House) -> None:
    """Bought 5: 2 used, 2 used, the first given back with its 2; a part of the second gives none back."""
    put(shop, "NUM5", {"kind": "cash", "terms": {"face_amount": 2000, "off_amount": 2000}}, count=5)

    def use(order_no: str) -> dict[str, Any]:
        lines = [{"line_id": "B", "sku": "B", "quantity": "2"}]
        voucher = {"method": "voucher", "code": "NUM5", "count": 2}
        return sell(shop, order_no=order_no, lines=lines, tenders=[voucher, {"method": "cash"}])

    first = use("S1")
    assert [tender["amount"] for tender in first["tenders"]] == [4000, 7980]
    assert counts(shop, "NUM5") == (3, 0, 2)
    second = use("S2")
    assert counts(shop, "NUM5") == (1, 0, 4)
    give_back(shop, first["id"])
    assert counts(shop, "NUM5") == (3, 0, 2)
    give_back(shop, second["id"], ("B", "1"))
    assert counts(shop, "NUM5") == (3, 0, 2), "half of the goods are not half of a voucher"
    with pytest.raises(Problem) as refused:
        sell(shop, order_no="S3", lines=LINES, tenders=[{"method": "voucher", "code": "NUM5", "count": 4}])
    assert refused.value.status in (409, 422)
    done = give_back(shop, second["id"])
    assert (done["tasks"], counts(shop, "NUM5")) == ([], (5, 0, 0))


def test_e34_at_a_voucher_platform(tmp_path: Path) -> None:
    """Bought 5; S1 uses 2, S2 uses 2; S1 is reversed with its 2; S2 with 1 is refused, and 3 are left."""
    platform = GroupBuySimulator(tmp_path, {})
    shop = Shop(platform, platform.start()["platform"], tmp_path)
    try:
        codes = shop.buy(5)

        def left() -> int:
            return shop.statuses(codes).count("unused")

        first = shop.redeem(1, codes[0], 2)
        assert isinstance(first, Done)
        assert left() == 3
        second = shop.redeem(2, codes[2], 2)
        assert isinstance(second, Done)
        assert left() == 1
        assert isinstance(shop.restore(3, shop.restore_request(first, 1, count=2)), Done)
        assert left() == 3
        refused = shop.restore(4, shop.restore_request(second, 2, count=1))
        assert isinstance(refused, Declined)
        assert (refused.reason, left()) == (DeclineReason.AMOUNT_MISMATCH, 3)
    finally:
        shop.adapter.context.http.close()
        platform.stop()
