"""Against a real Tryton: bills, members, the server killed half-way, and the day's reconciliation."""

from __future__ import annotations

import threading
import time
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from gateway.sdk import (
    AdapterError,
    Declined,
    Done,
    Enrol,
    Identity,
    IdentityType,
    MemberLookup,
    Misconfigured,
    NotFound,
    NotSent,
    OrderVoid,
    Original,
    OutcomeUnknown,
    Secret,
    StatementRequest,
    StatementRow,
)
from plugins.tryton.adapter import TrytonAdapter
from plugins.tryton.real.desk import Desk
from plugins.tryton.real.server import TrytonServer
from tests.plugins.tryton.support import SITE, asked, call, key, line, reserve, sale, taken_back

HALF_PRICE = date(2026, 8, 8)


def statement(adapter: TrytonAdapter, day: date) -> list[StatementRow]:
    rows: list[StatementRow] = []
    cursor = ""
    for _ in range(50):
        page = adapter.order_statement(StatementRequest(business_date=day, cursor=cursor))
        rows += page.items
        cursor = page.next_cursor or ""
        if not cursor:
            return rows
    raise AssertionError("the statement does not end")


def totals(desk: Desk, name: str) -> list[tuple[str, str]]:
    rows = desk.rows("sale.sale", [["reference", "=", name]], "state", "total_amount")
    return [(row["state"], str(row["total_amount"])) for row in rows]


def test_a_bill_comes_to_what_was_paid_to_the_fen(adapter: TrytonAdapter, desk: Desk) -> None:
    """Discounts that do not divide, points and fees: the till's total is the money taken, or the day never balances."""
    request = sale(line("RC1", "3", 29900, 79999), line("TB2", "7", 8990, 60001), paid=(100_000, 39_000), points=1000)
    name = key()
    done = adapter.order_post(request, call(name))
    assert isinstance(done, Done)
    assert done.amount == 139_000
    assert totals(desk, name) == [("processing", "1390.00")]


def in_force(desk: Desk) -> int:
    """A promotion without a coupon: half price for whoever buys on that day."""
    return desk.create(
        "sale.promotion", name="Half", formula="0.5 * unit_price", start_date=HALF_PRICE, end_date=HALF_PRICE
    )


def test_a_promotion_in_force_does_not_lower_a_bill_that_is_paid(adapter: TrytonAdapter, desk: Desk) -> None:
    """Tryton lowers the prices of every sale that is quoted, and says nothing: the bill would be below the money."""
    in_force(desk)
    goods, fee = line("RC1", "2", 29900), line("FEE", "1", 500)
    for request in (sale(goods, day=HALF_PRICE), sale(goods, fee, day=HALF_PRICE, points=100)):
        name = key()
        done = adapter.order_post(request, call(name))
        assert isinstance(done, Done)
        assert done.amount == request.payable_amount
        assert [Decimal(total) * 100 for _, total in totals(desk, name)] == [request.payable_amount]


def test_tryton_itself_lowers_a_quoted_sale_and_fails_at_a_line_without_goods(desk: Desk) -> None:
    """Why prices are read back before a bill is confirmed. If this fails, Tryton has learnt it."""
    in_force(desk)
    rice = desk.rows("product.product", [["code", "=", "RC1"]], "default_uom")[0]
    goods = {"product": rice["id"], "unit": rice["default_uom"], "quantity": 1.0, "unit_price": Decimal(299)}
    number = typed(desk, HALF_PRICE, goods)
    desk("sale.sale.quote", [number])
    assert desk.rows("sale.sale", [["id", "=", number]], "total_amount")[0]["total_amount"] == Decimal("149.50")
    with pytest.raises(RuntimeError):
        desk("sale.sale.quote", [typed(desk, HALF_PRICE, {"quantity": 1.0, "unit_price": Decimal(5)})])


def test_the_same_bill_sent_twice_is_one_sale(adapter: TrytonAdapter, desk: Desk) -> None:
    """A repeat after a lost answer books nothing."""
    request, name = sale(line("RC1", "1", 29900)), key()
    first = adapter.order_post(request, call(name))
    second = adapter.order_post(request, call(name, attempt=2))
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert first.ref == second.ref
    assert len(totals(desk, name)) == 1
    assert isinstance(adapter.order_query(asked("order_post", name, request)), Done)
    assert adapter.order_query(asked("order_post", key(), request)) == NotFound()


def test_a_bill_is_voided_and_returned_by_sales_of_the_opposite_sign(adapter: TrytonAdapter) -> None:
    """Tryton refuses to cancel a confirmed sale; the day must still come to nothing, by tender."""
    day = date(2026, 10, 1)
    voided, returned = key(), key()
    first = sale(line("RC1", "2", 29900, 55_555), paid=(30_000, 25_555), day=day)
    second = sale(line("TB2", "3", 8990), day=day)
    adapter.order_post(first, call(voided))
    adapter.order_post(second, call(returned))
    void = OrderVoid(original=Original(key=voided), order_no=first.order_no, site=SITE, amount=55_555)
    undo = key()
    for attempt in (1, 2):
        assert isinstance(adapter.order_void(void, call(undo, attempt=attempt)), Done)
    assert isinstance(adapter.order_query(asked("order_void", undo, void)), Done)
    give_back = taken_back(returned, second, line("TB2", "1", 8990), day=day)
    assert isinstance(adapter.order_return(give_back, call()), Done)
    rows = statement(adapter, day)
    assert sum(row.amount for row in rows if row.key == voided) == 55_555
    assert [row.amount for row in statement(adapter, SITE.business_date) if row.key == undo] == [-30_000, -25_555]
    assert sum(row.amount for row in rows if row.key != voided) == 2 * 8990


