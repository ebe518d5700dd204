"""What the simulated processor does: intents, refunds, movements. Amounts as the processor counts them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from plugins.stripe.simulator_ledger import Ledger

MOST = 99_999_999
FEE_BP = 290
#: What cards do: the decline code, or "" where the card pays; ``action`` asks the customer first.
CARDS: Mapping[str, str] = {
    "pm_card_visa": "",
    "pm_card_visa_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_authenticationRequired": "action",
    "pm_card_slow": "processing",
}
_THREE = ("bhd", "jod", "kwd", "omr", "tnd")
_HUNDREDS = ("isk", "ugx")

Object = dict[str, Any]


class Refused(Exception):
    """An error as the processor answers it."""

    def __init__(self, status: int, code: str, message: str, kind: str = "invalid_request_error", **more: Any) -> None:
        super().__init__(code)
        self.status, self.error = status, {"type": kind, "code": code, "message": message, **more}


class Account:
    """One account's objects."""

    def __init__(self, ledger: Ledger, now: Callable[[], float], event: Callable[[str, Object], None]) -> None:
        self.ledger, self._now, self._event = ledger, now, event

    # -- intents -----------------------------------------------------------------------------------------------------

    def create(self, values: Mapping[str, Any]) -> Object:
        amount, currency = self._amount(values), str(values.get("currency", "")).lower()
        if len(currency) != 3 or currency == "xts":
            raise Refused(400, "parameter_invalid_string", "Invalid currency", param="currency")
        if (currency in _THREE and amount % 10) or (currency in _HUNDREDS and amount % 100):
            raise Refused(400, "parameter_invalid_integer", "Invalid decimals for this currency", param="amount")
        method = values.get("payment_method")
        if method is not None and self._card(str(method)) is None:
            raise Refused(400, "resource_missing", f"No such PaymentMethod: '{method}'", param="payment_method")
        intent = {
            "id": f"pi_{secrets.token_hex(12)}",
            "object": "payment_intent",
            "amount": amount,
            "currency": currency,
            "status": "requires_confirmation" if method else "requires_payment_method",
            "payment_method": method,
            "metadata": dict(values.get("metadata") or {}),
            "created": int(self._now()),
            "latest_charge": None,
            "last_payment_error": None,
        }
        return self.ledger.put(intent)

    def _amount(self, values: Mapping[str, Any]) -> int:
        text = str(values.get("amount", ""))
        if not (text.isascii() and text.isdigit()) or int(text) < 1:
            raise Refused(400, "parameter_invalid_integer", "Invalid positive integer", param="amount")
        if int(text) > MOST:
            raise Refused(400, "amount_too_large", "Amount must be no more than 999,999.99", param="amount")
        return int(text)

    def _card(self, method: str) -> str | None:
        if method in CARDS:
            return CARDS[method]
        made = self.ledger.get("payment_method", method)
        return None if made is None else str(made["does"])

    def intent(self, number: str) -> Object:
        found = self.ledger.get("payment_intent", number)
        if found is None:
            raise Refused(404, "resource_missing", f"No such payment_intent: '{number}'", param="intent")
        return found

    def confirm(self, number: str, values: Mapping[str, Any]) -> Object:
        intent = self.intent(number)
        if intent["status"] != "requires_confirmation":
            raise self._state(intent, "confirm")
        does = self._card(str(intent["payment_method"])) or ""
        if does in ("action", "processing"):
            intent["status"] = "requires_action" if does == "action" else "processing"
            return self.ledger.put(intent)
        if does:
            return self._decline(intent, does)
        return self.pay(intent)

    def _state(self, intent: Object, what: str) -> Refused:
        text = f"You cannot {what} this PaymentIntent because it has a status of {intent['status']}."
        return Refused(400, "payment_intent_unexpected_state", text)

    def _decline(self, intent: Object, why: str) -> Object:
        code = "expired_card" if why == "expired_card" else "card_declined"
        error = {"type": "card_error", "code": code, "decline_code": why, "message": "Your card was declined."}
        self.ledger.put(
            {**intent, "status": "requires_payment_method", "payment_method": None, "last_payment_error": error}
        )
        self._event("payment_intent.payment_failed", self.intent(intent["id"]))
        raise Refused(402, code, "Your card was declined.", "card_error", decline_code=why)

    def pay(self, intent: Object) -> Object:
        """The money comes: a charge and a movement."""
        charge = self.ledger.put(
            {
                "id": f"ch_{secrets.token_hex(12)}",
                "object": "charge",
                "amount": intent["amount"],
                "amount_refunded": 0,
                "currency": intent["currency"],
                "payment_intent": intent["id"],
                "metadata": intent["metadata"],
                "created": int(self._now()),
            }
        )
        fee = (intent["amount"] * FEE_BP + 5000) // 10_000
        self._move("charge", charge, intent["amount"], fee)
        paid = self.ledger.put({**intent, "status": "succeeded", "latest_charge": charge["id"]})
        self._event("payment_intent.succeeded", paid)
        return paid

    def cancel(self, number: str, values: Mapping[str, Any]) -> Object:
        intent = self.intent(number)
        if intent["status"] in ("succeeded", "canceled", "processing"):
            raise self._state(intent, "cancel")
        return self.ledger.put({**intent, "status": "canceled"})

    # -- refunds -----------------------------------------------------------------------------------------------------

    def refund(self, values: Mapping[str, Any]) -> Object:
        intent = self.intent(str(values.get("payment_intent", "")))
        charge = self.ledger.get("charge", str(intent["latest_charge"]))
        if charge is None:
            raise Refused(
                400, "payment_intent_unexpected_state", "This PaymentIntent does not have a successful charge."
            )
        left = charge["amount"] - charge["amount_refunded"]
        amount = self._amount(values) if "amount" in values else left
        if not left:
            raise Refused(400, "charge_already_refunded", "Charge has already been refunded.")
        if amount > left:
            raise Refused(400, "amount_too_large", "Refund amount is greater than unrefunded amount", param="amount")
        self.ledger.put({**charge, "amount_refunded": charge["amount_refunded"] + amount})
        made = self.ledger.put(
            {
                "id": f"re_{secrets.token_hex(12)}",
                "object": "refund",
                "amount": amount,
                "currency": charge["currency"],
                "charge": charge["id"],
                "payment_intent": intent["id"],
                "metadata": dict(values.get("metadata") or {}),
                "status": "succeeded",
                "created": int(self._now()),
            }
        )
        self._move("refund", made, -amount, 0)
        self._event("refund.created", made)
        return made

    def refunds(self, query: Mapping[str, Any]) -> Object:
        intent = query.get("payment_intent")
        return _page(query, [each for each in self.ledger.all("refund") if intent in (None, each["payment_intent"])])

    # -- movements ---------------------------------------------------------------------------------------------------

    def _move(self, kind: str, source: Object, amount: int, fee: int) -> None:
        movement = {"id": f"txn_{secrets.token_hex(12)}", "object": "balance_transaction", "type": kind}
        money = {"amount": amount, "fee": fee, "net": amount - fee, "currency": source["currency"]}
        self.ledger.put({**movement, **money, "source": source["id"], "created": int(self._now())})

    def movements(self, query: Mapping[str, Any]) -> Object:
        created = query.get("created") or {}
        begin, end = int(created.get("gte", 0)), int(created.get("lt", 1 << 40))
        rows = [each for each in self.ledger.all("balance_transaction") if begin <= each["created"] < end]
        page = _page(query, rows)
        if "data.source" in _listed(query.get("expand")):
            page["data"] = [{**each, "source": self._source(each["source"])} for each in page["data"]]
        return page

    def _source(self, number: str) -> Object | None:
        return self.ledger.get("charge" if number.startswith("ch_") else "refund", number)

    def balance(self) -> Object:
        sums: dict[str, int] = {}
        for each in self.ledger.all("balance_transaction"):
            sums[each["currency"]] = sums.get(each["currency"], 0) + each["net"]
        return {"object": "balance", "available": [{"currency": name, "amount": sums[name]} for name in sorted(sums)]}


def _listed(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else []


def _page(query: Mapping[str, Any], rows: list[Object]) -> Object:
    limit, after = int(query.get("limit", 10)), query.get("starting_after")
    numbers = [each["id"] for each in rows]
    begin = numbers.index(after) + 1 if after in numbers else 0
    return {"object": "list", "data": rows[begin : begin + limit], "has_more": len(rows) > begin + limit}
