"""``sales.asmx``: the SOAP 1.1 sale upload of the department store, as its server reads and answers it.

Namespace ``http://tempurl.org``; one sale a call; every value is text. A reply carries ``responsecode`` 0 (done), -1
(refused, with a Chinese message) or -100 (the system failed). A sale's number is (txdate, storecode, tillid, txdocno);
the same number again answers -1 "单号重复". Returns have negative quantities and amounts and the ``org…`` fields.

The gateway writes these messages with zeep from ``wsdl/sales.wsdl``; the readers here are the server's, and
:func:`encode_call` is the same message without zeep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring
from xml.etree.ElementTree import ParseError as XmlError

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from plugins.department.protocol import ParseError, fen, quantity, yuan

NAMESPACE = "http://tempurl.org"
SOAP_NAMESPACE = "http://schemas.xmlsoap.org/soap/envelope/"
DUPLICATE_DOCUMENT = "单号重复"
_MAX_BODY = 2_000_000

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SaleNumber:
    """What identifies a sale: business date ``yyyymmdd``, store, till and receipt number."""

    txdate: str
    store: str
    till: str
    document: str


@dataclass(frozen=True, slots=True)
class SaleItem:
    """One line; ``document_slip`` is the slip it came from, ``less`` the discounts beyond the counter's own, in fen."""

    line: int
    counter: str
    slip: str
    item: str
    settle_code: str
    quantity: Decimal
    price: int
    member_less: int
    promotion_less: int
    net: int
    from_stock: bool


@dataclass(frozen=True, slots=True)
class SaleTender:
    """One tender row, in fen; ``reference`` is the payer's side's number (a bank reference, a trade number)."""

    line: int
    code: str
    amount: int
    reference: str


@dataclass(frozen=True, slots=True)
class SaleSplit:
    """How much of one payment line was taken by one goods line, in fen (the ``split_promotions`` list)."""

    goods_line: int
    payment_line: int
    amount: int


@dataclass(frozen=True, slots=True)
class Sale:
    """One ``postsalescreate`` as the server understands it, in fen; ``kind`` SA sale, SR return, EX exchange."""

    number: SaleNumber
    kind: str
    time: str
    reference: str
    original: SaleNumber | None
    cashier: str
    member: str
    net: int
    paid: int
    change: int
    items: tuple[SaleItem, ...]
    tenders: tuple[SaleTender, ...]
    splits: tuple[SaleSplit, ...]


def parse_call(body: bytes) -> tuple[str, Fields]:
    """The operation and its fields from a SOAP 1.1 envelope. Raises ``ParseError``.

    An element with children becomes a dict; an element that repeats becomes a list; a leaf is its text.
    """
    if len(body) > _MAX_BODY:
        raise ParseError("the message is too long")
    try:
        root = fromstring(body, forbid_dtd=True)
    except (XmlError, DefusedXmlException, ValueError, LookupError) as error:
        raise ParseError(f"not XML: {error}") from error
    call = root.find(f"{{{SOAP_NAMESPACE}}}Body/*")
    if root.tag != f"{{{SOAP_NAMESPACE}}}Envelope" or call is None:
        raise ParseError("not a SOAP 1.1 envelope with a body")
    namespace, _, operation = call.tag.rpartition("}")
    if namespace != "{" + NAMESPACE:
        raise ParseError(f"the operation is not in {NAMESPACE}")
    value = _value(call, 0)
    return operation, value if isinstance(value, dict) else {}


def _value(element: Element, depth: int) -> Fields | str:
    if depth > 8:
        raise ParseError("nested too deeply")
    if not len(element):
        return (element.text or "").strip()
    fields: Fields = {}
    for child in element:
        name = child.tag.rpartition("}")[2]
        value = _value(child, depth + 1)
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields


def rows(fields: Mapping[str, Any], plural: str, singular: str) -> list[Fields]:
    """The repeated rows under ``plural/singular``; absent or empty: none. Raises ``ParseError``."""
    found = fields.get(plural) or {}
    if not isinstance(found, dict):
        raise ParseError(f"{plural} is not a list of {singular}")
    several = found.get(singular, [])
    several = several if isinstance(several, list) else [several]
    if not all(isinstance(row, dict) for row in several):
        raise ParseError(f"{singular} has no fields")
    return several


