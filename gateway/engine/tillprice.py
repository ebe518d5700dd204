"""Who prices: where the till sums up too, its sum is compared with ours, or is what is paid."""

from __future__ import annotations

from gateway.domain.errors import AdapterError
from gateway.domain.orders import BillPrice, BillRef, BillTotal, TenderLine
from gateway.domain.payments import Method
from gateway.engine.basket import unpriced
from gateway.engine.priced import Priced
from gateway.engine.problems import Problem
from gateway.engine.requests import site_from
from gateway.engine.tillquote import Unbookable, with_till_sum
from gateway.pricing import PricingErrors
from gateway.runtime import Connection


def price_with_till(priced: Priced) -> None:
    """Bring the price to the till's own sum of its bills, where the merchant wants that (``pricing = till``, or
    ``compare`` with ``till_wins``); stop where the two differ (``compare``).

    Nothing happens where the gateway prices, without a bill of the till, or with a till that does not sum up. Raises
    ``price-changed`` with both sums, or ``adapter-unavailable`` if the till does not say.
    """
    till = priced.bill_connection
    pricing = priced.merchant.pricing
    mode = pricing.mode_of(priced.store_id)
    if mode == "gateway" or not priced.bills or till is None or not till.has("bill_price"):
        return
    total = _ask(till, priced)
    ours = priced.result.payable_amount
    if total.payable_amount == ours and priced.result.basket is priced.basket:
        return
    if mode == "compare" and total.payable_amount != ours and not pricing.till_wins_in(priced.store_id):
        raise _differs(total.payable_amount, ours)
    try:
        priced.take(with_till_sum(priced.result, priced.basket, total.payable_amount, total.lines))
    except Unbookable:
        raise _differs(total.payable_amount, ours) from None
    except PricingErrors as errors:
        raise unpriced(errors) from None


def _differs(theirs: int, ours: int) -> Problem:
    detail = f"the till says {theirs}, the gateway {ours}: see the campaigns of both"
    return Problem("price-changed", detail, extra={"till_amount": theirs, "gateway_amount": ours})


def _ask(till: Connection, priced: Priced) -> BillTotal:
    """The till's sum, given the tenders: some of its campaigns depend on them."""
    quoted = {tender["id"]: tender["amount"] for tender in priced.quote["tenders"]}
    meant = [(t, quoted.get(t["id"], t.get("amount"))) for t in priced.tenders]
    request = BillPrice(
        site=site_from(priced.site),
        bills=tuple(BillRef(bill_id=bill.bill_id, version=bill.version) for bill in priced.bills),
        tenders=tuple(
            TenderLine(tender_id=tender["id"], method=Method(tender["method"]), amount=amount)
            for tender, amount in meant
            if amount is not None
        ),
        member_ref=priced.member_id,
    )
    try:
        return till.bill_price(request)
    except AdapterError:
        detail = "the till does not tell its sum; nothing was sent"
        raise Problem("adapter-unavailable", detail, retry_after=5) from None
