"""Notices of the e-voucher platform: stored before they are answered, followed once, however late they come."""

from __future__ import annotations

import time

import pytest

from gateway.sdk import Declined, NotSent
from gateway.sdk.simulator import HttpReply, HttpRequest, serve_http
from tests.plugins.evoucher.support import ITEMS, Shop, done

MOBILE = "13955501234"


def test_a_paid_order_gets_its_codes(shop: Shop) -> None:
    order_id, codes = shop.bought(5)
    assert shop.order(order_id)["state"] == 2 and shop.order(order_id)["texts"] == 1
    assert len(codes) == 1 and len(codes[0]) == 12 and codes[0].isdigit() and shop.left(codes[0]) == 5
    _, each = shop.bought(3, "EV-KTV3")
    assert len(set(each)) == 3 and [shop.left(code) for code in each] == [1, 1, 1]


def test_what_was_answered_survives_the_process(shop: Shop) -> None:
    """The answer means that the platform will not ask again: a process that dies after it must have lost nothing."""
    told = shop.pull("buy", num=2)
    answered = shop.take(told["notice"])
    assert answered is not None and answered.reply == b'{"code":200}' and shop.requests("send") == 0
    shop.adapter = shop.build()
    assert shop.follow() == 0 and len(shop.codes(told["order_id"])) == 1


def test_copies_and_late_copies_of_a_notice_change_nothing(shop: Shop) -> None:
    told = shop.pull("buy", num=2)
    for _ in range(3):
        assert shop.take(told["notice"]) is not None
    assert shop.follow() == 0
    done(shop.redeem(1, shop.codes(told["order_id"])[0]))
    assert shop.take(told["notice"]) is not None and shop.follow() == 0
    assert shop.order(told["order_id"])["texts"] == 1 and len(shop.codes(told["order_id"])) == 1
    assert shop.store.keys("owed/") == []


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "half_body", "busy_acted", "wrong_encoding", "wrong_id"])
def test_a_send_whose_answer_is_lost_makes_no_second_codes(shop: Shop, fault: str) -> None:
    told = shop.pull("buy", num=3, item="EV-KTV3")
    shop.take(told["notice"])
    shop.once(fault, "send")
    assert shop.follow() == 1
    shop.adapter = shop.build()
    assert shop.follow() == 0
    assert len(shop.codes(told["order_id"])) == 3 and shop.order(told["order_id"])["texts"] == 1


def test_a_refund_that_overtakes_its_purchase(shop: Shop) -> None:
    """The cancel comes first: codes are made for what is left alone, and none if nothing is."""
    part, whole = shop.pull("buy", num=5), shop.pull("buy", num=2)
    for bought, num in ((part, 2), (whole, 2)):
        assert shop.take(shop.pull("refund", order_id=bought["order_id"], num=num)["notice"]) is not None
    shop.follow()
    for bought in (part, whole):
        assert shop.take(bought["notice"]) is not None
    assert shop.follow() == 0
    assert [shop.left(code) for code in shop.codes(part["order_id"])] == [3]
    assert shop.codes(whole["order_id"]) == [] and shop.order(whole["order_id"])["state"] == 3


def test_a_text_sent_again_names_all_codes_that_are_still_usable(shop: Shop) -> None:
    order_id, codes = shop.bought(5, "EV-KTV3")
    for number in (0, 1):
        done(shop.redeem(number, codes[number], 1))
    told = shop.pull("resend", order_id=order_id)
    shop.take(told["notice"])
    assert shop.follow() == 0 and shop.order(order_id)["texts"] == 2
    shop.take(told["notice"])
    assert shop.follow() == 0 and shop.order(order_id)["texts"] == 2  # a late copy texts nobody


def test_a_new_phone_gets_the_codes_and_is_not_kept(shop: Shop) -> None:
    told = shop.pull("buy", num=2, mobile=MOBILE)
    shop.take(told["notice"])
    shop.take(shop.pull("change_mobile", order_id=told["order_id"], mobile="13955509999")["notice"])
    assert shop.follow() == 0 and shop.order(told["order_id"])["texts"] == 1
    shop.take(shop.pull("change_mobile", order_id=told["order_id"], mobile=MOBILE)["notice"])
    shop.once("drop_after", "resend")
    assert [shop.follow(), shop.follow()] == [1, 0] and shop.order(told["order_id"])["texts"] == 2
    kept = shop.store.text()
    for secret in (MOBILE, "13955509999", *shop.codes(told["order_id"])):
        assert secret not in kept


def test_a_longer_time_and_an_empty_order_ask_for_nothing(shop: Shop) -> None:
    order_id, codes = shop.bought(2)
    shop.take(shop.pull("extend", order_id=order_id, seconds=86_400)["notice"])
    done(shop.redeem(1, codes[0]))
    shop.take(shop.pull("resend", order_id=order_id)["notice"])
    assert shop.follow() == 0 and shop.order(order_id)["texts"] == 1


