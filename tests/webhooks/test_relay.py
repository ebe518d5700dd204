"""What a platform gets when its receiver is down, slow, gone or flapping: every subject's events, in their order."""

from __future__ import annotations

import random
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.engine.feed import event_view
from gateway.engine.service import Asked
from gateway.store import webhooks as sql
from gateway.testing.postgres import PostgresServer
from gateway.webhooks.relay import PARALLEL
from tests.webhooks.kit import EVERYBODY, HOUR, Post, Receiver, Seen


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def post(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Post]:
    """Everything that webhooks need, on each kind of database."""
    url = request.getfixturevalue("postgres_server").new_database() if request.param == "postgresql" else ""
    made = Post(tmp_path, url=url)
    yield made
    made.database.close()


@pytest.fixture
def receiver(post: Post) -> Iterator[Receiver]:
    made = Receiver()
    post.allow(made)
    yield made
    made.stop()


def without_gap(receiver: Receiver) -> bool:
    return all(numbers == list(range(len(numbers))) for numbers in receiver.first_seen().values())


def test_events_come_in_order_and_verify(post: Post, receiver: Receiver) -> None:
    """A platform that checks signatures with the standard's own library believes what it gets."""
    made = post.endpoint(receiver.url)
    post.happen("a", "b", "a", "a", "b")
    post.run(post.clock.at + HOUR)
    assert receiver.first_seen() == {"a": [0, 1, 2], "b": [0, 1]}
    assert post.left() == {}
    for seen in receiver.seen:
        # The library compares with the real time, so the message is signed again for it; the scheme is the same.
        assert seen.headers["webhook-id"] == seen.event["id"]
        signed = Webhook(made["secret"]).sign(seen.event["id"], _time(seen), seen.body.decode())
        assert signed == seen.headers["webhook-signature"]


def _time(seen: Seen) -> datetime:
    return datetime.fromtimestamp(int(seen.headers["webhook-timestamp"]), UTC)


def test_both_secrets_sign_for_a_day_after_rotation(post: Post, receiver: Receiver) -> None:
    """A platform that changes its secret at leisure misses nothing, and after a day the old one is worth nothing."""
    post.clock.at = time.time_ns() // 1_000_000
    made = post.endpoint(receiver.url)
    rotated = post.endpoints.rotate(EVERYBODY, Asked("*", "r", "r"), made["id"])
    secret = rotated.body.partition('"secret":"')[2].partition('"')[0]
    post.happen("a")
    post.run(post.clock.at)
    seen = receiver.seen[-1]
    for each in (made["secret"], secret):
        assert Webhook(each).verify(seen.body, seen.headers)["seq"] == 0
    post.clock.at += 25 * HOUR
    post.happen("a")
    post.run(post.clock.at)
    seen = receiver.seen[-1]
    assert " " not in seen.headers["webhook-signature"]
    assert Webhook(secret).sign(seen.event["id"], _time(seen), seen.body.decode()) == seen.headers["webhook-signature"]
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(seen.body, seen.headers)


