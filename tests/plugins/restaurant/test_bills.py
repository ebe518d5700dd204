"""Protects how open bills are found, priced, frozen and let go."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.pricing import parse, price
from gateway.sdk import (
    Bill,
    BillHold,
    BillLookup,
    BillPrice,
    BillRef,
    BillRelease,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    Misconfigured,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Site,
)
from plugins.restaurant import mapping, protocol
from plugins.restaurant.adapter import RestaurantAdapter
from plugins.restaurant.protocol_bill import parse_bill
from plugins.restaurant.simulator_bill import new_bill, new_line, wire
from plugins.restaurant.simulator_seed import load_dishes, load_shops
from tests.plugins.restaurant.support import SITE, TODAY, Chain, original, ref_of


def test_a_bill_is_found_by_table_and_by_number(chain: Chain) -> None:
    bill = chain.seat(table="A07")
    (by_table,) = chain.adapter.bill_find(BillLookup(store_id="sh-01", resource_id="A07"))
    (by_slip,) = chain.adapter.bill_find(BillLookup(store_id="sh-01", slip_nos=(bill.facts["bill_no"],)))
    assert by_table == by_slip == bill
    assert (bill.session_id, bill.resource_id, bill.stock_held) == (bill.bill_id, "A07", True)


def test_nothing_open_is_an_empty_answer(chain: Chain) -> None:
    assert chain.adapter.bill_find(BillLookup(store_id="sh-01", resource_id="A07")) == ()
    assert chain.adapter.bill_find(BillLookup(store_id="sh-01", resource_id="Z99")) == ()
    assert chain.adapter.bill_find(BillLookup(store_id="sh-01", bill_ids=("SH01nothing",))) == ()


def test_the_same_table_in_two_shops_is_two_tables(chain: Chain) -> None:
    chain.seat(table="A07")
    assert chain.adapter.bill_find(BillLookup(store_id="sh-02", resource_id="A07")) == ()


def test_a_store_without_a_shop_code_is_a_setting_to_mend(chain: Chain) -> None:
    with pytest.raises(Misconfigured, match="'shops'"):
        chain.adapter.bill_find(BillLookup(store_id="bj-99", resource_id="A07"))


def test_lines_fees_and_rounding_give_the_tills_own_sum(chain: Chain) -> None:
    bill = chain.seat(items=[{"dish": "D0101"}, {"dish": "D0102"}, {"dish": "D0407", "qty": "3"}])
    gross = sum(line.gross_amount for line in bill.lines)
    (fee,) = bill.fees
    service = (gross * fee["charge_bp"] + 5000) // 10_000
    assert (fee["kind"], fee["basis"], bill.rounding) == ("service_charge", "net", "jiao")
    assert (gross + service) // 10 * 10 == bill.due_amount


def test_a_campaign_price_takes_no_member_price_and_a_package_shows_its_parts(chain: Chain) -> None:
    bill = chain.seat(items=[{"dish": "D0107"}, {"dish": "D0101"}, {"dish": "P0001"}])
    promo, plain, head, part = bill.lines[:4]
    assert (promo.gross_amount, promo.member_price) == (7800, False)
    assert (plain.gross_amount, plain.member_price) == (8800, True)
    assert (head.gross_amount, part.gross_amount) == (19800, 0)
    assert part.component_of == head.line_id


def test_a_weighed_dish_keeps_its_thousandths(chain: Chain) -> None:
    bill = chain.seat(items=[{"dish": "D0201", "qty": "1.235"}])
    assert bill.lines[0].quantity == Decimal("1.235")
    assert bill.lines[0].gross_amount == 36803


@pytest.mark.parametrize("quantity", ["0.204", "0.320"])
def test_the_fen_that_floats_lose_is_added_to_the_lines_again(chain: Chain, quantity: str) -> None:
    opened = chain.pull("seat", shop="SH02", items=[{"dish": "D0202", "qty": quantity}] * 3)
    (bill,) = chain.adapter.bill_find(BillLookup(store_id="sh-02", bill_ids=(str(opened["bsId"]),)))
    assert sum(line.gross_amount for line in bill.lines) == bill.due_amount
    assert all(line.gross_amount >= 0 for line in bill.lines)


def test_line_ids_are_unique_over_bills(chain: Chain) -> None:
    one, two = chain.seat(), chain.seat()
    ids = [line.line_id for bill in (one, two) for line in bill.lines]
    assert len(ids) == len(set(ids))


def test_the_version_follows_every_change_of_the_bill(chain: Chain) -> None:
    bill = chain.seat()
    chain.pull("order", bill=bill.bill_id, items=[{"dish": "D0504"}])
    more = chain.find(bill.bill_id)
    chain.pull("pay", bill=bill.bill_id, amount=100)
    paid = chain.find(bill.bill_id)
    assert len({bill.version, more.version, paid.version}) == 3
    assert paid.due_amount == more.due_amount - 100
    assert chain.find(bill.bill_id).version == paid.version


def test_a_settled_bill_is_not_open(chain: Chain) -> None:
    bill = chain.seat(table="A07")
    chain.pull("pay", bill=bill.bill_id, amount=bill.due_amount)
    assert chain.adapter.bill_find(BillLookup(store_id="sh-01", resource_id="A07")) == ()


def test_the_till_prices_with_and_without_its_member_price(chain: Chain) -> None:
    bill = chain.seat(items=[{"dish": "D0101"}, {"dish": "D0506"}])
    plain = chain.adapter.bill_price(BillPrice(site=SITE, bills=(ref_of(bill),), tenders=()))
    member = chain.adapter.bill_price(BillPrice(site=SITE, bills=(ref_of(bill),), tenders=(), member_ref="m1"))
    assert plain.payable_amount == bill.due_amount
    assert member.discount_amount == 880
    assert member.lines[bill.lines[0].line_id] == 7920
    assert chain.books(bill.bill_id)["total_amount"] == bill.due_amount


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_id"])
def test_a_bill_that_contradicts_itself_is_not_believed(chain: Chain, fault: str) -> None:
    bill = chain.seat()
    chain.fault(fault, "bill", value=1)
    with pytest.raises(InvalidReply):
        chain.find(bill.bill_id)


@pytest.mark.parametrize("fault", ["garbage", "half_body", "wrong_encoding", "drop_after", "drop_before", "error"])
def test_a_broken_answer_is_trouble_and_not_an_empty_table(chain: Chain, fault: str) -> None:
    chain.seat(table="A07")
    chain.fault(fault, "bill")
    with pytest.raises(OutcomeUnknown):
        chain.adapter.bill_find(BillLookup(store_id="sh-01", resource_id="A07"))


def test_the_answer_to_another_table_is_not_taken(chain: Chain) -> None:
    chain.seat(table="A07")
    chain.seat(table="A08")
    chain.adapter.bill_find(BillLookup(store_id="sh-01", resource_id="A07"))
    chain.fault("other_reply", "bill")
    with pytest.raises(InvalidReply, match="another table"):
        chain.adapter.bill_find(BillLookup(store_id="sh-01", resource_id="A08"))


def test_a_wrong_password_is_a_setting_to_mend_and_is_not_told(rebuild: Callable[..., RestaurantAdapter]) -> None:
    adapter = rebuild(password="env:TEST_OFFICE_SECRET")
    with pytest.raises(Misconfigured, match="'operator' and 'password'") as caught:
        adapter.bill_find(BillLookup(store_id="sh-01", resource_id="A07"))
    assert "demo" not in str(caught.value)


def test_a_till_that_is_off_is_not_sent(rebuild: Callable[..., RestaurantAdapter]) -> None:
    adapter = rebuild(till_url="http://127.0.0.1:9/till")
    with pytest.raises(NotSent):
        adapter.bill_find(BillLookup(store_id="sh-01", resource_id="A07"))


# ---- holding


def test_a_held_bill_takes_no_dish_until_it_is_released(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    held = chain.hold(bill, key)
    assert isinstance(held, Done)
    assert chain.till("order", bsId=bill.bill_id, items="D0101,1").code == 50005
    release = BillRelease(original=original(key, facts=held.facts), site=SITE, bills=(ref_of(bill),))
    assert isinstance(chain.adapter.bill_release(release, chain.call()), Done)
    assert chain.till("order", bsId=bill.bill_id, items="D0101,1").code == 0


def test_holding_does_not_change_the_version(chain: Chain) -> None:
    bill = chain.seat()
    chain.hold(bill)
    assert chain.find(bill.bill_id).version == bill.version


def test_a_bill_that_has_moved_on_is_not_held(chain: Chain) -> None:
    bill = chain.seat()
    chain.pull("order", bill=bill.bill_id, items=[{"dish": "D0504"}])
    refused = chain.hold(bill)
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.BILL_CHANGED
    assert chain.till("order", bsId=bill.bill_id, items="D0101,1").code == 0


def test_two_bills_are_held_together_or_not_at_all(chain: Chain) -> None:
    one, two = chain.seat(), chain.seat()
    chain.pull("order", bill=two.bill_id, items=[{"dish": "D0504"}])
    request = BillHold(site=SITE, bills=(ref_of(one), ref_of(two)), order_no="ON1")
    refused = chain.adapter.bill_hold(request, chain.call())
    assert isinstance(refused, Declined)
    assert chain.till("order", bsId=one.bill_id, items="D0101,1").code == 0


def test_a_bill_that_another_sale_is_paying_is_refused(chain: Chain) -> None:
    bill = chain.seat()
    chain.hold(bill)
    refused = chain.hold(bill)
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.BILL_CHANGED


def test_a_bill_that_is_settled_or_unknown_is_refused(chain: Chain) -> None:
    bill = chain.seat()
    chain.pull("pay", bill=bill.bill_id, amount=bill.due_amount)
    settled = chain.hold(bill)
    assert isinstance(settled, Declined)
    assert settled.reason is DeclineReason.BILL_CLOSED
    request = BillHold(site=SITE, bills=(BillRef(bill_id="SH01x", version="v"),), order_no="ON1")
    unknown = chain.adapter.bill_hold(request, chain.call())
    assert isinstance(unknown, Declined)
    assert unknown.reason is DeclineReason.NOT_FOUND


@pytest.mark.parametrize("member", [False, True])
def test_a_slip_that_the_waiter_has_printed_becomes_ours(chain: Chain, member: bool) -> None:
    opened = chain.seat()
    chain.pull("prebill", bill=opened.bill_id, member=member)
    bill, key = chain.find(opened.bill_id), chain.key()
    assert bill.facts["pre_billed"]
    assert isinstance(chain.hold(bill, key), Done)
    assert chain.find(bill.bill_id).due_amount == bill.due_amount
    assert isinstance(chain.hold(bill), Declined)


def test_a_pre_bill_that_staff_made_later_is_not_taken_back(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    chain.hold(bill, key)
    chain.pull("reopen", bill=bill.bill_id)
    chain.pull("prebill", bill=bill.bill_id)
    release = BillRelease(original=original(key), site=SITE, bills=(ref_of(bill),))
    assert isinstance(chain.adapter.bill_release(release, chain.call()), Done)
    assert chain.till("order", bsId=bill.bill_id, items="D0101,1").code == 50005


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "half_body"])
def test_a_hold_whose_answer_is_lost_is_seen_in_the_bill(chain: Chain, fault: str) -> None:
    bill = chain.seat()
    chain.fault(fault, "prebill")
    assert isinstance(chain.hold(bill), Done)


@pytest.mark.parametrize(("fault", "found"), [("power_cut", Done), ("drop_before", NotFound)])
def test_a_hold_that_cannot_be_seen_is_unknown_and_found_out(chain: Chain, fault: str, found: type) -> None:
    bill, key = chain.seat(), chain.key()
    request = BillHold(site=SITE, bills=(ref_of(bill),), order_no="ON1")
    chain.fault(fault, "prebill", value=60_000)
    with pytest.raises(OutcomeUnknown):
        chain.adapter.bill_hold(request, chain.call(key))
    chain.pull("restart")
    assert isinstance(chain.ask("bill_hold", key, request), found)
    again = chain.adapter.bill_hold(request, chain.call(key, attempt=2))
    assert isinstance(again, Done)


def test_a_refused_connection_is_not_sent(chain: Chain, rebuild: Callable[..., RestaurantAdapter]) -> None:
    bill = chain.seat()
    adapter = rebuild(till_url="http://127.0.0.1:9/till")
    request = BillHold(site=SITE, bills=(ref_of(bill),), order_no="ON1")
    with pytest.raises(NotSent):
        adapter.bill_hold(request, chain.call())
    with pytest.raises(OutcomeUnknown):
        adapter.bill_hold(request, chain.call(attempt=2))


def test_a_lost_answer_to_a_release_is_found_out(chain: Chain) -> None:
    bill, key, undo = chain.seat(), chain.key(), chain.key()
    chain.hold(bill, key)
    release = BillRelease(original=original(key), site=SITE, bills=(ref_of(bill),))
    chain.fault("drop_before", "reopen")
    with pytest.raises(OutcomeUnknown):
        chain.adapter.bill_release(release, chain.call(undo))
    assert isinstance(chain.ask("bill_release", undo, release), NotFound)
    assert isinstance(chain.adapter.bill_release(release, chain.call(undo, attempt=2)), Done)
    assert isinstance(chain.ask("bill_release", undo, release), Done)


def test_a_call_without_time_left_sends_nothing(chain: Chain) -> None:
    bill = chain.seat()
    request = BillHold(site=Site(store_id="sh-01", business_date=TODAY), bills=(ref_of(bill),), order_no="ON1")
    with pytest.raises(NotSent, match="no time left"):
        chain.adapter.bill_hold(request, chain.call(seconds=-1))


# ---- several bills, and sums that must come out whoever multiplies

WEIGHED = ("D0201", "D0202", "D0203", "D0205")


@given(st.lists(st.tuples(st.sampled_from(WEIGHED), st.integers(1, 4000)), min_size=1, max_size=6), st.integers(0, 999))
@hypothesis_settings(max_examples=150, deadline=None)
def test_unit_price_times_quantity_gives_the_tills_sum(dishes: list[tuple[str, int]], cook: int) -> None:
    shop, known = load_shops()["SH01"], load_dishes()
    bill = new_bill(shop, "SH012603080001", "A01", "大厅", 2, "2026-03-08 12:00:00", "W12")
    bill.lines = [new_line(n, known[dish], count, cook=cook) for n, (dish, count) in enumerate(dishes, start=1)]
    # Through the real encoder and parser of the wire, as the adapter sees it.
    reply = protocol.decode_reply(protocol.encode_reply(0, "", {"bill": wire(bill)}))
    parsed = parse_bill(reply.data["bill"])
    assert mapping.check_sums(parsed) == ""
    (found,) = mapping.bills_of([parsed], "sh-01", mapping.ShopRules("net", "jiao"), ZoneInfo("Asia/Shanghai"))
    for line in found.lines:
        product = (line.unit_amount * line.quantity).quantize(Decimal(1), ROUND_HALF_UP)
        assert line.gross_amount == product >= 0
    assert sum(line.gross_amount for line in found.lines) == bill.sums().net


def test_bills_found_together_carry_one_service_charge(chain: Chain) -> None:
    one, two = chain.seat(), chain.seat()
    both = chain.adapter.bill_find(BillLookup(store_id="sh-01", bill_ids=(one.bill_id, two.bill_id)))
    assert [len(bill.fees) for bill in both] == [1, 0]
    assert [bill.version for bill in both] == [one.version, two.version]


def priced(bills: tuple[Bill, ...]) -> int:
    """What the gateway's own pricing makes of these bills without any benefit, in fen."""
    lines = [line for bill in bills for line in bill.lines if not line.component_of]
    document = {
        "currency": "CNY",
        "store_id": "sh-01",
        "at": "2026-03-08T12:00:00+08:00",
        "business_date": "2026-03-08",
        "lines": [
            {
                "line_id": line.line_id,
                "sku": line.sku,
                "category": line.category,
                "quantity": str(line.quantity),
                "unit_amount": line.unit_amount,
                "discountable": line.discountable,
                "member_price": line.member_price,
            }
            for line in lines
        ],
        "fees": [dict(fee) for bill in bills for fee in bill.fees],
        "rounding": bills[0].rounding,
        "tenders": [{"id": "t1", "method": "payment_code"}],
    }
    return price(parse(document)).payable_amount


