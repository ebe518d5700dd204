"""Reconciliation and settlement with legacy tills and a bank terminal, whose rows are of their own making."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gateway.backoffice.report import print_reconciliation, print_settlement
from gateway.backoffice.result import Class
from gateway.backoffice.settle import settlement_of
from gateway.backoffice.sync import sync_products
from gateway.demo.stage import free_port
from gateway.domain.call import Call
from gateway.domain.common import Site
from gateway.domain.payments import Charge, Method
from gateway.sdk import Identity, IdentityType, Secret, Transaction
from gateway.sdk.simulator import Fault, Simulator
from plugins.alipay.simulator import AlipaySimulator
from plugins.convenience.simulator import ConvenienceSimulator
from plugins.department.simulator import DepartmentSimulator
from plugins.department.terminal_simulator import BankTerminalSimulator
from plugins.groupbuy.simulator import GroupBuySimulator
from plugins.house import members
from plugins.house.adapter import insert_identity, insert_member
from plugins.ktv.simulator import KtvSimulator
from plugins.restaurant.simulator import RestaurantSimulator
from tests.backoffice.conftest import FOREIGN_KEY, calendar_day, classes, reconciled, today
from tests.backoffice.systems import CORNER, KARAOKE, MALL, RESTAURANT, of_wallet
from tests.engine.kit import House, build

Open = Callable[[str, dict[str, Simulator]], House]
SECRETS = {
    "MIS_PASSWORD": "password",
    "MIS_LICENSE": "license",
    "KTV_MANAGER": "668899",
    "TILL_PASSWORD": "demo-till-9001",
    "OFFICE_SECRET": "demo-secret-of-qinghe",
}


@pytest.fixture
def open_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open a merchant with a wallet and these systems."""
    opened: list[House] = []
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    def make(file: str, systems: dict[str, Simulator]) -> House:
        wallet = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0", "bill_ready": "at_once"})
        opened.append(build(tmp_path, of_wallet(file, wallet), {"alipay": wallet, **systems}))
        return opened[-1]

    yield make
    for house in opened:
        house.stop()


def control(house: House, system: str, **command: Any) -> dict[str, Any]:
    return house.running[system].simulator.control(command)


def wallet(last: int = 6, amount: int | None = None) -> dict[str, Any]:
    tender: dict[str, Any] = {"method": "payment_code", "auth_code": f"28123456789012345{last}"}
    return tender if amount is None else {**tender, "amount": amount}


# --- a department store ----------------------------------------------------------------------------------------------

GOODS = (("K1", "6901000000018"), ("K2", "6901000000117"), ("K3", "6901000000216"))


@pytest.fixture
def mall(open_house: Open, tmp_path: Path) -> House:
    systems = {"mis": DepartmentSimulator(tmp_path / "mis"), "terminal": BankTerminalSimulator(tmp_path / "bank")}
    return open_house(MALL, systems)


def slips(mall: House) -> dict[str, Any]:
    """Three counters' slips for one cashier: example E30."""
    lines = [(counter, [{"item": item}]) for counter, item in GOODS]
    numbers = [control(mall, "mis", do="issue_slip", counter=k, lines=line)["slip_no"] for k, line in lines]
    return {"store_id": "lakeside", "source": {"kind": "slips", "ids": numbers}}


def test_three_counters_are_settled_to_the_fen(mall: House) -> None:
    reply, body = mall.checkout({**slips(mall), "order_no": "E30", "tenders": [wallet()]})
    assert (reply.status, body["quote"]["payable_amount"]) == (201, 145_700)
    statement = settlement_of(mall.engine, "m1", today(mall))
    parties = {party.party: party for party in statement.parties}
    assert [(name, party.due) for name, party in parties.items()] == [
        ("counter:K1", 60_070),
        ("counter:K2", 43_069),
        ("counter:K3", 11_452),
        ("mall", 30_235),
        ("acquirer", 874),
    ]
    assert parties["counter:K1"].kinds == {
        "sale": 74_550,
        "promo_cost": 6_140,
        "deduction": -20_173,
        "acquirer_fee": -447,
    }
    assert parties["counter:K1"].basis_amount == 80_690
    assert (statement.expected_amount, statement.entries_amount, statement.gaps) == (145_700, 145_700, [])
    assert statement.balanced


