"""From what the platform asks for to a priced basket: the pricing document and what the legs will need to know."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from gateway.domain.coupons import Coupon, CouponKind
from gateway.domain.membership import Member
from gateway.domain.orders import Bill, BillLookup
from gateway.domain.stock import Slot, SlotState
from gateway.engine.campaigns import Campaigns
from gateway.engine.limits import counted
from gateway.engine.problems import Problem, invalid
from gateway.engine.reading import Reading, required_member
from gateway.engine.terms import coupon_terms, periods_at
from gateway.pricing import Basket, Benefit, PricingErrors, Quote, parse, price
from gateway.runtime import Connection, Merchant

#: Tender methods that are looked up by a code, and the kinds of code that may pay so.
CODE_TENDERS = {
    "voucher": {CouponKind.GROUP_BUY, CouponKind.CASH, CouponKind.COUNT_PASS},
    "red_envelope": {CouponKind.RED_ENVELOPE},
    "gift_card": {CouponKind.GIFT_CARD},
}


@dataclass(slots=True)
class Priced:
    """A basket with its price and all that planning needs. ``document`` and ``quote`` are of the pricing document."""

    merchant: Merchant
    store_id: str
    site: dict[str, Any]
    document: dict[str, Any]
    quote: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    member: Member | None = None
    member_connection: Connection | None = None
    coupons: dict[str, tuple[Coupon, Connection]] = field(default_factory=dict)
    bills: tuple[Bill, ...] = ()
    bill_connection: Connection | None = None
    slots: dict[str, dict[str, Any]] = field(default_factory=dict)
    tenders: list[dict[str, Any]] = field(default_factory=list)
    session_id: str = ""
    #: The campaigns it was priced under, with what was used of those that have limits.
    campaigns: tuple[Benefit, ...] = ()
    basket: Basket = field(init=False)
    result: Quote = field(init=False)

    def take(self, result: Quote) -> None:
        """Put a price in force."""
        self.result, self.quote = result, result.to_document()
        _merge_lines(self)

    @property
    def member_id(self) -> str:
        """The member, or nobody."""
        return self.member.ref if self.member is not None else ""


def business_date(merchant: Merchant, at: datetime) -> date:
    """The business date of a moment: before the day's end it is still the day before."""
    local = at.astimezone(merchant.timezone)
    ends = time.fromisoformat(merchant.business_day_ends)
    return local.date() - timedelta(days=1) if local.time() < ends else local.date()


