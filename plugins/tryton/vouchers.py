"""Coupons' numbers and gift cards. A use is a sale without goods that carries the code, its reference the use's key.

A draft carries a hold, a quotation a redemption; cancelling lets go. Tryton lets two sales carry the same code, and
gives the same card to the last one that asks. So every taking of a code is conditional on the code's record being as
it was read (``_timestamp``), in the same transaction that makes the carrier, and is read back afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.sdk import (
    Answer,
    Call,
    Change,
    Coupon,
    CouponHeld,
    CouponRestore,
    CouponUse,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    NotFound,
    NotSupported,
    Query,
)
from plugins.tryton import mapping
from plugins.tryton.client import Far, Refused, steadily
from plugins.tryton.ground import Ground

SALE, NUMBER, CARD = "sale.sale", "sale.promotion.coupon.number", "sale.gift_card"
_NUMBER = (
    *("number", "active", "start_date", "end_date", "_timestamp", "coupon.number_of_use", "coupon.per_party"),
    *(f"coupon.promotion.{name}" for name in ("name", "formula", "active", "start_date", "end_date")),
    *(f"coupon.promotion.{name}" for name in mapping.CONDITIONS),
)
_CARD = ("number", "value", "spent_on", "origin", "_timestamp")
_CARRIER = ("state", "number", "coupons", "gift_cards", "lines", "description")
#: A used-up number is not active, and Tryton leaves it out unless it is told not to: a domain on the field finds none.
_ALL = {"active_test": False}


class Vouchers:
    """The coupon hooks' work."""

    def __init__(self, far: Far, ground: Ground, settings: Mapping[str, Any], zone: ZoneInfo) -> None:
        self._far = far
        self._ground = ground
        self._promotions = settings["promotions"]
        self._zone = zone

    # ---- reading
    def find(self, code: str) -> Coupon | None:
        """A coupon's number, else a gift card: the unspent one where a number was issued again."""
        number = self._number(code)
        if number is not None:
            uses = self._far.rows(SALE, [["coupons", "=", number["id"]]], ["state"])
            held = sum(sale["state"] == "draft" for sale in uses)
            return mapping.coupon_of(number, len(uses) - held, held, self._promotions, self._zone, self._today())
        cards = self._cards(code)
        return mapping.card_of(next((card for card in cards if not card["spent_on"]), cards[-1])) if cards else None

    def _today(self) -> date:
        return datetime.now(self._zone).date()

    def _number(self, code: str) -> dict[str, Any] | None:
        found = self._far.rows(NUMBER, [["number", "=", code]], _NUMBER, **_ALL)
        return next((row for row in found if row["active"]), found[-1] if found else None)

    def _cards(self, code: str) -> list[dict[str, Any]]:
        return self._far.rows(CARD, [["number", "=", code]], _CARD)

    def carrier(self, key: str) -> dict[str, Any] | None:
        """The sale that a use is noted as: the oldest that carries something, else the oldest."""
        found = self._far.rows(SALE, [["reference", "=", key]], _CARRIER)
        return next((row for row in found if row["coupons"] or row["gift_cards"]), found[0] if found else None)

    # ---- holding
    def reserve(self, request: CouponUse, call: Call) -> Change:
        """Make the carrier and take the code in one transaction, and read back that nobody else has it too."""
        if request.count > 1:
            raise NotSupported("one use of a code at a time: a sale of Tryton's carries a code once")

        def once() -> Change | None:
            carrier = self.carrier(call.key)
            if carrier is None:
                return self._take(request, call)
            if carrier["state"] == "cancelled":
                return Declined(reason=DeclineReason.COUPON_EXHAUSTED, message="the hold was let go")
            return self._checked(carrier, request, call)

        return steadily(call, once)

    def _take(self, request: CouponUse, call: Call) -> Declined | None:
        number = self._number(request.code)
        if number is not None:
            refusal = mapping.barred(number, self._today())
            if refusal is not None:
                return Declined(reason=refusal[0], message=refusal[1])
            self._carry(request, call, "coupons", NUMBER, number)
            return None
        cards = self._cards(request.code)
        free = next((card for card in cards if not card["spent_on"]), None)
        if free is None:
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED if cards else DeclineReason.COUPON_UNKNOWN)
        if mapping.fen(free["value"]) < request.amount:
            return Declined(reason=DeclineReason.INSUFFICIENT_VALUE, message="the card holds less")
        self._carry(request, call, "gift_cards", CARD, free)
        return None

    def _carry(self, request: CouponUse, call: Call, field: str, model: str, row: Mapping[str, Any]) -> None:
        """The conditional write. A code that was taken meanwhile is refused or busy: it is looked at again."""
        take = [["write", [row["id"]], {"number": row["number"]}], ["add", [row["id"]]]]
        values = {**self._sale(call.key, request.order_no), field: take}
        stamp = {f"{model},{row['id']}": row["_timestamp"]}
        try:
            self._far.change(call, f"{SALE}.create", [values], ref=call.key, _timestamp=stamp)
        except Refused:
            current = self._far.row(model, [["id", "=", row["id"]]], ["_timestamp"], **_ALL)
            if current is not None and current["_timestamp"] == row["_timestamp"]:
                raise

    def _sale(self, key: str, order_no: str) -> dict[str, Any]:
        customer = self._ground.customer
        return {
            "reference": key,
            "description": f"code of {order_no}"[:120],
            "party": customer.party,
            "invoice_address": customer.address,
            "shipment_address": customer.address,
            "currency": self._ground.currency,
            "invoice_method": "manual",
            "shipment_method": "manual",
            "lines": [["create", [_line(f"code of {order_no}", 0)]]],  # one without lines cannot be quoted
        }

    def _checked(self, carrier: Mapping[str, Any], request: CouponUse, call: Call) -> Change | None:
        """Somebody at a desk, bound by no condition, may have taken the code in the same moment: then we yield."""
        if carrier["coupons"]:
            number = self._number(request.code)
            limit = int(number["coupon."]["number_of_use"] or 0) if number else 0
            uses = self._far.rows(SALE, [["coupons", "=", carrier["coupons"][0]]], ["state"])
            if limit <= 0 or len(uses) <= limit:
                return _held(carrier)
        elif carrier["gift_cards"]:
            return _held(carrier)
        self._release(carrier, call)
        return None

    # ---- letting go, using up
    def cancel(self, request: CouponHeld, call: Call) -> Change:
        """Let a hold go."""

        def once() -> Change | None:
            carrier = self.carrier(request.original.key)
            if carrier is None or (carrier["state"] == "cancelled" and not carrier["gift_cards"]):
                return Done()
            if carrier["state"] != "draft":
                return Declined(reason=DeclineReason.TOO_LATE, message="the code is used up")
            self._release(carrier, call)
            return None

        return steadily(call, once)

    def _release(self, carrier: Mapping[str, Any], call: Call) -> None:
        """Cancelling a sale frees its coupons and not its cards: those are taken off before. One step at a time."""
        if carrier["gift_cards"]:
            taken_off = {"gift_cards": [["remove", carrier["gift_cards"]]]}
            self._far.change(call, f"{SALE}.write", [carrier["id"]], taken_off, ref=str(carrier["id"]))
        elif carrier["state"] != "cancelled":
            self._far.press(call, SALE, "cancel", carrier["id"])

    def confirm(self, request: CouponHeld, call: Call) -> Change:
        """Make the carrier a quotation; what is left on a card is issued again under its number."""

        def once() -> Change | None:
            carrier = self.carrier(request.original.key)
            if carrier is None or carrier["state"] == "cancelled":
                return Declined(reason=DeclineReason.NOT_FOUND, message="nothing is held there under this key")
            if carrier["state"] == "draft":
                self._far.press(call, SALE, "quote", carrier["id"])
                return None
            if self._owes(carrier, request.amount):
                self._issue(call, request.code, self._worth(carrier) - request.amount, carrier["lines"][0])
                return None
            return Done(ref=carrier["number"] or "", amount=request.amount if carrier["gift_cards"] else None)

        return steadily(call, once)

    def _worth(self, carrier: Mapping[str, Any]) -> int:
        cards = self._far.rows(CARD, [["id", "in", carrier["gift_cards"]]], ["value"])
        return sum(mapping.fen(card["value"]) for card in cards)

    def _owes(self, carrier: Mapping[str, Any], amount: int) -> bool:
        """Whether something is left of the carrier's cards that has not been issued yet."""
        if not carrier["gift_cards"] or self._worth(carrier) <= amount:
            return False
        return not self._issued(carrier["lines"])

    def _issued(self, lines: Sequence[int]) -> list[dict[str, Any]]:
        origins = [f"sale.line,{line}" for line in lines]
        return self._far.rows(CARD, [["origin", "in", origins]], ["number"]) if origins else []

    def _issue(self, call: Call, code: str, amount: int, line: int) -> None:
        values = {
            "number": code,
            "product": self._ground.gift_card,
            "value": mapping.money(amount),
            "currency": self._ground.currency,
            "origin": f"sale.line,{line}",
        }
        self._far.change(call, f"{CARD}.create", [values], ref=str(line))

    # ---- giving back
    def restore(self, request: CouponRestore, call: Call) -> Change:
        """A coupon comes back when its carrier is cancelled; a card's value is issued again under its number."""
        carrier = self.carrier(request.original.key)
        if carrier is None:
            return Declined(reason=DeclineReason.NOT_FOUND, message="no such redemption")
        if carrier["gift_cards"]:
            return steadily(call, lambda: self._restore_value(request, call))
        return steadily(call, lambda: self._restore_use(request, call))

    def _restore_use(self, request: CouponRestore, call: Call) -> Change | None:
        carrier = self.carrier(request.original.key)
        if carrier is None or carrier["state"] == "cancelled":
            return Done()
        self._far.press(call, SALE, "cancel", carrier["id"])
        return None

    def _restore_value(self, request: CouponRestore, call: Call) -> Change | None:
        """Collect what still lies under the number on a sale of our own, then issue the sum from that sale's line."""
        own = self.carrier(call.key)
        if own is None:
            values = self._sale(call.key, request.original.key)
            values["lines"] = [["create", [_line(f"given back to {request.code}", request.amount)]]]
            self._far.change(call, f"{SALE}.create", [values], ref=call.key)
            return None
        if self._issued(own["lines"]):
            return Done(amount=request.amount, facts={"id": own["id"]})
        free = next((card for card in self._cards(request.code) if not card["spent_on"]), None)
        if free is not None:
            stamp = {f"{CARD},{free['id']}": free["_timestamp"]}
            spend = {"gift_cards": [["add", [free["id"]]]]}
            self._far.change(call, f"{SALE}.write", [own["id"]], spend, ref=str(own["id"]), _timestamp=stamp)
            return None
        self._issue(call, request.code, self._worth(own) + request.amount, own["lines"][0])
        return None

    # ---- asking
    def query(self, query: Query) -> Answer:
        """What the carrier's state says about a change."""
        request = query.request
        if query.hook == "coupon_reserve":
            return self._asked_reserve(self.carrier(query.key))
        carrier = self.carrier(request.original.key)
        state = carrier["state"] if carrier else ""
        if query.hook == "coupon_cancel":
            return Done() if state in ("", "cancelled") and not (carrier or {}).get("gift_cards") else NotFound()
        if query.hook == "coupon_confirm":
            used = carrier is not None and state not in ("draft", "cancelled")
            return Done() if used and not self._owes(carrier or {}, request.amount) else NotFound()
        if carrier is not None and carrier["gift_cards"]:
            own = self.carrier(query.key)
            issued = own is not None and self._issued(own["lines"])
            return Done(amount=request.amount) if issued else NotFound()
        return Done() if state == "cancelled" else NotFound()

    def _asked_reserve(self, carrier: Mapping[str, Any] | None) -> Answer:
        if carrier is None:
            return NotFound()
        if carrier["state"] == "cancelled":
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED, message="the hold was let go")
        if not carrier["coupons"] and not carrier["gift_cards"]:
            return NotFound()
        return _held(carrier)


def _line(text: str, amount: int) -> dict[str, Any]:
    return {"description": text[:120], "quantity": 1.0, "unit_price": mapping.money(amount)}


def _held(carrier: Mapping[str, Any]) -> Done:
    if not isinstance(carrier.get("id"), int):
        raise InvalidReply("the carrier has no id")
    return Done(ref=str(carrier["id"]), facts={"id": carrier["id"]})
