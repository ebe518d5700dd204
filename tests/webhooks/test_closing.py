"""A server that is stopped uses its database no more once it is closed, whatever its receivers are doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.port import Database, open_database
from gateway.testing.postgres import PostgresServer
from gateway.webhooks.service import RelayService
from tests.webhooks.kit import HOUR, Post, Receiver

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as made:
        yield made


@pytest.fixture
def post(tmp_path: Path, server: PostgresServer) -> Post:
    return Post(tmp_path, url=server.new_database())


def connections(url: str, seconds: float = 5.0) -> int:
    """How many connections of others the server has, once that is none or the time is over."""
    own = "datname = current_database() AND backend_type = 'client backend'"
    sql = f"SELECT count(*) AS n FROM pg_stat_activity WHERE {own}"
    onlooker: Database = open_database(url)
    until = time.monotonic() + seconds
    try:
        while True:
            row = onlooker.read(lambda tx: tx.one(sql))
            assert row is not None
            if row["n"] == 1 or time.monotonic() > until:
                return int(row["n"]) - 1
            time.sleep(0.05)
    finally:
        onlooker.close()


def test_a_connection_in_use_while_the_database_is_closed_is_closed_after_it(post: Post) -> None:
    """Else it would stay open until somebody collects it, and PostgreSQL has a hundred for all nodes."""
    inside, go_on = threading.Event(), threading.Event()

    def unit(tx: object) -> None:
        inside.set()
        assert go_on.wait(5)

    readers = [threading.Thread(target=post.database.read, args=(unit,)) for _ in range(3)]
    for reader in readers:
        reader.start()
    assert inside.wait(5)
    post.database.close()
    go_on.set()
    for reader in readers:
        reader.join(5)
    assert connections(post.url) == 0


def slow(receiver: Receiver, post: Post, seconds: float) -> threading.Event:
    """Let the receiver take its time; told when it has the first event."""
    arrived = threading.Event()

    def answer(_: object) -> int:
        arrived.set()
        time.sleep(seconds)
        return 204

    receiver.behaviour = answer
    post.allow(receiver)
    post.endpoint(receiver.url)
    post.happen("a", "b", "c")
    return arrived


def test_stopping_waits_for_deliveries_under_way(post: Post) -> None:
    """What a receiver has taken is written down, so that a restart sends nothing twice."""
    receiver = Receiver()
    arrived = slow(receiver, post, 0.5)
    service = RelayService(post.relay, 0.01)
    service.start()
    assert arrived.wait(5)
    service.stop()
    noted = post.left()
    post.database.close()
    receiver.stop()
    assert sum(noted.values()) == 3 - len(receiver.accepted)
    assert connections(post.url) == 0


def test_a_receiver_slower_than_the_stop_is_not_waited_for_and_gets_it_again(post: Post) -> None:
    """Its answer comes when the database is closed: nobody opens it again for that, another process sends again."""
    receiver = Receiver()
    arrived = slow(receiver, post, 1.0)
    service = RelayService(post.relay, 0.01)
    service.start()
    assert arrived.wait(5)
    began = time.monotonic()
    service.stop(0.1)
    assert time.monotonic() - began < 0.8
    post.database.close()
    time.sleep(1.2)  # the answer is there
    assert connections(post.url) == 0
    receiver.behaviour = lambda _: 204
    post.run(post.clock.at + HOUR)
    assert receiver.first_seen() == {"a": [0], "b": [0], "c": [0]}
    assert post.left() == {}
    post.database.close()
    receiver.stop()