def test_a_settlement_that_does_not_add_up_says_where(mall: House) -> None:
    _, body = mall.checkout({**slips(mall), "order_no": "E30", "tenders": [wallet()]})
    mall.database.tx(
        lambda tx: tx.execute(
            "UPDATE settlement_entries SET amount = amount + 1 WHERE party = 'mall' AND kind = 'deduction'"
        )
    )
    statement = settlement_of(mall.engine, "m1", today(mall))
    assert (statement.balanced, statement.difference_amount) == (False, 1)
    (gap,) = statement.gaps
    assert (gap.subject, gap.expected_amount, gap.entries_amount) == (body["id"], 145_700, 145_701)


def test_a_refund_takes_its_part_out_of_the_settlement(mall: House) -> None:
    _, body = mall.checkout({**slips(mall), "order_no": "E30", "tenders": [wallet()]})
    scarf = next(line["line_id"] for line in body["quote"]["lines"] if line["sku"] == GOODS[2][1])
    mall.refunds.create(mall.asked(), body["id"], {"lines": [{"line_id": scarf, "quantity": "1"}]})
    statement = settlement_of(mall.engine, "m1", today(mall))
    assert (statement.checkouts, statement.refunds) == (1, 1)
    assert statement.entries_amount == statement.expected_amount == 145_700 - 16_502
    lines: list[str] = []
    print_settlement(statement, lines.append)
    assert any("✓" in line for line in lines)


def test_a_bank_terminal_is_matched_by_its_own_numbers(mall: House) -> None:
    """The terminal keeps no key of ours; a lost answer's sale is recognised by amount and time."""
    tenders = [{"method": "cash", "amount": 45_700}, {"method": "bank_card", "terminal_id": "T901"}]
    _, body = mall.checkout({**slips(mall), "order_no": "C1", "tenders": tenders})
    line = next(line["line_id"] for line in body["quote"]["lines"] if line["sku"] == GOODS[2][1])
    mall.refunds.create(mall.asked(), body["id"], {"lines": [{"line_id": line, "quantity": "1"}]})
    mall.settle(50)
    results = reconciled(mall)
    assert all(result.reconciled for result in results.values()), [r.to_json() for r in results.values()]
    terminal = results["terminal/payment_statement"]
    assert terminal.our_amount == mall.books("terminal")["net"]
    assert classes(terminal) == {Class.MATCHED: 2}
    assert results["mis/order_statement"].our_amount == mall.books("mis")["net"] == 145_700 - 16_502


def test_a_card_rung_up_by_hand_is_missing_at_ours(mall: House) -> None:
    request = Charge(
        amount=8_800,
        currency="CNY",
        method=Method.BANK_CARD,
        order_no="MANUAL",
        subject="manual",
        site=Site(store_id="lakeside", business_date=today(mall)),
    )
    until = datetime.now(UTC) + timedelta(seconds=10)
    mall.runtime.connection("m1", "terminal").change("payment_charge", request, Call(key=FOREIGN_KEY, deadline=until))
    result = reconciled(mall)["terminal/payment_statement"]
    assert classes(result) == {Class.MISSING_AT_OURS: 1}
    assert result.differences[0].theirs == 8_800


def test_a_sale_at_the_counter_is_no_business_of_ours(mall: House) -> None:
    numbers = slips(mall)["source"]["ids"]
    control(mall, "mis", do="till_sale", slip_nos=numbers)
    result = reconciled(mall)["mis/order_statement"]
    assert result.reconciled
    assert (result.operations, result.others, result.others_amount) == (0, 1, 175_700)


# --- a shop whose tills upload late ----------------------------------------------------------------------------------


@pytest.fixture
def corner(open_house: Open, tmp_path: Path) -> House:
    house = open_house(CORNER, {"office": ConvenienceSimulator(tmp_path / "office", {"upload_delay_s": "off"})})
    sync_products(house.engine, "m1")
    return house


def buns(corner: House, order_no: str = "B1", last: int = 6) -> dict[str, Any]:
    lines = [{"line_id": "a", "sku": "980001", "quantity": "2"}]
    reply, body = corner.checkout(
        {"store_id": "wulin", "order_no": order_no, "lines": lines, "tenders": [wallet(last)]}
    )
    assert reply.status == 201, body
    return body


