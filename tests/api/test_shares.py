"""A merchant whose system hangs takes its own customers' time, and not the threads of everybody else's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from gateway.api.shares import MOVING_S, Shares
from gateway.engine.problems import Problem
from gateway.sdk.simulator import Fault
from tests.api.kit import paid_code
from tests.api.server import Server, serving
from tests.api.test_checkouts import order

#: Workers and threads of each, as the settings are by default.
WORKERS, THREADS = 2, 8


def holders(shares: Shares, stack: ExitStack, merchant: str, wanted: int = 20) -> int:
    """How many threads a merchant gets while none of its requests ends."""
    for number in range(wanted):
        try:
            stack.enter_context(shares.taken(merchant, 3))
        except Problem as problem:
            assert (problem.slug, problem.retry_after) == ("rate-limited", 1)
            return number
    return wanted


@pytest.mark.parametrize(("threads", "alone", "beside"), [(2, 1, 1), (4, 3, 1), (8, 6, 1), (16, 12, 3), (64, 48, 12)])
def test_whoever_hangs_leaves_threads_to_others(threads: int, alone: int, beside: int) -> None:
    shares = Shares(threads)
    with ExitStack() as stack:
        assert holders(shares, stack, "a", 100) == alone
        assert holders(shares, stack, "b", 100) == beside
        with shares.taken("c", 3):
            assert alone + beside <= threads
    with ExitStack() as stack:
        assert holders(shares, stack, "a", 100) == alone  # what was given back can be had again


def test_a_merchant_whose_requests_come_to_an_end_is_not_refused() -> None:
    """A burst of sales on systems that answer is worked off; the share is for those that never end."""
    shares, served = Shares(8), threading.Semaphore(0)

    def sale(_: int) -> None:
        with shares.taken("a", 2):
            time.sleep(0.01)
            served.release()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(sale, range(80)))
    assert served._value == 80


def test_one_merchant_alone_has_all_threads() -> None:
    """On site there is nobody to be held up."""
    shares = Shares(4)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(shares.taken("a", 1))


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("shares")) as made:
        yield made


def test_a_neighbour_sells_while_a_system_hangs_under_more_customers_than_threads(server: Server) -> None:
    """Forty-eight customers wait for a wallet that does not answer; next door somebody pays in cash."""
    paths = {shop: f"/v1/merchants/{shop}/checkouts" for shop in ("bun", "tea")}
    neighbour = {"Authorization": f"Bearer {server.other}"}

    def customer(number: int) -> int:
        body = order(f"hang-{number}", {"method": "payment_code", "auth_code": paid_code()})
        return server.ask("POST", paths["bun"], body, Idempotency_Key=f"hang-{number}")[0]

    for number in range(4):  # everything is loaded, in both workers
        server.ask("POST", paths["tea"], order(f"warm-{number}"), Idempotency_Key=f"warm-{number}", **neighbour)
    server.running["alipay"].simulator.faults.set([Fault("latency", value=4000)])
    with ThreadPoolExecutor(3 * WORKERS * THREADS) as pool:
        customers = [pool.submit(customer, number) for number in range(3 * WORKERS * THREADS)]
        time.sleep(0.3)
        took = []
        for number in range(4):
            asked = time.monotonic()
            key = f"cash-{number}"
            reply = server.ask("POST", paths["tea"], order(key), Idempotency_Key=key, **neighbour)
            took.append(time.monotonic() - asked)
            assert reply[0] == 201, reply[2]
        hanging = sum(not each.done() for each in customers)
        statuses = {each.result() for each in customers}
    assert max(took) < MOVING_S + 1.0, took
    assert 6 <= hanging <= WORKERS * 6  # they still wait, in the threads that one merchant may have
    assert statuses <= {202, 402, 409, 429, 503} and 429 in statuses
