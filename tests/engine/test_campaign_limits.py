"""Limits and budgets of campaigns: exact under races, given back by what fails and by what is returned."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.engine.problems import Problem
from gateway.sdk.simulator import Fault
from gateway.store import uses
from gateway.testing.postgres import PostgresServer
from plugins.alipay.simulator import AlipaySimulator
from plugins.house import coupons, stock
from tests.engine.conftest import LINES, PHONE, seed, shop_file
from tests.engine.kit import House, build
from tests.engine.street import in_threads

Open = Callable[..., House]
A, B, C = (str(line["line_id"]) for line in LINES)


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Open]:
    """Opens the shop with campaigns in its file, more goods, and a wallet."""
    houses: list[House] = []

    def opened(campaigns: str, url: str = "") -> House:
        wallet = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"})
        house = build(tmp_path, shop_file(wallet) + campaigns, {"alipay": wallet}, url=url)
        house.database.tx(seed)
        for sku in "ABC":
            house.database.tx(partial(stock.set_level, merchant="m1", store_id="s1", sku=sku, quantity=900_000))
        houses.append(house)
        return house

    yield opened
    for house in houses:
        house.stop()


def campaign(limits: str, off: int = 1_000, more: str = "") -> str:
    return f"""
[[pricing.campaigns]]
id = "first"
version = 3
kind = "amount_off"
tiers = [{{ threshold_amount = 5000, off_amount = {off} }}]
{limits}
{more}
"""


def basket(order_no: str, **more: Any) -> dict[str, Any]:
    """One article B of 59.90, paid in cash."""
    line = {"line_id": "B", "sku": "B", "quantity": "1"}
    return {"store_id": "s1", "order_no": order_no, "lines": [line], "tenders": [{"method": "cash"}], **more}


MEMBER = {"member": {"type": "phone", "value": PHONE}}


def counted(house: House) -> dict[str, tuple[int, int]]:
    """Held and used rows by state: how many times, for how many fen. The counters are their sum, always."""

    def unit(tx: Any) -> dict[str, tuple[int, int]]:
        assert (uses.drift(tx), uses.orphans(tx)) == ([], [])
        rows = tx.all("SELECT state, SUM(times) AS times, SUM(amount) AS amount FROM campaign_uses GROUP BY state")
        return {row["state"]: (int(row["times"]), int(row["amount"])) for row in rows}

    return house.database.read(unit)


def refused(house: House, request: Mapping[str, Any]) -> Problem:
    with pytest.raises(Problem) as problem:
        house.checkout(request)
    return problem.value


def test_a_use_is_counted_with_the_sale_and_bars_the_next(open_shop: Open) -> None:
    shop = open_shop(campaign("limits = { total = 1 }"))
    reply, body = shop.checkout(basket("O1"))
    assert (reply.status, body["quote"]["payable_amount"]) == (201, 4990)
    applied = body["quote"]["applied"]
    assert [(item["id"], item["version"], item["amount"]) for item in applied] == [("first", 3, 1000)]
    assert counted(shop) == {"used": (1, 1000)}
    _, second = shop.checkout(basket("O2"))
    assert second["quote"]["payable_amount"] == 5990
    assert {item["id"]: item["reason"] for item in second["quote"]["rejected"]} == {"first": "limit"}


def test_nothing_is_asked_or_counted_where_no_campaign_has_limits(open_shop: Open) -> None:
    shop = open_shop(campaign(""))
    _, body = shop.checkout(basket("O1"))
    assert body["quote"]["payable_amount"] == 4990
    assert (counted(shop), [leg for leg in body["legs"] if leg["name"].startswith("campaign")]) == ({}, [])


def test_a_limit_reached_between_price_and_hold_is_price_changed_with_the_new_quote(open_shop: Open) -> None:
    shop = open_shop(campaign("limits = { total = 1 }"))
    quote = shop.checkouts.quote("m1", {"store_id": "s1", "lines": basket("")["lines"]})
    assert quote["payable_amount"] == 4990
    shop.checkout(basket("O1"))
    problem = refused(shop, {"quote_id": quote["quote_id"], "order_no": "O2", "tenders": [{"method": "cash"}]})
    assert (problem.slug, problem.extra["quote"]["payable_amount"]) == ("price-changed", 5990)
    assert counted(shop) == {"used": (1, 1000)}


@pytest.mark.parametrize("limits", ["limits = { total = 1 }", "budget_amount = 1999", "limits = { per_day = 1 }"])
def test_of_many_at_once_exactly_one_wins(open_shop: Open, limits: str) -> None:
    shop = open_shop(campaign(limits))
    race(shop)


def race(shop: House) -> None:
    """32 buyers who were all told the lower price; 31 hear that it has changed, and nothing of theirs is kept."""
    won: list[str] = []
    lost: list[Problem] = []

    def buy(number: int) -> None:
        request = {**basket(f"R{number}"), "expected_payable_amount": 4990}
        try:
            reply, _ = shop.checkout(request)
            assert reply.status == 201
            won.append(f"R{number}")
        except Problem as problem:
            lost.append(problem)

    assert in_threads(32, buy) == []
    assert (len(won), {problem.slug for problem in lost}, len(lost)) == (1, {"price-changed"}, 31)
    assert all(problem.extra["quote"]["payable_amount"] == 5990 for problem in lost)
    assert counted(shop) == {"used": (1, 1000)}
    rows = shop.database.read(lambda tx: tx.all("SELECT number FROM sagas"))
    assert [row["number"] for row in rows] == won


def test_a_member_and_the_days_of_business(open_shop: Open) -> None:
    shop = open_shop(campaign("limits = { per_member = 3, per_day = 1 }", more="basis = 'gross'"))

    def buy(order_no: str, day: str, **more: Any) -> list[str]:
        _, body = shop.checkout({**basket(order_no, **more), "business_date": day})
        return [item["id"] for item in body["quote"]["applied"] if item["kind"] == "campaign"]

    assert buy("O1", "2026-03-01", **MEMBER) == ["first"]
    assert buy("O2", "2026-03-01", **MEMBER) == []
    assert buy("O3", "2026-03-01") == ["first"]  # nobody known: counted as a buyer of its own
    assert buy("O4", "2026-03-02", **MEMBER) == ["first"]
    assert buy("O5", "2026-03-03", **MEMBER) == ["first"]
    assert buy("O6", "2026-03-04", **MEMBER) == []
    assert counted(shop)["used"] == (4, 4000)


def test_a_budget_is_spent_to_the_fen_and_no_further(open_shop: Open) -> None:
    shop = open_shop(campaign("budget_amount = 2998", off=999))
    paid = [shop.checkout(basket(f"O{number}"))[1]["quote"]["payable_amount"] for number in range(4)]
    assert paid == [4991, 4991, 4991, 5990]
    assert counted(shop) == {"used": (3, 2997)}


def test_a_declined_payment_gives_the_use_back(open_shop: Open) -> None:
    shop = open_shop(campaign("limits = { total = 1 }"))
    poor = [{"method": "payment_code", "auth_code": "281234567890129011"}]
    reply, _ = shop.checkout({**basket("O1"), "tenders": poor})
    assert (reply.status, counted(shop)) == (402, {"released": (0, 0)})
    assert shop.checkout(basket("O2"))[1]["quote"]["payable_amount"] == 4990


def test_a_lost_answer_keeps_the_use_until_it_is_known(open_shop: Open) -> None:
    shop = open_shop(campaign("limits = { total = 1 }"))
    shop.fault("alipay", Fault("drop_before", "alipay.trade.pay"))
    try:
        shop.checkout({**basket("O1"), "tenders": [{"method": "payment_code", "auth_code": "281234567890123456"}]})
    except Problem as problem:
        assert problem.status in (409, 503)
    shop.fault("alipay")
    shop.settle(60)
    assert counted(shop) == {"released": (0, 0)}


def test_out_of_stock_counts_nothing(open_shop: Open) -> None:
    shop = open_shop(campaign("limits = { total = 1 }"))
    lines = [{"line_id": "B", "sku": "B", "quantity": "901"}]
    assert refused(shop, {**basket("O1"), "lines": lines}).slug == "out-of-stock"
    assert counted(shop) == {}


def give_back(shop: House, checkout_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
    reply = shop.refunds.create(shop.asked(), checkout_id, dict(request))
    assert reply.status == 201
    return dict(json.loads(reply.body))


def test_returns_give_the_budget_back_in_proportion_and_the_use_with_the_last(open_shop: Open) -> None:
    shop = open_shop(campaign("limits = { total = 1 }\nbudget_amount = 10000", off=1000))
    _, body = shop.checkout({**basket("O1"), "lines": LINES})
    shares = {line["line_id"]: line["discount_amount"] for line in body["quote"]["lines"]}
    assert sum(shares.values()) == 1000
    give_back(shop, body["id"], {"lines": [{"line_id": B, "quantity": "1"}]})
    assert counted(shop) == {"used": (1, 1000 - shares[B])}
    give_back(shop, body["id"], {"lines": [{"line_id": C, "quantity": "1"}]})
    kept = shares[A] + shares[C] - shares[C] // 2
    assert counted(shop)["used"][1] in (kept, shares[A] + shares[C] // 2)
    give_back(shop, body["id"], {})
    assert counted(shop) == {"released": (0, 0)}
    assert shop.checkout({**basket("O2"), "lines": LINES})[1]["quote"]["discount_amount"] == 1000


def test_a_recomputed_return_that_loses_the_threshold_gives_the_whole_budget_back(open_shop: Open) -> None:
    limits = "limits = { total = 1 }\nbudget_amount = 3000\non_return = 'recompute'"
    shop = open_shop(campaign(limits, off=3000).replace("5000", "18000"))
    lines = [{"line_id": "A", "sku": "A"}, {"line_id": "B", "sku": "B"}]
    _, body = shop.checkout({**basket("O1"), "lines": [{**line, "quantity": "1"} for line in lines]})
    assert body["quote"]["payable_amount"] == 15_790
    back = give_back(shop, body["id"], {"lines": [{"line_id": "B", "quantity": "1"}]})
    assert back["amount"] == 15_790 - 12_800
    assert counted(shop) == {"used": (1, 0)}, "no money of the budget is spent; the use is, until all is back"
    give_back(shop, body["id"], {})
    assert counted(shop) == {"released": (0, 0)}


def test_all_goods_back_are_the_whole_sale_though_a_gift_was_kept(open_shop: Open) -> None:
    gift = """
