"""The pricing document's In part: from a JSON-like mapping to a frozen `Basket`, strictly, every fault with its
path."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from gateway.domain.money import FULL_RATE_BP, MAX_AMOUNT, gross_of, parse_quantity
from gateway.pricing.labels import LAYOUTS, LabelRule, label_price, read_label
from gateway.pricing.model import Basket, Benefit, Component, Line, Member, TenderPlan
from gateway.pricing.parse_benefit import canonical, parse_campaigns, read_campaigns, read_coupons
from gateway.pricing.parse_money import (
    read_contracts,
    read_fees,
    read_guides,
    read_points,
    read_stored_value,
    read_tenders,
)
from gateway.pricing.reader import Notes, Reader, escape

__all__ = ["parse", "parse_campaigns"]

ROUNDINGS: Final = ("none", "jiao", "yuan")
MAX_LINES: Final = 5_000
MAX_PIECES: Final = 100_000

_TOP: Final = frozenset(
    {"currency", "store_id", "at", "business_date", "channel", "periods", "label_rules", "lines", "member", "campaigns"}
    | {
        "coupons",
        "select",
        "fees",
        "rounding",
        "points",
        "tenders",
        "accounts",
        "contracts",
        "acquirer_fee_bp",
        "guides",
    }
    | {"refunds"}
)
_LINE: Final = frozenset(
    {"line_id", "sku", "category", "brand", "counter_id", "guide_id", "quantity", "unit_amount", "list_amount"}
    | {"member_amount", "discountable", "member_price", "counts_to_minimum", "gift_value_amount", "slot", "scale_label"}
    | {"components"}
)
_COMPONENT: Final = frozenset({"sku", "list_amount", "quantity"})
_SLOT: Final = frozenset({"resource_class", "resource_id", "from", "to", "extends"})
_MEMBER: Final = frozenset({"id", "tier", "tags", "first_order", "rate_bp", "points_available"})
_LABEL: Final = frozenset({"prefix", "layout", "sku_map"})
_NOT_INPUT: Final = ("campaigns", "refunds")


def parse(document: Mapping[str, object], campaigns: Sequence[Benefit] | None = None) -> Basket:
    """Read a pricing document.

    `campaigns` are ready ones from `parse_campaigns`, in place of the document's own. Its `refunds` are left to
    `run_document`.
    Raises `PricingErrors` naming the path of everything that is wrong. The same document gives the same
    `inputs_hash`, whatever the order of its members.
    """
    notes = Notes()
    reader = Reader(document, "", notes, _TOP)
    if not reader.data:
        notes.add("/lines", "is required")
        notes.raise_any()
    own = read_campaigns(reader.data.get("campaigns") or (), notes)
    if campaigns is not None and own:
        notes.add("/campaigns", "are given already")
    chosen = own if campaigns is None else tuple(campaigns)
    basket = _read(reader, chosen)
    notes.raise_any()
    return basket


def _read(reader: Reader, campaigns: tuple[Benefit, ...]) -> Basket:
    lines = _read_lines(reader)
    member = _read_member(reader)
    coupons = read_coupons(reader) if reader.has("coupons") else ()
    at = reader.moment("at")
    select = _read_select(reader, coupons)
    tenders = read_tenders(reader, coupons) if reader.has("tenders") else ()
    _note_used_twice(reader, select, tenders)
    text, digest = ("", "") if reader.notes.errors else _fingerprint(reader.data, campaigns, reader.notes)
    return Basket(
        currency=_currency(reader),
        store_id=reader.maybe_text("store_id"),
        channel=reader.maybe_text("channel"),
        periods=reader.names("periods"),
        at=at,
        business_date=reader.day("business_date") or (at.date() if at else None),
        lines=lines,
        member=member,
        campaigns=campaigns,
        coupons=coupons,
        select=select,
        fees=read_fees(reader, lines) if reader.has("fees") else (),
        rounding=reader.choice("rounding", ROUNDINGS, "none"),
        points=read_points(reader) if reader.has("points") else None,
        tenders=tenders,
        stored_value=read_stored_value(reader) if reader.data.get("accounts") else None,
        contracts=read_contracts(reader) if reader.has("contracts") else {},
        guides=read_guides(reader) if reader.has("guides") else (),
        acquirer_fee_bp=reader.rate("acquirer_fee_bp", 0),
        canonical=text,
        inputs_hash=digest,
    )


def _note_used_twice(reader: Reader, select: frozenset[str] | None, tenders: tuple[TenderPlan, ...]) -> None:
    """A code lowers the price or pays, never both, and pays once."""
    taken = set(select or ())
    for i, tender in enumerate(tenders):
        if tender.code is None or tender.method != "voucher":
            continue
        if tender.code in taken:
            reader.note(f"tenders/{i}/code", "is used already")
        taken.add(tender.code)


def _fingerprint(data: Mapping[str, object], campaigns: tuple[Benefit, ...], notes: Notes) -> tuple[str, str]:
    """The canonical text without campaigns and refunds, and the hash over it and the campaigns' definitions."""
    try:
        text = canonical({name: value for name, value in data.items() if name not in _NOT_INPUT})
    except (TypeError, ValueError, RecursionError):
        notes.add("", "is not a JSON document")
        return "", ""
    parts = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for campaign in campaigns:
        parts.update(b"\n" + campaign.definition.encode("utf-8", "surrogatepass"))
        if campaign.limits is not None:
            parts.update(repr(campaign.limits).encode())
    return text, parts.hexdigest()


