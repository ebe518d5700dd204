"""The statement of coupons: vouchers redeemed and given back, gift cards debited and credited; all read from pretix.

pretix says neither when a position was cancelled nor on which cards was booked on a day. Which ones to look at, and
since when, is noted before each change; what stands in the statement is what pretix then shows. Amounts are uses, as
of all coupons; what a card's booking came to stands in ``facts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from gateway.sdk import Context, Page, StatementRequest, StatementRow
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.client import Talk
from plugins.pretix.notes import Notes


class Redemptions:
    """The coupons' movements of a business date, on one page."""

    def __init__(self, context: Context, notes: Notes) -> None:
        self._context, self._notes = context, notes

    def page(self, talk: Talk, request: StatementRequest) -> Page[StatementRow]:
        day = request.business_date
        begin = datetime.combine(day, time(), self._context.timezone)
        rows = [*self._redeemed(talk, begin), *self._restored(talk, day), *self._booked(talk, day, begin)]
        return Page(items=tuple(rows))

    def _redeemed(self, talk: Talk, begin: datetime) -> Iterator[StatementRow]:
        """Each redemption's order of the day, also where it was given back since."""
        for order in talk.rows(
            "orders/", r.read_order, created_since=begin.isoformat(), include_canceled_positions="true"
        ):  # fmt: skip
            if order.meta.get("kind") == p.VOUCHER and order.at and begin <= order.at < begin + timedelta(days=1):
                key = str(order.meta.get("confirm") or "")
                yield StatementRow(
                    kind="redeem", ref=order.code, amount=len(order.positions), key=key, at=order.at,
                    facts={"number": str(order.meta.get("hold", ""))},
                )  # fmt: skip

    def _restored(self, talk: Talk, day: date) -> Iterator[StatementRow]:
        """What was given back on the day: the pieces chosen then that are cancelled now."""
        for code, key, at in self._notes.restored(day):
            order = talk.look(f"orders/{code}/", r.read_order, include_canceled_positions="true")
            if order is None:
                continue
            gone = {each.id for each in order.positions if each.canceled or order.status == p.CANCELED}
            count = len(gone & set(self._notes.planned(key)))
            if count:
                yield StatementRow(
                    kind="reverse", ref=f"{code}-R-{key[-6:]}", amount=-count, key=key, original_ref=code, at=at
                )  # fmt: skip

    def _booked(self, talk: Talk, day: date, begin: datetime) -> Iterator[StatementRow]:
        for card in self._notes.cards(day):
            bookings = list(talk.rows(f"/giftcards/{card}/transactions/", r.read_booking))
            undone = {each.text.removeprefix("undo ") for each in bookings if each.text.startswith("undo ")}
            for each in bookings:
                if begin <= each.at < begin + timedelta(days=1):
                    yield from _booking_rows(each, undone)


def _booking_rows(booking: r.Booking, undone: set[str]) -> Iterator[StatementRow]:
    """A hold that was undone is no redemption."""
    facts = {"booking": str(booking.id), "amount": booking.amount}
    verb, _, rest = booking.text.partition(" ")
    if verb == "hold" and rest and rest not in undone:
        yield StatementRow(kind="redeem", ref=rest, amount=1, at=booking.at, facts=facts)
    if verb == "back" and len(rest.split(" ")) == 2:
        hold, key = rest.split(" ")
        yield StatementRow(
            kind="reverse", ref=f"{hold}-R-{booking.id}", amount=-1, key=key, original_ref=hold, at=booking.at,
            facts=facts,
        )  # fmt: skip