def booked(corner: House) -> None:
    """Let the till ring up what was dropped, and upload."""
    corner.settle(20)
    control(corner, "office", do="upload")


def test_a_sale_that_is_not_uploaded_is_waited_for(corner: House) -> None:
    buns(corner)
    result = reconciled(corner)["office/order_statement"]
    assert (result.differences, result.reconciled) == ([], False)
    (waiting,) = result.pending
    assert (waiting.cls, waiting.detail, waiting.ours) == (Class.MISSING_IN_BILL, "deferred", 600)
    booked(corner)
    seen = reconciled(corner)["office/order_statement"]
    assert set(classes(seen)) <= {Class.STATUS_RESOLVED, Class.MATCHED}, "in the books before we have asked"
    corner.settle(20)
    after = reconciled(corner)["office/order_statement"]
    assert after.reconciled
    assert after.our_amount == after.their_amount == 600


def test_a_bill_uploaded_again_with_one_more_tender(corner: House) -> None:
    buns(corner)
    booked(corner)
    corner.settle(20)
    (flow,) = [bill["flow_no"] for bill in corner.books("office")["bills"]]
    control(corner, "office", do="upload_again", flow_no=flow, tender={"pay_way": "RMB", "amount": 300})
    result = reconciled(corner)["office/order_statement"]
    assert classes(result) == {Class.AMOUNT_MISMATCH: 1}
    assert (result.differences[0].ours, result.differences[0].theirs) == (600, 900)


# --- a karaoke house -------------------------------------------------------------------------------------------------

START = datetime.now(timezone(timedelta(hours=8))).replace(microsecond=0)
END = START + timedelta(hours=3)


@pytest.fixture
def karaoke(open_house: Open, tmp_path: Path) -> House:
    port = free_port()
    till = KtvSimulator(tmp_path / "ktv", {"port": str(port), "idle_s": "0.3"})
    systems = {"ktv": till, "groupbuy": GroupBuySimulator(tmp_path / "groupbuy")}
    return open_house(KARAOKE.replace("TILL_PORT", str(port)), systems)


def room(order_no: str, tenders: list[dict[str, Any]], resource: str = "801") -> dict[str, Any]:
    slot = {"resource_class": "S", "resource_id": resource, "from": START.isoformat(), "to": END.isoformat()}
    lines = [{"line_id": "room", "sku": "TC03", "slot": slot}]
    return {"store_id": "s1", "order_no": order_no, "lines": lines, "tenders": tenders}


def test_an_evening_with_a_deposit_a_voucher_and_drinks(karaoke: House) -> None:
    """The till keeps the end of our key only, and moves the deposit on from the room to its bill."""
    deposit = karaoke.deposits.create(
        karaoke.asked(), {"store_id": "s1", "amount": 30_000, "resource_id": "801", "tender": wallet(9)}
    )
    code = control(karaoke, "groupbuy", do="buy", deal="TC03")["codes"][0]
    reply, body = karaoke.checkout(room("K-1", [{"method": "voucher", "code": code, "count": 1}]))
    assert (reply.status, body["tasks"]) == (201, [])
    control(karaoke, "ktv", do="order", bill=body["session_id"], code="D001")
    source = {"kind": "session", "ids": [body["session_id"]]}
    karaoke.checkout({"store_id": "s1", "order_no": "K-2", "source": source, "tenders": [wallet(3)]})
    karaoke.deposits.release(karaoke.asked(), json.loads(deposit.body)["id"])
    days = {today(karaoke), START.date()}
    results = [result for day in days for result in reconciled(karaoke, day).values()]
    assert all(result.reconciled for result in results), [result.to_json() for result in results]
    sums = {hook: sum(r.our_amount for r in results if r.hook == hook) for hook in {r.hook for r in results}}
    assert sums == {"payment_statement": 6_800, "order_statement": 16_800 + 6_800, "coupon_statement": 1}