def texts(fields: Mapping[str, Any], plural: str, singular: str) -> list[str]:
    """The repeated texts under ``plural/singular``. Raises ``ParseError`` for other shapes."""
    found = fields.get(plural) or {}
    if not isinstance(found, dict):
        raise ParseError(f"{plural} is not a list of {singular}")
    several = found.get(singular, [])
    several = several if isinstance(several, list) else [several]
    if not all(isinstance(one, str) for one in several):
        raise ParseError(f"{singular} is not text")
    return several


def text(fields: Mapping[str, Any], name: str, longest: int, required: bool = False) -> str:
    """One text field, at most ``longest`` characters. Raises ``ParseError``."""
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > longest or (required and not value):
        raise ParseError(f"{name} is missing, too long or not text")
    return value


def amount(fields: Mapping[str, Any], name: str) -> int:
    """One amount in yuan as fen; an absent or empty one is 0."""
    value = text(fields, name, 20)
    return fen(value) if value else 0


def number(fields: Mapping[str, Any], name: str) -> int:
    """One whole number; an absent or empty one is 0."""
    value = text(fields, name, 9) or "0"
    if not value.isascii() or not value.isdigit():
        raise ParseError(f"{name} is not a number")
    return int(value)


def parse_sale(request: Mapping[str, Any]) -> Sale:
    """The sale in the request of ``postsalescreate``. Raises ``ParseError``."""
    total = request.get("salestotal")
    if not isinstance(total, dict):
        raise ParseError("salestotal is missing")
    original = SaleNumber(*(text(total, name, 12) for name in _number_names("org")))
    return Sale(
        number=SaleNumber(*(text(total, name, 12, required=True) for name in _number_names(""))),
        kind=text(total, "salestype", 2, required=True),
        time=text(total, "txtime_hhmmss", 6, required=True),
        reference=text(total, "reservedocno", 64),
        original=original if original.document else None,
        cashier=text(total, "cashier", 8),
        member=text(total, "vipcode", 20),
        net=amount(total, "netamount"),
        paid=amount(total, "paidamount"),
        change=amount(total, "changeamount"),
        items=tuple(_item(row) for row in rows(request, "salesitems", "salesitem")),
        tenders=tuple(_tender(row) for row in rows(request, "salestenders", "salestender")),
        splits=tuple(_split(row) for row in rows(request, "splitpromotions", "splitpromotion")),
    )


def _number_names(prefix: str) -> tuple[str, str, str, str]:
    return f"{prefix}txdate_yyyymmdd", f"{prefix}storecode", f"{prefix}tillid", f"{prefix}txdocno"


def _item(row: Mapping[str, Any]) -> SaleItem:
    return SaleItem(
        line=number(row, "lineno"),
        counter=text(row, "storecode", 6, required=True),
        slip=text(row, "counteritemcode", 12),
        item=text(row, "itemcode", 13, required=True),
        settle_code=text(row, "plucode", 8),
        quantity=quantity(text(row, "qty", 14, required=True)),
        price=amount(row, "originalprice"),
        member_less=amount(row, "vipdiscountless"),
        promotion_less=amount(row, "totaldiscountless"),
        net=amount(row, "netamount"),
        from_stock=text(row, "exstk2sales", 1) == "1",
    )


def _tender(row: Mapping[str, Any]) -> SaleTender:
    code = text(row, "tendercode", 4, required=True)
    return SaleTender(number(row, "lineno"), code, amount(row, "payamount"), text(row, "remark", 64))


def _split(row: Mapping[str, Any]) -> SaleSplit:
    return SaleSplit(number(row, "goods_line_no"), number(row, "payment_line_no"), amount(row, "split_amount"))


def encode_sale(sale: Sale) -> Fields:
    """The fields ``salestotal salesitems salestenders splitpromotions`` of a sale; :func:`parse_sale` reads them."""
    return {
        "salestotal": _total_fields(sale),
        "salesitems": {"salesitem": [_item_fields(item) for item in sale.items]},
        "salestenders": {"salestender": [_tender_fields(tender) for tender in sale.tenders]},
        "splitpromotions": {"splitpromotion": [_split_fields(split) for split in sale.splits]},
    }


