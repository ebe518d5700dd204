"""Compares a statement's rows with our entries and says of each movement how it stands. Pure.

Movement by movement first: an entry and the rows under its key. What is left is compared by chain, because a till may
book a return by taking the whole sale back and selling anew what is kept. What is then still left differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations

from gateway.backoffice.ours import Entry, Extras, Index, Standing, Unit
from gateway.backoffice.result import Class, Difference, Result
from gateway.domain.common import StatementRow
from gateway.domain.money import FULL_RATE_BP, half_up

#: A row's kind for what lowered a price and is no money.
DISCOUNT = "discount"
#: An undecided payment of which nothing is known but its amount may be a row so close in time.
NEAR = timedelta(minutes=10)


@dataclass(slots=True)
class Pair:
    """An entry and the rows that are about it."""

    entry: Entry
    rows: list[StatementRow] = field(default_factory=list)

    @property
    def money(self) -> list[StatementRow]:
        return [row for row in self.rows if row.kind != DISCOUNT]

    @property
    def theirs(self) -> int:
        return sum(row.amount for row in self.money)


@dataclass(slots=True)
class Linked:
    """A statement laid beside the journal: pairs, rows of nobody we know, rows that stand there twice."""

    pairs: list[Pair]
    orphans: list[StatementRow]
    repeated: list[tuple[StatementRow, Entry | None]]


def link(rows: Iterable[StatementRow], index: Index, find: Callable[[str], Entry | None]) -> Linked:
    """Lay rows beside entries; ``find`` is asked for a key that is not among them."""
    pairs = {entry.key: Pair(entry) for entry in index.entries}
    linked = Linked([], [], [])
    seen: set[tuple[str, str, str, int]] = set()
    for row in rows:
        entry = entry_of(row, index) or (find(row.key) if row.key else None)
        name = (row.kind, row.ref, row.key, row.amount)
        if row.ref and name in seen:
            linked.repeated.append((row, entry))
            continue
        seen.add(name)
        if entry is None:
            linked.orphans.append(row)
        else:
            pairs.setdefault(entry.key, Pair(entry)).rows.append(row)
    linked.pairs = list(pairs.values())
    _adopt(linked)
    return linked


def entry_of(row: StatementRow, index: Index) -> Entry | None:
    """The entry that a row names: by our key where the system keeps it, else by a number of theirs."""
    if row.key:
        return index.by_key(row.key)
    return index.by_ref(row.ref, row.original_ref)


def _adopt(linked: Linked) -> None:
    """A row without any key, of the amount and time of an undecided movement of which no number is known, is its."""
    for pair in linked.pairs:
        entry = pair.entry
        if pair.rows or entry.refs or entry.standing is not Standing.OPEN or entry.deferred:
            continue
        for row in linked.orphans:
            near = row.at is not None and abs(row.at - entry.sent) <= NEAR
            if not row.key and near and row.amount == entry.amount:
                pair.rows.append(row)
                linked.orphans.remove(row)
                break


@dataclass(frozen=True, slots=True)
class Rules:
    """What the comparison must know beside the two books.

    ``elsewhere`` says of a movement that is not in this statement whether it stands in another day's: ``"there"``,
    ``"unknown"`` (that day's is not made yet), ``"ours"`` (nowhere, and this is the day to say so), ``""`` (nowhere,
    and another day says so). ``stray`` says of a row of nobody's whether it should have been ours. ``fee_bp`` is the
    channel's fee in basis points, 0 if nobody has agreed on one.
    """

    elsewhere: Callable[[Entry], str]
    stray: Callable[[StatementRow], str]
    fee_bp: int = 0


class Matcher:
    """One comparison, written into a :class:`Result`; ``hurried`` are the sagas that recovery should look at."""

    def __init__(self, result: Result, rules: Rules) -> None:
        self.result, self.rules, self.unit = result, rules, result.unit
        self.hurried: list[str] = []
        self._fees_told = False

    def run(self, linked: Linked) -> None:
        """Compare everything."""
        self._fees_told = any(row.fee_amount for pair in linked.pairs for row in pair.rows)
        chains: dict[str, list[Pair]] = {}
        for pair in linked.pairs:
            if not self._alone(pair):
                chains.setdefault(pair.entry.chain, []).append(pair)
        for pairs in chains.values():
            self._chain(pairs)
        for row, entry in linked.repeated:
            self._repeated(row, entry)
        for row in linked.orphans:
            self._orphan(row)

    # --- one movement ------------------------------------------------------------------------------------------------

    def _alone(self, pair: Pair) -> bool:
        """Whether the movement is explained by itself."""
        entry, asked = pair.entry, pair.entry.asked(self.unit)
        self._count_rows(pair)
        if entry.silent:
            self._explain(pair.money)
            return True
        if entry.standing is Standing.MADE and (pair.rows or not asked):
            return self._made(pair, asked)
        if entry.standing is Standing.NOT_MADE:
            return self._not_made(pair)
        if entry.standing is Standing.OPEN and pair.rows and pair.theirs == asked:
            self._resolved(pair)
            return True
        return False

    def _count_rows(self, pair: Pair) -> None:
        self.result.operations += not pair.entry.silent and (
            bool(pair.rows) or pair.entry.standing is not Standing.NOT_MADE
        )
        self.result.fee_amount += sum(row.fee_amount for row in pair.rows)
        discounts = [row for row in pair.rows if row.kind == DISCOUNT]
        self._explain(discounts)

    def _explain(self, rows: Sequence[StatementRow]) -> None:
        self.result.explained += len(rows)
        self.result.explained_amount += sum(row.amount for row in rows)

    def _made(self, pair: Pair, asked: int) -> bool:
        beside = _beside(pair.money, pair.entry.extras, 1 if asked >= 0 else -1) if pair.theirs != asked else []
        if pair.theirs - sum(row.amount for row in beside) != asked:
            return False
        self._explain(beside)
        self._sum(asked, asked)
        expected, told = self._fees(pair)
        if expected != told:
            self._differ(Class.FEE_MISMATCH, [pair], expected, told, "the fee is not what was agreed on")
        elif asked:
            self.result.settle(Class.MATCHED)
        return True

    def _fees(self, pair: Pair) -> tuple[int, int]:
        """The fees agreed on and told. A refund's is theirs to give back, or not: up to the agreed one, a fen off."""
        if not (self.rules.fee_bp and self._fees_told):
            return 0, 0
        expected = told = 0
        for row in pair.money:
            basis = int(row.facts.get("merchant_received_amount", row.amount))
            agreed = half_up(basis * self.rules.fee_bp, FULL_RATE_BP) if basis >= 0 else row.fee_amount
            if basis < 0:
                most = half_up(-basis * self.rules.fee_bp, FULL_RATE_BP) + 1
                agreed = max(-most, min(0, row.fee_amount))
            expected, told = expected + agreed, told + row.fee_amount
        return expected, told

    def _not_made(self, pair: Pair) -> bool:
        """Nothing of it may be in the bill, or what was taken must have been given back."""
        if pair.theirs:
            return False
        if pair.rows:
            self.result.settle(Class.MATCHED)
        return True

    def _resolved(self, pair: Pair) -> None:
        entry = pair.entry
        self._sum(0, pair.theirs)
        detail = "not decided here, and in the bill: it is asked about again"
        self._differ(Class.STATUS_RESOLVED, [pair], 0, pair.theirs, detail)
        self.hurried.append(entry.saga_id)

    # --- a chain of movements ----------------------------------------------------------------------------------------

    def _chain(self, pairs: list[Pair]) -> None:
        """What is left of a checkout and its refunds."""
        ours = sum(pair.entry.made(self.unit) for pair in pairs)
        theirs = sum(pair.theirs for pair in pairs)
        if not any(pair.rows for pair in pairs):
            for pair in pairs:
                self._missing(pair)
        elif ours == theirs and not self._undecided(pairs):
            self._sum(ours, theirs)
            self.result.settle(Class.MATCHED, sum(pair.entry.standing is Standing.MADE for pair in pairs))
        elif (resolved := self._resolving(pairs, theirs - ours)) is not None:
            self._chain_resolved(pairs, resolved, ours, theirs)
        else:
            self._mismatch(pairs, ours, theirs)

    def _undecided(self, pairs: list[Pair]) -> list[Pair]:
        return [pair for pair in pairs if pair.entry.standing is Standing.OPEN]

    def _resolving(self, pairs: list[Pair], surplus: int) -> list[Pair] | None:
        """The undecided movements that together make up the surplus; ``None`` if none do."""
        undecided = self._undecided(pairs)
        if not undecided:
            return None
        for size in range(len(undecided) + 1):
            for chosen in combinations(undecided, size):
                if sum(pair.entry.asked(self.unit) for pair in chosen) == surplus:
                    return list(chosen)
        return None

    def _chain_resolved(self, pairs: list[Pair], resolved: list[Pair], ours: int, theirs: int) -> None:
        self._sum(ours, theirs)
        for pair in pairs:
            if pair in resolved or (pair.entry.standing is Standing.OPEN and pair.rows):
                asked = pair.entry.asked(self.unit) if pair in resolved else 0
                detail = "not decided here; the bill tells: it is asked about again"
                self._differ(Class.STATUS_RESOLVED, [pair], 0, asked, detail)
                self.hurried.append(pair.entry.saga_id)
            elif pair.entry.standing is Standing.OPEN:
                self._wait(pair, "not decided yet")
            elif pair.entry.standing is Standing.MADE:
                self.result.settle(Class.MATCHED)

    def _mismatch(self, pairs: list[Pair], ours: int, theirs: int) -> None:
        self._sum(ours, theirs)
        concerned = [pair for pair in pairs if pair.rows] or pairs
        unique = _without_repeats(row for pair in pairs for row in pair.money)
        if sum(row.amount for row in unique) == ours:
            return self._differ(Class.DUPLICATE_IN_BILL, concerned, ours, theirs, "booked more than once")
        refused = any(pair.entry.standing is Standing.NOT_MADE for pair in concerned)
        detail = "closed or refused here, and there is money in the bill" if refused else ""
        self.hurried.extend(pair.entry.saga_id for pair in concerned if pair.entry.standing is not Standing.MADE)
        return self._differ(Class.AMOUNT_MISMATCH, concerned, ours, theirs, detail)

    def _missing(self, pair: Pair) -> None:
        """A movement that has no row."""
        entry = pair.entry
        if entry.standing is Standing.NOT_MADE:
            return
        if entry.standing is Standing.OPEN:
            self._wait(pair, "deferred" if entry.deferred else "not decided yet, and not in the bill")
            return
        where = self.rules.elsewhere(entry)
        if where == "unknown":
            self._wait(pair, "may stand in the statement of another day, which is not there yet")
        elif where == "ours":
            asked = entry.asked(self.unit)
            self._sum(asked, 0)
            self._differ(Class.MISSING_IN_BILL, [pair], asked, 0, entry.hook)
        else:  # it is another day's
            self.result.operations -= 1

    # --- rows of nobody's --------------------------------------------------------------------------------------------

    def _repeated(self, row: StatementRow, entry: Entry | None) -> None:
        self._sum(0, row.amount)
        self.result.differ(
            Difference(
                cls=Class.DUPLICATE_IN_BILL,
                key=row.key,
                ref=row.ref,
                order_no=entry.number if entry else "",
                theirs=row.amount,
                detail="the same row stands there twice",
                saga_id=entry.saga_id if entry else "",
            )
        )

    def _orphan(self, row: StatementRow) -> None:
        why = self.rules.stray(row)
        if not why:
            self.result.others += 1
            self.result.others_amount += row.amount
            return
        self._sum(0, row.amount)
        self.result.fee_amount += row.fee_amount
        difference = Difference(cls=Class.MISSING_AT_OURS, key=row.key, ref=row.ref, theirs=row.amount, detail=why)
        self.result.differ(difference)

    # --- small words -------------------------------------------------------------------------------------------------

    def _sum(self, ours: int, theirs: int) -> None:
        self.result.our_amount += ours
        self.result.their_amount += theirs

    def _wait(self, pair: Pair, detail: str) -> None:
        asked = pair.entry.asked(self.unit)
        self.result.pending.append(_difference(Class.MISSING_IN_BILL, [pair], asked, 0, detail))

    def _differ(self, cls: Class, pairs: list[Pair], ours: int, theirs: int, detail: str) -> None:
        self.result.differ(_difference(cls, pairs, ours, theirs, detail))


