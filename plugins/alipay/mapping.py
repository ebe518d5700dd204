"""Alipay's words and ours: states, refusals, amounts, bill rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.sdk import (
    ActionType,
    Answer,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    NextAction,
    NotFound,
    OutcomeUnknown,
    Pending,
    StatementRow,
)
from plugins.alipay.bill import REFUND, SALE, BillRow
from plugins.alipay.client import CHINA
from plugins.alipay.protocol import WAITING, ParseError, Reply

WAIT, PAID, CLOSED, FINISHED = "WAIT_BUYER_PAY", "TRADE_SUCCESS", "TRADE_CLOSED", "TRADE_FINISHED"
NOT_EXIST = "ACQ.TRADE_NOT_EXIST"

_REASON = DeclineReason

#: A charge's refusals after which no money has moved; anything else is unknown.
CHARGE_DECLINES: Mapping[str, DeclineReason] = {
    "ACQ.BUYER_BALANCE_NOT_ENOUGH": _REASON.INSUFFICIENT_FUNDS,
    "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH": _REASON.INSUFFICIENT_FUNDS,
    "ACQ.NO_PAYMENT_INSTRUMENTS_AVAILABLE": _REASON.INSUFFICIENT_FUNDS,
    "ACQ.PAYMENT_AUTH_CODE_INVALID": _REASON.CODE_INVALID,
    "ACQ.PAYMENT_FAIL": _REASON.DECLINED,
    "ACQ.PAYMENT_REQUEST_HAS_RISK": _REASON.DECLINED,
    "ACQ.ERROR_BALANCE_PAYMENT_DISABLE": _REASON.DECLINED,
    "ACQ.BUYER_ENABLE_STATUS_FORBID": _REASON.DECLINED,
    "ACQ.BUYER_SELLER_EQUAL": _REASON.DECLINED,
    "ACQ.MOBILE_PAYMENT_SWITCH_OFF": _REASON.DECLINED,
    "ACQ.USER_FACE_PAYMENT_SWITCH_OFF": _REASON.DECLINED,
    "ACQ.PULL_MOBILE_CASHIER_FAIL": _REASON.DECLINED,
    "ACQ.EXIST_FORBIDDEN_WORD": _REASON.DECLINED,
    "ACQ.INVALID_PARAMETER": _REASON.DECLINED,
    "ACQ.ACCESS_FORBIDDEN": _REASON.DECLINED,
    "ACQ.PARTNER_ERROR": _REASON.DECLINED,
    "ACQ.TOTAL_FEE_EXCEED": _REASON.LIMIT_EXCEEDED,
    "ACQ.BEYOND_PAY_RESTRICTION": _REASON.LIMIT_EXCEEDED,
    "ACQ.BEYOND_PER_RECEIPT_RESTRICTION": _REASON.LIMIT_EXCEEDED,
    "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR": _REASON.LIMIT_EXCEEDED,
    "ACQ.BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR": _REASON.LIMIT_EXCEEDED,
    "ACQ.ERROR_BUYER_CERTIFY_LEVEL_LIMIT": _REASON.LIMIT_EXCEEDED,
    "ACQ.TRADE_HAS_CLOSE": _REASON.CLOSED,
}

#: A charge's refusals that say that our number is known already: the trade is looked up.
KNOWN_ALREADY = ("ACQ.TRADE_HAS_SUCCESS", "ACQ.CONTEXT_INCONSISTENT", "ACQ.TRADE_STATUS_ERROR")

CANCEL_DECLINES: Mapping[str, DeclineReason] = {
    "ACQ.TRADE_CANCEL_TIME_OUT": _REASON.TOO_LATE,
    "ACQ.REASON_TRADE_REFUND_FEE_ERR": _REASON.NOT_REFUNDABLE,
    "ACQ.TRADE_HAS_FINISHED": _REASON.NOT_REFUNDABLE,
    "ACQ.CANCEL_NOT_ALLOWED": _REASON.NOT_REFUNDABLE,
    "ACQ.REASON_TRADE_BEEN_FREEZEN": _REASON.NOT_REFUNDABLE,
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": _REASON.INSUFFICIENT_FUNDS,
}

REFUND_DECLINES: Mapping[str, DeclineReason] = {
    "ACQ.TRADE_HAS_FINISHED": _REASON.NOT_REFUNDABLE,
    "ACQ.TRADE_STATUS_ERROR": _REASON.NOT_REFUNDABLE,
    "ACQ.REASON_TRADE_STATUS_INVALID": _REASON.NOT_REFUNDABLE,
    "ACQ.TRADE_NOT_ALLOW_REFUND": _REASON.NOT_REFUNDABLE,
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": _REASON.LIMIT_EXCEEDED,
    "ACQ.REASON_TRADE_REFUND_FEE_ERR": _REASON.LIMIT_EXCEEDED,
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": _REASON.INSUFFICIENT_FUNDS,
    "ACQ.INVALID_PARAMETER": _REASON.DECLINED,
    NOT_EXIST: _REASON.NOT_FOUND,
}


def declined(reply: Reply, reasons: Mapping[str, DeclineReason], out_trade_no: str) -> Declined:
    """The decline that a refusal means. Raises ``OutcomeUnknown`` for one that is not listed or is another order's."""
    if text(reply, "out_trade_no") not in ("", out_trade_no):
        raise InvalidReply(f"the refusal is about another order than {out_trade_no}")
    reason = reasons.get(reply.sub_code)
    if reason is None:
        raise OutcomeUnknown(f"{reply.code} {reply.sub_code} {reply.message}")
    return Declined(reason=reason, code=reply.sub_code, message=reply.message)


