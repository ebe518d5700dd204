"""What must come of every cell, as a table that a person can read and argue with; nothing here was taken from a run.

Three questions decide: what did the fault leave (``Trace``), where in the checkout did it hit (``position``), and what
can the system do afterwards (the profile)?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.matrix.cells import PRICE, Cell, End, Place
from tests.matrix.faults import Fault


class Trace(StrEnum):
    """What a fault leaves at the far system, and what we know of it."""

    TOLD = "done and told"
    NEVER_SENT = "never sent, and we know it"
    NOT_DONE = "not done, and we don't know"
    UNTOLD = "done, and we don't know"
    LATE = "done later, and we don't know"
    TWICE = "arrived twice"


TRACES: dict[Fault, Trace] = {
    Fault.REFUSED: Trace.NEVER_SENT,
    Fault.ERROR: Trace.NOT_DONE,
    Fault.TIMEOUT_BEFORE: Trace.NOT_DONE,
    Fault.TIMEOUT_AFTER: Trace.UNTOLD,
    Fault.WRONG_AMOUNT: Trace.UNTOLD,
    Fault.WRONG_ID: Trace.UNTOLD,
    Fault.BAD_SIGNATURE: Trace.UNTOLD,
    Fault.GARBAGE: Trace.UNTOLD,
    Fault.HALF_BODY: Trace.UNTOLD,
    Fault.LATE_SUCCESS: Trace.LATE,
    Fault.SLOW: Trace.TOLD,
    Fault.DUPLICATE: Trace.TWICE,
}
#: Hooks whose reply must repeat the amount that was asked for. Elsewhere an amount says nothing.
AMOUNT_MATTERS = frozenset({"payment_charge", "value_reserve"})

UNKNOWN = (Trace.NOT_DONE, Trace.UNTOLD, Trace.LATE)
ALL = ("full", "asked", "repeated", "no undo", "nothing")


@dataclass(frozen=True, slots=True)
class Rule:
    """Where, after which trace, on which profiles: the state in the end, the task if one stays open, and why."""

    positions: tuple[str, ...]
    traces: tuple[Trace, ...]
    profiles: tuple[str, ...]
    state: str
    task: str
    why: str


EVERYWHERE = ("hold", "pay", "use", "tail")
RULES = (
    Rule(EVERYWHERE, (Trace.TOLD,), ALL, "completed", "", "a slow answer is an answer"),
    Rule(EVERYWHERE, (Trace.NEVER_SENT,), ALL, "completed", "", "nothing left us: it is sent again"),
    Rule(EVERYWHERE, (Trace.TWICE,), ALL, "completed", "", "the answer came; what a second arrival did, see below"),
    # --- before the money: what can't be cleared up within seconds is given up and undone
    Rule(("hold",), UNKNOWN, ("full", "repeated"), "completed", "", "the same key again acts once"),
    Rule(("hold",), (Trace.UNTOLD,), ("asked", "no undo"), "completed", "", "asked: it is held"),
    Rule(
        ("hold",),
        (Trace.NOT_DONE, Trace.LATE),
        ("asked",),
        "failed",
        "",
        "asked: not found, which proves nothing yet; given up, cancelled, and cancelled again when it can't arrive",
    ),
    Rule(
        ("hold",),
        (Trace.NOT_DONE, Trace.LATE),
        ("no undo",),
        "undoing",
        "undo-failed",
        "not found proves nothing yet, and there is no cancel: a person looks",
    ),
    Rule(("hold",), UNKNOWN, ("nothing",), "undoing", "undo-failed", "nobody to ask, nothing to cancel with"),
    # --- the money: never charged a second time
    Rule(("pay",), (Trace.UNTOLD, Trace.LATE), ("full", "asked", "no undo"), "completed", "", "asked: it is paid"),
    Rule(
        ("pay",),
        (Trace.NOT_DONE,),
        ("full", "asked", "no undo"),
        "failed",
        "",
        "asked until it can't be on its way any more: nothing was taken, all is undone",
    ),
    Rule(("pay",), UNKNOWN, ("repeated",), "failed", "", "nobody to ask: reversed, once more when it can't arrive"),
    Rule(("pay",), UNKNOWN, ("nothing",), "paying", "payment-unknown", "the cashier asks the customer or the slip"),
    # --- after the money: forward only
    Rule(("use",), UNKNOWN, ("full", "repeated"), "completed", "", "the same key again acts once"),
    Rule(("use",), UNKNOWN, ("asked", "no undo"), "completed", "", "asked; sent again only once it is surely absent"),
    Rule(("use",), UNKNOWN, ("nothing",), "settling", "redemption-unknown", "never twice: a person looks"),
    Rule(("tail",), UNKNOWN, ("full", "repeated"), "completed", "", "the same key again acts once"),
    Rule(("tail",), UNKNOWN, ("asked", "no undo"), "completed", "", "asked; sent again only once it is surely absent"),
    Rule(
        ("tail",), UNKNOWN, ("nothing",), "completed", "{phase}-unknown", "the sale stands; a person looks at the till"
    ),
)
PHASES = {"order_post": "post", "points_earn": "reward"}

#: What stands at the far systems in each state, if nothing is said about a leg of its own.
HELD = {"stock": 1, "coupon": 1, "points": 1, "value": 1}
NONE = {"taken": 0, "stock": 0, "coupon": 0, "points": 0, "value": 0, "voucher": 0, "posted": 0, "earned": 0}
PAID = {**NONE, **HELD, "taken": PRICE["pay"], "voucher": 1}
BOOKS: dict[str, Mapping[str, int]] = {
    "completed": {**PAID, "posted": 1, "earned": 1},
    "settling": PAID,
    "paying": {**NONE, **HELD},
    "undoing": NONE,
    "failed": NONE,
}
#: Which book tells of a leg.
BOOK_OF = {"tender:pay": "taken", "tender:value": "value", "tender:voucher": "voucher", "coupon:C": "coupon"} | {
    "order": "posted",
    "earn": "earned",
}
#: How often it happened, where a person has to look.
LEFT = {Trace.NOT_DONE: 0, Trace.UNTOLD: 1, Trace.LATE: 1}


def trace(cell: Cell) -> Trace:
    """What this cell's fault leaves."""
    if cell.fault is Fault.WRONG_AMOUNT and cell.place.hook not in AMOUNT_MATTERS:
        return Trace.TOLD
    return TRACES[cell.fault]


