"""Requests of payments: charges, what is held, and what is given back."""

from __future__ import annotations

from typing import Any

from gateway.domain import payments
from gateway.engine.model import Phase
from gateway.engine.requests.parts import Parts, SecretGone, moment


class Payments(Parts):
    """Builders, one a hook or for hooks of one shape."""

    def _auth_code(self) -> Any:
        if self.params["method"] != payments.Method.PAYMENT_CODE or self.secrets is None:
            return None
        code = self.secrets.codes.get(self.leg.name)
        if code is None:
            raise SecretGone("the payment code is not kept; ask the customer for a new one")
        return code

    def charge(self) -> payments.Charge:
        return payments.Charge(
            amount=self.params["amount"],
            currency=self.currency,
            method=payments.Method(self.params["method"]),
            order_no=self.saga.number,
            subject=self.saga.doc.get("subject", self.saga.number),
            site=self.site,
            auth_code=self._auth_code(),
            expires_at=moment(self.saga.expires_at),
        )

    def authorize(self) -> payments.Authorize:
        charge = self.charge()
        return payments.Authorize(
            amount=charge.amount,
            currency=charge.currency,
            method=charge.method,
            order_no=charge.order_no,
            subject=charge.subject,
            site=charge.site,
            auth_code=charge.auth_code,
        )

    def reverse(self) -> payments.Reverse:
        return payments.Reverse(
            original=self.original(Phase.PAY), amount=self.params["amount"], currency=self.currency, site=self.site
        )

    def refund(self) -> payments.PaymentRefund:
        return payments.PaymentRefund(
            original=self.original(Phase.PAY),
            amount=self.params["amount"],
            charged_amount=self.params["charged_amount"] if "charged_amount" in self.params else self.params["amount"],
            currency=self.currency,
            reason=self.saga.doc.get("reason", ""),
            site=self.site,
        )

    def capture(self) -> payments.Capture:
        return payments.Capture(
            original=self.given(self.params["authorisation"]),
            amount=self.params["amount"],
            held_amount=self.params["held_amount"],
            currency=self.currency,
            site=self.site,
        )

    def release(self) -> payments.Release:
        return payments.Release(
            original=self.original(Phase.PAY), amount=self.params["amount"], currency=self.currency, site=self.site
        )
