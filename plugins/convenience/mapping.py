"""Theirs ↔ ours: order files from sales, statement rows from payment rows, products, members, stock levels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from gateway.sdk import (
    Confidence,
    Level,
    Member,
    Method,
    Misconfigured,
    OrderPost,
    OrderReturn,
    Product,
    StatementRow,
    TenderLine,
)
from gateway.sdk import OrderLine as PricedLine

from .files import OrderFile, OrderLine, OrderTender
from .labels import Label
from .protocol import (
    CHANGE,
    RETURN,
    FlowNo,
    ParseError,
    decode_datetime,
    decode_numeric,
    decode_quantity,
    unpad,
    yuan_to_fen,
)
from .settings import PAY_WAYS

ONE = Decimal(1)

#: From a scale's label to kilograms and yuan a kilogram.
Weigh = Callable[[str], tuple[Decimal, Decimal]]

#: How late a till may upload by the system's own word; a level older than that is stale.
LATEST_UPLOAD = timedelta(minutes=240)


# --- sales and returns into order files -----------------------------------------------------------------------------


def sale_file(
    request: OrderPost, key: str, branch: str, settings: Mapping[str, Any], weigh: Weigh | None = None
) -> OrderFile:
    """The order file of a paid sale: lines at their net, what points paid as a tender, rounding off the largest line.

    ``weigh`` gives the kilograms of a line that came with a scale's label (``facts["scale_label"]``): one that says
    only an amount was priced as one piece. Raises ``Misconfigured`` for a tender without a code, and for fees without
    ``fee_item``.
    """
    lines = [_line(line, weigh) for line in request.lines]
    fees = sum(fee.amount for fee in request.fees)
    lines = _without(request.rounding_amount, lines + _fee_line(fees, settings))
    tenders = [_tender(tender, settings) for tender in request.tenders if tender.amount]
    if request.points_amount:
        tenders.append(OrderTender(settings["points_pay_way"], request.points_amount))
    card = _card(request.member_ref)
    return OrderFile(key, branch, "A", request.sold_at, tuple(lines), tuple(tenders), card)


def return_file(
    request: OrderReturn, key: str, branch: str, settings: Mapping[str, Any], weigh: Weigh | None = None
) -> OrderFile:
    """The order file of a return: positive figures, the sign is in the kind.

    It names the sale by our reference, not by its bill number: a till that was reset gives a number out twice. As in
    the sale, points are a tender and rounding is off the largest line; what is left to give back was paid for fees.
    """
    lines = [_line(line, weigh) for line in request.lines]
    fees = request.amount + request.points_amount + request.rounding_amount - sum(line.amount for line in lines)
    lines = _without(request.rounding_amount, lines + _fee_line(fees, settings))
    tenders = [_tender(tender, settings) for tender in request.tenders if tender.amount]
    if request.points_amount:
        tenders.append(OrderTender(settings["points_pay_way"], request.points_amount))
    original = request.original.key
    return OrderFile(key, branch, "B", request.returned_at, tuple(lines), tuple(tenders), "", original)


def _line(line: PricedLine, weigh: Weigh | None) -> OrderLine:
    plan, label = str(line.facts.get("plan_no", "")), str(line.facts.get("scale_label", ""))
    quantity, price = line.quantity, Decimal(line.unit_amount) / 100
    if label and weigh:
        quantity, price = weigh(label)
    return OrderLine(line.sku, quantity, price, line.net_amount, plan)


def _fee_line(amount: int, settings: Mapping[str, Any]) -> list[OrderLine]:
    if amount <= 0:
        return []
    if not settings["fee_item"]:
        raise Misconfigured("fee_item: the sale has fees, and no article is named to book them under")
    return [OrderLine(settings["fee_item"], ONE, Decimal(amount) / 100, amount)]


def _without(rounding: int, lines: list[OrderLine]) -> list[OrderLine]:
    """The lines with what was rounded off taken from the largest ones."""
    by_size = sorted(range(len(lines)), key=lambda index: -lines[index].amount)
    for index in by_size:
        part = min(rounding, lines[index].amount)
        lines[index] = replace(lines[index], amount=lines[index].amount - part)
        rounding -= part
    return lines


def _tender(tender: TenderLine, settings: Mapping[str, Any]) -> OrderTender:
    return OrderTender(pay_way(tender.method, tender.channel, settings["pay_ways"]), tender.amount, tender.ref[:40])


def pay_way(method: Method, channel: str, own: Mapping[str, str]) -> str:
    """The till's code of a tender: by channel, then by method; the shop's own map first. Raises ``Misconfigured``."""
    codes = {**PAY_WAYS, **own}
    for name in (f"{method}:{channel}", channel, str(method)):
        if name in codes:
            return codes[name]
    raise Misconfigured(f"pay_ways: no tender code for method {method!s}, channel {channel!r}")


def _card(member_ref: str) -> str:
    """The member's card if the member is one of this system's own."""
    return member_ref if re.fullmatch(r"\d{6,20}", member_ref, re.ASCII) else ""


# --- payment rows ---------------------------------------------------------------------------------------------------


def row_key(row: Any) -> tuple[Any, Any, Any]:
    """What makes a row the same row when it is uploaded again.

    Bill number (the branch is in it) and line number; and the bill's time, because a till that was reset gives numbers
    out twice. As stored, so that a row that can't be read has a key too.
    """
    return (row["flow_no"], row["flow_id"], row["oper_date"])


def signed_amount(row: Any) -> int:
    """A payment row in fen: returns and change are stored positive and are negative to the merchant."""
    amount = yuan_to_fen(decode_numeric(row["pay_amount"]))
    return -amount if unpad(row["sell_way"]) in (RETURN, CHANGE) else amount


def statement_row(row: Any, stores: Mapping[str, str]) -> StatementRow:
    """One payment row as a statement row. Raises :class:`ParseError`."""
    flow_no, way = FlowNo.parse(row["flow_no"]), unpad(row["sell_way"])
    memo = unpad(row["memo"])
    return StatementRow(
        kind="return" if way == RETURN else "sale",
        ref=f"{flow_no}-{int(decode_numeric(row['flow_id']))}",
        amount=signed_amount(row),
        key=memo if re.fullmatch(r"[0-9A-Z]{26}", memo, re.ASCII) else "",
        original_ref=unpad(row["voucher_no"]),
        at=decode_datetime(row["oper_date"]),
        status="change" if way == CHANGE else "booked",
        facts={
            "tender": unpad(row["pay_way"]),
            "bill": str(flow_no),
            "bill_amount": yuan_to_fen(decode_numeric(row["sale_amount"])),
            "till_id": flow_no.till,
            "store_id": stores.get(flow_no.branch, ""),
            "channel_ref": unpad(row["card_no"]),
            "com_no": int(row["com_no"]),
        },
    )


def unreadable_row(row: Any, error: Exception) -> StatementRow:
    """A row that makes no sense is shown, never skipped: skipping it would lose money without a word."""
    facts = {"error": str(error), "com_no": int(row["com_no"])}
    return StatementRow(kind="sale", ref=f"com_no-{row['com_no']}", amount=0, status="unreadable", facts=facts)


# --- products, members ----------------------------------------------------------------------------------------------


def plan_prices(rows: Iterable[Any]) -> dict[str, tuple[str, Decimal]]:
    """Plan number and special price in yuan by article; of two plans the cheaper one, as the till takes it."""
    dearest_first = sorted(rows, key=lambda row: -decode_numeric(row["plan_price"]))
    return {unpad(row["item_no"]): (unpad(row["plan_no"]), decode_numeric(row["plan_price"])) for row in dearest_first}


def product(row: Any, plans: Mapping[str, tuple[str, Decimal]], shared: set[str]) -> Product:
    """One article. A barcode that two articles share is kept on both and said in ``facts["shared_barcode"]``."""
    sku, barcode = unpad(row["item_no"]), unpad(row["barcode"])
    price, vip_price = decode_numeric(row["price"]), decode_numeric(row["vip_price"])
    facts: dict[str, Any] = {}
    if row["barcode"] in shared:
        facts["shared_barcode"] = True
    if sku in plans:
        facts.update(plan_no=plans[sku][0], list_amount=yuan_to_fen(price))
        price = plans[sku][1]
    if price * 100 != yuan_to_fen(price):
        facts["exact_price"] = str(price)
    if unpad(row["plu_no"]):
        facts["plu"] = unpad(row["plu_no"])
    if unpad(row["combine_flag"]) == "1":
        facts.update(case_of=unpad(row["combine_item"]), case_count=int(decode_numeric(row["combine_qnty"])))
    return Product(
        sku=sku,
        name=unpad(row["item_name"]),
        name_en=unpad(row["item_ename"]),
        unit_amount=yuan_to_fen(price),
        barcodes=(barcode,) if barcode else (),
        category=unpad(row["clsno"]),
        unit=unpad(row["unit_no"]),
        weighed=unpad(row["weigh_flag"]) == "1",
        member_amount=yuan_to_fen(vip_price) if 0 < vip_price < price else None,
        deleted=unpad(row["status"]) != "1",
        facts=facts,
    )


def member(row: Any) -> Member:
    """A member; the points are as of last night's job, said in ``facts["points_as_of"]``."""
    rate_bp, name = int(decode_numeric(row["discount"]) * 10_000), unpad(row["vip_name"])
    return Member(
        ref=unpad(row["card_id"]),
        tier=unpad(row["vip_level"]),
        display_name=f"{name[:1]}*" if name else "",
        rate_bp=rate_bp if 0 < rate_bp < 10_000 else None,
        points_available=max(0, int(decode_numeric(row["acc_num"]))),
        facts={"points_as_of": decode_datetime(row["acc_date"]).isoformat()},
    )


