"""The day's checkouts as the page shows them, read from the journal. Nothing is written and no system is called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.console.words import Words
from gateway.engine.basket import business_date
from gateway.engine.model import TERMINAL, Json, Op, OpState, Saga, State
from gateway.engine.records import op_from, saga_from
from gateway.engine.service import Engine
from gateway.engine.views import checkout_view, refund_view, status_of
from gateway.runtime import Merchant
from gateway.store import books
from gateway.store.port import Row, Tx

#: Checkouts on one page.
PAGE = 100
#: Checkouts of a merchant's day that are looked at.
MOST = 5_000
#: Statuses that a checkout may have, in the order in which they matter to a reader.
STATUSES = (
    "needs_attention",
    "resolving",
    "awaiting_customer",
    "processing",
    "completed",
    "failed",
    "cancelled",
)
#: Statuses in which work goes on.
UNDER_WAY = frozenset(STATUSES[:4])
#: A business date's checkouts are created from the day before it to the day after it has ended.
BEFORE, AFTER = timedelta(days=1), timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the reader wants to see. ``day`` ``None``: each merchant's own business date now; ``page`` counts from 0."""

    merchants: tuple[Merchant, ...]
    day: date | None = None
    status: str = ""
    page: int = 0


@dataclass(slots=True, kw_only=True)
class Step:
    """One change asked of one system."""

    hook: str
    about: str
    system: str
    connection: str
    state: str
    attempts: int
    started: str
    took: str
    detail: str


@dataclass(slots=True, kw_only=True)
class Refund:
    """A refund with what each system did."""

    number: str
    status: str
    amount: int
    time: str
    steps: list[Step]


@dataclass(slots=True, kw_only=True)
class Checkout:
    """One row of the page, and what it opens to."""

    id: str
    time: str
    merchant: str
    store: str
    number: str
    status: str
    view: Json
    lines: list[Json]
    member: str
    steps: list[Step]
    refunds: list[Refund]
    tasks: list[Json]


@dataclass(slots=True)
class Totals:
    """The day at a glance; money in minor units."""

    count: int = 0
    taken: int = 0
    refunded: int = 0
    under_way: int = 0
    tasks: int = 0


@dataclass(slots=True)
class Day:
    """The page."""

    totals: Totals
    checkouts: list[Checkout] = field(default_factory=list)
    fitting: int = 0
    pages: int = 1
    cut_off: bool = False


