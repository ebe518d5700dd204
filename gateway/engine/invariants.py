"""What must hold in the journal, whatever happened: predicates over its rows, for tests and for a live store.

Each takes a :class:`Record` (one saga with its operations, open tasks and events) and yields what is wrong with it, as
``name: text``. ``always`` may be asked at any moment, ``at_rest`` when nobody works on the saga. A far system's own
books can be held against the journal too: ``books`` tells what a change really came to there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.engine.model import MAYBE, TERMINAL, Json, Kind, Leg, Op, OpState, Phase, Saga, State
from gateway.engine.own import OWN
from gateway.engine.records import op_from, saga_from
from gateway.engine.redeeming import honoured
from gateway.engine.requests import tenders_of
from gateway.engine.unbooked import needless
from gateway.engine.words import tender_leg
from gateway.hookspecs import UNDO_HOOKS
from gateway.store import journal as sql
from gateway.store.port import Row, Tx

#: What undoes a charge, first to last resort.
PAYMENT_UNDOES = ("payment_reverse", "payment_refund", "payment_release")

#: By then a saga has ended or is a person's case, in milliseconds.
LIVE_FOR = 600_000

#: How often one change may be sent and asked about in the hours before its pauses are hours too.
CALLS_MOST = 5_000


@dataclass(slots=True)
class Record:
    """All that the journal knows of one saga."""

    saga: Saga
    ops: list[Op]
    fences: dict[str, int]
    tasks: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)

    def last(self, leg: str, hook: str | None) -> Op | None:
        """The operation that counts for a leg's hook: the one of the last turn."""
        found = [op for op in self.ops if (op.leg, op.hook) == (leg, hook)]
        return max(found, key=lambda op: op.turn) if found else None

    def open_task(self, leg: str = "") -> bool:
        """Whether a person has a case open about this saga (about this leg of it)."""
        return any(task["status"] == "open" and (not leg or task["leg"] == leg) for task in self.tasks)


def record(tx: Tx, saga_id: str, op_of: Callable[[Row], Op] = op_from) -> Record | None:
    """Read one saga with everything that belongs to it. ``op_of`` may remember rows that it has read before."""
    row = sql.saga(tx, saga_id)
    if row is None:
        return None
    ops = sql.ops(tx, saga_id)
    events = tx.all("SELECT * FROM events WHERE subject = :id ORDER BY seq", {"id": saga_id})
    fences = {op["key"]: op["fence"] for op in ops}
    return Record(saga_from(row), [op_of(op) for op in ops], fences, sql.tasks_of(tx, saga_id), events)


# --- at any moment ---------------------------------------------------------------------------------------------------


def fences(found: Record) -> Iterator[str]:
    """X3: no row was written by a worker that came later than the saga's own claim says."""
    for op in found.ops:
        if found.fences[op.key] > found.saga.fence:
            yield f"X3: {op.leg}/{op.hook} has fence {found.fences[op.key]}, the saga {found.saga.fence}"


def told_as_it_stands(found: Record) -> Iterator[str]:
    """W1, W2: events count without a gap, and an end is told in the transaction that reaches it, once."""
    if [event["seq"] for event in found.events] != list(range(len(found.events))):
        yield f"W1: events count {[event['seq'] for event in found.events]}"
    if int(found.saga.progress.get("events", 0)) != len(found.events):
        yield f"W2: the saga counts {found.saga.progress.get('events')} events, there are {len(found.events)}"
    kind, state = found.saga.kind, found.saga.state
    word = "succeeded" if (kind, state) == (Kind.REFUND, State.COMPLETED) else state.value
    names = {f"{kind}.{word}" for word in ("completed", "succeeded", "failed", "cancelled")}
    ends = [event["type"] for event in found.events if event["type"] in names]
    if ends != ([f"{kind}.{word}"] if state in TERMINAL else []):
        yield f"W2: {state} is told as {ends}"


