"""A till gets every kind of sale that a checkout can come to: each is booked with its sums, or refused as such.

A sale is posted after the money. One that the adapter has not thought of must therefore end as a refusal, which the
merchant's policy deals with; an error, or a booking of another sum, is found out by nobody before the day's end.
"""

from __future__ import annotations

from gateway.domain.orders import OrderPost
from gateway.testing.bench import Bench, Stage, moved, told
from gateway.testing.chains import DERIVED, Made
from gateway.testing.checks.claims import Refuted, must_be, must_show
from gateway.testing.checks.ledger import rows_of
from gateway.testing.far import Far
from gateway.testing.kinds import kinds_of, returned, returned_in_two
from gateway.testing.ladder import Verdict
from gateway.testing.outcome import Outcome
from gateway.testing.profile import Missing

RULE = "kinds_of_sale"
POST, RETURN, VOID, STATEMENT = "order_post", "order_return", "order_void", "order_statement"
#: How a system says that it has no such sale.
_REFUSALS = ("declined", "not_supported", "misconfigured")


def check(bench: Bench, hook: str = POST) -> None:
    """Each kind of sale booked or refused; where it can be returned, returned whole; two lines one by one."""
    if hook not in bench.hooks:
        bench.report.add(RULE, Verdict.EXEMPT, why="it posts no sales")
        return
    if hook not in bench.measured:
        bench.report.not_shown(RULE, hook, why="the sale itself does not work")
        return
    with bench.stage(hook) as stage:
        for name, _ in kinds_of(stage.request()):
            _tried(bench, stage, name)


def _tried(bench: Bench, stage: Stage, name: str) -> None:
    try:
        sale = next(kind for other, kind in kinds_of(stage.request()) if other == name)
        said = _posted(bench, stage.far, sale)
    except Refuted as seen:
        bench.report.refuted(RULE, POST, name, str(seen))
    except (Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, POST, name, str(trouble))
    else:
        bench.report.shown(RULE, POST, name, said)


def _posted(bench: Bench, far: Far, sale: OrderPost) -> str:
    before = far.quiet()
    made, came = far.settled(*far.change(POST, sale))
    if came.kind != "done":
        return _refused(came, POST, moved(before, far.quiet()))
    if came.answer.amount is not None:
        _must_fit(came.answer.amount, sale, "Done.amount is {}")
    if far.queryable(POST):
        must_be(far.query(made), "done", "not_supported", what="a query about it")
    _in_the_statement(bench, far, made, sale)
    return f"booked; {_given_back(bench, far, made, sale, before)}"


def _refused(came: Outcome, hook: str, effect: dict[str, int]) -> str:
    if came.kind not in _REFUSALS:
        raise Refuted(f"{hook} came to {came}: what a till can't book is Declined, or NotSupported")
    if effect:
        raise Refuted(f"{hook} came to {came}, and the books show {told(effect)}")
    return f"refused: {came}"


def _in_the_statement(bench: Bench, far: Far, made: Made, sale: OrderPost) -> None:
    if STATEMENT in bench.hooks:
        far.profile.advance(far)
        _must_fit(sum(row.amount for row in rows_of(far, STATEMENT, made)), sale, "the statement tells {} of it")


def _must_fit(total: int, sale: OrderPost, what: str) -> None:
    """What a till tells of a sale is what was paid, and at most what points, discounts and rounding paid beside it."""
    paid = sale.payable_amount
    if not paid <= total <= paid + sale.points_amount + sale.discount_amount + sale.rounding_amount:
        raise Refuted(f"{what.format(total)}, paid were {paid}")


def _given_back(bench: Bench, far: Far, made: Made, sale: OrderPost, before: dict[str, int]) -> str:
    """The whole sale back; of two lines that are all of it, first the one and then the other."""
    if RETURN not in bench.changes:
        return _voided(bench, far, made, before)
    numbers = (far.number("RF"), far.number("RF"))
    if _is_lines(sale):
        first, rest = returned_in_two(sale, made.original, numbers)
        part = far.settled(*far.change(RETURN, first))[1]
        if part.kind == "done":
            must_be(far.settled(*far.change(RETURN, rest))[1], "done", what="the return of the rest")
            _as_before(bench, far, RETURN, before)
            return "its lines came back one by one"
        _refused(part, RETURN, {})
    back = far.settled(*far.change(RETURN, returned(sale, made.original, numbers[0])))[1]
    if back.kind != "done":
        return f"its return is {_refused(back, RETURN, {})}"
    _as_before(bench, far, RETURN, before)
    return "it came back whole"


def _voided(bench: Bench, far: Far, made: Made, before: dict[str, int]) -> str:
    if VOID not in bench.changes:
        return "it can't be given back"
    must_be(far.settled(*far.change(VOID, DERIVED[VOID](made)))[1], "done", what=VOID)
    _as_before(bench, far, VOID, before)
    return "it was taken out again"


def _is_lines(sale: OrderPost) -> bool:
    """Whether it is of two lines that were both paid for, and of nothing beside them."""
    beside = sale.fees or sale.points_amount or sale.rounding_amount
    return len(sale.lines) == 2 and all(line.net_amount for line in sale.lines) and not beside


def _as_before(bench: Bench, far: Far, undo: str, before: dict[str, int]) -> None:
    """The books are as before, but for what a sale and its undo leave there anyhow (their sum of returns)."""
    post, back = bench.measured[POST].effect, bench.measured[undo].effect
    left = {name for name in post.keys() | back.keys() if post.get(name, 0) + back.get(name, 0)}
    left |= {*bench.profile.leaves.get(POST, ()), *bench.profile.leaves.get(undo, ())}
    still = {name: value for name, value in moved(before, far.quiet()).items() if name not in left}
    must_show(still, {}, f"{POST}, then {undo}")
