"""Quotes and checkouts: price, plan, accept, and drive to the end."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from gateway.domain.common import Secret
from gateway.engine.basket import Baskets
from gateway.engine.campaigns import NONE, Campaigns
from gateway.engine.driver import Work
from gateway.engine.model import Json, Kind, Saga, State
from gateway.engine.parts import REPRICED, part_of
from gateway.engine.plan import Planner
from gateway.engine.priced import Priced
from gateway.engine.problems import Problem, invalid
from gateway.engine.records import op_from, saga_from
from gateway.engine.replies import Reply
from gateway.engine.requests import tenders_of
from gateway.engine.retender import retendered
from gateway.engine.seams import Secrets, first_id
from gateway.engine.service import Asked, Engine
from gateway.engine.tillprice import price_with_till
from gateway.engine.views import checkout_view, moment, quote_view
from gateway.runtime.merchant import Policy
from gateway.store import holds as holds_sql
from gateway.store import journal as sql
from gateway.store.listings import checkouts_sql
from gateway.store.port import Row, Tx

#: How long a quote's price is honoured, in milliseconds.
QUOTE_LIVES = 15 * 60 * 1000
#: How far the clocks of several machines may differ, in milliseconds.
SKEW = 60 * 60 * 1000
#: A time that does not come.
NEVER = 1 << 45


class Checkouts:
    """The main job."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    # --- quotes ------------------------------------------------------------------------------------------------------

    def quote(self, merchant_id: str, request: Json, *, may_price: bool = False) -> Json:
        """Price a basket; changes nothing but that its price is remembered until ``expires_at``."""
        priced = self._price(merchant_id, request, may_price)
        quote_id, expires = f"quo_{self.engine.ids.new()}", self.engine.clock.now() + QUOTE_LIVES
        clean = without_secrets(request)
        kept = {
            "request": {name: value for name, value in clean.items() if name != "member"},
            "member": self.engine.quoted.seal(sql.dump(clean.get("member")), quote_id),
            "document": priced.document,
            "campaigns": list(self.engine.campaigns(priced.merchant).documents),
            "payable_amount": priced.quote["payable_amount"],
        }
        row = {"id": quote_id, "merchant": merchant_id, "expires": expires, "doc": sql.dump(kept)}
        insert = "INSERT INTO quotes (id, merchant, expires, doc) VALUES (:id, :merchant, :expires, :doc)"
        self.engine.journal.tx(lambda tx: tx.execute(insert, row))
        return {"quote_id": quote_id, "expires_at": moment(expires), **quote_of(priced)}

    def _price(self, merchant_id: str, request: Json, may_price: bool, without: frozenset[str] = frozenset()) -> Priced:
        merchant = self.engine.merchant(merchant_id)
        if request.get("quote_id"):
            return self._as_quoted(merchant_id, request, may_price, without)
        reading, campaigns = self.engine.reading(merchant_id), self.engine.campaigns(merchant)
        baskets = Baskets(reading, merchant, campaigns, self.engine.now(), may_price, without)
        priced = baskets.price(request, self._deposits(merchant_id, request))
        price_with_till(priced)
        return priced

    def _as_quoted(self, merchant_id: str, request: Json, may_price: bool, without: frozenset[str]) -> Priced:
        """Price with the campaigns and the time of the quote; what is read from far systems is read afresh."""
        row = self.engine.journal.read(
            lambda tx: tx.one(
                "SELECT * FROM quotes WHERE id = :id AND merchant = :merchant",
                {"id": request["quote_id"], "merchant": merchant_id},
            )
        )
        if row is None:
            raise invalid("/quote_id", "no such quote")
        if row["expires"] < self.engine.clock.now():
            raise Problem("quote-expired", "ask for a new quote")
        kept, merchant = json.loads(row["doc"]), self.engine.merchant(merchant_id)
        member = self.engine.quoted.open(kept.get("member", ""), row["id"])
        if member is None:  # kept under another master key, or by a version that sealed nothing
            raise Problem("quote-expired", "ask for a new quote")
        # The tenders meant by the quote had no payment codes: those that pay are the checkout's own.
        quoted = {**kept["request"], "member": json.loads(member), "tenders": request.get("tenders") or []}
        then = Campaigns.read(kept["campaigns"])
        baskets = Baskets(self.engine.reading(merchant_id), merchant, then, self.engine.now(), may_price, without)
        baskets.honour = kept["document"]
        priced = baskets.price(quoted, self._deposits(merchant_id, quoted))
        price_with_till(priced)
        if priced.quote["payable_amount"] > kept.get("payable_amount", priced.quote["payable_amount"]):
            detail = f"it is {priced.quote['payable_amount']} now, not {kept['payable_amount']} as quoted"
            raise Problem("price-changed", detail, extra={"quote": quote_of(priced)})
        return priced

    def _deposits(self, merchant_id: str, request: Json) -> dict[str, int]:
        """What is left of each deposit that is to pay, in minor units."""
        wanted = [t["deposit_id"] for t in request.get("tenders") or [] if t["method"] == "deposit"]
        return {deposit_id: self._deposit_left(merchant_id, deposit_id) for deposit_id in wanted}

    def _deposit_left(self, merchant_id: str, deposit_id: str) -> int:
        saga, _ = self.engine.load(merchant_id, Kind.DEPOSIT, deposit_id)
        if saga.state is not State.COMPLETED:
            raise invalid("/tenders", "this deposit is not held", "tenders-mismatch")
        used = self.engine.journal.read(lambda tx: holds_sql.taken(tx, merchant_id, "deposit", "", deposit_id, 0))
        return saga.amount - saga.refunded - used

    def _look_at_deposits(self, merchant_id: str, priced: Priced) -> None:
        """Find how each deposit that is to pay is held."""
        for tender in priced.tenders:
            if tender["method"] == "deposit":
                priced.deposits[tender["deposit_id"]] = self.engine.load(
                    merchant_id, Kind.DEPOSIT, tender["deposit_id"]
                )

    # --- checkouts ---------------------------------------------------------------------------------------------------

    def create(self, asked: Asked, request: Json, *, may_price: bool = False) -> Reply:
        """Settle a checkout. The reply is 201, 202, or a problem; the same key gives the same reply again."""
        stored = self._stored(asked, request["order_no"])
        if stored is not None:
            return stored
        without: frozenset[str] = frozenset()
        while True:
            try:
                return self._settle(asked, request, may_price, without)
            except Problem as problem:
                without = self._without(asked.merchant, problem, without)

    def _without(self, merchant_id: str, problem: Problem, without: frozenset[str]) -> frozenset[str]:
        """What to leave out at the next try, when a checkout found a system down and nothing of it was sent anywhere.

        Raises the problem where the merchant can not do without. What does not touch the price is left out on the way.
        """
        leg = str(problem.extra.get("leg", "")).removeprefix("lock:")
        part = part_of(leg) if problem.slug == "adapter-unavailable" else ""
        if part not in REPRICED or leg in without or self.engine.merchant(merchant_id).policy.when(part) != "without":
            raise problem
        return without | {leg}

    def _settle(self, asked: Asked, request: Json, may_price: bool, without: frozenset[str]) -> Reply:
        began = self.engine.clock.now()
        priced = self._price(asked.merchant, request, may_price, without)
        self._expected(priced, request)
        secrets = Secrets()
        saga = self._plan(asked.merchant, request, priced, secrets, began)
        try:
            return self.engine.start(asked, saga, secrets)
        except Problem as problem:
            if problem.slug != "price-changed":
                raise
            raise self._with_new_quote(problem, asked.merchant, request, may_price) from None

    def _with_new_quote(self, problem: Problem, merchant_id: str, request: Json, may_price: bool) -> Problem:
        """A limit was reached between the price and the hold: say what it comes to now, if that can be said."""
        with suppress(Problem):
            problem.extra["quote"] = quote_of(self._price(merchant_id, request, may_price))
        return problem

    def _stored(self, asked: Asked, order_no: str) -> Reply | None:
        """The reply to this request if it was made before. Raises ``duplicate-order`` for another with its number."""

        def look(tx: Tx) -> tuple[bool, Row | None]:
            known = sql.key(tx, asked.merchant, asked.key) is not None
            return known, sql.saga_by_number(tx, asked.merchant, Kind.CHECKOUT, order_no)

        known, used = self.engine.journal.read(look)
        if known:
            stored = self.engine.stored(asked)
            if stored is not None:
                return stored
            _, used = self.engine.journal.read(look)  # what nothing was sent of has been forgotten, its number too
        if used is not None:
            location = f"/v1/merchants/{asked.merchant}/checkouts/{used['id']}"
            detail = f"the order number {order_no!r} has been used; read Location"
            raise Problem("duplicate-order", detail, location=location, extra={"checkout_id": used["id"]})
        return None

    def _expected(self, priced: Priced, request: Json) -> None:
        expected, payable = request.get("expected_payable_amount"), priced.quote["payable_amount"]
        if expected is not None and expected != payable:
            detail = f"it is {payable} now, not {expected}"
            raise Problem("price-changed", detail, extra={"quote": quote_of(priced)})
        paid = sum(tender["amount"] for tender in priced.quote["tenders"])
        if paid < payable and request.get("on_decline") != "await_tender":
            detail = f"the tenders come to {paid}, {payable} is to be paid"
            raise invalid("/tenders", detail, "tenders-mismatch")

    def _plan(self, merchant_id: str, request: Json, priced: Priced, secrets: Secrets, began: int) -> Saga:
        self._look_at_deposits(merchant_id, priced)
        planner = Planner(self.engine.reading(merchant_id), priced, began)
        planner.plan()
        for tender in priced.tenders:
            if tender.get("auth_code"):
                secrets.codes[f"tender:{tender['id']}"] = Secret(tender["auth_code"])
        member = priced.member
        doc: Json = {
            "site": priced.site,
            "currency": priced.merchant.currency,
            "subject": subject_of(priced),
            "on_decline": request.get("on_decline", "release"),
            "quote": priced.quote,
            "lines": priced.lines,
            "tenders": planner.tenders,
            "legs": [leg.to_json() for leg in planner.legs],
            "member": {"ref": member.ref, "tier": member.tier} if member else None,
            **self.engine.addresses.kept(priced.merchant, priced.identity, member),
            "session_id": priced.session_id,
            **({"left_out": priced.left_out} if priced.left_out else {}),
            **({"policy": said} if (said := policy_of(priced.merchant.policy)) else {}),
        }
        # A coupon or points may have brought what is to be paid to nothing: that needs no tender.
        return self.engine.new_saga(
            Kind.CHECKOUT,
            merchant_id,
            priced.store_id,
            request["order_no"],
            doc,
            priced.quote["payable_amount"],
            State.RESERVING,
            priced.merchant.policy.reserve_ttl_s * 1000,
        )

    def get(self, merchant_id: str, checkout_id: str) -> Json:
        """One checkout as it stands."""
        saga, ops = self.engine.load(merchant_id, Kind.CHECKOUT, checkout_id)
        return checkout_view(saga, ops)

    # --- on the way --------------------------------------------------------------------------------------------------

    def add_tender(self, asked: Asked, checkout_id: str, tender: Json) -> Reply:
        """Add a tender to a checkout that awaits one: the next payer, another code after a decline."""
        secrets = Secrets()

        def alter(work: Work) -> None:
            saga = work.saga
            if saga.state is not State.AWAITING_TENDER or self.engine.clock.now() >= saga.expires_at:
                raise Problem("invalid-state", "this checkout awaits no tender")
            self._add_tender(saga, tender, secrets)

        return self.engine.change(asked, Kind.CHECKOUT, checkout_id, alter, secrets)

    def _add_tender(self, saga: Saga, asked: Json, secrets: Secrets) -> None:
        left = saga.amount - sum(tender["amount"] for tender in tenders_of(saga))
        amount = asked.get("amount") or left
        if amount > left:
            raise invalid("/amount", f"only {left} is still to be paid", "tenders-mismatch")
        number = len(saga.doc["tenders"]) + len(saga.progress.get("tenders", ())) + 1
        asked, began = {**asked, "id": f"t{number}"}, self.engine.clock.now()
        planner = Planner(self.engine.reading(saga.merchant), self._for_tender(saga, asked), began)
        planner.add_tender(asked, {"amount": amount})
        saga.progress.setdefault("legs", []).extend(leg.to_json() for leg in planner.legs)
        saga.progress.setdefault("tenders", []).extend(planner.tenders)
        saga.progress["tender_added"] = True
        standing = tenders_of(saga)
        if sum(tender["amount"] for tender in standing) == saga.amount:
            saga.progress["quote"] = retendered(saga.doc["quote"], standing)
        if asked.get("auth_code"):
            secrets.codes[f"tender:{asked['id']}"] = Secret(asked["auth_code"])

    def _for_tender(self, saga: Saga, asked: Json) -> Priced:
        """As much of a priced basket as planning one more tender needs."""
        merchant = self.engine.merchant(saga.merchant)
        priced = Priced(merchant, saga.store_id, saga.doc["site"], {}, quote=saga.doc["quote"])
        baskets = Baskets(self.engine.reading(saga.merchant), merchant, NONE, self.engine.now(), False)
        baskets.look_up_tender(priced, asked)
        if asked["method"] == "deposit":
            asked["held_amount"] = self._deposit_left(saga.merchant, asked["deposit_id"])
            priced.tenders.append(asked)
            self._look_at_deposits(saga.merchant, priced)
        return priced

    def cancel(self, asked: Asked, checkout_id: str) -> Reply:
        """Cancel while nothing irreversible has happened: before the last tender was taken."""

        def alter(work: Work) -> None:
            if work.saga.state not in (State.RESERVING, State.PAYING, State.AWAITING_TENDER):
                raise Problem("invalid-state", f"a checkout that is {work.saga.state} cannot be cancelled")
            work.saga.progress["cancel"] = True

        return self.engine.change(asked, Kind.CHECKOUT, checkout_id, alter, Secrets())

    # --- finding -----------------------------------------------------------------------------------------------------

    def find(
        self,
        merchant_id: str,
        *,
        order_no: str,
        states: Collection[str],
        status: str,
        stores: Collection[str] | None,
        start: int,
        end: int,
        after: str,
        limit: int,
    ) -> list[Json]:
        """Checkouts, newest first, after an id; times in milliseconds.

        ``states`` narrows to these of the engine (none: all), ``status`` to one as the platform is told it, ``stores``
        to those that may be seen (``None``: all).
        """
        asked: Json = {"merchant": merchant_id, "limit": limit}
        asked |= {"number": order_no} if order_no else {}
        # Ids rise with the time: a window is found by its ids, with an hour to spare for clocks that differ.
        asked |= {"start": start, "from_id": f"chk_{first_id(start - SKEW)}"} if start > SKEW else {}
        asked |= {"end": end, "to_id": f"chk_{first_id(end + SKEW)}"} if end < NEVER else {}
        found: list[Json] = []
        while len(found) < limit:
            row = {**asked, "after": after} if after else asked
            views = self.engine.journal.read(lambda tx, row=row: _listed(tx, row, states, stores))  # type: ignore[misc]
            found += [view for view in views if not status or view["status"] == status]
            if len(views) < limit:
                break
            after = views[-1]["id"]
        return found[:limit]

    def quoted_store(self, merchant_id: str, quote_id: str) -> str | None:
        """The store of a quote; ``None`` if there is no such quote."""
        sql_text = "SELECT doc FROM quotes WHERE id = :id AND merchant = :merchant"
        row = self.engine.journal.read(lambda tx: tx.one(sql_text, {"id": quote_id, "merchant": merchant_id}))
        return None if row is None else str(json.loads(row["doc"])["request"]["store_id"])


