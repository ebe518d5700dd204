"""Each plugin keeps the grade that its quality.toml claims: `gateway plugins check --quick` as a test."""

from __future__ import annotations

import pytest

from gateway.testing.conformance import report_of
from gateway.testing.ladder import GRADES, Verdict
from gateway.testing.profile import Profile
from gateway.testing.suite import profile_of

PLUGINS = [
    "alipay",
    "wechatpay",
    "bankhost",
    "stripe",
    "groupbuy",
    "evoucher",
    "ktv",
    "restaurant",
    "department",
    "convenience",
    "messages",
    "house",
    "sandbox",
]
PROFILES = [profile for name in PLUGINS for profile in profile_of(name)]
GOLD = {
    "evoucher",
    "alipay",
    "wechatpay",
    "bankhost",
    "stripe",
    "ktv",
    "restaurant",
    "restaurant-members",
    "department",
    "convenience",
    "official_account",
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("profile", PROFILES, ids=[profile.adapter.name for profile in PROFILES])
def test_a_plugin_keeps_its_grade(profile: type[Profile]) -> None:
    report = report_of(profile)
    bad = [str(each) for each in report.findings if each.verdict in (Verdict.REFUTED, Verdict.NOT_SHOWN)]
    assert report.ok, f"{report.grade}, claimed is {report.claimed_grade}: {bad}"
    wanted = "gold" if profile.adapter.name in GOLD else "silver"
    assert GRADES.index(report.claimed_grade) >= GRADES.index(wanted)


def test_a_hostile_plugin_gets_no_grade_and_is_told_why() -> None:
    """It hangs, exits, lies and leaks: the suite outlives it and names each."""
    report = report_of(profile_of("plugins.hostile")[0])
    assert report.grade == "none" and not report.ok
    told = " ".join(str(each) for each in report.refutations)
    for reason in ("SystemExit", "found dict", "not sent", "the log", "its pages never end", "the same key twice"):
        assert reason in told, reason
