"""Gift cards: a hold is a debit with our key as its text, an undo is a credit; every booking is read back.

pretix books on cards that have expired and takes a card's secret in any case of letters; both are looked at here.
"""

from __future__ import annotations

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
    Original,
    OutcomeUnknown,
    Query,
)
from plugins.pretix import mapping
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.client import Refused, Talk
from plugins.pretix.notes import Notes

KIND = "card"


def hold_of(original: Original) -> str:
    """The key under which a redemption was held."""
    return str(original.facts.get("hold") or original.key)


class Cards:
    """The gift cards of one organizer."""

    def __init__(self, context: Context, notes: Notes) -> None:
        self._context, self._notes = context, notes

    def find(self, talk: Talk, code: str) -> Coupon | None:
        card = self._card(talk, code)
        return mapping.card_of(card, self._context.clock(), self._context.currency) if card else None

    def reserve(self, talk: Talk, request: CouponUse, call: Call) -> Change:
        card = self._card(talk, request.code)
        if card is None:
            return Declined(reason=DeclineReason.COUPON_UNKNOWN)
        if reason := mapping.why_not(card, self._context.clock(), self._context.currency):
            known = DeclineReason.COUPON_EXPIRED if reason == "expired" else DeclineReason.COUPON_NOT_APPLICABLE
            return Declined(reason=known, message=f"this gift card is {reason}")
        return self._book(talk, card, -request.amount, f"hold {call.key}", call, call.key)

    def confirm(self, talk: Talk, request: CouponHeld, call: Call) -> Change:
        """The debit was made with the hold: see that it stands."""
        hold, card = hold_of(request.original), self._card(talk, request.code)
        booked = self._booked(talk, card, f"hold {hold}") if card else None
        if card is None or booked is None or self._booked(talk, card, f"undo {hold}") is not None:
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED, message="the hold on this gift card is gone")
        return self._done(hold, -booked.amount, replayed=False)

    def cancel(self, talk: Talk, request: CouponHeld, call: Call) -> Change:
        hold, card = hold_of(request.original), self._card(talk, request.code)
        booked = self._booked(talk, card, f"hold {hold}") if card else None
        if card is None or booked is None:
            return Done(ref=hold, facts={"kind": KIND, "hold": hold})
        if self._booked(talk, card, f"undo {hold}"):
            return self._done(hold, -booked.amount, replayed=True)
        return self._book(talk, card, -booked.amount, f"undo {hold}", call, hold)

    def restore(self, talk: Talk, request: CouponRestore, call: Call) -> Change:
        """Give back a part or all of what a redemption took, and never more in all."""
        hold, card = hold_of(request.original), self._card(talk, request.code)
        booked = self._booked(talk, card, f"hold {hold}") if card else None
        if card is None or booked is None:
            return Declined(reason=DeclineReason.NOT_FOUND, message="no redemption is known under this key")
        text = f"back {hold} {call.key}"
        others = sum(
            each.amount
            for each in self._bookings(talk, card)
            if each.text != text and each.text.startswith((f"back {hold}", f"undo {hold}"))
        )
        if others + request.amount > -booked.amount:
            return Declined(reason=DeclineReason.AMOUNT_MISMATCH, message="more than this redemption took")
        return self._book(talk, card, request.amount, text, call, hold)

    def query(self, talk: Talk, request: Query) -> Answer:
        """Look for the booking that the change makes."""
        asked = request.request
        card = self._card(talk, asked.code)
        if card is None:
            return NotFound()
        hold = request.key if request.hook == "coupon_reserve" else hold_of(asked.original)
        texts = {
            "coupon_reserve": f"hold {hold}", "coupon_confirm": f"hold {hold}", "coupon_cancel": f"undo {hold}",
            "coupon_restore": f"back {hold} {request.key}",
        }  # fmt: skip
        booked = self._booked(talk, card, texts[request.hook])
        return NotFound() if booked is None else self._done(hold, abs(booked.amount), replayed=True)

    # -------------------------------------------------------------- the wire

    def _card(self, talk: Talk, code: str) -> r.Card | None:
        """The card with exactly this secret."""
        found = talk.rows("/giftcards/", r.read_card, secret=code)
        return next((card for card in found if card.secret == code), None)

    def _bookings(self, talk: Talk, card: r.Card) -> list[r.Booking]:
        return list(talk.rows(f"/giftcards/{card.id}/transactions/", r.read_booking))

    def _booked(self, talk: Talk, card: r.Card, text: str) -> r.Booking | None:
        """The booking with this text. Raises ``OutcomeUnknown`` if there are several: a person must look."""
        found = [each for each in self._bookings(talk, card) if each.text == text]
        if len(found) > 1:
            raise OutcomeUnknown(f"{len(found)} bookings with the text of one: {text}")
        return found[0] if found else None

    def _book(self, talk: Talk, card: r.Card, amount: int, text: str, call: Call, hold: str) -> Change:
        if call.attempt > 1 and (earlier := self._booked(talk, card, text)):
            return self._done(hold, abs(earlier.amount), replayed=True)
        body = {"value": p.yuan(amount), "text": text}
        self._notes.put_card(self._context.clock().astimezone(self._context.timezone).date(), card.id)
        try:
            with call.step("book", text):
                talk.change("POST", f"/giftcards/{card.id}/transact/", body, p.read_json)
        except Refused as refusal:
            return Declined(
                reason=DeclineReason.COUPON_EXHAUSTED, code=str(refusal.status), message=refusal.text
            )  # fmt: skip
        booked = self._booked(talk, card, text)
        if booked is None or booked.amount != amount:
            raise OutcomeUnknown("pretix says that it has booked, and its books do not show it")
        return self._done(hold, abs(amount), replayed=False)

    def _done(self, hold: str, amount: int, *, replayed: bool) -> Done:
        return Done(ref=hold, amount=amount, facts={"kind": KIND, "hold": hold}, replayed=replayed)