[[pricing.campaigns]]
id = "cup"
version = 1
kind = "gift"
tiers = [{ threshold_amount = 1000, gift = { sku = "cup", quantity = "1", value_amount = 500 } }]
limits = { total = 1 }
budget_amount = 500
"""
    shop = open_shop(gift)
    _, body = shop.checkout(basket("O1"))
    assert counted(shop) == {"used": (1, 500)}
    assert give_back(shop, body["id"], {})["amount"] == 5490, "the gift was kept, and its worth kept back"
    assert counted(shop) == {"released": (0, 0)}


def test_a_sum_without_goods_gives_nothing_of_the_budget_back_until_all_is_paid_back(open_shop: Open) -> None:
    shop = open_shop(campaign("limits = { total = 1 }"))
    _, body = shop.checkout(basket("O1"))
    give_back(shop, body["id"], {"amount": 1000})
    assert counted(shop) == {"used": (1, 1000)}
    give_back(shop, body["id"], {"amount": 3990})
    assert counted(shop) == {"released": (0, 0)}


TEMPLATES = """
coupon_templates = [{ template = "T10", off_amount = 1000, limits = { total = 2, per_member = 1 } }]
"""


def put_codes(shop: House) -> None:
    """Four codes of one template."""

    def unit(tx: Any) -> None:
        for number in range(4):
            coupons.insert(tx, "m1", f"C{number}", {"kind": "cash", "template": "T10"}, 1, "", 0)

    shop.database.tx(unit)


def test_a_coupon_template_has_limits_over_all_its_codes(open_shop: Open) -> None:
    shop = open_shop("[pricing]" + TEMPLATES)
    put_codes(shop)

    def buy(order_no: str, code: str, **more: Any) -> dict[str, Any]:
        return shop.checkout(basket(order_no, coupons=[code], **more))[1]

    first = buy("O1", "C0", **MEMBER)
    assert [item["id"] for item in first["quote"]["applied"] if item["kind"] == "coupon"] == ["C0"]
    barred = buy("O2", "C1", **MEMBER)
    assert {item["id"]: item["reason"] for item in barred["quote"]["rejected"]} == {"C1": "limit"}
    buy("O3", "C2")
    assert counted(shop) == {"used": (2, 2000)}
    assert {item["id"] for item in buy("O4", "C3")["quote"]["rejected"]} == {"C3"}
    give_back(shop, first["id"], {})
    assert counted(shop) == {"released": (0, 0), "used": (1, 1000)}
    assert buy("O5", "C0", **MEMBER)["quote"]["applied"][-1]["id"] == "C0"


def test_meal_periods_of_the_merchants_file(open_shop: Open) -> None:
    """A campaign of a period holds at its hours, on the merchant's own clock."""
    hour = datetime.now(ZoneInfo("Asia/Shanghai")).hour
    now, other = f"{hour:02d}:00-{(hour + 2) % 24:02d}:00", f"{(hour + 5) % 24:02d}:00-{(hour + 7) % 24:02d}:00"
    periods = f'periods = {{ lunch = ["{now}"], supper = ["{other}"] }}'
    second = campaign("", more='when = { periods = ["supper"] }').replace('"first"', '"second"')
    shop = open_shop(f"[pricing]\n{periods}\n" + campaign("", more='when = { periods = ["lunch"] }') + second)
    _, body = shop.checkout(basket("O1"))
    assert [item["id"] for item in body["quote"]["applied"]] == ["first"]
    assert {item["id"]: item["reason"] for item in body["quote"]["rejected"]} == {"second": "time"}