def test_only_the_platform_s_notices_about_this_seller_are_taken(shop: Shop) -> None:
    told = shop.pull("buy", num=2)
    order_id = told["order_id"]
    assert shop.take(shop.sim.notices.form(order_id, "send", secret="wrong")) is None
    assert shop.take(told["notice"].replace("num=2", "num=9", 1)) is None
    assert shop.take(shop.sim.notices.form(order_id, "send", seller_nick="别人")) is None
    assert shop.store.keys() == []
    shop.take(told["notice"])
    assert shop.take(shop.sim.notices.form(order_id, "cancel", token="another-token-0")) is None
    assert shop.follow() == 0 and len(shop.codes(order_id)) == 1


def test_an_article_that_the_settings_lack_waits_for_them(shop: Shop) -> None:
    told = shop.pull("buy", item="EV-TEA", num=2)
    shop.take(told["notice"])
    assert shop.follow() == 1 and shop.codes(told["order_id"]) == []
    shop.adapter = shop.build(items={**ITEMS, "EV-TEA": {"kind": "exchange", "face_amount": 1500}})
    assert shop.follow() == 0 and len(shop.codes(told["order_id"])) == 1


def test_one_order_in_trouble_does_not_keep_the_others_waiting(shop: Shop) -> None:
    strange, good = shop.pull("buy", item="EV-TEA"), shop.pull("buy")
    shop.take(strange["notice"])
    shop.take(good["notice"])
    assert shop.follow() == 1 and len(shop.codes(good["order_id"])) == 1
    assert shop.follow(seconds=0) == 1  # nothing is begun after the deadline


def test_a_code_that_another_order_has_is_made_anew(shop: Shop) -> None:
    """Twelve digits run into each other once in a long while."""
    told = shop.pull("buy", num=1)
    ledger = shop.adapter._ledger
    taken = ledger._code(told["order_id"], 0)
    shop.store.put(ledger._index(taken), {"of": "4999/0"})
    shop.take(told["notice"])
    assert shop.follow() == 0
    [code] = shop.codes(told["order_id"])
    assert code != taken and ledger.order_of(code) == told["order_id"] and ledger.order_of(taken) == "4999"


def test_a_notice_that_never_came_is_asked_for(shop: Shop) -> None:
    """The platform lists it; it is sent again, and followed."""
    shop.once("notice_lost", "send")
    told = shop.pull("buy", num=2)
    shop.adapter = shop.build(repair_every_s=0)
    assert shop.follow() == 0 and shop.requests("manage.notify") == 1
    again = [row for row in shop.sim.book.open_notices(told["order_id"]) if row["tries"] == 0]
    assert len(again) == 1
    shop.take(again[0]["body"])
    assert shop.follow() == 0 and len(shop.codes(told["order_id"])) == 1
    assert shop.follow() == 0 and shop.requests("manage.notify") == 1


def test_without_its_token_a_code_is_not_usable_until_the_notice_came_again(shop: Shop) -> None:
    """The store was lost: the platform still has the codes, and the token comes with any notice."""
    _, codes = shop.bought(2)
    for name in shop.store.keys(""):
        shop.store.delete(name)
    found = shop.find(codes[0])
    assert found is not None and not found.usable
    with pytest.raises(NotSent, match="token"):
        shop.redeem(1, codes[0])
    assert shop.follow() == 0 and shop.requests("manage.notify") == 1
    shop.take(shop.sim.book.rows("SELECT body FROM notices")[0]["body"])
    assert shop.follow() == 0 and shop.store.keys("wanted/") == []
    done(shop.redeem(1, codes[0]))
    assert isinstance(shop.redeem(2, codes[0]), Declined)


def test_the_platform_repeats_what_is_not_answered(shop: Shop) -> None:
    """Nobody listens at first; each notice comes again until it is answered, by the merchant's own server."""
    answers = iter([HttpReply(503, b"")])

    def hear(request: HttpRequest) -> HttpReply:
        notice = shop.take(request.body)
        return next(answers, HttpReply(200, notice.reply)) if notice else HttpReply(401, b"{}")

    server = serve_http(hear)
    try:
        shop.pull("subscribe", url=f"http://127.0.0.1:{server.server_address[1]}/")
        shop.once("notice_forged", "send")
        told = shop.pull("buy", num=2)
        until = time.monotonic() + 5
        while not any(row["answered"] for row in shop.sim.books()["notices"]) and time.monotonic() < until:
            time.sleep(0.02)
        [row] = shop.sim.books()["notices"]
        assert row["answered"] and row["tries"] == 2 and shop.sim.books()["delivered"] == 3
        assert shop.follow() == 0 and len(shop.codes(told["order_id"])) == 1
    finally:
        server.shutdown()
        server.server_close()
