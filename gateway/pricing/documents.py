"""The whole pricing document: In to Out, refunds included, as `gateway price FILE` runs it."""

from collections.abc import Mapping
from typing import Any

from gateway.pricing.engine import price
from gateway.pricing.errors import PricingErrors, fail
from gateway.pricing.parse_basket import parse
from gateway.pricing.refunds import refund


def run_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Price a document and apply its refunds one after the other.

    Raises `PricingErrors` with the path of everything that is wrong; tenders must pay the whole amount.
    """
    basket = parse(document)
    quote = price(basket)
    if quote.tenders and quote.unpaid_amount:
        raise fail("/tenders", f"leave {quote.unpaid_amount} fen unpaid")
    result = quote.to_document()
    requests = document.get("refunds")
    if requests is None:
        requests = ()
    if not isinstance(requests, list | tuple):
        raise fail("/refunds", "must be a list")
    for i, request in enumerate(requests):
        try:
            result["refunds"].append(refund(result["snapshot"], result["refunds"], request))
        except PricingErrors as errors:
            raise PricingErrors(
                [{**error, "pointer": f"/refunds/{i}{error['pointer']}"} for error in errors.errors]
            ) from errors
    return result