def _total_fields(sale: Sale) -> Fields:
    fields: Fields = dict(zip(_number_names(""), _parts(sale.number), strict=True))
    if sale.original is not None:
        fields.update(zip(_number_names("org"), _parts(sale.original), strict=True))
    less = sum(item.member_less + item.promotion_less for item in sale.items)
    return fields | {
        "localstorecode": sale.number.store,
        "reservedocno": sale.reference,
        "txtime_hhmmss": sale.time,
        "salestype": sale.kind,
        "cashier": sale.cashier,
        "vipcode": sale.member,
        "netqty": f"{sum((item.quantity for item in sale.items), Decimal(0)):f}",
        "originalamount": yuan(sale.net + less),
        "sellingamount": yuan(sale.net + less),
        "totaldiscountless": yuan(less),
        "netamount": yuan(sale.net),
        "paidamount": yuan(sale.paid),
        "changeamount": yuan(sale.change),
        "issueby": sale.cashier,
        "issuedate_yyyymmdd": sale.number.txdate,
        "issuetime_hhmmss": sale.time,
    }


def _parts(number: SaleNumber) -> tuple[str, str, str, str]:
    return number.txdate, number.store, number.till, number.document


def _item_fields(item: SaleItem) -> Fields:
    return {
        "iscounteritemcode": "1",
        "lineno": str(item.line),
        "storecode": item.counter,
        "counteritemcode": item.slip,
        "itemcode": item.item,
        "plucode": item.settle_code,
        "qty": f"{item.quantity:f}",
        "exstk2sales": "1" if item.from_stock else "0",
        "originalprice": yuan(item.price),
        "sellingprice": yuan(item.price),
        "vipdiscountless": yuan(item.member_less),
        "totaldiscountless": yuan(item.promotion_less),
        "netamount": yuan(item.net),
    }


def _tender_fields(tender: SaleTender) -> Fields:
    amount = yuan(tender.amount)
    row = {"lineno": str(tender.line), "tendercode": tender.code, "payamount": amount, "baseamount": amount}
    return row | {"excessamount": "0.00", "remark": tender.reference}


def _split_fields(split: SaleSplit) -> Fields:
    lines = {"goods_line_no": str(split.goods_line), "payment_line_no": str(split.payment_line)}
    return lines | {"split_amount": yuan(split.amount)}


def encode_call(operation: str, fields: Mapping[str, Any]) -> bytes:
    """The SOAP 1.1 request of an operation; dicts nest, lists repeat."""
    return _envelope(f"{{{NAMESPACE}}}{operation}", fields)


def encode_reply(operation: str, code: int, message: str, fields: Mapping[str, Any] | None = None) -> bytes:
    """The SOAP 1.1 reply of an operation: ``responsecode``, ``responsemessage``, and what else it answers."""
    header = {"responsecode": str(code), "responsemessage": message}
    result = {f"{operation}Result": {"header": header, **(fields or {})}}
    return _envelope(f"{{{NAMESPACE}}}{operation}Response", result)


def encode_fault(message: str) -> bytes:
    """A SOAP 1.1 fault: the server could not read the message at all."""
    return _envelope(f"{{{SOAP_NAMESPACE}}}Fault", {"faultcode": "soap:Client", "faultstring": message}, "")


def _envelope(tag: str, fields: Mapping[str, Any], namespace: str = f"{{{NAMESPACE}}}") -> bytes:
    root = Element(f"{{{SOAP_NAMESPACE}}}Envelope")
    body = SubElement(root, f"{{{SOAP_NAMESPACE}}}Body")
    _fill(SubElement(body, tag), fields, namespace)
    text_of_root: str = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text_of_root}'.encode()


def _fill(element: Element, fields: Mapping[str, Any], namespace: str) -> None:
    for name, value in fields.items():
        several: Sequence[Any] = value if isinstance(value, list) else [value]
        for one in several:
            child = SubElement(element, f"{namespace}{name}")
            if isinstance(one, Mapping):
                _fill(child, one, namespace)
            else:
                child.text = str(one)
