"""Each hook of the group-buy adapter on real sockets: what it answers, and what the platform's books say afterwards."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from marshmallow import ValidationError

from gateway.sdk import (
    Counts,
    CouponKind,
    CouponRestore,
    Declined,
    DeclineReason,
    Done,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    Original,
    Step,
)
from plugins.groupbuy.simulator_seed import KTV
from tests.plugins.groupbuy.support import SITE, Shop, key

RESTORE = "coupon_restore"


# -- look ----------------------------------------------------------------------------------------------------------


def test_a_look_shows_counts_amounts_and_the_local_package(shop: Shop) -> None:
    codes = shop.buy(3)
    shop.pull("use_elsewhere", code=codes[0])
    shop.pull("refund", code=codes[1])
    coupon = shop.find(codes[2])
    assert coupon is not None and coupon.kind is CouponKind.GROUP_BUY and coupon.usable
    assert coupon.counts == Counts(initial=3, available=1, held=0, used=1)
    assert (coupon.terms["face_amount"], coupon.terms["sold_amount"]) == (26800, 12800)
    assert (coupon.facts["package_sku"], coupon.facts["deal_kind"]) == ("PKG-3H", "set")
    assert coupon.expires_at is not None and coupon.expires_at > datetime.now(UTC) + timedelta(days=80)
    assert shop.records()[-1]["account"] == "shop-phone" and len(shop.records()) == 1  # looking changed nothing


def test_the_platform_s_share_of_a_voucher_is_told(shop: Shop) -> None:
    coupon = shop.find(shop.buy(1, "V100")[0], "R1")
    assert coupon is not None and coupon.facts["deal_kind"] == "voucher" and coupon.terms["no_change"]
    assert coupon.facts["platform_funded_amount"] == 300
    assert coupon.facts["package_sku"] == "V100"  # no package of ours is mapped: the platform's entry of it


def test_a_short_link_is_followed_one_hop(shop: Shop) -> None:
    bought = shop.pull("buy", deal="TC03", count=2)
    coupon = shop.find(bought["short_link"])
    assert coupon is not None and coupon.counts.available == 2
    done = shop.redeem(1, bought["short_link"], 2)
    assert isinstance(done, Done) and shop.statuses(bought["codes"]) == ["used", "used"]
    with pytest.raises(NotSupported, match="short_link_hosts"):
        shop.find("http://169.254.169.254/s/x/")


def test_what_may_not_be_shown_and_what_is_used_up(shop: Shop) -> None:
    restaurant, used, old = shop.buy(1, "SET4")[0], shop.buy()[0], shop.buy()[0]
    shop.pull("use_elsewhere", code=used)
    shop.pull("expire", code=old)
    assert [shop.find(code) for code in ("9" * 15, "hello", restaurant)] == [None, None, None]
    for code, reason in ((used, "coupon_exhausted"), (old, "coupon_expired")):
        coupon = shop.find(code)
        assert coupon is not None and not coupon.usable and coupon.counts.available == 0
        assert coupon.facts["reason"] == reason


def test_a_store_needs_its_shop(shop: Shop) -> None:
    with pytest.raises(Misconfigured, match="poi_ids"):
        shop.find(shop.buy()[0], "S9")
    with pytest.raises(Misconfigured, match="poi_ids"):
        shop.find(shop.buy()[0], "")
    shop.adapter = shop.build(poi_ids={"K1": KTV})
    assert shop.find(shop.buy()[0], "") is not None


# -- redeem --------------------------------------------------------------------------------------------------------


def test_a_count_is_redeemed_under_our_key(shop: Shop) -> None:
    codes = shop.buy(3)
    journal: list[Step] = []
    done = shop.redeem(1, codes[1], 2, journal=journal)
    assert isinstance(done, Done) and not done.replayed
    assert sorted(shop.statuses(codes)) == ["unused", "used", "used"] and shop.status(codes[1]) == "used"
    records = shop.records()
    assert {record["device"] for record in records} == {key(1)}
    assert {(record["account"], record["poi_id"]) for record in records} == {("gateway-01", KTV)}
    assert {record["verify_id"] for record in records} == {done.ref}
    assert (done.facts["count"], done.facts["sold_amount"], done.facts["package_sku"]) == (2, 25600, "PKG-3H")
    token = done.facts["verify_token"]
    assert journal == [Step(name="verify", ref=token), Step(name="verify", ref=token, done=True)]


def test_the_same_key_redeems_once(shop: Shop) -> None:
    codes = shop.buy(3)
    first = shop.redeem(1, codes[0])
    assert isinstance(first, Done)
    for attempt in (1, 2):
        again = shop.redeem(1, codes[0], attempt=attempt)
        assert isinstance(again, Done) and again.replayed and again.ref == first.ref
    assert sorted(shop.statuses(codes)) == ["unused", "unused", "used"] and shop.requests("verify") == 1
    asked = shop.ask(1, shop.use(codes[0]))
    assert isinstance(asked, Done) and asked.ref == first.ref and asked.facts == first.facts


def test_two_keys_redeem_two(shop: Shop) -> None:
    codes = shop.buy(2)
    first, second, third = (shop.redeem(number, codes[0]) for number in (1, 2, 3))
    assert isinstance(first, Done) and isinstance(second, Done) and first.ref != second.ref
    assert isinstance(third, Declined) and third.reason is DeclineReason.COUPON_EXHAUSTED
    assert shop.statuses(codes) == ["used", "used"]


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("use_elsewhere", DeclineReason.COUPON_EXHAUSTED),
        ("refund", DeclineReason.COUPON_EXHAUSTED),
        ("expire", DeclineReason.COUPON_EXPIRED),
    ],
)
def test_what_cannot_be_redeemed_is_declined(shop: Shop, do: str, reason: DeclineReason) -> None:
    code = shop.buy()[0]
    shop.pull(do, code=code)
    declined = shop.redeem(1, code)
    assert isinstance(declined, Declined) and declined.reason is reason
    assert shop.requests("verify") == 0
    assert shop.ask(1, shop.use(code)) == NotFound(final=True)  # nothing was chosen, so nothing was sent


def test_more_than_there_are_is_declined_before_anything_is_sent(shop: Shop) -> None:
    codes = shop.buy(2)
    declined = shop.redeem(1, codes[0], 3)
    assert isinstance(declined, Declined) and declined.reason is DeclineReason.COUPON_EXHAUSTED
    assert shop.statuses(codes) == ["unused", "unused"] and shop.requests("verify") == 0


def test_a_code_of_another_shop_or_of_nobody(shop: Shop) -> None:
    other, unknown = shop.redeem(1, shop.buy(1, "SET4")[0]), shop.redeem(2, "9" * 15)
    assert isinstance(other, Declined) and other.reason is DeclineReason.COUPON_NOT_APPLICABLE
    assert isinstance(unknown, Declined) and unknown.reason is DeclineReason.COUPON_UNKNOWN
    word = shop.redeem(3, "hello")
    assert isinstance(word, Declined) and word.reason is DeclineReason.COUPON_UNKNOWN


@pytest.mark.parametrize("count", [2, 3])
def test_a_part_that_is_refused_undoes_the_whole(shop: Shop, count: int) -> None:
    """A certificate is given back between prepare and verify: the others are taken back, all or nothing."""
    codes = shop.buy(3)
    journal: list[Step] = []
    shop.once("partial_results", "verify")
    declined = shop.redeem(1, codes[0], count, journal=journal)
    assert isinstance(declined, Declined) and declined.reason is DeclineReason.COUPON_EXHAUSTED
    assert sorted(shop.statuses(codes)) == ["refunded", "unused", "unused"]
    assert [step.name for step in journal] == ["verify", "verify", "cancel", "cancel"]
    assert not isinstance(shop.ask(1, shop.use(codes[0], count)), Done)


def test_a_pass_is_used_one_at_a_time(shop: Shop) -> None:
    codes = shop.buy(1, "BUN10")
    shop.adapter = shop.build(poi_ids={"K1": "7100000000000000004"})
    for number in range(3):
        assert isinstance(shop.redeem(number, codes[0] if number == 0 else codes[number]), Done)
    coupon = shop.find(codes[9])
    assert coupon is not None and coupon.counts == Counts(initial=10, available=7, held=0, used=3)


# -- take back -----------------------------------------------------------------------------------------------------


def test_a_redemption_is_taken_back_by_its_number_and_count(shop: Shop) -> None:
    codes = shop.buy(2)
    done = shop.redeem(1, codes[0], 2)
    assert isinstance(done, Done)
    wrong = shop.restore(2, shop.restore_request(done, 1, count=1))
    assert isinstance(wrong, Declined) and wrong.reason is DeclineReason.AMOUNT_MISMATCH
    assert shop.requests("cancel") == 0
    request = shop.restore_request(done, 1, count=2)
    assert isinstance(shop.restore(3, request), Done) and shop.statuses(codes) == ["unused", "unused"]
    for attempt in (1, 2):
        again = shop.restore(3, request, attempt)
        assert isinstance(again, Done) and again.replayed
    assert isinstance(shop.ask(3, request, RESTORE), Done)
    other = shop.restore(4, request)
    assert isinstance(other, Declined) and other.reason is DeclineReason.CLOSED
    assert isinstance(shop.redeem(5, codes[0], 2), Done)  # and can be used again, under another key


def test_after_an_hour_it_is_too_late(shop: Shop) -> None:
    code = shop.buy()[0]
    done = shop.redeem(1, code)
    assert isinstance(done, Done)
    shop.pull("age", code=code, seconds=3601)
    late = shop.restore(2, shop.restore_request(done, 1))
    assert isinstance(late, Declined) and late.reason is DeclineReason.TOO_LATE
    assert shop.status(code) == "used"
    assert shop.adapter.traits["coupon_restore"].reverse_window_s == 3600


def test_a_redemption_is_found_by_its_key_alone(shop: Shop) -> None:
    """The answer was lost, so nobody knows the number: the plan kept under the key leads to it."""
    code = shop.buy()[0]
    shop.redeem(1, code)
    request = CouponRestore(original=Original(key=key(1)), code=code, count=1, amount=26800, site=SITE)
    assert shop.ask(2, request, RESTORE) == NotFound(final=False)
    assert isinstance(shop.restore(2, request), Done) and shop.status(code) == "unused"
    nothing = CouponRestore(original=Original(key=key(9)), code=code, count=1, amount=1, site=SITE)
    refused = shop.restore(3, nothing)
    assert isinstance(refused, Declined) and refused.reason is DeclineReason.NOT_FOUND


# -- list ----------------------------------------------------------------------------------------------------------


def test_the_statement_has_redemptions_and_reversals_under_our_keys(shop: Shop) -> None:
    first, second = shop.buy(3), shop.buy(1)
    done = shop.redeem(1, first[0], 3)
    shop.redeem(2, second[0])
    shop.pull("use_elsewhere", code=shop.buy()[0])
    assert isinstance(done, Done)
    shop.restore(3, shop.restore_request(done, 1, count=3))
    rows = [(row.kind, row.key, row.amount, row.fee_amount) for row in shop.rows()]
    assert rows == [
        ("redeem", key(1), 3, 1920),
        ("reverse", key(3), -3, -1920),
        ("redeem", key(2), 1, 640),
        ("redeem", "", 1, 640),  # by the shop's own phone
    ]
    assert sum(row.amount for row in shop.rows()) == shop.sim.books()["counts"]["used"]
    assert shop.rows()[1].original_ref == done.ref and shop.rows()[0].facts["sold_amount"] == 38400
    assert shop.rows(store_id="R1") == ()


def test_a_statement_of_many_pages(shop: Shop) -> None:
    for number in range(12):
        shop.redeem(number, shop.buy(2)[0], 2)
    assert [row.key for row in shop.rows()] == [key(number) for number in range(12)]
    assert shop.requests("history") == 2


def test_a_business_day_may_begin_in_the_morning(shop: Shop) -> None:
    shop.redeem(1, shop.buy()[0])
    now = datetime.now(shop.adapter.context.timezone)
    later = (now + timedelta(minutes=2)).strftime("%H:%M")
    shop.adapter = shop.build(business_day_starts=later)
    belongs = (now + timedelta(minutes=2)).date() - timedelta(days=1)
    assert len(shop.rows(belongs)) == 1 and shop.rows(belongs + timedelta(days=1)) == ()


# -- tokens, settings, secrets ---------------------------------------------------------------------------------------


def test_one_token_serves_many_calls_and_is_renewed_when_refused(shop: Shop) -> None:
    shop.redeem(1, shop.buy()[0])
    assert shop.requests("token") == 1
    shop.pull("forget_tokens")
    assert isinstance(shop.redeem(2, shop.buy()[0]), Done)
    shop.once("token_expired", "verify")
    assert isinstance(shop.redeem(3, shop.buy()[0]), Done)
    assert shop.requests("token") == 3 and len(shop.records()) == 3


class TestShortTokens:
    @pytest.fixture
    def options(self) -> dict[str, str]:
        return {"access_token_s": "1"}

    def test_a_token_is_renewed_before_it_runs_out(self, shop: Shop) -> None:
        shop.find(shop.buy()[0])
        later = datetime.now(UTC) + timedelta(seconds=2)
        shop.adapter._platform._client._clock = lambda: later
        shop.find(shop.buy()[0])
        assert shop.requests("token") == 2


def test_a_token_that_is_always_refused_is_a_matter_of_settings(shop: Shop) -> None:
    code = shop.buy()[0]
    shop.always("token_expired")
    with pytest.raises(Misconfigured):
        shop.redeem(1, code)
    assert shop.status(code) == "unused"


def test_without_a_token_nothing_was_sent(shop: Shop) -> None:
    code = shop.buy()[0]
    for fault in ("drop_after", "garbage", "error"):
        shop.always(fault, "token")
        with pytest.raises(NotSent):
            shop.redeem(1, code)
    assert shop.requests("prepare") == 0


def test_check_names_what_is_wrong(shop: Shop, tmp_path: Path) -> None:
    shop.adapter.check()
    with pytest.raises(Misconfigured, match=r"poi_ids\.X1.*星海KTV"):
        shop.build(poi_ids={"X1": "99"}).check()
    with pytest.raises(Misconfigured, match="client_secret"):
        shop.build(client_key="other").check()
    shop.always("error", "shops")
    with pytest.raises(NotSent):
        shop.adapter.check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "http://example.com"),
        ("client_secret", "tqt-secret"),
        ("poi_ids", {}),
        ("operator_account", ""),
        ("business_day_starts", "25:00"),
        ("surprise", 1),
    ],
)
def test_wrong_settings_are_named(shop: Shop, name: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        shop.build(**{name: value})
    assert list(error.value.messages_dict) == [name]


def test_no_secret_is_kept_or_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code = shop.buy()[0]
    done = shop.redeem(1, code)
    store = shop.adapter.context.store
    kept = str([store.get(name) for name in store.keys("")]) + str(done)
    token = shop.adapter._platform._client._token
    # urllib3's own DEBUG lines have addresses with the code in them: that logger must stay above DEBUG (README.md).
    logged = "".join(record.getMessage() for record in caplog.records if record.name.startswith("gateway"))
    for secret in ("tqt-secret-5b1c9e", token, code):
        assert secret and secret not in kept and secret not in logged
