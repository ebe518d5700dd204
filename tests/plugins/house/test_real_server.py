"""Gift cards and accounts over HTTP, at a real server: a worker that dies, and a key that is sent again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from plugins.house import accounts, coupons
from tests.engine.conftest import PHONE
from tests.engine.street import Street, in_threads, wallet_code

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
_numbers = itertools.count(1)
MEMBER = {"type": "phone", "value": PHONE}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    gift = {"kind": "gift_card", "title": "礼品卡", "balance": 50_000}
    with Street(tmp_path_factory.mktemp("street")) as street:
        with street.opened() as database:
            database.tx(lambda tx: tx.execute("UPDATE house_stock SET on_hand = 10000000"))
            database.tx(lambda tx: coupons.insert(tx, "m1", "GC500", gift, 1, "", 0))
            database.tx(lambda tx: accounts.insert_account(tx, "m1", "mem1", 20_000))
        yield street


def buy(order_no: str, *tenders: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One article of 59.90."""
    lines = [{"line_id": "B", "sku": "B", "quantity": "1"}]
    return {"store_id": "s1", "order_no": order_no, "lines": lines, "tenders": list(tenders), **more}


def by_card(order_no: str) -> dict[str, Any]:
    """20.00 from the gift card, the rest from the wallet."""
    wallet = {"method": "payment_code", "auth_code": wallet_code(next(_numbers))}
    return buy(order_no, {"method": "gift_card", "code": "GC500", "amount": 2000}, wallet)


def told(response: requests.Response | None) -> tuple[int, dict[str, Any]]:
    assert response is not None, "the server died"
    return response.status_code, dict(response.json())


def money(street: Street) -> tuple[int, int, int]:
    """On the card, at the wallet, on the account."""
    card = street.rows("SELECT balance FROM house_coupons WHERE code = 'GC500'")[0]["balance"]
    return card, street.money()["net"], street.rows("SELECT owed FROM house_accounts")[0]["owed"]


def test_part_by_gift_card_part_by_wallet_and_both_get_their_money_back(street: Street) -> None:
    before, sale = money(street), by_card("G-1")
    status, done = told(street.post("/checkouts", sale, "g-1"))
    assert (status, done["status"]) == (201, "completed"), done
    assert [(each["method"], each["amount"]) for each in done["tenders"]] == [
        ("gift_card", 2000),
        ("payment_code", 3990),
    ]
    again = told(street.post("/checkouts", sale, "g-1"))
    assert again == (status, done), "the key again: nothing is drawn again"
    assert money(street) == (before[0] - 2000, before[1] + 3990, before[2])
    status, back = told(street.post(f"/checkouts/{done['id']}/refunds", {"refund_no": "GR-1"}, "gr-1"))
    assert (status, back["status"], money(street)) == (201, "succeeded", before)


@pytest.mark.parametrize("point", ["after-send:payment_charge", "before-commit:paying"])
def test_a_worker_that_dies_in_the_payment_draws_the_card_once(street: Street, point: str) -> None:
    before, order_no = money(street), f"G-{point}"
    street.die_at(point)
    assert street.post("/checkouts", by_card(order_no), order_no) is None
    assert street.by_number(order_no, 60)["status"] == "completed"
    assert money(street) == (before[0] - 2000, before[1] + 3990, before[2])


def test_on_account_up_to_the_limit_and_no_further(street: Street) -> None:
    before, on_account = money(street), {"method": "on_account"}
    sold = []
    for number in range(1, 4):  # 56.91 for the gold member, three times: 170.73
        status, done = told(street.post("/checkouts", buy(f"A-{number}", on_account, member=MEMBER), f"a-{number}"))
        assert (status, done["status"], done["tenders"][0]["status"]) == (201, "completed", "paid"), done
        sold.append(done)
    status, refused = told(street.post("/checkouts", buy("A-4", on_account, member=MEMBER), "a-4"))
    assert (status, refused["type"].rpartition("/")[2]) == (409, "checkout-failed"), refused
    assert "limit" in refused["detail"]
    assert money(street) == (before[0], before[1], before[2] + 3 * 5691)
    status, _ = told(street.post(f"/checkouts/{sold[0]['id']}/refunds", {"refund_no": "AR-1"}, "ar-1"))
    assert (status, money(street)[2]) == (201, before[2] + 2 * 5691)
    status, _ = told(street.post("/checkouts", buy("A-5", on_account, member=MEMBER), "a-5"))
    assert status == 201, "what was given back may be used again"


def test_four_who_buy_at_once_owe_no_more_than_the_limit(street: Street) -> None:
    left = 20_000 - money(street)[2]
    replies: list[int] = []

    def pay(number: int) -> None:
        asked = buy(f"R-{number}", {"method": "on_account"}, member=MEMBER)
        replies.append(told(street.post("/checkouts", asked, f"r-{number}"))[0])

    assert in_threads(4, pay) == []
    assert replies.count(201) == left // 5691 and set(replies) <= {201, 409}, replies
    assert money(street)[2] <= 20_000
