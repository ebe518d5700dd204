"""Our side of a reconciliation: what the journal says that a far system's books should show.

An :class:`Entry` is one movement of money, value, points or coupons. A charge and its reversal are one entry, since
they stand under one number at most channels. Entries of one checkout and its refunds hang together in a chain: a
restaurant's till takes back a whole bill and books what is kept anew, so that only the chain's sum agrees.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum

from gateway.engine.model import SETTLED, Json, OpState
from gateway.store.port import Row

#: Far systems that keep only the end of our key keep at least so much of it.
KEY_END = 16


class Standing(StrEnum):
    """What is known of a movement: it was made, it is not decided, it was not made."""

    MADE = "made"
    OPEN = "open"
    NOT_MADE = "not_made"


class Unit(StrEnum):
    """How a statement counts. Coupon platforms count uses, others what the uses are worth."""

    AMOUNT = "amount"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a till books under a sale beside its tenders: rows that stand for points and for what lowered the price."""

    tenders: tuple[int, ...] = ()
    points: int = 0
    discount: int = 0


@dataclass(slots=True, kw_only=True)
class Entry:
    """One movement as their books should show it. ``amount`` is signed: what came to the merchant is positive.

    ``days`` are the dates under which it may stand there; ``home`` is its own business date. ``keys`` are all keys of
    ours, ``refs`` all numbers of theirs, by which it may be named; ``sent`` is when its intent was committed.
    ``silent``: its rows are not compared.
    """

    key: str
    saga_id: str
    leg: str
    chain: str
    number: str
    hook: str
    amount: int
    count: int
    standing: Standing
    home: date
    days: frozenset[date]
    keys: tuple[str, ...]
    refs: tuple[str, ...]
    sent: datetime
    deferred: bool = False
    silent: bool = False
    extras: Extras = field(default_factory=Extras)

    def asked(self, unit: Unit) -> int:
        """The movement in the statement's own unit, if it was made."""
        return self.count if unit is Unit.COUNT else self.amount

    def made(self, unit: Unit) -> int:
        """What is certain of it."""
        return self.asked(unit) if self.standing is Standing.MADE else 0


