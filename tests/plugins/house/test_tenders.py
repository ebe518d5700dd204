"""What the house takes as money, in whole checkouts beside a wallet on a real socket: gift cards, and accounts."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.problems import Problem
from gateway.sdk import StatementRequest
from plugins.alipay.simulator import AlipaySimulator
from plugins.house import accounts, coupons
from tests.engine.conftest import LINES, PHONE, seed, shop_file
from tests.engine.kit import House, build

_codes = itertools.count(1)
MEMBER = {"type": "phone", "value": PHONE}
ALL = 27_890
ON_ACCOUNT = {"method": "on_account"}


def wallet() -> dict[str, Any]:
    return {"method": "payment_code", "auth_code": f"28{next(_codes):012d}0001"}


def card(amount: int) -> dict[str, Any]:
    return {"method": "gift_card", "code": "GC50", "amount": amount}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    simulator = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"})
    house = build(tmp_path, shop_file(simulator), {"alipay": simulator})
    house.database.tx(seed)
    gift = {"kind": "gift_card", "title": "礼品卡", "balance": 5000}
    house.database.tx(lambda tx: coupons.insert(tx, "m1", "GC50", gift, 1, "", 0))
    house.database.tx(lambda tx: accounts.insert_account(tx, "m1", "mem1", 30_000))
    yield house
    house.stop()


def on_card(shop: House) -> int:
    return int(shop.database.read(lambda tx: coupons.row_of(tx, "m1", "GC50"))["balance"])


def owed(shop: House) -> int:
    return shop.database.read(lambda tx: accounts.owed(tx, "m1", "mem1"))


def charged(shop: House) -> int:
    return int(shop.books("alipay")["money"]["net"])


def _first(shop: House, sql: str) -> Any:
    return shop.database.read(lambda tx: tx.one(sql))


def reserved(shop: House) -> int:
    return int(_first(shop, "SELECT SUM(reserved) AS n FROM house_stock")["n"])


def buy(order_no: str, *tenders: dict[str, Any], quantity: str = "", **more: Any) -> dict[str, Any]:
    """The three articles of 278.90, or so many of the first."""
    lines = [{"line_id": "A", "sku": "A", "quantity": quantity}] if quantity else LINES
    return {"store_id": "s1", "order_no": order_no, "lines": lines, "tenders": list(tenders), **more}


def give_back(shop: House, checkout: str, request: dict[str, Any]) -> dict[str, Any]:
    reply = shop.refunds.create(shop.asked(), checkout, request)
    assert reply.status == 201, reply.body
    return dict(json.loads(reply.body))


def refused(shop: House, request: dict[str, Any]) -> str:
    """The problem that a checkout comes to."""
    with pytest.raises(Problem) as caught:
        shop.checkout(request)
    return caught.value.slug


def rows(shop: House, hook: str) -> list[tuple[str, int]]:
    connection = shop.runtime.route("m1", "orders", store_id="s1")
    assert connection is not None
    day = _first(shop, "SELECT MAX(business_date) AS day FROM house_ledger")["day"]
    page = connection.statement(hook, StatementRequest(business_date=date.fromisoformat(day)))
    return [(row.kind, row.amount) for row in page.items if row.ref.startswith(("account/", "W2/"))]


def test_a_gift_card_pays_a_part_and_gets_its_share_of_each_refund(shop: House) -> None:
    reply, body = shop.checkout(buy("W1", card(5000), wallet()))
    assert (reply.status, body["status"]) == (201, "completed"), body
    assert (on_card(shop), charged(shop)) == (0, ALL - 5000)
    assert give_back(shop, body["id"], {"lines": [{"line_id": "B", "quantity": "1"}]})["amount"] == 5990
    assert (on_card(shop), charged(shop)) == (1074, ALL - 5000 - 4916), "pro rata, by largest remainder"
    give_back(shop, body["id"], {})
    assert (on_card(shop), charged(shop)) == (5000, 0), "the card has what it had, the wallet too"


def test_a_declined_wallet_leaves_the_card_as_it_was(shop: House) -> None:
    declined = {"method": "payment_code", "auth_code": f"28{next(_codes):012d}9011"}
    reply, _ = shop.checkout(buy("W1", card(5000), declined))
    shop.settle()
    assert (reply.status, on_card(shop), charged(shop), reserved(shop)) == (402, 5000, 0, 0)


def test_two_sales_cannot_spend_one_card_twice(shop: House) -> None:
    """Each finds 50.00 on the card and wants 40.00: one gets it, and the other is charged nothing at all."""
    replies: list[Any] = []

    def pay(number: int) -> None:
        try:
            replies.append(shop.checkout(buy(f"W{number}", card(4000), wallet()))[0].status)
        except Problem as problem:
            replies.append(problem.slug)

    threads = [threading.Thread(target=pay, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    shop.settle()
    assert replies.count(201) == 1 and len(replies) == 2, replies
    assert (on_card(shop), charged(shop)) == (1000, ALL - 4000)


def test_a_refund_reaches_a_card_that_was_voided_meanwhile(shop: House) -> None:
    """Its money must not vanish between the sale and the card: who voided it can see what is on it."""
    _, body = shop.checkout(buy("W1", card(5000), wallet()))
    shop.database.tx(lambda tx: tx.execute("UPDATE house_coupons SET voided = 1 WHERE code = 'GC50'"))
    give_back(shop, body["id"], {})
    assert (on_card(shop), charged(shop)) == (5000, 0)


def test_what_is_put_on_account_is_owed_and_stands_in_the_statements(shop: House) -> None:
    reply, body = shop.checkout(buy("W2", ON_ACCOUNT, quantity="2", member=MEMBER))
    assert (reply.status, body["status"]) == (201, "completed"), body
    assert (owed(shop), charged(shop)) == (24_320, 0), "two at 128.00, the gold member pays 95 %"
    assert rows(shop, "value_statement") == [("spend", -24_320)]
    assert rows(shop, "order_statement") == [("sale", 24_320)]
    give_back(shop, body["id"], {"lines": [{"line_id": "A", "quantity": "1"}]})
    assert owed(shop) == 12_160
    give_back(shop, body["id"], {})
    assert owed(shop) == 0
    assert rows(shop, "value_statement") == [("spend", -24_320), ("return", 12_160), ("return", 12_160)]
    assert shop.database.read(lambda tx: accounts.discrepancies(tx, "m1")) == []


def test_beyond_its_limit_nothing_is_put_on_an_account(shop: House) -> None:
    """The wallet's part is not charged either: an account that is full must not leave a sale half paid."""
    shop.checkout(buy("W2", ON_ACCOUNT, quantity="2", member=MEMBER))
    beyond = buy("W3", {**ON_ACCOUNT, "amount": 5681}, wallet(), quantity="1", member=MEMBER)
    assert refused(shop, beyond) == "checkout-failed"
    assert (owed(shop), charged(shop), reserved(shop)) == (24_320, 0, 0)
    reply, _ = shop.checkout(buy("W4", {**ON_ACCOUNT, "amount": 5680}, wallet(), quantity="1", member=MEMBER))
    assert (reply.status, owed(shop), charged(shop)) == (201, 30_000, 12_160 - 5680), "up to the limit it is"


def test_an_account_is_needed_and_a_member_who_has_it(shop: House) -> None:
    assert refused(shop, buy("W5", ON_ACCOUNT, quantity="1")) == "validation-error"
    shop.database.tx(lambda tx: tx.execute("DELETE FROM house_accounts"))
    assert refused(shop, buy("W6", ON_ACCOUNT, quantity="1", member=MEMBER)) == "checkout-failed", "no limit, no credit"
    assert reserved(shop) == 0


def test_a_limit_that_is_lowered_takes_nothing_back(shop: House) -> None:
    shop.checkout(buy("W2", ON_ACCOUNT, quantity="2", member=MEMBER))
    shop.database.tx(lambda tx: accounts.insert_account(tx, "m1", "mem1", 10_000))
    assert owed(shop) == 24_320
    assert refused(shop, buy("W7", ON_ACCOUNT, quantity="1", member=MEMBER)) == "checkout-failed"
    assert owed(shop) == 24_320
