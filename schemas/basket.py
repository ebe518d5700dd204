"""What is bought, where, by whom: the part that quotes and checkouts have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from schemas.fields import Amount, Day, Listed, Moment, Quantity, Request, Text, Whole, Word
from schemas.tenders import CODE

ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")
IDENTITIES = ("phone", "card", "code", "openid")


class Operator(Request):
    """Who sells: the till and the cashier."""

    till_id = Text(required=True)
    cashier_id = Text(required=True)
    terminal_id = Text()
    device_ip = Text(2, 45)


class SlotWanted(Request):
    """A room, table or seat for a time: of a class, one by its number, or the one that a session has already."""

    resource_class = Text()
    resource_id = Text()
    begins = Moment(data_key="from", attribute="from", required=True)
    ends = Moment(data_key="to", attribute="to", required=True)
    extends = Text(metadata={"description": "the session to extend"})
    guests = Whole(1, 1000)

    def across(self, data: dict[str, Any]) -> None:
        """A session keeps its room; else a class or a resource is named."""
        ways = [name for name in ("resource_class", "resource_id", "extends") if name in data]
        if len(ways) != 1:
            raise ValidationError("say one of resource_class, resource_id and extends")


class LineWanted(Request):
    """One line of a basket. ``unit_amount`` counts only for open-price items or with the scope ``price:write``."""

    line_id = Text()
    sku = Text()
    quantity = Quantity()
    unit_amount = Amount()
    category = Text()
    counter_id = Text()
    guide_id = Text()
    slot = fields.Nested(SlotWanted)
    scale_label = Text(8, 32)

    def across(self, data: dict[str, Any]) -> None:
        """A line is about a product, a slot or a label."""
        if not any(name in data for name in ("sku", "slot", "scale_label")):
            raise ValidationError("missing; say sku, slot or scale_label", "sku")


class Source(Request):
    """What the till already has. ``version`` is the one that was read: a bill that changed since is refused."""

    kind = Word("bill", "slips", "session", required=True)
    ids = Listed(Text(), 1, 50, required=True)
    version = Text(1, 512)


class IdentityGiven(Request):
    """How a member is recognised. The value is personal data: it is never in an address."""

    type = Word(*IDENTITIES, required=True)
    value = Text(1, 128, required=True)


class CouponChoice(fields.Field[Any]):
    """Codes in the order they are wanted, or ``"auto"`` for the best legal combination."""

    codes = Listed(Text(1, 64, CODE), 0, 20)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if value == "auto" and type(value) is str:
            return value
        if type(value) is not list:
            raise ValidationError('must be a list of codes, or "auto"')
        codes = self.codes.deserialize(value)
        if len(set(codes)) < len(codes):
            raise ValidationError("holds a code twice")
        return codes


class BasketRequest(Request):
    """A basket: lines, or what is open in the till."""

    store_id = Text()
    operator = fields.Nested(Operator)
    business_date = Day()
    lines = Listed(fields.Nested(LineWanted), 1, 200)
    source = fields.Nested(Source)
    member = fields.Nested(IdentityGiven)
    coupons = CouponChoice()
    points = Whole(0, 1_000_000_000)


def check_basket(data: dict[str, Any]) -> None:
    """A basket says where it is, has either lines or a source, and names each line once."""
    if "store_id" not in data:
        raise ValidationError("Missing data for required field.", "store_id")
    if ("lines" in data) == ("source" in data):
        raise ValidationError("say either lines or source", "lines")
    named = [line["line_id"] for line in data.get("lines", ()) if "line_id" in line]
    if len(set(named)) < len(named):
        raise ValidationError("holds a line_id twice", "lines")


__all__ = ["ID", "BasketRequest", "IdentityGiven", "check_basket"]
