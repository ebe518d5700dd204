"""Tryton's records ↔ the gateway's: money, quantities, goods, coupons, sales. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from gateway.sdk import (
    Counts,
    Coupon,
    CouponKind,
    DeclineReason,
    InvalidReply,
    Member,
    OrderLine,
    OrderPost,
    OrderReturn,
    Product,
    StatementRow,
    TenderLine,
)

#: What a product is read with.
PRODUCT = ("code", "name", "list_price_used", "active", "salable", "identifiers.code", "template.type")
#: The price with its taxes, which only some of Tryton's modules give a product.
GROSS_PRICE = "gross_price_used"
#: What a sale is read with.
SALE = (
    "state",
    "number",
    "reference",
    "description",
    "comment",
    "total_amount",
    "sale_date",
    "warehouse",
    "write_date",
)

#: What a promotion may ask for beside its coupon.
CONDITIONS = ("amount", "quantity", "products", "categories", "price_list")

_CENT, _PRICE = Decimal("0.01"), Decimal("0.0001")
_RATE = re.compile(r"\s*(?:unit_price\s*\*\s*(0\.\d{1,4})|(0\.\d{1,4})\s*\*\s*unit_price)\s*\Z")
_TENDER = re.compile(r"tender (\S{1,40}) ([a-z_]{1,20}) (-?\d{1,15})\Z")


def fen(value: Any) -> int:
    """An amount in minor units. Raises ``InvalidReply`` for what is not a whole number of them."""
    try:
        scaled = Decimal(value) * 100
        if scaled != scaled.to_integral_value():
            raise InvalidReply(f"an amount of {str(value)[:30]} is no whole number of cents")
        return int(scaled)
    except (InvalidOperation, TypeError, ValueError, OverflowError):
        raise InvalidReply("an amount is no decimal number") from None


def money(amount: int) -> Decimal:
    """An amount of minor units as Tryton writes it."""
    return Decimal(amount) / 100


def quantity(value: Any) -> Decimal:
    """A quantity, which Tryton keeps as a binary fraction, to three places."""
    try:
        return Decimal(str(value or 0)).quantize(Decimal("0.001")).normalize() + 0
    except (InvalidOperation, ValueError):
        raise InvalidReply("a quantity is no number") from None


def product_of(row: Mapping[str, Any], stores: Sequence[str]) -> Product | None:
    """An article; ``None`` for one without a code, which cannot be sold by code."""
    if not row.get("code"):
        return None
    price = row.get(GROSS_PRICE) or row.get("list_price_used") or 0
    codes = tuple(code["code"] for code in row.get("identifiers.") or () if code.get("code"))
    return Product(
        sku=row["code"],
        name=row.get("name") or row["code"],
        unit_amount=fen(Decimal(price).quantize(_CENT)),
        barcodes=codes,
        stocked=(row.get("template.") or {}).get("type") == "goods",
        deleted=not (row.get("active") and row.get("salable")),
        store_ids=tuple(stores),
        facts={"id": row["id"]},
    )


def member_of(row: Mapping[str, Any]) -> Member:
    """A party as a member; Tryton keeps no points and no stored value."""
    return Member(ref=row["code"], display_name=row.get("name") or "", facts={"id": row["id"]})


def terms_of(
    promotion: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]
) -> tuple[CouponKind, dict[str, Any]] | None:
    """What a promotion's coupon does: as the settings say, or as a formula that only lowers the price tells. One that
    asks for an amount, a quantity, certain goods or a price list needs its terms in the settings."""
    name, formula = promotion["name"], promotion["formula"]
    if name in known:
        return known[name]["kind"], dict(known[name]["terms"])
    if any(promotion.get(condition) for condition in CONDITIONS):
        return None
    rate = _RATE.match(formula or "")
    if rate is None:
        return None
    return CouponKind.PERCENT, {"rate_bp": int(Decimal(rate[1] or rate[2]) * 10_000)}


def barred(row: Mapping[str, Any], day: date) -> tuple[DeclineReason, str] | None:
    """Why a coupon's number cannot be used on a day. Tryton itself looks at its end and at its count, and only when it
    lists what is active; not at its beginning, nor at its promotion's dates."""
    coupon = row["coupon."]
    promotion = coupon["promotion."]
    if any(isinstance(end, date) and end < day for end in (row.get("end_date"), promotion.get("end_date"))):
        return DeclineReason.COUPON_EXPIRED, "its last day is over"
    if any(isinstance(start, date) and start > day for start in (row.get("start_date"), promotion.get("start_date"))):
        return DeclineReason.COUPON_NOT_APPLICABLE, "its first day is still to come"
    if not promotion.get("active", True):
        return DeclineReason.COUPON_NOT_APPLICABLE, "its promotion was withdrawn"
    if coupon["per_party"]:
        return DeclineReason.COUPON_NOT_APPLICABLE, "good once a party: we are not told whose"
    return None if row["active"] else (DeclineReason.COUPON_EXHAUSTED, "used up")


