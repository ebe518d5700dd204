"""The platform's words and ours: certificates as coupons, results as declines, history as statement rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from gateway.sdk import Counts, Coupon, CouponKind, Declined, DeclineReason, OutcomeUnknown, StatementRow
from plugins.groupbuy.protocol import (
    ALREADY_CANCELLED,
    CANCEL_TOO_LATE,
    CODE_EXPIRED,
    CODE_UNKNOWN,
    COUNT_DIFFERS,
    NONE_USABLE,
    NOT_AT_POI,
    RESULT_EXPIRED,
    RESULT_NOT_AT_POI,
    RESULT_REFUNDED,
    RESULT_USED,
    UNUSED,
    USED,
    VERIFY_UNKNOWN,
    Certificate,
    Deal,
    Record,
    Reply,
    Result,
)

_REASON = DeclineReason

PREPARE_DECLINES: Mapping[int, DeclineReason] = {
    CODE_UNKNOWN: _REASON.COUPON_UNKNOWN,
    NONE_USABLE: _REASON.COUPON_EXHAUSTED,
    NOT_AT_POI: _REASON.COUPON_NOT_APPLICABLE,
    CODE_EXPIRED: _REASON.COUPON_EXPIRED,
}
RESULT_DECLINES: Mapping[int, DeclineReason] = {
    RESULT_USED: _REASON.COUPON_EXHAUSTED,
    RESULT_EXPIRED: _REASON.COUPON_EXPIRED,
    RESULT_REFUNDED: _REASON.COUPON_EXHAUSTED,
    RESULT_NOT_AT_POI: _REASON.COUPON_NOT_APPLICABLE,
}
CANCEL_DECLINES: Mapping[int, DeclineReason] = {
    VERIFY_UNKNOWN: _REASON.NOT_FOUND,
    CANCEL_TOO_LATE: _REASON.TOO_LATE,
    COUNT_DIFFERS: _REASON.AMOUNT_MISMATCH,
    ALREADY_CANCELLED: _REASON.CLOSED,
}


def refused(reply: Reply, reasons: Mapping[int, DeclineReason]) -> Declined:
    """The decline that a refused call means. Raises ``OutcomeUnknown`` for a code that is not listed."""
    reason = reasons.get(reply.code)
    if reason is None:
        raise OutcomeUnknown(f"{reply.code} {reply.message} (logid {reply.logid})")
    return Declined(reason=reason, code=str(reply.code), message=reply.message)


def not_redeemed(result: Result) -> Declined:
    """The decline that one certificate's result means. Raises ``OutcomeUnknown`` for one that is not listed."""
    reason = RESULT_DECLINES.get(result.result)
    if reason is None:
        raise OutcomeUnknown(f"a certificate's result is {result.result} {result.message}")
    return Declined(reason=reason, code=f"result {result.result}", message=result.message)


def package_sku(deal: Deal, packages: Mapping[str, str]) -> str:
    """The local package of a deal, by the platform's number of it or the one that was entered there."""
    return packages.get(deal.sku_id) or packages.get(deal.third_sku_id) or deal.third_sku_id


def coupon(code: str, certificates: tuple[Certificate, ...], now: datetime, packages: Mapping[str, str]) -> Coupon:
    """An order's certificates as one coupon with counts; certificates given back count as initial alone.

    Amounts are those of one certificate. ``platform_funded_amount`` is what the platform gave to the customer's price.
    """
    first = next((item for item in certificates if item.status == UNUSED), certificates[0])
    usable = [item for item in certificates if item.status == UNUSED and item.expire_time > now.timestamp()]
    used = sum(item.status == USED for item in certificates)
    amounts = first.amounts
    terms = {"face_amount": amounts.original, "sold_amount": amounts.sold, "no_change": True}
    return Coupon(
        code=code,
        kind=CouponKind.GROUP_BUY,
        template=first.deal.sku_id,
        title=first.deal.title,
        counts=Counts(initial=len(certificates), available=len(usable), held=0, used=used),
        expires_at=datetime.fromtimestamp(first.expire_time, UTC),
        usable=bool(usable),
        terms=terms,
        facts={
            "deal_id": first.deal.sku_id,
            "package_sku": package_sku(first.deal, packages),
            "order_id": first.order_id,
            "platform_funded_amount": amounts.platform_ticket,
            "deal_kind": {1: "set", 2: "voucher", 3: "pass"}.get(first.deal.kind, "other"),
        },
    )


def unusable(code: str, reason: DeclineReason) -> Coupon:
    """A code that exists, and has nothing left to use here now."""
    counts = Counts(initial=1, available=0)
    return Coupon(code=code, kind=CouponKind.GROUP_BUY, counts=counts, usable=False, facts={"reason": reason.value})


def statement_rows(records: Iterable[Record]) -> list[StatementRow]:
    """The history as rows: one a redemption, counting its certificates, and one more if it was taken back."""
    together: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        together[record.verify_id].append(record)
    rows = []
    for mine in together.values():
        rows.append(_row(mine, 1))
        if mine[0].cancel_time:
            rows.append(_row(mine, -1))
    return rows


def _row(records: list[Record], sign: int) -> StatementRow:
    first, taken = records[0], sign > 0
    return StatementRow(
        kind="redeem" if taken else "reverse",
        ref=first.verify_id if taken else first.cancel_token,
        amount=sign * len(records),
        key=_key(first.device if taken else first.cancel_token),
        original_ref="" if taken else first.verify_id,
        fee_amount=sign * sum(record.fee for record in records),
        at=datetime.fromtimestamp(first.verify_time if taken else first.cancel_time, UTC),
        status="CANCELLED" if first.cancel_time else "VERIFIED",
        facts={
            "deal_id": first.deal.sku_id,
            "poi_id": first.poi_id,
            "account": first.account,
            "code_tails": [record.code_tail for record in records],
            "face_amount": sum(record.amounts.original for record in records),
            "sold_amount": sum(record.amounts.sold for record in records),
        },
    )


def _key(text: str) -> str:
    """Our key, if that is what a free text of the platform's history holds."""
    return text if len(text) == 26 and text.isascii() and text.isalnum() and text == text.upper() else ""