class Baskets:
    """Prices baskets of one merchant; ``deposits`` gives what is left of a deposit."""

    def __init__(
        self, reading: Reading, merchant: Merchant, campaigns: Campaigns, now: datetime, may_price: bool
    ) -> None:
        self.reading, self.merchant, self.campaigns, self.now = reading, merchant, campaigns, now
        self.may_price = may_price
        #: The document of a quote whose price is honoured.
        self.honour: dict[str, Any] | None = None

    def price(self, request: dict[str, Any], deposits: dict[str, int]) -> Priced:
        """Price a request of ``POST …/quotes``. Raises ``Problem``."""
        priced = self._start(request)
        if (source := request.get("source")) is not None:
            self._from_till(priced, source)
        else:
            self._from_lines(priced, request["lines"])
        self._member(priced, request)
        self._coupons(priced, request)
        self._tenders(priced, request, deposits)
        if self.honour is not None:
            kept = ("at", "periods", "lines", "fees", "rounding", "acquirer_fee_bp", "contracts", "label_rules")
            priced.document |= {name: self.honour[name] for name in kept if name in self.honour}
        priced.take(self._quote(priced))
        return priced

    def _start(self, request: dict[str, Any]) -> Priced:
        store = self.merchant.stores.get(request["store_id"])
        if store is None:
            raise invalid("/store_id", "this merchant has no such store")
        local = self.now.astimezone(self.merchant.timezone)
        day = request.get("business_date") or business_date(self.merchant, self.now).isoformat()
        site = {"store_id": store.id, "business_date": str(day), **(request.get("operator") or {})}
        pricing = self.merchant.pricing
        document: dict[str, Any] = {
            "currency": self.merchant.currency,
            "store_id": store.id,
            "at": local.replace(microsecond=0).isoformat(),
            "business_date": str(day),
            "rounding": pricing.rounding,
            "fees": [dict(fee) for fee in pricing.fees],
            "acquirer_fee_bp": self.merchant.acquirer_fee_bp,
        }
        if pricing.periods:
            document["periods"] = periods_at(pricing.periods, local)
        if pricing.label_rules:
            document["label_rules"] = [dict(rule) for rule in pricing.label_rules]
        if store.counters:
            # A guarantee is monthly: it is no part of a single sale's deduction.
            document["contracts"] = [
                {
                    "counter_id": counter.id,
                    "deduction_bp": counter.deduction_bp,
                    "promotion_share_bp": counter.promotion_share_bp,
                }
                for counter in store.counters
            ]
        return Priced(self.merchant, store.id, site, document)

    # --- lines -------------------------------------------------------------------------------------------------------

    def _from_till(self, priced: Priced, source: dict[str, Any]) -> None:
        """Take the lines from what is open in the till, at the version that the platform has seen."""
        ids = tuple(source["ids"])
        lookup = (
            BillLookup(store_id=priced.store_id, slip_nos=ids)
            if source["kind"] == "slips"
            else BillLookup(store_id=priced.store_id, bill_ids=ids)
        )
        priced.bills, priced.bill_connection = self.reading.bills(lookup)
        missing = set(ids) - {bill.bill_id for bill in priced.bills} - {bill.session_id for bill in priced.bills}
        if missing:
            raise invalid("/source/ids", f"not open in the till: {', '.join(sorted(missing))}")
        version = bills_version(priced.bills)
        if source.get("version") not in (None, version):
            raise Problem("bill-changed", "the bill has changed since it was read", extra={"version": version})
        for bill in priced.bills:
            priced.lines.extend(_bill_lines(bill))
            priced.document["fees"].extend(dict(fee) for fee in bill.fees)
            priced.session_id = priced.session_id or bill.session_id
            if bill.rounding != "none":
                priced.document["rounding"] = bill.rounding
        priced.document["lines"] = [_pricing_line(line) for line in priced.lines]

    def _from_lines(self, priced: Priced, lines: list[dict[str, Any]]) -> None:
        known = self.reading.products([line["sku"] for line in lines if line.get("sku") and not line.get("slot")])
        for index, line in enumerate(lines):
            line_id = line.get("line_id") or str(index + 1)
            if line.get("slot"):
                priced.lines.append(self._slot_line(priced, index, line, line_id))
            elif line.get("scale_label") and not line.get("sku"):
                label = line["scale_label"]
                priced.lines.append({"line_id": line_id, "scale_label": label, "facts": {"scale_label": label}})
            else:
                priced.lines.append(self._product_line(index, line, line_id, known))
        priced.document["lines"] = [_pricing_line(line) for line in priced.lines]

    def _product_line(
        self, index: int, line: dict[str, Any], line_id: str, known: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        pointer = f"/lines/{index}"
        if not line.get("sku"):
            raise invalid(f"{pointer}/sku", "say what is bought")
        product = known.get(line["sku"])
        if product is None:
            raise invalid(f"{pointer}/sku", f"the product library has no {line['sku']!r}")
        unit = product["unit_amount"]
        if line.get("unit_amount") is not None and (product.get("open_price") or self.may_price):
            unit = line["unit_amount"]
        return {
            "line_id": line_id,
            "sku": product["sku"],
            "name": product["name"],
            "quantity": line.get("quantity", "1"),
            "unit_amount": unit,
            "category": line.get("category") or product.get("category", ""),
            "brand": product.get("brand", ""),
            "counter_id": line.get("counter_id") or product.get("counter_id", ""),
            "guide_id": line.get("guide_id", ""),
            "member_amount": product.get("member_amount"),
            "discountable": product.get("discountable", True),
            "scale_label": line.get("scale_label"),
            "stocked": product.get("stocked", True),
            "facts": product.get("facts", {}),
        }

    def _slot_line(self, priced: Priced, index: int, line: dict[str, Any], line_id: str) -> dict[str, Any]:
        """A room for a time: a concrete free resource is chosen, its money is a time fee or a package's price."""
        wanted, pointer = line["slot"], f"/lines/{index}/slot"
        start, end = datetime.fromisoformat(wanted["from"]), datetime.fromisoformat(wanted["to"])
        if end <= start:
            raise invalid(f"{pointer}/to", "must be after from")
        slot = self._choose(priced, wanted, start, end)
        priced.slots[line_id] = {
            "resource_id": slot.resource_id,
            "resource_class": slot.resource_class,
            "from": wanted["from"],
            "to": wanted["to"],
            "extends": wanted.get("extends", ""),
            "package_sku": line.get("sku") or "",
            "guests": wanted.get("guests", 0),
        }
        package = next((p for p in slot.packages if p.sku == line.get("sku")), None)
        if line.get("sku") and package is None:
            raise invalid(f"/lines/{index}/sku", "this package is not sold for this room at this time")
        if package is None:
            self._time_fee(priced, line_id, slot, start, end)
        return {
            "line_id": line_id,
            "sku": line.get("sku") or slot.resource_class,
            "name": package.name if package else (slot.name or slot.resource_id),
            "quantity": "1",
            "unit_amount": package.amount if package else 0,
            "category": "room",
            "slot": None if package else {"resource_id": slot.resource_id, "from": wanted["from"], "to": wanted["to"]},
            "stocked": False,
            "facts": {"resource_id": slot.resource_id},
        }

    def _choose(self, priced: Priced, wanted: dict[str, Any], start: datetime, end: datetime) -> Slot:
        """A session that is extended keeps its room; else any room of the class that nobody has over the window."""
        resource = wanted.get("resource_id", "")
        if wanted.get("extends"):
            bills, _ = self.reading.bills(BillLookup(store_id=priced.store_id, bill_ids=(wanted["extends"],)))
            if not bills:
                raise invalid("/lines/slot/extends", "no such session is open")
            resource, priced.session_id = bills[0].resource_id, bills[0].session_id or bills[0].bill_id
        found = self.reading.slots(
            priced.store_id, start, end, resource=resource, kind=wanted.get("resource_class", "")
        )
        if wanted.get("extends"):
            found = [slot for slot in found if slot.resource_id == resource]
        else:
            held = self.reading.held_slots(priced.store_id, start, end)
            found = [slot for slot in found if slot.state is SlotState.FREE and slot.resource_id not in held]
        if not found:
            raise Problem("slot-taken", "no such room is free over this time")
        return found[0]

    def _time_fee(self, priced: Priced, line_id: str, slot: Slot, start: datetime, end: datetime) -> None:
        zone = self.merchant.timezone
        rates = [
            {
                "from": rate.start.astimezone(zone).strftime("%H:%M"),
                "to": rate.end.astimezone(zone).strftime("%H:%M").replace("00:00", "24:00"),
                "rate_amount": rate.rate_amount,
                "per": rate.per,
            }
            for rate in slot.rates
        ]
        fee = {
            "fee_id": f"time:{line_id}",
            "kind": "time",
            "line_id": line_id,
            "slots": rates,
            "from": start.astimezone(zone).isoformat(),
            "to": end.astimezone(zone).isoformat(),
            "unit_minutes": 1,
        }
        priced.document["fees"].append(fee)

    # --- who, with what ----------------------------------------------------------------------------------------------

    def _member(self, priced: Priced, request: dict[str, Any]) -> None:
        if request.get("member"):
            found = required_member(self.reading.member(request["member"], priced.store_id))
            priced.member, priced.member_connection = found
            member = priced.member
            document: dict[str, Any] = {"id": member.ref, "points_available": member.points_available}
            if member.tier:
                document["tier"] = member.tier
            if member.rate_bp is not None:
                document["rate_bp"] = member.rate_bp
            document |= {"tags": list(member.tags), "first_order": member.first_order}
            priced.document["member"] = document
            priced.document["accounts"] = {
                "stored_value": {
                    "real": member.value.real,
                    "gift": member.value.gift,
                    "prepaid": member.value.prepaid,
                    "order": member.value_order.value,
                }
            }
        rules = self.merchant.pricing.points
        if rules and priced.member is not None:
            wanted = request.get("points") or 0
            if wanted > priced.member.points_available:
                raise Problem("insufficient-points", "the member has fewer points than are to be used")
            priced.document["points"] = {"use": wanted, **rules}
        elif request.get("points"):
            raise invalid("/points", "points are used by a member, at a merchant whose points pay")

    def _coupons(self, priced: Priced, request: dict[str, Any]) -> None:
        wanted = request.get("coupons") or []
        if wanted == "auto":
            ref = priced.member.ref if priced.member else ""
            for coupon, connection in self.reading.coupons_of(ref, priced.store_id) if ref else []:
                priced.coupons[coupon.code] = (coupon, connection)
            priced.document["select"] = "auto"
        else:
            for index, code in enumerate(wanted):
                priced.coupons[code] = self._usable(priced, code, f"/coupons/{index}")
            priced.document["select"] = list(wanted)
        priced.document["coupons"] = [self._terms(coupon) for coupon, _ in priced.coupons.values()]

    def _terms(self, coupon: Coupon) -> dict[str, Any]:
        return coupon_terms(self.merchant.pricing.coupon_templates, coupon)

    def _usable(self, priced: Priced, code: str, pointer: str) -> tuple[Coupon, Connection]:
        found = self.reading.coupon(code, priced.store_id)
        if found is None or not found[0].usable or found[0].counts.available < 1:
            raise invalid(pointer, "this code cannot be used here", "coupon-not-applicable")
        owner = found[0].member_ref
        if owner and (priced.member is None or priced.member.ref != owner):
            raise invalid(pointer, "this code cannot be used here", "coupon-not-applicable")
        return found

    def _tenders(self, priced: Priced, request: dict[str, Any], deposits: dict[str, int]) -> None:
        documents = []
        for index, asked in enumerate(request.get("tenders") or []):
            tender = {"id": asked.get("id_") or f"t{index + 1}", **asked}
            documents.append(self._tender_document(priced, tender, f"/tenders/{index}", deposits))
            priced.tenders.append(tender)
        priced.document["tenders"] = documents

    def _tender_document(
        self, priced: Priced, tender: dict[str, Any], pointer: str, deposits: dict[str, int]
    ) -> dict[str, Any]:
        document: dict[str, Any] = {"id": tender["id"], "method": tender["method"]}
        for name in ("amount", "share"):
            if tender.get(name) is not None:
                document[name] = tender[name]
        if tender["method"] == "stored_value":
            _check_value(priced.member, tender, pointer)
        if tender["method"] == "deposit":
            tender["held_amount"] = document["held_amount"] = deposits[tender["deposit_id"]]
        kinds = CODE_TENDERS.get(tender["method"])
        if kinds is not None:
            coupon, connection = self._usable(priced, tender["code"], f"{pointer}/code")
            if coupon.kind not in kinds:
                raise invalid(f"{pointer}/code", "this code does not pay this way", "coupon-not-applicable")
            priced.coupons[coupon.code] = (coupon, connection)
            if tender["method"] == "voucher":
                document |= {"code": coupon.code, "count": tender.get("count", 1)}
                priced.document["coupons"].append(self._terms(coupon))
            else:
                document["held_amount"] = coupon.balance_amount
        return document

    def look_up_tender(self, priced: Priced, tender: dict[str, Any]) -> None:
        """Find the code that one more tender pays with."""
        if tender["method"] in CODE_TENDERS:
            priced.coupons[tender["code"]] = self._usable(priced, tender["code"], "/code")

    # --- the price ---------------------------------------------------------------------------------------------------

    def _quote(self, priced: Priced) -> Quote:
        journal = self.reading.journal
        priced.campaigns, priced.document = counted(
            journal, self.merchant.id, self.campaigns, priced.document, priced.member_id
        )
        try:
            priced.basket = parse(priced.document, campaigns=priced.campaigns)
            return self._priced(priced)
        except PricingErrors as errors:
            raise unpriced(errors) from None

    def _priced(self, priced: Priced) -> Quote:
        """Where the till's sum may be what is paid, tenders that do not fit ours may yet fit that."""
        try:
            return price(priced.basket)
        except PricingErrors:
            if not priced.bills or self.merchant.pricing.mode_of(priced.store_id) == "gateway":
                raise
            return price(replace(priced.basket, tenders=()))


def _check_value(member: Member | None, tender: dict[str, Any], pointer: str) -> None:
    """Stored value is drawn on by its member, and covers what is asked of it."""
    if member is None:
        raise invalid(pointer, "stored value is a member's: say which member")
    if tender.get("account") not in (None, member.ref):
        raise invalid(f"{pointer}/account", "is not the account of the member in this basket")
    if (tender.get("amount") or 0) > member.value.total:
        raise Problem("insufficient-stored-value", "the stored value does not cover this amount")


def unpriced(errors: PricingErrors) -> Problem:
    """What is wrong with a basket, as the platform is told it."""
    found = [dict(error) for error in errors.errors]
    tenders = all(str(error["pointer"]).startswith("/tenders") for error in found)
    slug = "tenders-mismatch" if tenders else "validation-error"
    return Problem(slug, "the basket cannot be priced", errors=found)


def bills_version(bills: tuple[Bill, ...]) -> str:
    """One version over several bills: it changes when any of them does."""
    return bills[0].version if len(bills) == 1 else "+".join(bill.version for bill in bills)


def _bill_lines(bill: Bill) -> list[dict[str, Any]]:
    return [
        {
            "line_id": f"{bill.bill_id}-{line.line_id}" if bill.kind == "slip" else line.line_id,
            "sku": line.sku,
            "name": line.name,
            "quantity": str(line.quantity),
            "unit_amount": line.unit_amount,
            "category": line.category,
            "counter_id": line.counter_id or bill.counter_id,
            "guide_id": line.guide_id,
            "discountable": line.discountable,
            "member_price": line.member_price,
            "counts_to_minimum": line.counts_to_minimum,
            "bill_id": bill.bill_id,
            "stocked": not bill.stock_held,
            "facts": dict(line.facts),
        }
        for line in bill.lines
        if not line.component_of
    ]


_PRICING_FIELDS = frozenset(
    (
        "line_id",
        "sku",
        "category",
        "brand",
        "counter_id",
        "guide_id",
        "quantity",
        "unit_amount",
        "member_amount",
        "slot",
        "scale_label",
    )
)
_PRICING_FLAGS = ("discountable", "member_price", "counts_to_minimum")


def _pricing_line(line: dict[str, Any]) -> dict[str, Any]:
    document = {name: value for name, value in line.items() if name in _PRICING_FIELDS and value not in (None, "")}
    for name in _PRICING_FLAGS:
        if line.get(name) is False:
            document[name] = False
    return document


def _merge_lines(priced: Priced) -> None:
    """Put what was priced beside what is known of each line."""
    by_id = {line["line_id"]: line for line in priced.quote["lines"]}
    priced.lines = [{**line, **by_id.get(line["line_id"], {})} for line in priced.lines]
    for line in priced.lines:
        line.setdefault("name", line.get("sku", ""))