def about(reply: Reply, out_trade_no: str) -> Reply:
    """The reply, if it is about this order. Raises ``InvalidReply`` otherwise."""
    if text(reply, "out_trade_no") != out_trade_no:
        raise InvalidReply(f"the reply is about another order than {out_trade_no}")
    return reply


def paid(reply: Reply, out_trade_no: str, amount: int | None, *, replayed: bool = False) -> Done:
    """A payment that happened. Raises ``InvalidReply`` if it is another order's or of another amount."""
    about(reply, out_trade_no)
    total = _fen(reply, "total_amount")
    if amount is not None and total != amount:
        raise InvalidReply(f"the reply says {total} fen were asked, we asked {amount}")
    return Done(ref=text(reply, "trade_no"), amount=total, facts=_shares(reply), replayed=replayed)


def _shares(reply: Reply) -> dict[str, Any]:
    """Who bore what: the customer's cash, the platform's and the merchant's discounts."""
    parts = {"platform": _fen(reply, "discount_amount"), "merchant": _fen(reply, "mdiscount_amount")}
    return {
        "customer_paid_amount": _fen(reply, "buyer_pay_amount"),
        "merchant_received_amount": _fen(reply, "receipt_amount"),
        "invoice_amount": _fen(reply, "invoice_amount"),
        "funding": [{"party": party, "amount": amount} for party, amount in parts.items() if amount],
    }


def waiting(reply: Reply) -> Pending:
    """The customer has to type a password on the phone."""
    return Pending(ref=text(reply, "trade_no"), next_action=NextAction(type=ActionType.AWAIT_PASSWORD))


def show_qr(qr_code: str, until: str) -> Pending:
    """The customer has to scan a code."""
    fields = {"qr_code": qr_code, "expires_at": until}
    return Pending(next_action=NextAction(type=ActionType.SHOW_QR, fields=fields), facts=fields)