#: Statement → the changes that it shows, with the sign of their amounts.
SHOWN: Mapping[str, Mapping[str, int]] = {
    "payment_statement": {"payment_charge": 1, "payment_capture": 1, "payment_refund": -1},
    "points_statement": {"points_confirm": -1, "points_return": 1, "points_earn": 1, "points_revoke": -1},
    "value_statement": {"value_confirm": -1, "value_return": 1, "value_topup": 1, "value_untopup": -1},
    "coupon_statement": {"coupon_confirm": 1, "coupon_redeem": 1, "coupon_restore": -1},
    "order_statement": {
        "order_post": 1,
        "order_return": -1,
        "order_void": -1,
        "deposit_post": 1,
        "deposit_void": -1,
    },
}
#: Statement → changes that are no movement of their own, but under whose numbers rows may stand.
BESIDE: Mapping[str, frozenset[str]] = {
    "payment_statement": frozenset({"payment_authorize", "payment_release", "payment_reverse"}),
    "points_statement": frozenset({"points_reserve", "points_cancel"}),
    "value_statement": frozenset({"value_reserve", "value_cancel"}),
    "coupon_statement": frozenset({"coupon_reserve", "coupon_cancel"}),
    "order_statement": frozenset({"session_open", "session_extend", "session_close", "bill_hold", "bill_release"}),
}
#: Where legs' params say what a change is about, in the order of trust.
_AMOUNTS = {"points": ("points",), "value": ("amount", "worth_amount")}
#: The facts in which adapters note further numbers of theirs.
_REFS = ("bill", "number", "verify_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """What a reconciliation needs of a saga; its document is large, and is read once for all statements."""

    chain: str
    number: str
    amount: int
    home: date
    legs: Mapping[str, Json]
    tenders: tuple[int, ...]
    points: int
    discount: int


def sale_of(row: Row) -> Sale:
    """A saga's row as a sale, a refund, a deposit."""
    doc, progress = json.loads(row["doc"]), json.loads(row["progress"])
    quote = progress.get("quote") or doc.get("quote") or {}
    declined = set(progress.get("declined", ()))
    tenders = (*doc.get("tenders", ()), *progress.get("tenders", ()))
    return Sale(
        chain=row["parent"] or row["id"],
        number=row["number"],
        amount=row["amount"],
        home=date.fromisoformat(doc["site"]["business_date"]),
        legs={leg["name"]: leg["params"] for leg in (*doc["legs"], *progress.get("legs", ()))},
        tenders=tuple(t["amount"] for t in tenders if not t["leg"] or t["leg"] not in declined),
        points=(quote.get("points") or {}).get("amount", 0),
        discount=max(0, quote.get("discount_amount", 0) + quote.get("rounding_amount", 0)),
    )


#: The dates under which a far system may count a moment.
Dates = Callable[[datetime], set[date]]


def entries_of(
    rows: Iterable[Row], sales: Mapping[str, Sale], statement: str, dates: Dates, deferred: Callable[[str], bool]
) -> list[Entry]:
    """The entries that a statement should show, from operations and what their sagas are about."""
    made: dict[str, Entry] = {}
    legs: dict[tuple[str, str], list[Entry]] = {}
    reversals: list[Row] = []
    for row in rows:
        hook = row["hook"]
        if hook == "payment_reverse" and statement == "payment_statement":
            reversals.append(row)
        elif hook in SHOWN[statement] or hook in BESIDE[statement]:
            entry = _entry(row, sales[row["saga_id"]], statement, dates, deferred(hook))
            made[entry.key] = entry
            legs.setdefault((entry.saga_id, entry.leg), []).append(entry)
    for row in reversals:
        _reverse(row, legs.get((row["saga_id"], row["leg"]), ()))
    return list(made.values())


def _entry(row: Row, sale: Sale, statement: str, dates: Dates, deferred: bool) -> Entry:
    outcome, hook = json.loads(row["outcome"]), row["hook"]
    sign, params = SHOWN[statement].get(hook, 0), sale.legs.get(row["leg"], {})
    return Entry(
        key=row["key"],
        saga_id=row["saga_id"],
        leg=row["leg"],
        chain=sale.chain,
        number=sale.number,
        hook=hook,
        amount=sign * _amount(hook, params, outcome, sale.amount),
        count=sign * int(params.get("count", 1)),
        standing=_standing(OpState(row["state"])),
        home=sale.home,
        days=frozenset({sale.home, *_days(row, dates)}),
        keys=(row["key"],),
        refs=_refs(outcome),
        sent=datetime.fromtimestamp(row["first_sent"] / 1000, UTC),
        deferred=deferred,
        silent=not sign,
        extras=_extras(sale, hook, params),
    )


def _standing(state: OpState) -> Standing:
    if state is OpState.OK:
        return Standing.MADE
    return Standing.NOT_MADE if state in SETTLED or state is OpState.NOT_SENT else Standing.OPEN


def _amount(hook: str, params: Json, outcome: Json, whole: int) -> int:
    """What was asked for; a revocation takes what is left, so there the outcome says it."""
    told = outcome.get("amount")
    if hook == "points_revoke" and isinstance(told, int):
        return told
    names = _AMOUNTS.get(hook.partition("_")[0], ("worth_amount", "amount"))
    found = next((params[name] for name in names if params.get(name) is not None), None)
    return int(whole if found is None else found)


def _days(row: Row, dates: Dates) -> set[date]:
    """The dates of the first sending, of the last one and of the end."""
    moments = [row["first_sent"], row["last_sent"], row["finished"]]
    return {day for at in moments if at for day in dates(datetime.fromtimestamp(at / 1000, UTC))}


def _refs(outcome: Json) -> tuple[str, ...]:
    facts = outcome.get("facts") or {}
    found = [outcome.get("ref", ""), *(facts.get(name, "") for name in _REFS), *facts.get("receipts", ())]
    return tuple(dict.fromkeys(str(ref) for ref in found if ref))


def _extras(sale: Sale, hook: str, params: Json) -> Extras:
    if hook == "order_post":
        return Extras(tenders=sale.tenders, points=sale.points, discount=sale.discount)
    if hook == "order_return":
        tenders = tuple(t["amount"] for t in params.get("tenders", ()) if t["amount"])
        points, rounding = params.get("points_amount", 0), params.get("rounding_amount", 0)
        return Extras(tenders=tenders, points=points, discount=rounding)
    return Extras()


def _reverse(row: Row, charges: Iterable[Entry]) -> None:
    """Let a reversal into the charge that it undoes: together they come to nothing."""
    standing, refs = _standing(OpState(row["state"])), _refs(json.loads(row["outcome"]))
    for entry in charges:
        entry.keys, entry.refs = (*entry.keys, row["key"]), tuple(dict.fromkeys((*entry.refs, *refs)))
        if standing is Standing.MADE:
            entry.standing = Standing.NOT_MADE
        elif standing is Standing.OPEN and entry.standing is Standing.MADE:
            entry.standing = Standing.OPEN


class Index:
    """Finds the entry that a row of theirs is about."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        self._keys: dict[str, Entry] = {}
        self._ends: dict[int, dict[str, Entry]] = {}
        self._refs: dict[str, Entry] = {}
        self._legs: dict[tuple[str, str], Entry] = {}
        for entry in self.entries:
            self._put(entry)

    def add(self, entries: Iterable[Entry]) -> None:
        """Let further entries be found."""
        for entry in entries:
            if entry.key not in self._keys:
                self.entries.append(entry)
                self._put(entry)

    def _put(self, entry: Entry) -> None:
        for key in entry.keys:
            self._keys[key] = entry
        if not entry.silent:
            self._legs.setdefault((entry.saga_id, entry.leg), entry)
        for ref in entry.refs:
            if ref not in self._refs or self._refs[ref].silent:
                self._refs[ref] = entry
        self._ends.clear()

    def by_key(self, key: str) -> Entry | None:
        """By our key, or by the end of it where they keep no more."""
        if len(key) < KEY_END:
            return None
        found = self._keys.get(key)
        if found is not None or len(key) >= 26:
            return self._movement(found)
        ends = self._ends.setdefault(len(key), {known[-len(key) :]: entry for known, entry in self._keys.items()})
        return self._movement(ends.get(key))

    def by_ref(self, *refs: str) -> Entry | None:
        """By a number of theirs that an outcome told us."""
        return next((self._refs[ref] for ref in refs if ref and ref in self._refs), None)

    def _movement(self, entry: Entry | None) -> Entry | None:
        """A hold's key stands for what became of the hold."""
        if entry is None or not entry.silent:
            return entry
        return self._legs.get((entry.saga_id, entry.leg), entry)


def is_key(text: str) -> bool:
    """Whether a text of theirs can be a key of ours, or the end of one."""
    return KEY_END <= len(text) <= 26 and text.isascii() and text.isalnum() and text == text.upper()
