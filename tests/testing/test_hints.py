"""What the suite says to do next: what it saw, what it expected, what to change in which file and hook."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from gateway.sdk import DeclineReason, OutcomeUnknown, Page, hookimpl
from gateway.testing.ladder import LADDER, Places, Report
from gateway.testing.suite import run
from tests.testing.wallet import WalletAdapter, WalletProfile


class _ReadsTooLittle(WalletAdapter):
    """Takes a good answer for none."""

    def read(self, answer: dict[str, Any], amount: int) -> Any:
        raise OutcomeUnknown(f"the wallet says {answer['state']}")


class _Refuses(WalletAdapter):
    DECLINES: ClassVar = {**WalletAdapter.DECLINES, "done": DeclineReason.DECLINED}


class ReadsTooLittle(WalletProfile):
    adapter = _ReadsTooLittle


class Refuses(WalletProfile):
    adapter = _Refuses


def test_a_valid_request_that_came_to_unknown_is_nobodys_mistake_yet() -> None:
    """Who reads "write the request" looks for an hour at a request that was right."""
    said = run(ReadsTooLittle, only=["hooks_pass"]).next_step
    assert re.search(r"seen: .*payment_charge: a valid request came to unknown \(the wallet says done\) \(1 mess", said)
    assert "expected: done: nothing was made to go wrong" in said and "write the request" not in said
    change = said.partition("change:")[2]
    assert re.search(r"tests/testing/wallet\.py:\d+, payment_charge\(\) took what came back", change)
    assert "deadline_s in tests/testing/test_hints.py, ReadsTooLittle" in change and "within 5 s" in change


def test_a_valid_request_that_was_refused_leads_to_both_places() -> None:
    said = run(Refuses, only=["hooks_pass"]).next_step
    assert "came to declined (declined, done)" in said and "prepare() there" in said
    assert "payment_charge() takes for a refusal what is none" in said


class _TellsNothing(WalletAdapter):
    @hookimpl
    def payment_statement(self, request: Any) -> Any:
        return Page(items=())


class TellsNothing(WalletProfile):
    adapter = _TellsNothing


class _ListsBadly(WalletAdapter):
    @hookimpl
    def payment_statement(self, request: Any) -> Any:
        raise OutcomeUnknown("the list is cut off")


class ListsBadly(WalletProfile):
    adapter = _ListsBadly


def test_a_reading_hook_is_told_what_it_should_have_found() -> None:
    """A statement that finds nothing may be asked wrongly, or written wrongly: both places are named."""
    said = run(TellsNothing, only=["hooks_pass"]).next_step
    assert "payment_statement: it finds nothing" in said and "TellsNothing: ask for something that is there" in said
    assert re.search(r"if it is there, tests/testing/test_hints\.py:\d+, payment_statement\(\)", said)
    said = run(ListsBadly, only=["hooks_pass"]).next_step
    assert "came to unknown (the list is cut off)" in said and "expected: an answer: nothing was made to go" in said


def test_every_rule_says_what_is_expected_and_where_to_change_what() -> None:
    """No rule leaves its reader with "nothing tried it"."""
    places = Places("a/adapter.py", "a/conformance.py", "a", {})
    report = Report("it", "it", quick=True, claimed_grade="none", places=places)
    for rule in LADDER:
        standing = report.standing(rule)
        said = report.hint(standing)
        assert standing.state == "untried" and not standing.holds
        assert re.search(r"a/(adapter\.py|conformance\.py|quality\.toml|README)", said.partition("change:")[2]), said
        assert rule.asks in said and "nothing tried it" not in said and "{" not in said


def test_that_no_real_system_was_tried_is_said_in_words() -> None:
    """An author with gold must see that nothing is wrong, and what it would take."""
    report = Report("it", "it", quick=False, claimed_grade="gold")
    for rule in LADDER:
        if rule.grade != "platinum":
            report.shown(rule.name)
    assert report.grade == "gold" and report.ok
    assert "this run was on the plugin's own simulator" in report.next_step and "gold needs no more" in report.next_step
    assert "[shown.foreign_system] of ./quality.toml" in report.next_step
