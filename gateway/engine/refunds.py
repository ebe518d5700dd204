"""Refunds: over every asset and every system that the checkout touched, in the amounts stored at sale time.

Money first, then points, coupons, goods and rewards, then the till and the slots. A refund has no way back: what is
refused or stays unknown becomes a person's case, and the rest goes on.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from gateway.domain.money import QUANTITY_SCALE, gross_of
from gateway.domain.payments import Method
from gateway.engine.basket import business_date
from gateway.engine.beside import BesideMoney
from gateway.engine.freeing import Freeing
from gateway.engine.limits import back_legs
from gateway.engine.model import Json, Kind, Leg, Op, OpState, Phase, Saga, State
from gateway.engine.own import OWN
from gateway.engine.problems import Problem, invalid
from gateway.engine.records import original_of, saga_from
from gateway.engine.replies import Reply
from gateway.engine.requests import tenders_of
from gateway.engine.retender import quote_in_force
from gateway.engine.seams import Secrets
from gateway.engine.service import Asked, Engine
from gateway.engine.views import refund_view, slots_view
from gateway.pricing import PricingErrors, refund
from gateway.store import journal as sql
from gateway.store.port import Tx

#: How often a refund is priced again because another one of the same checkout came first.
TRIES = 5

#: A refund's request as the pricing document has it.
_FIELDS = ("policy", "lines", "amount", "gift_returned", "vouchers_spent_amount", "tender_order")


class Moved(Exception):
    """Another refund of the same checkout was accepted first."""


class Refunds:
    """Gives back lines, units or an amount of a completed checkout."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def preview(self, merchant_id: str, checkout_id: str, request: Json) -> Json:
        """What each system would give back. The refund that follows gives back the same."""
        saga, ops = self._refundable(merchant_id, checkout_id)
        refund = self._saga(saga, ops, request)
        return {
            "checkout_id": saga.id,
            "currency": saga.doc["currency"],
            "amount": refund.amount,
            "gives_back": refund.doc["gives_back"],
            "slots": slots_view(refund, ()),
            "legs": [
                {"name": leg.name, "adapter": leg.adapter, "hook": hook}
                for leg in refund.legs()
                for hook in leg.hooks.values()
            ],
        }

    def create(self, asked: Asked, checkout_id: str, request: Json) -> Reply:
        """Refund. 201 when all of it is done, 202 while it is not; the same key gives the same reply again."""
        stored = self.engine.stored(asked)
        if stored is not None:
            return stored
        for _ in range(TRIES):
            try:
                return self._try(asked, checkout_id, request)
            except Moved:
                continue
        raise Problem("request-in-progress", "other refunds of this checkout are being made", retry_after=1)

    def _try(self, asked: Asked, checkout_id: str, request: Json) -> Reply:
        parent, ops = self._refundable(asked.merchant, checkout_id)
        saga = self._saga(parent, ops, request)
        return self.engine.start(asked, saga, Secrets(), lambda tx, _: self._take(tx, parent, saga.amount))

    def _saga(self, parent: Saga, ops: list[Op], request: Json) -> Saga:
        """The refund as it would be accepted now."""
        result = self._price(parent, request)
        legs, slots = self._legs(parent, ops, request, result)
        doc: Json = {
            # A return is booked on the day it is made, not on the day of the sale.
            "site": {**parent.doc["site"], "business_date": self._today(parent.merchant)},
            "currency": parent.doc["currency"],
            "reason": request.get("reason", ""),
            "gives_back": result,
            "slots": slots,
            "tenders": [],
            "legs": [leg.to_json() for leg in legs],
        }
        number = request.get("refund_no") or f"{parent.number}-{self.engine.ids.new()[-6:]}"
        return self.engine.new_saga(
            Kind.REFUND, parent.merchant, parent.store_id, number, doc, result["amount"], State.PAYING, 0, parent.id
        )

    def _legs(self, parent: Saga, ops: list[Op], request: Json, result: Json) -> tuple[list[Leg], list[Json]]:
        """What is asked of each system, and what becomes of the slots of lines that come back whole."""
        earlier = [refund.doc for refund in self._earlier(parent)]
        to_stock = request.get("return_stock")
        plan = _Plan(self.engine, parent, ops, result, earlier, goods=to_stock is not False)
        snapshot = quote_in_force(parent)["snapshot"]
        uses = back_legs(parent, snapshot, earlier, result, request.get("policy"), plan.whole)
        policy = self.engine.merchant(parent.merchant).policy.return_slots
        far = partial(self.engine.caller.far, parent.merchant)
        freeing = Freeing(parent, ops, far, policy, to_stock, self.engine.now())
        slots = freeing.plan(_back_whole(parent, earlier, result))
        return [*plan.legs(), *uses, *freeing.legs], slots

    def _today(self, merchant_id: str) -> str:
        return business_date(self.engine.merchant(merchant_id), self.engine.now()).isoformat()

    def _take(self, tx: Tx, parent: Saga, amount: int) -> None:
        """Count the refund against what was paid, unless another refund has been counted since this one was priced."""
        taken = tx.execute(
            "UPDATE sagas SET refunded_amount = refunded_amount + :amount, version = version + 1"
            " WHERE id = :id AND version = :seen AND refunded_amount + :amount <= amount",
            {"id": parent.id, "amount": amount, "seen": parent.version},
        )
        if taken != 1:
            raise Moved(parent.id)

    def _refundable(self, merchant_id: str, checkout_id: str) -> tuple[Saga, list[Op]]:
        saga, ops = self.engine.load(merchant_id, Kind.CHECKOUT, checkout_id)
        if saga.state is not State.COMPLETED:
            raise Problem("invalid-state", f"a checkout that is {saga.state} has nothing to give back")
        return saga, ops

    def _price(self, saga: Saga, request: Json) -> Json:
        already = [earlier.doc["gives_back"] for earlier in self._earlier(saga)]
        asked = {name: request[name] for name in _FIELDS if request.get(name) is not None}
        if "lines" in asked:
            asked["lines"] = [*asked["lines"], *_time_fees(saga, asked["lines"])]
        asked["at"] = self.engine.now().isoformat()
        try:
            result: Json = refund(quote_in_force(saga)["snapshot"], already, asked)
        except PricingErrors as errors:
            found = [dict(error) for error in errors.errors]
            raise Problem("refund-exceeds-paid", str(found[0]["detail"]), errors=found) from None
        goods = any(line.get("quantity") for line in result["lines"])
        if result["amount"] <= 0 and not goods:
            raise invalid("", "nothing is left to give back", "refund-exceeds-paid")
        return result

    def _earlier(self, saga: Saga) -> list[Saga]:
        rows = self.engine.journal.read(lambda tx: sql.children(tx, saga.id, Kind.REFUND))
        return [saga_from(row) for row in rows]

    def get(self, merchant_id: str, refund_id: str) -> Json:
        """One refund as it stands."""
        saga, ops = self.engine.load(merchant_id, Kind.REFUND, refund_id)
        return refund_view(saga, ops)


