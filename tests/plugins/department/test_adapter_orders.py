"""Orders: slips found, priced, locked, booked once whatever happens to the answer, taken out and returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from marshmallow import ValidationError

from gateway.sdk import (
    BillHold,
    BillLookup,
    BillPrice,
    BillRef,
    BillRelease,
    Declined,
    DeclineReason,
    Done,
    Fee,
    Method,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    OrderReturn,
    OrderVoid,
    Original,
    OutcomeUnknown,
    Query,
    Secret,
    Site,
    StatementRequest,
    Step,
    TenderLine,
)
from plugins.department.settlement_file import find_day_file, read_day_file

E30 = [74550, 54648, 16502]  # what is left of 899.00, 659.00 and 199.00 after 300.00 off


def find(adapter: Any, slips: list[str]) -> Any:
    return adapter.bill_find(request=BillLookup(store_id="lakeside", slip_nos=tuple(slips)))


def query(desk: Any, hook: str, name: str, request: Any) -> Query:
    return Query(hook=hook, key=desk.key(name), request=request, sent_at=datetime.now(UTC))


def test_slips_are_bills_with_versions_that_change(store: Any, adapter: Any) -> None:
    slips = store.three_slips()
    bills = find(adapter, [*slips, "K19999990001"])
    assert [bill.due_amount for bill in bills] == [89900, 65900, 19900]
    assert all(bill.stock_held and bill.store_id == "lakeside" for bill in bills)
    line = bills[0].lines[0]
    assert (line.counter_id, line.facts["settle_code"], line.facts["deduction_bp"]) == ("K1", "J1001", 2500)
    assert (line.name, line.category, line.quantity) == ("女士真皮短靴", "shoes", Decimal(1))
    store.do("change_slip", slip_no=slips[0], discount=5000)
    changed = find(adapter, slips)[0]
    assert changed.due_amount == 84900
    assert changed.version != bills[0].version
    assert adapter.bill_find(request=BillLookup(store_id="eastgate", slip_nos=tuple(slips))) == ()


def test_the_settle_code_decides_price_and_deduction_rate(store: Any, adapter: Any) -> None:
    slip = store.slip("K1", "6901000000018", settle_code="J1002")
    line = find(adapter, [slip])[0].lines[0]
    assert (line.unit_amount, line.facts["deduction_bp"]) == (69900, 2000)


def test_the_counters_own_discount_is_in_the_price_to_the_fen(store: Any, adapter: Any, desk: Any) -> None:
    """Quantity × unit price is what the slip says is due; where that is no whole fen, the line is one unit."""
    even = store.slip("K3", "6901000000216", quantity="2", discount=1000)
    odd = store.slip("K3", "6901000000216", quantity="3", discount=100)
    lines = [bill.lines[0] for bill in find(adapter, [even, odd])]
    assert [(line.quantity, line.unit_amount, line.gross_amount) for line in lines] == [
        (Decimal(2), 19400, 38800),
        (Decimal(1), 59600, 59600),
    ]
    done = adapter.order_post(request=desk.order(find(adapter, [even, odd]), [38800, 59600]), call=desk.call("p"))
    assert isinstance(done, Done)
    assert [line["quantity"] for line in store.books["sales"][0]["lines"]] == ["2.000", "3.000"]


def test_numbers_that_cannot_be_in_the_till_are_not_found_or_not_sent(store: Any, adapter: Any, desk: Any) -> None:
    odd = ["开票单号一二三四", "x" * 200, "' OR 1=1 --", "", "K1%"]
    assert find(adapter, odd) == ()
    bills = find(adapter, [store.slip("K3", "6901000000216")])
    order = desk.order(bills, [19900])
    long = replace(order, lines=(replace(order.lines[0], sku="6901000000216" * 2),))
    with pytest.raises(NotSupported, match="item code"):
        adapter.order_post(request=long, call=desk.call("p"))
    assert store.books["sales"] == []


def price(adapter: Any, desk: Any, bills: Any, site: Site, *tenders: TenderLine, member: str = "") -> Any:
    return adapter.bill_price(request=BillPrice(site=site, bills=desk.refs(bills), tenders=tenders, member_ref=member))


def test_the_till_prices_with_the_tenders_meant(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    bills = find(adapter, store.three_slips())
    total = price(adapter, desk, bills, site)
    assert (total.payable_amount, total.discount_amount) == (145700, 30000)
    assert list(total.lines.values()) == E30
    gift = TenderLine(tender_id="t", method=Method.GIFT_CARD, amount=30000)
    assert price(adapter, desk, bills, site, gift).discount_amount == 20000
    store.fault("calc_off")
    assert price(adapter, desk, bills, site).payable_amount == 145701


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "garbage", "half_body", "wrong_encoding", "error"])
def test_trouble_while_pricing_is_never_a_price(store: Any, adapter: Any, desk: Any, site: Site, fault: str) -> None:
    bills = find(adapter, store.three_slips())
    store.fault(fault, "caldecmoney")
    with pytest.raises(OutcomeUnknown):
        price(adapter, desk, bills, site)


def test_a_sale_is_booked_with_lines_tenders_and_the_matrix(store: Any, adapter: Any, desk: Any) -> None:
    bills = find(adapter, store.three_slips())
    steps: list[Step] = []
    done = adapter.order_post(request=desk.order(bills, E30), call=desk.call("p", journal=steps))
    assert isinstance(done, Done)
    assert done.amount == 145700
    assert [(step.name, step.done) for step in steps] == [
        ("sale", False), ("sale", True), ("slips", False), ("slips", True)
    ]  # fmt: skip
    (sale,) = store.books["sales"]
    assert (sale["document"], sale["reference"], sale["net"]) == (done.ref, desk.key("p"), 145700)
    assert [(line["counter"], line["settle_code"], line["net"], line["promotion"]) for line in sale["lines"]] == [
        ("K1", "J1001", 74550, 15350), ("K2", "J2001", 54648, 11252), ("K3", "J3001", 16502, 3398)
    ]  # fmt: skip
    assert [(tender["code"], tender["amount"]) for tender in sale["tenders"]] == [("CC", 72850), ("AP", 72850)]
    assert len(sale["splits"]) == 6
    assert sum(part["amount"] for part in sale["splits"] if part["payment_line"] == 1) == 72850
    assert {slip["state"] for slip in store.books["slips"].values()} == {"1"}


def test_points_rounding_and_fees_are_rows_of_the_till(store: Any, adapter: Any, desk: Any) -> None:
    """Goods = payments must hold in the till although points and rounding are no tenders to us."""
    bills = find(adapter, [store.slip("K3", "6901000000216")])
    order = desk.order(bills, [19900])
    order = replace(
        order,
        fees=(Fee(fee_id="f1", kind="wrap", amount=500),),
        points_used=100,
        points_amount=390,
        rounding_amount=10,
        payable_amount=20000,
        tenders=(TenderLine(tender_id="t1", method=Method.CASH, amount=20000),),
        splits=(
            replace(order.splits[0], line_id=order.lines[0].line_id, tender_id="t1", amount=19500),
            replace(order.splits[0], line_id="f1", tender_id="t1", amount=500),
        ),
    )
    assert isinstance(adapter.order_post(request=order, call=desk.call("p")), Done)
    (sale,) = store.books["sales"]
    assert {tender["code"]: tender["amount"] for tender in sale["tenders"]} == {"CH": 20000, "JF": 390, "ML": 10}
    assert sale["net"] == 20400


LOST = ["drop_after", "garbage", "half_body", "wrong_amount", "wrong_id", "wrong_encoding"]


@pytest.mark.parametrize("fault", LOST)
def test_a_lost_answer_is_found_in_the_database_and_nothing_is_booked_twice(
    store: Any, adapter: Any, desk: Any, fault: str
) -> None:
    bills = find(adapter, store.three_slips())
    store.fault(fault, "postsalescreate")
    done = adapter.order_post(request=desk.order(bills, E30), call=desk.call("p"))
    assert isinstance(done, Done)
    assert store.books["net"] == 145700
    again = adapter.order_post(request=desk.order(bills, E30), call=desk.call("p", attempt=2))
    assert isinstance(again, Done)
    assert (again.ref, again.replayed) == (done.ref, True)
    assert len(store.books["sales"]) == 1


@pytest.mark.parametrize("fault", ["drop_before", "error", "disk_full"])
def test_an_upload_that_did_not_act_is_unknown_and_its_repeat_books_once(
    store: Any, adapter: Any, desk: Any, fault: str
) -> None:
    bills = find(adapter, store.three_slips())
    order = desk.order(bills, E30)
    store.fault(fault, "postsalescreate")
    with pytest.raises(OutcomeUnknown):
        adapter.order_post(request=order, call=desk.call("p"))
    assert store.books["sales"] == []
    assert adapter.order_query(request=query(desk, "order_post", "p", order)) == NotFound()
    done = adapter.order_post(request=order, call=desk.call("p", attempt=2))
    assert isinstance(done, Done)
    assert len(store.books["sales"]) == 1
    assert adapter.order_query(request=query(desk, "order_post", "p", order)).ref == done.ref


def test_a_late_success_meets_its_own_number(store: Any, adapter: Any, desk: Any) -> None:
    """The first upload acts after the second: the server refuses one of them as 单号重复."""
    bills = find(adapter, store.three_slips())
    store.fault("late_success", "postsalescreate", value=300)
    with pytest.raises(OutcomeUnknown):
        adapter.order_post(request=desk.order(bills, E30), call=desk.call("p"))
    done = adapter.order_post(request=desk.order(bills, E30), call=desk.call("p", attempt=2))
    assert isinstance(done, Done)
    import time

    time.sleep(0.5)
    assert [sale["document"] for sale in store.books["sales"]] == [done.ref]


def test_a_duplicate_on_the_network_books_once(store: Any, adapter: Any, desk: Any) -> None:
    bills = find(adapter, store.three_slips())
    store.fault("duplicate", "postsalescreate")
    done = adapter.order_post(request=desk.order(bills, E30), call=desk.call("p"))
    assert isinstance(done, Done)
    assert done.replayed
    assert store.books["net"] == 145700


def test_a_server_that_is_down_is_not_sent(store: Any, make_adapter: Callable[..., Any], desk: Any) -> None:
    adapter = make_adapter(soap_url="http://127.0.0.1:9/sales.asmx")
    bills = find(adapter, store.three_slips())
    with pytest.raises(NotSent):
        adapter.order_post(request=desk.order(bills, E30), call=desk.call("p"))
    assert store.books["sales"] == []


def test_a_slow_server_is_unknown_at_the_deadline(store: Any, adapter: Any, desk: Any) -> None:
    bills = find(adapter, store.three_slips())
    store.fault("latency", "postsalescreate", value=700)
    with pytest.raises(OutcomeUnknown):
        adapter.order_post(request=desk.order(bills, E30), call=desk.call("p", seconds=0.3))


def test_a_receipt_number_used_by_another_program_is_left_to_it(store: Any, adapter: Any, desk: Any) -> None:
    """单号重复 means our own earlier upload only if that row carries our key."""
    bills = find(adapter, store.three_slips())
    store.do("till_sale", slip_nos=[store.slip("K3", "6901000000223")], till="T901", tender="CH")
    foreign = store.books["sales"][0]
    done = adapter.order_post(request=desk.order(bills, E30), call=desk.call("p"))
    assert isinstance(done, Done)
    assert done.ref != foreign["document"]
    assert {sale["reference"] for sale in store.books["sales"]} == {"", desk.key("p")}


def test_receipt_numbers_stay_in_our_range_and_its_end_is_told(
    store: Any, make_adapter: Callable[..., Any], desk: Any
) -> None:
    adapter = make_adapter(receipt_first=41, receipt_last=42)
    refs = []
    for name in ("a", "b"):
        bills = find(adapter, [store.slip("K3", "6901000000216")])
        refs.append(adapter.order_post(request=desk.order(bills, [19900], name), call=desk.call(name)).ref[-10:])
    assert refs == ["0000000041", "0000000042"]
    bills = find(adapter, [store.slip("K3", "6901000000216")])
    with pytest.raises(Misconfigured, match="receipt_last"):
        adapter.order_post(request=desk.order(bills, [19900]), call=desk.call("c"))


def test_a_refusal_that_is_listed_is_a_decline_and_changes_nothing(store: Any, adapter: Any, desk: Any) -> None:
    bills = find(adapter, store.three_slips())
    order = desk.order(bills, E30)
    wrong = replace(order, tenders=(replace(order.tenders[0], amount=1), order.tenders[1]))
    declined = adapter.order_post(request=wrong, call=desk.call("p"))
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.AMOUNT_MISMATCH
    assert {slip["state"] for slip in store.books["slips"].values()} == {"0"}


def test_wrong_credentials_say_which_setting(store: Any, make_adapter: Callable[..., Any], desk: Any) -> None:
    adapter = make_adapter(user="nobody")
    bills = find(adapter, store.three_slips())
    with pytest.raises(Misconfigured, match="user, password or license"):
        adapter.order_post(request=desk.order(bills, E30), call=desk.call("p"))


# --- holding slips ------------------------------------------------------------------------------------------------


def hold(desk: Any, bills: Any, site: Site, name: str = "h", order_no: str = "PF0308") -> tuple[BillHold, Any]:
    return BillHold(site=site, bills=desk.refs(bills), order_no=order_no), desk.call(name)


def test_a_held_slip_is_safe_from_tills_and_from_the_night_job(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    slips = store.three_slips()
    bills = find(adapter, slips)
    request, call = hold(desk, bills, site)
    assert isinstance(adapter.bill_hold(request=request, call=call), Done)
    assert isinstance(adapter.order_query(request=query(desk, "bill_hold", "h", request)), Done)
    with pytest.raises(ValueError, match="another till"):
        store.do("till_sale", slip_nos=slips)
    assert store.do("void_unpaid") == {"voided": []}
    other, call = hold(desk, bills, site, "other", "PF0309")
    declined = adapter.bill_hold(request=other, call=call)
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.BILL_CHANGED
    assert isinstance(adapter.order_post(request=desk.order(bills, E30), call=desk.call("p")), Done)


def test_a_hold_is_all_or_nothing_and_names_what_changed(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    slips = store.three_slips()
    bills = find(adapter, slips)
    store.do("change_slip", slip_no=slips[2], discount=1000)
    request, call = hold(desk, bills, site)
    declined = adapter.bill_hold(request=request, call=call)
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.BILL_CHANGED
    assert slips[2] in declined.message
    assert store.do("till_sale", slip_nos=slips)["net"] == 89900 + 65900 + 18900


def test_releasing_blocks_a_hold_that_comes_late(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    bills = find(adapter, store.three_slips())
    request, call = hold(desk, bills, site)
    release = BillRelease(original=Original(key=call.key), site=site, bills=request.bills)
    assert isinstance(adapter.bill_release(request=release, call=desk.call("r")), Done)
    assert isinstance(adapter.order_query(request=query(desk, "bill_release", "r", release)), Done)
    declined = adapter.bill_hold(request=request, call=call)
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.CLOSED
    assert adapter.order_query(request=query(desk, "bill_hold", "h", request)) == NotFound()


def test_a_hold_whose_database_is_locked_is_not_sent(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    bills = find(adapter, store.three_slips())
    store.do("lock_database", ms=600)
    with pytest.raises(NotSent, match="locked"):
        adapter.bill_hold(
            request=BillHold(site=site, bills=desk.refs(bills), order_no="x"), call=desk.call("h", seconds=0.1)
        )


def test_a_slip_that_was_voided_before_the_sale_is_a_decline(store: Any, adapter: Any, desk: Any) -> None:
    slips = store.three_slips()
    bills = find(adapter, slips)
    store.do("void_slip", slip_no=slips[1])
    declined = adapter.order_post(request=desk.order(bills, E30), call=desk.call("p"))
    assert isinstance(declined, Declined)
    assert (declined.reason, declined.code) == (DeclineReason.BILL_CLOSED, "9")
    assert store.books["sales"] == []
    gone = adapter.bill_hold(
        request=BillHold(site=Site(store_id="lakeside", business_date=date(2014, 3, 8)),
                         bills=(BillRef(bill_id=slips[1], version=""),), order_no="x"),
        call=desk.call("h"),
    )  # fmt: skip
    assert gone.reason is DeclineReason.BILL_CLOSED


# --- taking out and returning -------------------------------------------------------------------------------------


def posted(store: Any, adapter: Any, desk: Any) -> tuple[list[str], Any, Done]:
    slips = store.three_slips()
    order = desk.order(find(adapter, slips), E30)
    done = adapter.order_post(request=order, call=desk.call("p"))
    assert isinstance(done, Done)
    return slips, order, done


def test_taking_a_sale_out_voids_its_slips_and_frees_the_goods(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    slips, order, done = posted(store, adapter, desk)
    void = OrderVoid(
        original=Original(key=desk.key("p"), ref=done.ref), order_no=order.order_no, site=site, amount=145700
    )
    store.fault("drop_after", "postsalescreate")
    assert isinstance(adapter.order_void(request=void, call=desk.call("v")), Done)
    assert isinstance(adapter.order_void(request=void, call=desk.call("v", attempt=2)), Done)
    assert store.books["net"] == 0
    assert store.books["money"] == {"AP": 0, "CC": 0}
    assert len(store.books["sales"]) == 2
    assert {store.books["slips"][slip]["state"] for slip in slips} == {"9"}
    assert store.stock("K1", "6901000000018") == ("12.000", "0.000")
    assert isinstance(adapter.order_query(request=query(desk, "order_void", "v", void)), Done)


def test_a_sale_with_picked_up_goods_cannot_be_taken_out(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    slips, order, _ = posted(store, adapter, desk)
    store.do("pick_up", slip_no=slips[0])
    void = OrderVoid(original=Original(key=desk.key("p")), order_no=order.order_no, site=site, amount=145700)
    declined = adapter.order_void(request=void, call=desk.call("v"))
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.TOO_LATE


def test_voiding_a_sale_that_never_was_keeps_it_from_coming(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    bills = find(adapter, store.three_slips())
    void = OrderVoid(original=Original(key=desk.key("p")), order_no="PF0308", site=site, amount=145700)
    assert isinstance(adapter.order_void(request=void, call=desk.call("v")), Done)
    assert isinstance(adapter.order_query(request=query(desk, "order_void", "v", void)), Done)
    late = adapter.order_post(request=desk.order(bills, E30), call=desk.call("p", attempt=2))
    assert isinstance(late, Declined)
    assert late.reason is DeclineReason.CLOSED
    assert store.books["sales"] == []


def returning(order: Any, index: int, amount: int, site: Site, desk: Any, **line: Any) -> OrderReturn:
    returned = replace(order.lines[index], **line)
    tender = replace(order.tenders[0], amount=amount)
    return OrderReturn(
        original=Original(key=desk.key("p")),
        order_no=order.order_no,
        refund_no="R1",
        site=site,
        lines=(returned,),
        tenders=(tender,),
        amount=amount,
        whole=False,
        returned_at=datetime.now(UTC),
    )


@pytest.mark.parametrize("picked_up", [False, True])
def test_a_line_comes_back_as_a_negative_sale_and_its_goods_with_it(
    store: Any, adapter: Any, desk: Any, site: Site, picked_up: bool
) -> None:
    slips, order, _ = posted(store, adapter, desk)
    if picked_up:
        store.do("pick_up", slip_no=slips[0])
    store.fault("half_body", "postsalescreate")
    request = returning(order, 0, 74550, site, desk)
    done = adapter.order_return(request=request, call=desk.call("r"))
    assert isinstance(done, Done)
    assert done.amount == 74550
    again = adapter.order_return(request=request, call=desk.call("r", attempt=2))
    assert again.replayed
    assert store.books["net"] == 145700 - 74550
    assert store.stock("K1", "6901000000018") == ("12.000", "0.000")
    assert store.books["slips"][slips[0]]["state"] == ("2" if picked_up else "9")
    last = store.books["sales"][-1]
    assert (last["kind"], last["lines"][0]["settle_code"], last["lines"][0]["quantity"]) == ("SR", "J1001", "-1.000")
    assert isinstance(adapter.order_query(request=query(desk, "order_return", "r", request)), Done)


def test_one_piece_of_two_carries_its_part_of_the_discount(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    bills = find(adapter, [store.slip("K3", "6901000000216", quantity="2")])
    order = desk.order(bills, [33333])
    assert isinstance(adapter.order_post(request=order, call=desk.call("p")), Done)
    half = {"quantity": Decimal(1), "net_amount": 16666}
    done = adapter.order_return(request=returning(order, 0, 16666, site, desk, **half), call=desk.call("r"))
    assert isinstance(done, Done)
    line = store.books["sales"][-1]["lines"][0]
    assert (line["quantity"], line["net"], line["promotion"]) == ("-1.000", -16666, -(19900 - 16666))
    assert store.stock("K3", "6901000000216") == ("25.000", "1.000")


def test_fees_and_points_beside_the_lines_keep_a_return_in_balance(
    store: Any, adapter: Any, desk: Any, site: Site
) -> None:
    """What is given back beyond the lines is a fee that comes back; points and rounding are rows, as in the sale."""
    _, order, _ = posted(store, adapter, desk)
    no_goods = {"quantity": Decimal(0), "net_amount": 1000}
    assert isinstance(
        adapter.order_return(request=returning(order, 0, 1500, site, desk, **no_goods), call=desk.call("r1")), Done
    )
    less = replace(returning(order, 1, 50000, site, desk), points_amount=4640, rounding_amount=8)
    assert isinstance(adapter.order_return(request=less, call=desk.call("r2")), Done)
    fee, points = store.books["sales"][1:]
    assert [(line["item"], line["net"]) for line in fee["lines"]] == [("6901000000018", -1000), ("FEE", -500)]
    assert {tender["code"]: tender["amount"] for tender in points["tenders"]} == {
        "CC": -50000,
        "JF": -4640,
        "ML": -8,
    }
    assert store.stock("K1", "6901000000018") == ("12.000", "1.000")


def test_more_than_was_sold_does_not_come_back(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    _, order, _ = posted(store, adapter, desk)
    too_much = returning(order, 0, 200000, site, desk, net_amount=200000)
    declined = adapter.order_return(request=too_much, call=desk.call("r"))
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.NOT_REFUNDABLE
    unknown = replace(too_much, original=Original(key=desk.key("nobody")))
    assert adapter.order_return(request=unknown, call=desk.call("r2")).reason is DeclineReason.NOT_FOUND


# --- books --------------------------------------------------------------------------------------------------------


def test_the_statement_has_one_row_a_tender_with_our_key(
    store: Any, adapter: Any, desk: Any, site: Site, today: date
) -> None:
    _, order, done = posted(store, adapter, desk)
    adapter.order_return(request=returning(order, 2, 16502, site, desk), call=desk.call("r"))
    store.do("till_sale", slip_nos=[store.slip("K3", "6901000000223")], tender="CH")
    page = adapter.order_statement(request=StatementRequest(business_date=today, store_id="lakeside"))
    assert page.next_cursor is None
    rows = [(row.kind, row.facts["tender"], row.amount, row.key) for row in page.items]
    assert rows == [
        ("sale", "CH", 26800, ""),
        ("sale", "CC", 72850, desk.key("p")),
        ("sale", "AP", 72850, desk.key("p")),
        ("return", "CC", -16502, desk.key("r")),
    ]
    assert page.items[-1].original_ref == done.ref
    assert sum(row.amount for row in page.items) == store.books["net"]
    other = adapter.order_statement(request=StatementRequest(business_date=today, store_id="eastgate"))
    assert other.items == ()


def test_e30_settles_as_the_nightly_file_says(store: Any, adapter: Any, desk: Any, today: date) -> None:
    """Example E30 to the fen: the counters' shares of the promotion, commission, acquirer fee and what is due."""
    slips = store.three_slips()
    order = desk.order(find(adapter, slips), E30)
    card = replace(order.tenders[0], amount=145700)
    adapter.order_post(request=replace(order, tenders=(card,), splits=()), call=desk.call("p"))
    store.do("nightly", business_date=today.isoformat())
    path = find_day_file(Path(store.running.addresses["files"]), "S001", today)
    assert path is not None
    day = read_day_file(path, today, {"K1", "K2", "K3", "K4"})
    rows = {row.counter: (row.gross, row.promo, row.commission, row.fee, row.net) for row in day.rows}
    assert rows == {
        "K1": (89900, 15350, 20173, 447, 60070),
        "K2": (65900, 11252, 16877, 328, 43069),
        "K3": (19900, 3398, 4951, 99, 11452),
    }
    assert (day.business_date, day.missing) == (today, ("K4",))


