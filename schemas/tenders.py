"""Tenders: one schema for each method, chosen by ``method``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, fields

from schemas.fields import Amount, Listed, Request, Resource, Text, Whole, Word

_CODE = re.compile(r"[0-9]{6,32}\Z")
CODE = re.compile(r"[0-9A-Za-z._-]{1,64}\Z")
DEPOSIT = re.compile(r"dep_[0-9A-Z]{26}\Z")
CHANNEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")


class _Tender(Request):
    amount = Amount(1, metadata={"description": "in minor units; the last tender without one takes what is left"})


class PaymentCodeTender(_Tender):
    """A code that the customer shows: single use even when it fails, and never stored. Its first digits and its length
    say whose it is; the merchant's file may know more kinds than the big wallets'."""

    method = Word("payment_code", required=True)
    auth_code = Text(6, 32, _CODE, required=True, metadata={"expected": "must be 6 to 32 digits"})


class PaymentCodeMeant(_Tender):
    """A payment code that is meant: the quote needs no code yet."""

    method = Word("payment_code", required=True)


class QrCodeTender(_Tender):
    """A code that the customer scans."""

    method = Word("qr_code", required=True)
    channel = Text(1, 32, CHANNEL, metadata={"description": "the wallet, where several are connected"})


class BankCardTender(_Tender):
    """A card at a terminal: no card data comes here."""

    method = Word("bank_card", required=True)
    channel = Text(1, 32, CHANNEL)
    terminal_id = Text(metadata={"description": "the terminal, where it is not the operator's"})


class DepositTender(_Tender):
    """Money held before."""

    method = Word("deposit", required=True)
    deposit_id = Text(30, 30, DEPOSIT, data_key="id", required=True, metadata={"expected": "must be a deposit's id"})


class StoredValueTender(_Tender):
    """The member's stored value."""

    method = Word("stored_value", required=True)
    account = Text(metadata={"description": "the member's id, if it is said: no other account is drawn on"})


class RedEnvelopeTender(_Tender):
    """Money that was given to the customer, drawn on by its code."""

    method = Word("red_envelope", required=True)
    code = Text(1, 64, CODE, required=True)


class GiftCardTender(_Tender):
    """A gift card, drawn on by its code."""

    method = Word("gift_card", required=True)
    code = Text(1, 64, CODE, required=True)


class VoucherTender(_Tender):
    """A voucher that pays by its face value: ``count`` uses of it."""

    method = Word("voucher", required=True)
    code = Text(1, 64, CODE, required=True)
    count = Whole(1, 100)


class CashTender(_Tender):
    """Cash in the till."""

    method = Word("cash", required=True)


class OnAccountTender(_Tender):
    """Put on the customer's account at the till; where the house is the till, on the member's, up to its limit."""

    method = Word("on_account", required=True)


def _by_method(*schemas: type[Request]) -> dict[str, Request]:
    made = [schema() for schema in schemas]
    return {next(iter(schema.fields["method"].words)): schema for schema in made}  # type: ignore[attr-defined]


_OTHERS: tuple[type[Request], ...] = (
    QrCodeTender,
    BankCardTender,
    DepositTender,
    StoredValueTender,
    RedEnvelopeTender,
    GiftCardTender,
    VoucherTender,
    CashTender,
    OnAccountTender,
)
#: The tenders of a checkout, of a quote (what is meant), and those by which a deposit is paid.
FULL = _by_method(PaymentCodeTender, *_OTHERS)
MEANT = _by_method(PaymentCodeMeant, *_OTHERS)
FOR_DEPOSITS = _by_method(PaymentCodeTender, QrCodeTender, BankCardTender, CashTender)


class TenderField(fields.Field[dict[str, Any]]):
    """One tender of any method out of ``family``."""

    def __init__(self, family: dict[str, Request], **kwargs: Any) -> None:
        self.family = family
        super().__init__(**kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValidationError("must be an object")
        method = value.get("method")
        schema = self.family.get(method) if type(method) is str else None
        if schema is None:
            raise ValidationError({"method": [f"must be one of: {', '.join(self.family)}"]})
        loaded: dict[str, Any] = schema.load(value)
        return loaded


class AddTender(Request):
    """The body of ``POST …/tenders`` is one tender by itself: the method's schema loads all of it."""

    example: ClassVar[dict[str, Any]] = {"method": "payment_code", "auth_code": "281234567890123456"}

    one = TenderField(FULL)

    def load(self, data: Any, **kwargs: Any) -> Any:
        """The tender. Raises ``ValidationError``."""
        return self.fields["one"].deserialize(data)


def tenders(family: dict[str, Request], **kwargs: Any) -> Listed:
    """A list of tenders, in the order in which they are to pay."""
    return Listed(TenderField(family), 0, 20, **kwargs)


class Decline(Resource):
    """Why a tender does not pay."""

    reason = Text(
        required=True,
        metadata={"description": "as in a failure; `unavailable`: nothing left us, `undecided`: closed unanswered"},
    )
    code = fields.String(required=True, metadata={"description": "the far system's own code"})
    message = fields.String(required=True)


class TenderView(Resource):
    """A tender as it stands."""

    id = Text(required=True)
    method = Text(required=True)
    channel = fields.String(required=True)
    amount = Amount(required=True)
    status = Word(
        "planned",
        "processing",
        "pending",
        "paid",
        "declined",
        "reversed",
        "unknown",
        "not_taken",
        "at_till",
        required=True,
    )
    channel_ref = fields.String(required=True)
    decline = fields.Nested(Decline, metadata={"description": "why it does not pay, where it was refused or given up"})


__all__ = ["FOR_DEPOSITS", "FULL", "MEANT", "AddTender", "TenderField", "TenderView", "tenders"]