def _currency(reader: Reader) -> str:
    value = reader.maybe_text("currency") or "CNY"
    if not (len(value) == 3 and value.isascii() and value.isupper()):
        reader.note("currency", "must be an ISO 4217 code such as CNY")
    return value


def _read_select(reader: Reader, coupons: tuple[Benefit, ...]) -> frozenset[str] | None:
    value = reader.data.get("select")
    if value == "auto" and type(value) is str:
        return None
    if type(value) is str:
        reader.note("select", 'must be a list of coupon codes, or "auto"')
    wanted = reader.names("select") if type(value) is not str else frozenset[str]()
    if wanted:
        known = {coupon.id for coupon in coupons}
        for i, code in enumerate(value if isinstance(value, list | tuple) else ()):
            if code not in known:
                reader.note(f"select/{i}", "no such coupon among coupons")
    return wanted


def _read_member(reader: Reader) -> Member | None:
    if not reader.has("member"):
        return None
    inner = Reader(reader.data["member"], "/member", reader.notes, _MEMBER)
    return Member(
        id=inner.maybe_text("id"),
        tier=inner.maybe_text("tier"),
        tags=inner.names("tags"),
        first_order=inner.flag("first_order", False),
        rate_bp=inner.rate("rate_bp", FULL_RATE_BP),
        points_available=inner.maybe_integer("points_available"),
    )


def _read_lines(reader: Reader) -> tuple[Line, ...]:
    rules = tuple(_read_label_rule(item, pointer, reader.notes) for item, pointer in reader.items("label_rules"))
    raw = reader.data.get("lines")
    if not raw or not isinstance(raw, list | tuple):
        reader.note("lines", "must be a list of at least one line")
        return ()
    if len(raw) > MAX_LINES:
        reader.note("lines", f"may be at most {MAX_LINES}")
        return ()
    notes = reader.notes
    lines = tuple(_read_line(item, i, rules, notes) for i, item in enumerate(raw))
    if len({line.line_id for line in lines}) < len(lines):
        _note_doubles(lines, notes)
    if sum(line.gross for line in lines) > MAX_AMOUNT:
        notes.add("/lines", f"add up to more than {MAX_AMOUNT}")
    if sum(line.pieces for line in lines) > MAX_PIECES:
        notes.add("/lines", f"are more than {MAX_PIECES} pieces altogether")
    return lines


def _note_doubles(lines: tuple[Line, ...], notes: Notes) -> None:
    seen = set()
    for i, line in enumerate(lines):
        if line.line_id in seen:
            notes.add(f"/lines/{i}/line_id", f"{line.line_id!r} stands there twice")
        seen.add(line.line_id)


