"""Sales: an order of our own code, paid, that uses up the holds; returns by refunds; all of it read back.

pretix refunds more than was paid and the same twice if asked: what was given back is counted here first. It does not
say which orders had a refund on a day, so those made through the gateway are noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from gateway.sdk import (
    Answer,
    Call,
    Change,
    Context,
    Declined,
    DeclineReason,
    Done,
    NotFound,
    OrderLine,
    OrderPost,
    OrderReturn,
    OrderVoid,
    OutcomeUnknown,
    Page,
    Query,
    StatementRequest,
    StatementRow,
)
from plugins.pretix import mapping
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.client import Refused, Talk
from plugins.pretix.notes import Notes

KIND = p.SALE
#: How the words of a refusal begin to tell that an order of this code is there already.
TAKEN = ("already in use", "ntegrity error")


class Sales:
    """The orders of one event."""

    def __init__(self, context: Context, notes: Notes) -> None:
        self._context, self._notes = context, notes

    # -------------------------------------------------------------- selling

    def post(self, talk: Talk, request: OrderPost, call: Call) -> Change:
        code = p.order_code(call.key)
        earlier = self._order(talk, code) if call.attempt > 1 else None
        if earlier is None:
            refused = self._send(talk, self._body(code, request, call.key), request, call)
            if refused is not None:
                return refused
        found = earlier or self._order(talk, code)
        if found is None or found.meta.get("key") != call.key:
            raise OutcomeUnknown(f"the order {code} is not there, or not ours")
        if found.total != request.payable_amount or found.status not in (p.PAID, p.CANCELED):
            raise OutcomeUnknown(f"the order {code} comes to {found.total} and not to {request.payable_amount}")
        return self._done(found, replayed=earlier is not None)

    def _send(self, talk: Talk, body: Mapping[str, Any], request: OrderPost, call: Call) -> Declined | None:
        """A dry run, which must come to the same sum; then the sale. ``None``: it was sent, or was there before."""
        try:
            tried = talk.change("POST", "orders/", {**body, "simulate": True}, _read_order, dry=True)
            if tried.total != request.payable_amount:
                words = f"pretix comes to {p.yuan(tried.total)}, paid are {p.yuan(request.payable_amount)}"
                return Declined(reason=DeclineReason.AMOUNT_MISMATCH, message=words)
            with call.step("sale", str(body["code"])):
                talk.change("POST", "orders/", body, _read_order)
        except Refused as refusal:
            if any(words in refusal.text for words in TAKEN):
                return None
            reason = DeclineReason.OUT_OF_STOCK if "quota" in refusal.text else DeclineReason.DECLINED
            return Declined(reason=reason, code=str(refusal.status), message=refusal.text)
        return None

    def _body(self, code: str, request: OrderPost, key: str) -> dict[str, Any]:
        settings, free = self._context.settings, request.payable_amount == 0
        return {
            "code": code, "status": p.PAID, "email": None, "locale": "en", "send_email": False,
            "sales_channel": settings["sales_channel"], "positions": list(_positions(request.lines)),
            "fees": list(_fees(request)), "payment_date": request.sold_at.isoformat(),
            "payment_provider": None if free else settings["payment_provider"],
            "consume_carts": [p.cart_id(hold.key) for hold in request.holds],
            **({"customer": request.member_ref} if request.member_ref else {}),
            "api_meta": _meta(request, key),
        }  # fmt: skip

    def _done(self, order: r.Order, *, replayed: bool) -> Done:
        return Done(ref=order.code, amount=order.total, facts={"code": order.code}, replayed=replayed)

    # -------------------------------------------------------------- giving back

    def void(self, talk: Talk, request: OrderVoid, call: Call) -> Change:
        return self._give_back(talk, request.original.key, request.amount, (), True, call)

    def give_back(self, talk: Talk, request: OrderReturn, call: Call) -> Change:
        return self._give_back(talk, request.original.key, request.amount, request.lines, request.whole, call)

    def _give_back(
        self, talk: Talk, sale: str, amount: int, lines: Sequence[OrderLine], whole: bool, call: Call
    ) -> Change:
        code = p.order_code(sale)
        order = self._order(talk, code)
        if order is None:
            return Declined(reason=DeclineReason.NOT_FOUND, message=f"pretix has no order {code}")
        before = _refund(order, call.key)
        others = order.refunded - (before.amount if before else 0)
        if before is None and others + amount > _paid(order):
            return Declined(reason=DeclineReason.NOT_REFUNDABLE, message="more than was paid, with what was given back")
        self._notes.put_given_back(self._context.clock().astimezone(self._context.timezone).date(), code)
        if not whole:
            self._take_out(talk, order, lines, call)
        if before is None and amount > 0:
            self._refund(talk, order, amount, call)
        if whole:
            self._cancel(talk, code, call)
        return self._given_back(talk, code, amount, whole, call)

    def _take_out(self, talk: Talk, order: r.Order, lines: Sequence[OrderLine], call: Call) -> None:
        """Cancel the pieces of the lines given back, so that their places are free again."""
        live = [each for each in order.positions if not each.canceled]
        chosen = self._notes.plan_return(call.key, list(_pieces(order, live, lines)))
        todo = [piece for piece in chosen if piece in [each.id for each in live]]
        if not todo or len(todo) == len(live):
            return  # the last piece cannot be cancelled alone: the order stays, refunded
        body = {"cancel_positions": [{"position": piece} for piece in todo], "send_email": False}
        self._must(talk, f"orders/{order.code}/change/", {**body, "reissue_invoice": False}, "take out", call)

    def _refund(self, talk: Talk, order: r.Order, amount: int, call: Call) -> None:
        body = {
            "state": "done", "source": "admin", "amount": p.yuan(amount), "comment": call.key,
            "payment": order.payments[0] if order.payments else None,
            "provider": self._context.settings["payment_provider"],
        }  # fmt: skip
        self._must(talk, f"orders/{order.code}/refunds/", body, "refund", call)

    def _cancel(self, talk: Talk, code: str, call: Call) -> None:
        order = self._order(talk, code)
        if order is not None and order.status != p.CANCELED:
            self._must(talk, f"orders/{code}/mark_canceled/", {"send_email": False}, "cancel", call)

    def _must(self, talk: Talk, path: str, body: Mapping[str, Any], step: str, call: Call) -> None:
        """A message of several, after which there is no clean refusal of the whole any more."""
        try:
            with call.step(step, path):
                talk.change("POST", path, body, lambda body: None)
        except Refused as refusal:
            raise OutcomeUnknown(f"{step}: pretix refuses: {refusal.text}") from None

    def _given_back(self, talk: Talk, code: str, amount: int, whole: bool, call: Call) -> Done:
        order = self._order(talk, code)
        booked = _refund(order, call.key) if order else None
        if order is None or (amount > 0 and (booked is None or booked.amount != amount)):
            raise OutcomeUnknown(f"the refund on {code} cannot be read back")
        if whole and order.status != p.CANCELED:
            raise OutcomeUnknown(f"the order {code} was cancelled and still stands")
        return Done(ref=f"{code}-R-{booked.number if booked else 0}", amount=amount, facts={"code": code})

    # -------------------------------------------------------------- asking

    def query(self, talk: Talk, request: Query) -> Answer:
        asked = request.request
        if request.hook == "order_post":
            found = self._order(talk, p.order_code(request.key))
            return NotFound() if found is None else self._done(found, replayed=True)
        code = p.order_code(asked.original.key)
        found = self._order(talk, code)
        booked = _refund(found, request.key) if found else None
        whole = request.hook == "order_void" or asked.whole
        if found is None or (asked.amount > 0 and booked is None) or (whole and found.status != p.CANCELED):
            return NotFound()
        number = booked.number if booked else 0
        return Done(ref=f"{code}-R-{number}", amount=asked.amount, facts={"code": code}, replayed=True)

    def statement(self, talk: Talk, request: StatementRequest) -> Page[StatementRow]:
        """A business date in one page: sales by tender as we noted them on the order, and refunds."""
        zone = self._context.timezone
        begin = datetime.combine(request.business_date, time(), zone)
        rows: list[StatementRow] = []
        seen = set()
        changed = talk.rows(
            "orders/", r.read_order, modified_since=begin.isoformat(), include_canceled_positions="true"
        )  # fmt: skip
        for order in (*changed, *self._noted(talk, request.business_date)):
            if order.code not in seen and order.meta.get("kind") != p.VOUCHER:
                seen.add(order.code)
                rows += _rows_of(order, begin, begin + timedelta(days=1))
        return Page(items=tuple(rows))

    def _noted(self, talk: Talk, day: date) -> Iterator[r.Order]:
        for code in self._notes.given_back(day):
            if order := self._order(talk, code):
                yield order

    def by_code(self, talk: Talk, code: str) -> r.Order | None:
        return self._order(talk, code)

    def _order(self, talk: Talk, code: str) -> r.Order | None:
        return talk.look(f"orders/{code}/", r.read_order, include_canceled_positions="true")


def _read_order(body: bytes) -> r.Order:
    return r.read_order(p.read_json(body))


def shares(amount: int, count: int) -> list[int]:
    """An amount over pieces, so that the sum is kept: the first ones bear what is left over."""
    each, more = divmod(amount, count)
    return [each + (1 if number < more else 0) for number in range(count)]


def _positions(lines: Iterable[OrderLine]) -> Iterator[dict[str, Any]]:
    for line in lines:
        sku, count = mapping.sku_or_refuse(line.sku), mapping.whole(line.quantity)
        for price in shares(line.net_amount, count) if count else ():
            yield {
                "item": sku.item, "variation": sku.variation, "subevent": sku.subevent, "price": p.yuan(price),
                "answers": [],
            }  # fmt: skip


def _fees(request: OrderPost) -> Iterator[dict[str, Any]]:
    """Fees, and what points and rounding take off, so that the sum is what was paid."""
    for fee in request.fees:
        yield {"fee_type": "service", "value": p.yuan(fee.amount), "description": fee.kind}
    for words, amount in (("points", request.points_amount), ("rounding", request.rounding_amount)):
        if amount:
            yield {"fee_type": "other", "value": p.yuan(-amount), "description": words}


def _meta(request: OrderPost, key: str) -> dict[str, Any]:
    """What we write on an order: whose it is, which pieces are which line's, and how it was paid."""
    return {
        "kind": KIND, "key": key, "order_no": request.order_no, "paid": request.payable_amount,
        "business_date": request.site.business_date.isoformat(),
        "lines": [[line.line_id, mapping.whole(line.quantity)] for line in request.lines],
        "tenders": [[tender.method.value, tender.amount, tender.ref] for tender in request.tenders],
    }  # fmt: skip


