"""Bills inside replies of 食通天下: typed records read from the JSON of the till and of the head office.

Amounts are fen, quantities thousandths. Every problem is a ``ParseError`` that names the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugins.restaurant.protocol import ParseError, fen_of, thousandths_of

#: ``state`` of a bill.
OPEN, SETTLED, EMPTY_DELETED, VOID = 0, 1, 2, 3
#: ``settleState`` of a bill: not settled, settled, settled again after 反结账, pre-billed (预结, printed, not paid).
NOT_SETTLED, NORMAL, RE_SETTLED, PRE_SETTLED = 0, 1, -1, -2
#: ``state`` of a line and of a tender row.
VALID, TAKEN_BACK = 1, 2
#: ``deleteFlag`` of a bill at the head office.
KEPT, DELETED = 1, 2
#: ``pkgFlag`` of a line: a dish of its own, a package's head (priced), a package's component (zero).
SINGLE, PACKAGE_HEAD, COMPONENT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line. ``last_amount`` is what the till charges for it, ``gross_amount`` before any discount."""

    line_no: int
    dish: str
    name: str
    category: str
    unit: str
    quantity: int
    price: int
    cook_amount: int
    member_price: int
    gross_amount: int
    discount_amount: int
    last_amount: int
    discount_flag: str
    discountable: bool
    package: int
    package_head: int
    depart: str
    state: int


@dataclass(frozen=True, slots=True)
class TenderRow:
    """One tender row; (bill id, ``ts_id``) is its only key. ``memo`` holds what the payer's system wrote."""

    ts_id: int
    pay_code: str
    name: str
    amount: int
    income_amount: int
    non_income_amount: int
    change_amount: int
    memo: str
    paid_at: str
    voucher_code: str
    state: int


