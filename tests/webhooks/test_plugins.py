"""What a plugin with ``o2o_event`` is told: every event, in order, from one process at a time, whatever it does."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.cli_doctor import _receivers
from gateway.runtime.gateway_config import PluginEvents
from gateway.store import webhooks as sql
from gateway.testing.postgres import PostgresServer
from gateway.webhooks.plugins import BATCH, HUNG_MOST, LEASE_TIMES, PluginReceiver
from gateway.webhooks.service import RelayService
from tests.webhooks.kit import Post, Receiver

SETTINGS = PluginEvents(timeout_s=0.2, retry_s=(0, 1, 5))
Event = Mapping[str, Any]


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def post(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Post]:
    url = request.getfixturevalue("postgres_server").new_database() if request.param == "postgresql" else ""
    made = Post(tmp_path, url=url)
    yield made
    made.database.close()


class Listener:
    """A plugin that writes down what it is told, and then does what a test wants of it."""

    def __init__(self, behaviour: Callable[[Event], None] = lambda event: None) -> None:
        self.told: list[Event] = []
        self.behaviour = behaviour

    def __call__(self, event: Event) -> None:
        self.told.append(event)
        self.behaviour(event)

    def order(self) -> dict[str, list[int]]:
        """The numbers of each subject's events, as they came."""
        found: dict[str, list[int]] = {}
        for event in self.told:
            found.setdefault(event["subject"], []).append(event["seq"])
        return found


def installed(post: Post, listener: Listener, name: str = "acme") -> PluginReceiver:
    """A plugin in one process of the gateway."""
    return PluginReceiver(name, listener, post.database, post.clock, post.ids, SETTINGS)


def tell(post: Post, *receivers: PluginReceiver) -> None:
    """What the gateway's threads do, until nothing is due."""
    relay = post.relay
    relay.inside = {each.id: None for each in receivers}
    while True:
        relay.take_events()
        batches = [(each, batch) for each in receivers for batch in each.claim(1)]
        if not batches:
            return
        for each, batch in batches:
            each.note(batch, each.send(batch))


def test_every_event_comes_once_and_in_the_order_of_its_subject(post: Post) -> None:
    """A plugin that keeps a merchant's dashboard would else show a sale that was refunded before it was made."""
    listener = Listener()
    acme = installed(post, listener)
    post.happen("before")
    post.relay.sealer.seal()
    tell(post, acme)
    for _ in range(3):
        post.happen(*(f"chk_{number}" for number in range(BATCH)))
    tell(post, acme)
    assert listener.order() == {f"chk_{number}": [0, 1, 2] for number in range(BATCH)}
    assert post.left() == {} and post.tasks() == []
    assert set(listener.told[0]) == {"id", "type", "occurred_at", "merchant", "subject", "seq", "data", "audit_head"}


def test_what_a_plugin_cannot_take_is_parked_and_named_and_all_else_goes_on(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    def choke(event: Event) -> None:
        if event["subject"] == "bad" and broken:
            raise KeyError(event["subject"])

    broken, listener = True, Listener(choke)
    acme = installed(post, listener)
    tell(post, acme)
    post.happen("bad", "bad", "good")
    for _ in range(20):
        tell(post, acme)
        post.clock.at += 1_000
    order = listener.order()
    assert order["bad"] == [0, 0, 0] and order["good"] == [0]
    assert post.left() == {"dead": 1, "behind": 1}
    (task,) = (each for each in post.tasks() if each["status"] == "open")
    assert task["kind"] == "plugin-event-parked" and task["subject"] == "plugin:acme"
    assert listener.told[0]["id"] in task["detail"] and "KeyError" in task["detail"]
    around: Any = SimpleNamespace(listeners=(acme,), database=post.database)
    assert _receivers(around) == 1
    assert f"plugin:acme: {listener.told[0]['id']} checkout.completed was parked" in capsys.readouterr().out
    broken = False
    post.happen("good")
    assert post.database.tx(lambda tx: sql.revive(tx, acme.id, post.clock.at)) == 1
    tell(post, acme)
    order = listener.order()
    assert order["bad"] == [0, 0, 0, 0, 1] and order["good"] == [0, 1]
    assert post.left() == {}


def test_a_plugin_that_hangs_is_left_alone_after_a_few_calls_and_others_are_told(post: Post) -> None:
    """Each call that hangs keeps a thread: a plugin that always hangs must not take them all."""
    go_on, receiver = threading.Event(), Receiver()

    def hang(event: Event) -> None:
        go_on.wait(20)

    hanging, well = Listener(hang), Listener()
    acme, other = installed(post, hanging), installed(post, well, "other")
    post.allow(receiver)
    post.endpoint(receiver.url)
    try:
        tell(post, acme, other)
        post.happen(*(f"chk_{number}" for number in range(8)))
        for _ in range(HUNG_MOST * 2):
            tell(post, acme, other)
            post.clock.at += 2_000
        assert len(hanging.told) == HUNG_MOST == acme.hung
        assert len(well.told) >= 8
        post.run(post.clock.at + 1)
        assert len(receiver.accepted) >= 8
        go_on.set()
        until = time.monotonic() + 5
        while acme.hung and time.monotonic() < until:
            time.sleep(0.01)
        assert acme.hung == 0
        for _ in range(8):
            post.clock.at += 6_000
            tell(post, acme)
        assert set(hanging.order()) >= {f"chk_{number}" for number in range(8)}, "nothing is lost"
    finally:
        go_on.set()
        receiver.stop()


def test_one_process_at_a_time_tells_a_plugin_and_what_a_dead_one_had_is_told_again(post: Post) -> None:
    listener = Listener()
    first, second = installed(post, listener), installed(post, listener)
    tell(post, first)
    post.happen("a", "a", "b")
    relay = post.relay
    relay.inside = {first.id: None}
    relay.take_events()
    (batch,) = first.claim(1)
    first.send(batch)  # and dies before it has noted anything
    assert second.claim(1) == [], "the first one is telling it"
    post.clock.at += int(SETTINGS.timeout_s * LEASE_TIMES * 1000) + 1
    tell(post, second)
    counts = Counter((event["subject"], event["seq"]) for event in listener.told)
    assert counts == {("a", 0): 2, ("a", 1): 1, ("b", 0): 2}


def test_a_plugin_that_is_not_loaded_for_a_while_hears_of_it_all_later(post: Post) -> None:
    """While a node of another version is the only one, the plugin's place in the feed stays where it was."""
    listener = Listener()
    acme = installed(post, listener)
    tell(post, acme)
    post.happen("a")
    tell(post)
    assert post.left() == {}
    post.happen("a")
    tell(post, acme)
    assert listener.order() == {"a": [0, 1]}


def test_the_servers_threads_tell_it_soon(post: Post) -> None:
    listener = Listener()
    acme, relay = installed(post, listener), post.relay
    relay.inside = {acme.id: None}
    services = [RelayService(relay, 0.02), RelayService(acme, 0.02, "plugin acme", threads=1)]
    relay.take_events()
    for service in services:
        service.start()
    try:
        post.happen("a", "b", "a")
        until = time.monotonic() + 10
        while len(listener.told) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        assert listener.order() == {"a": [0, 1], "b": [0]}
    finally:
        for service in services:
            service.stop()