def _pieces(order: r.Order, live: Sequence[r.Sold], lines: Sequence[OrderLine]) -> Iterator[int]:
    """The last pieces of each line given back that have not been cancelled."""
    numbers: dict[str, list[int]] = {}
    first = 1
    for line_id, count in order.meta.get("lines", []):
        numbers[line_id] = list(range(first, first + count))
        first += count
    for line in lines:
        ours = [each.id for each in live if each.number in numbers.get(line.line_id, [])]
        yield from ours[len(ours) - mapping.whole(line.quantity) :]


def _paid(order: r.Order) -> int:
    """What was paid at the sale: an order's total falls when pieces are taken out."""
    paid = order.meta.get("paid")
    return paid if isinstance(paid, int) else order.total


def _refund(order: r.Order, key: str) -> r.Refund | None:
    return next((refund for refund in order.refunds if refund.comment == key), None)


def _rows_of(order: r.Order, begin: datetime, end: datetime) -> Iterator[StatementRow]:
    if order.at is not None and begin <= order.at < end:
        tenders = order.meta.get("tenders") or [["", _paid(order), ""]]
        for tender, amount, _ in tenders:
            yield StatementRow(
                kind="sale", ref=order.code, amount=amount, key=str(order.meta.get("key", "")), at=order.at,
                status=order.status, facts={"tender": tender, "bill": order.code},
            )  # fmt: skip
    for refund in order.refunds:
        if begin <= refund.at < end and refund.state == "done":
            yield StatementRow(
                kind="return", ref=f"{order.code}-R-{refund.number}", amount=-refund.amount, key=refund.comment,
                original_ref=order.code, at=refund.at, status=refund.state, facts={"tender": "", "bill": order.code},
            )  # fmt: skip
