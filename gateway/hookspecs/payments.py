"""Payments: money taken from a customer by a channel, and given back."""

from __future__ import annotations

from gateway.domain.call import Call
from gateway.domain.common import Page, Query, StatementRequest, StatementRow
from gateway.domain.outcomes import Answer, Change
from gateway.domain.payments import (
    Authorize,
    Capture,
    Charge,
    PaymentRefund,
    Release,
    Reverse,
    Settle,
    Share,
    ShareReturn,
)
from gateway.hookspecs.marker import hookspec


class PaymentHooks:
    """Specs of the family ``payments``; the rules common to all hooks stand in ``gateway.hookspecs``."""

    @hookspec(firstresult=True)
    def payment_charge(self, request: Charge, call: Call) -> Change:  # type: ignore[empty-body]
        """Take ``request.amount`` (minor units) from the customer.

        ``Done.ref`` is the channel's trade number, ``Done.amount`` what was taken, ``facts`` may hold
        ``customer_paid_amount``, ``merchant_received_amount``, ``fee_amount`` and ``funding``. ``Pending`` while a
        password is typed or a QR code is shown. A payment code is single use even when the payment fails: it is sent
        once, and never again.
        """

    @hookspec(firstresult=True)
    def payment_reverse(self, request: Reverse, call: Call) -> Change:  # type: ignore[empty-body]
        """Undo a whole charge whatever became of it: unpaid it is closed, paid the money goes back.

        ``Done`` only if no money can be taken under the original key any more, as far as the channel tells; the engine
        queries afterwards all the same. ``facts["action"]`` is ``close`` or ``refund``.
        """

    @hookspec(firstresult=True)
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:  # type: ignore[empty-body]
        """Give ``request.amount`` of a charge back. The same key is one refund, however often it is sent."""

    @hookspec(firstresult=True)
    def payment_authorize(self, request: Authorize, call: Call) -> Change:  # type: ignore[empty-body]
        """Hold an amount (a deposit) without taking it; ``Done.ref`` is the authorisation's number."""

    @hookspec(firstresult=True)
    def payment_capture(self, request: Capture, call: Call) -> Change:  # type: ignore[empty-body]
        """Take part or all of a held amount; what is left stays held until released."""

    @hookspec(firstresult=True)
    def payment_release(self, request: Release, call: Call) -> Change:  # type: ignore[empty-body]
        """Let go of what is still held."""

    @hookspec(firstresult=True)
    def payment_share(self, request: Share, call: Call) -> Change:  # type: ignore[empty-body]
        """Share a settled charge among receivers."""

    @hookspec(firstresult=True)
    def payment_share_return(self, request: ShareReturn, call: Call) -> Change:  # type: ignore[empty-body]
        """Take a share back, before the charge is refunded."""

    @hookspec(firstresult=True)
    def payment_settle(self, request: Settle, call: Call) -> Change:  # type: ignore[empty-body]
        """Settle a terminal's batch; ``facts`` hold the host's own totals."""

    @hookspec(firstresult=True)
    def payment_query(self, request: Query) -> Answer:  # type: ignore[empty-body]
        """What became of a change of this family. A charge is ``Done`` with the amount charged while any of it is taken
        (refunds in part not counted), and ``Declined`` (``CLOSED``) once nothing is: closed, undone, or given back."""

    @hookspec(firstresult=True)
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:  # type: ignore[empty-body]
        """The channel's own bill of a business date; kinds ``charge`` and ``refund``."""