def coupon_of(
    row: Mapping[str, Any],
    used: int,
    held: int,
    known: Mapping[str, Mapping[str, Any]],
    zone: ZoneInfo,
    day: date,
) -> Coupon:
    """A coupon's number. One whose effect or conditions the gateway cannot price is not usable."""
    coupon = row["coupon."]
    promotion = coupon["promotion."]
    initial = max(int(coupon["number_of_use"] or 0), 0)
    available = max(initial - used - held, 0) if initial else 1_000_000
    effect = terms_of(promotion, known)
    return Coupon(
        code=row["number"],
        kind=effect[0] if effect else CouponKind.CASH,
        template=promotion["name"],
        title=promotion["name"],
        counts=Counts(initial=initial or 1_000_000, available=available, held=held, used=used),
        expires_at=_end_of(row["end_date"], zone),
        usable=effect is not None and available > 0 and barred(row, day) is None,
        terms=effect[1] if effect else {},
    )


def card_of(row: Mapping[str, Any]) -> Coupon:
    """A gift card; one that lies on a sale is wholly spent."""
    spent = bool(row["spent_on"])
    return Coupon(
        code=row["number"],
        kind=CouponKind.GIFT_CARD,
        title="gift card",
        counts=Counts(initial=1, available=0 if spent else 1, used=1 if spent else 0),
        usable=not spent,
        balance_amount=0 if spent else fen(row["value"]),
    )


def _end_of(day: date | None, zone: ZoneInfo) -> datetime | None:
    return datetime.combine(day, time(23, 59, 59), tzinfo=zone) if isinstance(day, date) else None


# ---- sales
def sale_lines(
    request: OrderPost | OrderReturn, products: Mapping[str, tuple[int, int]], sign: int
) -> list[dict[str, Any]]:
    """The lines of a sale in Tryton's form, adding up to what was paid; ``products`` gives product and unit by SKU.

    A price that does not divide is rounded, and what is left stands in a line of its own: Tryton rounds each line.
    """
    lines: list[dict[str, Any]] = []
    for line in request.lines:
        lines += _goods(line, products.get(line.sku), sign)
    rest = sign * _total(request) - sum(amount_of(line) for line in lines)
    if rest:
        lines.append(plain("fees, points and rounding", money(rest)))
    return lines


def amount_of(line: Mapping[str, Any]) -> int:
    """What Tryton will make of a line, in minor units: price by quantity, rounded half to even."""
    exact = Decimal(str(line["quantity"])) * line["unit_price"]
    return fen(exact.quantize(_CENT, rounding=ROUND_HALF_EVEN))


def _total(request: OrderPost | OrderReturn) -> int:
    return request.payable_amount if isinstance(request, OrderPost) else request.amount


def _goods(line: OrderLine, product: tuple[int, int] | None, sign: int) -> list[dict[str, Any]]:
    if product is None or not line.quantity:
        return [plain(line.name or line.sku, money(sign * line.net_amount))]
    price = (money(line.net_amount) / line.quantity).quantize(_PRICE)
    row = {"product": product[0], "unit": product[1], "quantity": float(sign * line.quantity), "unit_price": price}
    return [{**row, "description": f"{line.line_id} {line.name}"}]


def plain(text: str, price: Decimal) -> dict[str, Any]:
    """A line without a product. Its price is never positive: a promotion in force stumbles over one that is."""
    sign = -1 if price > 0 else 1
    return {"description": text, "quantity": float(sign), "unit_price": sign * price}


def comment_of(tenders: Sequence[TenderLine], sign: int) -> str:
    """How it was paid, in lines that a person can read and ``rows_of`` too."""
    return "\n".join(f"tender {_word(row.tender_id)} {row.method.value} {sign * row.amount}" for row in tenders)


def _word(text: str) -> str:
    return re.sub(r"\s", "_", text)[:40] or "-"


def rows_of(sale: Mapping[str, Any]) -> list[StatementRow]:
    """A sale in the statement: one row a tender, or one in all for a sale that somebody typed in by hand."""
    total = fen(sale["total_amount"])
    base = {
        "kind": "sale" if total >= 0 else "return",
        "key": sale["reference"] or "",
        "at": sale["write_date"].replace(tzinfo=UTC) if isinstance(sale["write_date"], datetime) else None,
        "status": sale["state"],
    }
    number = sale["number"] or str(sale["id"])
    tenders = [found for line in (sale["comment"] or "").splitlines() if (found := _TENDER.match(line))]
    if sum(int(found[3]) for found in tenders) != total or not tenders:
        return [StatementRow(ref=number, amount=total, facts={"bill": number, "tender": ""}, **base)]
    return [
        StatementRow(
            ref=f"{number}/{found[1]}", amount=int(found[3]), facts={"bill": number, "tender": found[2]}, **base
        )
        for found in tenders
    ]