def _difference(cls: Class, pairs: list[Pair], ours: int, theirs: int, detail: str) -> Difference:
    entry = pairs[0].entry
    refs = [row.ref for pair in pairs for row in pair.rows] or list(entry.refs)
    return Difference(
        cls=cls,
        key=entry.key,
        ref=refs[0] if refs else "",
        order_no=entry.number,
        ours=ours,
        theirs=theirs,
        detail=detail,
        saga_id=entry.saga_id,
    )


def _without_repeats(rows: Iterable[StatementRow]) -> list[StatementRow]:
    """Rows of which no two say the same, but for their number."""
    known = {(row.kind, row.key, row.amount, _code(row)): row for row in rows}
    return list(known.values())


def _beside(rows: Sequence[StatementRow], extras: Extras, sign: int) -> list[StatementRow]:
    """The rows under a sale that are not its tenders, if points and discounts explain them; else none.

    They stand under tender codes of their own: a second row under a tender's code is money.
    """
    left, codes = list(rows), {""}
    for tender in extras.tenders:
        same = next((row for row in left if row.amount == sign * tender), None)
        if same is not None:
            left.remove(same)
            codes.add(_code(same))
        elif tender:
            return []
    if any(_code(row) in codes for row in left):
        return []
    return left if _explained([sign * row.amount for row in left], extras) else []


def _code(row: StatementRow) -> str:
    return str(row.facts.get("tender", ""))


def _explained(amounts: list[int], extras: Extras) -> bool:
    """One row for points, one for the discount, which may be less where the till knew of a part of it."""
    rest = sorted(amounts)
    if extras.points and extras.points in rest:
        rest.remove(extras.points)
    return len(rest) <= 1 and all(0 < amount <= extras.discount for amount in rest)


__all__ = ["Index", "Linked", "Matcher", "Pair", "Rules", "Unit", "entry_of", "link"]
