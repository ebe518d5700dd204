"""The department store's words and ours: slips as bills, our orders as its sales, its books as statement rows."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from gateway.sdk import (
    Bill,
    BillKind,
    BillLine,
    BillTotal,
    Confidence,
    Level,
    Method,
    Misconfigured,
    OrderLine,
    OrderPost,
    OrderReturn,
    Product,
    Split,
    StatementRow,
    TenderLine,
)
from plugins.department.protocol import column_fen, column_quantity, fen, trim
from plugins.department.protocol_sales import Sale, SaleItem, SaleNumber, SaleSplit, SaleTender

#: The system's tender codes; ``payment_code:channel`` goes before ``payment_code``.
TENDER_CODES: dict[str, str] = {
    Method.CASH: "CH",
    Method.BANK_CARD: "CC",
    Method.PAYMENT_CODE: "AP",
    Method.QR_CODE: "AP",
    "payment_code:wechat": "WP",
    "payment_code:unionpay": "UP",
    "qr_code:wechat": "WP",
    Method.STORED_VALUE: "SV",
    Method.GIFT_CARD: "GC",
    Method.VOUCHER: "VC",
    Method.RED_ENVELOPE: "RE",
    Method.ON_ACCOUNT: "OA",
    Method.DEPOSIT: "DP",
}
POINTS, ROUNDING, FEE_ITEM = "JF", "ML", "FEE"
STAMP = "%Y%m%d%H%M%S"


def tender_code(tender: TenderLine, overrides: Mapping[str, str]) -> str:
    """The system's code of a tender."""
    for name in (f"{tender.method}:{tender.channel}", str(tender.method)):
        for table in (overrides, TENDER_CODES):
            if name in table:
                return table[name]
    raise Misconfigured(f"tender_codes: no code for {tender.method}")


# --- slips ------------------------------------------------------------------------------------------------------


def line_id(slip: str, position: int) -> str:
    """A slip line's id over several slips: the bill's number and the line's own."""
    return f"{slip}-{position}"