def trade(reply: Reply, out_trade_no: str, amount: int | None) -> Answer:
    """How a charge stands, from the reply to a query.

    ``TRADE_CLOSED`` is said of an unpaid trade and of one that was fully given back: either way nothing is taken now.
    """
    if reply.sub_code == NOT_EXIST:
        return NotFound(final=False)
    if reply.code not in ("10000", WAITING):
        raise OutcomeUnknown(f"{reply.code} {reply.sub_code} {reply.message}")
    match text(reply, "trade_status"):
        case "WAIT_BUYER_PAY":
            return waiting(about(reply, out_trade_no))
        case "TRADE_SUCCESS" | "TRADE_FINISHED":
            return paid(reply, out_trade_no, amount, replayed=True)
        case "TRADE_CLOSED":
            was_paid = bool(text(about(reply, out_trade_no), "send_pay_date"))
            how = "closed after the money was given back" if was_paid else "closed unpaid"
            return Declined(reason=DeclineReason.CLOSED, code=CLOSED, message=how)
        case other:
            raise InvalidReply(f"unknown trade_status {other[:32]!r}")


def refund(reply: Reply, out_trade_no: str, number: str, amount: int | None) -> Answer:
    """How a refund stands, from the reply to a refund query.

    A refund that never was is answered by success without the refund's fields; ``refund_status`` is absent for older
    accounts, where data alone means success.
    """
    if reply.sub_code == NOT_EXIST:
        return NotFound(final=False)
    if reply.code != "10000":
        raise OutcomeUnknown(f"{reply.code} {reply.sub_code} {reply.message}")
    about(reply, out_trade_no)
    if not text(reply, "refund_amount"):
        return NotFound(final=False)
    given = _fen(reply, "refund_amount")
    if text(reply, "out_request_no") != number or (amount is not None and given != amount):
        raise InvalidReply("the reply is about another refund")
    if text(reply, "refund_status") in ("", "REFUND_SUCCESS"):
        return Done(ref=number, amount=given, facts=refund_shares(reply), replayed=True)
    return Pending(ref=number)


def refund_shares(reply: Reply) -> dict[str, int]:
    """What of a refund went to the customer, the platform's and the merchant's discount."""
    names = {
        "customer_refunded_amount": "present_refund_buyer_amount",
        "platform_refunded_amount": "present_refund_discount_amount",
        "merchant_discount_refunded_amount": "present_refund_mdiscount_amount",
    }
    return {ours: _fen(reply, theirs) for ours, theirs in names.items() if text(reply, theirs)}


def statement_row(row: BillRow) -> StatementRow | None:
    """A bill row as ours; ``None`` for one that is neither a sale nor a refund.

    ``amount`` is the order's amount, as ``payment_charge`` gave it; what the merchant received is a fact. The money of
    a cancelled trade goes back under the order's own number: its row is marked ``REVERSED``.
    """
    if row.kind not in (SALE, REFUND):
        return None
    sale = row.kind == SALE
    return StatementRow(
        kind="charge" if sale else "refund",
        ref=row.trade_no if sale else row.out_request_no or row.trade_no,
        amount=row.total_amount,
        key=row.out_trade_no if sale else row.out_request_no,
        original_ref="" if sale else row.trade_no,
        fee_amount=-row.fee_amount,
        at=row.finished_at.replace(tzinfo=CHINA),
        status="REVERSED" if row.out_request_no == row.out_trade_no else "SUCCESS",
        facts={
            "out_trade_no": row.out_trade_no,
            "merchant_received_amount": row.receipt_amount,
            "platform_discount_amount": row.discount_amount + row.red_envelope_amount + row.point_amount,
            "merchant_discount_amount": row.mdiscount_amount + row.merchant_envelope_amount + row.voucher_amount,
            "store_id": row.store_id,
            "operator_id": row.operator_id,
            "terminal_id": row.terminal_id,
        },
    )


def text(reply: Reply, name: str) -> str:
    """A field of a reply as text, empty if absent. Raises ``InvalidReply`` if it is not one."""
    try:
        return reply.text(name)
    except ParseError as error:
        raise InvalidReply(str(error)) from None


def _fen(reply: Reply, name: str) -> int:
    try:
        return reply.fen(name)
    except ParseError as error:
        raise InvalidReply(str(error)) from None
