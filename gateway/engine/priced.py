"""A basket with its price."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.domain.coupons import Coupon
from gateway.domain.membership import Member
from gateway.domain.orders import Bill
from gateway.engine.model import Op, Saga
from gateway.pricing import Basket, Benefit, Quote
from gateway.runtime import Connection, Merchant


@dataclass(slots=True)
class Priced:
    """A basket with its price and all that planning needs. ``document`` and ``quote`` are of the pricing document."""

    merchant: Merchant
    store_id: str
    site: dict[str, Any]
    document: dict[str, Any]
    quote: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    #: How the member was named: ``type`` and ``value``.
    identity: dict[str, str] | None = field(default=None, repr=False)
    member: Member | None = None
    member_connection: Connection | None = None
    coupons: dict[str, tuple[Coupon, Connection]] = field(default_factory=dict)
    bills: tuple[Bill, ...] = ()
    bill_connection: Connection | None = None
    slots: dict[str, dict[str, Any]] = field(default_factory=dict)
    tenders: list[dict[str, Any]] = field(default_factory=list)
    #: The deposits that are to pay, as they stand.
    deposits: dict[str, tuple[Saga, list[Op]]] = field(default_factory=dict)
    session_id: str = ""
    #: What the merchant does without while its system is down: ``{part, id}``.
    left_out: list[dict[str, str]] = field(default_factory=list)
    #: The campaigns it was priced under, with what was used of those that have limits.
    campaigns: tuple[Benefit, ...] = ()
    basket: Basket = field(init=False)
    result: Quote = field(init=False)

    def take(self, result: Quote) -> None:
        """Put a price in force."""
        self.result, self.quote = result, result.to_document()
        _merge_lines(self)

    def leave_out(self, part: str, what: str = "") -> None:
        """Go on without a part; ``what`` is which one of several."""
        self.left_out.append({"part": part, "id": what})

    @property
    def member_id(self) -> str:
        """The member, or nobody."""
        return self.member.ref if self.member is not None else ""


def _merge_lines(priced: Priced) -> None:
    """Put what was priced beside what is known of each line."""
    by_id = {line["line_id"]: line for line in priced.quote["lines"]}
    priced.lines = [{**line, **by_id.get(line["line_id"], {})} for line in priced.lines]
    for line in priced.lines:
        line.setdefault("name", line.get("sku", ""))
