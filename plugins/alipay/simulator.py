"""Alipay's open gateway, simulated: ``POST /gateway.do`` with real RSA2 signatures, notices, and a daily bill.

Run it with ``gateway simulate alipay``. Its README lists what codes do, the levers, the options and the faults.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from plugins.alipay.protocol import content_to_sign, fen, node_name, sign, verify, yuan
from plugins.alipay.simulator_ledger import Refusal
from plugins.alipay.simulator_merchant import Merchant

BILL = "alipay.data.dataservice.bill.downloadurl.query"
_AMOUNTS = ("total_amount", "receipt_amount", "buyer_pay_amount", "refund_amount", "refund_fee")


class AlipaySimulator(Simulator):
    """The simulated channel with one merchant, or several; keys and books are in its data folder."""

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
        self.main = Merchant(data, "", self.options, self.faults, self.now)
        names = [name for name in self.options.get("merchants", "").split(",") if name]
        others = {name: self._merchant(name) for name in names}
        self.merchants = {"": self.main} | others
        self._by_app = {merchant.who.app_id: merchant for merchant in self.merchants.values()}
        self._requests: Counter[str] = Counter()
        self._server: ThreadingHTTPServer | None = None
        self._root = ""

    def _merchant(self, name: str) -> Merchant:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"merchants: {name!r} is no name for a folder")
        return Merchant(self.data / name, name, self.options, self.faults, self.now, self.main.ledger)

    def start(self) -> dict[str, str]:
        for merchant in self.merchants.values():
            merchant.notices.start()
        self._server = serve_http(self._handle, self.port("gateway"))
        address = f"{LOOPBACK}:{self._server.server_address[1]}"
        self._root = f"http://{address}"
        return {"gateway": address}

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        for merchant in self.merchants.values():
            merchant.stop()

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
            busy = _refused(Refusal("aop.ACQ.SYSTEM_ERROR", "系统繁忙", code="20000"))
            return self._reply(params, busy)
        node = self._act(operation, params)
        if self.faults.take("duplicate", operation):
            node = self._act(operation, params)
        return self._after(params, node)

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
            merchant, biz = self._authentic(params)
            if operation == "alipay.trade.cancel" and self.faults.take("cancel_retry", operation):
                raise Refusal("aop.ACQ.SYSTEM_ERROR", "系统异常", code="20000", retry_flag="Y")
            if operation == BILL:
                return _succeeded(merchant.bills.address(biz, self._root))
            method = merchant.methods.by_name.get(operation)
            if method is None:
                raise Refusal("isv.invalid-method", "不存在的方法名", code="40002")
            if operation == "alipay.trade.refund" and (slow := self.faults.take("refund_slow", operation)) is not None:
                self._later(slow.value, dict(params))
                return _succeeded({"out_trade_no": biz.get("out_trade_no", ""), "fund_change": "N"})
            return _succeeded(method(biz, params.get("notify_url", "")))
        except Refusal as refusal:
            number = {"out_trade_no": biz["out_trade_no"]} if isinstance(biz.get("out_trade_no"), str) else {}
            return _refused(refusal) | number

    def _authentic(self, params: Mapping[str, str]) -> tuple[Merchant, Mapping[str, Any]]:
        """Whose call this is, and its content."""
        merchant = self._by_app.get(params.get("app_id", ""))
        if merchant is None:
            raise Refusal("isv.invalid-app-id", "无效的AppID参数", code="40002")
        if not params.get("sign"):
            raise Refusal("isv.missing-signature", "缺少签名参数", code="40001")
        right = params.get("sign_type") == "RSA2"
        if not right or not verify(content_to_sign(params), params["sign"], merchant.who.app_public_key):
            raise Refusal("isv.invalid-signature", "验签出错", code="40002")
        try:
            biz = json.loads(params.get("biz_content", ""))
        except (ValueError, RecursionError):
            biz = None
        if not isinstance(biz, dict):
            raise Refusal("isv.invalid-parameter", "参数无效", code="40002")
        return merchant, biz

    def _after(self, params: Mapping[str, str], node: dict[str, Any]) -> HttpReply:
        """Send the reply, or what a fault makes of it."""
        take, operation = self.faults.take, params.get("method", "*")
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
        reply = self._reply(params, node, spoilt=take("bad_signature", operation) is not None)
        if take("wrong_encoding", operation):
            return HttpReply(200, reply.body.decode().encode("utf-16"), "text/html;charset=utf-8")
        if take("half_body", operation):
            return HttpReply(200, reply.body, reply.content_type, truncate=len(reply.body) // 2)
        return reply

    def _reply(self, params: Mapping[str, str], node: Mapping[str, Any], *, spoilt: bool = False) -> HttpReply:
        """The signed reply. Slashes are escaped, as Alipay does: a client that re-serialises gets the wrong text.

        A caller that is not known is answered unsigned: there is no key that it could verify with.
        """
        raw = json.dumps(node, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
        operation = params.get("method", "*")
        name = node_name(operation) if operation in (BILL, *self.main.methods.by_name) else "error_response"
        merchant = self._by_app.get(params.get("app_id", ""))
        if merchant is None:
            return HttpReply(200, f'{{"{name}":{raw}}}'.encode(), "text/html;charset=utf-8")
        signature = sign(raw + " " if spoilt else raw, merchant.who.alipay_private_key)
        return HttpReply(200, f'{{"{name}":{raw},"sign":"{signature}"}}'.encode(), "text/html;charset=utf-8")

    def _download(self, token: str) -> HttpReply:
        self._requests["bill.download"] += 1
        self._before("bill.download")
        archives = (merchant.bills.fetch(token) for merchant in self.merchants.values())
        archive = next((archive for archive in archives if archive is not None), None)
        if archive is None:
            return HttpReply(404, b"expired", "text/plain")
        if self.faults.take("garbage", "bill.download"):
            archive = b"<html>busy</html>"
        half = len(archive) // 2 if self.faults.take("half_body", "bill.download") else None
        return HttpReply(200, archive, "application/zip", truncate=half)

    # -- the panel -----------------------------------------------------------------------------------------------

    def books(self) -> dict[str, Any]:
        books = self.main.books() | {"requests": dict(self._requests)}
        others = {name: merchant.books() for name, merchant in self.merchants.items() if name}
        return books | ({"merchants": others} if others else {})

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """A lever of the merchant that ``merchant`` names, else of the one whose order it is, else of the first."""
        arguments = dict(command)
        name = str(arguments.pop("merchant", ""))
        merchant = self.merchants.get(name)
        if merchant is None:
            raise ValueError(f"no merchant {name!r}; there are: {', '.join(filter(None, self.merchants)) or 'none'}")
        if not name:
            merchant = next((each for each in self.merchants.values() if each.knows(arguments)), merchant)
        result = merchant.pull(arguments)
        return super().control(command) if result is None else result


def _succeeded(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": "10000", "msg": "Success"} | dict(answer)


def _refused(refusal: Refusal) -> dict[str, Any]:
    words = {"40004": "Business Failed", "40002": "Invalid Arguments", "20000": "Service Currently Unavailable"}
    head = {"code": refusal.code, "msg": words.get(refusal.code, "Missing Arguments")}
    return head | {"sub_code": refusal.sub_code, "sub_msg": refusal.message} | refusal.fields