def money_first(found: Record) -> Iterator[str]:
    """R7, M3: nothing that was held is let go while a payment may still stand, but what a replaced tender held."""
    if found.saga.kind is not Kind.CHECKOUT or found.saga.progress.get("late"):
        return
    replaced = {leg.name for leg in found.saga.legs() if tender_leg(leg) in found.saga.progress.get("replaced", ())}
    gone = [op for op in found.ops if op.hook in _LETTING_GO and _first_turn(op) and op.leg not in replaced]
    for leg in found.saga.legs():
        charge = found.last(leg.name, leg.hook(Phase.PAY)) if leg.hook(Phase.PAY) else None
        if charge is None or leg.name in found.saga.by_hand() or not gone or not _may_stand(found, leg, charge):
            continue
        if found.saga.state not in (State.FAILED, State.CANCELLED):
            yield f"M3: {gone[0].leg} was let go while {leg.name} is {charge.state}"


def _first_turn(op: Op) -> bool:
    return op.turn == 0 and op.state is not OpState.NOT_SENT


def _may_stand(found: Record, leg: Leg, charge: Op) -> bool:
    """Whether this charge may hold money that nobody has begun to give back."""
    undone = [op for op in found.ops if op.leg == leg.name and op.hook in PAYMENT_UNDOES and op.state is OpState.OK]
    return charge.state in MAYBE and not undone


_LETTING_GO = frozenset(
    {"stock_cancel", "stock_return", "coupon_cancel", "coupon_restore", "points_cancel", "points_return"}
)


def forward_only_before_the_end(found: Record) -> Iterator[str]:
    """R7: once money goes back, nothing forward is begun. Keys rise as they are made."""
    backs = [op.key for op in found.ops if op.hook in PAYMENT_UNDOES]
    if found.saga.kind is not Kind.CHECKOUT or found.saga.state not in _BACKWARD or not backs:
        return
    if found.saga.progress.get("declined"):
        return
    forward = {hook for leg in found.saga.legs() for phase in (Phase.SETTLE, Phase.POST) if (hook := leg.hook(phase))}
    for op in found.ops:
        if op.hook in forward and op.key > min(backs):
            yield f"R7: {op.leg}/{op.hook} was begun after money went back"


_BACKWARD = frozenset({State.CLOSING, State.UNDOING, State.FAILED, State.CANCELLED})


# --- at rest ---------------------------------------------------------------------------------------------------------


def ended_or_a_persons_case(found: Record) -> Iterator[str]:
    """L1: an end, or a task, or a customer who may still pay; of a completed sale also what is still being booked."""
    saga = found.saga
    if saga.state not in TERMINAL and saga.state is not State.AWAITING_TENDER and not found.open_task():
        yield f"L1: {saga.state} without a task"
    if saga.state is State.COMPLETED and saga.due_at is not None:
        for leg, hook, op in _not_settled(found):
            if leg.hook(Phase.POST) == hook:
                yield f"L1: completed, and {leg.name}/{hook} is {op and op.state} without a task"


def _left_out(found: Record, leg: Leg) -> bool:
    """Whether this leg was left out with its system down, and provably holds nothing."""
    hook = leg.hook(Phase.HOLD) or ""
    held = found.last(leg.name, hook)
    never = held is None or (held.state is OpState.NOT_SENT and not held.outcome.get("maybe"))
    return leg.name in found.saga.without() and never


def completed_is_whole(found: Record) -> Iterator[str]:
    """M1, O1: completed: every tender that stands is taken and covers the amount, what was held is used, the bill is in
    the till or on its way there, or a task says what is missing."""
    saga = found.saga
    if saga.kind is not Kind.CHECKOUT or saga.state is not State.COMPLETED:
        return
    standing = tenders_of(saga)
    if sum(tender["amount"] for tender in standing) != saga.amount:
        yield f"M1: tenders come to {sum(t['amount'] for t in standing)}, not {saga.amount}"
    for leg, hook, op in _not_settled(found):
        if leg.hook(Phase.POST) != hook:
            yield f"M1: completed, and {leg.name}/{hook} is {op and op.state}"
        elif saga.due_at is None:  # nobody goes after it any more
            yield f"O1: completed, and {leg.name}/{hook} is {op and op.state}"
    for leg in _standing(saga):
        op, wanted = found.last(leg.name, leg.hook(Phase.PAY)), leg.params.get("amount")
        took = op.outcome.get("amount") if op is not None and op.state is OpState.OK else None
        if took not in (None, wanted) and not found.open_task(leg.name):
            yield f"M1: {leg.name} is to take {wanted}, and took {took}"


