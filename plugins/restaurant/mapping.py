"""Theirs ↔ ours: bills, tender codes, references, dishes and statement rows of 食通天下. Pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from gateway.sdk import Bill, BillKind, BillLine, Method, OrderPost, Product, StatementRow, TenderLine
from plugins.restaurant import protocol_bill as theirs
from plugins.restaurant.protocol import MEMO_BYTES, quantity_text

#: Our mark at the beginning of every memo that we write; the key of the change follows.
MARK = "GW"
KEY_LENGTH = 26
ROUNDING = "rounding"

#: The till's tender codes for what lowers the price; none of it counts as income.
POINTS, COUPON, BENEFIT, DIFFERENCE = "06", "07", "12", "15"
BENEFITS = (POINTS, COUPON, BENEFIT, DIFFERENCE)
TENDER_CODES: dict[str, str] = {
    "wechat": "03",
    "alipay": "04",
    Method.PAYMENT_CODE: "11",
    Method.QR_CODE: "11",
    Method.BANK_CARD: "02",
    Method.DEPOSIT: "11",
    Method.STORED_VALUE: "05",
    Method.RED_ENVELOPE: "13",
    Method.GIFT_CARD: "14",
    Method.VOUCHER: "08",
    Method.CASH: "01",
    Method.ON_ACCOUNT: "09",
}


def reference(key: str) -> str:
    """What we write into memos: our mark and the key of the change, 28 bytes."""
    return MARK + key


def row_memo(key: str, number: int) -> str:
    """The memo of the n-th tender row of a posting, at most 32 bytes."""
    memo = f"{reference(key)}/{number}"
    if len(memo) > MEMO_BYTES:
        raise ValueError("a posting has more tender rows than the memo can number")
    return memo


def key_of(memo: str) -> str:
    """The key of the change that wrote this memo, or ``""`` if it isn't ours."""
    key = memo[len(MARK) :].partition("/")[0]
    return key if memo.startswith(MARK) and len(key) == KEY_LENGTH else ""


def quantity(thousandths: int) -> Decimal:
    return Decimal(quantity_text(thousandths))


def local_moment(text: str, zone: ZoneInfo) -> datetime | None:
    """A moment as the till prints it, ``2014-03-08 18:03:11`` without a zone; ``None`` if it is empty or broken."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
    except ValueError:
        return None


# ---- bills ------------------------------------------------------------------------------------------------------


def check_sums(bill: theirs.Bill) -> str:
    """What is inconsistent in a bill's own figures, or ``""``; a far system that can't add is not to be believed."""
    rows = [row for row in bill.tenders if row.state == theirs.VALID]
    if bill.paid_amount != sum(row.amount - row.change_amount for row in rows):
        return "the paid amount is not the sum of the tender rows"
    if bill.due_amount != max(0, bill.total_amount - bill.paid_amount):
        return "the due amount is not what is left of the total"
    lines = [line for line in bill.lines if line.state == theirs.VALID]
    total = sum(line.last_amount for line in lines) + bill.service_amount - bill.wipe_amount
    # The till adds unrounded lines: each may be off by half a fen.
    return "" if abs(total - bill.total_amount) <= len(lines) // 2 + 1 else "the total is not the sum of the lines"


def rounding_difference(bill: theirs.Bill) -> int:
    """What the till's total has more (or less) than its own printed lines, service charge and 抹零, in fen."""
    printed = sum(line.last_amount for line in bill.lines if line.state == theirs.VALID)
    return bill.total_amount - (printed + bill.service_amount - bill.wipe_amount)


def version_of(bill: theirs.Bill, own: str = "") -> str:
    """A digest of all that a price depends on; rows whose memo begins with ``own`` don't count."""
    paid = [(row.ts_id, row.amount) for row in _valid(bill) if not (own and row.memo.startswith(own))]
    lines = [(line.line_no, line.dish, line.quantity, line.gross_amount, line.last_amount) for line in _kept(bill)]
    document = json.dumps([bill.bs_id, bill.total_amount, bill.service_amount, lines, paid])
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def _valid(bill: theirs.Bill) -> list[theirs.TenderRow]:
    return [row for row in bill.tenders if row.state == theirs.VALID]


def _kept(bill: theirs.Bill) -> list[theirs.BillLine]:
    return [line for line in bill.lines if line.state == theirs.VALID]


def own_rows(bill: theirs.Bill, own: str) -> list[theirs.TenderRow]:
    """The valid tender rows whose memo begins with ``own``."""
    return [row for row in _valid(bill) if row.memo.startswith(own)]


def foreign_rows(bill: theirs.Bill, own: str) -> list[theirs.TenderRow]:
    """The valid tender rows that others have booked."""
    return [row for row in _valid(bill) if not row.memo.startswith(own)]


