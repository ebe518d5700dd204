"""Theirs ↔ ours: bills, tender codes, references, dishes and statement rows of 食通天下. Pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from gateway.sdk import Bill, BillKind, BillLine, Product, StatementRow
from plugins.restaurant import protocol_bill as theirs
from plugins.restaurant.protocol import quantity_text
from plugins.restaurant.tenders import BENEFITS, key_of

ROUNDING = "rounding"


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


def bills_of(found: Sequence[theirs.Bill], store_id: str, rules: ShopRules, zone: ZoneInfo) -> tuple[Bill, ...]:
    """Open bills in our words. Lines, fees and rounding of all of them together give the till's own sum.

    Bills found together are paid together: a service charge at one rate stands once, at the first bill.
    """
    rates = [bill.service_bp for bill in found]
    first = [bill.service_bp not in rates[:number] for number, bill in enumerate(found)]
    return tuple(_bill_of(bill, store_id, rules, zone, charge) for bill, charge in zip(found, first, strict=True))


def _fees_of(bill: theirs.Bill, rules: ShopRules) -> tuple[Mapping[str, Any], ...]:
    if not bill.service_bp:
        return ()
    fee_id = f"service-{bill.service_bp}"
    basis = rules.service_basis
    return ({"fee_id": fee_id, "kind": "service_charge", "charge_bp": bill.service_bp, "basis": basis},)


def _bill_of(bill: theirs.Bill, store_id: str, rules: ShopRules, zone: ZoneInfo, charge_service: bool) -> Bill:
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
        fees=_fees_of(bill, rules) if charge_service else (),
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
    """The lines, and a rounding line for what the till's total has over them: together they are the till's own sum.

    Unit price × quantity is a line's amount, whoever multiplies. Where that is more than the till's sum, a unit price
    gives way by a fen, for a rounding line can't be negative.
    """
    kept = _kept(bill)
    target = bill.total_amount + bill.wipe_amount - bill.service_amount
    units = {line.line_no: _unit(line) for line in kept}
    left = target - _sum(kept, units)
    largest = max(kept, key=lambda line: line.last_amount, default=None)
    while left < 0 and largest is not None and units[largest.line_no]:
        units[largest.line_no] -= 1
        left = target - _sum(kept, units)
    lines = [_line_of(bill.bs_id, line, units[line.line_no]) for line in kept]
    if left > 0:
        lines.append(_rounding_line(bill.bs_id, left))
    return tuple(lines)


def _unit(line: theirs.BillLine) -> int:
    """What one unit is charged after the till's own discounts, in fen, down."""
    if line.quantity == 0:
        return 0
    near = half_up(line.last_amount * 1000, line.quantity)
    exact = half_up(near * line.quantity, 1000) <= line.last_amount
    return near if exact else line.last_amount * 1000 // line.quantity


def _sum(lines: list[theirs.BillLine], units: Mapping[int, int]) -> int:
    return sum(half_up(units[line.line_no] * line.quantity, 1000) for line in lines)


def half_up(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` of what is not negative, to the nearest whole number."""
    return (2 * numerator + denominator) // (2 * denominator)


def _line_of(bill_id: str, line: theirs.BillLine, unit: int) -> BillLine:
    # What the till has taken off by itself (campaign price, gift) is settled: our own prices start from there.
    return BillLine(
        line_id=line_id_of(bill_id, line.line_no),
        sku=line.dish,
        name=line.name,
        quantity=quantity(line.quantity),
        unit_amount=unit,
        gross_amount=half_up(unit * line.quantity, 1000),
        category=line.category,
        discountable=line.discountable,
        # Member price and campaign exclude each other, a gift has no price to lower, a member price is not given twice.
        member_price=line.discountable and line.discount_flag not in ("P", "G", "C", "M"),
        component_of=line_id_of(bill_id, line.package_head) if line.package_head else "",
        facts={"till_discount": line.discount_flag, "depart": line.depart, "member_amount": line.member_price},
    )


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