def _time_fees(parent: Saga, lines: list[Json]) -> list[Json]:
    """The fees for the time of slots that come back: a room by the hour has its whole price there, not on its line."""
    whole = {line["line_id"] for line in lines if Decimal(line.get("quantity") or 1) == 1}
    fees = quote_in_force(parent)["fees"]
    return [{"fee_id": fee["fee_id"]} for fee in fees if fee["kind"] == "time" and fee.get("line_id") in whole]


def _back_whole(parent: Saga, earlier: list[Json], result: Json) -> list[str]:
    """The lines of which this refund takes back the last unit."""
    back: dict[str, Decimal] = {}
    for given in (*(each["gives_back"] for each in earlier), result):
        for item in given["lines"]:
            line_id = item.get("line_id", "")
            back[line_id] = back.get(line_id, Decimal(0)) + Decimal(item.get("quantity") or 0)
    now = {item.get("line_id", "") for item in result["lines"] if item.get("quantity")}
    lines = ((line["line_id"], Decimal(line["quantity"])) for line in parent.doc["lines"])
    return [line_id for line_id, sold in lines if line_id in now and back[line_id] >= sold]


def _returned_line(line: Json, back: Json, beside_money: int) -> Json:
    """A sold line as it comes back: so much of it, and what is given back for it in money and ``beside_money``. A sum
    that is given back without goods returns none of them."""
    quantity, net = Decimal(back.get("quantity") or 0), back["amount"] + beside_money
    whole = quantity == Decimal(line["quantity"])
    price = line["gross_amount"] if whole else gross_of(line["unit_amount"], int(quantity * QUANTITY_SCALE))
    gross = max(price, net)  # a till's own sum of a line may be above its price times its quantity
    money = {"gross_amount": gross, "discount_amount": gross - net, "net_amount": net}
    discounts = line.get("allocations", []) if whole else []
    return {**line, "quantity": str(quantity), "allocations": discounts, **money}


