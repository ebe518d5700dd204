"""A bounded pool that never waits for what hangs, loses no slot, and starts nothing it has refused."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.runtime import pool as pool_module
from gateway.runtime.pool import Late, NoSlot, Pool


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def test_results_and_errors_come_back() -> None:
    pool = Pool(2, "t")
    assert pool.run(lambda: 7, soon(), soon()) == 7
    with pytest.raises(ZeroDivisionError):
        pool.run(lambda: 1 // 0, soon(), soon())
    assert pool.busy == 0


def test_a_call_refused_for_want_of_a_slot_never_runs() -> None:
    """Else ``NotSent`` would be a lie."""
    pool, gate, ran = Pool(1, "t"), threading.Event(), []
    with pytest.raises(Late):
        pool.run(lambda: gate.wait(10), soon(), soon(0.02))
    with pytest.raises(NoSlot):
        pool.run(lambda: ran.append(1), soon(0.02), soon())
    gate.set()
    assert pool.run(lambda: 1, soon(), soon()) == 1
    assert ran == [] and pool.hung == 0 and pool.late == 1


def test_a_waiting_call_gets_the_slot_that_comes_free() -> None:
    pool = Pool(1, "t")
    with ThreadPoolExecutor(6) as clients:
        done = list(clients.map(lambda n: pool.run(lambda: (time.sleep(0.01), n)[1], soon(), soon()), range(6)))
    assert sorted(done) == [0, 1, 2, 3, 4, 5]


def test_under_contention_no_slot_is_lost_and_none_is_doubled() -> None:
    pool, lock, seen = Pool(3, "t"), threading.Lock(), {"now": 0, "most": 0}

    def work() -> None:
        with lock:
            seen["now"] += 1
            seen["most"] = max(seen["most"], seen["now"])
        time.sleep(0.001)
        with lock:
            seen["now"] -= 1

    def client(_: int) -> int:
        try:
            pool.run(work, soon(0.002), soon(0.003))
        except (Late, NoSlot):
            return 0
        return 1

    with ThreadPoolExecutor(12) as clients:
        done = sum(clients.map(client, range(600)))
    assert done > 0 and seen["most"] <= 3
    end = soon()
    while (pool.busy or pool.hung) and time.monotonic() < end:
        time.sleep(0.01)
    assert (pool.busy, pool.hung) == (0, 0)
    assert pool.run(lambda: 1, soon(), soon()) == 1


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of merchants' connections must not keep hundreds of threads."""
    monkeypatch.setattr(pool_module, "IDLE_S", 0.02)
    pool = Pool(2, "ends-when-idle")
    pool.run(lambda: 1, soon(), soon())
    end = soon()
    while any(thread.name == "ends-when-idle" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert pool.run(lambda: 2, soon(), soon()) == 2


def test_closing_waits_for_the_call_under_way() -> None:
    pool, gate, closed = Pool(1, "t"), threading.Event(), threading.Event()
    with pytest.raises(Late):
        pool.run(lambda: gate.wait(10), soon(), soon(0.02))
    pool.close(closed.set)
    assert not closed.is_set()
    with pytest.raises(NoSlot):
        pool.run(lambda: 1, soon(), soon())
    gate.set()
    assert closed.wait(5)


def test_closing_an_idle_pool_ends_at_once() -> None:
    pool, closed = Pool(1, "t"), []
    pool.run(lambda: 1, soon(), soon())
    end = soon()
    while pool.busy and time.monotonic() < end:
        time.sleep(0.001)
    pool.close(lambda: closed.append(1))
    pool.close(lambda: closed.append(2))
    assert closed == [1]
