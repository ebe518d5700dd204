"""Every hook once, without faults: right types, right amounts, keys that are known again, reads that change nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from gateway.domain.common import Page
from gateway.hookspecs import FAMILY_OF, QUERY_HOOKS
from gateway.runtime.answers import CHANGE_HOOKS
from gateway.testing.bench import Bench, Measured, moved, told
from gateway.testing.chains import Made
from gateway.testing.checks.ledger import STATEMENTS
from gateway.testing.checks.valid import not_done
from gateway.testing.far import Far
from gateway.testing.ladder import Finding, Verdict
from gateway.testing.outcome import Outcome
from gateway.testing.profile import Missing
from gateway.testing.proxy import Plan

RULE = "hooks_pass"
_MOST_PAGES = 500
_FORGED = 24
_TRIES = 3
NO_ANSWER = ("unknown", "not_sent")
_QUERIES = frozenset(QUERY_HOOKS.values())
#: What to change where a request could not be made, and where it seems to have moved nothing.
_COUNT = "{conformance}: tally() must count what {at} moves; if it has nothing to do, name it in `silent` there"
_NOTHING = "it finds nothing, so nothing was shown"
_NAME = "{conformance}: ask for something that is there, or see to it in prepare(); if it is there, {at}"
_WRITE = "{conformance}: the request, or what must come before it; where a hook is named above, {at}"


def change(bench: Bench, hook: str) -> None:
    """Make a change, see its effect in the books, and ask about it."""
    try:
        with bench.stage(hook) as stage:
            for left in reversed(range(tries(bench))):
                if _changed(bench, stage.far, hook, stage.request(), again=bool(left)):
                    break
    except (Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, hook, "", f"no valid request could be made: {trouble}", change=_WRITE)


def tries(bench: Bench) -> int:
    """How often something is tried that nothing was made to go wrong with. A real system may fail by itself, and what
    is unknown then is rightly so: it says nothing about the hook."""
    return 1 if bench.ground.foreign is None else _TRIES


def _changed(bench: Bench, far: Far, hook: str, request: Any, again: bool) -> bool:
    """Make the change and judge it; ``False`` if the system itself gave no answer, and it may be tried ``again``."""
    key = far.key()
    unseen = _unseen(bench, far, Made(hook, key, request))
    before, began = far.quiet(), time.monotonic()
    made, first = far.change(hook, request, key=key)
    made, came = far.settled(made, first)
    effect = moved(before, far.quiet())
    if again and came.kind in NO_ANSWER:
        return False
    if came.kind != "done":
        came = replace(came, sent=first.sent, seconds=time.monotonic() - began)
        bench.report.findings.append(not_done(RULE, hook, came, bench.profile))
        return True
    if hook in bench.profile.silent:
        _nothing_done(bench, hook, first, effect)
        return True
    wrong = _wrong(came.answer, request) or unseen or (_asked(far, made, came) if effect else "")
    if not effect:
        wrong = wrong or (
            "the books show no effect: tally() needs a number that this hook moves; or name it in "
            "`silent` if the far system has nothing to do"
        )
    if wrong:
        change = "" if effect else _COUNT
        bench.report.findings.append(Finding(RULE, Verdict.REFUTED, hook, "", wrong, change=change))
        if not effect:
            return True
    else:
        bench.report.shown(RULE, hook, "", told(effect))
    bench.measured[hook] = Measured(effect, first.sent, first.cpu, first.seconds)
    return True


def _nothing_done(bench: Bench, hook: str, came: Outcome, effect: Mapping[str, int]) -> None:
    """A hook that claims to have nothing to do must do nothing."""
    if came.sent or effect:
        bench.report.refuted(RULE, hook, "", f"claimed to be silent, it sent {came.sent} messages: {told(effect)}")
    else:
        bench.report.shown(RULE, hook, "", "nothing to do at the far system")


def _unseen(bench: Bench, far: Far, made: Made) -> str:
    """A query about a key that was never sent must find nothing."""
    if not far.queryable(made.hook):
        return ""
    found = far.query(made)
    if found.kind in ("not_found", "not_supported"):
        return ""
    return f"a query about a key that was never sent answers {found}"


def _wrong(answer: Any, request: Any) -> str:
    """What does not fit between an answer and what was asked."""
    asked = getattr(request, "points", None)
    asked = getattr(request, "amount", None) if asked is None else asked
    if answer.amount is not None and asked is not None and answer.amount != asked:
        return f"Done.amount is {answer.amount}, asked for {asked}"
    return ""


def _asked(far: Far, made: Made, came: Outcome) -> str:
    """The query must know what was done, and change nothing."""
    if not far.queryable(made.hook):
        return ""
    before = far.quiet()
    found = far.query(made)
    if found.kind == "not_supported":
        return ""  # it can't be asked about; the traits tell
    if found.kind != "done":
        return f"it was done, and the query answers {found}"
    if found.answer.amount is not None and came.answer.amount not in (None, found.answer.amount):
        return f"Done.amount was {came.answer.amount}, the query says {found.answer.amount}"
    after = far.quiet()
    return f"the query itself moved the books: {told(moved(before, after))}" if after != before else ""


def read(bench: Bench, hook: str) -> None:
    """A reading hook: the right type, pages that end, and nothing changed by it.

    A statement that a real system can't be made to give now is not shown there as a source; the hook is not at fault.
    """
    try:
        with bench.ground.far() as far:
            if hook.endswith("_statement"):
                _something_booked(bench, far, hook)
            request = _asked_for(bench, far, hook)
            if request is None:
                return
            before = far.quiet()
            found = far.run(hook, request)
            if found.kind != "read":
                bench.report.findings.append(not_done(RULE, hook, found, bench.profile, "an answer"))
                return
            wrong, said = _read(far, hook, request, found)
            after = far.quiet()
    except (Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, hook, "", f"no valid request could be made: {trouble}", change=_WRITE)
        return
    if after != before:
        wrong = wrong or f"reading moved the books: {told(moved(before, after))}"
    if wrong:
        change = _NAME if wrong == _NOTHING else ""
        bench.report.findings.append(Finding(RULE, Verdict.REFUTED, hook, "", wrong, change=change))
    else:
        bench.report.shown(RULE, hook, "", said)


def _asked_for(bench: Bench, far: Far, hook: str) -> Any | None:
    """The request of a reading hook; ``None`` for a statement that this place can't be made to give."""
    try:
        return far.profile.request(hook, far)
    except Missing as trouble:
        if far.foreign is None or not hook.endswith("_statement"):
            raise
        bench.report.not_shown("source_to_reconcile", hook, "", str(trouble))
        bench.report.add(RULE, Verdict.UNCLAIMED, hook, "", f"not tried on this place: {trouble}")
        return None


