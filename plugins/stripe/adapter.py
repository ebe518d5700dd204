"""The adapter of a processor of Stripe's kind: payment intents, refunds, the account's movements, webhooks.

An intent is created first, which moves nothing, and its number noted; then it is confirmed. So whatever is lost on
the way, the number is known before money can move, and everything can be asked for by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    Change,
    Charge,
    Context,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    Method,
    NotFound,
    Notice,
    NoticeRequest,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    Page,
    ParseError,
    PaymentRefund,
    Pending,
    Query,
    Reverse,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)
from plugins.stripe import mapping
from plugins.stripe.client import Refusal, StripeClient
from plugins.stripe.protocol import read_webhook, to_units
from plugins.stripe.settings import StripeSettings

CURRENCIES = ("CNY", "HKD", "TWD", "SGD", "USD", "EUR", "GBP", "JPY", "KRW", "VND", "CLP", "ISK", "UGX", "KWD", "BHD")
PAGE = 100
_METHOD = re.compile(r"pm_[0-9A-Za-z_]{3,60}")
_INTENT = re.compile(r"pi_[0-9A-Za-z_]{3,80}")
_DAY = 86_400


class StripeAdapter(Adapter):
    """See the module; README.md says what each hook sends and what the processor cannot."""

    name: ClassVar[str] = "stripe"
    Settings = StripeSettings
    about: ClassVar[AdapterTraits] = AdapterTraits(currencies=CURRENCIES, max_parallel=16)
    traits: ClassVar[Mapping[str, Traits]] = {
        "payment_charge": Traits(idempotent=True, idempotent_for_s=_DAY, poll_every_s=4, close_after_s=120),
        "payment_reverse": Traits(idempotent=True, idempotent_for_s=_DAY, tombstone=True, partial=False),
        "payment_refund": Traits(idempotent=True, idempotent_for_s=_DAY, poll_every_s=5),
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._client, self._store = StripeClient(context), context.store

    def check(self) -> None:
        """Read the balance: that proves address and key."""
        try:
            found = self._client.get("/v1/balance", self._query_s)
        except OutcomeUnknown as error:
            raise NotSent(f"the processor at endpoint does not answer: {error}") from None
        if isinstance(found, Refusal):
            raise NotSent(f"the processor at endpoint refuses: {found.status} {found.code}")

    # -- charge ------------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        units, method = self._accepted(request)
        known = str(self._store.get(f"intent/{call.key}") or "")
        if known and call.attempt > 1:
            earlier = self._charge_state(known, call.key, request, self._seconds(call))
            if not isinstance(earlier, Pending) or earlier.next_action is not None:
                return earlier
        closed = Declined(reason=DeclineReason.CLOSED, message="closed before it was confirmed")
        if self._store.get(f"closed/{call.key}"):
            return closed
        number = known or self._created(request, units, method, call)
        if isinstance(number, Declined):
            return number
        if self._store.get(f"closed/{call.key}"):  # meanwhile, by another process
            return closed
        return self._confirmed(request, number, call)

    def _accepted(self, request: Charge) -> tuple[int, str]:
        """Amount and payment method as the processor takes them. Raises ``NotSupported`` before anything is sent."""
        if request.currency not in CURRENCIES or request.amount <= 0:
            raise NotSupported(f"this connection takes no {request.amount} {request.currency}")
        given = request.auth_code.reveal() if request.auth_code is not None else ""
        if request.method is not Method.BANK_CARD or not _METHOD.fullmatch(given):
            raise NotSupported("a card is paid with by the processor's token (pm_…); card numbers are refused")
        try:
            return to_units(request.amount, request.currency), given
        except ValueError as error:
            raise NotSupported(str(error)) from None

    def _created(self, request: Charge, units: int, method: str, call: Call) -> str | Declined:
        """Create the intent and note its number; one whose number is lost can never be confirmed."""
        values = {
            "amount": units,
            "currency": request.currency.lower(),
            "payment_method": method,
            "payment_method_types": ["card"],
            "metadata": {"key": call.key, "order_no": request.order_no, "store": request.site.store_id},
        }
        with call.step("create"):
            found = self._client.post("/v1/payment_intents", values, f"{call.key}-create", self._seconds(call))
        if isinstance(found, Refusal):
            return mapping.declined(found)
        number = str(mapping.checked(found, call.key, request.amount, request.currency)["id"])
        if not _INTENT.fullmatch(number):
            raise InvalidReply("the processor's number of an intent is none")
        self._store.put(f"intent/{call.key}", number)
        return number

    def _confirmed(self, request: Charge, number: str, call: Call) -> Change:
        with call.step("confirm", number):
            found = self._sent(f"/v1/payment_intents/{number}/confirm", {}, f"{call.key}-confirm", call)
        if isinstance(found, Refusal):
            if found.code == "payment_intent_unexpected_state":
                return self._charge_state(number, call.key, request, self._seconds(call))
            return mapping.declined(found)
        answer = mapping.intent(
            mapping.checked(found, call.key, request.amount, request.currency, number), request.amount
        )
        assert not isinstance(answer, NotFound)
        return answer

    def _charge_state(self, number: str, key: str, request: Any, seconds: float) -> Done | Declined | Pending:
        answer = self._asked(number, key, request, seconds)
        if isinstance(answer, NotFound):
            raise OutcomeUnknown("the processor does not know an intent that it has made")
        return answer

    # -- undo --------------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        key = request.original.key
        self._store.put(f"closed/{key}", True)
        number = self._number(request.original.ref, key)
        if not number:
            return Done(facts={"action": "close"})
        found = self._client.get(f"/v1/payment_intents/{number}", self._seconds(call))
        if isinstance(found, Refusal):
            raise NotSent(f"the intent can't be asked for: {found.status} {found.code}")
        status = mapping.checked(found, key, request.amount, request.currency, number).get("status")
        if status == "canceled":
            return Done(ref=number, facts={"action": "close"}, replayed=True)
        return self._given_back(request, number, call) if status == "succeeded" else self._cancelled(number, call)

    def _cancelled(self, number: str, call: Call) -> Change:
        with call.step("cancel", number):
            found = self._sent(f"/v1/payment_intents/{number}/cancel", {}, f"{call.key}-cancel", call)
        if isinstance(found, Refusal) or found.get("id") != number or found.get("status") != "canceled":
            raise OutcomeUnknown("the intent is not cancelled: it may have been confirmed meanwhile")
        return Done(ref=number, facts={"action": "close"})

    def _given_back(self, request: Reverse, number: str, call: Call) -> Change:
        """Refund the whole, under the key of the reversal."""
        self._store.put(f"undone/{request.original.key}", call.key)
        found = self._refund(number, request.amount, request.currency, "", call)
        if isinstance(found, Refusal):
            if found.code == "charge_already_refunded":
                return Done(ref=number, facts={"action": "refund"}, replayed=True)
            return mapping.declined(found, mapping.REFUND_DECLINES)
        done = mapping.refund(found, request.amount)
        return Done(ref=done.ref, amount=done.amount, facts={"action": "refund"}) if isinstance(done, Done) else done

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        number = self._number(request.original.ref, request.original.key)
        if not number:
            return Declined(reason=DeclineReason.NOT_FOUND, message="no such payment")
        if call.attempt > 1:
            earlier = self._refund_state(number, call.key, request, self._seconds(call))
            if not isinstance(earlier, NotFound):
                return earlier
        found = self._refund(number, request.amount, request.currency, request.reason, call)
        if isinstance(found, Refusal):
            return mapping.declined(found, mapping.REFUND_DECLINES)
        return mapping.refund(found, request.amount)

    def _refund(self, number: str, amount: int, currency: str, why: str, call: Call) -> Mapping[str, Any] | Refusal:
        metadata = {"key": call.key} | ({"reason": why[:200]} if why else {})
        values = {"payment_intent": number, "amount": to_units(amount, currency), "metadata": metadata}
        with call.step("refund", number):
            found = self._sent("/v1/refunds", values, call.key, call)
        return found if isinstance(found, Refusal) else mapping.checked(found, call.key, amount, currency)

    # -- questions ---------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        original = getattr(request.request, "original", None)
        match request.hook:
            case "payment_charge":
                steps = next((step.ref for step in request.steps if step.name == "confirm"), "")
                number = self._number(request.ref or steps, request.key)
                return self._asked(number, request.key, request.request, self._query_s) if number else NotFound()
            case "payment_reverse" if original:
                return self._undone(request, original.ref, original.key)
            case "payment_refund" if original:
                number = self._number(original.ref, original.key)
                return self._refund_state(number, request.key, request.request, self._query_s)
        raise NotSupported(f"the processor can't be asked about {request.hook}")

    def _asked(self, number: str, key: str, request: Any, seconds: float) -> Answer:
        """The state of an intent; one that waits for its confirmation was not confirmed, and moves nothing."""
        found = self._client.get(f"/v1/payment_intents/{number}", seconds)
        if isinstance(found, Refusal):
            if found.status == 404:
                return NotFound()
            raise OutcomeUnknown(f"the intent can't be asked for: {found.status} {found.code}")
        mapping.checked(found, key, request.amount, request.currency, number)
        if found.get("status") == "requires_confirmation":
            return NotFound()
        if found.get("status") == "succeeded" and self._store.get(f"undone/{key}"):
            undo = str(self._store.get(f"undone/{key}"))
            if isinstance(self._refund_state(number, undo, request, seconds), Done):
                return Declined(reason=DeclineReason.CLOSED, code="refunded", message="given back as a whole")
        return mapping.intent(found, request.amount)

    def _undone(self, request: Query, ref: str, key: str) -> Answer:
        number = self._number(ref, key)
        if not number:
            return Done(facts={"action": "close"}) if self._store.get(f"closed/{key}") else NotFound()
        state = self._asked(number, key, request.request, self._query_s)
        if isinstance(state, Declined):
            return Done(ref=number, facts={"action": "close" if state.code != "refunded" else "refund"})
        return NotFound()

    def _refund_state(
        self, number: str, key: str, request: Any, seconds: float
    ) -> Done | Declined | Pending | NotFound:
        """The refund with our key among those of a payment: a payment has few."""
        found = self._client.get("/v1/refunds", seconds, payment_intent=number, limit=PAGE)
        if isinstance(found, Refusal) or not isinstance(found.get("data"), list):
            raise OutcomeUnknown("the payment's refunds can't be asked for")
        for each in found["data"]:
            if isinstance(each, dict) and (each.get("metadata") or {}).get("key") == key:
                return mapping.refund(mapping.checked(each, key, request.amount, request.currency), request.amount)
        return NotFound()

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """The account's movements of a day in the merchant's time zone, 100 a page."""
        begin = datetime.combine(request.business_date, time(), self.context.timezone)
        created = {"gte": int(begin.timestamp()), "lt": int((begin + timedelta(days=1)).timestamp())}
        more = {"starting_after": request.cursor} if request.cursor else {}
        found = self._client.get(
            "/v1/balance_transactions", self._query_s * 3, limit=PAGE, created=created, expand=["data.source"], **more
        )
        if isinstance(found, Refusal):
            raise OutcomeUnknown(f"the movements can't be read: {found.status} {found.code}")
        return self._page(found)

    def _page(self, found: Mapping[str, Any]) -> Page[StatementRow]:
        data = found.get("data")
        try:
            if not isinstance(data, list) or not all(isinstance(each, dict) for each in data):
                raise ParseError("no list of movements")
            rows = [mapping.statement_row(each, lambda at: datetime.fromtimestamp(at, UTC)) for each in data]
        except (ParseError, OverflowError, OSError) as error:
            raise InvalidReply(f"the account's movements: {error}") from None
        following = str(data[-1].get("id")) if found.get("has_more") and data else None
        return Page(items=tuple(row for row in rows if row is not None), next_cursor=following)

    @hookimpl
    def notice_read(self, request: NoticeRequest) -> Notice | None:
        """A webhook about an intent or a refund of ours, signed with the endpoint's secret (or the one before it)."""
        names = ("webhook_secret", "old_webhook_secret")
        secrets = [self.context.settings[name].reveal() for name in names if self.context.settings[name]]
        header = request.headers.get("stripe-signature", "")
        try:
            event = read_webhook(header, request.body, secrets, self.context.clock().timestamp())
            told = event.get("data", {}).get("object", {})
            key, kind = told.get("metadata", {}).get("key"), str(event.get("type", ""))
        except (ParseError, AttributeError) as error:
            self.context.log.warning("notice refused: %s", error)
            return None
        if not isinstance(key, str) or not key:
            self.context.log.warning("notice refused: it is about nothing of ours")
            return None
        facts = {"type": kind, "object": str(told.get("id", "")), "status": str(told.get("status", ""))}
        return Notice(key=key, kind="payment", reply=b"ok", facts=facts)

    # -- the wire ----------------------------------------------------------------------------------------------------

    @property
    def _query_s(self) -> float:
        return float(self.context.settings["query_timeout_s"])

    def _number(self, ref: str, key: str) -> str:
        """The intent's number: ours to know once it was made."""
        return ref if _INTENT.fullmatch(ref) else str(self._store.get(f"intent/{key}") or "")

    def _sent(self, path: str, values: Mapping[str, Any], key: str, call: Call) -> dict[str, Any] | Refusal:
        return self._client.post(path, values, key, self._seconds(call))

    def _seconds(self, call: Call) -> float:
        left = (call.deadline - self.context.clock()).total_seconds()
        return min(float(self.context.settings["timeout_s"]), left)