def _listed(tx: Tx, row: Json, states: Collection[str], stores: Collection[str] | None) -> list[Json]:
    """One page of checkouts, as the platform sees them."""
    rows = tx.all(*checkouts_sql(row, states or None, stores))
    return [checkout_view(saga_from(found), [op_from(op) for op in sql.ops(tx, found["id"])]) for found in rows]


def quote_of(priced: Priced) -> Json:
    """A price as the platform sees it."""
    view = quote_view(priced.quote)
    view["currency"] = priced.merchant.currency
    if priced.left_out:
        view["left_out"] = priced.left_out
    if priced.member is not None:
        member = priced.member
        view["member"] = {"id": member.ref, "tier": member.tier, "points_available": member.points_available}
    return view


def policy_of(policy: Policy) -> Json:
    """What the decision must know of the merchant's policy, as it is when the checkout is accepted; times in ms.

    What the merchant leaves as it is by default is not kept.
    """
    said = {
        "close_after": None if policy.close_after_s is None else int(policy.close_after_s * 1000),
        "post_failure": policy.on_order_post_failure,
        "redemption_failure": policy.on_redemption_failure,
        "spent_elsewhere": policy.spent_elsewhere,
    }
    defaults = {"post_failure": "task", "redemption_failure": "refund", "spent_elsewhere": "refund"}
    return {name: value for name, value in said.items() if value not in (None, defaults.get(name))}


def subject_of(priced: Priced) -> str:
    """What the customer's wallet shows: the shop and the first article."""
    store = priced.merchant.stores[priced.store_id]
    first = next((line["name"] for line in priced.lines if line.get("name")), "")
    return f"{store.name} {first}".strip()[:60]


def without_secrets(request: Json) -> Json:
    """A request that may be stored: no payment code in it."""
    tenders = request.get("tenders")
    if not tenders:
        return request
    clean: list[dict[str, Any]] = [{k: v for k, v in tender.items() if k != "auth_code"} for tender in tenders]
    return {**request, "tenders": clean}
