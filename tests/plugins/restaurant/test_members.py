"""Protects the head office's members: points and value move once per number, and to the right bucket."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import (
    Call,
    Declined,
    DeclineReason,
    Done,
    Enrol,
    Identity,
    IdentityType,
    InvalidReply,
    Member,
    MemberLookup,
    MemberPageRequest,
    NotFound,
    NotSent,
    Original,
    OutcomeUnknown,
    PointsEarn,
    PointsHeld,
    PointsReserve,
    PointsReturn,
    PointsRevoke,
    Query,
    Secret,
    StatementRequest,
    Value,
    ValueHeld,
    ValueOrder,
    ValueReserve,
    ValueReturn,
    ValueTopup,
    ValueUntopup,
)
from gateway.sdk.adapter import utc_now
from gateway.testing.context import build
from plugins.restaurant.members import RestaurantMembersAdapter
from plugins.restaurant.protocol_members import BUCKETS
from plugins.restaurant.simulator_members import take
from tests.plugins.restaurant.support import SITE, Chain, settings

#: 李: level V2, 5000 points; 500.00 paid in, nothing given on top, 100.00 in advance (see the seed).
PHONE, MEMBER = "13800002005", "C810005"
OFFICE_KEYS = ("office_url", "brand_id", "app_key", "app_secret", "timeout_s")


@pytest.fixture
def crm(chain: Chain, secrets: None, tmp_path: Path) -> Iterator[RestaurantMembersAdapter]:
    own = {name: settings(chain.addresses)[name] for name in OFFICE_KEYS}
    adapter = build(RestaurantMembersAdapter, own, tmp_path / "crm")
    yield adapter
    adapter.context.http.close()


def find(crm: RestaurantMembersAdapter, kind: IdentityType = IdentityType.PHONE, value: str = PHONE) -> Member | None:
    return crm.member_find(MemberLookup(identity=Identity(type=kind, value=Secret(value))))


def books(chain: Chain, member: str = MEMBER) -> dict[str, Any]:
    found: dict[str, Any] = chain.simulator.books()["crm"]["members"][member]
    return found


def reserve(points: int = 500) -> PointsReserve:
    return PointsReserve(member_ref=MEMBER, points=points, amount=points, order_no="ON1", site=SITE, ttl_s=60)


def held(key: str, points: int = 500) -> PointsHeld:
    return PointsHeld(original=Original(key=key), member_ref=MEMBER, points=points, site=SITE)


def spend(amount: int, order: ValueOrder = ValueOrder.REAL_FIRST) -> ValueReserve:
    return ValueReserve(account=MEMBER, amount=amount, order=order, order_no="ON1", site=SITE, ttl_s=60)


# ---- who is a member


def test_a_member_is_found_by_phone_card_code_and_openid(crm: RestaurantMembersAdapter) -> None:
    found = find(crm)
    assert found is not None
    assert (found.ref, found.tier, found.rate_bp, found.points_available) == (MEMBER, "V2", 9500, 5000)
    assert found.value == Value(real=50_000, gift=0, prepaid=10_000)
    assert found == find(crm, IdentityType.CARD, "8810000005")
    assert found == find(crm, IdentityType.CODE, "QH8810000005")
    assert found == find(crm, IdentityType.OPENID, "oQH000005")
    assert find(crm, IdentityType.PHONE, "13900000000") is None
    assert find(crm, IdentityType.PHONE, "") is None


def test_all_members_come_page_by_page(crm: RestaurantMembersAdapter) -> None:
    page = crm.member_page(MemberPageRequest())
    assert (len(page.items), page.next_cursor) == (24, None)
    assert [member.rate_bp for member in page.items[:4]] == [None, 9500, 9000, 8800]


def test_joining_twice_is_one_member(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    request = Enrol(identities=(Identity(type=IdentityType.PHONE, value=Secret("13900001111")),), display_name="新客")
    key = chain.key()
    first, again, other = (crm.member_enrol(request, chain.call(k)) for k in (key, key, chain.key()))
    assert isinstance(first, Done)
    assert not first.replayed
    assert isinstance(again, Done)
    assert isinstance(other, Done)
    assert (again.ref, again.replayed, other.ref, other.replayed) == (first.ref, True, first.ref, True)


# ---- points


def test_points_are_frozen_spent_and_given_back(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    hold = chain.key()
    assert isinstance(crm.points_reserve(reserve(), chain.call(hold)), Done)
    assert (books(chain)["points"], books(chain)["frozen"]) == (4500, 500)
    assert isinstance(crm.points_confirm(held(hold), chain.call()), Done)
    assert (books(chain)["points"], books(chain)["frozen"]) == (4500, 0)
    back = PointsReturn(original=Original(key=hold), member_ref=MEMBER, points=200, site=SITE)
    for _ in range(2):
        assert isinstance(crm.points_return(back, chain.call()), Done)
    too_much = crm.points_return(back, chain.call())
    assert isinstance(too_much, Declined)
    assert too_much.reason is DeclineReason.NOT_REFUNDABLE
    assert books(chain)["points"] == 4900


def test_a_hold_is_let_go_once_also_one_that_never_came(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    hold, cancel = chain.key(), chain.key()
    crm.points_reserve(reserve(), chain.call(hold))
    for _ in range(2):
        assert isinstance(crm.points_cancel(held(hold), chain.call(cancel)), Done)
    assert (books(chain)["points"], books(chain)["frozen"]) == (5000, 0)
    assert isinstance(crm.points_cancel(held("0" * 26), chain.call()), Done)
    spent = crm.points_confirm(held(hold), chain.call())
    assert isinstance(spent, Declined)
    assert spent.reason is DeclineReason.CLOSED


def test_too_few_points_and_strangers_are_declined(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    few = crm.points_reserve(reserve(5001), chain.call())
    assert isinstance(few, Declined)
    assert (few.reason, few.code) == (DeclineReason.INSUFFICIENT_POINTS, "42001")
    stranger = PointsEarn(member_ref="C1", points=1, basis_amount=100, order_no="ON1", site=SITE)
    unknown = crm.points_earn(stranger, chain.call())
    assert isinstance(unknown, Declined)
    assert unknown.reason is DeclineReason.MEMBER_UNKNOWN
    assert books(chain)["points"] == 5000


def test_earned_points_are_taken_back_as_far_as_they_are_there(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    earned = chain.key()
    crm.points_earn(
        PointsEarn(member_ref=MEMBER, points=100, basis_amount=10_000, order_no="ON1", site=SITE), chain.call(earned)
    )
    crm.points_reserve(reserve(5040), chain.call())
    revoke = PointsRevoke(original=Original(key=earned), member_ref=MEMBER, points=100, site=SITE)
    taken = crm.points_revoke(revoke, chain.call())
    assert isinstance(taken, Done)
    assert (taken.amount, books(chain)["points"]) == (60, 0)


# ---- stored value


def test_value_is_taken_by_bucket_and_given_back_to_it(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    crm.value_topup(ValueTopup(account=MEMBER, value=Value(gift=5_000), site=SITE), chain.call())
    hold = chain.key()
    done = crm.value_reserve(spend(13_000, ValueOrder.GIFT_FIRST), chain.call(hold))
    assert isinstance(done, Done)
    assert done.facts["buckets"] == {"real": 0, "gift": 5_000, "prepaid": 8_000}
    confirm = ValueHeld(original=Original(key=hold), account=MEMBER, amount=13_000, site=SITE)
    assert isinstance(crm.value_confirm(confirm, chain.call()), Done)
    back = Value(gift=1_000, prepaid=2_000)
    request = ValueReturn(original=Original(key=hold), account=MEMBER, amount=3_000, buckets=back, site=SITE)
    assert isinstance(crm.value_return(request, chain.call()), Done)
    assert [books(chain)[name] for name in BUCKETS] == [50_000, 1_000, 4_000]
    wrong = ValueReturn(original=Original(key=hold), account=MEMBER, amount=1, buckets=Value(real=1), site=SITE)
    refused = crm.value_return(wrong, chain.call())
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.NOT_REFUNDABLE


def test_a_cancelled_hold_gives_everything_back_once(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    hold = chain.key()
    crm.value_reserve(spend(12_345, ValueOrder.PERCENT), chain.call(hold))
    cancel = ValueHeld(original=Original(key=hold), account=MEMBER, amount=12_345, site=SITE)
    for _ in range(2):
        assert isinstance(crm.value_cancel(cancel, chain.call()), Done)
    assert [books(chain)[name] for name in BUCKETS] == [50_000, 0, 10_000]
    never = ValueHeld(original=Original(key="0" * 26), account=MEMBER, amount=1, site=SITE)
    assert isinstance(crm.value_cancel(never, chain.call()), Done)


def test_too_little_value_and_too_much_without_a_password_are_declined(
    chain: Chain, crm: RestaurantMembersAdapter
) -> None:
    over = crm.value_reserve(spend(20_001), chain.call())
    assert isinstance(over, Declined)
    assert over.reason is DeclineReason.LIMIT_EXCEEDED
    little = crm.value_reserve(spend(60_001), chain.call())
    assert isinstance(little, Declined)
    assert little.reason is DeclineReason.INSUFFICIENT_VALUE


def test_a_payment_in_can_be_taken_back(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    key, paid = chain.key(), Value(real=10_000, gift=1_000)
    crm.value_topup(ValueTopup(account=MEMBER, value=paid, site=SITE), chain.call(key))
    undo = ValueUntopup(original=Original(key=key), account=MEMBER, value=paid, site=SITE)
    assert isinstance(crm.value_untopup(undo, chain.call()), Done)
    assert [books(chain)[name] for name in BUCKETS] == [50_000, 0, 10_000]
    assert isinstance(crm.value_untopup(undo, chain.call()), Declined)


@given(st.tuples(*[st.integers(0, 99_999)] * 3), st.data(), st.sampled_from(["percent", "real_first", "gift_first"]))
def test_buckets_give_exactly_what_is_asked(amounts: tuple[int, ...], data: st.DataObject, order: str) -> None:
    account = dict(zip(BUCKETS, amounts, strict=True))
    asked = data.draw(st.integers(0, sum(amounts)))
    taken = take(account, asked, order)
    assert sum(taken.values()) == asked
    assert all(0 <= taken[name] <= account[name] for name in BUCKETS)


# ---- lost, doubled and wrong answers


LOST = ["drop_after", "garbage", "half_body", "wrong_encoding", "error", "drop_before"]
LOST += ["duplicate", "wrong_amount", "wrong_id"]


@pytest.mark.parametrize("fault", LOST)
def test_whatever_is_answered_points_are_frozen_once(chain: Chain, crm: RestaurantMembersAdapter, fault: str) -> None:
    key = chain.key()
    chain.fault(fault, "crm.points.freeze", value=3)
    if fault == "duplicate":
        assert isinstance(crm.points_reserve(reserve(), chain.call(key)), Done)
    else:
        with pytest.raises(OutcomeUnknown):
            crm.points_reserve(reserve(), chain.call(key))
        acted = fault not in ("error", "drop_before")
        assert isinstance(ask(crm, "points_reserve", key), Done if acted else NotFound)
    again = crm.points_reserve(reserve(), chain.call(key, attempt=2))
    assert isinstance(again, Done)
    assert (books(chain)["points"], books(chain)["frozen"]) == (4500, 500)


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "wrong_amount"])
def test_whatever_is_answered_value_is_taken_once(chain: Chain, crm: RestaurantMembersAdapter, fault: str) -> None:
    key = chain.key()
    chain.fault(fault, "crm.value.deduct", value=3)
    with pytest.raises(OutcomeUnknown):
        crm.value_reserve(spend(10_000), chain.call(key))
    answer = ask(crm, "value_reserve", key)
    assert isinstance(answer, Done)
    assert (answer.amount, answer.facts["buckets"]["real"]) == (10_000, 10_000)
    again = crm.value_reserve(spend(10_000), chain.call(key, attempt=2))
    assert isinstance(again, Done)
    assert again.replayed
    assert books(chain)["real"] == 40_000


def ask(crm: RestaurantMembersAdapter, hook: str, key: str) -> Any:
    return crm.member_query(Query(hook=hook, key=key, request=None, sent_at=utc_now()))


def test_the_same_number_with_other_contents_is_not_taken_for_a_replay(
    chain: Chain, crm: RestaurantMembersAdapter
) -> None:
    key = chain.key()
    crm.points_reserve(reserve(), chain.call(key))
    with pytest.raises(OutcomeUnknown, match="42010"):
        crm.points_reserve(reserve(400), chain.call(key))
    assert books(chain)["frozen"] == 500


def test_trouble_before_the_request_is_not_sent(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    chain.fault("garbage", "office.accesstoken")
    with pytest.raises(NotSent):
        crm.points_reserve(reserve(), chain.call())
    late: Call = chain.call(seconds=-1)
    with pytest.raises(NotSent, match="no time left"):
        crm.points_reserve(reserve(), late)


def test_an_expired_token_is_renewed_and_nothing_is_done_twice(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    crm.check()
    chain.fault("token_expiry", "crm.points.freeze")
    assert isinstance(crm.points_reserve(reserve(), chain.call()), Done)
    assert books(chain)["frozen"] == 500


@pytest.mark.parametrize("fault", ["garbage", "drop_after", "error"])
def test_trouble_while_looking_for_a_member_is_no_stranger(
    chain: Chain, crm: RestaurantMembersAdapter, fault: str
) -> None:
    chain.fault(fault, "crm.customer.get")
    with pytest.raises(OutcomeUnknown):
        find(crm)


def test_no_phone_and_no_secret_is_logged_or_raised(
    chain: Chain, crm: RestaurantMembersAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    texts = []
    with caplog.at_level(logging.DEBUG):
        texts.append(repr(find(crm)))
        for fault in ("garbage", "error", "half_body", "drop_after"):
            chain.fault(fault, "crm.customer.get")
            with pytest.raises((OutcomeUnknown, InvalidReply)) as caught:
                find(crm)
            texts.append(repr(caught.value))
    assert PHONE not in caplog.text + "".join(texts)


# ---- statements


def test_the_day_of_points_and_value(chain: Chain, crm: RestaurantMembersAdapter) -> None:
    hold, spent, earned, value = (chain.key() for _ in range(4))
    crm.points_reserve(reserve(), chain.call(hold))
    crm.points_confirm(held(hold), chain.call(spent))
    crm.points_earn(
        PointsEarn(member_ref=MEMBER, points=30, basis_amount=3000, order_no="ON1", site=SITE), chain.call(earned)
    )
    crm.value_reserve(spend(5_000), chain.call(value))
    day = date.fromisoformat(chain.simulator.till("SH01").business_date())
    points = crm.points_statement(StatementRequest(business_date=day)).items
    assert [(row.kind, row.amount, row.key, row.original_ref) for row in points] == [
        ("spend", -500, spent, hold),
        ("earn", 30, earned, ""),
    ]
    rows = crm.value_statement(StatementRequest(business_date=day)).items
    assert [(row.kind, row.amount, row.key) for row in rows] == [("spend", -5_000, value)]
    assert rows[0].at is not None


def test_check_says_what_is_wrong(chain: Chain, crm: RestaurantMembersAdapter, tmp_path: Path) -> None:
    crm.check()
    own = {name: settings(chain.addresses)[name] for name in OFFICE_KEYS}
    down = build(RestaurantMembersAdapter, {**own, "office_url": "http://127.0.0.1:9"}, tmp_path / "down")
    with pytest.raises(NotSent):
        down.check()