MENU = [
    [{"dish": "D0102"}, {"dish": "D0407", "qty": "3"}],
    [{"dish": "D0202", "qty": "0.204"}] * 3 + [{"dish": "D0107"}],
    [{"dish": "D0202", "qty": "0.320"}] * 3,
    [{"dish": "P0003"}, {"dish": "D0101", "price": "80.05", "cook": "3.33"}],
]


@pytest.mark.parametrize("items", MENU)
@pytest.mark.parametrize(("store", "shop"), [("sh-01", "SH01"), ("sh-02", "SH02"), ("sh-03", "SH03")])
def test_the_gateways_pricing_gives_the_tills_own_sum(
    chain: Chain, items: list[dict[str, str]], store: str, shop: str
) -> None:
    opened = chain.pull("seat", shop=shop, items=items)
    bills = chain.adapter.bill_find(BillLookup(store_id=store, bill_ids=(str(opened["bsId"]),)))
    assert priced(bills) == bills[0].due_amount


def test_two_bills_are_priced_within_the_rounding_that_posting_allows(chain: Chain) -> None:
    one, two = (str(chain.pull("seat", items=MENU[number])["bsId"]) for number in (0, 3))
    bills = chain.adapter.bill_find(BillLookup(store_id="sh-01", bill_ids=(one, two)))
    assert 0 <= priced(bills) - sum(bill.due_amount for bill in bills) <= 10


def test_a_member_price_that_the_waiter_gave_is_not_given_twice(chain: Chain) -> None:
    opened = chain.seat(items=[{"dish": "D0101"}])
    chain.pull("prebill", bill=opened.bill_id, member=True)
    (line,) = chain.find(opened.bill_id).lines
    assert (line.gross_amount, line.member_price) == (7920, False)
