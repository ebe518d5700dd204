"""The house adapter: the gateway's own ledgers behind the same hooks as every legacy system.

Its changes run in the engine's transaction: they are done or undone with it, and never unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, TypeVar

from marshmallow import fields, validate

from gateway.sdk import (
    AdapterTraits,
    Call,
    CatalogueRequest,
    Change,
    Coupon,
    CouponHeld,
    CouponIssue,
    CouponList,
    CouponLookup,
    CouponRestore,
    CouponUse,
    CouponVoid,
    Declined,
    Done,
    EmbeddedAdapter,
    Enrol,
    Freshness,
    Level,
    LevelsRequest,
    Link,
    Member,
    MemberLookup,
    Misconfigured,
    OrderPost,
    OrderReturn,
    OrderVoid,
    Page,
    PointsEarn,
    PointsHeld,
    PointsReserve,
    PointsReturn,
    PointsRevoke,
    Product,
    RewardRevoke,
    RewardSend,
    Settings,
    StatementRequest,
    StatementRow,
    StockHeld,
    StockMove,
    StockReserve,
    StockReturn,
    Traits,
    Transaction,
    ValueHeld,
    ValueOrder,
    ValueReserve,
    ValueReturn,
    ValueTopup,
    ValueUntopup,
    hookimpl,
)
from plugins.house import accounts, books, coupons, members, stock
from plugins.house.ledger import Book, Entry
from plugins.house.schema import MIGRATIONS

T = TypeVar("T")

_STATEMENTS = {
    "points": {
        "points_confirm": ("spend", -1),
        "points_return": ("return", 1),
        "points_earn": ("earn", 1),
        "points_revoke": ("revoke", -1),
    },
    "value": {
        "value_confirm": ("spend", -1),
        "value_return": ("return", 1),
        "value_topup": ("topup", 1),
        "value_untopup": ("untopup", -1),
    },
    "coupons": {"coupon_confirm": ("redeem", 1), "coupon_restore": ("reverse", -1)},
    "orders": {"order_post": ("sale", 1), "order_return": ("return", -1), "order_void": ("return", -1)},
}


class HouseSettings(Settings):
    """What the house charges its members, and the coupons it may issue."""

    tiers = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(strict=True, validate=validate.Range(0, 10_000)),
        load_default=dict,
        metadata={"description": "what each tier pays, in basis points: 9500 is 95 %"},
    )
    value_order = fields.Enum(ValueOrder, by_value=True, load_default=ValueOrder.REAL_FIRST)
    templates = fields.Dict(keys=fields.String(), values=fields.Dict(), load_default=dict)


class HouseAdapter(EmbeddedAdapter):
    """Members, points, stored value, coupons, goods and sales of a merchant who has no system for one of them."""

    name: ClassVar[str] = "house"
    Settings = HouseSettings
    migrations = (*MIGRATIONS, accounts.MIGRATION)
    about = AdapterTraits(exclusive_writer=True, freshness=Freshness.IMMEDIATE)
    traits: ClassVar[Mapping[str, Traits]] = {}

    # --- plumbing ----------------------------------------------------------------------------------------------------

    def _read(self, fn: Callable[[Transaction], T]) -> T:
        if self.context.database is None:
            raise Misconfigured("the house adapter lives in the gateway's own database and was given none")
        return self.context.database.read(fn)

    def _book(self, call: Call) -> Book:
        if call.tx is None:
            raise Misconfigured("a change of the house needs the engine's transaction")
        return Book(self.context.merchant, call.tx, int(self.context.clock().timestamp() * 1000))

    def _value(self, account: str, call: Call) -> members.StoredValue:
        """The purse of this name: a member's stored value, or what a customer owes."""
        kind = accounts.Accounts if account.startswith(accounts.PREFIX) else members.StoredValue
        return kind(self._book(call))

    def _now(self) -> datetime:
        return self.context.clock()

    def discrepancies(self, tx: Transaction) -> Sequence[str]:
        """Accounts that are not what the ledger says."""
        merchant = self.context.merchant
        return [*books.discrepancies(tx, merchant), *accounts.discrepancies(tx, merchant)]

    def check(self) -> None:
        self._read(lambda tx: tx.one("SELECT COUNT(*) AS n FROM house_members"))

    # --- members -----------------------------------------------------------------------------------------------------

    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        row = self._read(lambda tx: members.find(tx, self.context.merchant, request.identity))
        settings = self.context.settings
        return members.member_of(row, settings["tiers"], settings["value_order"]) if row is not None else None

    @hookimpl
    def member_enrol(self, request: Enrol, call: Call) -> Change:
        book = self._book(call)
        for identity in request.identities:
            known = members.find(book.tx, book.merchant, identity)
            if known is not None:
                return Done(ref=known["ref"], replayed=True)
        ref = f"m{call.key[-10:]}"
        insert_member(book.tx, book.merchant, ref, request.display_name)
        for identity in request.identities:
            insert_identity(
                book.tx, book.merchant, ref, identity.type.value, members.digest_of(identity, book.merchant)
            )
        return Done(ref=ref)

    @hookimpl
    def member_link(self, request: Link, call: Call) -> Change:
        book = self._book(call)
        digest = members.digest_of(request.identity, book.merchant)
        insert_identity(book.tx, book.merchant, request.member_ref, request.identity.type.value, digest)
        return Done(ref=request.member_ref)

    @hookimpl
    def points_reserve(self, request: PointsReserve, call: Call) -> Change:
        return self._refusing(call, lambda: members.Points(self._book(call)).reserve(request, call))

    @hookimpl
    def points_confirm(self, request: PointsHeld, call: Call) -> Change:
        return members.Points(self._book(call)).confirm(request, call)

    @hookimpl
    def points_cancel(self, request: PointsHeld, call: Call) -> Change:
        return members.Points(self._book(call)).cancel(request, call)

    @hookimpl
    def points_return(self, request: PointsReturn, call: Call) -> Change:
        return members.Points(self._book(call)).give_back(request, call)

    @hookimpl
    def points_earn(self, request: PointsEarn, call: Call) -> Change:
        return members.Points(self._book(call)).earn(request, call)

    @hookimpl
    def points_revoke(self, request: PointsRevoke, call: Call) -> Change:
        return members.Points(self._book(call)).revoke(request, call)

    @hookimpl
    def value_reserve(self, request: ValueReserve, call: Call) -> Change:
        return self._refusing(call, lambda: self._value(request.account, call).reserve(request, call))

    @hookimpl
    def value_confirm(self, request: ValueHeld, call: Call) -> Change:
        return self._value(request.account, call).confirm(request, call)

    @hookimpl
    def value_cancel(self, request: ValueHeld, call: Call) -> Change:
        return self._value(request.account, call).cancel(request, call)

    @hookimpl
    def value_return(self, request: ValueReturn, call: Call) -> Change:
        return self._value(request.account, call).give_back(request, call)

    @hookimpl
    def value_topup(self, request: ValueTopup, call: Call) -> Change:
        pay_in = self._value(request.account, call).pay_in
        return self._refusing(call, lambda: pay_in(request.account, request.value, call, request.site, +1))

    @hookimpl
    def value_untopup(self, request: ValueUntopup, call: Call) -> Change:
        pay_in = self._value(request.account, call).pay_in
        key = request.original.key
        return self._refusing(call, lambda: pay_in(request.account, request.value, call, request.site, -1, key))

    # --- coupons -----------------------------------------------------------------------------------------------------

    @hookimpl
    def coupon_find(self, request: CouponLookup) -> Coupon | None:
        row = self._read(lambda tx: coupons.row_of(tx, self.context.merchant, request.code))
        return coupons.coupon_of(row, self._now()) if row is not None else None

    @hookimpl
    def coupon_list(self, request: CouponList) -> tuple[Coupon, ...]:
        sql = (
            "SELECT * FROM house_coupons WHERE merchant = :merchant AND member_ref = :member AND available > 0"
            " ORDER BY code LIMIT 50"
        )
        row = {"merchant": self.context.merchant, "member": request.member_ref}
        found = [coupons.coupon_of(item, self._now()) for item in self._read(lambda tx: tx.all(sql, row))]
        return tuple(coupon for coupon in found if coupon.usable and coupon.kind not in coupons.BALANCES)

    @hookimpl
    def coupon_issue(self, request: CouponIssue, call: Call) -> Change:
        template = self.context.settings["templates"].get(request.template)
        if template is None:
            raise Misconfigured(f"templates has no {request.template!r}")
        return coupons.Coupons(self._book(call)).issue(request, call, {**template, "template": request.template})

    @hookimpl
    def coupon_void(self, request: CouponVoid, call: Call) -> Change:
        return coupons.Coupons(self._book(call)).void(request, call)

    @hookimpl
    def coupon_reserve(self, request: CouponUse, call: Call) -> Change:
        return self._refusing(call, lambda: coupons.Coupons(self._book(call)).reserve(request, call))

    @hookimpl
    def coupon_confirm(self, request: CouponHeld, call: Call) -> Change:
        return coupons.Coupons(self._book(call)).confirm(request, call)

    @hookimpl
    def coupon_cancel(self, request: CouponHeld, call: Call) -> Change:
        return coupons.Coupons(self._book(call)).cancel(request, call)

    @hookimpl
    def coupon_restore(self, request: CouponRestore, call: Call) -> Change:
        return coupons.Coupons(self._book(call)).restore(request, call)

    @hookimpl
    def reward_send(self, request: RewardSend, call: Call) -> Change:
        return coupons.Coupons(self._book(call)).send_reward(request, call)

    @hookimpl
    def reward_revoke(self, request: RewardRevoke, call: Call) -> Change:
        return coupons.Coupons(self._book(call)).revoke_reward(request, call)

    # --- goods -------------------------------------------------------------------------------------------------------

    @hookimpl
    def stock_levels(self, request: LevelsRequest) -> tuple[Level, ...]:
        now = self._now()
        return self._read(lambda tx: stock.levels(tx, self.context.merchant, request, now))

    @hookimpl
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:
        sql = (
            "SELECT sku, doc FROM house_products WHERE merchant = :merchant AND sku > :after ORDER BY sku LIMIT :limit"
        )
        row = {"merchant": self.context.merchant, "after": request.cursor, "limit": request.limit}
        rows = self._read(lambda tx: tx.all(sql, row))
        products = tuple(Product(sku=item["sku"], **stock.product_document(item)) for item in rows)
        return Page(items=products, next_cursor=rows[-1]["sku"] if len(rows) == request.limit else None)

    @hookimpl
    def stock_reserve(self, request: StockReserve, call: Call) -> Change:
        return self._refusing(call, lambda: stock.Goods(self._book(call)).reserve(request, call))

    @hookimpl
    def stock_confirm(self, request: StockHeld, call: Call) -> Change:
        return stock.Goods(self._book(call)).confirm(request, call)

    @hookimpl
    def stock_cancel(self, request: StockHeld, call: Call) -> Change:
        return stock.Goods(self._book(call)).cancel(request, call)

    @hookimpl
    def stock_return(self, request: StockReturn, call: Call) -> Change:
        return stock.Goods(self._book(call)).give_back(request, call)

    @hookimpl
    def stock_move(self, request: StockMove, call: Call) -> Change:
        return self._refusing(call, lambda: stock.Goods(self._book(call)).move(request, call))

    # --- sales -------------------------------------------------------------------------------------------------------

    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        self._book(call).write_all(call, "order_post", _tenders(request), request.site)
        return Done(ref=f"H{call.key[-12:]}")

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        self._book(call).write_all(call, "order_return", _tenders(request), request.site, request.original.key)
        return Done(ref=f"H{call.key[-12:]}")

    @hookimpl
    def order_void(self, request: OrderVoid, call: Call) -> Change:
        self._book(call).write(call, "order_void", request.order_no, request.amount, request.site, request.original.key)
        return Done(ref=f"H{call.key[-12:]}")

    # --- statements --------------------------------------------------------------------------------------------------

    @hookimpl
    def points_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._statement("points", request)

    @hookimpl
    def value_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._statement("value", request)

    @hookimpl
    def coupon_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._statement("coupons", request)

    @hookimpl
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._statement("orders", request)

    def _statement(self, family: str, request: StatementRequest) -> Page[StatementRow]:
        rows: list[StatementRow] = []
        for hook, (kind, sign) in _STATEMENTS[family].items():
            sql = (
                "SELECT * FROM house_ledger WHERE merchant = :merchant AND business_date = :day AND hook = :hook"
                " ORDER BY at, key"
            )
            asked = {"merchant": self.context.merchant, "day": request.business_date.isoformat(), "hook": hook}
            rows += [
                StatementRow(
                    kind=kind,
                    ref=row["account"],
                    amount=sign * row["amount"],
                    key=row["key"],
                    original_ref=row["original"],
                )
                for row in self._read(lambda tx, sql=sql, asked=asked: tx.all(sql, asked))  # type: ignore[misc]
            ]
        return Page(items=tuple(rows))

    def _refusing(self, call: Call, change: Callable[[], Change]) -> Change:
        """A guarded update that did not take is a decline; the ledger rows written before it go with it."""
        try:
            return change()
        except members.Refusal as refusal:
            self._book(call).strike(call)
            return Declined(reason=refusal.reason)


