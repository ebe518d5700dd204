"""Vouchers: held by a cart position of a free product, redeemed by an order of it, taken back by cancelling that.

pretix redeems a voucher only with an order; a product that costs nothing stands for it, so that a voucher is used up
before the sale is posted and can be given back by itself. The order's code is made of our key and unique, so that a
redemption happens once; two orders of different codes could use one cart, and its voucher, twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from gateway.sdk import (
    Answer,
    Call,
    Change,
    Context,
    Coupon,
    CouponHeld,
    CouponRestore,
    CouponUse,
    Declined,
    DeclineReason,
    Done,
    NotFound,
    OutcomeUnknown,
    Query,
)
from plugins.pretix import holding, mapping
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.cards import hold_of
from plugins.pretix.client import Refused, Talk
from plugins.pretix.notes import Notes

KIND = p.VOUCHER


class Vouchers:
    """The vouchers of one event."""

    def __init__(self, context: Context, notes: Notes) -> None:
        self._context, self._notes = context, notes
        self._item, self._date = context.settings["redemption_item"], context.settings["redemption_date"]

    def find(self, talk: Talk, code: str) -> Coupon | None:
        voucher = self._voucher(talk, code)
        return self._coupon(voucher) if voucher else None

    def reserve(self, talk: Talk, request: CouponUse, call: Call, voucher: r.Voucher) -> Change:
        now, coupon = self._context.clock(), self._coupon(voucher)
        if not coupon.usable and call.attempt == 1:
            late = voucher.valid_until is not None and voucher.valid_until < now
            reason = DeclineReason.COUPON_EXPIRED if late else DeclineReason.COUPON_NOT_APPLICABLE
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED if not coupon.counts.available else reason)
        expires = now + timedelta(seconds=request.ttl_s + self._context.settings["grace_s"])
        row = self._position(request.code) | {"cart_id": p.cart_id(call.key), "expires": expires.isoformat()}
        wanted = [row] * request.count
        held = holding.reserve(talk, call.key, wanted, call, now, DeclineReason.COUPON_EXHAUSTED)
        return held if isinstance(held, Declined) else self._done(call.key, request.amount, replayed=held.replayed)

    def confirm(self, talk: Talk, request: CouponHeld, call: Call) -> Change:
        """Redeem by an order of our own code that uses the hold up; read it and its positions back."""
        hold = hold_of(request.original)
        code = p.order_code(hold)
        earlier = self._order(talk, code)
        if earlier is None:
            body = self._order_body(code, hold, request, call.key)
            try:
                with call.step("redeem", code):
                    talk.change("POST", "orders/", body, lambda body: None)
            except Refused as refusal:
                if "code" not in refusal.text and "ntegrity" not in refusal.text:
                    return Declined(
                        reason=DeclineReason.COUPON_EXHAUSTED, code=str(refusal.status), message=refusal.text
                    )  # fmt: skip
        found = earlier or self._order(talk, code)
        if found is None or found.meta.get("hold") != hold or len(_live(found)) != request.count:
            raise OutcomeUnknown(f"the order {code} is not this redemption, or not whole")
        return self._done(hold, request.amount, replayed=earlier is not None)

    def cancel(self, talk: Talk, request: CouponHeld, call: Call) -> Change:
        done = holding.cancel(talk, hold_of(request.original), request.original.at, call)
        return Done(ref=done.ref, facts={"kind": KIND, "hold": hold_of(request.original)})

    def restore(self, talk: Talk, request: CouponRestore, call: Call) -> Change:
        """Cancel the redemption's order, or as many of its positions as uses are given back."""
        hold = hold_of(request.original)
        code = p.order_code(hold)
        found = self._order(talk, code)
        if found is None:
            return Declined(reason=DeclineReason.NOT_FOUND, message="no redemption is known under this key")
        live = [each.id for each in _live(found)]
        chosen = self._notes.plan_return(call.key, live[: request.count])
        self._notes.put_restored(self._context.clock().astimezone(self._context.timezone), code, call.key)
        todo = [piece for piece in chosen if piece in live]
        if len(chosen) != request.count:
            return Declined(reason=DeclineReason.AMOUNT_MISMATCH, message=f"{len(chosen)} uses are left to take back")
        if todo:
            self._take_back(talk, code, todo, len(todo) == len(live), call)
        if any(piece in [each.id for each in _live(self._order(talk, code))] for piece in chosen):
            raise OutcomeUnknown(f"the order {code} was cancelled and still stands")
        return self._done(hold, request.amount, replayed=not todo)

    def _take_back(self, talk: Talk, code: str, pieces: list[int], everything: bool, call: Call) -> None:
        path, body = f"orders/{code}/change/", _cancellation(pieces)
        if everything:
            path, body = f"orders/{code}/mark_canceled/", {"send_email": False}
        try:
            with call.step("take back", code):
                talk.change("POST", path, body, lambda body: None)
        except Refused as refusal:
            raise OutcomeUnknown(f"a redemption cannot be taken back: {refusal.text}") from None

    def query(self, talk: Talk, request: Query) -> Answer:
        """A hold by its cart, a redemption by its order."""
        asked = request.request
        hold = request.key if request.hook == "coupon_reserve" else hold_of(asked.original)
        found = self._order(talk, p.order_code(hold))
        if request.hook == "coupon_confirm":
            whole = found is not None and len(_live(found)) == asked.count
            return self._done(hold, asked.amount, replayed=True) if whole else NotFound()
        if request.hook == "coupon_restore":
            chosen = self._notes.planned(request.key)
            live = [each.id for each in _live(found)]
            gone = chosen and not any(piece in live for piece in chosen)
            return self._done(hold, asked.amount, replayed=True) if gone else NotFound()
        since = request.sent_at if request.hook == "coupon_reserve" else asked.original.at
        held = holding.find(talk, hold, since)
        if request.hook == "coupon_cancel":
            return NotFound() if held else self._done(hold, asked.amount, replayed=True)
        whole = holding.complete(held, [self._position(asked.code)] * asked.count, self._context.clock())
        return self._done(hold, asked.amount, replayed=True) if whole else NotFound()

    # -------------------------------------------------------------- the wire

    def _coupon(self, voucher: r.Voucher) -> Coupon:
        return mapping.coupon_of(voucher, self._context.clock(), self._item, self._date)

    def _voucher(self, talk: Talk, code: str) -> r.Voucher | None:
        found = talk.rows("vouchers/", r.read_voucher, code=code)
        return next((voucher for voucher in found if voucher.code.lower() == code.lower()), None)

    by_code = _voucher

    def _position(self, code: str) -> dict[str, Any]:
        return {
            "item": self._item, "variation": None, "subevent": self._date, "price": "0.00", "voucher": code,
        }  # fmt: skip

    def _order_body(self, code: str, hold: str, request: CouponHeld, key: str) -> Mapping[str, Any]:
        return {
            "code": code, "status": p.PAID, "email": None, "locale": "en", "send_email": False,
            "sales_channel": self._context.settings["sales_channel"],
            "positions": [self._position(request.code) | {"answers": []}] * request.count,
            "consume_carts": [p.cart_id(hold)],
            "api_meta": {"kind": KIND, "hold": hold, "confirm": key},
        }  # fmt: skip

    def _order(self, talk: Talk, code: str) -> r.Order | None:
        return talk.look(f"orders/{code}/", r.read_order)

    def _done(self, hold: str, amount: int, *, replayed: bool) -> Done:
        return Done(ref=p.order_code(hold), amount=amount, facts={"kind": KIND, "hold": hold}, replayed=replayed)


def _live(order: r.Order | None) -> list[r.Sold]:
    """The positions of an order that still count."""
    if order is None or order.status == p.CANCELED:
        return []
    return [each for each in order.positions if not each.canceled]


def _cancellation(pieces: list[int]) -> dict[str, Any]:
    return {
        "cancel_positions": [{"position": piece} for piece in pieces],
        "send_email": False,
        "reissue_invoice": False,
    }