def _standing(saga: Saga) -> list[Leg]:
    """The legs of a checkout but those of tenders that were replaced."""
    declined = set(saga.progress.get("declined", ()))
    return [leg for leg in saga.legs() if str(leg.params.get("lock_of", leg.name)) not in declined]


def _not_settled(found: Record) -> Iterator[tuple[Leg, str, Op | None]]:
    """What a completed checkout has not paid, used or booked, and no task names."""
    for leg in _standing(found.saga):
        for phase in (Phase.PAY, Phase.SETTLE, Phase.POST):
            hook = leg.hook(phase)
            if hook is None or found.open_task(leg.name):
                continue
            op = found.last(leg.name, hook)
            if phase is Phase.POST and needless(found.saga, phase, op):
                continue
            fine = {OpState.OK} if phase is not Phase.POST else {OpState.OK, OpState.PENDING}
            if (op is None or op.state not in fine) and not honoured(found.saga, leg, op) and not _left_out(found, leg):
                yield leg, hook, op


def failed_holds_nothing(found: Record) -> Iterator[str]:
    """M1, C2: failed: no charge stands, nothing is held or used up, or a task says what is."""
    saga = found.saga
    if saga.kind is not Kind.CHECKOUT or saga.state not in (State.FAILED, State.CANCELLED):
        return
    for leg in saga.legs():
        if found.open_task(leg.name) or leg.name in saga.by_hand():
            continue
        for phase, hook in ((Phase(name), hook) for name, hook in leg.hooks.items()):
            op = found.last(leg.name, hook)
            if op is None or op.state is not OpState.OK or phase is Phase.REWARD:
                continue
            if phase is Phase.POST:
                yield f"O1: failed, and {hook} was done"
            elif not _undone(found, leg, hook, phase):
                yield f"{'M1' if phase is Phase.PAY else 'C2'}: failed, and {leg.name}/{hook} stands"


def _undone(found: Record, leg: Leg, hook: str, phase: Phase) -> bool:
    undoes = set(PAYMENT_UNDOES) if phase is Phase.PAY else {UNDO_HOOKS.get(hook, "")}
    if phase is Phase.HOLD and (settle := leg.hook(Phase.SETTLE)):
        undoes.add(UNDO_HOOKS.get(settle, ""))
    return any(op.leg == leg.name and op.hook in undoes and op.state is OpState.OK for op in found.ops)


def replaced_holds_nothing(found: Record) -> Iterator[str]:
    """C2: completed: a tender that another one has replaced holds and has used up nothing, or a task says what."""
    saga = found.saga
    if saga.kind is not Kind.CHECKOUT or saga.state is not State.COMPLETED:
        return
    for leg in saga.legs():
        if tender_leg(leg) not in saga.progress.get("declined", ()):
            continue
        if leg.name in saga.by_hand() or found.open_task(leg.name):
            continue
        for phase, name in ((Phase(key), hook) for key, hook in leg.hooks.items()):
            op = found.last(leg.name, name)
            if op is not None and op.state is OpState.OK and not _undone(found, leg, name, phase):
                yield f"{'M1' if phase is Phase.PAY else 'C2'}: {leg.name} was replaced, and {name} stands"


def ends_calling(found: Record) -> Iterator[str]:
    """L1: what an ended saga still tries is tried more and more seldom, and not for ever."""
    if found.saga.state not in TERMINAL:
        return
    for op in found.ops:
        calls, hours = op.attempts + op.queries, (max(op.last_sent, op.finished) - op.first_sent) // 3_600_000
        if calls > CALLS_MOST + hours:
            yield f"L1: {op.leg}/{op.hook} was called {calls} times in {hours} hours"


Check = Callable[[Record], Iterator[str]]
ALWAYS: tuple[Check, ...] = (fences, told_as_it_stands, money_first, forward_only_before_the_end)
AT_REST: tuple[Check, ...] = (
    ended_or_a_persons_case,
    completed_is_whole,
    failed_holds_nothing,
    replaced_holds_nothing,
    ends_calling,
)


