"""What the suite makes of a system that nobody here wrote."""

import pytest

from gateway.testing.ladder import RULES
from gateway.testing.suite import run
from tests.testing.foreign.conformance import ForeignWalletProfile


@pytest.mark.slow
def test_a_day_that_cannot_be_closed_costs_gold_and_nothing_more_and_the_run_is_the_proof() -> None:
    """Else an adapter to a system that tells only closed days gets no grade where it is shown best."""
    report = run(ForeignWalletProfile, quick=True)
    assert not report.refutations and report.grade == "silver", [str(each) for each in report.findings]
    assert "the day closes at 05:00" in report.standing(RULES["source_to_reconcile"]).why
    assert report.standing(RULES["foreign_system"]).state == "pass"
