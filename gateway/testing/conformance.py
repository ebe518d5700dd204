"""The conformance suite for pytest: one line to subclass.

::

    from gateway.testing import AdapterConformance
    from plugins.mine.conformance import MyProfile

    class TestMine(AdapterConformance):
        profile = MyProfile

A small plugin may write its profile's methods into the test class itself. The suite runs once a class; each rule of the
ladder up to the grade that ``quality.toml`` claims is a test. ``quick = False``, or ``GATEWAY_CONFORMANCE=full`` in the
environment, tries every fault at every message.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from gateway.testing.ladder import GRADES, LADDER, RULES, Report, Verdict
from gateway.testing.profile import Profile
from gateway.testing.suite import run

_REPORTS: dict[type, Report] = {}


def report_of(profile: type[Profile], *, quick: bool = True) -> Report:
    """What the suite found of a profile; it runs once a process. ``GATEWAY_CONFORMANCE=full`` overrules ``quick``."""
    if profile not in _REPORTS:
        _REPORTS[profile] = run(profile, quick=quick and os.environ.get("GATEWAY_CONFORMANCE") != "full")
    return _REPORTS[profile]


class AdapterConformance(Profile):
    """Subclass it as ``class Test…`` and set ``profile``, or write a profile's methods into the class itself."""

    profile: ClassVar[type[Profile] | None] = None
    #: The grade to hold; ``None`` takes the one in ``quality.toml``.
    grade: ClassVar[str | None] = None
    quick: ClassVar[bool] = True

    @classmethod
    def report(cls) -> Report:
        """What the suite found; it runs at the first call."""
        return report_of(cls.profile or cls, quick=cls.quick)

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test a rule."""
        if "rule" in metafunc.fixturenames:
            metafunc.parametrize("rule", [rule.name for rule in LADDER])

    def test_rule(self, rule: str) -> None:
        """The rule holds, if the grade claimed asks for it."""
        import pytest

        report = self.report()
        claimed = self.grade or report.claimed_grade
        if GRADES.index(RULES[rule].grade) > GRADES.index(claimed):
            pytest.skip(f"asked of {RULES[rule].grade}, {claimed} is claimed")
        standing = report.standing(RULES[rule])
        found = [
            str(f) for f in report.findings if f.rule == rule and f.verdict in (Verdict.REFUTED, Verdict.NOT_SHOWN)
        ]
        assert standing.holds, "\n  ".join([report.hint(standing), *found])

    def test_nothing_is_refuted(self) -> None:
        """No claim was shown to be untrue, whatever grade it would be for."""
        refuted = [str(finding) for finding in self.report().unexcused]
        assert not refuted, "\n  ".join(refuted)
