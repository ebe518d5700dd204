"""The engine against a model of sixty lines: the books say the same after every step of every walk."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Machine
from tests.simulation.bugs import planted

pytestmark = pytest.mark.slow
CI = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(120)
def test_the_engine_does_what_the_model_does() -> None:
    """Money, goods, codes and the till after any order of sales, payers, cancels, refunds, deaths and lost messages."""
    run_state_machine_as_test(Machine, settings=CI)


@pytest.mark.parametrize("name", ["timeout-is-failure", "fresh-key", "number-not-unique", "lock-not-counted"])
@pytest.mark.timeout(120)
def test_the_model_sees_what_is_broken_on_purpose(name: str) -> None:
    """A model that every engine follows would show nothing."""
    with planted(name), pytest.raises(BaseException):  # noqa: B017 - whatever it was that was wrong
        run_state_machine_as_test(Machine, settings=settings(CI, phases=[Phase.generate]))
