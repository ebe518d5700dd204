"""Orders: the till's open bills, slips and sessions, and booking a paid sale into it."""

from __future__ import annotations

from gateway.domain.call import Call
from gateway.domain.common import Page, Query, StatementRequest, StatementRow
from gateway.domain.orders import (
    Bill,
    BillHold,
    BillLookup,
    BillPrice,
    BillRelease,
    BillTotal,
    DepositPost,
    DepositVoid,
    OrderPost,
    OrderReturn,
    OrderVoid,
    SessionClose,
    SessionExtend,
    SessionMove,
    SessionOpen,
)
from gateway.domain.outcomes import Answer, Change
from gateway.hookspecs.marker import hookspec


class OrderHooks:
    """Specs of the family ``orders``; the rules common to all hooks stand in ``gateway.hookspecs``."""

    @hookspec(firstresult=True)
    def bill_find(self, request: BillLookup) -> tuple[Bill, ...]:  # type: ignore[empty-body]
        """What is open under a resource, slip or bill number; empty: nothing is."""

    @hookspec(firstresult=True)
    def bill_price(self, request: BillPrice) -> BillTotal:  # type: ignore[empty-body]
        """The till's own sum of these bills, given the tenders meant."""

    @hookspec(firstresult=True)
    def bill_hold(self, request: BillHold, call: Call) -> Change:  # type: ignore[empty-body]
        """Freeze bills while they are paid; one that has moved on is ``Declined(BILL_CHANGED)``."""

    @hookspec(firstresult=True)
    def bill_release(self, request: BillRelease, call: Call) -> Change:  # type: ignore[empty-body]
        """Let frozen bills go."""

    @hookspec(firstresult=True)
    def order_post(self, request: OrderPost, call: Call) -> Change:  # type: ignore[empty-body]
        """Book a paid sale: lines, tenders and the matrix between them. ``Done.ref`` is the receipt's number.

        ``Pending`` where the till books it later (a file drop): the query tells when it has. A sale that the till has
        already, by our key, is ``Done(replayed=True)``.
        """

    @hookspec(firstresult=True)
    def order_void(self, request: OrderVoid, call: Call) -> Change:  # type: ignore[empty-body]
        """Take a booked sale out again, whole."""

    @hookspec(firstresult=True)
    def order_return(self, request: OrderReturn, call: Call) -> Change:  # type: ignore[empty-body]
        """Book a return. A system that can only take back whole sales answers ``Declined`` for a part of one, or raises
        ``NotSupported`` before it has sent anything. ``whole``: with this return nothing is left of the sale; earlier
        ones may have taken back parts of it.
        """

    @hookspec(firstresult=True)
    def deposit_post(self, request: DepositPost, call: Call) -> Change:  # type: ignore[empty-body]
        """Note a deposit in the till."""

    @hookspec(firstresult=True)
    def deposit_void(self, request: DepositVoid, call: Call) -> Change:  # type: ignore[empty-body]
        """Note that a deposit was given back or used."""

    @hookspec(firstresult=True)
    def session_open(self, request: SessionOpen, call: Call) -> Change:  # type: ignore[empty-body]
        """Open a room or table; ``Done.ref`` is the session's number. Taken by another: ``Declined(SLOT_TAKEN)``."""

    @hookspec(firstresult=True)
    def session_extend(self, request: SessionExtend, call: Call) -> Change:  # type: ignore[empty-body]
        """Extend a running session; not running: ``Declined(SESSION_STATE)``."""

    @hookspec(firstresult=True)
    def session_move(self, request: SessionMove, call: Call) -> Change:  # type: ignore[empty-body]
        """Move a session to another resource."""

    @hookspec(firstresult=True)
    def session_close(self, request: SessionClose, call: Call) -> Change:  # type: ignore[empty-body]
        """Close a session."""

    @hookspec(firstresult=True)
    def order_query(self, request: Query) -> Answer:  # type: ignore[empty-body]
        """What became of a change of this family."""

    @hookspec(firstresult=True)
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:  # type: ignore[empty-body]
        """The till's own sales of a business date; kinds ``sale``, ``return``, ``deposit``, one row a tender.

        The rows of a sale come to what its tenders pay. Points that a till books as one of its tenders are no row.
        ``facts["tender"]`` is the till's tender code, ``facts["bill"]`` its bill number, ``key`` our reference if the
        till keeps it (or the part of it that fits: its last characters).
        """
