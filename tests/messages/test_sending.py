"""A member gets one message about what happened: the right one, whatever the account's system does; nobody waits."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.backoffice.evidence import told
from gateway.engine.timeline import timeline
from gateway.sdk.simulator import Fault
from plugins.messages.simulator_books import openid_of
from tests.messages.conftest import PAID, READY, Post


def until(done: Callable[[], bool], work: Callable[[], object], seconds: float = 20.0) -> None:
    """Work until something is so, for at most so long."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        work()
        time.sleep(0.02)


def ended(post: Post) -> bool:
    rows = post.rows()
    return bool(rows) and all(row["status"] != "open" for row in rows)


def give_back(post: Post, checkout: dict[str, Any]) -> None:
    reply = post.house.refunds.create(post.house.asked(), checkout["id"], {"refund_no": "R-1"})
    assert reply.status == 201, reply.body


def test_a_sale_and_its_refund_are_told_to_the_member_once(post: Post) -> None:
    checkout = post.sell()
    post.go()
    give_back(post, checkout)
    post.go()
    assert post.go() == 0
    paid, refunded = post.sent()
    assert paid["touser"] == refunded["touser"] == openid_of(1)
    assert paid["data"]["keyword1"] == "M-1" and paid["data"]["keyword2"] == "¥25.60"
    assert re.fullmatch(r"谢谢光临便民超市武林店，20\d\d-\d\d-\d\d \d\d:\d\d", paid["data"]["first"])
    assert refunded["data"] == {"keyword1": "R-1", "keyword2": "¥25.60"}
    assert post.statuses() == ["sent", "sent"] and post.tasks() == []
    found = timeline(post.house.database, post.house.engine.sealer, "m1", checkout["id"])
    shown = "\n".join(told(found, ZoneInfo("Asia/Shanghai"), "zh"))
    assert "消息 paid  account" in shown and "消息 refunded  account" in shown
    assert "谢谢光临" in shown and openid_of(1) not in shown, "evidence shows what was said, and not to whom"


DEPOSITS = """
[[messages.on]]
event = "deposit.completed"
template = "refunded"
[[messages.on]]
event = "release.completed"
template = "paid"
"""


@pytest.mark.parametrize("rules", ["[messages]" + DEPOSITS], indirect=True, ids=["deposits"])
def test_a_deposit_and_its_release_are_told_by_the_deposits_number(post: Post) -> None:
    request = {"store_id": "s1", "amount": 20_000, "tender": {"method": "cash"}, "deposit_no": "D-7"}
    member = {"member": {"type": "openid", "value": openid_of(2)}}
    reply = post.house.deposits.create(post.house.asked(), {**request, **member})
    assert reply.status == 201, reply.body
    reply = post.house.deposits.release(post.house.asked(), json.loads(reply.body)["id"])
    assert reply.status == 201, reply.body
    until(lambda: ended(post) and len(post.rows()) == 2, post.go)
    assert {each["touser"] for each in post.sent()} == {openid_of(2)}
    taken, released = (each["data"] for each in post.sent())
    assert taken == {"keyword1": "D-7", "keyword2": "¥200.00"}
    assert released == {"first": "-", "keyword1": "D-7", "keyword2": "¥200.00"}


def test_who_has_no_address_is_skipped_and_counted_and_nobody_is_bothered(post: Post) -> None:
    post.sell({"type": "phone", "value": "13800001002"})
    post.sell({})
    post.go()
    assert (post.rows(), post.tasks(), post.newly_skipped) == ([], [], 2)


