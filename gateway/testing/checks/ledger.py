"""The books agree with the statement, and a call costs what quality.toml says."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any

from gateway.domain.common import StatementRow
from gateway.hookspecs import FAMILY_OF
from gateway.sdk.simulator import HttpReply, serve_http
from gateway.sdk.transports.http import Http
from gateway.testing.bench import Bench
from gateway.testing.chains import Made
from gateway.testing.far import Far
from gateway.testing.ladder import Verdict
from gateway.testing.profile import Missing

#: Which statement speaks of a change, and what part of its request says how much.
STATEMENTS = {
    "payment_charge": "payment_statement",
    "payment_refund": "payment_statement",
    "points_confirm": "points_statement",
    "points_earn": "points_statement",
    "value_confirm": "value_statement",
    "value_topup": "value_statement",
    "coupon_redeem": "coupon_statement",
    "coupon_confirm": "coupon_statement",
    "order_post": "order_statement",
    "order_return": "order_statement",
}
_TOLERANCE = 5.0
_SHORT_KEY = 12
#: Kinds of rows that refer to an earlier one: a system may keep the number of that one only.
_BACK = ("refund", "return", "reverse", "revoke")


def reconcile(bench: Bench) -> None:
    """Each change that a statement should tell of stands in it, under our key or its number."""
    rule, report = "source_to_reconcile", bench.report
    money = [hook for hook in bench.changes if hook in STATEMENTS]
    if not STATEMENTS.keys() & set(bench.hooks):
        report.add(rule, Verdict.EXEMPT, why="it moves nothing that is reconciled")
        return
    if not money:
        report.not_shown(rule, why="none of the hooks that a statement tells of works")
        return
    for hook in money:
        if STATEMENTS[hook] not in bench.hooks:
            report.not_shown(rule, hook, "", f"no {STATEMENTS[hook]} tells of it")
            continue
        try:
            with bench.ground.far() as far:
                made = far.do(hook, far.ready(hook)())
                far.profile.advance(far)
                rows = _rows(far, STATEMENTS[hook])
        except (Missing, RuntimeError) as trouble:
            report.not_shown(rule, hook, "", str(trouble))
            continue
        problem = _told(made, rows)
        if problem:
            report.refuted(rule, hook, STATEMENTS[hook], problem)
        else:
            report.shown(rule, hook, STATEMENTS[hook])


def rows_of(far: Far, hook: str, made: Made) -> list[StatementRow]:
    """The statement's rows about a change: under our key, or the far system's number."""
    return [row for row in _rows(far, hook) if _is_ours(row, made)]


def _rows(far: Far, hook: str) -> list[StatementRow]:
    request = far.profile.request(hook, far)
    page = far.read(hook, request)
    rows = list(page.items)
    while page.next_cursor is not None and len(rows) < 10_000:
        page = far.read(hook, replace(request, cursor=page.next_cursor))
        rows += page.items
    return rows


def _told(made: Made, rows: list[StatementRow]) -> str:
    own = [row for row in rows if _is_ours(row, made)]
    if not own:
        seen = ", ".join(f"{row.kind} {row.key or row.ref}" for row in rows[:4])
        return f"{len(rows)} rows, none with key {made.key} or number {made.ref} ({seen})"
    total = abs(sum(row.amount for row in own))
    asked = _amounts(made.request)
    return f"its rows come to {total}, asked for were {asked}" if asked and total not in asked else ""


def _is_ours(row: StatementRow, made: Made) -> bool:
    original = getattr(made.request, "original", None)
    if original is not None and row.kind in _BACK and {row.key, row.original_ref} & {original.key, original.ref} - {""}:
        return True
    numbered = bool(row.ref) and row.ref == made.ref
    if not row.key or (original is not None and _is_key(row.key, original.key)):
        return numbered  # a system that keeps one key a sale keeps the first: its number tells
    return _is_key(row.key, made.key)


def _is_key(text: str, key: str) -> bool:
    """Whether a system's text is our key, or the end of it that fitted."""
    return text == key or (len(text) >= _SHORT_KEY and key.endswith(text))


def _amounts(request: Any) -> list[int]:
    """What a row may say of a change; coupons are told in uses, or in money where a balance moves."""
    points = getattr(request, "points", None)
    if points is not None:
        return [points]
    names = ("payable_amount", "count", "amount")
    found = [value for name in names if isinstance(value := getattr(request, name, None), int)]
    value = getattr(request, "value", None)
    return [*found, int(value.total)] if value is not None else found


def cost(bench: Bench) -> None:
    """Messages and processor time of each hook, against the baseline in quality.toml."""
    unit = _unit()
    baseline = bench.costs_agreed
    for hook in bench.changes:
        times, messages = _several(bench, hook)
        bench.report.costs[hook] = {"messages": messages, "time": round(statistics.median(times) / unit, 1)}
        _compare(bench, hook, baseline.get(hook))
    if not bench.changes:
        bench.report.not_shown("cost_per_call", why="no changing hook works")


def _several(bench: Bench, hook: str) -> tuple[list[float], int]:
    """Several calls: their processor times, and how many messages they send in the middle: a sign-on, which one of them
    may have to send, is no cost of the call."""
    times, messages = [bench.measured[hook].cpu], [bench.measured[hook].messages]
    with bench.stage(hook) as stage:
        for _ in range(2 if bench.quick else 5):
            try:
                request = stage.request()
            except (Missing, RuntimeError):
                break
            came = stage.far.change(hook, request)[1]
            times.append(came.cpu)
            messages.append(came.sent)
    return times, statistics.median_low(messages)


def _compare(bench: Bench, hook: str, baseline: Any) -> None:
    measured = bench.report.costs[hook]
    rule = "cost_per_call"
    if not baseline:
        line = f"{hook} = {{messages = {measured['messages']:.0f}, time = {measured['time']}}}"
        why = f"quality.toml has no [cost] of it; measured now: {line}"
        bench.report.not_shown(rule, hook, "", why, "{quality}: write the lines measured, as above, below [cost]")
    elif measured["messages"] > baseline["messages"]:
        why = f"{measured['messages']:.0f} messages, {baseline['messages']} were agreed"
        bench.report.refuted(rule, hook, "messages", why)
    elif measured["time"] > max(baseline["time"], 1.0) * _TOLERANCE:
        why = f"{measured['time']} times a bare HTTP exchange, {baseline['time']} were agreed"
        bench.report.refuted(rule, hook, "time", why)
    else:
        bench.report.shown(rule, hook, "", f"{measured['messages']:.0f} messages, time {measured['time']}")


def _unit() -> float:
    """Processor time of one bare HTTP exchange by the SDK's client: what everything else is held against."""
    server = serve_http(lambda request: HttpReply(200, b"{}"))
    http = Http()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    times = []
    for _ in range(30):
        began = time.thread_time()
        http.send("POST", url, data=b"x=1", timeout=5)
        times.append(time.thread_time() - began)
    http.close()
    server.shutdown()
    server.server_close()
    return max(statistics.median(times), 1e-5)


__all__ = ["FAMILY_OF", "cost", "reconcile", "rows_of"]