def _something_booked(bench: Bench, far: Far, hook: str) -> None:
    """A statement of an empty day would prove nothing."""
    for name in [name for name in bench.changes if STATEMENTS.get(name) == hook][:2]:
        far.do(name, far.ready(name)())
    far.profile.advance(far)


def _read(far: Far, hook: str, request: Any, found: Outcome) -> tuple[str, str]:
    if isinstance(found.answer, Page):
        return _paged(far, hook, request, found.answer)
    if found.answer is None or found.answer == ():
        return _NOTHING, ""
    return "", f"{len(found.answer)} found" if isinstance(found.answer, tuple) else "found"


def _paged(far: Far, hook: str, request: Any, page: Page[Any]) -> tuple[str, str]:
    items, cursors, pages = list(page.items), {""}, 1
    limit = getattr(request, "limit", None)
    while page.next_cursor is not None:
        if page.next_cursor in cursors or pages >= _MOST_PAGES:
            return f"its pages never end: the cursor of page {pages} was there before", ""
        if limit is not None and len(page.items) > limit:
            return f"a page of {len(page.items)} items, {limit} were asked for", ""
        cursors.add(page.next_cursor)
        found = far.run(hook, replace(request, cursor=page.next_cursor))
        if found.kind != "read":
            return f"page {pages + 1} came to {found}", ""
        page, pages = found.answer, pages + 1
        items += page.items
    names = [getattr(item, "sku", None) or getattr(item, "ref", None) for item in items]
    if not items:
        return _NOTHING, ""
    if not hook.endswith("_statement") and len(set(names)) != len(names):
        return "the same item stands on two pages", ""
    return "", f"{len(items)} items on {pages} pages"


