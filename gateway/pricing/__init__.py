"""The pricing engine: campaigns, coupons, the best legal combination, fees, points, tenders, apportionment,
settlement, refunds.

Pure functions on frozen values: `parse` a document, `price` the basket, take the quote's `to_document`; `refund` from
its snapshot. Money is whole fen throughout. The document's schema is in docs/pricing.md.
"""

from gateway.pricing.documents import run_document
from gateway.pricing.engine import price
from gateway.pricing.errors import PricingError, PricingErrors, TooLittleValue
from gateway.pricing.model import Basket, Benefit
from gateway.pricing.parse_basket import parse
from gateway.pricing.parse_benefit import parse_campaigns
from gateway.pricing.quote import Quote
from gateway.pricing.refunds import refund
from gateway.pricing.usage import Use, Used, uses_of, with_used

__all__ = [
    "Basket",
    "Benefit",
    "PricingError",
    "PricingErrors",
    "Quote",
    "TooLittleValue",
    "Use",
    "Used",
    "parse",
    "parse_campaigns",
    "price",
    "refund",
    "run_document",
    "uses_of",
    "with_used",
]
