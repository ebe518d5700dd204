"""Quotes and checkouts."""

from __future__ import annotations

from gateway.api.lists import STATES_OF, cursor_of, cursor_position, page, window
from gateway.api.operation import Ask, operation
from gateway.api.owned import need_deposits, need_saga
from gateway.engine.model import Json, Kind
from gateway.engine.problems import invalid
from gateway.engine.replies import Reply
from schemas.checkouts import Checkout, CheckoutRequest
from schemas.lists import CheckoutList, CheckoutQuery
from schemas.quotes import Quote, QuoteRequest
from schemas.tenders import AddTender

_PRICE = (
    "bill-changed",
    "slot-taken",
    "coupon-not-applicable",
    "insufficient-points",
    "insufficient-stored-value",
    "price-changed",
    "adapter-unavailable",
    "not-found",
)
_CHECKOUT = (
    *_PRICE,
    "payment-declined",
    "out-of-stock",
    "coupon-exhausted",
    "quote-expired",
    "checkout-failed",
    "duplicate-order",
    "tenders-mismatch",
    "payment-code-unrecognised",
)


@operation(
    "POST",
    "…/quotes",
    body=QuoteRequest,
    returns={200: Quote},
    scopes=("checkout:read",),
    problems=(*_PRICE, "storage-full", "tenders-mismatch"),
    guess="coupon",
)
def create_quote(ask: Ask) -> Json:
    """Price a basket. Changes nothing; the price is honoured until ``expires_at``."""
    ask.need_room()
    ask.need_store(ask.body["store_id"], "/store_id")
    need_deposits(ask, ask.body.get("tenders", ()))
    return ask.parts.checkouts.quote(ask.merchant_id, ask.body, may_price=ask.may("price:write"))


@operation(
    "POST",
    "…/checkouts",
    body=CheckoutRequest,
    returns={201: Checkout, 202: Checkout},
    scopes=("checkout:write",),
    idempotent=True,
    problems=_CHECKOUT,
    guess="coupon",
)
def create_checkout(ask: Ask) -> Reply:
    """Settle a checkout: member price, coupons, points, money, stock or room, and the bill in the till.

    201 when all of it is done, 202 with ``Location`` while an outcome is not known yet.
    """
    ask.need_room()
    if "store_id" in ask.body:
        ask.need_store(ask.body["store_id"], "/store_id")
    elif ask.key.stores is not None and not _quoted_for(ask, ask.body["quote_id"]):
        raise invalid("/quote_id", "no such quote")
    tenders = ask.body.get("tenders", ())
    need_deposits(ask, tenders)
    for tender in tenders:
        ask.terminal(tender)
    return ask.parts.checkouts.create(ask.change, ask.body, may_price=ask.may("price:write"))


def _quoted_for(ask: Ask, quote_id: str) -> bool:
    """Whether a quote is for a store that the key sees."""
    store = ask.parts.checkouts.quoted_store(ask.merchant_id, quote_id)
    return store is not None and ask.key.sees_store(store)


@operation("GET", "…/checkouts/<checkout_id>", returns={200: Checkout}, scopes=("checkout:read",))
def read_checkout(ask: Ask) -> Json:
    """One checkout as it stands now."""
    need_saga(ask, Kind.CHECKOUT, ask.ids["checkout_id"])
    return ask.parts.checkouts.get(ask.merchant_id, ask.ids["checkout_id"])


@operation("GET", "…/checkouts", query=CheckoutQuery, returns={200: CheckoutList}, scopes=("checkout:read",))
def list_checkouts(ask: Ask) -> Json:
    """Checkouts, newest first: by order number, status and the time they were accepted."""
    query = ask.query
    start, end = window(query)
    status = query.get("status", "")
    found = ask.parts.checkouts.find(
        ask.merchant_id,
        order_no=query.get("order_no", ""),
        states=STATES_OF.get(status, ()),
        status=status,
        stores=ask.key.stores,
        start=start,
        end=end,
        after=cursor_position(query, "chk_"),
        limit=query["limit"] + 1,
    )
    return page(found, query["limit"], lambda item: cursor_of(item["id"]))


@operation(
    "POST",
    "…/checkouts/<checkout_id>/tenders",
    body=AddTender,
    returns={200: Checkout, 201: Checkout, 202: Checkout},
    scopes=("checkout:write",),
    idempotent=True,
    problems=("payment-declined", "invalid-state", "tenders-mismatch", "payment-code-unrecognised", "checkout-failed"),
    guess="coupon",
)
def add_tender(ask: Ask) -> Reply:
    """Add a tender to a checkout that awaits one: the next payer, another code after a decline."""
    need_saga(ask, Kind.CHECKOUT, ask.ids["checkout_id"])
    need_deposits(ask, (ask.body,))
    return ask.parts.checkouts.add_tender(ask.change, ask.ids["checkout_id"], ask.body)


@operation(
    "POST",
    "…/checkouts/<checkout_id>/cancel",
    returns={200: Checkout, 201: Checkout, 202: Checkout},
    scopes=("checkout:write",),
    idempotent=True,
    problems=("invalid-state",),
)
def cancel_checkout(ask: Ask) -> Reply:
    """Cancel while nothing irreversible has happened: what is held is let go, what was paid is given back."""
    need_saga(ask, Kind.CHECKOUT, ask.ids["checkout_id"])
    return ask.parts.checkouts.cancel(ask.change, ask.ids["checkout_id"])
