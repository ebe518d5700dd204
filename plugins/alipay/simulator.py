"""Alipay's open gateway, simulated: ``POST /gateway.do`` with real RSA2 signatures, notices, and a daily bill.

Run it with ``gateway simulate alipay``. Its README lists what codes do, the levers, the options and the faults.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from plugins.alipay.protocol import content_to_sign, fen, node_name, sign, verify, yuan
from plugins.alipay.simulator_bill import Bills
from plugins.alipay.simulator_keys import load_or_make
from plugins.alipay.simulator_ledger import PAID, WAIT, Code, Ledger, Order, Refund, Refusal, Trade
from plugins.alipay.simulator_methods import Methods
from plugins.alipay.simulator_notices import Notices
from plugins.alipay.simulator_trades import SELLER, Rules, Trades, buyer_id, digest

BILL = "alipay.data.dataservice.bill.downloadurl.query"
_AMOUNTS = ("total_amount", "receipt_amount", "buyer_pay_amount", "refund_amount", "refund_fee")


class AlipaySimulator(Simulator):
    """The simulated channel with one merchant; its keys and books are in its data folder."""

    name = "alipay"
    extra_faults: ClassVar[dict[str, str]] = {
        "unknown": "act, then answer 20000 (system error), as the real gateway does when it can't tell",
        "cancel_retry": "answer a cancel with retry_flag Y, without acting",
        "refund_slow": "accept a refund with fund_change N; the money moves later; value = milliseconds",
        "old_refund_query": "answer a refund query without refund_status, as older accounts get it",
        "notice_lost": "do not post a notice",
        "notice_twice": "post a notice twice",
        "notice_forged": "post a notice whose signature does not verify",
        "notice_other_seller": "post a notice, properly signed, about another seller",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self.who = load_or_make(data)
        self.ledger = Ledger(data / "alipay.db")
        self.notices = Notices(self.who, self.faults, self.now, float(self.options.get("notice_scale", "1")))
        self.trades = Trades(self.ledger, _rules(self.options), self.now, self.notices.announce)
        self.methods = Methods(self.trades)
        at_once = self.options.get("bill_ready", "next_day") == "at_once"
        self.bills = Bills(self.trades, self.who.seller_id, at_once=at_once)
        self._requests: Counter[str] = Counter()
        self._server: ThreadingHTTPServer | None = None
        self._root = ""

    def start(self) -> dict[str, str]:
        self.notices.start()
        self._server = serve_http(self._handle, self.port("gateway"))
        address = f"{LOOPBACK}:{self._server.server_address[1]}"
        self._root = f"http://{address}"
        return {"gateway": address}

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self.notices.stop()
        self.trades.stop()
        self.ledger.close()

    # -- HTTP ----------------------------------------------------------------------------------------------------

    def _handle(self, request: HttpRequest) -> HttpReply:
        if request.path.startswith("/bill/"):
            return self._download(request.path.removeprefix("/bill/").removesuffix(".zip"))
        if request.path != "/gateway.do":
            return HttpReply(404, b"not found", "text/plain")
        params = dict(request.query)
        params.update(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        operation = params.get("method", "*")
        self._requests[operation] += 1
        self._before(operation)
        if (late := self.faults.take("late_success", operation)) is not None:
            self._later(late.value, params)
            raise Hangup
        if self.faults.take("error", operation):
            return self._reply(operation, _refused(Refusal("aop.ACQ.SYSTEM_ERROR", "系统繁忙", code="20000")))
        node = self._act(operation, params)
        if self.faults.take("duplicate", operation):
            node = self._act(operation, params)
        return self._after(operation, node)

    def _before(self, operation: str) -> None:
        pause = float(self.options.get("latency_ms", "0"))
        if (fault := self.faults.take("latency", operation)) is not None:
            pause += fault.value
        if pause:
            time.sleep(pause / 1000)
        if self.faults.take("refuse", operation) or self.faults.take("drop_before", operation):
            raise Hangup

    def _later(self, milliseconds: int, params: dict[str, str]) -> None:
        timer = threading.Timer(milliseconds / 1000, lambda: self._act(params.get("method", "*"), params))
        timer.daemon = True
        timer.start()

    def _act(self, operation: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Do what was asked and give the response node; also for a request that is not one."""
        biz: Mapping[str, Any] = {}
        try:
            biz = self._authentic(params)
            if operation == "alipay.trade.cancel" and self.faults.take("cancel_retry", operation):
                raise Refusal("aop.ACQ.SYSTEM_ERROR", "系统异常", code="20000", retry_flag="Y")
            if operation == BILL:
                return _succeeded(self.bills.address(biz, self._root))
            method = self.methods.by_name.get(operation)
            if method is None:
                raise Refusal("isv.invalid-method", "不存在的方法名", code="40002")
            if operation == "alipay.trade.refund" and (slow := self.faults.take("refund_slow", operation)) is not None:
                self._later(slow.value, dict(params))
                return _succeeded({"out_trade_no": biz.get("out_trade_no", ""), "fund_change": "N"})
            return _succeeded(method(biz, params.get("notify_url", "")))
        except Refusal as refusal:
            number = {"out_trade_no": biz["out_trade_no"]} if isinstance(biz.get("out_trade_no"), str) else {}
            return _refused(refusal) | number

    def _authentic(self, params: Mapping[str, str]) -> Mapping[str, Any]:
        if params.get("app_id") != self.who.app_id:
            raise Refusal("isv.invalid-app-id", "无效的AppID参数", code="40002")
        if not params.get("sign"):
            raise Refusal("isv.missing-signature", "缺少签名参数", code="40001")
        right = params.get("sign_type") == "RSA2"
        if not right or not verify(content_to_sign(params), params["sign"], self.who.app_public_key):
            raise Refusal("isv.invalid-signature", "验签出错", code="40002")
        try:
            biz = json.loads(params.get("biz_content", ""))
        except (ValueError, RecursionError):
            biz = None
        if not isinstance(biz, dict):
            raise Refusal("isv.invalid-parameter", "参数无效", code="40002")
        return biz

    def _after(self, operation: str, node: dict[str, Any]) -> HttpReply:
        """Send the reply, or what a fault makes of it."""
        take = self.faults.take
        if (fault := take("slow", operation)) is not None:
            time.sleep(fault.value / 1000)
        if take("drop_after", operation):
            raise Hangup
        if take("garbage", operation):
            return HttpReply(200, b"<html><body>502 Bad Gateway \xff\xfe</body></html>", "text/html")
        if take("unknown", operation):
            node = _refused(Refusal("aop.ACQ.SYSTEM_ERROR", "系统异常", code="20000"))
        if (fault := take("wrong_amount", operation)) is not None:
            node |= {name: yuan(fen(node[name]) + (fault.value or 1)) for name in _AMOUNTS if name in node}
        if take("wrong_id", operation):
            node |= {name: node[name][::-1] for name in ("out_trade_no", "trade_no") if name in node}
        if take("old_refund_query", operation):
            node.pop("refund_status", None)
        reply = self._reply(operation, node, spoilt=take("bad_signature", operation) is not None)
        if take("wrong_encoding", operation):
            return HttpReply(200, reply.body.decode().encode("utf-16"), "text/html;charset=utf-8")
        if take("half_body", operation):
            return HttpReply(200, reply.body, reply.content_type, truncate=len(reply.body) // 2)
        return reply

    def _reply(self, operation: str, node: Mapping[str, Any], *, spoilt: bool = False) -> HttpReply:
        """The signed reply. Slashes are escaped, as Alipay does: a client that re-serialises gets the wrong text."""
        raw = json.dumps(node, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
        name = node_name(operation) if operation in (BILL, *self.methods.by_name) else "error_response"
        if node.get("sub_code") == "isv.invalid-app-id":
            return HttpReply(200, f'{{"{name}":{raw}}}'.encode(), "text/html;charset=utf-8")
        signature = sign(raw + " " if spoilt else raw, self.who.alipay_private_key)
        return HttpReply(200, f'{{"{name}":{raw},"sign":"{signature}"}}'.encode(), "text/html;charset=utf-8")

    def _download(self, token: str) -> HttpReply:
        self._requests["bill.download"] += 1
        self._before("bill.download")
        archive = self.bills.fetch(token)
        if archive is None:
            return HttpReply(404, b"expired", "text/plain")
        if self.faults.take("garbage", "bill.download"):
            archive = b"<html>busy</html>"
        half = len(archive) // 2 if self.faults.take("half_body", "bill.download") else None
        return HttpReply(200, archive, "application/zip", truncate=half)

    # -- the panel -----------------------------------------------------------------------------------------------

    def books(self) -> dict[str, Any]:
        trades, refunds = self.ledger.all(Trade), self.ledger.all(Refund)
        trades = [self.trades.peek(trade.out_trade_no) or trade for trade in trades]
        paid = [trade for trade in trades if trade.paid_at]
        received, refunded = sum(trade.receipt for trade in paid), sum(refund.receipt for refund in refunds)
        fees = sum(trade.fee - trade.fee_refunded for trade in paid)
        balances = self.ledger.balances()
        return {
            "money": {"received": received, "refunded": refunded, "net": received - refunded, "fees": fees},
            "seller_balance": balances.pop(SELLER),
            "buyers": {account: balance for account, balance in balances.items() if not account.startswith("_")},
            "trades": {trade.out_trade_no: _shown(trade) for trade in trades},
            "refunds": [asdict(refund) for refund in refunds],
            "unopened": [order.out_trade_no for order in self.ledger.all(Order)],
            "codes_used": sum(1 for code in self.ledger.all(Code) if code.used_at),
            "notices": list(self.notices.log),
            "requests": dict(self._requests),
        }

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        lever = getattr(self, f"_do_{command.get('do')}", None)
        if lever is None:
            return super().control(command)
        arguments = {name: value for name, value in command.items() if name != "do"}
        try:
            result: dict[str, Any] = lever(**arguments)
        except Refusal as refusal:
            raise ValueError(f"{refusal.sub_code} {refusal.message}") from None
        return result

    def _do_make_code(
        self, buyer: str = "", balance: int | None = None, behaviour: str = "", life_s: float = 0
    ) -> dict[str, Any]:
        """A fresh payment code of a buyer; ``balance`` (fen) opens or sets the account."""
        buyer = buyer or buyer_id(secrets.randbelow(50))
        if balance is not None or self.ledger.balance(buyer) is None:
            self.ledger.set_balance(buyer, self.trades.rules.buyer_balance if balance is None else balance)
        auth_code = f"28{secrets.randbelow(10**12):012d}0000"
        until = self.now() + (life_s or self.trades.rules.code_life_s)
        self.ledger.save(Code(digest=digest(auth_code), buyer=buyer, behaviour=behaviour, expires_at=until))
        return {"auth_code": auth_code, "buyer": buyer, "expires_at": until}

    def _do_type_password(self, out_trade_no: str) -> dict[str, Any]:
        """The customer types the password: a waiting trade is paid."""
        trade = self.trades.find(out_trade_no)
        if trade.status != WAIT:
            raise ValueError(f"the trade is {trade.status}")
        return _shown(self.trades.pay(trade))

    def _do_refuse_password(self, out_trade_no: str) -> dict[str, Any]:
        """The customer refuses: the trade is closed."""
        return _shown(self.trades.close(self.trades.find(out_trade_no)))

    def _do_scan(self, out_trade_no: str = "", qr_code: str = "", buyer: str = "", pays: bool = True) -> dict[str, Any]:
        """A customer opens a shown QR code (named by it or by the order number), and pays unless ``pays`` is false."""
        by = {"qr_code": qr_code} if qr_code else {"out_trade_no": out_trade_no}
        order = self.ledger.get(Order, **by)
        if order is None:
            raise ValueError("no such QR code is shown")
        trade = self.trades.open_order(order, buyer or buyer_id(0))
        return _shown(self.trades.pay(trade) if pays else trade)

    def _do_finish(self, out_trade_no: str) -> dict[str, Any]:
        """The refund period ends: the trade is TRADE_FINISHED."""
        trade = self.trades.find(out_trade_no)
        if trade.status != PAID:
            raise ValueError(f"the trade is {trade.status}")
        trade.paid_at = self.now() - self.trades.rules.finish_after_s
        self.ledger.save(trade)
        return _shown(self.trades.find(out_trade_no))

    def _do_expire(self, out_trade_no: str) -> dict[str, Any]:
        """An unpaid trade's time is over."""
        return _shown(self.trades.close(self.trades.find(out_trade_no)))

    def _do_make_bill(self, date: str) -> dict[str, Any]:
        """Make the bill of a day (``yyyy-mm-dd``) available now."""
        self.bills.make(date)
        return {"date": date}

    def _do_set_balance(self, amount: int, account: str = SELLER) -> dict[str, Any]:
        """Set the balance (fen) of the seller or of a buyer."""
        self.ledger.set_balance(account, amount)
        return {"account": account, "balance": amount}

    def _do_send_notice(self, out_trade_no: str, notify_url: str = "") -> dict[str, Any]:
        """Post a trade's notice again, or for the first time to an address given here."""
        trade = self.trades.find(out_trade_no)
        trade.notify_url = notify_url or trade.notify_url
        self.notices.announce(trade)
        return {"notify_url": trade.notify_url}


def _rules(options: Mapping[str, str]) -> Rules:
    """The rules with what the options say of them; raises ``ValueError`` for what is not a number."""
    given: dict[str, Any] = {}
    for name, default in asdict(Rules()).items():
        if name in options:
            given[name] = options[name] in ("1", "true") if isinstance(default, bool) else type(default)(options[name])
    return Rules(**given)


def _succeeded(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": "10000", "msg": "Success"} | dict(answer)


def _refused(refusal: Refusal) -> dict[str, Any]:
    words = {"40004": "Business Failed", "40002": "Invalid Arguments", "20000": "Service Currently Unavailable"}
    head = {"code": refusal.code, "msg": words.get(refusal.code, "Missing Arguments")}
    return head | {"sub_code": refusal.sub_code, "sub_msg": refusal.message} | refusal.fields


def _shown(trade: Trade) -> dict[str, Any]:
    """A trade as the books show it: no digest of a code, no address."""
    shown = asdict(trade)
    for name in ("code_digest", "notify_url", "password"):
        del shown[name]
    return shown
