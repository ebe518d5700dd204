"""A plugin that misbehaves hurts its own merchant's own payments and nobody else; what it did is asked, not guessed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.problems import Problem
from tests.engine.conftest import seed
from tests.engine.kit import House, build
from tests.runtime.kit import plugin
from tests.runtime.rough import RoughAdapter

FILE = """
[merchant]
id = "{id}"
name = "店 {id}"
[[stores]]
id = "s1"
name = "一店"
[connections.house]
adapter = "house"
[connections.rough]
adapter = "rough"
grace_s = 0.1
query_timeout_s = 0.5
breaker_open_s = 0.2
{runner}
[connections.rough.settings]
note = "always {does}"
key = "env:ROUGH_KEY"
[[routes]]
family = "payments"
connection = "rough"
[[routes]]
family = "stock"
connection = "house"
[[routes]]
family = "orders"
connection = "house"
"""
#: How long a sale of somebody else may take while others hang, in seconds; it takes a few hundredths by itself.
AT_ONCE = 1.2


@contextmanager
def street(folder: Path, does: str, runner: str = "") -> Iterator[House]:
    """Two merchants of one gateway with the same plugin: the first one's does as told, the second one's works."""
    os.environ["ROUGH_KEY"] = "sk-rough-4711"
    first, second = (FILE.format(id=i, does=d, runner=runner) for i, d in (("m1", does), ("m2", "done")))
    house = build(folder, first, {}, plugins=[plugin("rough", RoughAdapter)], others={"m2": second})
    house.database.tx(seed)
    house.database.tx(
        lambda tx: tx.execute(
            "INSERT INTO products (merchant, sku, name, doc, as_of) SELECT 'm2', sku, name, doc, 0 FROM products", {}
        )
    )
    try:
        yield house
    finally:
        house.stop()


def basket(order_no: str, method: str = "bank_card") -> dict[str, Any]:
    lines = [{"line_id": "1", "sku": "A", "quantity": "1"}]
    return {"store_id": "s1", "order_no": order_no, "lines": lines, "tenders": [{"method": method}]}


def sell(house: House, order_no: str, merchant: str = "m1", method: str = "bank_card") -> tuple[int, float]:
    """The status of a checkout, and how long it took."""
    began = time.monotonic()
    try:
        status = house.checkout(basket(order_no, method), merchant)[0].status
    except Problem as problem:
        status = problem.status
    return status, time.monotonic() - began


def charges(house: House) -> list[Any]:
    sql = "SELECT state, outcome, queries, attempts FROM ops WHERE hook = 'payment_charge' AND connection = 'rough'"
    return house.database.read(lambda tx: tx.all(sql + " AND saga_id IN (SELECT id FROM sagas WHERE merchant = 'm1')"))


@pytest.mark.parametrize(
    "does",
    [
        "sleep 4",
        "exit",
        "cancelled",
        "leak_threads 40",
        *(
            pytest.param(does, marks=pytest.mark.slow)
            for does in ("keyboard_interrupt", "generator_exit", "recursion", "nonsense", "secret_error")
        ),
    ],
)
def test_others_are_served_at_once_and_nothing_is_called_failed_unasked(tmp_path: Path, does: str) -> None:
    """Four customers of a merchant whose plugin misbehaves at the same time; its cash sales and its neighbour go on."""
    with street(tmp_path, does) as house:
        house.checkout(basket("N0"), "m2")  # everybody's connections are there
        threads = [threading.Thread(target=sell, args=(house, f"O{n}")) for n in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        for number in range(3):
            for status, took in (sell(house, f"N{number + 1}", "m2"), sell(house, f"C{number}", method="cash")):
                assert status == 201 and took < AT_ONCE
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        for row in charges(house):
            unsent = row["state"] == "not_sent" and '"maybe"' not in row["outcome"]  # no slot, or the breaker was open
            assert unsent or row["state"] == "ok" or row["state"] == "unknown" or row["queries"], dict(row)
            assert "4711" not in row["outcome"]
        assert house.runtime.connection("m2", "rough").state.breaker == "closed"


def test_a_crash_in_a_process_of_its_own_is_unknown_and_the_gateway_sells_on(tmp_path: Path) -> None:
    """``os._exit`` in a driver would end a whole worker, with everybody's checkouts in it."""
    with street(tmp_path, "os_exit", "runner = true") as house:
        house.runtime.connection("m1", "rough").check()  # its process is up
        status, _ = sell(house, "O1")
        assert status in (202, 409)
        (charge,) = charges(house)
        assert charge["state"] in ("unknown", "gone", "not_sent") and charge["attempts"] >= 1
        if charge["state"] != "not_sent":
            assert charge["queries"] or charge["state"] == "unknown"
        assert sell(house, "C1", method="cash")[0] == 201


def test_a_terminal_that_outlives_its_deadline_is_paid_once_and_completes(tmp_path: Path) -> None:
    """Ninety seconds, scaled: the call goes on after its deadline, and the query is answered when it has ended."""
    with street(tmp_path, "terminal 2.5", "runner = true\nrunner_patience_s = 20\nmax_parallel = 1") as house:
        house.runtime.connection("m1", "rough").check()  # its process is up
        reply, checkout = house.checkout(basket("O1"))
        assert reply.status in (201, 202)
        end = time.monotonic() + 10
        while checkout["status"] != "completed" and time.monotonic() < end:
            house.settle(3)
            checkout = house.checkouts.get("m1", checkout["id"])
        assert checkout["status"] == "completed"
        (charge,) = charges(house)
        assert charge["state"] == "ok" and charge["attempts"] == 1 and charge["queries"] >= 1
