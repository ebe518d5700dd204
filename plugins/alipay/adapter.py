"""Alipay face to face: payment codes, shown QR codes, cancel, refund, the daily bill, notices.

Our key is Alipay's ``out_trade_no`` (and a refund's ``out_request_no``), so that everything can be asked for by it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    Change,
    Charge,
    Declined,
    Done,
    InvalidReply,
    Method,
    Misconfigured,
    NotFound,
    Notice,
    NoticeRequest,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    Page,
    PaymentRefund,
    Pending,
    Query,
    Reverse,
    Site,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)
from plugins.alipay import mapping
from plugins.alipay.client import AlipayClient, after_sending
from plugins.alipay.protocol import (
    MAX_FEN,
    NOTICE_ACCEPTED,
    ParseError,
    Reply,
    fen,
    read_notice,
    read_private_key,
    read_public_key,
    yuan,
)
from plugins.alipay.settings import AlipaySettings
from plugins.alipay.statement import DailyBills

MOST_NOTES = 200
IN_FLIGHT = timedelta(seconds=60)


class AlipayAdapter(Adapter):
    """Payments by Alipay; README.md says what each hook sends and what the channel cannot."""

    name = "alipay"
    Settings = AlipaySettings
    about = AdapterTraits(currencies=("CNY",), max_parallel=16)
    traits: ClassVar[Mapping[str, Traits]] = {
        "payment_charge": Traits(
            max_in_flight_s=60, poll_every_s=4, close_after_s=50, reverse_window_s=86_400, refund_window_days=90
        ),
        "payment_reverse": Traits(
            idempotent=True, max_in_flight_s=60, poll_every_s=4, reverse_window_s=86_400, partial=False
        ),
        "payment_refund": Traits(idempotent=True, max_in_flight_s=60, poll_every_s=5, refund_window_days=90),
    }

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        settings = context.settings
        self._alipay_key = read_public_key(settings["alipay_public_key"].reveal())
        token = settings["app_auth_token"]
        self._client = AlipayClient(
            context.http,
            settings["endpoint"],
            settings["app_id"],
            read_private_key(settings["app_private_key"].reveal(), checked=True),
            self._alipay_key,
            context.clock,
            token.reveal() if token else "",
        )
        self._bills = DailyBills(self._client, context)

    def check(self) -> None:
        """Ask for a trade that can't exist: that proves address, keys and rights, and changes nothing."""
        number = f"CHECK{secrets.token_hex(8)}"
        try:
            reply = self._ask("alipay.trade.query", {"out_trade_no": number}, self._within("read_timeout_s"))
        except InvalidReply as error:
            hint = "alipay_public_key must be Alipay's own key for this application, endpoint its gateway"
            raise Misconfigured(f"{error}: {hint}") from None
        except OutcomeUnknown as error:
            raise NotSent(f"Alipay did not answer: {error}") from None
        if reply.sub_code != mapping.NOT_EXIST:
            raise Misconfigured(f"Alipay refuses queries: {reply.code} {reply.sub_code} {reply.message}")

    # -- charge ----------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        self._accepts(request)
        if call.attempt > 1:
            earlier = self._trade(call.key, request.amount, call.deadline)
            if not isinstance(earlier, NotFound):
                return earlier
        if request.method is Method.QR_CODE:
            return self._show(request, call)
        return self._charge_code(request, call)

    def _accepts(self, request: Charge) -> None:
        """Refuse before a byte is sent what this adapter can't do."""
        if request.currency != "CNY" or not 1 <= request.amount <= MAX_FEN:
            raise NotSupported("Alipay takes 0.01 to 100000000.00 CNY")
        if request.method not in (Method.PAYMENT_CODE, Method.QR_CODE):
            raise NotSupported(f"Alipay face to face has no {request.method}")
        if request.method is Method.PAYMENT_CODE and request.auth_code is None:
            raise NotSupported("the payment code is gone: it is single use and never kept")

    def _charge_code(self, request: Charge, call: Call) -> Change:
        assert request.auth_code is not None
        order = self._order(request, call.key)
        code = {"scene": "bar_code", "auth_code": request.auth_code.reveal()}
        reply = self._send("alipay.trade.pay", order | code, call, notify=True)
        if reply.code == "10003":
            return mapping.waiting(mapping.about(reply, call.key))
        if reply.code == "10000":
            return mapping.paid(reply, call.key, request.amount)
        if reply.sub_code in mapping.KNOWN_ALREADY:
            return self._known(call, request.amount)
        refusal = mapping.declined(reply, mapping.CHARGE_DECLINES, call.key)
        self._note_declined(call.key)
        return refusal

    def _note_declined(self, key: str) -> None:
        """Remember that a code was refused: it is used up now, so a copy of the request can't succeed any more.

        Keys begin with their time, so the oldest notes go first; they serve for the minute after a decline.
        """
        store = self.context.store
        store.put(f"declined/{key}", True)
        for old in store.keys("declined/")[:-MOST_NOTES]:
            store.delete(old)

    def _show(self, request: Charge, call: Call) -> Change:
        order = self._order(request, call.key)
        until = self._open_until(request, self.context.clock())
        self.context.store.put(f"qr/{call.key}", (until + IN_FLIGHT).isoformat())
        life = {"qr_code_timeout_express": order["timeout_express"]}
        reply = self._send("alipay.trade.precreate", order | life, call, notify=True)
        if reply.code == "10000":
            return mapping.show_qr(mapping.text(mapping.about(reply, call.key), "qr_code"), until.isoformat())
        if reply.sub_code in mapping.KNOWN_ALREADY:
            return self._known(call, request.amount)
        return mapping.declined(reply, mapping.CHARGE_DECLINES, call.key)

    def _known(self, call: Call, amount: int) -> Change:
        """Alipay says that our number is taken: by ourselves, so the trade tells."""
        with after_sending():
            answer = self._trade(call.key, amount, call.deadline)
        if isinstance(answer, NotFound):
            raise OutcomeUnknown("Alipay knows the order number, and then does not")
        return answer

    def _order(self, request: Charge, key: str) -> dict[str, Any]:
        minutes = self._minutes(request, self.context.clock())
        order = {"out_trade_no": key, "subject": request.subject[:128] or request.order_no}
        order |= {"total_amount": yuan(request.amount), "timeout_express": f"{minutes}m"}
        return order | self._site(request.site)

    def _minutes(self, request: Charge, now: datetime) -> int:
        """Whole minutes (Alipay knows no seconds) that a customer gets: until it expires, at most ``wait_minutes``."""
        longest = int(self.context.settings["wait_minutes"])
        if request.expires_at is None:
            return longest
        return max(1, min(longest, int((request.expires_at - now).total_seconds() // 60)))

    def _open_until(self, request: Charge, sent_at: datetime) -> datetime:
        return sent_at + timedelta(minutes=self._minutes(request, sent_at))

    def _site(self, site: Site) -> dict[str, str]:
        store = self.context.settings["store_ids"].get(site.store_id, site.store_id)
        names = {"store_id": store, "operator_id": site.cashier_id, "terminal_id": site.terminal_id or site.till_id}
        return {name: value[:28] for name, value in names.items() if value}

    # -- undo ------------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        """Cancel, and believe only the query that follows."""
        key = request.original.key
        reply = self._send("alipay.trade.cancel", {"out_trade_no": key}, call)
        if reply.code != "10000":
            return self._not_cancelled(reply, key, call)
        mapping.about(reply, key)
        if mapping.text(reply, "retry_flag") == "Y":
            raise OutcomeUnknown("Alipay asks for the cancel again")
        with after_sending():
            stands = self._trade(key, None, call.deadline)
        return self._reversed(stands, key)

    def _not_cancelled(self, reply: Reply, key: str, call: Call) -> Change:
        """A refused cancel; a trade that was given back already has nothing left to undo."""
        refusal = mapping.declined(reply, mapping.CANCEL_DECLINES, key)
        with after_sending():
            stands = self._trade(key, None, call.deadline)
        return self._reversed(stands, key) if isinstance(stands, Declined) else refusal

    def _reversed(self, stands: Answer, key: str) -> Change:
        """What the trade's state after a cancel proves.

        A trade that does not exist may be a QR code that nobody has opened: it can be paid until it runs out. A payment
        code's request that is still on its way can't be told from one that never came; the traits say how long.
        """
        if isinstance(stands, Declined):
            self._forget(key)
            return Done(ref=key, facts={"action": _action(stands)})
        if isinstance(stands, NotFound):
            until = self._shown_until(key)
            if until is not None and self.context.clock() < until:
                return Pending(ref=key, facts={"payable_until": until.isoformat()})
            self._forget(key)
            return Done(ref=key, facts={"action": "close", "existed": False})
        raise OutcomeUnknown("cancelled, says Alipay, but the trade is not closed")

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        key, number = request.original.key, call.key
        if call.attempt > 1:
            earlier = self._refund(key, number, request.amount, call.deadline)
            if not isinstance(earlier, NotFound):
                return earlier
        refund = {"out_trade_no": key, "out_request_no": number, "refund_amount": yuan(request.amount)}
        reason = {"refund_reason": request.reason[:128]} if request.reason else {}
        reply = self._send("alipay.trade.refund", refund | reason | self._site(request.site), call)
        if reply.code != "10000":
            return mapping.declined(reply, mapping.REFUND_DECLINES, key)
        mapping.about(reply, key)
        return self._refunded(request, call, moved=mapping.text(reply, "fund_change") == "Y")

    def _refunded(self, request: PaymentRefund, call: Call, *, moved: bool) -> Change:
        """A refund's reply sums up the whole trade, so the refund itself is looked at."""
        with after_sending():
            answer = self._refund(request.original.key, call.key, request.amount, call.deadline)
        if isinstance(answer, NotFound):
            return Pending(ref=call.key)
        if isinstance(answer, Done):
            return Done(ref=answer.ref, amount=answer.amount, facts=answer.facts, replayed=not moved)
        return answer

    # -- ask -------------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        original = getattr(request.request, "original", None)
        amount = getattr(request.request, "amount", None)
        until = self._within("query_timeout_s")
        match request.hook:
            case "payment_charge":
                return self._charged(request, self._trade(request.key, amount, until))
            case "payment_reverse" if original:
                return self._undone(original.key, until)
            case "payment_refund" if original:
                return self._refund(original.key, request.key, amount, until)
        raise NotSupported(f"Alipay can't be asked about {request.hook}")

    def _charged(self, request: Query, answer: Answer) -> Answer:
        """A shown QR code is no trade until somebody opens it; when it has run out nobody can any more.

        Nor can a code that was refused: it is single use even when the payment fails.
        """
        if isinstance(answer, NotFound) and self.context.store.get(f"declined/{request.key}"):
            return NotFound(final=True)
        until = self._shown_until(request.key)
        if not isinstance(answer, NotFound) or until is None:
            self._forget(request.key)
            return answer
        if self.context.clock() >= until:
            return NotFound(final=True)
        qr_code = request.facts.get("qr_code")
        return mapping.show_qr(qr_code, request.facts.get("expires_at", "")) if qr_code else answer

    def _undone(self, key: str, until: datetime) -> Answer:
        answer = self._trade(key, None, until)
        if isinstance(answer, Done | Pending):
            return NotFound(final=False)
        return self._reversed(answer, key)

    def _shown_until(self, key: str) -> datetime | None:
        """Until when a QR code that we showed under this key can be opened; ``None``: none was shown."""
        until = self.context.store.get(f"qr/{key}")
        return datetime.fromisoformat(until) if until else None

    def _forget(self, key: str) -> None:
        if self.context.store.get(f"qr/{key}"):
            self.context.store.delete(f"qr/{key}")

    def _trade(self, key: str, amount: int | None, until: datetime) -> Answer:
        return mapping.trade(self._ask("alipay.trade.query", {"out_trade_no": key}, until), key, amount)

    def _refund(self, key: str, number: str, amount: int | None, until: datetime) -> Answer:
        asked = {"out_trade_no": key, "out_request_no": number}
        return mapping.refund(self._ask("alipay.trade.fastpay.refund.query", asked, until), key, number, amount)

    # -- the daily bill, and notices -------------------------------------------------------------------------------

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """The trade bill of a day, page by page."""
        store = self.context.settings["store_ids"].get(request.store_id, request.store_id)
        until = self._within("page_timeout_s")
        return self._bills.page(request.business_date, request.cursor, store, until)

    @hookimpl
    def notice_read(self, request: NoticeRequest) -> Notice | None:
        """A notice is genuine if Alipay signed it and it is about our application and our account."""
        try:
            told = read_notice(request.body, self._alipay_key)
            names = ("total_amount", "refund_fee", "receipt_amount")
            amounts = {name: fen(told[name]) for name in names if told.get(name)}
        except ParseError as error:
            self.context.log.warning("notice refused: %s", error)
            return None
        ours = self.context.settings["app_id"], self.context.settings["seller_id"]
        if (told.get("app_id"), told.get("seller_id")) != ours or not told.get("out_trade_no"):
            self.context.log.warning("notice refused: it is about another application or account")
            return None
        facts = {"trade_status": told.get("trade_status", ""), "trade_no": told.get("trade_no", "")} | amounts
        return Notice(key=told["out_trade_no"], kind="payment", reply=NOTICE_ACCEPTED, facts=facts)

    # -- the wire --------------------------------------------------------------------------------------------------

    def _send(self, method: str, biz: Mapping[str, Any], call: Call, *, notify: bool = False) -> Reply:
        """Send a change within the caller's deadline."""
        url = str(self.context.settings["notify_url"]) if notify else ""
        return self._client.call(method, biz, timeout=self._time(call.deadline), notify_url=url)

    def _ask(self, method: str, biz: Mapping[str, Any], until: datetime) -> Reply:
        return self._client.call(method, biz, timeout=self._time(until))

    def _within(self, setting: str) -> datetime:
        """The deadline of a hook that is given none."""
        return self.context.clock() + timedelta(seconds=float(self.context.settings[setting]))

    def _time(self, until: datetime) -> float:
        """Seconds for one message."""
        return min(float(self.context.settings["timeout_s"]), (until - self.context.clock()).total_seconds())


def _action(closed: Declined) -> str:
    return "close" if "unpaid" in closed.message else "refund"
