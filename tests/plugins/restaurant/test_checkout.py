"""Protects the whole way: a table's bill over the gateway's engine, a real wallet and the tills, with lost answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.backoffice.sync import sync_products
from gateway.engine.problems import Problem
from gateway.runtime import Connection
from gateway.sdk import BillLookup, Identity, IdentityType, Secret, StatementRequest, Transaction
from gateway.sdk.simulator import Fault
from plugins.alipay.simulator import AlipaySimulator
from plugins.house import members
from plugins.house.adapter import insert_identity, insert_member
from plugins.restaurant.simulator import RestaurantSimulator
from tests.engine.kit import House, build

PHONE = "13800002002"
CHAIN = """
[merchant]
id = "m1"
name = "青禾里"
[[stores]]
id = "sh-01"
name = "徐汇漕溪店"
[connections.house]
adapter = "house"
[connections.house.settings]
tiers = { gold = 9000 }
[connections.tills]
adapter = "restaurant"
insecure_transport = true
[connections.tills.settings]
till_url = "<restaurant.till>"
operator = "9001"
password = "env:TEST_TILL_PASSWORD"
office_url = "<restaurant.office>"
brand_id = "810001"
app_key = "qinghe-gateway"
app_secret = "env:TEST_OFFICE_SECRET"
sold_out_folder = "<restaurant.sold>"
takeaway_seats = ["W01", "W02"]
timeout_s = 1.0
[connections.tills.settings.shops]
sh-01 = { code = "SH01", service_basis = "net", rounding = "jiao" }
[connections.club]
adapter = "restaurant-members"
[connections.club.settings]
office_url = "<restaurant.office>"
brand_id = "810001"
app_key = "qinghe-gateway"
app_secret = "env:TEST_OFFICE_SECRET"
[connections.alipay]
adapter = "alipay"
insecure_transport = true
[connections.alipay.settings]
endpoint = "http://<alipay.gateway>/gateway.do"
app_id = "APP"
seller_id = "SELLER"
timeout_s = 1.0
app_private_key = "file:<alipay.data>/app_private_key.pem"
alipay_public_key = "file:<alipay.data>/alipay_public_key.pem"
[[routes]]
family = "payments"
connection = "alipay"
[[routes]]
family = "membership"
connection = "house"
[[routes]]
family = "stock"
connection = "tills"
[[routes]]
family = "orders"
connection = "tills"
[pricing.points]
rule = { points = 100, amount = 100 }
earn = { per_amount = 100, points = 1 }
"""
#: Dishes 88.00, 128.55, 46.00, 38.00, drinks 36.00 and 2 × 25.00: 425.20 with service, 392.10 for a member at 9折.
ITEMS = [{"dish": dish} for dish in ("D0101", "D0102", "D0104", "D0106", "D0502")] + [{"dish": "D0506", "qty": 2}]
CODES = ("281234567890123456", "281234567890123457")


def seed(tx: Transaction) -> None:
    insert_member(tx, "m1", "mem1", "李先生", "gold", points=5000, real=0, gift=0)
    identity = Identity(type=IdentityType.PHONE, value=Secret(PHONE))
    insert_identity(tx, "m1", "mem1", "phone", members.digest_of(identity, "m1"))


@pytest.fixture(scope="module")
def wallet_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wallet's key pairs, which take long to make: one set for all tests here."""
    folder = tmp_path_factory.mktemp("keys")
    AlipaySimulator(folder, {"latency_ms": "0"})
    return folder


def start_house(folder: Path, keys: Path, merchant: str) -> House:
    (folder / "alipay").mkdir()
    for file in (*keys.glob("*.pem"), keys / "merchant.json"):
        shutil.copy2(file, folder / "alipay")
    wallet = AlipaySimulator(folder / "alipay", {"latency_ms": "0"})
    who = json.loads((folder / "alipay" / "merchant.json").read_text())
    merchant = merchant.replace("APP", who["app_id"], 1).replace("SELLER", who["seller_id"])
    chain = RestaurantSimulator(folder / "restaurant", {"soldout_every_s": "0"})
    return build(folder, merchant, {"alipay": wallet, "restaurant": chain})


@pytest.fixture
def tables(tmp_path: Path, secrets: None, wallet_keys: Path) -> Iterator[House]:
    """Members are the house's."""
    house = start_house(tmp_path, wallet_keys, CHAIN)
    house.database.tx(seed)
    yield house
    house.stop()


@pytest.fixture
def club(tmp_path: Path, secrets: None, wallet_keys: Path) -> Iterator[House]:
    """Members are the head office's own."""
    ours, theirs = ('family = "membership"\nconnection = "house"', 'family = "membership"\nconnection = "club"')
    assert ours in CHAIN
    house = start_house(tmp_path, wallet_keys, CHAIN.replace(ours, theirs))
    yield house
    house.stop()


