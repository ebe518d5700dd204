"""The platform's words and ours: codes as coupons, refusals as declines, the log as statement rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from gateway.sdk import Counts, Coupon, Declined, DeclineReason, OutcomeUnknown, Site, StatementRow
from plugins.evoucher.protocol import (
    ALREADY_REVERSED,
    CODE_UNKNOWN,
    CONSUMED,
    EXPIRED,
    NOT_BEGUN,
    NOT_ENOUGH,
    NUM_DIFFERS,
    ORDER_CLOSED,
    REFUNDING,
    SENT,
    SERIAL_UNKNOWN,
    Operation,
    Order,
    Reply,
)

_REASON = DeclineReason
CONSUME_DECLINES: Mapping[str, DeclineReason] = {
    CODE_UNKNOWN: _REASON.COUPON_UNKNOWN,
    NOT_ENOUGH: _REASON.COUPON_EXHAUSTED,
    REFUNDING: _REASON.COUPON_EXHAUSTED,
    ORDER_CLOSED: _REASON.COUPON_EXHAUSTED,
    EXPIRED: _REASON.COUPON_EXPIRED,
    NOT_BEGUN: _REASON.COUPON_NOT_APPLICABLE,
}
REVERSE_DECLINES: Mapping[str, DeclineReason] = {
    SERIAL_UNKNOWN: _REASON.NOT_FOUND,
    NUM_DIFFERS: _REASON.AMOUNT_MISMATCH,
    ALREADY_REVERSED: _REASON.CLOSED,
    ORDER_CLOSED: _REASON.CLOSED,
}


def refused(reply: Reply, reasons: Mapping[str, DeclineReason]) -> Declined:
    """The decline that a refused call means. Raises ``OutcomeUnknown`` for a code that is not listed."""
    reason = reasons.get(reply.error)
    if reason is None:
        raise OutcomeUnknown(f"{reply.error} {reply.message}")
    return Declined(reason=reason, code=reply.error, message=reply.message)


def coupon(order: Order, item: Mapping[str, Any], now: datetime, *, known: bool) -> Coupon:
    """One code with its four numbers. ``known``: whether we have the order's token, without which it can't be used.

    ``held`` are the uses whose money the customer has asked for at the platform. Amounts are those of one use.
    """
    code = order.codes[0]
    sold = order.total_fee // order.num if order.num else 0
    terms = {"face_amount": item["face_amount"], "sold_amount": sold, "no_change": item["no_change"]}
    if item["platform_fee_bp"]:
        terms["platform_fee_bp"] = item["platform_fee_bp"]
    usable = known and order.state == SENT and code.left > 0 and order.valid_start <= now <= order.valid_end
    return Coupon(
        code=code.code,
        kind=item["kind"],
        template=order.item,
        title=order.title,
        counts=Counts(initial=code.num, available=code.left, held=code.locked, used=code.used),
        expires_at=order.valid_end,
        usable=usable,
        terms=terms,
        facts={"order_id": order.order_id, "package_sku": item["sku"], "deal_id": order.item},
    )


def posid(site: Site) -> str:
    """Shop and till, as the platform's log keeps them: at most 64 characters of a-zA-Z0-9_."""
    text = f"{site.store_id}_{site.till_id}".strip("_")
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)[:64]


def statement_rows(log: Iterable[Operation]) -> tuple[StatementRow, ...]:
    """The log as rows, counting uses: one a use under its serial number, one more, negative, for its reversal."""
    return tuple(_row(line) for line in log)


def _row(line: Operation) -> StatementRow:
    taken = line.kind == CONSUMED
    return StatementRow(
        kind="redeem" if taken else "reverse",
        ref=line.serial_num if taken else str(line.number),
        amount=line.num if taken else -line.num,
        key=_key(line.serial_num if taken else line.posid),
        original_ref="" if taken else line.serial_num,
        at=line.at,
        status="CONSUMED" if taken else "REVERSED",
        facts={"order_id": line.order_id, "code_tail": line.code_tail, "posid": line.posid, "deal_id": line.item},
    )


def _key(text: str) -> str:
    """Our key, if that is what a free text of the platform's log holds."""
    return text if len(text) == 26 and text.isascii() and text.isalnum() and text == text.upper() else ""