def test_check_says_what_is_wrong(store: Any, make_adapter: Callable[..., Any], tmp_path: Path) -> None:
    make_adapter().check()
    (tmp_path / "other.db").touch()
    with pytest.raises(Misconfigured, match="no table SLIP"):
        make_adapter(database=str(tmp_path / "other.db")).check()
    with pytest.raises(NotSent, match=r"nowhere\.db"):
        make_adapter(database=str(tmp_path / "nowhere.db")).check()
    with pytest.raises(NotSent, match="no connection"):
        make_adapter(soap_url="http://127.0.0.1:9/sales.asmx").check()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"password": "hunter2"}, "password"),
        ({"till": "T9010000"}, "till"),
        ({"receipt_first": 9, "receipt_last": 8}, "receipt_last"),
        ({"colour": 1}, "colour"),
        ({"stores": {"lakeside": "LAKESIDE"}}, "stores"),
    ],
)
def test_a_wrong_setting_is_named(make_adapter: Callable[..., Any], change: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make_adapter(**change)
    assert path in str(caught.value.messages)
    assert "hunter2" not in str(caught.value)


def test_no_secret_is_shown(adapter: Any) -> None:
    assert isinstance(adapter.context.settings["password"], Secret)
    assert "license" not in repr(adapter.context.settings["license"])
