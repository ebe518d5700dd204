"""WeChat Pay v3: payment codes, shown QR codes, reversal, refunds, the trade bill, encrypted notices.

Our key is WeChat Pay's ``out_trade_no`` (and a refund's ``out_refund_no``), so that everything can be asked for by it.
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
    DeclineReason,
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
    ParseError,
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
from gateway.sdk.signers.rsa import read_private_key, read_public_key
from gateway.sdk.signers.wechat_v3 import Merchant
from plugins.wechatpay import mapping
from plugins.wechatpay.client import WechatPayClient, after_sending
from plugins.wechatpay.protocol import (
    MAX_FEN,
    NOTICE_ACCEPTED,
    Reply,
    is_payment_code,
    member,
    number,
    read_resource,
    rfc3339,
    text,
)
from plugins.wechatpay.settings import WechatPaySettings
from plugins.wechatpay.statement import DailyBills

ORDERS = "/v3/pay/transactions/out-trade-no"
REFUNDS = "/v3/refund/domestic/refunds"
MOST_NOTES = 500
#: A shown code's order can be closed from five minutes after it was made.
CLOSABLE_AFTER = timedelta(minutes=5)
DAYS_7 = 7 * 86_400


class WechatPayAdapter(Adapter):
    """Payments by WeChat Pay; README.md says what each hook sends and what the channel cannot."""

    name = "wechatpay"
    Settings = WechatPaySettings
    about = AdapterTraits(currencies=("CNY",), max_parallel=16)
    traits: ClassVar[Mapping[str, Traits]] = {
        "payment_charge": Traits(
            max_in_flight_s=60, poll_every_s=5, close_after_s=45, reverse_window_s=DAYS_7, refund_window_days=365
        ),
        "payment_reverse": Traits(
            idempotent=True,
            max_in_flight_s=60,
            poll_every_s=5,
            reverse_not_before_s=15,
            reverse_window_s=DAYS_7,
            partial=False,
        ),
        "payment_refund": Traits(idempotent=True, max_in_flight_s=60, poll_every_s=60, refund_window_days=365),
    }

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        settings = context.settings
        self._mchid, self._appid = settings["mchid"], settings["appid"]
        self._api_v3_key = settings["api_v3_key"].reveal().encode()
        key = read_private_key(settings["private_key"].reveal(), checked=True)
        public = settings["public_key"]
        self._client = WechatPayClient(
            context.http,
            settings["endpoint"],
            Merchant(self._mchid, settings["serial_no"].upper(), key),
            self._api_v3_key,
            context.clock,
            context.store,
            {settings["public_key_id"]: read_public_key(public.reveal())} if public else {},
        )
        self._bills = DailyBills(self._client, context)

    def check(self) -> None:
        """Fetch the certificates (APIv3 key), ask for an order that can't be (all other keys); nothing is changed."""
        until = self._within("page_timeout_s")
        number_ = f"CHECK{secrets.token_hex(8)}"
        try:
            self._client.certificates(timeout=self._time(until))
            reply = self._ask(f"{ORDERS}/{number_}?mchid={self._mchid}", until)
        except InvalidReply as error:
            hint = "endpoint must be WeChat Pay's, api_v3_key and public_key this merchant's, and the clock right"
            raise Misconfigured(f"{error}: {hint}") from None
        except OutcomeUnknown as error:
            raise NotSent(f"WeChat Pay did not answer at endpoint: {error}") from None
        if reply.code not in mapping.NOT_EXIST:
            raise Misconfigured(f"WeChat Pay refuses queries by mchid: {reply.status} {reply.code} {reply.message}")

    # -- charge ----------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        self._accepts(request)
        if call.attempt > 1:
            earlier = self._order(call.key, request.amount, call.deadline)
            if not isinstance(earlier, NotFound):
                return earlier
        if request.method is Method.QR_CODE:
            return self._show(request, call)
        return self._charge_code(request, call)

    def _accepts(self, request: Charge) -> None:
        """Refuse before a byte is sent what this adapter can't do."""
        if request.currency != "CNY" or not 1 <= request.amount <= MAX_FEN:
            raise NotSupported("WeChat Pay takes 0.01 to 100000000.00 CNY")
        if request.method not in (Method.PAYMENT_CODE, Method.QR_CODE):
            raise NotSupported(f"WeChat Pay has no {request.method}")
        if request.method is Method.QR_CODE and not self.context.settings["notify_url"]:
            raise Misconfigured("WeChat Pay shows a code only with a notify_url (nothing here depends on the notices)")
        if request.method is Method.PAYMENT_CODE and request.auth_code is None:
            raise NotSupported("the payment code is gone: it is single use and never kept")

    def _charge_code(self, request: Charge, call: Call) -> Change:
        assert request.auth_code is not None
        code = request.auth_code.reveal()
        if not is_payment_code(code):
            return Declined(reason=DeclineReason.CODE_INVALID, message="not a payment code of WeChat Pay's")
        order = self._about(request, call.key)
        order |= {"payer": {"auth_code": code}, "scene_info": self._scene(request.site)}
        reply = self._send("POST", "/v3/pay/transactions/codepay", order, call)
        if reply.ok:
            return mapping.order(reply, call.key, self._mchid, request.amount)
        if reply.code in mapping.USERPAYING:
            return mapping.waiting()
        if reply.code in mapping.KNOWN_ALREADY:
            return self._known(call, request.amount)
        refusal = mapping.refused(reply, mapping.CHARGE_DECLINES)
        self._note("declined", call.key, True)
        return refusal

    def _show(self, request: Charge, call: Call) -> Change:
        now = self.context.clock()
        until = self._open_until(request, now)
        self._note("qr", call.key, [(now + CLOSABLE_AFTER).isoformat(), until.isoformat()])
        order = self._about(request, call.key) | {"time_expire": rfc3339(until)}
        order |= {"notify_url": self.context.settings["notify_url"]}
        reply = self._send("POST", "/v3/pay/transactions/native", order, call)
        if reply.ok:
            return mapping.show_qr(mapping.wire(text, reply.fields, "code_url"), until.isoformat())
        if reply.code in mapping.KNOWN_ALREADY:
            return self._known(call, request.amount)
        return mapping.refused(reply, mapping.CHARGE_DECLINES)

    def _known(self, call: Call, amount: int) -> Change:
        """WeChat Pay says that our number is taken: by ourselves, so the order tells."""
        with after_sending():
            answer = self._order(call.key, amount, call.deadline)
        if isinstance(answer, NotFound):
            raise OutcomeUnknown("WeChat Pay knows the order number, and then does not")
        return answer

    def _about(self, request: Charge, key: str) -> dict[str, Any]:
        order = {"appid": self._appid, "mchid": self._mchid, "out_trade_no": key}
        order |= {"description": (request.subject or request.order_no)[:42]}
        return order | {"amount": {"total": request.amount, "currency": "CNY"}}

    def _scene(self, site: Site) -> dict[str, Any]:
        """Where the code was scanned; WeChat Pay wants the store and the device."""
        store = self.context.settings["store_ids"].get(site.store_id, site.store_id)
        scene: dict[str, Any] = {"store_info": {"out_id": store[:32]}}
        device, ip = site.terminal_id or site.till_id, site.device_ip or self.context.settings["device_ip"]
        scene |= {"device_id": device[:32]} if device else {}
        return scene | ({"device_ip": str(ip)} if ip else {})

    def _open_until(self, request: Charge, now: datetime) -> datetime:
        """Until when a shown code can be paid: five minutes at least, else it can't be closed before it runs out."""
        longest = now + timedelta(minutes=int(self.context.settings["wait_minutes"]))
        wanted = min(longest, request.expires_at) if request.expires_at else longest
        return max(wanted, now + CLOSABLE_AFTER)

    # -- undo ------------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        """Reverse (a payment code) or close, else refund (a shown code), and believe only the query that follows."""
        key = request.original.key
        shown = self.context.store.get(f"qr/{key}")
        if shown or request.original.facts.get("qr_code"):
            return self._take_down(key, shown, request, call)
        about = {"appid": self._appid, "mchid": self._mchid}
        reply = self._send("POST", f"{ORDERS}/{key}/reverse", about, call)
        if reply.ok and reply.fields:
            mapping.about(reply, key, self._mchid)
        with after_sending():
            stands = self._order(key, None, call.deadline)
        if isinstance(stands, Declined | NotFound):
            return self._reversed(stands, key)
        if not reply.ok:
            return mapping.refused(reply, mapping.REVERSE_DECLINES)
        raise OutcomeUnknown("reversed, says WeChat Pay, but the order is not closed")

    def _take_down(self, key: str, shown: Any, request: Reverse, call: Call) -> Change:
        """Close a shown code's order; what was paid meanwhile is refunded as a whole."""
        stands = self._order(key, None, call.deadline)
        if isinstance(stands, Done):
            return self._give_back(key, stands.amount or request.amount, call)
        if isinstance(stands, Declined | NotFound) or not _unpaid(stands):
            return self._reversed(stands, key)
        if shown and self.context.clock() < datetime.fromisoformat(shown[0]):
            return Pending(ref=key, facts={"closable_from": shown[0]})
        with after_sending():
            reply = self._send("POST", f"{ORDERS}/{key}/close", {"mchid": self._mchid}, call)
            if not reply.ok and reply.code not in ("ORDERPAID", "ORDER_CLOSED", "ORDERCLOSED"):
                raise OutcomeUnknown(f"not closed: {reply.status} {reply.code}")
            return self._reversed(self._order(key, None, call.deadline), key)

    def _give_back(self, key: str, total: int, call: Call) -> Change:
        """The whole of a paid order, under one number for ever."""
        with after_sending():
            answer = self._refunded(key, f"{key}R", total, total, "reversed", call)
            if isinstance(answer, Declined):
                return answer
            return self._reversed(self._order(key, None, call.deadline), key)

    def _reversed(self, stands: Answer, key: str) -> Change:
        """What the order's state proves after a reversal.

        An order that does not exist may be a shown code whose request is still on its way: it can be paid until it
        runs out. A payment code's request that is still on its way can't be told from one that never came.
        """
        if isinstance(stands, Declined):
            return Done(ref=key, facts={"action": "close" if "unpaid" in stands.message else "refund"})
        if isinstance(stands, NotFound):
            shown = self.context.store.get(f"qr/{key}")
            if shown and self.context.clock() < datetime.fromisoformat(shown[1]):
                return Pending(ref=key, facts={"payable_until": shown[1]})
            return Done(ref=key, facts={"action": "close", "existed": False})
        if isinstance(stands, Pending) and not _unpaid(stands):
            return Pending(ref=key, facts={"action": "refund"})
        raise OutcomeUnknown("closed, says WeChat Pay, but the order is not")

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        key = request.original.key
        if call.attempt > 1:
            earlier = self._refund(key, call.key, request.amount, call.deadline)
            if not isinstance(earlier, NotFound):
                return earlier
        return self._refunded(key, call.key, request.amount, request.charged_amount, request.reason, call)

    def _refunded(self, key: str, refund_no: str, amount: int, total: int, reason: str, call: Call) -> Change:
        """Ask for a refund. The answer says accepted. It is noted first: an order's state never tells how much."""
        self._note("refund", f"{key}/{refund_no}", amount)
        asked: dict[str, Any] = {"out_trade_no": key, "out_refund_no": refund_no}
        asked |= {"amount": {"refund": amount, "total": total, "currency": "CNY"}}
        asked |= {"reason": reason[:26]} if reason else {}
        asked |= {"notify_url": url} if (url := self.context.settings["notify_url"]) else {}
        reply = self._send("POST", REFUNDS, asked, call)
        if not reply.ok:
            return mapping.refused(reply, mapping.REFUND_DECLINES)
        return mapping.refund(reply, key, refund_no, amount)

    # -- ask -------------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        original = getattr(request.request, "original", None)
        amount = getattr(request.request, "amount", None)
        until = self._within("query_timeout_s")
        match request.hook:
            case "payment_charge":
                return self._charged(request, self._order(request.key, amount, until))
            case "payment_reverse" if original:
                return self._undone(original.key, until)
            case "payment_refund" if original:
                return self._refund(original.key, request.key, amount, until)
        raise NotSupported(f"WeChat Pay can't be asked about {request.hook}")

    def _charged(self, request: Query, answer: Answer) -> Answer:
        """A code that was refused is used up, and a shown code that was never made can't be paid after its time."""
        shown = self.context.store.get(f"qr/{request.key}")
        if isinstance(answer, NotFound):
            over = shown and self.context.clock() >= datetime.fromisoformat(shown[1])
            return NotFound(final=bool(over or self.context.store.get(f"declined/{request.key}")))
        qr_code = request.facts.get("qr_code")
        if isinstance(answer, Pending) and shown and qr_code and _unpaid(answer):
            return mapping.show_qr(qr_code, request.facts.get("expires_at", shown[1]))
        return answer

    def _undone(self, key: str, until: datetime) -> Answer:
        answer = self._order(key, None, until)
        shown = self.context.store.get(f"qr/{key}")
        too_early = shown and self.context.clock() < datetime.fromisoformat(shown[0])
        if isinstance(answer, Pending) and _unpaid(answer) and too_early:
            return Pending(ref=key, facts={"closable_from": shown[0]})
        if isinstance(answer, Done) or (isinstance(answer, Pending) and _unpaid(answer)):
            return NotFound(final=False)
        return self._reversed(answer, key)

    def _order(self, key: str, amount: int | None, until: datetime) -> Answer:
        reply = self._ask(f"{ORDERS}/{key}?mchid={self._mchid}", until)
        if reply.code in mapping.NOT_EXIST:
            return NotFound(final=False)
        if not reply.ok:
            raise OutcomeUnknown(f"{reply.status} {reply.code} {reply.message[:80]}")
        answer = mapping.order(reply, key, self._mchid, amount, replayed=True)
        if isinstance(answer, Done) and reply.fields.get("trade_state") == "REFUND":
            return self._what_is_left(key, answer, until)
        return answer

    def _what_is_left(self, key: str, paid: Done, until: datetime) -> Answer:
        """An order of which something was given back: all of it, or not. Our own notes say which refunds to ask for."""
        back, under_way = 0, 0
        for note in self.context.store.keys(f"refund/{key}/"):
            answer = self._refund(key, note.rpartition("/")[2], None, until)
            back += (answer.amount or 0) if isinstance(answer, Done) else 0
            under_way += int(self.context.store.get(note)) if isinstance(answer, Pending) else 0
        if back >= (paid.amount or 0):
            how = "closed after the money was given back"
            return Declined(reason=DeclineReason.CLOSED, code="REFUND", message=how)
        if back + under_way >= (paid.amount or 0):
            return Pending(ref=paid.ref, facts={"refund": "PROCESSING"})
        return paid

    def _refund(self, key: str, refund_no: str, amount: int | None, until: datetime) -> Answer:
        reply = self._ask(f"{REFUNDS}/{refund_no}", until)
        if reply.code in mapping.NOT_EXIST:
            return NotFound(final=False)
        if not reply.ok:
            raise OutcomeUnknown(f"{reply.status} {reply.code} {reply.message[:80]}")
        return mapping.refund(reply, key, refund_no, amount)

    # -- the bill, and notices -------------------------------------------------------------------------------------

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """The trade bill of a day, page by page; it knows no stores."""
        return self._bills.page(request.business_date, request.cursor, self._within("page_timeout_s"))

    @hookimpl
    def notice_read(self, request: NoticeRequest) -> Notice | None:
        """A notice is genuine if WeChat Pay signed it just now and it is about our merchant and application."""
        try:
            timeout = self._time(self._within("read_timeout_s"))
            self._client.check_notice(request.headers, request.body, timeout=timeout)
            event, told = read_resource(request.body, self._api_v3_key)
            return self._notice(event, told)
        except (ParseError, NotSent, OutcomeUnknown) as error:
            self.context.log.warning("notice refused: %s", error)
            return None

    def _notice(self, event: str, told: Mapping[str, Any]) -> Notice:
        if text(told, "mchid") != self._mchid or text(told, "appid") not in ("", self._appid):
            raise ParseError("it is about another merchant or application")
        back = event.startswith("REFUND.")
        key = text(told, "out_refund_no" if back else "out_trade_no")
        if not key:
            raise ParseError("it names no order")
        money = member(told, "amount")
        amounts = {name: number(money, name) for name in ("total", "payer_total", "refund") if name in money}
        state = text(told, "refund_status" if back else "trade_state")
        facts = {"event": event, "state": state, "transaction_id": text(told, "transaction_id")} | amounts
        return Notice(
            key=key,
            kind="refund" if back else "payment",
            reply=NOTICE_ACCEPTED,
            reply_content_type="application/json",
            facts=facts,
        )

    # -- the wire, and notes ---------------------------------------------------------------------------------------

    def _send(self, method: str, path: str, body: Mapping[str, Any], call: Call) -> Reply:
        """Send a change within the caller's deadline."""
        return self._client.call(method, path, body, timeout=self._time(call.deadline))

    def _ask(self, path: str, until: datetime) -> Reply:
        return self._client.call("GET", path, timeout=self._time(until))

    def _within(self, setting: str) -> datetime:
        """The deadline of a hook that is given none."""
        return self.context.clock() + timedelta(seconds=float(self.context.settings[setting]))

    def _time(self, until: datetime) -> float:
        """Seconds for one message."""
        return min(float(self.context.settings["timeout_s"]), (until - self.context.clock()).total_seconds())

    def _note(self, kind: str, key: str, value: Any) -> None:
        """Remember what the channel can't be asked for. Keys begin with their time: the oldest notes go first."""
        store = self.context.store
        store.put(f"{kind}/{key}", value)
        for old in store.keys(f"{kind}/")[:-MOST_NOTES]:
            store.delete(old)


def _unpaid(answer: Answer) -> bool:
    """Whether a pending order still waits for the customer, rather than for a refund to arrive."""
    return isinstance(answer, Pending) and "refund" not in answer.facts
