"""What the suite makes of a system that nobody here wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from gateway.sdk import Traits
from gateway.testing.ladder import RULES, Verdict
from gateway.testing.suite import run
from tests.testing.foreign.conformance import ForeignWalletProfile
from tests.testing.wallet import WalletAdapter


@pytest.mark.slow
def test_a_day_that_cannot_be_closed_costs_gold_and_nothing_more_and_the_run_is_the_proof() -> None:
    """Else an adapter to a system that tells only closed days gets no grade where it is shown best."""
    report = run(ForeignWalletProfile, quick=True)
    assert not report.refutations and report.grade == "silver", [str(each) for each in report.findings]
    assert "the day closes at 05:00" in report.standing(RULES["source_to_reconcile"]).why
    assert report.standing(RULES["foreign_system"]).state == "pass"


class _Windowed(WalletAdapter):
    traits: ClassVar[Mapping[str, Traits]] = {
        **WalletAdapter.traits,
        "payment_refund": Traits(idempotent=True, refund_window_days=30),
    }


class _Alone(_Windowed):
    name = "alone"


class _WithASimulatorBeside(ForeignWalletProfile):
    adapter = _Windowed


class _WithNothingBeside(ForeignWalletProfile):
    adapter = _Alone


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "holds"), [(_WithASimulatorBeside, True), (_WithNothingBeside, False)])
def test_a_window_is_shown_on_the_simulator_and_passed_over_where_no_clock_moves(profile: Any, holds: bool) -> None:
    """Else a true claim would have to be taken back for the run on the real system, or a false one would count."""
    report = run(profile, quick=True, only=["traits_proved"])
    assert (report.standing(RULES["traits_proved"]).state == "pass") is holds
    (found,) = [f for f in report.findings if f.subject == "refund_window_days" and f.hook == "payment_refund"]
    assert (found.verdict is Verdict.UNCLAIMED) is holds and "clock" in found.why