def seat(house: House, **fields: Any) -> dict[str, Any]:
    command = {"do": "seat", "shop": "SH01", "items": ITEMS, **fields}
    return house.running["restaurant"].simulator.control(command)


def till(house: House) -> Connection:
    found = house.runtime.route("m1", "orders", store_id="sh-01")
    assert found is not None
    return found


def table_checkout(bill: str, **fields: Any) -> dict[str, Any]:
    """Two guests pay a table with member price and 500 points: 387.10, of it 100.00 by the first."""
    return {
        "store_id": "sh-01",
        "order_no": "T1",
        "source": {"kind": "bill", "ids": [bill]},
        "member": {"type": "phone", "value": PHONE},
        "points": 500,
        "tenders": [
            {"method": "payment_code", "auth_code": CODES[0], "amount": 10_000},
            {"method": "payment_code", "auth_code": CODES[1]},
        ],
        **fields,
    }


def in_force(house: House, bill: str) -> list[tuple[str, int]]:
    rows = house.books("restaurant")["bills"][bill]["tenders"]
    return [(row["code"], row["amount"]) for row in rows if row["state"] == 1]


def charged(house: House) -> int:
    return int(house.books("alipay")["money"]["net"])


PAID = [("04", 10_000), ("04", 28_710), ("06", 500), ("12", 3310)]


def test_a_table_is_paid_by_two_guests_with_member_price_and_points(tables: House) -> None:
    bill = str(seat(tables, table="A08")["bsId"])
    (found,) = till(tables).bills(BillLookup(store_id="sh-01", resource_id="A08"))
    assert found.due_amount == 42_520
    reply, body = tables.checkout(table_checkout(bill))
    assert (reply.status, body["status"]) == (201, "completed")
    assert body["quote"]["payable_amount"] == 38_710
    assert charged(tables) == 38_710
    assert in_force(tables, bill) == PAID
    assert tables.books("restaurant")["bills"][bill]["cleared"]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("bill", "garbage"),
        ("prebill", "drop_after"),
        ("prebill", "drop_before"),
        ("pay", "drop_after"),
        ("pay", "drop_before"),
        ("pay", "duplicate"),
    ],
)
def test_whatever_a_till_answers_the_sale_is_once_in_both_books(tables: House, command: str, fault: str) -> None:
    bill = str(seat(tables)["bsId"])
    request = table_checkout(bill)
    tables.fault("restaurant", Fault(fault, command, 1))
    try:
        _, body = tables.checkout(request)
    except Problem as problem:
        # Refused before anything was held: the same may be asked again.
        assert (problem.status, charged(tables)) == (503, 0)
        _, body = tables.checkout(request)
    for _ in range(8):
        if body["status"] == "completed" and in_force(tables, bill) == PAID:
            break
        # A message that may still be on its way is waited for before the row is booked again.
        tables.settle(20)
        body = tables.checkouts.get("m1", body["id"])
    assert body["status"] == "completed"
    assert (charged(tables), in_force(tables, bill)) == (38_710, PAID)


def test_a_table_whose_payment_is_declined_is_open_again(tables: House) -> None:
    bill = str(seat(tables)["bsId"])
    empty = tables.running["alipay"].simulator.control({"do": "make_code", "buyer": "2088000000009999", "balance": 0})
    request = table_checkout(bill)
    request["tenders"][1]["auth_code"] = empty["auth_code"]
    reply, _ = tables.checkout(request)
    assert (reply.status, charged(tables)) == (402, 0)
    books = tables.books("restaurant")["bills"][bill]
    assert (books["state"], books["settle_state"], books["paid_amount"]) == (0, 0, 0)


def test_a_dish_is_refunded_in_the_wallet_and_in_the_till(tables: House) -> None:
    bill = str(seat(tables)["bsId"])
    _, body = tables.checkout(table_checkout(bill))
    reply = tables.refunds.create(tables.asked(), body["id"], {"lines": [{"line_id": f"{bill}-1", "quantity": "1"}]})
    assert reply.status == 201
    back = json.loads(reply.body)["amount"]
    assert charged(tables) == 38_710 - back
    rows = in_force(tables, bill)
    assert sum(amount for code, amount in rows if code == "04") == 38_710 - back
    assert tables.books("restaurant")["bills"][bill]["lines"] == 5


def test_everything_is_refunded_and_the_bill_is_gone(tables: House) -> None:
    bill = str(seat(tables)["bsId"])
    _, body = tables.checkout(table_checkout(bill))
    reply = tables.refunds.create(tables.asked(), body["id"], {})
    assert (reply.status, charged(tables)) == (201, 0)
    books = tables.books("restaurant")["bills"][bill]
    assert (books["state"], books["lines"], in_force(tables, bill)) == (2, 0, [])


