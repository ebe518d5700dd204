"""食通天下: the adapter. Bills are found, frozen and settled at the till in the shop; dishes and the day's statement
come from the head office; portions left from the till or its sold-out file.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterError,
    AdapterTraits,
    Answer,
    Bill,
    BillHold,
    BillLookup,
    BillPrice,
    BillRelease,
    BillTotal,
    Call,
    CatalogueRequest,
    Change,
    Context,
    Declined,
    Done,
    Freshness,
    InvalidReply,
    Level,
    LevelsRequest,
    Misconfigured,
    NotFound,
    NotSupported,
    OrderPost,
    OrderReturn,
    OrderVoid,
    Page,
    Product,
    Query,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)
from plugins.restaurant import mapping
from plugins.restaurant import protocol_bill as theirs
from plugins.restaurant.client import Office, Till, TillAddress
from plugins.restaurant.holding import Holding
from plugins.restaurant.notes import Notes
from plugins.restaurant.posting import Posting
from plugins.restaurant.reading import DishCodes, LeftReader, dish_page, read_day
from plugins.restaurant.returning import Returning
from plugins.restaurant.selling import Selling
from plugins.restaurant.settings import RestaurantSettings, office_settings
from plugins.restaurant.tenders import reference
from plugins.restaurant.voiding import void_bill

#: By how much 抹零 may lower one bill, in fen, rounded up; without it a bill may differ by a fen.
ROUNDING_STEPS = {"none": 1, "jiao": 10, "yuan": 100}
#: A request that we gave up on may act this long afterwards: the till works its queue off one by one.
IN_FLIGHT_S = 15


class RestaurantAdapter(Adapter):
    """One restaurant chain."""

    name = "restaurant"
    Settings = RestaurantSettings
    about = AdapterTraits(
        encoding="gbk",
        freshness=Freshness.IMMEDIATE,
        max_parallel=16,
        business_day_ends="04:00",
        insecure_transport=True,
    )
    traits: ClassVar[Mapping[str, Traits]] = {
        "bill_hold": Traits(idempotent=True, max_in_flight_s=IN_FLIGHT_S),
        "bill_release": Traits(idempotent=True, max_in_flight_s=IN_FLIGHT_S),
        "order_post": Traits(max_in_flight_s=IN_FLIGHT_S, partial=False),
        "order_void": Traits(max_in_flight_s=IN_FLIGHT_S, partial=False),
        "order_return": Traits(max_in_flight_s=IN_FLIGHT_S),
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._settings = context.settings
        self._shops: Mapping[str, Mapping[str, Any]] = context.settings["shops"]
        self._office = Office(context.http, office_settings(context.settings), lambda: context.clock().timestamp())
        self._left = LeftReader(context)
        self._dishes = DishCodes(self._office, context.clock)
        self._notes = Notes(context.store, context.clock)

    def check(self) -> None:
        """Ask the head office for a token and the first shop's till for its tables. Changes nothing."""
        self._office.check()
        reply = self._till(next(iter(self._shops))).ask("tables")
        if "list" not in reply:
            raise Misconfigured("'till_url' answers, but not as a till does")

    # ---- bills
    @hookimpl
    def bill_find(self, request: BillLookup) -> tuple[Bill, ...]:
        till, shop = self._till(request.store_id), self._shop(request.store_id)
        rules = mapping.ShopRules(shop["service_basis"], shop["rounding"])
        if request.resource_id:
            found = [till.look(table=request.resource_id)]
        else:
            found = [till.look(bill_id=number) for number in request.bill_ids or request.slip_nos]
        bills = [bill for bill in found if bill is not None and bill.state == theirs.OPEN]
        return mapping.bills_of(bills, request.store_id, rules, self.context.timezone)

    @hookimpl
    def bill_price(self, request: BillPrice) -> BillTotal:
        """The till's own sum, with its member price if there is a member. It knows nothing of tenders."""
        till = self._till(request.site.store_id)
        trial = "1" if request.member_ref else "0"
        lines: dict[str, int] = {}
        payable = discount = 0
        for ref in request.bills:
            bill = till.look(bill_id=ref.bill_id, trial=trial)
            if bill is None or bill.state != theirs.OPEN:
                raise InvalidReply(f"till: bill {ref.bill_id} is not open any more")
            payable += bill.due_amount
            discount += bill.member_amount
            lines |= {mapping.line_id_of(bill.bs_id, row.line_no): row.last_amount for row in bill.lines}
        return BillTotal(payable_amount=payable, discount_amount=discount, lines=lines)

    @hookimpl
    def bill_hold(self, request: BillHold, call: Call) -> Change:
        """预结 with our reference: no dish can be added any more until the release."""
        holding = Holding(self._till(request.site.store_id, call), call.key)
        return holding.hold(request.bills)

    @hookimpl
    def bill_release(self, request: BillRelease, call: Call) -> Change:
        """Take our own pre-bill back; one that the staff have made since is theirs."""
        holding = Holding(self._till(request.site.store_id, call), request.original.key)
        return holding.release(request.bills)

    # ---- sales
    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        """One tender row at a time, each with our reference; then the table is cleared.

        A sale that is no table's bill is first rung up on a takeaway seat.
        """
        if not request.bills and not self._settings["takeaway_seats"]:
            raise NotSupported("without 'takeaway_seats' this till only books bills that it has")
        till = self._till(request.site.store_id, call)
        if request.bills:
            outcome = self._posting(till, request, call.key).run()
        else:
            outcome = self._selling(till, request, call.key).run()
        if isinstance(outcome, Declined):
            return outcome
        bills, replayed = outcome
        cleared = self._settings["clear_table"] and self._clear(till, bills)
        return self._posted(request, bills, cleared=cleared, replayed=replayed)

    @hookimpl
    def order_void(self, request: OrderVoid, call: Call) -> Change:
        """反结账 of every bill that the sale settled: the bills are open again, nothing is paid."""
        bill_ids = _bill_ids(request.original.facts, request.original.ref)
        if not bill_ids:
            raise NotSupported("the sale's bills are not known: it was never seen in the till")
        till = self._till(request.site.store_id, call)
        for bill_id in bill_ids:
            refused = void_bill(till, bill_id, reference(request.original.key))
            if refused:
                return refused
        return Done(ref=bill_ids[0], amount=request.amount, facts={"bills": list(bill_ids)})

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        """The settled bills opened again, without what is given back, and what is kept booked anew."""
        bill_ids = _bill_ids(request.original.facts, request.original.ref)
        if not bill_ids:
            raise NotSupported("the sale's bills are not known: it was never seen in the till")
        till = self._till(request.site.store_id, call)
        outcome = self._returning(till, request, call.key).run(bill_ids)
        if isinstance(outcome, Declined):
            return outcome
        if self._settings["clear_table"]:
            self._clear(till, [bill_id for bill_id, bill in outcome.items() if bill.state == theirs.SETTLED])
        return _returned(request, outcome)

    @hookimpl
    def order_query(self, request: Query) -> Answer:
        """Looks at the bills: our reference stands in the pre-bill and in each tender row."""
        ask = {
            "bill_hold": self._query_hold,
            "bill_release": self._query_release,
            "order_post": self._query_post,
            "order_void": self._query_void,
            "order_return": self._query_return,
        }.get(request.hook)
        if ask is None:
            raise NotSupported(f"nothing can be asked about {request.hook}")
        return ask(request)

    @hookimpl
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """One shop a page; a bill that reaches the head office late appears when it is asked again."""
        stores = [request.store_id] if request.store_id else sorted(self._shops)
        if request.cursor and request.cursor not in stores:
            raise InvalidReply("the cursor is not one of this statement")
        index = stores.index(request.cursor) if request.cursor else 0
        shop = self._shop(stores[index])
        bills = read_day(self._office, request.business_date, shop["code"])
        zone = self.context.timezone
        rows = [row for bill in bills for row in mapping.statement_rows(bill, stores[index], zone)]
        following = stores[index + 1] if index + 1 < len(stores) else None
        return Page(items=tuple(rows), next_cursor=following)

    # ---- stock
    @hookimpl
    def stock_levels(self, request: LevelsRequest) -> tuple[Level, ...]:
        """Portions left of limited dishes; a dish without a limit has ``unlimited_quantity``."""
        shop = self._shop(request.store_id)
        listing = self._left.read(self._till(request.store_id), shop["code"])
        plenty = Decimal(self._settings["unlimited_quantity"])
        skus = self._sold_here(request.skus, listing.left) if request.skus else tuple(sorted(listing.left))
        return tuple(
            Level(
                sku=sku,
                store_id=request.store_id,
                on_hand=listing.left.get(sku, plenty),
                available=listing.left.get(sku, plenty),
                as_of=listing.as_of,
                confidence=listing.confidence,
                source=listing.source if sku in listing.left else "not limited",
            )
            for sku in skus
        )

    @hookimpl
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:
        """The head office's dishes, at most fifty a page; the cursor is the next page's number."""
        try:
            number = int(request.cursor or "1")
        except ValueError:
            raise InvalidReply("the cursor is not one of this catalogue") from None
        page, dishes = dish_page(self._office, number, request.limit)
        stores = tuple(sorted(self._shops))
        products = tuple(mapping.product_of(dish, stores) for dish in dishes)
        return Page(items=products, next_cursor=str(number + 1) if number < page.pages else None)

    # ---- what the verbs above are made of
    def _shop(self, store_id: str) -> Mapping[str, Any]:
        shop = self._shops.get(store_id)
        if shop is None:
            raise Misconfigured(f"store {store_id!r} has no entry under 'shops'")
        return shop

    def _sold_here(self, skus: Sequence[str], limited: Container[str]) -> tuple[str, ...]:
        """Those of the SKUs that are dishes; all of them while the head office can't tell."""
        dishes = self._dishes.known()
        return tuple(sku for sku in skus if dishes is None or sku in dishes or sku in limited)

    def _till(self, store_id: str, call: Call | None = None) -> Till:
        shop = self._shop(store_id)
        url = shop.get("url") or f"{self._settings['till_url'].rstrip('/')}/{shop['code']}"
        address = TillAddress(url, self._settings["operator"], self._settings["password"])
        return Till(self.context.http, address, self._settings["timeout_s"], call)

    def _posting(self, till: Till, request: OrderPost, key: str) -> Posting:
        step = ROUNDING_STEPS[self._shop(request.site.store_id)["rounding"]]
        return Posting(till, request, key, self._settings["tender_codes"], step)

    def _selling(self, till: Till, request: OrderPost, key: str) -> Selling:
        seats = self._settings["takeaway_seats"]
        return Selling(till, request, key, self._settings["tender_codes"], seats, self._notes)

    def _returning(self, till: Till, request: OrderReturn, key: str) -> Returning:
        return Returning(till, request, key, self._settings["tender_codes"], self._notes)

    def _clear(self, till: Till, bill_ids: Iterable[str]) -> bool:
        """清台. The sale is booked with or without it: staff can clear a table by hand."""
        try:
            for bill_id in bill_ids:
                till.change("clear", {"bsId": bill_id}, bill_id)
        except AdapterError as error:
            self.context.log.warning("the table could not be cleared: %s", error)
            return False
        return True

    def _posted(
        self, request: OrderPost, bills: Mapping[str, theirs.Bill], *, cleared: bool = False, replayed: bool = False
    ) -> Done:
        facts = {"bills": list(bills), "business_date": next(iter(bills.values())).biz_date, "cleared": cleared}
        receipt = ",".join(bill.bs_code for bill in bills.values())
        return Done(ref=receipt, amount=request.payable_amount, facts=facts, replayed=replayed)

    def _query_hold(self, query: Query) -> Answer:
        request: BillHold = query.request
        till = self._till(request.site.store_id)
        holding = Holding(till, query.key)
        if all(holding.holds(ref) for ref in request.bills):
            return holding.held(request.bills, replayed=True)
        return NotFound()

    def _query_release(self, query: Query) -> Answer:
        request: BillRelease = query.request
        holding = Holding(self._till(request.site.store_id), request.original.key)
        if any(holding.freezes(ref.bill_id) for ref in request.bills):
            return NotFound()
        return Done()

    def _query_post(self, query: Query) -> Answer:
        request: OrderPost = query.request
        till = self._till(request.site.store_id)
        if not request.bills:
            selling = self._selling(till, request, query.key)
            sold = selling.find()
            if sold is None or not selling.is_booked(sold):
                return NotFound()
            return self._posted(request, {sold.bs_id: sold}, replayed=True)
        posting = self._posting(till, request, query.key)
        bills = posting.bills()
        if bills is None or not posting.all_there(bills):
            return NotFound()
        return self._posted(request, bills, replayed=True)

    def _query_void(self, query: Query) -> Answer:
        request: OrderVoid = query.request
        till, own = self._till(request.site.store_id), reference(request.original.key)
        bill_ids = _bill_ids(request.original.facts, request.original.ref)
        if any(mapping.own_rows(till.need(bill_id), own) for bill_id in bill_ids):
            return NotFound()
        return Done(ref=bill_ids[0] if bill_ids else "", amount=request.amount)

    def _query_return(self, query: Query) -> Answer:
        request: OrderReturn = query.request
        till = self._till(request.site.store_id)
        bills = self._returning(till, request, query.key).is_booked()
        return NotFound() if bills is None else _returned(request, bills, replayed=True)


def _returned(request: OrderReturn, bills: Mapping[str, theirs.Bill], replayed: bool = False) -> Done:
    receipt = ",".join(bill.bs_code for bill in bills.values())
    return Done(ref=receipt, amount=request.amount, facts={"bills": list(bills)}, replayed=replayed)


def _bill_ids(facts: Mapping[str, Any], ref: str) -> tuple[str, ...]:
    """The bills of a posted sale, from what the posting noted."""
    noted = facts.get("bills")
    if isinstance(noted, Sequence) and not isinstance(noted, str):
        return tuple(str(bill_id) for bill_id in noted)
    return tuple(part for part in ref.split(",") if part)
