"""Theirs and ours: what an intent, a refund and a refusal mean."""

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
    OutcomeUnknown,
    ParseError,
    Pending,
    StatementRow,
)
from plugins.stripe.client import Refusal
from plugins.stripe.protocol import field, from_units

#: Codes with which a card's bank or the processor refuses for good.
DECLINES: Mapping[str, DeclineReason] = {
    "card_declined": DeclineReason.DECLINED,
    "generic_decline": DeclineReason.DECLINED,
    "do_not_honor": DeclineReason.DECLINED,
    "lost_card": DeclineReason.DECLINED,
    "stolen_card": DeclineReason.DECLINED,
    "fraudulent": DeclineReason.DECLINED,
    "incorrect_cvc": DeclineReason.DECLINED,
    "payment_intent_authentication_failure": DeclineReason.DECLINED,
    "insufficient_funds": DeclineReason.INSUFFICIENT_FUNDS,
    "expired_card": DeclineReason.CODE_EXPIRED,
    "card_velocity_exceeded": DeclineReason.LIMIT_EXCEEDED,
    "amount_too_large": DeclineReason.LIMIT_EXCEEDED,
    "amount_too_small": DeclineReason.LIMIT_EXCEEDED,
    "resource_missing": DeclineReason.CODE_INVALID,
}
REFUND_DECLINES: Mapping[str, DeclineReason] = {
    "charge_already_refunded": DeclineReason.NOT_REFUNDABLE,
    "amount_too_large": DeclineReason.NOT_REFUNDABLE,
    "charge_disputed": DeclineReason.NOT_REFUNDABLE,
    "resource_missing": DeclineReason.NOT_FOUND,
}
_WAITING = ("requires_confirmation", "processing", "requires_capture")


def declined(refusal: Refusal, listed: Mapping[str, DeclineReason] = DECLINES) -> Declined:
    """A refusal that is listed. Raises ``OutcomeUnknown`` for any other."""
    for code in (refusal.decline, refusal.code):
        if code in listed:
            return Declined(reason=listed[code], code=code, message=refusal.message)
    raise OutcomeUnknown(f"the processor answers {refusal.status} {refusal.kind} {refusal.code}")


def checked(found: Mapping[str, Any], key: str, amount: int, currency: str, identity: str = "") -> Mapping[str, Any]:
    """An intent or a refund that is ours: its number, our key, amount and currency. Raises ``InvalidReply``."""
    try:
        number, told = field(found, "id", str), from_units(field(found, "amount", int), currency)
        ours = field(found, "metadata", dict).get("key"), field(found, "currency", str)
    except ParseError as error:
        raise InvalidReply(f"the processor's object: {error}") from None
    if (identity and number != identity) or ours != (key, currency.lower()) or told != amount:
        raise InvalidReply("the processor answers about another payment, amount or currency")
    return found


def intent(found: Mapping[str, Any], amount: int) -> Answer:
    """What an intent's state says of the charge."""
    number, status = str(found["id"]), found.get("status")
    if status == "succeeded":
        return Done(ref=number, amount=amount, facts={"intent": number})
    if status == "canceled":
        return Declined(reason=DeclineReason.CLOSED, code="canceled", message="the intent is cancelled")
    if status == "requires_action":
        return Pending(ref=number, facts={"intent": number}, next_action=NextAction(type=ActionType.AWAIT_PASSWORD))
    if status == "requires_payment_method":
        error = found.get("last_payment_error") or {}
        codes = [str(error.get(name) or "") for name in ("decline_code", "code")]
        known = next((code for code in codes if code in DECLINES), "")
        return Declined(reason=DECLINES.get(known, DeclineReason.DECLINED), code=known or "declined")
    if status in _WAITING:
        return Pending(ref=number, facts={"intent": number})
    raise InvalidReply(f"an intent that is {status!r}")


def refund(found: Mapping[str, Any], amount: int, *, replayed: bool = False) -> Done | Declined | Pending:
    """What a refund's state says."""
    number, status = str(found["id"]), found.get("status")
    if status == "succeeded":
        return Done(ref=number, amount=amount, facts={"refund": number}, replayed=replayed)
    if status in ("failed", "canceled"):
        return Declined(reason=DeclineReason.NOT_REFUNDABLE, code=str(found.get("failure_reason") or status))
    return Pending(ref=number)


def statement_row(found: Mapping[str, Any], when: Any) -> StatementRow | None:
    """A movement on the account as a row; ``None`` for payouts and the like. Raises ``ParseError``."""
    kind, source = field(found, "type", str), found.get("source")
    if kind not in ("charge", "payment", "refund", "payment_refund"):
        return None
    source = source if isinstance(source, Mapping) else {"id": str(source or "")}
    currency = field(found, "currency", str).upper()
    metadata = source.get("metadata") or {}
    owner = str(source.get("payment_intent") or source.get("id"))
    back = kind.endswith("refund")
    return StatementRow(
        kind="refund" if back else "charge",
        ref=str(source.get("id")) if back else owner,
        amount=from_units(field(found, "amount", int), currency),
        key=str(metadata.get("key") or ""),
        original_ref=owner if back else "",
        fee_amount=from_units(field(found, "fee", int), currency) if "fee" in found else 0,
        at=when(field(found, "created", int)),
        facts={"transaction": str(found.get("id")), "currency": currency},
    )