def check(bench: Bench, hook: str) -> None:
    """The contract of one hook."""
    if hook in CHANGE_HOOKS:
        change(bench, hook)
    elif hook == "notice_read":
        notice(bench)
    elif hook == "notice_follow":
        followed(bench)
    elif hook not in _QUERIES:
        read(bench, hook)
    elif any(FAMILY_OF[name] == FAMILY_OF[hook] for name in bench.changes):
        bench.report.shown(RULE, hook, "", "asked after each change of its family")


def notice(bench: Bench) -> None:
    """A genuine callback is read; the same with a byte changed, or one of its digits, is not genuine."""
    try:
        with bench.ground.far() as far:
            request = far.profile.request("notice_read", far)
            genuine = far.run("notice_read", request)
            at = len(request.body) // 2
            forged = replace(request, body=request.body[:at] + bytes([request.body[at] ^ 1]) + request.body[at + 1 :])
            refused = far.run("notice_read", forged)
            others = [far.run("notice_read", replace(request, body=body)) for body in _digits_changed(request.body)]
    except (Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, "notice_read", "", f"no valid request could be made: {trouble}", change=_WRITE)
        return
    if genuine.kind != "read" or genuine.answer is None:
        bench.report.refuted(RULE, "notice_read", "", f"a genuine notice came to {genuine}")
    elif genuine.answer.key and genuine.answer.key not in far.keys:
        why = f"the notice is read as one about {genuine.answer.key!r}, which is no key of a change that was made"
        bench.report.refuted(RULE, "notice_read", "", why)
    elif refused.answer is not None:
        bench.report.refuted(RULE, "notice_read", "", "a notice with a byte changed is believed")
    elif (believed := sum(each.answer is not None for each in others)) * 2 > len(others):
        why = f"of {len(others)} notices with one digit changed {believed} are believed: is the signature looked at?"
        bench.report.refuted(RULE, "notice_read", "", why)
    else:
        bench.report.shown(RULE, "notice_read", "", f"about {genuine.answer.kind}")


def _digits_changed(body: bytes) -> list[bytes]:
    """The body with one digit changed, at some places spread over it: as well-formed as before, and forged. Most of
    them must be refused; here or there one may not be signed."""
    places = [at for at, byte in enumerate(body) if 0x30 <= byte <= 0x39]
    chosen = places[:: max(1, len(places) // _FORGED)][:_FORGED]
    return [body[:at] + bytes([0x30 + (body[at] - 0x2F) % 10]) + body[at + 1 :] for at in chosen]


def followed(bench: Bench) -> None:
    """What a notice asks for is done, whatever answers are lost; the same notice late changes nothing more."""
    try:
        with bench.ground.far() as far:
            problem = _followed(far, far.profile.request("notice_read", far))
    except (Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, "notice_follow", "", f"no notice could be made: {trouble}", change=_WRITE)
        return
    if problem:
        bench.report.refuted(RULE, "notice_follow", "", problem)
    else:
        bench.report.shown(RULE, "notice_follow", "", "followed once, lost answers and a late copy included")


def _followed(far: Far, notice: Any) -> str:
    """Take a notice; follow it while every answer is lost, then well; then take it again."""
    request = far.profile.request("notice_follow", far)
    before = far.quiet()
    far.read("notice_read", notice)
    for at in (1, 2):
        far.line.set(Plan("silence", at))
        deadline = far.now() + timedelta(seconds=far.profile.patience_s)
        lost = far.run("notice_follow", replace(request, deadline=deadline))
        fired = far.line.fired
        far.line.set(None)
        if fired and (lost.kind != "read" or not lost.answer):
            return f"answer {at} was lost, and it says {lost} {lost.answer}: what is not known to be done is to be done"
    came = far.run("notice_follow", request)
    done = far.quiet()
    if came.kind != "read" or came.answer != 0 or done == before:
        return f"it came to {came} {came.answer}, and the books show {told(moved(before, done))}"
    far.read("notice_read", notice)
    again = far.run("notice_follow", request)
    if again.kind != "read" or again.answer != 0 or far.quiet() != done:
        return f"the same notice late came to {again} {again.answer}: {told(moved(done, far.quiet()))}"
    return ""
