"""WeChat Pay's words and ours: trade states, refund states, refusals, bill rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gateway.sdk import (
    ActionType,
    Change,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    NextAction,
    OutcomeUnknown,
    ParseError,
    Pending,
    StatementRow,
)
from plugins.wechatpay.bill import BillRow
from plugins.wechatpay.protocol import CHINA, Reply, member, members, number, text

_T = TypeVar("_T")
_REASON = DeclineReason

#: A query's answer for an order that never was.
NOT_EXIST = ("ORDER_NOT_EXIST", "ORDERNOTEXIST", "ORDER_NOT_EXISTS", "RESOURCE_NOT_EXISTS")

#: An answer, or a refusal, that means: the customer types the password now.
USERPAYING = ("USERPAYING", "USER_PAYING")

#: A charge's refusals after which no money has moved; anything else is unknown.
CHARGE_DECLINES: Mapping[str, DeclineReason] = {
    "NOTENOUGH": _REASON.INSUFFICIENT_FUNDS,
    "NOT_ENOUGH": _REASON.INSUFFICIENT_FUNDS,
    "AUTH_CODE_EXPIRE": _REASON.CODE_EXPIRED,
    "AUTH_CODE_ERROR": _REASON.CODE_INVALID,
    "AUTH_CODE_INVALID": _REASON.CODE_INVALID,
    "PAYERROR": _REASON.DECLINED,
    "PAY_ERROR": _REASON.DECLINED,
    "TRADE_ERROR": _REASON.DECLINED,
    "NOTSUPORTCARD": _REASON.DECLINED,
    "ACCOUNT_ERROR": _REASON.DECLINED,
    "RULE_LIMIT": _REASON.LIMIT_EXCEEDED,
    "ORDERREVERSED": _REASON.CLOSED,
    "ORDERCLOSED": _REASON.CLOSED,
    "ORDER_CLOSED": _REASON.CLOSED,
    "PARAM_ERROR": _REASON.DECLINED,
}

#: A charge's refusals that say that our number is known already: the order is looked up.
KNOWN_ALREADY = ("ORDERPAID", "OUT_TRADE_NO_USED")

REVERSE_DECLINES: Mapping[str, DeclineReason] = {
    "REVERSE_EXPIRE": _REASON.TOO_LATE,
    "TRADE_STATE_ERROR": _REASON.NOT_REFUNDABLE,
    "NOT_ENOUGH": _REASON.INSUFFICIENT_FUNDS,
}

REFUND_DECLINES: Mapping[str, DeclineReason] = {
    "NOT_ENOUGH": _REASON.INSUFFICIENT_FUNDS,
    "INVALID_REQUEST": _REASON.NOT_REFUNDABLE,
    "USER_ACCOUNT_ABNORMAL": _REASON.NOT_REFUNDABLE,
    "TRADE_OVERDUE": _REASON.TOO_LATE,
    "PARAM_ERROR": _REASON.DECLINED,
    "RESOURCE_NOT_EXISTS": _REASON.NOT_FOUND,
}


def wire(read: Callable[[Mapping[str, Any], str], _T], fields: Mapping[str, Any], name: str) -> _T:
    """A member of a reply. Raises ``InvalidReply`` if it is not what the protocol says."""
    try:
        return read(fields, name)
    except ParseError as error:
        raise InvalidReply(str(error)) from None


def refused(reply: Reply, reasons: Mapping[str, DeclineReason]) -> Declined:
    """The decline that a refusal means. Raises ``OutcomeUnknown`` for one that is not listed."""
    reason = reasons.get(reply.code)
    if reason is None:
        raise OutcomeUnknown(f"{reply.status} {reply.code} {reply.message[:80]}")
    return Declined(reason=reason, code=reply.code, message=reply.message[:80])


def about(reply: Reply, key: str, mchid: str) -> Reply:
    """The reply, if it is about this order of this merchant. Raises ``InvalidReply`` otherwise."""
    if wire(text, reply.fields, "out_trade_no") != key:
        raise InvalidReply(f"the reply is about another order than {key}")
    if wire(text, reply.fields, "mchid") not in ("", mchid):
        raise InvalidReply("the reply is about another merchant")
    return reply


def order(reply: Reply, key: str, mchid: str, amount: int | None, *, replayed: bool = False) -> Change:
    """How an order stands, from the reply to a charge or to a query.

    ``REFUND`` says that something was given back, not how much: it was taken, and the refunds are asked about.
    """
    state = wire(text, about(reply, key, mchid).fields, "trade_state")
    match state:
        case "SUCCESS" | "REFUND":
            return _paid(reply, amount, replayed=replayed)
        case "USERPAYING" | "ACCEPT":
            return waiting()
        case "NOTPAY":
            return Pending()
        case "PAYERROR":
            return Declined(reason=_REASON.DECLINED, code=state, message="the payment failed")
        case "CLOSED" | "REVOKED":
            was_paid = bool(wire(text, reply.fields, "transaction_id"))
            how = "closed after the money was given back" if was_paid else "closed unpaid"
            return Declined(reason=_REASON.CLOSED, code=state, message=how)
    raise InvalidReply(f"unknown trade_state {state[:32]!r}")


def _paid(reply: Reply, amount: int | None, *, replayed: bool) -> Done:
    money = wire(member, reply.fields, "amount")
    total = wire(number, money, "total")
    if total <= 0 or (amount is not None and total != amount):
        raise InvalidReply(f"the reply says {total} fen were asked, we asked {amount}")
    if wire(text, money, "currency") not in ("", "CNY"):
        raise InvalidReply("the reply is about another currency")
    trade_no = wire(text, reply.fields, "transaction_id")
    if not trade_no:
        raise InvalidReply("paid, says the reply, but it has no transaction_id")
    return Done(ref=trade_no, amount=total, facts=_shares(reply, total), replayed=replayed)


def _shares(reply: Reply, total: int) -> dict[str, Any]:
    """Who bore what: the customer's cash, WeChat Pay's, the merchant's and others' discounts."""
    money, parts = wire(member, reply.fields, "amount"), {"platform": 0, "merchant": 0, "other": 0}
    for promotion in wire(members, reply.fields, "promotion_detail"):
        for party, name in (("platform", "wechatpay"), ("merchant", "merchant"), ("other", "other")):
            parts[party] += wire(number, promotion, f"{name}_contribute")
    return {
        "customer_paid_amount": wire(number, money, "payer_total") if "payer_total" in money else total,
        "merchant_received_amount": total - parts["merchant"],
        "funding": [{"party": party, "amount": amount} for party, amount in parts.items() if amount],
    }


def waiting() -> Pending:
    """The customer has to type a password on the phone."""
    return Pending(next_action=NextAction(type=ActionType.AWAIT_PASSWORD))


def show_qr(qr_code: str, until: str) -> Pending:
    """The customer has to scan a code."""
    fields = {"qr_code": qr_code, "expires_at": until}
    return Pending(next_action=NextAction(type=ActionType.SHOW_QR, fields=fields), facts=fields)


def refund(reply: Reply, key: str, refund_no: str, amount: int | None) -> Change:
    """How a refund stands: accepted is not done.

    ``CLOSED``: it failed, and the money is the merchant's again. ``ABNORMAL``: the customer's account can't take it; it
    stays so until the merchant gives it another way in the merchant platform.
    """
    fields = reply.fields
    given = wire(number, wire(member, fields, "amount"), "refund")
    if (wire(text, fields, "out_refund_no"), wire(text, fields, "out_trade_no")) != (refund_no, key):
        raise InvalidReply("the reply is about another refund")
    if amount is not None and given != amount:
        raise InvalidReply(f"the reply says {given} fen are given back, we asked {amount}")
    ref = wire(text, fields, "refund_id")
    match wire(text, fields, "status"):
        case "SUCCESS":
            return Done(ref=ref, amount=given, facts=_refund_shares(fields), replayed=True)
        case "PROCESSING":
            return Pending(ref=ref, facts={"status": "PROCESSING"})
        case "ABNORMAL":
            advice = "the customer's account can't take it: choose another way in the merchant platform"
            return Pending(ref=ref, facts={"status": "ABNORMAL", "what_to_do": advice})
        case "CLOSED":
            return Declined(reason=_REASON.NOT_REFUNDABLE, code="CLOSED", message="the refund failed")
        case other:
            raise InvalidReply(f"unknown refund status {other[:32]!r}")


def _refund_shares(fields: Mapping[str, Any]) -> dict[str, int]:
    money = wire(member, fields, "amount")
    return {"customer_refunded_amount": wire(number, money, "payer_refund")} if "payer_refund" in money else {}


def statement_row(row: BillRow) -> StatementRow | None:
    """A bill row as ours; ``None`` for one that is neither a sale nor a refund, or a refund that failed.

    ``amount`` is the order's amount, as ``payment_charge`` gave it; what is settled is a fact. A reversed payment goes
    back under the order's own number: its row is marked ``REVERSED``.
    """
    failed = row.state == "REFUND" and row.refund_status in ("CLOSED", "FAIL")
    if failed or row.state not in ("SUCCESS", "REFUND", "REVOKED"):
        return None
    sale = row.state == "SUCCESS"
    reversed_ = row.state == "REVOKED"
    return StatementRow(
        kind="charge" if sale else "refund",
        ref=row.transaction_id if sale else row.refund_id or row.transaction_id,
        amount=row.total_amount if sale else -row.refund_total_amount,
        key=row.out_trade_no if sale or reversed_ else row.out_refund_no,
        original_ref="" if sale else row.transaction_id,
        fee_amount=row.fee_amount,
        at=row.at.replace(tzinfo=CHINA),
        status="REVERSED" if reversed_ else (row.refund_status or "SUCCESS"),
        facts={
            "out_trade_no": row.out_trade_no,
            "settled_amount": row.settled_amount if sale else -row.refund_settled_amount,
            "coupon_amount": row.coupon_amount,
            "device": row.device,
            "trade_type": row.trade_type,
        },
    )
