"""What a change at a far system came to: done, declined or pending; a query may also find nothing.

The fourth possibility, *unknown*, is never returned: it is the exception ``OutcomeUnknown``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class DeclineReason(StrEnum):
    """Why a system refused for good. Map only codes you know; anything else is ``OutcomeUnknown``."""

    DECLINED = "declined"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    CODE_INVALID = "code_invalid"
    CODE_EXPIRED = "code_expired"
    LIMIT_EXCEEDED = "limit_exceeded"
    CLOSED = "closed"
    MEMBER_UNKNOWN = "member_unknown"
    INSUFFICIENT_POINTS = "insufficient_points"
    INSUFFICIENT_VALUE = "insufficient_value"
    COUPON_UNKNOWN = "coupon_unknown"
    COUPON_EXPIRED = "coupon_expired"
    COUPON_EXHAUSTED = "coupon_exhausted"
    COUPON_NOT_APPLICABLE = "coupon_not_applicable"
    OUT_OF_STOCK = "out_of_stock"
    SLOT_TAKEN = "slot_taken"
    BILL_CHANGED = "bill_changed"
    BILL_CLOSED = "bill_closed"
    NOT_FOUND = "not_found"
    NOT_REFUNDABLE = "not_refundable"
    TOO_LATE = "too_late"
    AMOUNT_MISMATCH = "amount_mismatch"
    SESSION_STATE = "session_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """It happened, once.

    ``ref`` is the far system's own number. ``amount`` is what really moved, in minor units, where money, points or
    value moved; it is compared with what was asked. ``facts`` is JSON that is journalled and handed back to the undo
    and the query as ``Original.facts`` (a voucher number, a verify token). ``result`` is the family's typed record, if
    the hook's docstring names one. ``replayed`` says that an earlier attempt had already done it.
    """

    ref: str = ""
    amount: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """Refused for good, with nothing changed. ``code`` and ``message`` are the far system's own words."""

    reason: DeclineReason = DeclineReason.DECLINED
    code: str = ""
    message: str = ""


class ActionType(StrEnum):
    """What a person has to do next."""

    SHOW_QR = "show_qr"
    AWAIT_PASSWORD = "await_password"  # noqa: S105 - a customer's action, not a secret
    ADD_TENDER = "add_tender"
    ASK_CASHIER = "ask_cashier"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextAction:
    """What a person has to do next, with its fields (``qr_code`` for ``show_qr``, ``slip_no`` for ``ask_cashier``)."""

    type: ActionType
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Accepted and not yet decided: ask again. ``next_action`` is what a person must do, if anybody must."""

    ref: str = ""
    next_action: NextAction | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """A query found nothing. ``final`` only if the system guarantees that it can no longer happen."""

    final: bool = False


Change = Done | Declined | Pending
Answer = Done | Declined | Pending | NotFound
