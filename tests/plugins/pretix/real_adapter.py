"""Each hook against the real system: what it says is what stands there afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.sdk import (
    CatalogueRequest,
    CouponLookup,
    Declined,
    DeclineReason,
    Done,
    Enrol,
    Identity,
    IdentityType,
    LevelsRequest,
    MemberLookup,
    Misconfigured,
    NotFound,
    NoticeRequest,
    Secret,
    SlotsRequest,
    StatementRequest,
)
from plugins.pretix.cinema import Cinema
from tests.plugins.pretix.kit import (
    SITE,
    TODAY,
    House,
    asked,
    call,
    held,
    key,
    line,
    restored,
    returned,
    sale,
    use,
    used,
    voided,
)


def test_a_wrong_token_or_event_is_told_by_the_setting_s_name(house: House) -> None:
    house.adapter.check()
    with pytest.raises(Misconfigured, match="event"):
        house.build(event="nosuch").check()
    (house.folder / "wrong").write_text("wrong")
    (house.folder / "wrong").chmod(0o600)
    with pytest.raises(Misconfigured, match="token"):
        house.build(token="file:wrong").check()
    with pytest.raises(Misconfigured, match="redemption_item"):
        house.build(redemption_item=house.cinema.ticket).check()


def test_the_library_has_a_ticket_for_each_showing(house: House) -> None:
    page = house.adapter.catalogue_page(CatalogueRequest(limit=500))
    found = {product.sku: product for product in page.items}
    ticket = found[house.cinema.sku("one")]
    assert (ticket.unit_amount, ticket.category, ticket.deleted) == (4500, "film", False)
    assert not any(sku.startswith(f"{house.cinema.redemption}@") for sku in found)
    first = house.adapter.catalogue_page(CatalogueRequest(limit=3))
    again = house.adapter.catalogue_page(CatalogueRequest(limit=3, cursor=first.next_cursor or ""))
    assert len(first.items) == 3 and not {p.sku for p in first.items} & {p.sku for p in again.items}


def test_showings_are_slots_with_what_is_left(house: House) -> None:
    now = datetime.now(UTC)
    request = SlotsRequest(store_id=SITE.store_id, start=now, end=now + timedelta(days=3))
    slots = {slot.resource_id: slot for slot in house.adapter.stock_slots(request)}
    one = slots[str(house.cinema.showings["one"])]
    assert (one.facts["left"], one.capacity, one.state.value) == (5, 5, "free")
    assert [rate.rate_amount for rate in one.rates] == [4500]


def test_places_are_held_and_let_go(house: House, cinema: Cinema) -> None:
    request, made = house.reserve("one", 2), key()
    assert isinstance(house.adapter.stock_reserve(request, call(made)), Done)
    level = house.adapter.stock_levels(LevelsRequest(store_id=SITE.store_id, skus=(cinema.sku("one"),)))[0]
    assert level.available == 3 == cinema.left("one")
    again = house.adapter.stock_reserve(request, call(made, attempt=2))
    assert isinstance(again, Done) and again.replayed and cinema.left("one") == 3
    assert isinstance(house.adapter.stock_confirm(held(request, made), call(key())), Done)
    assert isinstance(house.adapter.stock_query(asked("stock_reserve", made, request)), Done)
    assert isinstance(house.adapter.stock_cancel(held(request, made), call(key())), Done)
    assert cinema.left("one") == 5
    assert isinstance(house.adapter.stock_query(asked("stock_reserve", made, request)), NotFound)
    assert isinstance(house.adapter.stock_cancel(held(request, key()), call(key())), Done), "one that never was"


def test_more_than_is_left_holds_nothing(house: House, cinema: Cinema) -> None:
    """The system would hold a part of several: the adapter takes the part back."""
    refused = house.adapter.stock_reserve(house.reserve("two", 6), call(key()))
    assert isinstance(refused, Declined) and refused.reason == DeclineReason.OUT_OF_STOCK
    assert cinema.left("two") == 5


def test_a_sale_uses_the_hold_and_is_posted_once(house: House, cinema: Cinema) -> None:
    request, made, posted = house.reserve("three", 3), key(), key()
    house.adapter.stock_reserve(request, call(made))
    order = sale(line(cinema.sku("three"), 3, 10_000), order_no=request.order_no, held=made)
    first = house.adapter.order_post(order, call(posted))
    assert isinstance(first, Done) and first.amount == 10_000
    assert cinema.left("three") == 2, "held three, sold the same three"
    second = house.adapter.order_post(order, call(posted, attempt=2))
    third = house.adapter.order_post(order, call(posted))
    assert isinstance(second, Done) and second.replayed and isinstance(third, Done) and third.ref == first.ref
    assert len([row for row in cinema.orders() if row["api_meta"].get("key") == posted]) == 1
    assert isinstance(house.adapter.order_query(asked("order_post", posted, order)), Done)
    assert isinstance(house.adapter.order_query(asked("order_post", key(), order)), NotFound)


def test_a_piece_is_given_back_then_the_rest_and_never_more(house: House, cinema: Cinema) -> None:
    order, posted, part = sale(line(cinema.sku("four"), 3, 10_001)), key(), key()
    house.adapter.order_post(order, call(posted))
    back = returned(order, posted, (line(cinema.sku("four"), 1, 3333),), 3333, whole=False)
    assert isinstance(house.adapter.order_return(back, call(part)), Done)
    assert isinstance(house.adapter.order_return(back, call(part, attempt=2)), Done), "the same again gives nothing"
    assert cinema.left("four") == 3
    greedy = house.adapter.order_return(returned(order, posted, (), 9999, whole=False), call(key()))
    assert isinstance(greedy, Declined) and greedy.reason == DeclineReason.NOT_REFUNDABLE
    rest = returned(order, posted, order.lines, 10_001 - 3333, whole=True)
    assert isinstance(house.adapter.order_return(rest, call(key())), Done)
    assert cinema.left("four") == 5
    rows = house.adapter.order_statement(StatementRequest(business_date=TODAY)).items
    ours = [row for row in rows if row.facts["bill"] == rows_code(posted)]
    assert sorted(row.amount for row in ours) == [-6668, -3333, 10_001]
    assert {row.key for row in ours if row.kind == "sale"} == {posted}


def rows_code(posted: str) -> str:
    from plugins.pretix.protocol import order_code

    return order_code(posted)


def test_a_sale_is_taken_out_whole(house: House, cinema: Cinema) -> None:
    order, posted, undo = sale(line(cinema.sku("five"), 2, 9000)), key(), key()
    house.adapter.order_post(order, call(posted))
    assert isinstance(house.adapter.order_void(voided(order, posted), call(undo)), Done)
    assert cinema.left("five") == 5
    assert isinstance(house.adapter.order_void(voided(order, posted), call(undo, attempt=2)), Done)
    row = cinema.api.get(cinema.path(f"orders/{rows_code(posted)}/"))
    assert (row["status"], [refund["amount"] for refund in row["refunds"]]) == ("c", ["90.00"])
    assert isinstance(house.adapter.order_query(asked("order_void", undo, voided(order, posted))), Done)


def test_a_voucher_is_held_redeemed_and_given_back(house: House, cinema: Cinema) -> None:
    code, made, done = cinema.voucher(uses=2), key(), key()
    coupon = house.adapter.coupon_find(CouponLookup(code=code))
    assert coupon is not None and coupon.usable and coupon.terms == {"off_amount": 1000}
    request = use(code, 1000, count=2)
    assert isinstance(house.adapter.coupon_reserve(request, call(made)), Done)
    refused = house.adapter.coupon_reserve(use(code, 1000), call(key()))
    assert isinstance(refused, Declined) and refused.reason == DeclineReason.COUPON_EXHAUSTED
    assert isinstance(house.adapter.coupon_confirm(used(request, made), call(done)), Done)
    assert isinstance(house.adapter.coupon_confirm(used(request, made), call(done, attempt=2)), Done)
    assert cinema.redeemed(code) == 2
    first, rest = key(), key()
    one = restored(request, made, count=1)
    assert isinstance(house.adapter.coupon_restore(one, call(first)), Done)
    assert isinstance(house.adapter.coupon_restore(one, call(first, attempt=2)), Done)
    assert cinema.redeemed(code) == 1, "given back once, though asked twice"
    assert isinstance(house.adapter.coupon_query(asked("coupon_restore", first, one)), Done)
    assert isinstance(house.adapter.coupon_restore(one, call(rest)), Done)
    assert cinema.redeemed(code) == 0
    more = house.adapter.coupon_restore(one, call(key()))
    assert isinstance(more, Declined)


def test_a_question_before_anything_was_sent_does_not_spoil_the_change(house: House, cinema: Cinema) -> None:
    """After a crash the engine asks first and gives back after: the question must leave nothing behind."""
    code, made, back = cinema.voucher(), key(), key()
    request = use(code, 1000)
    house.adapter.coupon_reserve(request, call(made))
    house.adapter.coupon_confirm(used(request, made), call(key()))
    assert isinstance(house.adapter.coupon_query(asked("coupon_restore", back, restored(request, made))), NotFound)
    assert isinstance(house.adapter.coupon_restore(restored(request, made), call(back, attempt=2)), Done)
    assert cinema.redeemed(code) == 0


def test_the_statement_tells_of_vouchers_and_gift_cards_by_use(house: House, cinema: Cinema) -> None:
    """The accountant sees each use once, under our key or number; what was let go is no use at all."""
    voucher, card, seen = cinema.voucher(uses=2), cinema.gift_card("50.00"), {}
    for name, request in (("voucher", use(voucher, 1000, count=2)), ("card", use(card, 3000))):
        seen[name] = [key(), key(), key()]
        hold, confirm, back = seen[name]
        held_ = house.adapter.coupon_reserve(request, call(hold))
        assert isinstance(held_, Done)
        confirmed = house.adapter.coupon_confirm(used(request, hold, **held_.facts), call(confirm))
        assert isinstance(confirmed, Done)
        part = restored(request, hold, amount=500, count=1)
        assert isinstance(house.adapter.coupon_restore(part, call(back)), Done)
        seen[name].append(confirmed.ref)
    let_go = key()
    house.adapter.coupon_reserve(use(card, 100), call(let_go))
    house.adapter.coupon_cancel(used(use(card, 100), let_go), call(key()))
    rows = house.adapter.coupon_statement(StatementRequest(business_date=TODAY)).items

    def told(name: str) -> list[tuple[str, int]]:
        numbers = {*seen[name]}
        return sorted((row.kind, row.amount) for row in rows if {row.key, row.ref, row.original_ref} & numbers)

    assert told("voucher") == [("redeem", 2), ("reverse", -1)]
    assert told("card") == [("redeem", 1), ("reverse", -1)]
    money = [row.facts["amount"] for row in rows if {row.ref, row.original_ref} & {seen["card"][3]}]
    assert sorted(money) == [-3000, 500], "and what the card's bookings came to"
    assert let_go not in {row.ref for row in rows}
    voucher_rows = [row for row in rows if {row.key, row.ref, row.original_ref} & {*seen["voucher"]}]
    assert {row.key for row in voucher_rows} == {seen["voucher"][1], seen["voucher"][2]}


def test_a_voucher_s_hold_is_let_go(house: House, cinema: Cinema) -> None:
    code, made = cinema.voucher(), key()
    request = use(code, 1000)
    house.adapter.coupon_reserve(request, call(made))
    assert isinstance(house.adapter.coupon_cancel(used(request, made), call(key())), Done)
    assert isinstance(house.adapter.coupon_reserve(request, call(key())), Done)


def test_a_gift_card_is_debited_and_credited_once(house: House, cinema: Cinema) -> None:
    code, made = cinema.gift_card("50.00"), key()
    request = use(code, 3000)
    assert isinstance(house.adapter.coupon_reserve(request, call(made)), Done)
    again = house.adapter.coupon_reserve(request, call(made, attempt=2))
    assert isinstance(again, Done) and again.replayed and cinema.balance(code) == "20.00"
    refused = house.adapter.coupon_reserve(request, call(key()))
    assert isinstance(refused, Declined) and refused.reason == DeclineReason.COUPON_EXHAUSTED
    assert isinstance(house.adapter.coupon_confirm(used(request, made, kind="card", hold=made), call(key())), Done)
    back = key()
    assert isinstance(house.adapter.coupon_restore(restored(request, made, amount=1000), call(back)), Done)
    assert isinstance(house.adapter.coupon_restore(restored(request, made, amount=1000), call(back, attempt=2)), Done)
    assert cinema.balance(code) == "30.00"
    more = house.adapter.coupon_restore(restored(request, made, amount=2001), call(key()))
    assert isinstance(more, Declined) and more.reason == DeclineReason.AMOUNT_MISMATCH
    other, never = key(), key()
    small = use(code, 500)
    house.adapter.coupon_reserve(small, call(other))
    assert isinstance(house.adapter.coupon_cancel(used(small, other), call(key())), Done)
    assert isinstance(house.adapter.coupon_cancel(used(small, other), call(key())), Done)
    assert isinstance(house.adapter.coupon_cancel(used(small, never), call(key())), Done)
    assert cinema.balance(code) == "30.00"


def phone(number: str) -> Identity:
    return Identity(type=IdentityType.PHONE, value=Secret(number))


def test_a_member_joins_once_and_has_the_rate_of_the_membership(house: House, cinema: Cinema) -> None:
    number = "139" + key()[-8:].translate(str.maketrans("ABCDEFGHJKMNPQRSTVWXYZ", "0123456789012345678901"))
    request = Enrol(identities=(phone(number),), display_name="李女士", store_id=SITE.store_id)
    first = house.adapter.member_enrol(request, call(key()))
    late = house.adapter.member_enrol(request, call(key()))
    assert isinstance(first, Done) and isinstance(late, Done) and late.replayed and late.ref == first.ref
    kind = cinema.api.post("membershiptypes/", {
        "name": {"en": "Gold"}, "transferable": False, "allow_parallel_usage": True, "max_usages": None,
    })["id"]  # fmt: skip
    now = datetime.now(UTC)
    cinema.api.post("memberships/", {
        "customer": first.ref, "membership_type": kind, "date_start": (now - timedelta(days=1)).isoformat(),
        "date_end": (now + timedelta(days=30)).isoformat(), "attendee_name_parts": {"_scheme": "full", "full_name": ""},
    })  # fmt: skip
    found = house.build(member_rates={str(kind): 9000}).member_find(MemberLookup(identity=phone(number)))
    assert found is not None and (found.ref, found.rate_bp, found.tier) == (first.ref, 9000, str(kind))
    assert house.adapter.member_find(MemberLookup(identity=phone("13900000000"))) is None


def test_a_webhook_is_a_hint_that_is_looked_up(house: House, cinema: Cinema) -> None:
    """Anybody who knows the address can send one: only an order of ours, as it stands there, counts."""
    order, posted = sale(line(cinema.sku("six"), 1, 4500)), key()
    house.adapter.order_post(order, call(posted))
    body = (
        f'{{"notification_id": 1, "organizer": "screen", "event": "{cinema.event}", "code": "%s",'
        f' "action": "pretix.event.order.paid"}}'
    )
    genuine = NoticeRequest(method="POST", query="", headers={}, body=(body % rows_code(posted)).encode())
    notice = house.adapter.notice_read(genuine)
    assert notice is not None and notice.key == posted and notice.facts["status"] == "p"
    for code in ("AAAAAAAAAAAAAAAA", "../../x"):
        request = NoticeRequest(method="POST", query="", headers={}, body=(body % code).encode())
        assert house.adapter.notice_read(request) is None
