"""What all changes of the sandbox have in common, and its reading hooks."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from marshmallow import fields, validate

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    CatalogueRequest,
    Change,
    Context,
    Counts,
    Coupon,
    CouponKind,
    CouponLookup,
    Declined,
    DeclineReason,
    Done,
    Freshness,
    Level,
    LevelsRequest,
    Member,
    MemberLookup,
    Misconfigured,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    Page,
    Pending,
    Product,
    Query,
    Settings,
    StatementRequest,
    StatementRow,
    Traits,
    Value,
    hookimpl,
)
from plugins.sandbox.book import CLOSED, DECLINED, DONE, LATE, LOST, PENDING, Book, Row, found, given_back, write
from plugins.sandbox.magic import FOREVER, spell_of

_ONCE = Traits(idempotent=True, max_in_flight_s=60, poll_every_s=1)
_CLOSING = replace(_ONCE, tombstone=True, partial=False)
#: What closes a change whole, and what gives part of it back.
CLOSES = (
    "payment_reverse",
    "payment_release",
    "points_cancel",
    "points_revoke",
    "value_cancel",
    "value_untopup",
    "coupon_cancel",
    "coupon_void",
    "stock_cancel",
    "order_void",
)
RETURNS = (
    "payment_refund",
    "points_return",
    "value_return",
    "coupon_restore",
    "stock_return",
    "order_return",
)
CONFIRMS = (
    "payment_capture",
    "points_confirm",
    "value_confirm",
    "coupon_confirm",
    "stock_confirm",
)
BEGINS = (
    "payment_charge",
    "payment_authorize",
    "points_reserve",
    "points_earn",
    "value_reserve",
    "value_topup",
    "coupon_issue",
    "coupon_reserve",
    "stock_reserve",
    "order_post",
    "member_enrol",
    "message_send",
)
_STATEMENTS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "payment": {"payment_charge": ("charge", 1), "payment_refund": ("refund", -1)},
    "points": {"points_confirm": ("spend", -1), "points_earn": ("earn", 1), "points_return": ("return", 1)},
    "value": {"value_confirm": ("spend", -1), "value_topup": ("topup", 1), "value_return": ("return", 1)},
    "coupon": {"coupon_confirm": ("redeem", 1), "coupon_restore": ("reverse", -1)},
    "order": {"order_post": ("sale", 1), "order_return": ("return", -1)},
}
_MOST = 100_000_000


class SandboxSettings(Settings):
    """``wait_s`` is how long what is pending or late takes."""

    wait_s = fields.Float(load_default=2.0, validate=validate.Range(min=0, max=3600))


class Machine(Adapter):
    """The books and the magic; the verbs stand in ``adapter.py``."""

    Settings = SandboxSettings
    about = AdapterTraits(freshness=Freshness.IMMEDIATE, max_parallel=16)
    traits: ClassVar[Mapping[str, Traits]] = {
        **dict.fromkeys((*BEGINS, *RETURNS, *CONFIRMS), _ONCE),
        **dict.fromkeys(CLOSES, _CLOSING),
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._wait = context.settings["wait_s"]
        self.book = Book(context.spool / "sandbox.db")

    def check(self) -> None:
        """See that the books can be read."""
        try:
            self.book.find("")
        except sqlite3.Error as error:
            raise Misconfigured(f"the sandbox's books in {self.context.spool} can't be read: {error}") from None

    # -- what all changes have in common ---------------------------------------------------------------------------

    def begin(self, hook: str, call: Call, amount: int, account: str, request: Any, *, magic: int = -1) -> Change:
        """A first change: magic by its amount, or by ``magic``; one that was closed before stays closed."""
        ending = amount % 100 if magic < 0 else magic
        spell, now = spell_of(ending), self.context.clock().timestamp()
        with self.book.changing() as rows:
            row = found(rows, call.key)
            first = row is None
            if row is not None and row.state == LOST:  # the first request never came; this one does
                row = replace(row, state=DONE)
                write(rows, row)
            if row is None:
                until = now + (10**9 if ending in FOREVER else self._wait)
                row = Row(call.key, hook, account, amount, spell.state, until, "", self._day(request))
                if amount > _MOST:
                    row = replace(row, state=DECLINED)
                write(rows, row)
        if first and spell.lost_answer:
            raise OutcomeUnknown("the answer was lost, as this amount asks for")
        return self._change(row, now, replayed=not first)

    def follow(self, hook: str, call: Call, amount: int, original: str, request: Any) -> Change:
        """A change of an earlier one: closed whole, confirmed, or given back in part."""
        now = self.context.clock().timestamp()
        with self.book.changing() as rows:
            before = found(rows, call.key)
            if before is not None:
                return Done(ref=call.key, amount=before.amount, replayed=True)
            first = found(rows, original)
            refusal = self._allowed(rows, hook, first, amount, now)
            if refusal is not None:
                return Declined(reason=refusal, code=refusal.value)
            if hook in CLOSES:
                gone = first or Row(original, "", "", 0, CLOSED, 0, "", self._day(request))
                write(rows, replace(gone, state=CLOSED))
            write(rows, Row(call.key, hook, "", amount, DONE, 0, original, self._day(request)))
        return Done(ref=call.key, amount=amount)

    def _allowed(
        self, rows: sqlite3.Connection, hook: str, first: Row | None, amount: int, now: float
    ) -> DeclineReason | None:
        if hook in CLOSES:
            return None
        if first is None:
            return DeclineReason.NOT_FOUND
        if first.at(now) != DONE:
            return DeclineReason.CLOSED
        taken = given_back(rows, first.key, (hook,))
        return DeclineReason.NOT_REFUNDABLE if taken + amount > first.amount else None

    def _change(self, row: Row, now: float, *, replayed: bool) -> Change:
        state = row.at(now)
        if state == DONE:
            return Done(ref=f"SB{row.key[-10:]}", amount=row.amount, facts=self._facts(row), replayed=replayed)
        if state == PENDING:
            return Pending(ref=f"SB{row.key[-10:]}")
        if state == DECLINED:
            reason = DeclineReason.LIMIT_EXCEEDED if row.amount > _MOST else spell_of(row.amount % 100).reason
            return Declined(reason=reason, code=f"SB-{row.amount % 100:02d}", message="declined, as asked for")
        if state == CLOSED:
            return Declined(reason=DeclineReason.CLOSED, code="SB-CLOSED", message="closed before")
        raise OutcomeUnknown("nobody knows yet, as this amount asks for")

    def _facts(self, row: Row) -> Mapping[str, Any]:
        return {"buckets": {"real": row.amount}} if row.hook == "value_reserve" else {}

    def _asked(self, query: Query) -> Answer:
        if query.hook not in self.traits:
            raise NotSupported(f"the sandbox can't be asked about {query.hook}")
        row, now = self.book.find(query.key), self.context.clock().timestamp()
        if row is None or row.at(now) in (LATE, LOST):
            return NotFound()
        return self._change(row, now, replayed=True)

    def _day(self, request: Any) -> str:
        return str(request.site.business_date) if hasattr(request, "site") else ""

    def _rows(self, family: str, request: StatementRequest) -> Page[StatementRow]:
        kinds, now = _STATEMENTS[family], self.context.clock().timestamp()
        rows = self.book.of_day(str(request.business_date), tuple(kinds))
        return Page(items=tuple(_statement(row, *kinds[row.hook]) for row in rows if row.at(now) == DONE))

    # -- looking -----------------------------------------------------------------------------------------------------

    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        if request.identity.value.reveal().endswith("0"):
            return None
        digits = request.identity.value.last4()
        return Member(
            ref=f"SBM{digits}", tier="gold", rate_bp=9500, points_available=100_000, value=Value(real=100_000)
        )

    @hookimpl
    def coupon_find(self, request: CouponLookup) -> Coupon | None:
        if not request.code.startswith("SB"):
            return None
        return Coupon(code=request.code, kind=CouponKind.CASH, counts=Counts(initial=10, available=10), title="sandbox")

    @hookimpl
    def stock_levels(self, request: LevelsRequest) -> tuple[Level, ...]:
        now = self.context.clock()
        much = Decimal(1000)
        skus = request.skus or tuple(product.sku for product in _PRODUCTS)
        return tuple(
            Level(sku=sku, store_id=request.store_id, on_hand=much, available=much, as_of=now)
            for sku in skus
            if sku.startswith("SB")
        )

    @hookimpl
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:
        begin = int(request.cursor or "0")
        end = begin + request.limit
        return Page(items=_PRODUCTS[begin:end], next_cursor=str(end) if end < len(_PRODUCTS) else None)

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        return self._asked(request)

    @hookimpl
    def member_query(self, request: Query) -> Answer:
        return self._asked(request)

    @hookimpl
    def coupon_query(self, request: Query) -> Answer:
        return self._asked(request)

    @hookimpl
    def stock_query(self, request: Query) -> Answer:
        return self._asked(request)

    @hookimpl
    def order_query(self, request: Query) -> Answer:
        return self._asked(request)

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._rows("payment", request)

    @hookimpl
    def points_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._rows("points", request)

    @hookimpl
    def value_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._rows("value", request)

    @hookimpl
    def coupon_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._rows("coupon", request)

    @hookimpl
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._rows("order", request)


def _statement(row: Row, kind: str, sign: int) -> StatementRow:
    return StatementRow(
        kind=kind, ref=f"SB{row.key[-10:]}", amount=sign * row.amount, key=row.key, original_ref=row.original
    )


_PRODUCTS = tuple(Product(sku=f"SB{number:03d}", name=f"沙箱商品 {number}", unit_amount=100) for number in range(1, 41))