@pytest.mark.postgres
def test_of_many_at_once_exactly_one_wins_on_postgresql(open_shop: Open) -> None:
    with PostgresServer() as server:
        race(open_shop(campaign("limits = { total = 1 }\nbudget_amount = 1000"), server.new_database()))


@pytest.mark.parametrize("seed_of_run", range(3))
def test_counters_are_the_sum_of_held_and_used_after_any_sequence(open_shop: Open, seed_of_run: int) -> None:
    """Sales, declined payments and returns in a random order: never drift, never beyond a limit."""
    rng = random.Random(seed_of_run)
    shop = open_shop(campaign("limits = { total = 6, per_member = 4, per_day = 2 }\nbudget_amount = 5500", off=998))
    sold: list[str] = []
    for number in range(40):
        if sold and rng.random() < 0.4:
            some_return(shop, rng, sold)
        else:
            some_sale(shop, rng, f"O{number}", sold)
        state = counted(shop)
        times, amount = (sum(state.get(word, (0, 0))[part] for word in ("held", "used")) for part in (0, 1))
        assert times <= 6
        assert amount <= 5500
    for checkout_id in sold:
        give_back(shop, checkout_id, {})
    assert {word: value for word, value in counted(shop).items() if value != (0, 0)} == {}


def some_sale(shop: House, rng: random.Random, order_no: str, sold: list[str]) -> None:
    request = {
        **basket(order_no),
        "business_date": str(shop.engine.now().date() - timedelta(rng.randint(1, 3))),
        "lines": LINES,
    }
    request |= MEMBER if rng.random() < 0.7 else {}
    if rng.random() < 0.3:
        request["tenders"] = [{"method": "payment_code", "auth_code": f"28{rng.randrange(10**10):010d}129011"[:18]}]
    reply, body = shop.checkout(request)
    if reply.status == 201:
        sold.append(body["id"])


def some_return(shop: House, rng: random.Random, sold: list[str]) -> None:
    checkout_id = rng.choice(sold)
    try:
        give_back(shop, checkout_id, {"lines": [{"line_id": rng.choice([A, B, C]), "quantity": "1"}]})
    except Problem as problem:
        assert problem.slug == "refund-exceeds-paid"
    if shop.checkouts.get("m1", checkout_id)["refundable_amount"] == 0:
        sold.remove(checkout_id)


def test_two_codes_of_a_template_on_one_sale_are_one_use(open_shop: Open) -> None:
    shop = open_shop("[pricing]" + TEMPLATES.replace("total = 2, per_member = 1", "total = 1"))
    put_codes(shop)
    _, body = shop.checkout(basket("O1", coupons=["C0", "C1"]))
    assert body["quote"]["payable_amount"] == 3990
    assert counted(shop) == {"used": (1, 2000)}
    assert shop.checkout(basket("O2", coupons=["C2"]))[1]["quote"]["payable_amount"] == 5990
