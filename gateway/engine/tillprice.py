"""Who prices: where the till sums up too, its sum is compared with ours before anything is sent."""

from __future__ import annotations

from gateway.domain.errors import AdapterError
from gateway.domain.orders import BillPrice, BillRef, TenderLine
from gateway.domain.payments import Method
from gateway.engine.basket import Priced
from gateway.engine.problems import Problem
from gateway.engine.requests import site_from


def compare_with_till(priced: Priced) -> None:
    """Stop where the till's own sum of its bills differs from ours, unless ours may differ (``pricing = gateway``).

    Raises ``price-changed`` with both sums, or ``adapter-unavailable`` if the till does not say.
    """
    till = priced.bill_connection
    mode = priced.merchant.pricing.mode_of(priced.store_id)
    if mode == "gateway" or not priced.bills or till is None or not till.has("bill_price"):
        return
    request = BillPrice(
        site=site_from(priced.site),
        bills=tuple(BillRef(bill_id=bill.bill_id, version=bill.version) for bill in priced.bills),
        tenders=tuple(
            TenderLine(tender_id=t["id"], method=Method(t["method"]), amount=t["amount"])
            for t in priced.quote["tenders"]
        ),
        member_ref=priced.member.ref if priced.member else "",
    )
    try:
        theirs = till.bill_price(request).payable_amount
    except AdapterError:
        detail = "the till does not tell its sum; nothing was sent"
        raise Problem("adapter-unavailable", detail, retry_after=5) from None
    ours = priced.quote["payable_amount"]
    if theirs != ours:
        detail = f"the till says {theirs}, the gateway {ours}: see the campaigns of both"
        raise Problem("price-changed", detail, extra={"till_amount": theirs, "gateway_amount": ours})
