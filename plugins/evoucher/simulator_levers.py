"""What customers do at the simulated platform, and what its people can: the levers of the panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plugins.evoucher.protocol import CANCEL, CLOSED, MODIFIED, ORDER_MODIFY, RESEND, SEND, SENT, WAITING
from plugins.evoucher.simulator_book import ITEMS, Book
from plugins.evoucher.simulator_notices import Notices

Row = dict[str, Any]


class Levers:
    """Each ``do_NAME`` is the lever ``NAME``. They raise ``ValueError`` where a customer could not do it."""

    def __init__(self, book: Book, notices: Notices, now: Callable[[], float]) -> None:
        self.book, self.notices, self.now = book, notices, now

    def do_subscribe(self, url: str) -> Row:
        """Say where the merchant takes notices."""
        self.notices.url = url
        return {"url": url}

    def do_buy(self, item: str = "EV-CASH50", num: int = 1, mobile: str = "13900001234") -> Row:
        """A customer pays for ``num`` uses; the merchant is asked for codes. ``notice`` is the form that is posted."""
        if item not in ITEMS:
            raise ValueError(f"no item {item!r}; there are {', '.join(ITEMS)}")
        if not 1 <= num <= 100:
            raise ValueError("num: expected 1 to 100")
        order_id = self.book.buy(ITEMS[item], num, mobile, self.now())
        return self._told(order_id, SEND)

    def do_resend(self, order_id: str) -> Row:
        """The customer asks for the text again."""
        self._order(order_id)
        return self._told(order_id, RESEND)

    def do_change_mobile(self, order_id: str, mobile: str) -> Row:
        """The customer has a new phone: the codes are to be texted there."""
        self._order(order_id)
        self.book.run("UPDATE orders SET mobile = :mobile WHERE order_id = :id", mobile=mobile, id=order_id)
        return self._told(order_id, MODIFIED)

    def do_ask_refund(self, order_id: str, num: int = 1) -> Row:
        """The customer asks for the money of ``num`` uses: until that is decided they are locked."""
        with self.book:
            left = num
            for code in reversed(self.book.codes(order_id)):
                part = min(left, code["left_num"] - code["locked"])
                left -= part
                self._move(code, "locked = locked + :num", part)
            if left:
                raise ValueError(f"{num} uses are not left")
        return self._order(order_id)

    def do_withdraw_refund(self, order_id: str) -> Row:
        """The customer keeps the uses after all."""
        self.book.run("UPDATE codes SET locked = 0 WHERE order_id = :id", id=order_id)
        return self._order(order_id)

    def do_refund(self, order_id: str, num: int = 1) -> Row:
        """``num`` uses are given back, the locked ones first: the merchant is told by ``cancel``."""
        with self.book:
            order = self._order(order_id)
            if order["state"] == SENT:
                self._take(order_id, num)
            elif order["state"] == CLOSED or order["num"] - order["cancelled"] < num:
                raise ValueError(f"{num} uses are not left")
            self.book.run("UPDATE orders SET cancelled = cancelled + :num WHERE order_id = :id", num=num, id=order_id)
            if order["cancelled"] + num == order["num"]:
                self.book.run("UPDATE orders SET state = :closed WHERE order_id = :id", closed=CLOSED, id=order_id)
                self.book.called_back(order_id, SEND, RESEND, MODIFIED)
        return self._told(order_id, CANCEL, cancel_num=str(num))

    def _take(self, order_id: str, num: int) -> None:
        left = num
        for locked in (True, False):
            for code in reversed(self.book.codes(order_id)):
                part = min(left, code["locked"] if locked else code["left_num"] - code["locked"])
                left -= part
                both = "left_num = left_num - :num, locked = locked - :num"
                self._move(code, both if locked else "left_num = left_num - :num", part)
        if left:
            raise ValueError(f"{num} uses are not left")

    def _move(self, code: Row, change: str, num: int) -> None:
        self.book.run(f"UPDATE codes SET {change} WHERE code = :code", num=num, code=code["code"])  # noqa: S608

    def do_extend(self, order_id: str, seconds: float) -> Row:
        """The time in which an order's codes may be used is moved: the merchant is told by ``order_modify``."""
        self._order(order_id)
        sql = "UPDATE orders SET valid_end = valid_end + :seconds WHERE order_id = :id"
        self.book.run(sql, seconds=seconds, id=order_id)
        return self._told(order_id, ORDER_MODIFY, sub_method="1")

    def do_expire(self, order_id: str) -> Row:
        """The time of an order's codes is over."""
        sql = "UPDATE orders SET valid_end = :now WHERE order_id = :id"
        self.book.run(sql, now=self.now() - 60, id=order_id)
        return self._order(order_id)

    def do_notify(self, order_id: str) -> Row:
        """Send the notices about an order again, whatever became of them."""
        for row in self.book.rows("SELECT * FROM notices WHERE order_id = :id ORDER BY number", id=order_id):
            self.notices.again(row)
        return self._order(order_id)

    def _told(self, order_id: str, method: str, **more: str) -> Row:
        form = self.notices.tell(order_id, method, **more)
        return self._order(order_id) | {"notice": form.decode("ascii")}

    def _order(self, order_id: str) -> Row:
        order = self.book.order(order_id)
        if order is None:
            raise ValueError("no such order")
        names = ("order_id", "state", "num", "cancelled", "texts")
        shown = {name: order[name] for name in names} | {"waiting": order["state"] == WAITING}
        return shown | {"codes": [code["code"] for code in self.book.codes(order_id)]}