class _Plan:
    """Plans the legs of one refund from what the checkout did; ``goods``: whether they are put back in stock."""

    def __init__(
        self, engine: Engine, parent: Saga, ops: list[Op], result: Json, earlier: list[Json], goods: bool
    ) -> None:
        self.goods = goods
        self.engine, self.parent, self.ops, self.result, self.earlier = engine, parent, ops, result, earlier
        told = (coupon for refund in earlier for coupon in refund["gives_back"].get("coupons", ()))
        self.back_already = {coupon["code"] for coupon in told if coupon["status"] != "redeemed"}
        self.planned = {leg.name: leg for leg in parent.legs()}
        self.whole = result["amount"] + parent.refunded == parent.amount
        self.out: list[Leg] = []

    def legs(self) -> list[Leg]:
        for item in self.result["tenders"]:
            if item["amount"] > 0:
                self._tender(next(t for t in tenders_of(self.parent) if t["id"] == item["id"]), item["amount"])
        self._points()
        self._coupons()
        self._goods()
        self._rewards()
        self._till()
        return self.out

    def _done(self, leg: str, *hooks: str) -> Op | None:
        """The operation that this leg ended with, if it happened."""
        return next(
            (op for hook in hooks for op in self.ops if (op.leg, op.hook, op.state) == (leg, hook, OpState.OK)), None
        )

    def _add(self, name: str, source: Leg, phase: Phase, hook: str, original: Op | None, params: Json) -> None:
        if original is not None:
            params = {**params, "original": original_of(original)}
        self.out.append(Leg(name, source.connection, source.adapter, {phase.value: hook}, params))

    def _tender(self, tender: Json, amount: int) -> None:
        """Give money back the way it came; cash is handed over at the till, which books it."""
        leg = self.planned.get(tender["leg"])
        if leg is None:
            return
        name, params = f"refund:{leg.name}", {**leg.params, "amount": amount, "worth_amount": amount}
        if (charge := self._done(leg.name, "payment_charge", "payment_capture")) is not None:
            params["charged_amount"] = tender["amount"]
            self._add(name, leg, Phase.PAY, "payment_refund", charge, params)
        elif (held := self._done(leg.name, "value_reserve")) is not None:
            buckets = self.result.get("accounts", {}).get("stored_value")
            extra = {"buckets": buckets} if buckets and tender["method"] == Method.STORED_VALUE else {}
            extra |= {"held_by": self.parent.id} if leg.connection == OWN else {}
            self._add(name, leg, Phase.PAY, "value_return", held, {**params, **extra})
        elif (used := self._done(leg.name, "coupon_reserve", "coupon_redeem")) is not None:
            self._code(name, leg, tender, used, params)

    def _code(self, name: str, leg: Leg, tender: Json, used: Op, params: Json) -> None:
        """A balance comes back by amount; a voucher as a whole with its last part, with the count it was used for."""
        if tender["method"] == Method.VOUCHER:
            status = next(c["status"] for c in self.result["coupons"] if c["code"] == tender["code"])
            if status != "available":
                return
            params = leg.params
        self._add(name, leg, Phase.PAY, "coupon_restore", used, params)

    def _points(self) -> None:
        points = self.result.get("points") or {}
        spent, earned = self.planned.get("points"), self.planned.get("earn")
        if points.get("returned") and spent is not None:
            held = self._done("points", "points_reserve")
            self._add(
                "points", spent, Phase.SETTLE, "points_return", held, {**spent.params, "points": points["returned"]}
            )
        if points.get("revoked") and earned is not None:
            given = self._done("earn", "points_earn")
            if given is not None:
                params = {**earned.params, "points": points["revoked"]}
                self._add("earn", earned, Phase.SETTLE, "points_revoke", given, params)

    def _coupons(self) -> None:
        """A coupon comes back only when its last line does: the pricing engine says when."""
        for coupon in self.result.get("coupons", ()):
            leg = self.planned.get(f"coupon:{coupon['code']}")
            if coupon["status"] != "available" or coupon["code"] in self.back_already or leg is None:
                continue
            used = self._done(leg.name, "coupon_reserve", "coupon_redeem")
            self._add(leg.name, leg, Phase.SETTLE, "coupon_restore", used, leg.params)

    def _goods(self) -> None:
        leg = self.planned.get("stock")
        if leg is None or not self.goods:
            return
        stocked = {item["sku"] for item in leg.params["items"]}
        lines = {line["line_id"]: line for line in self.parent.doc["lines"]}
        items: list[Json] = []
        for back in self.result["lines"]:
            line = lines.get(back.get("line_id", ""))
            if line is not None and line["sku"] in stocked and back.get("quantity"):
                items.append(
                    {"sku": line["sku"], "quantity": back["quantity"], "counter_id": line.get("counter_id", "")}
                )
        if items:
            held, confirmed = self._done("stock", "stock_reserve"), self._done("stock", "stock_confirm")
            params: Json = {"items": items, "store_id": self.parent.store_id, "held_by": self.parent.id}
            params |= {} if confirmed is None else {"confirmed": original_of(confirmed)}
            self._add("stock", leg, Phase.SETTLE, "stock_return", held, params)

    def _rewards(self) -> None:
        for reward in self.result.get("rewards", ()):
            leg = self.planned.get(f"reward:{reward['id']}")
            amount = reward.get("cancelled_amount", 0) + reward.get("clawed_back_amount", 0)
            given = self._done(leg.name, "reward_send") if leg is not None else None
            if leg is not None and given is not None and amount:
                self._add(leg.name, leg, Phase.SETTLE, "reward_revoke", given, {**leg.params, "worth_amount": amount})

    def _till(self) -> None:
        """Book the return, after the sale; a till that takes back only whole sales is asked to void the whole one."""
        leg = self.planned.get("order")
        if leg is None or leg.name in self.parent.without():
            return
        posted = self._done("order", "order_post")
        far = self.engine.caller.far(self.parent.merchant, leg.connection)
        first = self.parent.refunded == 0
        hook = (
            "order_void"
            if self.whole and first and not far.has("order_return") and far.has("order_void")
            else "order_return"
        )
        beside = BesideMoney(quote_in_force(self.parent), self.earlier, self.result)
        params: Json = {
            "order_no": self.parent.number,
            "worth_amount": self.result["amount"],
            "whole": self.whole,
            "lines": self._returned_lines(beside),
            "tenders": self._returned_tenders(),
            "bills": leg.params.get("bills", []),
            "after_sale": posted is None,
        }
        if points := self.result.get("points"):
            params |= {"points_returned": points["returned"], "points_amount": beside.points_amount}
        params["rounding_amount"] = beside.rounding_amount
        self._add("order", leg, Phase.POST, hook, posted, params)

    def _returned_lines(self, beside: BesideMoney) -> list[Json]:
        lines = {line["line_id"]: line for line in self.parent.doc["lines"]}
        sold = ((lines.get(back.get("line_id", "")), back) for back in self.result["lines"])
        return [_returned_line(line, back, beside.of(line["line_id"])) for line, back in sold if line is not None]

    def _returned_tenders(self) -> list[Json]:
        by_id = {tender["id"]: tender for tender in tenders_of(self.parent)}
        found: list[dict[str, Any]] = []
        for item in self.result["tenders"]:
            tender = by_id.get(item["id"])
            if tender is None:  # it was to pay nothing, and was not taken
                continue
            op = next((op for op in self.ops if op.leg == tender["leg"] and op.ref), None)
            known = {"ref": op.ref, "facts": dict(op.facts)} if op else {"ref": ""}
            found.append({**tender, "amount": item["amount"], **known})
        return found