def _tenders(request: OrderPost | OrderReturn) -> list[Entry]:
    return [
        (f"{request.order_no}/{tender.tender_id}", tender.amount, {"tender": tender.method.value})
        for tender in request.tenders
    ]


def insert_member(tx: Transaction, merchant: str, ref: str, display_name: str, tier: str = "", **balances: int) -> None:
    """Put a member into the store; balances are points, real, gift, prepaid."""
    row = {"points": 0, "real": 0, "gift": 0, "prepaid": 0, **balances}
    tx.execute(
        "INSERT INTO house_members (merchant, ref, display_name, tier, points, real, gift, prepaid)"
        " VALUES (:merchant, :ref, :name, :tier, :points, :real, :gift, :prepaid) ON CONFLICT DO NOTHING",
        {**row, "merchant": merchant, "ref": ref, "name": display_name, "tier": tier},
    )


def insert_identity(tx: Transaction, merchant: str, ref: str, kind: str, digest: str) -> None:
    """Let a member be recognised by one more identity; one that is known stays with its member."""
    tx.execute(
        "INSERT INTO house_identities (merchant, type, digest, ref) VALUES (:merchant, :type, :digest, :ref)"
        " ON CONFLICT DO NOTHING",
        {"merchant": merchant, "type": kind, "digest": digest, "ref": ref},
    )
