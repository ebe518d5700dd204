"""A platform is told when a merchant's system is down and when it is up again, once each, over all processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.app import build_parts
from tests.api.kit import Api, Gateway, build, gone_code
from tests.api.test_checkouts import order


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = build(tmp_path_factory.mktemp("updown"))
    yield made
    made.stop()


def told(api: Api) -> list[dict[str, Any]]:
    events = api.get("/v1/events?limit=200").json["data"]
    return [event for event in events if event["type"].startswith("connection.")]


def test_down_and_up_are_told_once_each(own: Gateway, number: Callable[[], str]) -> None:
    api, runtime = own.api("tea"), own.parts.runtime
    for _ in range(6):
        api.post("…/checkouts", order(number(), {"method": "payment_code", "auth_code": gone_code()}))
    until = time.monotonic() + 5
    while not (events := told(api)) and time.monotonic() < until:
        time.sleep(0.1)
    assert [(event["type"], event["seq"]) for event in events] == [("connection.down", 0)]
    (down,) = events
    assert down["subject"] == f"tea/{down['data']['connection']}"
    assert down["data"].keys() == {"connection", "adapter", "hook", "reason"}
    assert told(own.api("bun")) == [], "another merchant's feed says nothing of it"
    connection = runtime.connection("tea", down["data"]["connection"])
    other = build_parts(own.parts.config.file)
    try:
        theirs = other.runtime.connection("tea", connection.name)
        other.updown(theirs, False)
        assert len(told(api)) == 1, "another process says the same"
        other.updown(theirs, True)
        own.parts.updown(connection, True)
        other.updown(theirs, False)
    finally:
        other.close()
    kinds = [(event["type"], event["seq"]) for event in told(api)]
    assert kinds == [("connection.down", 0), ("connection.up", 1), ("connection.down", 2)]


def test_what_a_process_that_is_gone_said_is_put_right(own: Gateway) -> None:
    """A process told that a system is down, and died; the one after it has used the system and says that it is up."""
    parts, api = own.parts, own.api("bun")
    wallet = next(found for found in parts.runtime.connections("bun") if not found.embedded)
    parts.updown(wallet, False)
    assert told(api)[-1]["type"] == "connection.down"
    parts.updown.look(parts.runtime)
    assert told(api)[-1]["type"] == "connection.down", "nobody has used it since"
    time.sleep(0.01)
    wallet.check()
    parts.updown.look(parts.runtime)
    assert told(api)[-1]["type"] == "connection.up"
