"""Tryton: the adapter. Goods, parties, coupons, gift cards and sales of one database, over JSON-RPC.

Every change is a small machine that looks at Tryton's record, sends the next message, and looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    CatalogueRequest,
    Change,
    Context,
    Coupon,
    CouponHeld,
    CouponLookup,
    CouponRestore,
    CouponUse,
    Declined,
    Enrol,
    Freshness,
    InvalidReply,
    Level,
    LevelsRequest,
    Member,
    MemberLookup,
    NotSent,
    OrderPost,
    OrderReturn,
    OrderVoid,
    OutcomeUnknown,
    Page,
    Product,
    Query,
    StatementRequest,
    StatementRow,
    StockHeld,
    StockReserve,
    StockReturn,
    Traits,
    hookimpl,
)
from plugins.tryton import mapping
from plugins.tryton.client import Account, Far, Refused, within
from plugins.tryton.goods import Goods
from plugins.tryton.ground import Ground
from plugins.tryton.members import Members
from plugins.tryton.sales import Sales
from plugins.tryton.settings import TrytonSettings
from plugins.tryton.vouchers import Vouchers

T = TypeVar("T")

#: A request that we gave up on may act this long afterwards: the server works on after its client has gone.
IN_FLIGHT_S = 30
_CHANGES = (
    *("stock_reserve", "stock_confirm", "stock_cancel", "stock_return", "member_enrol"),
    *("coupon_reserve", "coupon_confirm", "coupon_cancel", "coupon_restore"),
    *("order_post", "order_void", "order_return"),
)


class TrytonAdapter(Adapter):
    """One company in one database."""

    name = "tryton"
    Settings = TrytonSettings
    about = AdapterTraits(freshness=Freshness.IMMEDIATE, max_parallel=4)
    traits: ClassVar[Mapping[str, Traits]] = {hook: Traits(max_in_flight_s=IN_FLIGHT_S) for hook in _CHANGES}

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        settings = context.settings
        self._stores = tuple(sorted(settings["stores"]))
        self._far = Far(context.http, _account(settings))
        self._ground = Ground(self._far, settings, context.currency)
        self._goods = Goods(self._far, self._ground)
        self._members = Members(self._far)
        self._vouchers = Vouchers(self._far, self._ground, settings, context.timezone)
        self._sales = Sales(self._far, self._ground, self._goods)

    def check(self) -> None:
        """Log in and look up anew what the settings name. Raises ``Misconfigured``, ``NotSent``.

        It changes nothing, so that an answer which never came is no unknown outcome. A server that is asked for a
        database which it does not have may look for it for longer than we wait.
        """
        try:
            self._look_up()
        except OutcomeUnknown as error:
            database = self.context.settings["database"]
            raise NotSent(f"{error}; is the server well, and does it have the database {database!r}?") from error

    def _look_up(self) -> None:
        self._ground.forget()
        for store_id in self._stores:
            self._ground.place(store_id)
        if self._ground.customer and self._ground.currency and self.context.settings["gift_card_product"]:
            self._ground.gift_card  # noqa: B018  (it is looked up here)

    # ---- goods
    @hookimpl
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:
        """Articles by record number; withdrawn ones come marked."""
        if request.cursor and not request.cursor.isdecimal():
            raise InvalidReply("the cursor is not one of this catalogue")
        size = max(1, min(request.limit, 500))
        domain, names = [["id", ">", int(request.cursor or 0)]], self._ground.product_fields
        rows = self._far.rows("product.product", domain, names, limit=size, active_test=False)
        found = (mapping.product_of(row, self._stores) for row in rows)
        following = str(rows[-1]["id"]) if len(rows) == size else None
        return Page(items=tuple(product for product in found if product), next_cursor=following)

    @hookimpl
    def stock_levels(self, request: LevelsRequest) -> tuple[Level, ...]:
        return self._goods.levels(request.store_id, request.skus, self.context.clock())

    @hookimpl
    def stock_reserve(self, request: StockReserve, call: Call) -> Change:
        return _declining(call, lambda: self._goods.reserve(request, call))

    @hookimpl
    def stock_confirm(self, request: StockHeld, call: Call) -> Change:
        return _declining(call, lambda: self._goods.confirm(request, call))

    @hookimpl
    def stock_cancel(self, request: StockHeld, call: Call) -> Change:
        return _declining(call, lambda: self._goods.cancel(request, call))

    @hookimpl
    def stock_return(self, request: StockReturn, call: Call) -> Change:
        return _declining(call, lambda: self._goods.give_back(request, call))

    @hookimpl
    def stock_query(self, request: Query) -> Answer:
        return self._goods.query(request)

    # ---- members
    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        return self._members.find(request.identity)

    @hookimpl
    def member_enrol(self, request: Enrol, call: Call) -> Change:
        return _declining(call, lambda: self._members.enrol(request, call))

    @hookimpl
    def member_query(self, request: Query) -> Answer:
        return self._members.query(request)

    # ---- coupons and gift cards
    @hookimpl
    def coupon_find(self, request: CouponLookup) -> Coupon | None:
        return self._vouchers.find(request.code)

    @hookimpl
    def coupon_reserve(self, request: CouponUse, call: Call) -> Change:
        return _declining(call, lambda: self._vouchers.reserve(request, call))

    @hookimpl
    def coupon_confirm(self, request: CouponHeld, call: Call) -> Change:
        return _declining(call, lambda: self._vouchers.confirm(request, call))

    @hookimpl
    def coupon_cancel(self, request: CouponHeld, call: Call) -> Change:
        return _declining(call, lambda: self._vouchers.cancel(request, call))

    @hookimpl
    def coupon_restore(self, request: CouponRestore, call: Call) -> Change:
        return _declining(call, lambda: self._vouchers.restore(request, call))

    @hookimpl
    def coupon_query(self, request: Query) -> Answer:
        return self._vouchers.query(request)

    # ---- the bill
    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        return _declining(call, lambda: self._sales.post(request, call))

    @hookimpl
    def order_void(self, request: OrderVoid, call: Call) -> Change:
        return _declining(call, lambda: self._sales.void(request, call))

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        return _declining(call, lambda: self._sales.give_back(request, call))

    @hookimpl
    def order_query(self, request: Query) -> Answer:
        return self._sales.query(request)

    @hookimpl
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._sales.statement(request)


def _account(settings: Mapping[str, object]) -> Account:
    return Account(
        url=f"{str(settings['url']).rstrip('/')}/{settings['database']}",
        user=str(settings["user"]),
        password=settings["password"],  # type: ignore[arg-type]
        company=int(str(settings["company"])),
        timeout_s=float(str(settings["timeout_s"])),
    )


def _declining(call: Call, change: Callable[[], Change]) -> Change:
    """What the server refused on purpose was rolled back. Earlier messages of the same hook stand, and hold nothing."""
    try:
        with within(call):
            return change()
    except Refused as refused:
        return Declined(code=refused.failure.name, message=refused.failure.message)
