"""What is said of a valid request, without any fault, that did not come to done: what to look at, by what it came to.

Nothing here blames the request: the suite knows only that the profile calls it valid, and what the adapter said.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.testing.ladder import Finding, Verdict
from gateway.testing.outcome import Outcome
from gateway.testing.profile import Profile

_EXPECTED = "nothing was made to go wrong, and {conformance} calls this request valid"
#: By what it came to, the places to look at, the likeliest first. ``{deadline}`` and ``{settle}`` are the profile's.
_LOOK: Mapping[str, str] = {
    "unknown": "the request went out, and {at} took what came back, if anything came, for no answer. If the text "
    "above is a good answer of the system, let the adapter read it; if no answer came within {deadline} s "
    "(deadline_s in {conformance}), give it more time; if the simulator answers what the system would not, mend it",
    "pending": "the system took the request and had not decided after {settle} s (settle_s in {conformance}): let it "
    "go on in advance() there, or wait longer; the query hook must say Done once it is decided",
    "declined": "if a system that has just started may refuse this, ask for something else in {conformance}, or make "
    "it possible in prepare() there; if it may not, {at} takes for a refusal what is none",
    "not_sent": "{at} says that nothing left: look at settings() in {conformance}, and at what it does before it sends",
    "misconfigured": "{at} says that the settings are wrong: look at settings() in {conformance}",
    "not_supported": "{at} says that this system can't do it: ask for what it can in {conformance}, or leave the hook "
    "out of the adapter",
    "plugin_error": "{at}: an error of the adapter's own; the text above names it",
    "hung": "{at} was not back at its deadline of {deadline} s (deadline_s in {conformance}): pass call.remaining() on "
    "as the time limit of each message",
}


def not_done(rule: str, hook: str, came: Outcome, profile: Profile, expected: str = "done") -> Finding:
    """The finding about a valid request that did not come to what was ``expected``."""
    sent = f"{came.sent} message{'' if came.sent == 1 else 's'} sent, {came.seconds:.1f} s"
    change = _LOOK.get(came.kind, "{at}")
    change = change.replace("{deadline}", f"{profile.deadline_s:g}").replace("{settle}", f"{profile.settle_s:g}")
    why = f"a valid request came to {came} ({sent})"
    return Finding(rule, Verdict.REFUTED, hook, "", why, f"{expected}: {_EXPECTED}", change)
