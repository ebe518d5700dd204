"""Other ways of one hook, where a profile names any: a QR code beside a payment code, a gift card beside a coupon.

The faults and claims are tried on the hook's own request; of each other way it is seen that it is done, known to the
query and undone, and that it comes to one end when its last answer is lost.
"""

from __future__ import annotations

from typing import Any

from gateway.hookspecs import UNDO_HOOKS
from gateway.testing.bench import Bench, Stage, Tally, moved, told
from gateway.testing.checks.claims import Refuted, must_be, must_show
from gateway.testing.far import Far
from gateway.testing.profile import Missing
from gateway.testing.proxy import Plan
from gateway.testing.resolver import resolve

RULE = "hooks_pass"


def check(bench: Bench, hook: str) -> None:
    """Try each other way of this hook."""
    with bench.ground.far() as far:
        names = list(bench.profile.ways(far, hook))
    for name in names:
        try:
            with bench.stage(hook) as stage:
                said = _done(bench, stage, hook, name) + _lost(bench, stage, hook, name)
        except Refuted as seen:
            bench.report.refuted(RULE, hook, name, str(seen))
        except (Missing, RuntimeError) as trouble:
            bench.report.not_shown(RULE, hook, name, f"no valid request could be made: {trouble}")
        else:
            bench.report.shown(RULE, hook, name, said)


def _done(bench: Bench, stage: Stage, hook: str, name: str) -> str:
    """It is done with an effect, the query knows it, and its undo brings the books back."""
    far, request = stage.far, _request(bench, stage, hook, name)
    before = far.quiet()
    made, came = far.settled(*far.change(hook, request))
    must_be(came, "done", what="a valid request")
    effect = moved(before, far.quiet())
    if not effect:
        raise Refuted("done, and the books show no effect")
    if far.queryable(hook):
        must_be(far.query(made), "done", "not_supported", what="a query about it")
    undo = UNDO_HOOKS.get(hook, "")
    if undo not in bench.hooks:
        return f"done ({told(effect)})"
    must_be(far.settled(*far.change(undo, bench.profile.request(undo, far, made)))[1], "done", what=undo)
    _back(bench, far, hook, before)
    return f"done ({told(effect)}) and undone"


def _lost(bench: Bench, stage: Stage, hook: str, name: str) -> str:
    """Its last answer is lost: it ends as done with its effect, or as undone without any."""
    far, request = stage.far, _request(bench, stage, hook, name)
    if not far.line.proxies:
        return ""
    before = far.quiet()
    far.line.set(Plan("silence", max(bench.measured[hook].messages, 1)))
    made, came = far.change(hook, request, seconds=far.profile.patience_s)
    fired = far.line.fired
    far.line.set(None)
    if not fired:
        return ""
    end = resolve(far, made, came)
    effect = moved(before, far.quiet())
    if (end.kind == "done") != bool(effect) and end.kind != "person":
        raise Refuted(f"its answer was lost, it ended as {end.kind} ({end.way}), and the books show {told(effect)}")
    return f"; its answer lost, it ended as {end.kind}"


def _request(bench: Bench, stage: Stage, hook: str, name: str) -> Any:
    return bench.profile.ways(stage.far, hook)[name]


def _back(bench: Bench, far: Far, hook: str, before: Tally) -> None:
    left = bench.profile.leaves.get(hook, ())
    still = {name: value for name, value in moved(before, far.quiet()).items() if name not in left}
    must_show(still, {}, f"{hook}, then {UNDO_HOOKS[hook]}")
