"""The bill: a sale of Tryton's with manual invoicing and shipping, its reference our key, confirmed.

A confirmed sale cannot be cancelled; it is taken back by a second one with negative quantities, which names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from gateway.sdk import (
    Answer,
    Call,
    Change,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    NotFound,
    OrderPost,
    OrderReturn,
    OrderVoid,
    Page,
    Query,
    Site,
    StatementRequest,
    StatementRow,
)
from plugins.tryton import mapping
from plugins.tryton.client import Far, steadily
from plugins.tryton.goods import Goods
from plugins.tryton.ground import Ground

SALE = "sale.sale"
_BOOKED = frozenset({"confirmed", "processing", "done"})
_PAGE = 100
#: Makes the lines of a sale, in Tryton's form.
Lines = Callable[[], list[dict[str, Any]]]


class Sales:
    """The order hooks' work."""

    def __init__(self, far: Far, ground: Ground, goods: Goods) -> None:
        self._far = far
        self._ground = ground
        self._goods = goods

    def find(self, key: str) -> dict[str, Any] | None:
        """The sale of a key; of several the oldest counts, the others stay drafts."""
        return self._far.row(SALE, [["reference", "=", key]], mapping.SALE)

    def post(self, request: OrderPost, call: Call) -> Change:
        """Create, quote, confirm; the total that Tryton has made of it must be what was paid."""
        head = {
            "description": request.order_no[:200],
            "comment": mapping.comment_of(request.tenders, 1),
        }
        return self._book(call, request.site, request.payable_amount, head, lambda: self._lines(request, 1))

    def give_back(self, request: OrderReturn, call: Call) -> Change:
        """The same with negative quantities."""
        head = {
            "description": f"{request.refund_no} of {request.order_no}"[:200],
            "comment": mapping.comment_of(request.tenders, -1),
            **self._named(request.original.key),
        }
        return self._book(call, request.site, -request.amount, head, lambda: self._lines(request, -1))

    def void(self, request: OrderVoid, call: Call) -> Change:
        """Cancel what is not confirmed yet; a confirmed sale is reversed by a copy with the opposite sign."""
        sale = self.find(request.original.key)
        if sale is None:
            return Declined(reason=DeclineReason.NOT_FOUND, message="no sale there under this key")
        if sale["state"] in _BOOKED:
            head = {
                "description": f"void of {request.order_no}"[:200],
                "comment": _opposite(sale["comment"] or ""),
                **self._named(request.original.key),
            }
            return self._book(call, request.site, -mapping.fen(sale["total_amount"]), head, lambda: self._mirror(sale))
        return steadily(call, lambda: self._cancelled(request.original.key, call))

    def _cancelled(self, key: str, call: Call) -> Done | None:
        sale = self.find(key)
        if sale is None or sale["state"] == "cancelled":
            return Done()
        if sale["state"] in _BOOKED:
            raise InvalidReply("the sale was confirmed while it was taken out")
        self._far.press(call, SALE, "cancel", sale["id"])
        return None

    def _named(self, key: str) -> dict[str, Any]:
        sale = self.find(key)
        return {"origin": f"{SALE},{sale['id']}"} if sale else {}

    def _lines(self, request: OrderPost | OrderReturn, sign: int) -> list[dict[str, Any]]:
        products = self._goods.products(sorted({line.sku for line in request.lines}))
        return mapping.sale_lines(request, products, sign)

    def _mirror(self, sale: Mapping[str, Any]) -> list[dict[str, Any]]:
        names = ["product", "unit", "quantity", "unit_price", "description"]
        rows = self._far.rows("sale.line", [["sale", "=", sale["id"]], ["type", "=", "line"]], names)
        return [{**{name: row[name] for name in names}, "quantity": -row["quantity"]} for row in rows]

    def _book(self, call: Call, site: Site, total: int, head: Mapping[str, Any], lines: Lines) -> Change:
        mended = False

        def once() -> Change | None:
            nonlocal mended
            sale = self.find(call.key)
            state = sale["state"] if sale else None
            if sale is None:
                values = {**self._blank(call.key, site), **head, "lines": [["create", lines()]]}
                self._far.change(call, f"{SALE}.create", [values], ref=call.key)
            elif state in _BOOKED:
                return _booked(sale, total)
            elif state == "cancelled":
                return Declined(reason=DeclineReason.CLOSED, message="the sale was cancelled at the desk")
            elif state == "draft":
                self._far.press(call, SALE, "quote", sale["id"])
            elif mapping.fen(sale["total_amount"]) == total:
                self._far.press(call, SALE, "confirm", sale["id"])
            elif mended:
                raise InvalidReply(f"sale {sale['number']} comes to {sale['total_amount']} there, whatever is written")
            else:
                mended = True
                self._mend(call, sale, total)
            return None

        return steadily(call, once)

    def _mend(self, call: Call, sale: Mapping[str, Any], total: int) -> None:
        """Quoting lets every promotion that is in force lower the prices, and what is quoted can't be written any more:
        it becomes a draft again, and what was paid beyond stands in a line of its own when it is quoted anew."""
        missing = total - mapping.fen(sale["total_amount"])
        self._far.press(call, SALE, "draft", sale["id"])
        line = mapping.plain("paid beyond a promotion in force", mapping.money(missing))
        self._far.change(call, f"{SALE}.write", [sale["id"]], {"lines": [["create", [line]]]}, ref=str(sale["id"]))

    def _blank(self, key: str, site: Site) -> dict[str, Any]:
        customer = self._ground.customer
        return {
            "reference": key,
            "party": customer.party,
            "invoice_address": customer.address,
            "shipment_address": customer.address,
            "currency": self._ground.currency,
            "warehouse": self._ground.place(site.store_id).warehouse,
            "sale_date": site.business_date,
            "invoice_method": "manual",
            "shipment_method": "manual",
        }

    # ---- asking
    def query(self, query: Query) -> Answer:
        """What the sale of the key says; a void of an unconfirmed sale shows on that sale."""
        sale = self.find(query.key)
        if sale is not None and sale["state"] in _BOOKED:
            return _done(sale)
        if isinstance(query.request, OrderVoid):
            original = self.find(query.request.original.key)
            if original is not None and original["state"] == "cancelled":
                return Done()
        return NotFound()

    def statement(self, request: StatementRequest) -> Page[StatementRow]:
        """A business date's confirmed sales, ours and those of the desk, by record number."""
        domain: list[Any] = [["sale_date", "=", request.business_date], ["state", "in", sorted(_BOOKED)]]
        if request.store_id:
            domain.append(["warehouse", "=", self._ground.place(request.store_id).warehouse])
        if request.cursor:
            domain.append(["id", ">", _cursor(request.cursor)])
        sales = self._far.rows(SALE, domain, mapping.SALE, limit=_PAGE)
        rows = [row for sale in sales if _is_of(sale, request.business_date) for row in mapping.rows_of(sale)]
        return Page(items=tuple(rows), next_cursor=str(sales[-1]["id"]) if len(sales) == _PAGE else None)


def _cursor(text: str) -> int:
    if not text.isdecimal():
        raise InvalidReply("the cursor is not one of this statement")
    return int(text)


def _is_of(sale: Mapping[str, Any], day: date) -> bool:
    """A filter that the server ignores would mix days: each row is looked at again."""
    return bool(sale["sale_date"] == day)


def _booked(sale: Mapping[str, Any], total: int) -> Done:
    found = mapping.fen(sale["total_amount"])
    if found != total:
        raise InvalidReply(f"sale {sale['number']} came to {found} there instead of {total}")
    return _done(sale)


def _done(sale: Mapping[str, Any]) -> Done:
    total = mapping.fen(sale["total_amount"])
    return Done(ref=sale["number"] or "", amount=abs(total), facts={"id": sale["id"]})


def _opposite(comment: str) -> str:
    """The tenders' lines with the other sign."""
    lines: Sequence[str] = comment.splitlines()
    words = [line.split(" ") for line in lines if line.startswith("tender ") and line.count(" ") == 3]
    return "\n".join(f"tender {word[1]} {word[2]} {-int(word[3])}" for word in words)