def slip_version(rows: Iterable[sqlite3.Row]) -> str:
    """A fingerprint of a slip's lines and states: it changes whenever the slip does."""
    names = ("lineno", "spbm", "jscode", "sl", "lsj", "zkje", "ysje", "zt")
    text = "|".join(";".join(trim(row[name]) for name in names) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def bill_of(rows: Sequence[sqlite3.Row], store_id: str, zone: ZoneInfo) -> Bill:
    """A slip as a bill. Its goods are held by the slip itself; the counter's own discount is in the line's gross."""
    slip = trim(rows[0]["slipno"])
    opened = datetime.strptime(trim(rows[0]["kpsj"]), STAMP).replace(tzinfo=zone)
    lines = tuple(_bill_line(row) for row in rows)
    return Bill(
        bill_id=slip,
        kind=BillKind.SLIP,
        store_id=store_id,
        version=slip_version(rows),
        lines=lines,
        due_amount=sum(line.gross_amount for line in lines),
        counter_id=trim(rows[0]["ckno"]),
        stock_held=True,
        opened_at=opened,
        business_date=opened.date(),
    )


def _bill_line(row: sqlite3.Row) -> BillLine:
    due, pieces = column_fen(row["ysje"]), column_quantity(row["sl"])
    quantity, unit = per_piece(due, pieces)
    return BillLine(
        line_id=str(row["lineno"]),
        sku=trim(row["spbm"]),
        name=trim(row["mc"]),
        quantity=quantity,
        unit_amount=unit,
        gross_amount=due,
        category=trim(row["lb"]),
        counter_id=trim(row["ckno"]),
        facts={
            "settle_code": trim(row["jscode"]),
            "counter_discount_amount": column_fen(row["zkje"]),
            "deduction_bp": column_fen(row["kl"] or 0),
            "list_unit_amount": column_fen(row["lsj"]),
            **({} if quantity == pieces else {"pieces": str(pieces)}),
        },
    )


def per_piece(due: int, pieces: Decimal) -> tuple[Decimal, int]:
    """Quantity and unit price that multiply to what is due after the counter's own discount, to the fen.

    Where the discounted price of a piece is no whole number of fen, the line is sold as one unit of the whole.
    """
    unit = Decimal(due) / pieces if pieces > 0 else Decimal(due)
    return (pieces, int(unit)) if pieces > 0 and unit == int(unit) else (Decimal(1), due)


def total_of(net: str, less: str, lines: Iterable[Any]) -> BillTotal:
    """The promotion procedure's answer as the till's own sum."""
    nets = {line_id(str(line.slipno), int(line.lineno)): fen(str(line.netamount)) for line in lines}
    return BillTotal(payable_amount=fen(net), discount_amount=fen(less), lines=nets)


# --- sales ------------------------------------------------------------------------------------------------------


def item_of(line: OrderLine, position: int, place: Mapping[str, str], sign: int = 1) -> SaleItem:
    """An order's line as the sale's; ``place`` has its ``counter`` and ``settle_code``. ``sign`` -1 for a return."""
    member, promotion = _less(line, whole=sign > 0)
    return SaleItem(
        line=position,
        counter=place["counter"],
        slip=line.bill_id,
        item=line.sku,
        settle_code=place["settle_code"],
        quantity=_pieces(line) * sign,
        price=int(line.facts.get("list_unit_amount", line.unit_amount)),
        member_less=member * sign,
        promotion_less=promotion * sign,
        net=line.net_amount * sign,
        from_stock=False,
    )


def _less(line: OrderLine, whole: bool) -> tuple[int, int]:
    """What was taken off the line for the member, and by campaigns and coupons.

    A returned part carries its part of the discount: what its pieces cost before, less what is given back for them.
    """
    member = sum(int(part["amount"]) for part in line.discounts if str(part.get("kind", "")).startswith("member"))
    total, less = line.discount_amount, line.discount_amount
    if not whole:
        gross = int((line.unit_amount * line.quantity).quantize(Decimal(1), ROUND_HALF_UP))
        less = min(max(gross - line.net_amount, 0), total)
    of_member = min(member, total) * less // total if total > 0 else 0
    return of_member, less - of_member


def _pieces(line: OrderLine) -> Decimal:
    """How many pieces a line is: more than its quantity where the whole line was sold as one unit."""
    return line.quantity * Decimal(str(line.facts.get("pieces", 1)))


def sale_of(
    request: OrderPost,
    key: str,
    number: SaleNumber,
    cashier: str,
    places: Sequence[Mapping[str, str]],
    codes: Mapping[str, str],
    zone: ZoneInfo,
) -> Sale:
    """Our paid order as one sale: goods (and fees) lines, tender lines, and the matrix between them.

    Points and rounding are no tenders to us; to this system they are tender rows, so that goods = payments holds.
    """
    items = [item_of(line, at, place) for at, (line, place) in enumerate(zip(request.lines, places, strict=True), 1)]
    for fee in request.fees:
        items.append(_fee_item(fee.kind, fee.amount, len(items) + 1, items[0].counter if items else ""))
    tenders = [
        SaleTender(at, tender_code(tender, codes), tender.amount, tender.ref[-64:])
        for at, tender in enumerate(request.tenders, 1)
    ]
    for code, amount in ((POINTS, request.points_amount), (ROUNDING, request.rounding_amount)):
        if amount:
            tenders.append(SaleTender(len(tenders) + 1, code, amount, ""))
    ids = [line.line_id for line in request.lines] + [fee.fee_id for fee in request.fees]
    splits = split_rows(request.splits, ids, [t.tender_id for t in request.tenders], items, tenders)
    sold = request.sold_at.astimezone(zone)
    paid = sum(tender.amount for tender in tenders)
    net = sum(item.net for item in items)
    lists = tuple(items), tuple(tenders), splits
    member = request.member_ref[:20]
    return Sale(number, "SA", f"{sold:%H%M%S}", key, None, cashier, member, net, paid, 0, *lists)


def _fee_item(kind: str, amount: int, position: int, counter: str) -> SaleItem:
    return SaleItem(position, counter, "", f"{FEE_ITEM}{kind}"[:13], "", Decimal(1), amount, 0, 0, amount, False)


def split_rows(
    splits: Sequence[Split],
    line_ids: Sequence[str],
    tender_ids: Sequence[str],
    items: Sequence[SaleItem],
    tenders: Sequence[SaleTender],
) -> tuple[SaleSplit, ...]:
    """The ``split_promotions`` list: goods line × payment line → amount; the rest of each line goes to the rows for
    points and rounding, in order. Empty if the order came without its matrix."""
    if not splits:
        return ()
    goods = {name: at for at, name in enumerate(line_ids, 1)}
    pays = {name: at for at, name in enumerate(tender_ids, 1)}
    rows = [SaleSplit(goods[s.line_id], pays[s.tender_id], s.amount) for s in splits if s.amount]
    open_rows = {tender.line: tender.amount for tender in tenders[len(tender_ids) :]}
    for item in items:
        rest = item.net - sum(row.amount for row in rows if row.goods_line == item.line)
        for payment_line, left in open_rows.items():
            part = min(rest, left)
            if part > 0:
                rows.append(SaleSplit(item.line, payment_line, part))
                open_rows[payment_line] -= part
                rest -= part
    return tuple(rows)


def return_of(
    request: OrderReturn,
    key: str,
    number: SaleNumber,
    original: SaleNumber,
    cashier: str,
    places: Sequence[Mapping[str, str]],
    codes: Mapping[str, str],
    zone: ZoneInfo,
    default_counter: str,
) -> Sale:
    """A return as a sale with negative lines and tenders that names its original.

    What is given back beside the lines (a fee) is a line of its own; points and rounding are rows, as in the sale.
    """
    items = [item_of(line, at, p, -1) for at, (line, p) in enumerate(zip(request.lines, places, strict=True), 1)]
    fees = request.amount + request.points_amount + request.rounding_amount + sum(item.net for item in items)
    if fees > 0:
        counter = items[0].counter if items else default_counter
        items.append(_fee_item("", -fees, len(items) + 1, counter))
    net = sum(item.net for item in items)
    tenders = [
        SaleTender(at, tender_code(tender, codes), -tender.amount, tender.ref[-64:])
        for at, tender in enumerate(request.tenders, 1)
    ]
    for code, amount in ((POINTS, request.points_amount), (ROUNDING, request.rounding_amount)):
        if amount:
            tenders.append(SaleTender(len(tenders) + 1, code, -amount, ""))
    time = f"{request.returned_at.astimezone(zone):%H%M%S}"
    return Sale(number, "SR", time, key, original, cashier, "", net, net, 0, tuple(items), tuple(tenders), ())


def number_text(number: SaleNumber) -> str:
    """A sale's number as our reference to it: ``20140308-S001-T901-000017``."""
    return f"{number.txdate}-{number.store}-{number.till}-{number.document}"


def parse_number(text: str) -> SaleNumber | None:
    """The number behind :func:`number_text`, or ``None``."""
    parts = text.split("-")
    return SaleNumber(*parts) if len(parts) == 4 and all(parts) else None


# --- stock and catalogue ------------------------------------------------------------------------------------------


def level_of(sku: str, store_id: str, on_hand: Decimal, held: Decimal, now: datetime) -> Level:
    """A store's level of an item over all its counters; what slips hold is reserved."""
    return Level(
        sku=sku,
        store_id=store_id,
        on_hand=on_hand,
        reserved=held,
        available=max(on_hand - held, Decimal(0)),
        as_of=now.astimezone(UTC),
        confidence=Confidence.EXACT,
        source="KC",
    )


def product_of(rows: Sequence[sqlite3.Row], store_ids: Mapping[str, str]) -> Product:
    """An item with its cash codes (price points); the default one's price is the product's."""
    first = next((row for row in rows if trim(row["mr"]) == "1"), rows[0])
    codes = {
        f"{trim(row['ckno'])}/{trim(row['jscode'])}": {
            "unit_amount": column_fen(row["lsj"]),
            "deduction_bp": column_fen(row["kl"]),
        }
        for row in rows
        if row["jscode"] is not None
    }
    stores = {trim(row["store"]) for row in rows if row["store"] is not None}
    return Product(
        sku=trim(first["spbm"]),
        name=trim(first["mc"]),
        name_en=trim(first["ywmc"]),
        unit_amount=column_fen(first["lsj"] or 0),
        barcodes=tuple(filter(None, (trim(first["tm"]),))),
        category=trim(first["lb"]),
        counter_id=trim(first["ckno"]),
        store_ids=tuple(sorted(store_ids.get(store, store) for store in stores)),
        facts={"style_no": trim(first["kh"]), "settle_codes": codes},
    )


# --- books --------------------------------------------------------------------------------------------------------


def statement_row(row: sqlite3.Row, zone: ZoneInfo) -> StatementRow:
    """One tender row of XSPAY with its head: a sale's is positive, a return's negative."""
    number = SaleNumber(*(trim(row[name]) for name in ("txdate", "store", "till", "docno")))
    original = SaleNumber(*(trim(row[name]) for name in ("ydate", "ystore", "ytill", "ydocno")))
    at = datetime.strptime(number.txdate + trim(row["txtime"]), STAMP).replace(tzinfo=zone)
    return StatementRow(
        kind="return" if trim(row["xslb"]) == "SR" else "sale",
        ref=f"{number_text(number)}/{row['lineno']}",
        amount=column_fen(row["je"]),
        key=trim(row["dh"]),
        original_ref=number_text(original) if original.document else "",
        at=at,
        facts={"tender": trim(row["fkfs"]), "bill": number_text(number), "reference": trim(row["ckh"])},
    )


def business_date_text(day: date) -> str:
    """A business date as the system writes it."""
    return f"{day:%Y%m%d}"