def violations(found: Record, checks: Sequence[Check] = (*ALWAYS, *AT_REST)) -> list[str]:
    """Everything that is wrong with one saga."""
    return [f"{found.saga.id} {text}" for check in checks for text in check(found)]


#: What a leg of the gateway's own ledger holds: its kind there, and the parameters that name and count it.
_OWN_HOLDS = {"coupon_reserve": ("coupon", "code", "count"), "value_reserve": ("deposit", "account", "amount")}


def ledger_agrees(tx: Tx, found: Record) -> Iterator[str]:
    """C1, P1: at the end the gateway's own ledger counts what the legs that stand have used of codes and deposits; less
    what refunds gave back, and nothing of a checkout that has failed."""
    saga = found.saga
    if saga.kind is not Kind.CHECKOUT or saga.state not in TERMINAL or found.open_task():
        return
    wanted: dict[tuple[str, str], int] = {}
    for leg in saga.legs():
        kind, item, count = _OWN_HOLDS.get(leg.hook(Phase.HOLD) or "", ("", "", ""))
        stands = saga.state is State.COMPLETED and tender_leg(leg) not in saga.progress.get("declined", ())
        if kind and leg.connection == OWN and "campaign" not in leg.params and (stands or _was_refunded(found, leg)):
            key = (kind, leg.params[item])
            wanted[key] = wanted.get(key, 0) + int(leg.params[count])
    rows = tx.all(_HOLDS, {"merchant": saga.merchant, "id": saga.id})
    there = {(row["kind"], row["item"]): row["quantity"] for row in rows if row["state"] == "used"}
    for row in rows:
        if row["state"] == "held":
            yield f"C2: {row['kind']} {row['item']} is still held"
    for key in wanted.keys() | there.keys():
        more, refunded = there.get(key, 0) - wanted.get(key, 0), key[0] == "deposit" and bool(saga.refunded)
        if more > 0 or (more < 0 and not refunded):
            yield f"C1: {key[0]} {key[1]} is used {there.get(key, 0)} times, not {wanted.get(key, 0)}"


def _was_refunded(found: Record, leg: Leg) -> bool:
    """Whether this is the lock of a deposit of which a capture was given back: what was captured is not held again."""
    return any(op.leg == tender_leg(leg) != leg.name and op.hook == "payment_refund" for op in found.ops)


_HOLDS = """
SELECT kind, item, quantity, state FROM holds
WHERE merchant = :merchant AND saga_id = :id AND kind IN ('coupon', 'deposit')
"""


def overdue(found: Record, now: int) -> bool:
    """Whether a saga that is still pursued has had its time: nothing came of it for long, or it is old."""
    return now - found.saga.updated > LIVE_FOR or now - found.saga.created > 6 * LIVE_FOR


def all_violations(tx: Tx, now: int) -> Iterator[str]:
    """Everything that is wrong in the store, of sagas that nobody works on now; what somebody comes back to has its
    time."""
    rows = tx.all("SELECT id FROM sagas WHERE lease_until < :now AND (due_at IS NULL OR due_at > :now)", {"now": now})
    for row in rows:
        found = record(tx, row["id"])
        if found is not None:
            late = found.saga.due_at is None or overdue(found, now)
            checks = [*ALWAYS, *(check for check in AT_REST if late or check is not ended_or_a_persons_case)]
            yield from violations(found, checks)
            yield from (f"{found.saga.id} {text}" for text in ledger_agrees(tx, found))


def parent_covers_refunds(tx: Tx, saga_id: str) -> Iterator[str]:
    """M2: what refunds of a checkout come to is what is counted against it, and never more than was paid."""
    row: Json | Row | None = sql.saga(tx, saga_id)
    if row is None:
        return
    given = sum(child["amount"] for child in sql.children(tx, saga_id, Kind.REFUND))
    if given != row["refunded_amount"] or given > row["amount"]:
        yield f"{saga_id} M2: refunds of {given}, counted {row['refunded_amount']}, paid {row['amount']}"
