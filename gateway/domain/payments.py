"""Requests of the payments family. Amounts in minor units (fen)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.domain.common import Original, Secret, Site


class Method(StrEnum):
    """How a tender is paid; which family serves it follows from the method."""

    PAYMENT_CODE = "payment_code"
    QR_CODE = "qr_code"
    BANK_CARD = "bank_card"
    DEPOSIT = "deposit"
    STORED_VALUE = "stored_value"
    RED_ENVELOPE = "red_envelope"
    GIFT_CARD = "gift_card"
    VOUCHER = "voucher"
    CASH = "cash"
    ON_ACCOUNT = "on_account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Take ``amount`` from a customer. ``auth_code`` only for ``payment_code``; single use, never stored."""

    amount: int
    currency: str
    method: Method
    order_no: str
    subject: str
    site: Site
    auth_code: Secret | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverse:
    """Undo a whole charge, whatever became of it: close it if unpaid, give the money back if paid.

    ``site`` is the charge's own, its business date too.
    """

    original: Original
    amount: int
    currency: str
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefund:
    """Give ``amount`` of a charge of ``charged_amount`` back; ``site`` has the date on which that is done."""

    original: Original
    amount: int
    charged_amount: int
    currency: str
    reason: str
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorize:
    """Hold ``amount`` without taking it (a deposit)."""

    amount: int
    currency: str
    method: Method
    order_no: str
    subject: str
    site: Site
    auth_code: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Take ``amount`` of a held ``held_amount``; what is left is released by ``payment_release``."""

    original: Original
    amount: int
    held_amount: int
    currency: str
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Let go of ``amount`` still held."""

    original: Original
    amount: int
    currency: str
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Settle a terminal's batch: what we counted, compared with what the host counted."""

    site: Site
    sale_count: int
    sale_amount: int
    refund_count: int
    refund_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareReceiver:
    """One receiver of shared profit."""

    account: str
    amount: int
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Share a settled charge among receivers."""

    original: Original
    receivers: tuple[ShareReceiver, ...]
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareReturn:
    """Take a share back before the charge is refunded."""

    original: Original
    receiver: ShareReceiver
    site: Site