def test_no_address_stands_in_the_database(post: Post) -> None:
    """Who has a copy of the database has no list of the account's followers."""
    post.sell()
    post.go()
    tables = [f"SELECT * FROM {name}" for name in ("sagas", "ops", "messages", "attempts", "events")]
    rows = post.house.database.read(lambda tx: [dict(row) for sql in tables for row in tx.all(sql)])
    assert post.sent() and openid_of(1) not in json.dumps(rows, default=str)


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "error", "refuse", "too_fast", "token_taken"])
def test_a_lost_or_odd_answer_makes_no_second_message(post: Post, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    post.go()
    post.house.fault("messages", Fault(fault, "template", 2))
    post.sell()
    until(lambda: ended(post), post.go)
    assert post.statuses() == ["sent"] and len(post.sent()) == 1
    assert post.tasks() == []
    told = [record for record in caplog.records if record.name == "gateway.messages"]
    assert (told or fault == "token_taken") and openid_of(1) not in caplog.text


def test_an_answer_that_comes_too_late_makes_no_second_message(post: Post) -> None:
    post.house.fault("messages", Fault("slow", "template", 1, 800))
    post.sell()
    until(lambda: ended(post), post.go)
    assert post.statuses() == ["sent"] and len(post.sent()) == 1


def test_a_worker_that_dies_when_the_message_is_out_leaves_it_to_another(post: Post) -> None:
    """Its intent was on the disk; the other one sends the same number again, and the account knows it."""
    post.sell()
    post.relay.take_events()
    (job,) = post.sending.claim(10)
    post.sending.send(job)
    other = post.again()
    assert other.claim(10) == [], "the first one may still be sending it"
    until(lambda: ended(post), lambda: post.go(other))
    assert post.statuses() == ["sent"] and len(post.sent()) == 1
    post.sending.note(job, post.sending.send(job))
    assert post.statuses() == ["sent"], "the dead one changes nothing when it comes back"


def test_the_same_event_taken_twice_makes_one_message(post: Post) -> None:
    post.sell()
    post.relay.take_events()
    post.house.database.tx(lambda tx: tx.execute("UPDATE webhook_endpoints SET position = 0"))
    until(lambda: ended(post), post.go)
    assert len(post.rows()) == 1 and len(post.sent()) == 1


def test_one_that_cannot_be_worked_on_keeps_no_other_from_being_sent(post: Post) -> None:
    """A row that a disk has spoilt, a document of another version: the other members still get theirs."""
    spoilt, whole = post.sell(), post.sell()
    post.relay.take_events()
    sql = "UPDATE messages SET outcome = 'no JSON' WHERE subject = :id"
    post.house.database.tx(lambda tx: tx.execute(sql, {"id": spoilt["id"]}))
    for _ in range(3):
        post.go()
    assert {row["subject"]: row["status"] for row in post.rows()} == {spoilt["id"]: "open", whole["id"]: "sent"}


def test_who_withdrew_is_not_written_to(post: Post) -> None:
    post.house.running["messages"].simulator.control({"do": "unfollow", "follower": 1})
    post.sell()
    until(lambda: ended(post), post.go)
    assert post.statuses() == ["refused"] and post.sent() == [] and post.tasks() == []


@pytest.mark.parametrize("rules", [READY], indirect=True, ids=["subscription"])
def test_what_may_have_been_sent_and_carries_no_number_is_not_sent_again(post: Post) -> None:
    """A subscription message uses up a consent: a second one would be one that nobody agreed to."""
    control = post.house.running["messages"].simulator.control
    control({"do": "subscribe", "follower": 1, "template": "SUBSREADYZH001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "count": 5})
    post.house.fault("messages", Fault("drop_after", "subscription", 1))
    post.sell()
    until(lambda: ended(post), post.go)
    assert post.statuses() == ["unknown"] and len(post.sent()) == 1
    (task,) = post.tasks()
    assert (task["kind"], task["subject"], task["status"]) == ("messages-lost", "messages:m1/account", "open")
    post.sell()
    until(lambda: ended(post) and len(post.rows()) == 2, post.go)
    assert post.counts() == [("ready", "sent", 1), ("ready", "unknown", 1)]
    assert [each["status"] for each in post.tasks()] == ["resolved"]


@pytest.mark.parametrize("rules", [PAID.replace("expire_s = 60", "expire_s = 1")], indirect=True, ids=["soon"])
def test_what_cannot_be_sent_in_time_is_given_up_and_a_person_is_told_once(post: Post) -> None:
    """Nobody wants to read tomorrow that he has just paid."""
    post.house.fault("messages", Fault("too_fast", "template"))
    post.sell()
    post.sell()
    until(lambda: ended(post), post.go)
    assert post.statuses() == ["expired", "expired"] and post.sent() == []
    (task,) = post.tasks()
    assert "NotSent: " in task["detail"]


def test_a_system_that_is_silent_holds_up_no_sale(post: Post) -> None:
    post.house.fault("messages", Fault("latency", "*", None, 3000))
    began = time.monotonic()
    post.sell()
    assert time.monotonic() - began < 2
    post.go()
    assert post.statuses() == ["open"]
