"""The breaker is tuned for one shop's traffic: it opens early, probes with one call, and forgets after five minutes."""

from __future__ import annotations

from gateway.runtime.breaker import Breaker, BreakerState


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[Breaker, Time]:
    clock = Time()
    return Breaker(clock, first_open_s=5, longest_open_s=20), clock


def fail(breaker: Breaker, times: int) -> list[bool]:
    return [breaker.failure() for _ in range(times)]


def test_three_in_a_row_open_it() -> None:
    breaker, _ = make()
    assert fail(breaker, 3) == [False, False, True]
    assert breaker.state is BreakerState.OPEN and not breaker.admit()


def test_two_in_a_row_do_not() -> None:
    breaker, _ = make()
    for _ in range(5):
        fail(breaker, 2)
        breaker.success()
        breaker.success()
        breaker.success()
    assert breaker.state is BreakerState.CLOSED


def test_half_of_six_open_it() -> None:
    breaker, _ = make()
    opened = []
    for _ in range(3):
        breaker.success()
        opened.append(breaker.failure())
    assert opened == [False, False, True]


def test_half_of_five_do_not() -> None:
    breaker, _ = make()
    for _ in range(2):
        breaker.success()
        breaker.failure()
    assert breaker.state is BreakerState.CLOSED


def test_what_is_older_than_five_minutes_does_not_count() -> None:
    breaker, clock = make()
    for _ in range(2):
        breaker.success()
        breaker.failure()
    clock.now += 301
    breaker.success()
    assert not breaker.failure()


def test_one_probe_at_a_time_when_half_open() -> None:
    breaker, clock = make()
    fail(breaker, 3)
    clock.now += 5
    assert breaker.state is BreakerState.HALF_OPEN
    assert [breaker.admit(), breaker.admit()] == [True, False]
    breaker.success()
    assert breaker.state is BreakerState.CLOSED and breaker.admit()


def test_a_probe_that_fails_waits_twice_as_long_up_to_the_longest() -> None:
    breaker, clock = make()
    fail(breaker, 3)
    waits = []
    for _ in range(4):
        waits.append(round(breaker.opens_in()))
        clock.now += waits[-1]
        assert breaker.admit()
        breaker.failure()
    assert waits == [5, 10, 20, 20]


def test_a_probe_that_says_nothing_lets_another_through() -> None:
    breaker, clock = make()
    fail(breaker, 3)
    clock.now += 5
    assert breaker.admit()
    breaker.skip()
    assert breaker.admit()


def test_a_straggler_that_fails_while_it_is_open_changes_nothing() -> None:
    breaker, clock = make()
    fail(breaker, 3)
    clock.now += 4
    assert not breaker.failure()
    clock.now += 1
    assert breaker.admit()