def rule(cell: Cell) -> Rule:
    """The one rule about a cell."""
    found = [
        each
        for each in RULES
        if cell.place.position in each.positions and trace(cell) in each.traces and cell.profile in each.profiles
    ]
    assert len(found) == 1, f"{cell}: {len(found)} rules"
    return found[0]


def expected(cell: Cell) -> End:
    """How the checkout of this cell must end."""
    found = rule(cell)
    task = found.task.format(phase=PHASES.get(cell.place.hook, ""))
    tasks = frozenset({f"{cell.place.leg}: {task}"} if task else ())
    books = {**BOOKS[found.state], **_own(cell, found)}
    return End(found.state, tasks, books)


def _own(cell: Cell, found: Rule) -> dict[str, int]:
    """What the leg's own system has where that differs: left for a person to see, or taken twice by a network."""
    book = BOOK_OF.get(cell.place.leg, cell.place.leg)
    if found.task and cell.place.hook != "stock_confirm":  # what was to be confirmed is held in any case
        return {book: LEFT[trace(cell)] * (PRICE["pay"] if book == "taken" else 1)}
    if trace(cell) is Trace.TWICE and counts_twice(cell.place, cell.profile):
        return {book: 2}
    return {}


def counts_twice(place: Place, profile: str) -> bool:
    """Whether a message that the network itself doubled acts twice: not where a key acts once, a payment code is used
    up, or a hold can only be used once. Nobody can see this from here; the day's comparison of the books does."""
    return profile not in ("full", "repeated") and place.hook not in ("payment_charge", "stock_confirm")