# --- stock ----------------------------------------------------------------------------------------------------------


def levels(
    store_id: str, tables: tuple[list[Any], list[Any], list[Any], list[Any]], skus: Sequence[str], now: datetime
) -> tuple[Level, ...]:
    """Last day end + Σ movements that arrived since, by article; a case is as many as its singles fill."""
    ends, sales, sheets, cases = tables
    on_hand = {unpad(row["item_no"]): decode_numeric(row["qnty"]) for row in ends}
    marks = {unpad(row["item_no"]): (int(row["sale_com_no"]), int(row["sheet_com_no"])) for row in ends}
    case_of = {
        unpad(row["item_no"]): (unpad(row["combine_item"]), decode_numeric(row["combine_qnty"])) for row in cases
    }
    for sku, com_no, quantity in _sold(sales, case_of):
        if sku in on_hand and com_no > marks[sku][0]:
            on_hand[sku] -= quantity
    for row in sheets:
        sku = unpad(row["item_no"])
        if sku in on_hand and int(row["com_no"]) > marks[sku][1]:
            on_hand[sku] += decode_numeric(row["qnty"])
    for case, (single, count) in case_of.items():
        if single in on_hand and count > 0:
            on_hand[case] = max(Decimal(0), on_hand[single]) // count
    as_of = _known_until(ends, sales, now)
    confidence = Confidence.RECENT if now - as_of <= LATEST_UPLOAD else Confidence.STALE
    wanted = [sku for sku in (skus or sorted(on_hand)) if sku in on_hand]
    return tuple(_level(store_id, sku, on_hand[sku], as_of, confidence) for sku in wanted)