def read_day(engine: Engine, asked: Asked, words: Words) -> Day:
    """Read the day from one snapshot of the journal."""
    now = engine.now()

    def unit(tx: Tx) -> Day:
        listed = [saga for merchant in asked.merchants for saga in _listed(tx, merchant, asked.day, now)]
        listed.sort(key=lambda saga: (saga.created, saga.id), reverse=True)
        statuses = _statuses(tx, listed)
        day = Day(_totals(tx, listed, statuses))
        day.cut_off = len(listed) >= MOST
        fitting = [saga for saga in listed if not asked.status or statuses[saga.id] == asked.status]
        day.fitting, day.pages = len(fitting), max(1, -(-len(fitting) // PAGE))
        shown = [saga.id for saga in fitting[asked.page * PAGE : (asked.page + 1) * PAGE]]
        known = {merchant.id: merchant for merchant in asked.merchants}
        day.checkouts = _checkouts(tx, shown, known, words)
        return day

    return engine.journal.read(unit)


def _listed(tx: Tx, merchant: Merchant, day: date | None, now: datetime) -> list[Saga]:
    day = day or business_date(merchant, now)
    begin = datetime.combine(day, time(), merchant.timezone)
    since, until = (int(at.timestamp() * 1000) for at in (begin - BEFORE, begin + AFTER))
    return [saga_from(row) for row in books.checkouts(tx, merchant.id, day.isoformat(), since, until, MOST)]


def _statuses(tx: Tx, sagas: Sequence[Saga]) -> dict[str, str]:
    """The status of each; operations are looked at only where they matter."""
    open_ids = [saga.id for saga in sagas if saga.state not in TERMINAL]
    ops = _by(books.of_subjects(tx, "operations", open_ids), "saga_id")
    return {saga.id: status_of(saga, [op_from(row) for row in ops.get(saga.id, ())]) for saga in sagas}


def _totals(tx: Tx, sagas: Sequence[Saga], statuses: dict[str, str]) -> Totals:
    completed = [saga for saga in sagas if saga.state is State.COMPLETED]
    return Totals(
        count=len(sagas),
        taken=sum(saga.amount for saga in completed),
        refunded=sum(saga.refunded for saga in completed),
        under_way=sum(status in UNDER_WAY for status in statuses.values()),
        tasks=len(books.of_subjects(tx, "tasks", [saga.id for saga in sagas])),
    )


def _by(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def _checkouts(tx: Tx, ids: Sequence[str], merchants: dict[str, Merchant], words: Words) -> list[Checkout]:
    sagas = {row["id"]: saga_from(row) for row in books.of_subjects(tx, "sagas", ids)}
    refunds = [saga_from(row) for row in books.of_subjects(tx, "refunds", ids)]
    subjects = [*ids, *(refund.id for refund in refunds)]
    ops = _by(books.of_subjects(tx, "operations", subjects), "saga_id")
    tasks = _by(books.of_subjects(tx, "tasks", subjects), "subject")
    make = _Maker(ops, tasks, refunds, words)
    return [make.checkout(sagas[saga_id], merchants[sagas[saga_id].merchant]) for saga_id in ids]


class _Maker:
    """Makes the rows of one page."""

    def __init__(
        self, ops: dict[str, list[Row]], tasks: dict[str, list[Row]], refunds: list[Saga], words: Words
    ) -> None:
        self.ops, self.tasks, self.refunds, self.words = ops, tasks, refunds, words

    def checkout(self, saga: Saga, merchant: Merchant) -> Checkout:
        ops, zone = self._ops(saga), merchant.timezone
        view = checkout_view(saga, ops)
        mine = [refund for refund in self.refunds if refund.parent == saga.id]
        store = merchant.stores.get(saga.store_id)
        subjects = [saga.id, *(refund.id for refund in mine)]
        return Checkout(
            id=saga.id,
            time=clock(saga.created, zone),
            merchant=self.words.name(merchant),
            store=short(self.words.name(store), self.words.name(merchant)) if store else saga.store_id,
            number=saga.number,
            status=view["status"],
            view=view,
            lines=[dict(line) for line in saga.doc["lines"]],
            member=str((saga.doc.get("member") or {}).get("ref", "")),
            steps=_steps(saga, ops, zone),
            refunds=[self._refund(refund, zone) for refund in mine],
            tasks=[dict(task) for subject in subjects for task in self.tasks.get(subject, ())],
        )

    def _refund(self, saga: Saga, zone: ZoneInfo) -> Refund:
        ops = self._ops(saga)
        status = refund_view(saga, ops)["status"]
        return Refund(
            number=saga.number,
            status=status,
            amount=saga.amount,
            time=clock(saga.created, zone),
            steps=_steps(saga, ops, zone),
        )

    def _ops(self, saga: Saga) -> list[Op]:
        return [op_from(row) for row in self.ops.get(saga.id, ())]


def _steps(saga: Saga, ops: Sequence[Op], zone: ZoneInfo) -> list[Step]:
    adapters = {leg.name: leg.adapter for leg in saga.legs()}
    return [
        Step(
            hook=op.hook,
            about=about(op.leg),
            system=adapters.get(op.leg, ""),
            connection=op.connection,
            state=op.state.value,
            attempts=op.attempts,
            started=clock(op.first_sent, zone, exact=True),
            took=took(op.finished - op.first_sent) if op.finished and op.state is not OpState.INTENT else "",
            detail=detail(op),
        )
        for op in ops
    ]


#: What may stand between a merchant's name and its store's.
_BETWEEN = " ·,-–—"


def short(store: str, merchant: str) -> str:
    """A store's name without its merchant's, which stands beside it: ``武林店`` of ``便民365 武林店``."""
    return store.removeprefix(merchant).lstrip(_BETWEEN) or store


def about(leg: str) -> str:
    """What a leg is about: ``t1`` of ``tender:t1``; of a code only its end, since it may still be worth money."""
    kind, _, rest = leg.rpartition(":")
    if kind.rpartition(":")[2] in ("coupon", "lock") and len(rest) > 6:
        return f"…{rest[-4:]}"
    return rest if kind else ""


def detail(op: Op) -> str:
    """A reference if it was done, else why not."""
    if op.state is OpState.OK:
        return op.ref
    told = [str(op.outcome.get(name, "")) for name in ("reason", "code", "message", "error")]
    return " ".join(word for word in told if word)


def clock(milliseconds: int, zone: ZoneInfo, *, exact: bool = False) -> str:
    """A moment as the clock on the shop's wall had it."""
    local = datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}" if exact else f"{local:%H:%M:%S}"


def took(milliseconds: int) -> str:
    """A duration."""
    if milliseconds < 1_000:
        return f"{milliseconds} ms" if milliseconds > 0 else "<1 ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else f"{milliseconds // 60_000} min"


def quantity(text: object) -> str:
    """A quantity without the zeros that say nothing: ``1`` of ``1.000``."""
    whole, _, rest = str(text).partition(".")
    rest = rest.rstrip("0")
    return f"{whole}.{rest}" if rest else whole


def names(tenders: Sequence[dict[str, Any]]) -> list[tuple[str, int, str]]:
    """Each tender's word, amount and status; a wallet goes by its own name."""
    return [
        (t["channel"] if t["method"] in ("payment_code", "qr_code") else t["method"], t["amount"], t["status"])
        for t in tenders
    ]
