"""A message reaches who wants it, in their language, once; who withdrew gets none, whatever breaks on the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.sdk import Declined, DeclineReason, Done, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.transports.masking import Masker
from gateway.testing.context import FileStore
from plugins.messages.conformance import BACK, PAID, PAID_EN, READY, SETTINGS, message
from plugins.messages.protocol import dump_letter, read_letter
from tests.plugins.messages.support import Account, key


def test_a_customer_is_written_to_in_their_language_and_else_in_the_account_s(account: Account) -> None:
    who = account.follower()
    for number, language in enumerate(("zh", "en", "")):
        assert isinstance(account.send(message(who, language=language), number), Done)
    assert isinstance(account.send(message(who, "refunded", language="en"), 9), Done), "there is no English one"
    assert [each["template_id"] for each in account.sent] == [PAID, PAID_EN, PAID, BACK]
    assert account.sent[0]["data"] == {"first": "谢谢光临", "keyword1": "W000001", "keyword2": "¥12.00"}


def test_a_field_that_is_not_given_is_a_dash_because_an_empty_one_is_refused(account: Account) -> None:
    assert isinstance(account.send(message(account.follower(), amount="")), Done)
    assert account.sent[0]["data"]["keyword2"] == "-"


@pytest.mark.parametrize(
    ("lever", "code"), [("unfollow", "43004"), ("block", "43101")], ids=["stopped following", "refuses messages"]
)
def test_who_withdrew_is_not_written_to(account: Account, lever: str, code: str) -> None:
    who = account.do(lever, follower=7)
    answer = account.send(message(who))
    assert isinstance(answer, Declined) and answer.code == code
    assert account.sent == []


def test_a_subscription_is_used_up_by_its_message_and_can_be_withdrawn(account: Account) -> None:
    who = account.do("subscribe", follower=3, template=READY, count=2)
    asked = message(who, "ready")
    assert isinstance(account.send(asked, 1), Done)
    account.do("withdraw", openid=who, template=READY)
    answer = account.send(asked, 2)
    assert isinstance(answer, Declined) and answer.code == "43101"
    account.do("subscribe", openid=who, template=READY)
    assert isinstance(account.send(asked, 2), Done), "nothing was sent by the refused one: its key is still good"
    assert isinstance(account.send(asked, 3), Declined), "one consent, one message"
    assert len(account.sent) == 2


def test_a_subscription_s_words_are_cut_to_what_its_keyword_takes(account: Account) -> None:
    who = account.do("subscribe", follower=3, template=READY)
    assert isinstance(account.send(message(who, "ready", title="很长的一句话" * 9)), Done)
    assert account.sent[0]["data"]["thing1"] == "很长的一句话很长的一句话很长的一句话很…"


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "half_body", "wrong_encoding", "error", "drop_before"])
def test_a_message_whose_answer_is_lost_is_repeated_and_read_once(account: Account, fault: str) -> None:
    account.once(fault, "template")
    with pytest.raises(OutcomeUnknown):
        account.send(number=5)
    assert isinstance(account.send(number=5, attempt=2), Done)
    assert len(account.sent) == 1


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
def test_a_subscription_message_that_may_have_been_sent_is_never_sent_again(account: Account, fault: str) -> None:
    who = account.do("subscribe", follower=3, template=READY, count=5)
    asked = message(who, "ready")
    account.once(fault, "subscription")
    with pytest.raises(OutcomeUnknown):
        account.send(asked, 5)
    with pytest.raises(OutcomeUnknown, match="not sent again"):
        account.send(asked, 5, attempt=2)
    assert len(account.sent) == (1 if fault == "drop_after" else 0)


def test_a_subscription_message_that_was_answered_is_known_again(account: Account) -> None:
    who = account.do("subscribe", follower=3, template=READY, count=5)
    first = account.send(message(who, "ready"), 5)
    again = account.send(message(who, "ready"), 5, attempt=2)
    assert isinstance(again, Done) and again.replayed and again.ref == first.ref
    assert len(account.sent) == 1


def test_the_account_forgets_our_number_after_ten_minutes_and_the_claim_ends_there(account: Account) -> None:
    """Past that time a repeat would be a second message: the trait must not promise more."""
    account.send(number=5)
    later = datetime.now(UTC) + timedelta(seconds=601)
    account.simulator.now = later.timestamp  # type: ignore[method-assign]
    account.send(number=5, attempt=2)
    assert len(account.sent) == 2
    assert account.adapter.traits["message_send"].idempotent_for_s == 600


@pytest.mark.parametrize(
    ("fault", "reason"), [("quota", DeclineReason.LIMIT_EXCEEDED)], ids=["as many as a day allows"]
)
def test_the_limit_of_the_day_is_a_refusal(account: Account, fault: str, reason: DeclineReason) -> None:
    account.once(fault, "template")
    answer = account.send()
    assert isinstance(answer, Declined) and answer.reason == reason


def test_the_limit_of_a_minute_says_try_again(account: Account) -> None:
    account.simulator.options["minute_quota"] = "2"
    for number in (1, 2):
        account.send(number=number)
    with pytest.raises(NotSent, match="too much at once"):
        account.send(number=3)
    account.simulator.options["minute_quota"] = "9"
    assert isinstance(account.send(number=3, attempt=2), Done)


def test_a_number_that_nobody_explained_is_unknown(account: Account) -> None:
    account.once("unlisted", "template")
    with pytest.raises(OutcomeUnknown, match="45999"):
        account.send()


def test_a_receiver_that_is_no_openid_is_refused_without_asking(account: Account) -> None:
    answer = account.send(message("张三"))
    assert isinstance(answer, Declined) and answer.reason == DeclineReason.MEMBER_UNKNOWN
    assert account.simulator.books()["requests"] == {}


def test_a_template_nobody_set_up_is_told_by_its_name(account: Account) -> None:
    with pytest.raises(Misconfigured, match="no 'birthday'"):
        account.send(message(account.follower(), "birthday"))
    assert account.simulator.books()["requests"] == {}


def test_the_check_names_the_template_the_secret_and_the_account(account: Account) -> None:
    account.adapter.check()
    secret = account.folder / "other.txt"
    secret.touch(mode=0o600)
    secret.write_text("0" * 32)
    for changes, told in (
        ({"templates": {"gone": SETTINGS["gone"]}}, r"templates\.gone\.zh\.id"),
        ({"app_secret": f"file:{secret}"}, "app_secret"),
        ({"app_id": "wx0000000000000000"}, "app_id"),
    ):
        with pytest.raises(Misconfigured, match=told):
            account.worker(**changes).check()
    assert account.sent == []


def test_neither_openid_nor_token_nor_secret_can_be_read_in_what_is_kept(account: Account) -> None:
    who = account.follower()
    account.send(message(who))
    token = account.simulator.books_.tokens()[0][0]
    kept = FileStore(account.folder / "store.db").text()
    assert token not in kept and who not in kept, "the token is kept sealed"
    letter = dump_letter(read_letter(json.dumps({"touser": who, "template_id": PAID, "data": {}}).encode()))
    head, body = Masker([])(f"POST /cgi-bin/message/template/send?access_token={token}", letter)
    assert token not in head and who not in body


def test_keys_fit_the_account_s_number(account: Account) -> None:
    account.send(number=8)
    assert account.sent[0]["client_msg_id"] == key(8)