def test_a_later_event_waits_and_others_go_on(post: Post, receiver: Receiver) -> None:
    """One checkout whose event the receiver chokes on does not hold up the rest of the shop."""
    receiver.behaviour = lambda seen: 500 if seen.event["subject"] == "bad" else 200
    post.endpoint(receiver.url)
    post.happen("bad", "good", "bad", "good", "good")
    post.run(post.clock.at + HOUR // 60)
    assert receiver.first_seen() == {"good": [0, 1, 2]}
    assert receiver.first_seen(accepted=False)["bad"] == [0]
    assert post.left() == {"waiting": 1, "behind": 1}
    receiver.behaviour = lambda seen: 200
    post.run(post.clock.at + 8 * HOUR)
    assert receiver.first_seen()["bad"] == [0, 1]
    assert post.left() == {}


def test_76_hours_down_then_a_person_revives_it(post: Post, receiver: Receiver) -> None:
    """Ten tries over three days, then a dead letter and a case for a person; nothing is lost and no order is broken."""
    receiver.behaviour = lambda seen: 503
    made = post.endpoint(receiver.url, event_types=["checkout.*"])
    well = Receiver()
    post.allow(well)
    post.endpoint(well.url)
    began = post.clock.at
    post.happen(*(f"s{number}" for number in range(5)), *(f"s{number}" for number in range(5)))
    post.run(began + 70 * HOUR)
    assert post.left() == {"waiting": 5, "behind": 5}, "given up before three days were over"
    post.run(began + 76 * HOUR)
    assert post.left() == {"dead": 5, "behind": 5}
    assert len(receiver.seen) == 5 * 10
    (task,) = post.tasks()
    assert (task["kind"], task["subject"], task["status"]) == ("webhook-dead", made["id"], "open")
    assert well.first_seen() == {**{f"s{number}": [0, 1] for number in range(5)}, task["id"]: [0]}
    told = well.accepted[-1].event
    assert (told["type"], told["data"]["endpoint"]) == ("task.opened", made["id"])
    receiver.behaviour = lambda seen: 200
    assert post.database.tx(lambda tx: sql.revive(tx, made["id"], post.clock.at)) == 5
    post.run(post.clock.at + HOUR)
    assert receiver.first_seen() == {f"s{number}": [0, 1] for number in range(5)}
    assert without_gap(receiver)
    well.stop()


def test_down_for_60_hours_loses_nothing(post: Post, receiver: Receiver) -> None:
    """Events go on happening while a receiver is down; when it is back it gets each subject from where it was."""
    back = post.clock.at + 60 * HOUR
    receiver.behaviour = lambda seen: 200 if post.clock.at >= back else None
    post.endpoint(receiver.url)
    for hour in range(0, 70, 7):
        post.happen("a", f"only-{hour}")
        post.run(post.clock.at + 7 * HOUR)
    post.run(post.clock.at + 76 * HOUR)
    assert post.left() == {}
    assert receiver.first_seen()["a"] == list(range(10))
    assert without_gap(receiver)


def test_flapping_with_workers_that_die(post: Post, receiver: Receiver) -> None:
    """The receiver refuses an event a few times, workers die before or after they sent: none is missing in the end."""
    dice, refuses = random.Random(7), dict[str, int]()

    def flap(seen: Seen) -> int:
        refuses.setdefault(seen.event["id"], dice.choice((0, 0, 1, 2, 3)))
        refuses[seen.event["id"]] -= 1
        return 200 if refuses[seen.event["id"]] < 0 else dice.choice((500, 302))

    receiver.behaviour = flap
    post.endpoint(receiver.url)
    subjects = [f"s{number}" for number in range(8)]
    for _ in range(6):
        post.happen(*dice.choices(subjects, k=8))
        relay = post.relay
        relay.take_events()
        for job in relay.claim(16):
            fate = dice.random()
            if fate < 0.15:
                continue  # died before it sent anything
            if fate > 0.85 and job.event is not None:
                relay._send(job, event_view(job.event))  # died before it wrote down what became of it
                continue
            relay.deliver(job)
        post.clock.at += 1_000
    post.run(post.clock.at + 76 * HOUR)
    assert post.left() == {}
    assert {subject: len(numbers) for subject, numbers in receiver.first_seen().items()} == post.counts
    assert without_gap(receiver)


def test_a_worker_that_dies_after_it_sent_sends_again_and_in_order(post: Post, receiver: Receiver) -> None:
    """At least once: the event whose fate nobody wrote down comes again, before the next of its subject."""
    post.endpoint(receiver.url)
    post.happen("a", "a")
    relay = post.relay
    relay.take_events()
    (job,) = relay.claim(16)
    stale = replace(job, delivery={**job.delivery})
    post.clock.at += 61_000
    post.run(post.clock.at)
    assert [seen.event["seq"] for seen in receiver.seen] == [0, 1]
    assert relay.deliver(stale) == "delivered", "the dead one wakes up and sends"
    assert receiver.first_seen()["a"] == [0, 1]
    assert post.left() == {}


def test_gone_disables_the_endpoint_and_no_other(post: Post, receiver: Receiver) -> None:
    """410: a platform that has moved away is not knocked at for three days; a person is told."""
    receiver.behaviour = lambda seen: 410
    made = post.endpoint(receiver.url, event_types=["checkout.*"])
    well = Receiver()
    post.allow(well)
    post.endpoint(well.url)
    post.happen("a", "b", "a")
    post.run(post.clock.at + 80 * HOUR)
    assert len(receiver.seen) <= 2
    told = post.endpoints.get(EVERYBODY, made["id"])
    assert (told["status"], told["reason"]) == ("disabled", "it answered 410 Gone")
    (task,) = post.tasks()
    assert task["kind"] == "webhook-disabled"
    assert well.first_seen() == {"a": [0, 1], "b": [0], task["id"]: [0]}
    receiver.behaviour = lambda seen: 200
    post.database.tx(lambda tx: sql.revive(tx, made["id"], post.clock.at))
    post.run(post.clock.at + HOUR)
    assert receiver.first_seen() == {"a": [0, 1], "b": [0]}
    well.stop()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(post: Post, receiver: Receiver, status: int) -> None:
    """A receiver cannot send the gateway on to a host inside."""
    inside = Receiver()
    receiver.behaviour = lambda seen: (status, {"Location": inside.url})
    post.endpoint(receiver.url)
    post.happen("a")
    post.run(post.clock.at + 10_000)
    assert len(receiver.seen) == 2, "it counts as a failure and is tried again"
    assert inside.seen == []
    inside.stop()


def test_a_slow_receiver_has_its_time_and_no_more(post: Post) -> None:
    """One that sends a byte now and then holds a worker for the time of one delivery, not for ever."""
    post.settings = replace(post.settings, timeout_s=0.6)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        post.settings = replace(post.settings, allow_hosts=(f"127.0.0.1:{port}",))
        stop = threading.Event()

        def drip() -> None:
            peer, _ = listening.accept()
            with peer:
                for byte in b"HTTP/1.1 200 OK\r\n" * 10:
                    if stop.wait(0.1):
                        return
                    try:
                        peer.sendall(bytes([byte]))
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        post.endpoint(f"http://127.0.0.1:{port}/")
        post.happen("a")
        began = time.monotonic()
        assert post.relay.run_once() == 1
        took = time.monotonic() - began
        stop.set()
        thread.join(5)
    assert 0.5 < took < 2
    rows = post.database.read(lambda tx: tx.all("SELECT trouble FROM webhook_deliveries"))
    assert [row["trouble"] for row in rows] == ["no answer in time"]


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 20x OK\r\n\r\n", b"A" * 100_000, b"HTTP/1.1 "])
def test_what_is_no_http_reply_is_a_failure(post: Post, reply: bytes) -> None:
    post.settings = replace(post.settings, timeout_s=1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        post.settings = replace(post.settings, allow_hosts=(host,))

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(100_000)
                peer.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        post.endpoint(f"http://{host}/")
        post.happen("a")
        post.relay.run_once()
        thread.join(5)
    assert post.left() == {"waiting": 1}


def test_an_interim_reply_is_passed_over(post: Post) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        post.settings = replace(post.settings, allow_hosts=(host,))

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(100_000)
                peer.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
                time.sleep(0.05)
                peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        post.endpoint(f"http://{host}/")
        post.happen("a")
        post.relay.run_once()
        thread.join(5)
    assert post.left() == {}


def test_a_receiver_that_is_down_costs_rows_and_no_memory(post: Post, receiver: Receiver) -> None:
    """Thousands of events wait; what a worker holds of them is the few that it is sending."""
    receiver.behaviour = lambda seen: 500
    post.endpoint(receiver.url)
    for start in range(0, 4_000, 1_000):
        post.happen(*(f"s{number}" for number in range(start, start + 1_000)))
    relay = post.relay
    tracemalloc.start()
    for _ in range(30):
        relay.take_events()
        jobs = relay.claim(8)
        assert len(jobs) <= PARALLEL
        for job in jobs:
            relay.deliver(job)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(post.left().values()) == 4_000
    assert peak < 8 << 20, peak


def test_one_that_fails_gets_one_worker_and_others_the_rest(post: Post, receiver: Receiver) -> None:
    """Receivers that time out again and again must not use up the senders of those that are well."""
    receiver.behaviour = lambda seen: 500
    post.endpoint(receiver.url)
    post.happen(*(f"s{number}" for number in range(20)))
    relay = post.relay
    relay.take_events()
    assert len(relay.claim(100)) == PARALLEL
    post.clock.at += 61_000
    for job in relay.claim(3):
        relay.deliver(job)
    post.clock.at += 61_000
    assert len(relay.claim(100)) == 1


def test_only_what_was_asked_for_is_sent(post: Post, receiver: Receiver) -> None:
    """An endpoint hears of its merchants and its kinds of events alone."""
    post.endpoint(receiver.url, merchants=["tea"], event_types=["refund.succeeded", "checkout.*"])
    post.happen("a", merchant="bun")
    post.happen("b", merchant="tea", kind="checkout.failed")
    post.happen("c", merchant="tea", kind="refund.succeeded")
    post.happen("d", merchant="tea", kind="points.changed")
    post.run(post.clock.at + HOUR)
    assert [seen.event["subject"] for seen in receiver.seen] == ["b", "c"]


def test_a_master_key_that_was_lost_sends_nothing_wrongly_signed(post: Post, receiver: Receiver) -> None:
    """Messages under a secret that the platform does not have would look like an attack; they wait for a rotation."""
    made = post.endpoint(receiver.url)
    (post.folder / "master.key").unlink()
    post.master = type(post.master)(post.folder / "master.key")
    post.happen("a")
    post.run(post.clock.at + HOUR)
    assert receiver.seen == []
    post.endpoints.rotate(EVERYBODY, Asked("*", "r", "r"), made["id"])
    post.run(post.clock.at + HOUR)
    assert receiver.first_seen() == {"a": [0]}
