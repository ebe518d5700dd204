"""A server that is killed in the middle of its deliveries: every subject's events still come, in their order."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.engine.street import simple
from tests.long.town import Town, kill
from tests.webhooks.kit import Receiver, Seen

#: The server dies when the receiver has the first byte of these requests, and no answer has gone out.
DEADLY = (8, 20)


class PostTown(Town):
    """A town that may tell one receiver inside, with short times: a delivery's lease is four times ``timeout_s``."""

    receiver: Receiver

    def _write_config(self) -> None:
        super()._write_config()
        with self.config_file.open("a", encoding="utf-8") as file:
            file.write(f'[webhooks]\nallow_hosts = ["{self.receiver.host}"]\nevery_s = 0.05\ntimeout_s = 0.5\n')
            file.write(f"retry_s = {[0] + [0.3] * 19}\n")

    def listen(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": "hook"}
        url = f"{self.url}/v1/webhook-endpoints"
        made = requests.post(url, json={"url": self.receiver.url}, headers=headers, timeout=20)
        assert made.status_code == 201, made.text

    def left(self) -> int:
        """Events that nobody has been told of yet."""
        sql = "SELECT (SELECT count(*) FROM webhook_deliveries) + (SELECT count(*) FROM unsealed) AS n"
        return int(self.rows(sql)[0]["n"])


@pytest.fixture
def town(tmp_path: Path) -> Iterator[PostTown]:
    made = PostTown(tmp_path)
    made.receiver = Receiver()
    with made:
        yield made
    made.receiver.stop()


def sell(town: PostTown, stopping: threading.Event) -> None:
    """Sell for cash, one after the other; a customer whose server died comes again with the same key."""
    number = 0
    while not stopping.is_set():
        order = {**simple(f"W-{number}", ""), "tenders": [{"method": "cash"}]}
        reply = town.post("/checkouts", order, f"w-{number}")
        if reply is not None and reply.status_code in (200, 201):
            number += 1
        stopping.wait(0.02)


@pytest.mark.slow
def test_nothing_is_lost_and_no_order_is_broken_when_the_server_is_killed_while_it_delivers(town: PostTown) -> None:
    receiver, hit, stopping = town.receiver, threading.Event(), threading.Event()

    def answer(seen: Seen) -> int:
        if len(receiver.seen) in DEADLY:
            hit.set()
            time.sleep(0.3)  # the sender is dead by then
        return 204

    receiver.behaviour = answer
    town.listen()
    seller = threading.Thread(target=sell, args=(town, stopping))
    seller.start()
    (node,) = town.nodes
    assert hit.wait(20)
    hit.clear()
    for pid in node.workers():  # the master starts others
        kill(pid)
    assert hit.wait(30)
    node.die()
    node.start()
    node.wait()
    stopping.set()
    seller.join(30)
    until = time.monotonic() + 20
    while town.left() and time.monotonic() < until:
        time.sleep(0.1)
    assert town.left() == 0
    counts = Counter(row["subject"] for row in town.rows("SELECT subject FROM events"))
    assert receiver.first_seen(accepted=False) == {subject: list(range(count)) for subject, count in counts.items()}
    assert len(receiver.seen) > sum(counts.values()), "what was under way when the server died comes again"