@dataclass(frozen=True, slots=True)
class ShopRules:
    """What the till doesn't say about itself: the basis of its service charge and its 抹零 mode."""

    service_basis: str
    rounding: str


def bill_of(bill: theirs.Bill, store_id: str, rules: ShopRules, zone: ZoneInfo) -> Bill:
    """An open bill in our words. Its lines, fees and rounding give the till's own sum again."""
    fees: tuple[Mapping[str, Any], ...] = ()
    if bill.service_bp:
        fees = (
            {
                "fee_id": "service",
                "kind": "service_charge",
                "charge_bp": bill.service_bp,
                "basis": rules.service_basis,
            },
        )
    return Bill(
        bill_id=bill.bs_id,
        kind=BillKind.BILL,
        store_id=store_id,
        version=version_of(bill),
        lines=_lines_of(bill),
        due_amount=bill.due_amount,
        session_id=bill.bs_id,
        resource_id=bill.table,
        paid_amount=bill.paid_amount,
        fees=fees,
        rounding=rules.rounding,
        stock_held=True,
        opened_at=local_moment(bill.opened_at, zone),
        facts={
            "bill_no": bill.bs_code,
            "guests": bill.guests,
            "area": bill.area,
            "pre_billed": bill.settle_state == theirs.PRE_SETTLED,
            "waiter": bill.waiter,
        },
    )


def line_id_of(bill_id: str, line_no: int) -> str:
    """A line's id, unique over all bills."""
    return f"{bill_id}-{line_no}"


def _lines_of(bill: theirs.Bill) -> tuple[BillLine, ...]:
    kept = _kept(bill)
    difference = rounding_difference(bill)
    # A price can't be negative: a total below its lines is taken off the largest of them.
    target = max(kept, key=lambda line: line.last_amount, default=None) if difference < 0 else None
    lines = [_line_of(bill.bs_id, line, difference if line is target else 0) for line in kept]
    if difference > 0:
        lines.append(_rounding_line(bill.bs_id, difference))
    return tuple(lines)


def _line_of(bill_id: str, line: theirs.BillLine, difference: int) -> BillLine:
    # What the till has taken off by itself (campaign price, gift) is settled: our own prices start from there.
    amount = line.last_amount + difference
    unit = line.last_amount if line.quantity == 1000 else _unit(line)
    return BillLine(
        line_id=line_id_of(bill_id, line.line_no),
        sku=line.dish,
        name=line.name,
        quantity=quantity(line.quantity),
        unit_amount=unit,
        gross_amount=amount,
        category=line.category,
        discountable=line.discountable,
        # Member price and campaign exclude each other, and a gift has no price to lower.
        member_price=line.discountable and line.discount_flag not in ("P", "G", "C"),
        component_of=line_id_of(bill_id, line.package_head) if line.package_head else "",
        facts={"till_discount": line.discount_flag, "depart": line.depart, "member_amount": line.member_price},
    )


def _unit(line: theirs.BillLine) -> int:
    """What one unit is charged, half up; the line's amount wins where they differ."""
    if line.quantity == 0:
        return line.price
    return (2 * line.last_amount * 1000 + line.quantity) // (2 * line.quantity)


def _rounding_line(bill_id: str, amount: int) -> BillLine:
    return BillLine(
        line_id=f"{bill_id}-{ROUNDING}",
        sku=ROUNDING,
        name="尾差 rounding",
        quantity=Decimal(1),
        unit_amount=amount,
        gross_amount=amount,
        category=ROUNDING,
        discountable=False,
        member_price=False,
        counts_to_minimum=False,
    )


# ---- posting ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TenderRow:
    """One tender row to book. ``sold_amount`` is what a voucher was sold for: the part of it that is income."""

    bill_id: str
    pay_code: str
    amount: int
    memo: str
    voucher_code: str = ""
    sold_amount: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """A tender or a benefit, before it is poured into the bills."""

    pay_code: str
    amount: int
    voucher_code: str = ""
    sold_amount: int = 0


def tender_code(tender: TenderLine, codes: Mapping[str, str]) -> str:
    """The till's code: by channel where it is known (WeChat, Alipay), else by method."""
    table = {**TENDER_CODES, **codes}
    channel = tender.channel.lower()
    for name in sorted(table, key=len, reverse=True):
        if channel and name in channel:
            return table[name]
    return table[tender.method]


def plan_rows(
    request: OrderPost, key: str, dues: Mapping[str, int], codes: Mapping[str, str]
) -> tuple[TenderRow, ...] | None:
    """The rows that settle these bills: every tender, then what lowered the price, poured into the bills in order.

    ``dues`` is what each bill needs, in fen. ``None`` if the tenders are more than the bills need.
    """
    parts = _parts(request, sum(dues.values()), codes)
    return None if parts is None else _pour(parts, key, dues)