def _read_line(item: object, position: int, rules: tuple[LabelRule, ...], notes: Notes) -> Line:
    reader = Reader(item, f"/lines/{position}", notes, _LINE)
    data = reader.data
    slot = _read_slot(reader) if "slot" in data else None
    sku = reader.maybe_text("sku")
    if data.get("scale_label") is not None:
        sku, quantity, text, unit, gross = _read_labelled(reader, sku, rules)
    else:
        quantity, text = _read_quantity(reader, slot is not None)
        unit = 0 if slot is not None else reader.integer("unit_amount")
        gross = gross_of(unit, quantity)
        if sku is None and slot is None:
            reader.text("sku")
    if gross > MAX_AMOUNT:
        reader.note("unit_amount", f"times the quantity is more than {MAX_AMOUNT}")
    pieces = quantity // 1000 if quantity % 1000 == 0 else 1
    reader.maybe_integer("list_amount")
    return Line(
        reader.maybe_text("line_id") or str(position + 1),
        sku,
        quantity,
        text,
        unit,
        gross,
        pieces,
        reader.maybe_text("category"),
        reader.maybe_text("brand"),
        reader.maybe_text("counter_id"),
        reader.maybe_text("guide_id"),
        reader.maybe_integer("member_amount"),
        reader.flag("discountable", True),
        reader.flag("member_price", True),
        reader.flag("counts_to_minimum", True),
        reader.integer("gift_value_amount", 0),
        slot,
        _read_components(reader) if "components" in data else (),
    )


def _read_quantity(reader: Reader, slot: bool) -> tuple[int, str]:
    text = reader.data.get("quantity")
    if type(text) is str:
        try:
            return parse_quantity(text), text
        except ValueError as error:
            reader.note("quantity", str(error))
            return 1000, "1"
    if text is None and slot:
        return 1000, "1"
    return reader.quantity("quantity") or 1000, "1"


def _read_labelled(
    reader: Reader, sku: str | None, rules: tuple[LabelRule, ...]
) -> tuple[str | None, int, str, int, int]:
    """Article, quantity, its text, unit price and gross of a line that came with a scale's label."""
    code = reader.text("scale_label")
    given = reader.quantity("quantity") if reader.has("quantity") else None
    try:
        label = read_label(code, rules)
        quantity, unit, gross = label_price(label, reader.maybe_integer("unit_amount"))
    except ValueError as error:
        if code:
            reader.note("scale_label", str(error))
        return sku, 1000, "1", 0, 0
    if sku is not None and sku not in (label.sku, label.plu):
        reader.note("sku", f"the label says {label.sku}")
    if given is not None and given != quantity:
        reader.note("quantity", "is not what the label says")
    text = "1" if label.weight is None else f"{quantity // 1000}.{quantity % 1000:03d}"
    return label.sku, quantity, text, unit, gross


def _read_slot(reader: Reader) -> Mapping[str, object] | None:
    if not reader.has("slot"):
        return None
    inner = Reader(reader.data["slot"], f"{reader.pointer}/slot", reader.notes, _SLOT)
    for name in ("resource_class", "resource_id", "extends"):
        inner.maybe_text(name)
    begins, ends = inner.moment("from"), inner.moment("to")
    if isinstance(begins, datetime) and isinstance(ends, datetime) and ends <= begins:
        inner.note("to", "must be after from")
    return inner.data


def _read_components(reader: Reader) -> tuple[Component, ...]:
    parts = []
    for item, pointer in reader.items("components"):
        inner = Reader(item, pointer, reader.notes, _COMPONENT)
        quantity = inner.quantity("quantity") if inner.has("quantity") else 1000
        parts.append(Component(inner.text("sku"), inner.integer("list_amount"), quantity))
    return tuple(parts)


def _read_label_rule(item: object, pointer: str, notes: Notes) -> LabelRule:
    reader = Reader(item, pointer, notes, _LABEL)
    prefix = reader.text("prefix")
    if not (len(prefix) == 2 and prefix.isascii() and prefix.isdigit()):
        reader.note("prefix", "must be two digits")
    layout = reader.choice("layout", tuple(LAYOUTS))
    mapping = reader.data.get("sku_map") or {}
    if not isinstance(mapping, Mapping):
        reader.note("sku_map", "must be an object")
        mapping = {}
    for plu, sku in mapping.items():
        if type(sku) is not str or not sku:
            reader.note(f"sku_map/{escape(str(plu))}", "must be a string")
    return LabelRule(prefix, layout, mapping)
