"""From what the platform asks for to a priced basket: the pricing document and what the legs will need to know."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from typing import Any

from gateway.domain.coupons import CouponKind
from gateway.engine.benefits import Benefits
from gateway.engine.campaigns import Campaigns
from gateway.engine.limits import counted
from gateway.engine.lines import Lines
from gateway.engine.priced import Priced
from gateway.engine.problems import Problem, invalid
from gateway.engine.reading import Reading
from gateway.engine.terms import periods_at
from gateway.pricing import PricingErrors, Quote, TooLittleValue, parse, price
from gateway.runtime import Merchant
from gateway.sdk.convert.dates import business_date as date_in_business

#: Tender methods that are looked up by a code, and the kinds of code that may pay so.
CODE_TENDERS = {
    "voucher": {CouponKind.GROUP_BUY, CouponKind.CASH, CouponKind.COUNT_PASS},
    "red_envelope": {CouponKind.RED_ENVELOPE},
    "gift_card": {CouponKind.GIFT_CARD},
}

#: How far from today's a business date may lie: a sale entered late, and a till whose day has begun already.
DAYS_BACK, DAYS_AHEAD = 366, 2


def business_date(merchant: Merchant, at: datetime) -> date:
    """The business date of a moment: before the day's end it is still the day before."""
    return date_in_business(at, time.fromisoformat(merchant.business_day_ends), merchant.timezone)


def asked_date(asked: str | None, merchant: Merchant, now: datetime) -> str:
    """The business date that a request names, or today's. Raises ``validation-error`` for one that is far off."""
    today = business_date(merchant, now)
    if asked and not -DAYS_BACK <= (date.fromisoformat(asked) - today).days <= DAYS_AHEAD:
        detail = f"must be at most {DAYS_BACK} days before and {DAYS_AHEAD} after the business date, which is {today}"
        raise invalid("/business_date", detail)
    return asked or today.isoformat()


class Baskets:
    """Prices a basket of one merchant. ``without``: legs whose systems are down, and which it can do without."""

    def __init__(
        self,
        reading: Reading,
        merchant: Merchant,
        campaigns: Campaigns,
        now: datetime,
        may_price: bool,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.reading, self.merchant, self.campaigns, self.now = reading, merchant, campaigns, now
        self.may_price, self.benefits = may_price, Benefits(reading, merchant, without)
        #: The document of a quote whose price is honoured.
        self.honour: dict[str, Any] | None = None

    def price(self, request: dict[str, Any], deposits: dict[str, int]) -> Priced:
        """Price a request of ``POST …/quotes``. Raises ``Problem``."""
        priced, lines = self._start(request), Lines(self.reading, self.merchant, self.may_price)
        if (source := request.get("source")) is not None:
            lines.from_till(priced, source)
        else:
            lines.from_lines(priced, request["lines"])
        self.benefits.member(priced, request)
        self.benefits.coupons(priced, request)
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
        day = asked_date(request.get("business_date"), self.merchant, self.now)
        site = {"store_id": store.id, "business_date": day, **(request.get("operator") or {})}
        pricing = self.merchant.pricing
        document: dict[str, Any] = {
            "currency": self.merchant.currency,
            "store_id": store.id,
            "at": local.replace(microsecond=0).isoformat(),
            "business_date": day,
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

    # --- who, with what ----------------------------------------------------------------------------------------------

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
            self.benefits.check_value(priced, tender, pointer)
        if tender["method"] == "deposit":
            tender["held_amount"] = document["held_amount"] = deposits[tender["deposit_id"]]
        kinds = CODE_TENDERS.get(tender["method"])
        if kinds is not None:
            coupon, connection = self.benefits.usable(priced, tender["code"], f"{pointer}/code")
            if coupon.kind not in kinds:
                raise invalid(f"{pointer}/code", "this code does not pay this way", "coupon-not-applicable")
            tender["code"] = coupon.code  # as its system writes it: "gv-1" and "GV-1" are one voucher
            priced.coupons[coupon.code] = (coupon, connection)
            if tender["method"] == "voucher":
                document |= {"code": coupon.code, "count": tender.get("count", 1)}
                priced.document["coupons"].append(self.benefits.terms(coupon))
            else:
                document["held_amount"] = coupon.balance_amount
        return document

    def look_up_tender(self, priced: Priced, tender: dict[str, Any]) -> None:
        """Find the code that one more tender pays with."""
        if tender["method"] in CODE_TENDERS:
            found = self.benefits.usable(priced, tender["code"], "/code")
            tender["code"] = found[0].code
            priced.coupons[tender["code"]] = found

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


def unpriced(errors: PricingErrors) -> Problem:
    """What is wrong with a basket, as the platform is told it."""
    found = [dict(error) for error in errors.errors]
    if isinstance(errors, TooLittleValue):
        return Problem("insufficient-stored-value", "the stored value does not cover this amount", errors=found)
    tenders = all(str(error["pointer"]).startswith("/tenders") for error in found)
    slug = "tenders-mismatch" if tenders else "validation-error"
    return Problem(slug, "the basket cannot be priced", errors=found)