def test_a_bill_that_was_changed_is_not_paid(tables: House) -> None:
    opened = seat(tables)
    request = table_checkout(str(opened["bsId"]))
    quote = tables.checkouts.quote("m1", {name: request[name] for name in ("store_id", "source", "member", "points")})
    tables.running["restaurant"].simulator.control(
        {"do": "order", "shop": "SH01", "bill": opened["bsId"], "items": [{"dish": "D0504"}]}
    )
    with pytest.raises(Problem) as refused:
        tables.checkout({**request, "expected_payable_amount": quote["payable_amount"]})
    assert (refused.value.status, charged(tables)) == (409, 0)


def test_two_tables_are_paid_together(tables: House) -> None:
    one, two = str(seat(tables)["bsId"]), str(seat(tables, items=[{"dish": "D0102"}])["bsId"])
    request = table_checkout(one, tenders=[{"method": "payment_code", "auth_code": CODES[0]}])
    request["source"]["ids"] = [one, two]
    reply, body = tables.checkout(request)
    assert (reply.status, body["status"]) == (201, "completed")
    books = tables.books("restaurant")["bills"]
    assert all(books[bill]["state"] == 1 for bill in (one, two))
    rows = in_force(tables, one) + in_force(tables, two)
    assert sum(amount for code, amount in rows if code == "04") == charged(tables)


def takeaway(order_no: str) -> dict[str, Any]:
    return {
        "store_id": "sh-01",
        "order_no": order_no,
        "lines": [{"sku": "D0402", "quantity": "2"}, {"sku": "D0118", "quantity": "1"}],
        "tenders": [{"method": "payment_code", "auth_code": CODES[0]}],
    }


def test_dishes_to_take_away_are_held_sold_and_rung_up_at_the_till(tables: House) -> None:
    assert sync_products(tables.engine, "m1").read == 58
    simulator = tables.running["restaurant"].simulator
    simulator.control({"do": "set_soldout", "shop": "SH01", "dish": "D0118", "left": 1})
    reply, _ = tables.checkout(takeaway("W1"))
    assert (reply.status, charged(tables)) == (201, 2 * 2200 + 15_800)
    (bill,) = tables.books("restaurant")["bills"].values()
    assert (bill["paid_amount"], bill["cleared"]) == (charged(tables), True)
    with pytest.raises(Problem) as sold_out:
        tables.checkout(takeaway("W2"))
    assert (sold_out.value.slug, charged(tables)) == ("out-of-stock", 2 * 2200 + 15_800)


def test_the_day_can_be_reconciled_from_the_head_office(tables: House) -> None:
    bill = str(seat(tables)["bsId"])
    tables.checkout(table_checkout(bill))
    simulator = tables.running["restaurant"].simulator
    assert isinstance(simulator, RestaurantSimulator)
    day = date.fromisoformat(simulator.till("SH01").business_date())
    page = till(tables).statement("order_statement", StatementRequest(business_date=day))
    assert sum(row.amount for row in page.items if row.kind == "sale") == charged(tables)
    assert len({row.key for row in page.items}) == 1


#: 孙 of the head office: level V3 pays 90 %, 2000 points, 200.00 paid in, 40.00 on top, 100.00 in advance.
CLUB_MEMBER, CLUB_PHONE = "C810002", "13800002002"


def test_points_and_value_of_the_head_office_pay_a_part_and_come_back(club: House) -> None:
    before = club.books("restaurant")["crm"]["members"][CLUB_MEMBER]
    bill = str(seat(club)["bsId"])
    tenders = [
        {"method": "stored_value", "amount": 15_000},
        {"method": "payment_code", "auth_code": CODES[0]},
    ]
    request = table_checkout(bill, member={"type": "phone", "value": CLUB_PHONE}, tenders=tenders)
    reply, body = club.checkout(request)
    assert (reply.status, body["quote"]["payable_amount"]) == (201, 38_710)
    assert charged(club) == 38_710 - 15_000
    after = club.books("restaurant")["crm"]["members"][CLUB_MEMBER]
    assert sum(before[name] - after[name] for name in ("real", "gift", "pre")) == 15_000
    assert (after["frozen"], after["points"]) == (0, before["points"] - 500 + 387)
    assert [code for code, _ in in_force(club, bill)] == ["05", "04", "06", "12"]
    back = club.refunds.create(club.asked(), body["id"], {})
    assert (back.status, charged(club)) == (201, 0)
    assert club.books("restaurant")["crm"]["members"][CLUB_MEMBER] == before