def _parts(request: OrderPost, needed: int, codes: Mapping[str, str]) -> list[_Part] | None:
    parts = [_tender_part(tender, codes) for tender in request.tenders if tender.amount]
    left = needed - sum(part.amount for part in parts)
    if left < 0:
        return None
    for code, amount in ((POINTS, request.points_amount), (COUPON, _coupon_amount(request)), (BENEFIT, left)):
        taken = min(amount, left)
        if taken > 0:
            parts.append(_Part(code, taken))
            left -= taken
    return parts


def _tender_part(tender: TenderLine, codes: Mapping[str, str]) -> _Part:
    code = tender_code(tender, codes)
    if tender.method is Method.VOUCHER:
        income = tender.amount if tender.income_amount is None else tender.income_amount
        return _Part(code, tender.amount, (tender.ref or tender.tender_id)[:30], income)
    return _Part(code, tender.amount)


def _coupon_amount(request: OrderPost) -> int:
    return sum(
        int(part.get("amount", 0)) for line in request.lines for part in line.discounts if part.get("kind") == "coupon"
    )


def _pour(parts: Iterable[_Part], key: str, dues: Mapping[str, int]) -> tuple[TenderRow, ...]:
    rows: list[TenderRow] = []
    queue = list(parts)
    for bill_id, due in dues.items():
        # A bill that needs nothing is settled by one row of nothing.
        taken = _take(queue, due) or [_Part(DIFFERENCE, 0)]
        for part in taken:
            memo = row_memo(key, len(rows) + 1)
            rows.append(TenderRow(bill_id, part.pay_code, part.amount, memo, part.voucher_code, part.sold_amount))
    return tuple(rows)


def _take(queue: list[_Part], due: int) -> list[_Part]:
    """Take parts for ``due`` from the front of the queue, cutting the last one where it is too large."""
    taken: list[_Part] = []
    while due > 0 and queue:
        part = queue.pop(0)
        amount = min(part.amount, due)
        sold = part.sold_amount * amount // part.amount
        taken.append(_Part(part.pay_code, amount, part.voucher_code, sold))
        if amount < part.amount:
            rest = _Part(part.pay_code, part.amount - amount, part.voucher_code, part.sold_amount - sold)
            queue.insert(0, rest)
        due -= amount
    return taken


# ---- statement and catalogue ------------------------------------------------------------------------------------


def statement_rows(bill: theirs.Bill, store_id: str, zone: ZoneInfo) -> list[StatementRow]:
    """One row a tender, keyed by (bill, tender). A row taken back by 反结账 is followed by its reversal."""
    rows: list[StatementRow] = []
    status = "re_settled" if bill.settle_state == theirs.RE_SETTLED else "settled"
    for tender in bill.tenders:
        sale = _statement_row(bill, tender, store_id, zone, status)
        rows.append(sale)
        if tender.state == theirs.TAKEN_BACK or bill.delete_flag == theirs.DELETED:
            rows.append(_reversal(sale))
    return rows


def _statement_row(
    bill: theirs.Bill, tender: theirs.TenderRow, store_id: str, zone: ZoneInfo, status: str
) -> StatementRow:
    return StatementRow(
        # What only lowered the price is no money: it has a kind of its own.
        kind="discount" if tender.pay_code in BENEFITS else "sale",
        ref=f"{bill.bs_id}/{tender.ts_id}",
        amount=tender.amount - tender.change_amount,
        key=key_of(tender.memo),
        at=local_moment(tender.paid_at, zone),
        status="taken_back" if tender.state == theirs.TAKEN_BACK else status,
        facts={
            "tender": tender.pay_code,
            "bill": bill.bs_id,
            "ts_id": tender.ts_id,
            "store_id": store_id,
            "business_date": bill.biz_date,
            "income_amount": tender.income_amount,
            "non_income_amount": tender.non_income_amount,
        },
    )


def _reversal(sale: StatementRow) -> StatementRow:
    return StatementRow(
        kind="discount" if sale.kind == "discount" else "return",
        ref=f"{sale.ref}/R",
        original_ref=sale.ref,
        amount=-sale.amount,
        key=sale.key,
        at=sale.at,
        status="reversal",
        facts=sale.facts,
    )


def product_of(dish: theirs.Dish, store_ids: tuple[str, ...]) -> Product:
    """A dish as a product. A campaign price replaces price and member price alike."""
    return Product(
        sku=dish.code,
        name=dish.name,
        name_en=dish.english,
        unit_amount=dish.promo_price or dish.price,
        category=dish.category,
        unit=dish.unit,
        weighed=dish.weighed,
        discountable=dish.discountable,
        member_amount=None if dish.promo_price or dish.member_price >= dish.price else dish.member_price,
        deleted=not dish.on_sale,
        store_ids=store_ids,
        facts={"depart": dish.depart, "package": dish.package, "list_amount": dish.price},
    )