def test_a_whole_evening_given_back_comes_to_nothing(karaoke: House) -> None:
    _, body = karaoke.checkout(room("K-1", [wallet(1)]))
    control(karaoke, "ktv", do="close", bill=body["session_id"])
    reply = karaoke.refunds.create(karaoke.asked(), body["id"], {})
    assert reply.status == 201, reply.body
    result = reconciled(karaoke)["till/order_statement"]
    assert result.reconciled, result.to_json()
    assert (result.our_amount, result.their_amount, result.rows) == (0, 0, 2)


def test_a_deposit_that_the_network_delivered_twice(karaoke: House) -> None:
    """The till can't tell one message from the same again: it holds the deposit twice, the wallet took it once."""
    karaoke.fault("ktv", Fault("duplicate", "YJ", 1))
    karaoke.deposits.create(
        karaoke.asked(), {"store_id": "s1", "amount": 30_000, "resource_id": "801", "tender": wallet(9)}
    )
    karaoke.checkout(room("K-1", [wallet(1)]))  # the deposits move to the room's bill
    karaoke.settle(20)
    assert karaoke.books("ktv")["money"]["deposits_held"] == 60_000
    results = reconciled(karaoke)
    till = results["till/order_statement"]
    assert classes(till) == {Class.MATCHED: 1, Class.DUPLICATE_IN_BILL: 1}, till.to_json()
    assert (till.differences[0].ours, till.differences[0].theirs) == (30_000, 60_000)


# --- a restaurant ----------------------------------------------------------------------------------------------------


def guest(tx: Transaction) -> None:
    insert_member(tx, "m1", "mem1", "李先生", "gold", points=5000, real=0, gift=0)
    identity = Identity(type=IdentityType.PHONE, value=Secret("13800002002"))
    insert_identity(tx, "m1", "mem1", "phone", members.digest_of(identity, "m1"))


@pytest.fixture
def tables(open_house: Open, tmp_path: Path) -> House:
    house = open_house(RESTAURANT, {"restaurant": RestaurantSimulator(tmp_path / "chain", {"soldout_every_s": "0"})})
    house.database.tx(guest)
    return house


def dinner(tables: House) -> tuple[str, dict[str, Any]]:
    """Two guests pay a table with member price and 500 points: 387.10, of it 100.00 by the first."""
    items = [{"dish": dish} for dish in ("D0101", "D0102", "D0104", "D0106", "D0502")] + [{"dish": "D0506", "qty": 2}]
    bill = str(control(tables, "restaurant", do="seat", shop="SH01", items=items)["bsId"])
    reply, body = tables.checkout(
        {
            "store_id": "sh-01",
            "order_no": "T1",
            "source": {"kind": "bill", "ids": [bill]},
            "member": {"type": "phone", "value": "13800002002"},
            "points": 500,
            "tenders": [wallet(6, 10_000), wallet(7)],
        }
    )
    assert reply.status == 201, body
    return bill, body


def test_a_dinner_and_a_dish_given_back(tables: House) -> None:
    """The till takes the whole sale back and books anew what is kept: only the chain's sum agrees."""
    bill, body = dinner(tables)
    first = reconciled(tables)["tills/order_statement"]
    assert first.reconciled, first.to_json()
    assert (first.our_amount, first.explained) == (38_710, 2), "points and member price stand there as no income"
    reply = tables.refunds.create(tables.asked(), body["id"], {"lines": [{"line_id": f"{bill}-1", "quantity": "1"}]})
    results = reconciled(tables)
    assert all(result.reconciled for result in results.values()), [r.to_json() for r in results.values()]
    kept = 38_710 - json.loads(reply.body)["amount"]
    wallets_day = reconciled(tables, calendar_day(tables))  # till four in the morning a day ahead of the till's
    assert results["tills/order_statement"].our_amount == wallets_day["alipay/payment_statement"].our_amount == kept
    tables.refunds.create(tables.asked(), body["id"], {})
    assert all(result.reconciled for result in reconciled(tables).values())


def test_staff_settle_our_bill_anew(tables: House) -> None:
    bill, _ = dinner(tables)
    control(tables, "restaurant", do="settle_again", shop="SH01", bill=bill)
    results = reconciled(tables)
    print_reconciliation(results.values(), print)
    assert Class.AMOUNT_MISMATCH in classes(results["tills/order_statement"])
    assert results["alipay/payment_statement"].reconciled
