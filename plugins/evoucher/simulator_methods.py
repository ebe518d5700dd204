"""What the simulated platform does when it is called: send, resend, consume, reverse, and what may be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from plugins.evoucher.protocol import (
    ALREADY_REVERSED,
    ALREADY_SENT,
    BAD_PARAMETER,
    CHINA,
    CLOSED,
    CODE_TAKEN,
    CODE_UNKNOWN,
    CODES_DIFFER,
    CONSUMED,
    EXPIRED,
    LOG_PAGE,
    MODIFIED,
    NOT_BEGUN,
    NOT_ENOUGH,
    NOT_SENT_YET,
    NUM_DIFFERS,
    ONE_EACH,
    ORDER_CLOSED,
    ORDER_UNKNOWN,
    REFUNDING,
    RESEND,
    REVERSED,
    SEND,
    SENT,
    SERIAL_UNKNOWN,
    SERIAL_USED,
    TIME,
    TOKEN_WRONG,
    WAITING,
    ParseError,
    is_serial,
    read_verify_codes,
)
from plugins.evoucher.simulator_book import ITEMS, Book, Refusal

Fields = Mapping[str, str]
Row = dict[str, Any]


class Methods:
    """The platform's calls. ``notify`` sends a notice again; ``lag`` tells how far the log is behind, in seconds."""

    def __init__(
        self, book: Book, now: Callable[[], float], notify: Callable[[Row], None], lag: Callable[[], float], seller: str
    ) -> None:
        self.book, self.now, self._notify, self._lag, self.seller = book, now, notify, lag, seller

    # -- the merchant's codes ----------------------------------------------------------------------------------------

    def send(self, fields: Fields) -> Row:
        """Take the codes of an order and text them to the customer. The same codes again: ``repeated``."""
        codes = self._verify_codes(fields)
        with self.book:
            order = self._order(fields)
            if order["state"] == CLOSED:
                raise Refusal(ORDER_CLOSED, "订单已退款关闭")
            if order["state"] == SENT:
                if {row["code"]: row["num"] for row in self.book.codes(order["order_id"])} != codes:
                    raise Refusal(ALREADY_SENT, "订单已发码")
                return {"order_id": order["order_id"], "repeated": True}
            self._check_codes(order, codes)
            self._keep_codes(order["order_id"], codes)
        return {"order_id": order["order_id"], "repeated": False}

    def _check_codes(self, order: Row, codes: Mapping[str, int]) -> None:
        one_each = ITEMS[order["item"]].consume_type == ONE_EACH
        if sum(codes.values()) != order["num"] - order["cancelled"] or (one_each and set(codes.values()) != {1}):
            raise Refusal(BAD_PARAMETER, "码的份数与订单不符")
        for code in codes:
            if self.book.row("SELECT 1 FROM codes WHERE code = :code", code=code):
                raise Refusal(CODE_TAKEN, "码已被使用")

    def _keep_codes(self, order_id: str, codes: Mapping[str, int]) -> None:
        for code, num in codes.items():
            sql = "INSERT INTO codes (code, order_id, num, left_num) VALUES (:code, :order_id, :num, :num)"
            self.book.run(sql, code=code, order_id=order_id, num=num)
        sql = "UPDATE orders SET state = :sent, texts = texts + 1 WHERE order_id = :order_id"
        self.book.run(sql, sent=SENT, order_id=order_id)
        self.book.called_back(order_id, SEND, RESEND, MODIFIED)

    def failsend(self, fields: Fields) -> Row:
        """The merchant makes no codes for this order: the customer's money goes back."""
        with self.book:
            order = self._order(fields)
            if order["state"] == SENT:
                raise Refusal(ALREADY_SENT, "订单已发码")
            sql = "UPDATE orders SET state = :closed, cancelled = num, failed = :reason WHERE order_id = :order_id"
            reason = fields.get("reason", "")[:200] or "-"
            self.book.run(sql, closed=CLOSED, reason=reason, order_id=order["order_id"])
            self.book.called_back(order["order_id"], SEND, RESEND, MODIFIED)
        return {"order_id": order["order_id"]}

    def resend(self, fields: Fields) -> Row:
        """Text the codes again. The merchant must name all that are still usable, with what is left on each."""
        codes = self._verify_codes(fields)
        with self.book:
            order = self._order(fields)
            if order["state"] == WAITING:
                raise Refusal(NOT_SENT_YET, "订单尚未发码")
            usable = {row["code"]: row["left_num"] for row in self.book.codes(order["order_id"]) if row["left_num"]}
            if codes != usable:
                raise Refusal(CODES_DIFFER, "重发须包含全部可用的码")
            self.book.run("UPDATE orders SET texts = texts + 1 WHERE order_id = :id", id=order["order_id"])
            self.book.called_back(order["order_id"], RESEND, MODIFIED)
        return {"order_id": order["order_id"]}

    # -- uses --------------------------------------------------------------------------------------------------------

    def consume(self, fields: Fields) -> Row:
        """Use up ``consume_num`` of a code. A serial number acts once, whatever it is sent with again."""
        serial, num = fields.get("serial_num", ""), _positive(fields, "consume_num")
        if not is_serial(serial):
            raise Refusal(BAD_PARAMETER, "serial_num不合法")
        with self.book:
            order = self._order(fields)
            if self._line(serial, CONSUMED):
                raise Refusal(SERIAL_USED, "流水号已使用")
            code = self._usable(order, fields.get("verify_code", ""), num)
            sql = "UPDATE codes SET left_num = left_num - :num, used = used + :num WHERE code = :code"
            self.book.run(sql, num=num, code=code["code"])
            self._write(CONSUMED, order, code["code"], num, serial, fields)
        return {
            "order_id": order["order_id"],
            "serial_num": serial,
            "num": num,
            "left_num": code["left_num"] - num,
            "item_title": ITEMS[order["item"]].title,
        }

    def _usable(self, order: Row, text: str, num: int) -> Row:
        code = self.book.row(
            "SELECT * FROM codes WHERE code = :code AND order_id = :id", code=text, id=order["order_id"]
        )
        if code is None:
            raise Refusal(CODE_UNKNOWN, "码不存在")
        if order["state"] == CLOSED:
            raise Refusal(ORDER_CLOSED, "订单已退款关闭")
        if self.now() < order["valid_start"]:
            raise Refusal(NOT_BEGUN, "未到使用时间")
        if self.now() > order["valid_end"]:
            raise Refusal(EXPIRED, "码已过期")
        if code["left_num"] < num:
            raise Refusal(NOT_ENOUGH, "可用份数不足")
        if code["left_num"] - code["locked"] < num:
            raise Refusal(REFUNDING, "退款处理中，码已锁定")
        return code

    def reverse(self, fields: Fields) -> Row:
        """Take a use back, named by its serial number and its very count."""
        serial, num = fields.get("serial_num", ""), _positive(fields, "reverse_num")
        with self.book:
            order = self._order(fields)
            line = self._line(serial, CONSUMED)
            if line is None or line["order_id"] != order["order_id"]:
                raise Refusal(SERIAL_UNKNOWN, "核销流水不存在")
            if self._line(serial, REVERSED):
                raise Refusal(ALREADY_REVERSED, "该核销已冲正")
            if line["num"] != num:
                raise Refusal(NUM_DIFFERS, "冲正份数与核销份数不一致")
            sql = "UPDATE codes SET left_num = left_num + :num, used = used - :num WHERE code = :code"
            self.book.run(sql, num=num, code=line["code"])
            self._write(REVERSED, order, line["code"], num, serial, fields)
        return {"order_id": order["order_id"], "serial_num": serial, "num": num}

    def _line(self, serial: str, kind: int) -> Row | None:
        return self.book.row("SELECT * FROM log WHERE serial = :serial AND type = :kind", serial=serial, kind=kind)

    def _write(self, kind: int, order: Row, code: str, num: int, serial: str, fields: Fields) -> None:
        self.book.run(
            "INSERT INTO log (type, order_id, code, num, serial, posid, at)"
            " VALUES (:kind, :order_id, :code, :num, :serial, :posid, :at)",
            kind=kind,
            order_id=order["order_id"],
            code=code,
            num=num,
            serial=serial,
            posid=fields.get("posid", "")[:64],
            at=self.now(),
        )

    # -- what may be asked -------------------------------------------------------------------------------------------

    def order_get(self, fields: Fields) -> Row:
        """How an order and its codes stand."""
        return self._shown(self._order(fields))

    def code_get(self, fields: Fields) -> Row:
        """How a code and its order stand, by the code alone; the other codes of the order are not shown."""
        text = fields.get("verify_code", "")
        code = self.book.row("SELECT * FROM codes WHERE code = :code", code=text)
        order = self.book.order(code["order_id"]) if code else None
        if order is None:
            raise Refusal(CODE_UNKNOWN, "码不存在")
        shown = self._shown(order)
        return shown | {"codes": [each for each in shown["codes"] if each["verify_code"] == text]}

    def oplogs_get(self, fields: Fields) -> Row:
        """Uses and reversals, of an order or of a window of time, the oldest first, 40 a page."""
        page = _positive(fields, "page_no")
        start, end = (_moment(fields, name) for name in ("start_time", "end_time"))
        rows = self.book.rows(
            "SELECT log.*, orders.item FROM log JOIN orders USING (order_id)"
            " WHERE (:order_id = '' OR order_id = :order_id) AND at >= :start AND at < :end ORDER BY log_id",
            order_id=fields.get("order_id", ""),
            start=0 if start is None else start,
            end=min(1e12 if end is None else end, self.now() - self._lag() + 0.001),
        )
        logs = [self._logged(row) for row in rows[(page - 1) * LOG_PAGE : page * LOG_PAGE]]
        return {"logs": logs, "total": len(rows)}

    def tasks_get(self, fields: Fields) -> Row:
        """Type 1: notices that failed; type 2: notices that were taken, and never called back about."""
        condition = {"1": "answered = 0 AND tries > 0", "2": "answered = 1"}.get(fields.get("type", ""))
        if condition is None:
            raise Refusal(BAD_PARAMETER, "type不合法")
        sql = f"SELECT order_id, method FROM notices WHERE called_back = 0 AND {condition} ORDER BY number LIMIT 40"  # noqa: S608 - constant text
        return {"tasks": self.book.rows(sql)}

    def manage_notify(self, fields: Fields) -> Row:
        """Send the notices about an order again that nobody has called back about; if there are none, its first."""
        order_id = fields.get("order_id", "")
        if self.book.order(order_id) is None:
            raise Refusal(ORDER_UNKNOWN, "订单不存在")
        first = "SELECT * FROM notices WHERE order_id = :order_id ORDER BY number LIMIT 1"
        for row in self.book.open_notices(order_id) or self.book.rows(first, order_id=order_id):
            self._notify(row)
        return {"order_id": order_id}

    def seller_get(self, fields: Fields) -> Row:
        """Whose session this is."""
        return {"seller_nick": self.seller}

    # -- reading what came, writing what goes ------------------------------------------------------------------------

    def _order(self, fields: Fields) -> Row:
        order = self.book.order(fields.get("order_id", ""))
        if order is None:
            raise Refusal(ORDER_UNKNOWN, "订单不存在")
        if order["token"] != fields.get("token"):
            raise Refusal(TOKEN_WRONG, "token不正确")
        return order

    def _verify_codes(self, fields: Fields) -> dict[str, int]:
        try:
            codes = read_verify_codes(fields.get("verify_codes", ""))
        except ParseError:
            codes = {}
        if not codes:
            raise Refusal(BAD_PARAMETER, "verify_codes不合法")
        return codes

    def _shown(self, order: Row) -> Row:
        item, codes = ITEMS[order["item"]], self.book.codes(order["order_id"])
        waiting = order["num"] - order["cancelled"]
        return {
            "order_id": order["order_id"],
            "state": order["state"],
            "num": order["num"],
            "left_num": sum(code["left_num"] for code in codes) if order["state"] == SENT else waiting,
            "consume_type": item.consume_type,
            "outer_iid": item.outer_iid,
            "item_title": item.title,
            "total_fee": item.price * order["num"],
            "valid_start": _time(order["valid_start"]),
            "valid_ends": _time(order["valid_end"]),
            "awaits": [notice["method"] for notice in self.book.open_notices(order["order_id"])],
            "codes": [_numbers(code) for code in codes],
        }

    def _logged(self, row: Row) -> Row:
        names = ("log_id", "type", "order_id", "num", "posid")
        fields = {name: row[name] for name in names} | {"serial_num": row["serial"], "time": _time(row["at"])}
        return fields | {"code_tail": row["code"][-4:], "outer_iid": row["item"]}


def _numbers(code: Row) -> Row:
    return {
        "verify_code": code["code"],
        "initial_num": code["num"],
        "available_num": code["left_num"] - code["locked"],
        "locked_num": code["locked"],
        "used_num": code["used"],
    }


def _positive(fields: Fields, name: str) -> int:
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise Refusal(BAD_PARAMETER, f"{name}不合法")
    return int(text)


def _moment(fields: Fields, name: str) -> float | None:
    text = fields.get(name, "")
    if not text:
        return None
    try:
        return datetime.strptime(text, TIME).replace(tzinfo=CHINA).timestamp()
    except ValueError:
        raise Refusal(BAD_PARAMETER, f"{name}不合法") from None


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, CHINA).strftime(TIME)