def _content(row: Any) -> tuple[str, Decimal]:
    """What a case is opened into, and how many of it."""
    return unpad(row["combine_item"]), decode_numeric(row["combine_qnty"])


def _level(store_id: str, sku: str, on_hand: Decimal, as_of: datetime, confidence: Confidence) -> Level:
    quantity = on_hand.quantize(Decimal("0.001"))
    available, source = max(Decimal(0), quantity), "day end + uploaded sales"
    return Level(
        sku=sku,
        store_id=store_id,
        on_hand=quantity,
        available=available,
        as_of=as_of,
        confidence=confidence,
        source=source,
    )


def _sold(sales: Iterable[Any], case_of: Mapping[str, tuple[str, Decimal]]) -> Iterable[tuple[str, int, Decimal]]:
    """Article, place of arrival and quantity that left (returns negative); a row uploaded twice counts once."""
    seen: set[tuple[Any, Any, Any]] = set()
    for row in sales:
        key = row_key(row)
        if key in seen:
            continue
        seen.add(key)
        sku, quantity = unpad(row["item_no"]), decode_quantity(row["sale_qnty"])
        single, count = case_of.get(sku, (sku, ONE))
        yield single, int(row["com_no"]), quantity * count * (-1 if unpad(row["sell_way"]) == RETURN else 1)


def _known_until(ends: Sequence[Any], sales: Sequence[Any], now: datetime) -> datetime:
    """Until when every till that has uploaded since the day end has told us; the day end itself if none has.

    A till's clock that is ahead does not make the answer younger than now.
    """
    latest: dict[str, datetime] = {}
    for row in sales:
        try:
            till, at = FlowNo.parse(row["flow_no"]).till, decode_datetime(row["oper_date"])
        except ParseError:
            continue
        latest[till] = max(at, latest.get(till, at))
    end = max((decode_datetime(row["end_date"]) for row in ends), default=now)
    known = max(end, min(latest.values())) if latest else end
    return min(known, now)


def kilograms(label: Label, price: Decimal) -> Decimal:
    """The weight a label stands for: what it says, else its amount by the price a kilogram."""
    if label.grams is not None:
        return Decimal(label.grams) / 1000
    if price <= 0:
        raise ParseError("label: the article has no price to weigh by")
    return (Decimal(label.amount or 0) / 100 / price).quantize(Decimal("0.001"), ROUND_HALF_UP)
