"""The tills of the simulated chain: the commands a waiter, a cashier or a program in the shop's LAN can send.

A till handles one command at a time. It does not know repeated messages, but for ``/order`` with a ``serial``, which
it remembers for ten minutes in memory. A second ``/pay`` takes money a second time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from plugins.restaurant.protocol import ParseError, cut_memo, fen_of, thousandths_of
from plugins.restaurant.protocol_bill import NORMAL, NOT_SETTLED, OPEN, PRE_SETTLED, RE_SETTLED, SETTLED, VALID
from plugins.restaurant.simulator_bill import Line, Payment, TillBill, new_bill, new_line, wire, yuan
from plugins.restaurant.simulator_seed import (
    OPERATOR,
    OPERATOR_PASSWORD,
    PAY_CODES,
    TAKEAWAY,
    Dish,
    Shop,
    table_codes,
)
from plugins.restaurant.simulator_store import ChainStore

#: The shops' clocks: China has one zone and no summer time.
LOCAL = timezone(timedelta(hours=8))
#: A business day ends at four in the morning.
DAY_ENDS = timedelta(hours=4)
SERIAL_LIFE_S = 600
CASH = "01"


class TillError(Exception):
    """The till refuses: its code and its words."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg


@dataclass(slots=True)
class Chain:
    """What the tills share: the disk, the seed, the clock, and the way to the head office."""

    store: ChainStore
    shops: dict[str, Shop]
    dishes: dict[str, Dish]
    now: Callable[[], float]
    upload: Callable[[TillBill], None]


def local_time(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC).astimezone(LOCAL)


def stamp(moment: float) -> str:
    return local_time(moment).strftime("%Y-%m-%d %H:%M:%S")