def test_the_statement_has_every_sale_of_the_day_and_those_of_the_desk(adapter: TrytonAdapter, desk: Desk) -> None:
    """Reconciliation sees what somebody typed in by hand, with no key of ours."""
    day = date(2026, 10, 2)
    names = [key() for _ in range(3)]
    for number, name in enumerate(names, 1):
        adapter.order_post(sale(line("TB2", str(number), 8990), day=day), call(name))
    by_hand(desk, day)
    rows = statement(adapter, day)
    assert {row.key: row.amount for row in rows} == {**{n: 8990 * i for i, n in enumerate(names, 1)}, "": 1234}


def by_hand(desk: Desk, day: date) -> None:
    number = typed(desk, day, {"description": "by hand", "quantity": 1.0, "unit_price": Decimal("12.34")})
    for button in ("quote", "confirm"):
        desk(f"sale.sale.{button}", [number])


def typed(desk: Desk, day: date, row: dict[str, Any]) -> int:
    """A sale that somebody types in."""
    party = desk.rows("party.party", [["code", "=", "WALKIN"]], "addresses")[0]
    return desk.create(
        "sale.sale",
        party=party["id"],
        invoice_address=party["addresses"][0],
        shipment_address=party["addresses"][0],
        warehouse=desk.rows("stock.location", [["type", "=", "warehouse"]], "code")[0]["id"],
        currency=desk.rows("currency.currency", [["code", "=", "CNY"]], "code")[0]["id"],
        sale_date=day,
        invoice_method="manual",
        shipment_method="manual",
        lines=[["create", [row]]],
    )


def test_a_member_is_enrolled_once_and_found_by_telephone(adapter: TrytonAdapter, desk: Desk) -> None:
    """Two records of one person split what she has."""
    phone = Identity(type=IdentityType.PHONE, value=Secret(f"138{time.time_ns() % 10**8:08d}"))
    assert adapter.member_find(MemberLookup(identity=phone)) is None
    name = key()
    request = Enrol(identities=(phone,), display_name="王小姐")
    first = adapter.member_enrol(request, call(name))
    second = adapter.member_enrol(request, call(key()))
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert first.ref == second.ref
    assert second.replayed
    found = adapter.member_find(MemberLookup(identity=phone))
    assert found is not None
    assert (found.ref, found.display_name) == (first.ref, "王小姐")
    assert isinstance(adapter.member_query(asked("member_enrol", name, request)), Done)


def test_wrong_settings_are_said_with_what_to_do(adapter: TrytonAdapter, rebuild) -> None:  # type: ignore[no-untyped-def]
    """A person who sets it up reads this text."""
    adapter.check()
    with pytest.raises(Misconfigured, match="NOSUCH"):
        rebuild(stores={"east": "NOSUCH"}).check()
    with pytest.raises(Misconfigured, match="password"):
        rebuild(user="nobody").check()


def test_a_server_that_is_down_was_sent_nothing_and_one_killed_half_way_is_asked(
    adapter: TrytonAdapter, server: TrytonServer, desk: Desk
) -> None:
    """kill -9 in the middle of bills and holds: afterwards each is there once or not at all, and the query knows."""
    adapter.check()
    outcomes: dict[str, object] = {}
    requests = {key(): sale(line("TB2", "1", 8990), day=date(2026, 10, 3)) for _ in range(12)}

    def post(name: str) -> None:
        try:
            outcomes[name] = adapter.order_post(requests[name], call(name, seconds=6))
        except AdapterError as error:
            outcomes[name] = error

    threads = [threading.Thread(target=post, args=(name,), daemon=True) for name in requests]
    for number, thread in enumerate(threads):
        thread.start()
        if number == 5:
            time.sleep(0.7)
            server.kill()
    for thread in threads:
        thread.join(20)
    with pytest.raises(NotSent):
        adapter.stock_reserve(reserve("RC1", 1), call())
    server.start()
    assert {type(outcome) for outcome in outcomes.values()} <= {Done, NotSent, OutcomeUnknown}, outcomes
    assert any(not isinstance(outcome, Done) for outcome in outcomes.values())
    for name, request in requests.items():
        known = adapter.order_query(asked("order_post", name, request))
        if isinstance(outcomes[name], Done):
            assert isinstance(known, Done)
        assert isinstance(adapter.order_post(request, call(name, attempt=2)), Done)
        booked = [total for state, total in totals(desk, name) if state == "processing"]
        assert booked == ["89.90"]
    assert sum(row.amount for row in statement(adapter, date(2026, 10, 3))) == 12 * 8990
    assert not isinstance(outcomes, Declined)