@dataclass(frozen=True, slots=True)
class Bill:
    """A bill with its lines and tender rows, as the till or the head office states it."""

    bs_id: str
    bs_code: str
    shop: str
    table: str
    table_name: str
    area: str
    guests: int
    opened_at: str
    settled_at: str
    biz_date: str
    state: int
    settle_state: int
    delete_flag: int
    pre_memo: str
    waiter: str
    sales_code: str
    gross_amount: int
    member_amount: int
    promo_amount: int
    gift_amount: int
    wipe_amount: int
    service_amount: int
    service_bp: int
    total_amount: int
    income_amount: int
    non_income_amount: int
    paid_amount: int
    due_amount: int
    upload_time: str
    lines: tuple[BillLine, ...]
    tenders: tuple[TenderRow, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the head office: pages count from 1."""

    number: int
    pages: int
    total: int
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Dish:
    """One dish of the head office's list. ``promo_price`` 0 means there is none; then the member price may apply."""

    code: str
    name: str
    english: str
    category: str
    unit: str
    price: int
    member_price: int
    promo_price: int
    discountable: bool
    weighed: bool
    package: bool
    depart: str
    on_sale: bool


class Fields:
    """Typed reads of one JSON object, each naming its place when it fails."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ParseError(f"{where}: not an object")
        self._value: dict[str, Any] = value
        self._where = where

    def text(self, name: str, longest: int = 200) -> str:
        found = self._value.get(name, "")
        if not isinstance(found, str) or len(found) > longest:
            raise ParseError(f"{self._where}.{name}: not a text of at most {longest} characters")
        return found.strip()

    def needed(self, name: str) -> str:
        found = self.text(name)
        if not found:
            raise ParseError(f"{self._where}.{name}: missing")
        return found

    def number(self, name: str) -> int:
        """A whole number; the head office writes even these with a point (``3.0``)."""
        where = f"{self._where}.{name}"
        thousandths = thousandths_of(self._value.get(name, 0), where)
        if thousandths % 1000:
            raise ParseError(f"{where}: not a whole number")
        return thousandths // 1000

    def fen(self, name: str) -> int:
        return fen_of(self._value.get(name, 0), f"{self._where}.{name}")

    def thousandths(self, name: str) -> int:
        return thousandths_of(self._value.get(name, 0), f"{self._where}.{name}")

    def raw(self, name: str) -> Any:
        """What stands there, of any type; an absent object is empty."""
        return self._value.get(name, {})

    def rows(self, name: str) -> list[Any]:
        found = self._value.get(name, [])
        if not isinstance(found, list) or len(found) > 5000:
            raise ParseError(f"{self._where}.{name}: not a list")
        return found


def parse_bill(value: Any, where: str = "bill") -> Bill:
    """Read one bill document."""
    get = Fields(value, where)
    lines = tuple(_line(row, f"{where}.lines[{n}]") for n, row in enumerate(get.rows("lines")))
    tenders = tuple(_tender(row, f"{where}.payways[{n}]") for n, row in enumerate(get.rows("payways")))
    return Bill(
        bs_id=get.needed("bsId"),
        bs_code=get.text("bsCode"),
        shop=get.needed("shopCode"),
        table=get.text("tableCode"),
        table_name=get.text("tableName"),
        area=get.text("areaName"),
        guests=get.number("guests"),
        opened_at=get.text("openTime"),
        settled_at=get.text("settleTime"),
        biz_date=get.text("settleBizDate"),
        state=get.number("state"),
        settle_state=get.number("settleState"),
        delete_flag=get.number("deleteFlag"),
        pre_memo=get.text("preMemo"),
        waiter=get.text("waiterCode"),
        sales_code=get.text("salesCode"),
        gross_amount=get.fen("origTotal"),
        member_amount=get.fen("memberMoney"),
        promo_amount=get.fen("promoMoney"),
        gift_amount=get.fen("giftMoney"),
        wipe_amount=get.fen("wipeMoney"),
        service_amount=get.fen("serviceMoney"),
        service_bp=get.number("serviceRate"),
        total_amount=get.fen("lastTotal"),
        income_amount=get.fen("incomeTotal"),
        non_income_amount=get.fen("notIncomeMoney"),
        paid_amount=get.fen("paid"),
        due_amount=get.fen("due"),
        upload_time=get.text("uploadTime"),
        lines=lines,
        tenders=tenders,
    )


def _line(value: Any, where: str) -> BillLine:
    get = Fields(value, where)
    return BillLine(
        line_no=get.number("lineNo"),
        dish=get.needed("dishCode"),
        name=get.text("dishName"),
        category=get.text("cateCode"),
        unit=get.text("unit"),
        quantity=get.thousandths("qty"),
        price=get.fen("price"),
        cook_amount=get.fen("cookMoney"),
        member_price=get.fen("memberPrice"),
        gross_amount=get.fen("origMoney"),
        discount_amount=get.fen("discMoney"),
        last_amount=get.fen("lastMoney"),
        discount_flag=get.text("discFlag"),
        discountable=get.number("canDisc") == 1,
        package=get.number("pkgFlag"),
        package_head=get.number("pkgHead"),
        depart=get.text("departCode"),
        state=get.number("state"),
    )


def _tender(value: Any, where: str) -> TenderRow:
    get = Fields(value, where)
    return TenderRow(
        ts_id=get.number("tsId"),
        pay_code=get.needed("payCode"),
        name=get.text("payName"),
        amount=get.fen("payMoney"),
        income_amount=get.fen("incomeMoney"),
        non_income_amount=get.fen("notIncomeMoney"),
        change_amount=get.fen("changeMoney"),
        memo=get.text("memo"),
        paid_at=get.text("payTime"),
        voucher_code=get.text("voucherCode"),
        state=get.number("state"),
    )


def parse_page(data: Any, rows_name: str) -> Page:
    """Read one page of the head office; ``rows_name`` is the member that holds its rows."""
    rows = Fields(data, "data").rows(rows_name)
    info = Fields(data.get("pageInfo"), "pageInfo")
    if any(not isinstance(row, dict) for row in rows):
        raise ParseError(f"data.{rows_name}: a row is not an object")
    return Page(info.number("pageNo"), info.number("pageTotal"), info.number("total"), tuple(rows))


def parse_dish(value: Any, where: str = "dish") -> Dish:
    """Read one row of the dish list."""
    get = Fields(value, where)
    return Dish(
        code=get.needed("dishCode"),
        name=get.needed("dishName"),
        english=get.text("dishNameEn"),
        category=get.text("cateCode"),
        unit=get.text("unit"),
        price=get.fen("price"),
        member_price=get.fen("memberPrice"),
        promo_price=get.fen("promoPrice"),
        discountable=get.number("canDisc") == 1,
        weighed=get.number("weigh") == 1,
        package=get.number("pkgFlag") == PACKAGE_HEAD,
        depart=get.text("departCode"),
        on_sale=get.number("deleteFlag") != DELETED,
    )


def parse_left(data: Mapping[str, Any]) -> dict[str, int]:
    """Read the till's sold-out list: dish code → portions left, in thousandths. A dish not listed is not limited."""
    rows = Fields(dict(data), "data").rows("list")
    found: dict[str, int] = {}
    for number, row in enumerate(rows):
        get = Fields(row, f"list[{number}]")
        found[get.needed("dishCode")] = get.thousandths("left")
    return found
