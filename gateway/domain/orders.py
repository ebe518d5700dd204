"""Records and requests of the orders family: the till's bills, slips and sessions, and posting a sale into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gateway.domain.common import Original, Site
from gateway.domain.payments import Method


class BillKind(StrEnum):
    """What is open in a till."""

    BILL = "bill"
    SLIP = "slip"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line of an open bill. ``gross_amount`` is the till's own; it wins over price × quantity."""

    line_id: str
    sku: str
    name: str
    quantity: Decimal
    unit_amount: int
    gross_amount: int
    category: str = ""
    counter_id: str = ""
    guide_id: str = ""
    discountable: bool = True
    member_price: bool = True
    counts_to_minimum: bool = True
    component_of: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is open in the till: a table's or room's bill, a counter's slip.

    ``version`` changes whenever the bill does. ``fees`` are fees in the pricing document's form that the till charges
    (service charge, minimum spend, time), ``rounding`` its mode (``none``, ``jiao``, ``yuan``). ``stock_held`` says
    that the till already holds the goods. ``due_amount`` is the till's own sum, before any benefit of ours.
    """

    bill_id: str
    kind: BillKind
    store_id: str
    version: str
    lines: tuple[BillLine, ...]
    due_amount: int
    session_id: str = ""
    resource_id: str = ""
    counter_id: str = ""
    paid_amount: int = 0
    deposit_amount: int = 0
    fees: tuple[Mapping[str, Any], ...] = ()
    rounding: str = "none"
    stock_held: bool = False
    opened_at: datetime | None = None
    business_date: date | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLookup:
    """Find open bills by resource (table, room), by slip number or by bill number; one of the three is set."""

    store_id: str
    resource_id: str = ""
    slip_nos: tuple[str, ...] = ()
    bill_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TenderLine:
    """One tender as the till must book it. ``income_amount`` is what counts as income (纯收), the rest does not."""

    tender_id: str
    method: Method
    amount: int
    channel: str = ""
    ref: str = ""
    income_amount: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One priced line of the sale. ``discounts`` are its allocations: kind, id, amount, funding."""

    line_id: str
    sku: str
    name: str
    quantity: Decimal
    unit_amount: int
    gross_amount: int
    discount_amount: int
    net_amount: int
    category: str = ""
    counter_id: str = ""
    guide_id: str = ""
    bill_id: str = ""
    discounts: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How much of a line (or fee) a tender pays: the line × tender matrix of department stores."""

    line_id: str
    tender_id: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """A fee as charged."""

    fee_id: str
    kind: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRef:
    """A bill in the till and the version that was priced."""

    bill_id: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BillPrice:
    """Ask the till for its own sum of these bills, given the tenders meant."""

    site: Site
    bills: tuple[BillRef, ...]
    tenders: tuple[TenderLine, ...]
    member_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillTotal:
    """The till's own sum; ``lines`` gives its net by line where it tells."""

    payable_amount: int
    discount_amount: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillHold:
    """Freeze bills against changes while they are paid (pre-bill). A version that has moved on: ``BILL_CHANGED``."""

    site: Site
    bills: tuple[BillRef, ...]
    order_no: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRelease:
    """Let bills go again that were held under ``original``."""

    original: Original
    site: Site
    bills: tuple[BillRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPost:
    """Book the paid sale into the till: lines, tenders, the matrix between them. It is asked for after the money.

    Σ lines' net + Σ fees − points − rounding = payable = Σ tenders.

    ``holds`` are the holds of goods and slots that this same connection gave for the sale and that stand: a system that
    keeps what it holds in a cart of its own finds it by them.
    """

    order_no: str
    site: Site
    currency: str
    lines: tuple[OrderLine, ...]
    tenders: tuple[TenderLine, ...]
    splits: tuple[Split, ...]
    gross_amount: int
    discount_amount: int
    payable_amount: int
    sold_at: datetime
    fees: tuple[Fee, ...] = ()
    points_used: int = 0
    points_amount: int = 0
    rounding_amount: int = 0
    bills: tuple[BillRef, ...] = ()
    session_id: str = ""
    member_ref: str = ""
    holds: tuple[Original, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderVoid:
    """Take a posted sale out again, whole."""

    original: Original
    order_no: str
    site: Site
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReturn:
    """Book a return of lines of a posted sale: amounts positive, given back by tender; the mirror of its posting.

    Σ lines' net + fees − points − rounding = ``amount`` = Σ tenders, where fees is what comes back of them: whatever is
    left of that sum. A line's ``quantity`` is what comes back of it (0: money alone, as for a complaint), its
    ``gross_amount`` the price of that, its ``net_amount`` what is given back for it, in money and otherwise;
    ``discount_amount`` is the rest. ``discounts`` are told where the whole line comes back at once.
    ``points_returned`` go back to the member's account by another hook; ``points_amount`` is what they had paid of what
    comes back, ``rounding_amount`` what had been rounded off of it, for a till that books them. ``whole``: with this
    return nothing is left of the sale; earlier ones may have taken back parts of it.
    """

    original: Original
    order_no: str
    refund_no: str
    site: Site
    lines: tuple[OrderLine, ...]
    tenders: tuple[TenderLine, ...]
    amount: int
    whole: bool
    returned_at: datetime
    points_returned: int = 0
    points_amount: int = 0
    rounding_amount: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositPost:
    """Note a deposit in the till, for a room, a session or a booking."""

    site: Site
    amount: int
    order_no: str
    session_id: str = ""
    resource_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositVoid:
    """Note that a deposit was given back (``used_amount`` of it was used for a bill)."""

    original: Original
    site: Site
    amount: int
    used_amount: int = 0
    session_id: str = ""
    resource_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpen:
    """Open a room or table for a paid window. ``Done.ref`` is the session's number in the till."""

    site: Site
    resource_id: str
    resource_class: str
    start: datetime
    end: datetime
    order_no: str
    package_sku: str = ""
    guests: int = 0
    member_ref: str = ""
    contact_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionExtend:
    """Extend a running session until ``end``, which was ``start``."""

    site: Site
    session_id: str
    start: datetime
    end: datetime
    order_no: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMove:
    """Move a session to another resource."""

    site: Site
    session_id: str
    to_resource_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClose:
    """Close a session that is paid; ``original`` is its opening where we opened it."""

    site: Site
    session_id: str
    original: Original | None = None