class Till:
    """One shop's till."""

    def __init__(self, chain: Chain, shop: Shop) -> None:
        self._chain = chain
        self._store = chain.store
        self.shop = shop
        self.lock = threading.RLock()
        self._tables = dict(table_codes(shop))
        self._serials: dict[str, tuple[float, dict[str, Any]]] = {}
        self._commands: dict[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
            "open": self._do_open,
            "order": self._do_order,
            "return": self._do_return,
            "move": self._do_move,
            "merge": self._do_merge,
            "prebill": self._do_prebill,
            "pay": self._do_pay,
            "clear": self._do_clear,
            "reopen": self._do_reopen,
            "soldout": self._do_soldout,
            "bill": self._do_bill,
            "tables": self._do_tables,
        }

    def run(self, command: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Carry out one command and return the reply's data. Raises ``TillError``."""
        action = self._commands.get(command)
        if action is None:
            raise TillError(50001, f"未知命令 {command[:20]}")
        if (form.get("opr"), form.get("pwd")) != (OPERATOR, OPERATOR_PASSWORD):
            raise TillError(50401, "操作员或密码错误")
        with self.lock:
            try:
                return action(form)
            except ParseError as error:
                raise TillError(50001, f"参数错误: {error}") from error

    def forget(self) -> None:
        """A restart: what lived in memory is gone."""
        self._serials.clear()

    def business_date(self) -> str:
        """The business date that a bill settled now belongs to."""
        today = (local_time(self._chain.now()) - DAY_ENDS).date()
        closed = self._store.closed_through(self.shop.code)
        if closed and date.fromisoformat(closed) >= today:
            today = date.fromisoformat(closed) + timedelta(days=1)
        return today.isoformat()

    # ---- commands
    def _do_open(self, form: Mapping[str, str]) -> dict[str, Any]:
        table = self._table(form.get("table", ""))
        if self._store.bill_on_table(self.shop.code, table):
            raise TillError(50003, "请勿重复开台")
        moment = self._chain.now()
        prefix = self.shop.code + local_time(moment).strftime("%y%m%d")
        bs_id = f"{prefix}{self._store.next_number(prefix):04d}"
        guests = _whole(form.get("guests", "2"), "guests")
        bill = new_bill(
            self.shop, bs_id, table, self._tables[table], guests, stamp(moment), form.get("waiter", "")[:10]
        )
        if bill.area == TAKEAWAY:
            bill.service_bp = 0
        return self._saved(bill)

    def _do_order(self, form: Mapping[str, str]) -> dict[str, Any]:
        serial, moment = form.get("serial", ""), self._chain.now()
        known = self._serials.get(serial) if serial else None
        if known and moment - known[0] < SERIAL_LIFE_S:
            return known[1]
        bill = self._changeable(form)
        wanted = [self._item(text) for text in form.get("items", "").split("|") if text]
        if not wanted:
            raise TillError(50001, "没有菜品")
        self._take_portions(wanted)
        first = bill.next_line()
        for dish, quantity, price, cook in wanted:
            self._add_lines(bill, dish, quantity, price, cook)
        answer = {**self._saved(bill), "lineNo": first}
        if serial:
            self._serials[serial] = (moment, answer)
        return answer

    def _do_return(self, form: Mapping[str, str]) -> dict[str, Any]:
        bill = self._changeable(form)
        number, quantity = _whole(form.get("lineNo", ""), "lineNo"), thousandths_of(form.get("qty", ""), "qty")
        line = next((row for row in bill.lines if row.line_no == number and row.state == VALID), None)
        if line is None or not 0 < quantity <= line.quantity or line.package == 2:
            raise TillError(50013, "退菜行号或数量错误")
        line.quantity -= quantity
        self._give_portions(line.dish, quantity)
        if line.quantity == 0:
            for row in bill.lines:
                if number in (row.line_no, row.package_head):
                    row.state = 2
        return self._saved(bill)

    def _do_move(self, form: Mapping[str, str]) -> dict[str, Any]:
        bill, target = self._changeable(form), self._table(form.get("to", ""))
        if self._store.bill_on_table(self.shop.code, target):
            raise TillError(50003, "请勿重复开台")
        bill.table, bill.area = target, self._tables[target]
        return self._saved(bill)

    def _do_merge(self, form: Mapping[str, str]) -> dict[str, Any]:
        bill = self._changeable(form)
        main = self._store.bill(self.shop.code, form.get("into", ""))
        if main is None or main.bs_id == bill.bs_id or main.state != OPEN or main.settle_state == PRE_SETTLED:
            raise TillError(50004, "主单不存在")
        shift = main.next_line() - 1
        for line in bill.lines:
            line.line_no += shift
            line.package_head += shift if line.package_head else 0
        main.lines += bill.lines
        bill.lines, bill.state, bill.cleared = [], 2, True
        self._store.save_bill(bill)
        return self._saved(main)

    def _do_prebill(self, form: Mapping[str, str]) -> dict[str, Any]:
        bill = self._changeable(form)
        bill.settle_state = PRE_SETTLED
        bill.member = form.get("member") == "1"
        bill.pre_memo = cut_memo(form.get("memo", ""))
        return self._saved(bill)

    def _do_pay(self, form: Mapping[str, str]) -> dict[str, Any]:
        bill, code, money = self._bill(form), form.get("payCode", ""), fen_of(form.get("money", ""), "money")
        if bill.state != OPEN:
            raise TillError(50030, "账单已结账")
        if code not in PAY_CODES:
            raise TillError(50032, "付款方式不存在")
        due = bill.due()
        if money < 0 or (money == 0 and due > 0):
            raise TillError(50033, "付款金额错误")
        # Cash over the due amount is given back as change; of anything else the till keeps the excess.
        change = max(0, money - due) if code == CASH else 0
        row = Payment(bill.next_ts(), code, money, change, cut_memo(form.get("memo", "")), stamp(self._chain.now()))
        row.voucher_code = form.get("voucherCode", "")[:30]
        row.sold_amount = fen_of(form.get("soldMoney", "0") or "0", "soldMoney")
        bill.payments.append(row)
        if bill.due() == 0:
            self._settle(bill)
        return {**self._saved(bill), "tsId": row.ts_id}

    def _do_clear(self, form: Mapping[str, str]) -> dict[str, Any]:
        bill = self._bill(form)
        if bill.state == OPEN and (bill.due() or any(line.state == VALID for line in bill.lines)):
            raise TillError(50041, "账单未结清，不能清台")
        if bill.cleared:
            raise TillError(50042, "桌台已清")
        if bill.state == OPEN:
            bill.state = 2
        bill.cleared = True
        return self._saved(bill)

    def _do_reopen(self, form: Mapping[str, str]) -> dict[str, Any]:
        """反结账 of a settled bill; of a pre-billed one it only takes the pre-bill back."""
        bill = self._bill(form)
        if bill.state == OPEN and bill.settle_state == PRE_SETTLED:
            bill.settle_state, bill.pre_memo, bill.member = NOT_SETTLED, "", False
            return self._saved(bill)
        if bill.state != SETTLED:
            raise TillError(50022, "账单未结账，不能反结")
        if bill.biz_date <= self._store.closed_through(self.shop.code):
            raise TillError(50021, "营业日已日结，不能反结账")
        self._reopen(bill)
        return self._saved(bill)

    def _do_soldout(self, form: Mapping[str, str]) -> dict[str, Any]:
        code = form.get("dish", "")
        if code:
            if code not in self._chain.dishes:
                raise TillError(50012, "菜品不存在")
            self.set_left(code, thousandths_of(form.get("left", ""), "left"))
        rows = self._store.left(self.shop.code).items()
        return {
            "list": [
                {"dishCode": dish, "dishName": self._chain.dishes[dish].name, "left": left / 1000, "time": at}
                for dish, (left, at) in rows
            ]
        }

    def _do_bill(self, form: Mapping[str, str]) -> dict[str, Any]:
        """By bill number or table. ``trial`` asks for the sums with (1) or without (0) the member price."""
        bill = self._bill(form)
        trial = {"1": True, "0": False}.get(form.get("trial", ""))
        return {"bill": wire(bill, trial)}

    def _do_tables(self, form: Mapping[str, str]) -> dict[str, Any]:
        taken = self._store.tables_taken(self.shop.code)
        rows = [
            {"tableCode": code, "areaName": area, "state": int(code in taken), "bsId": taken.get(code, "")}
            for code, area in self._tables.items()
        ]
        return {"list": rows}

    # ---- helpers
    def set_left(self, dish: str, left: int) -> None:
        """Limit a dish to so many portions; a negative number takes the limit away."""
        if left < 0:
            self._store.unlimit(self.shop.code, dish)
        else:
            self._store.set_left(self.shop.code, dish, left, self._clock())

    def free_table(self) -> str:
        """The first free table of the hall or the rooms. Raises ``TillError`` if the shop is full."""
        taken = self._store.tables_taken(self.shop.code)
        for code, area in self._tables.items():
            if code not in taken and area != TAKEAWAY:
                return code
        raise TillError(50003, "没有空台")

    def _clock(self) -> str:
        return local_time(self._chain.now()).strftime("%H%M%S")

    def _table(self, code: str) -> str:
        if code not in self._tables:
            raise TillError(50007, "桌台不存在")
        return code

    def _bill(self, form: Mapping[str, str]) -> TillBill:
        number, table = form.get("bsId", ""), form.get("table", "")
        if number:
            found = self._store.bill(self.shop.code, number)
        else:
            found = self._store.bill_on_table(self.shop.code, self._table(table))
        if found is None:
            raise TillError(50004, "账单不存在")
        return found

    def _changeable(self, form: Mapping[str, str]) -> TillBill:
        bill = self._bill(form)
        if bill.state != OPEN:
            raise TillError(50030, "账单已结账")
        if bill.settle_state == PRE_SETTLED:
            raise TillError(50005, "账单已预结，请先取消预结")
        return bill

    def _saved(self, bill: TillBill) -> dict[str, Any]:
        self._store.save_bill(bill)
        sums = bill.sums()
        return {
            "bsId": bill.bs_id,
            "bsCode": bill.bs_code,
            "lastTotal": yuan(sums.total),
            "paid": yuan(bill.paid()),
            "due": yuan(bill.due()),
            "state": bill.state,
            "settleState": bill.settle_state,
        }

    def _settle(self, bill: TillBill) -> None:
        bill.state, bill.settled_at = SETTLED, stamp(self._chain.now())
        bill.settle_state = RE_SETTLED if bill.settled_before else NORMAL
        bill.biz_date = self.business_date()
        self._chain.upload(bill)

    def _reopen(self, bill: TillBill) -> None:
        for row in bill.payments:
            row.state = 2
        bill.state, bill.settle_state, bill.settled_before = OPEN, RE_SETTLED, True
        bill.settled_at = ""
        self._chain.upload(bill)
        bill.settle_state, bill.pre_memo = NOT_SETTLED, ""
        taken = self._store.bill_on_table(self.shop.code, bill.table)
        if taken and taken.bs_id != bill.bs_id:
            bill.table, bill.area = "", "临时台"
        bill.cleared = False

    def _item(self, text: str) -> tuple[Dish, int, int | None, int]:
        """One ordered item: ``code,quantity[,price[,cooking charge]]``."""
        code, _, rest = text.partition(",")
        dish = self._chain.dishes.get(code)
        if dish is None:
            raise TillError(50012, f"菜品不存在 {code[:12]}")
        cells = rest.split(",")
        quantity = thousandths_of(cells[0] or "1", "qty")
        if quantity <= 0 or (quantity % 1000 and not dish.weighed):
            raise TillError(50013, "数量错误")
        price = fen_of(cells[1], "price") if len(cells) > 1 and cells[1] else None
        cook = fen_of(cells[2], "cook") if len(cells) > 2 and cells[2] else 0
        return dish, quantity, price, cook

    def _add_lines(self, bill: TillBill, dish: Dish, quantity: int, price: int | None, cook: int) -> None:
        head: Line = new_line(bill.next_line(), dish, quantity, price, cook)
        bill.lines.append(head)
        for code, count in dish.components:
            part = new_line(bill.next_line(), self._chain.dishes[code], quantity * count // 1000, head=head.line_no)
            bill.lines.append(part)

    def _take_portions(self, wanted: list[tuple[Dish, int, int | None, int]]) -> None:
        left = self._store.left(self.shop.code)
        need: dict[str, int] = {}
        for dish, quantity, _, _ in wanted:
            need[dish.code] = need.get(dish.code, 0) + quantity
        for code, quantity in need.items():
            if code in left and left[code][0] < quantity:
                raise TillError(50011, f"{self._chain.dishes[code].name} 已沽清")
        for code, quantity in need.items():
            if code in left:
                self._store.set_left(self.shop.code, code, left[code][0] - quantity, self._clock())

    def _give_portions(self, code: str, quantity: int) -> None:
        left = self._store.left(self.shop.code)
        if code in left:
            self._store.set_left(self.shop.code, code, left[code][0] + quantity, self._clock())


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise TillError(50001, f"参数错误: {name}")
    return int(text)
