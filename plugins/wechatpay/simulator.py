"""WeChat Pay v3, simulated: real signatures both ways, exchangeable platform keys, encrypted notices, a trade bill.

Run it with ``gateway simulate wechatpay``. Its README lists what codes do, the levers, the options and the faults.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk import ParseError
from gateway.sdk.signers import rsa
from gateway.sdk.signers.wechat_v3 import SCHEME, TOLERANCE_S, encrypt, request_content
from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from plugins.wechatpay.protocol import dump, read_object
from plugins.wechatpay.simulator_bill import Bills
from plugins.wechatpay.simulator_books import Books, Order, Refusal, Repayment
from plugins.wechatpay.simulator_keys import Platform, load_or_make
from plugins.wechatpay.simulator_levers import Levers
from plugins.wechatpay.simulator_methods import Methods, stamp
from plugins.wechatpay.simulator_notices import Notices
from plugins.wechatpay.simulator_orders import Orders, Rules

_FIELD = re.compile(r'(\w+)="([^"]*)"', re.ASCII)
_ORDER = re.compile(r"/v3/pay/transactions/out-trade-no/([^/]{1,64})(/close|/reverse)?")
_REFUND = re.compile(r"/v3/refund/domestic/refunds/([^/]{1,80})")
_FIXED = {
    ("POST", "/v3/pay/transactions/codepay"): "codepay",
    ("POST", "/v3/pay/transactions/native"): "native",
    ("POST", "/v3/refund/domestic/refunds"): "refund",
    ("GET", "/v3/bill/tradebill"): "tradebill",
    ("GET", "/v3/billdownload/file"): "bill.download",
    ("GET", "/v3/certificates"): "certificates",
}


class WechatPaySimulator(Simulator):
    """The simulated channel with one merchant; keys and books are in its data folder."""

    name = "wechatpay"
    extra_faults: ClassVar[dict[str, str]] = {
        "system_error": "act, then answer 500 SYSTEM_ERROR, as the real one does when it can't tell",
        "reverse_again": "answer a reversal as done, without acting",
        "too_early": "refuse a reversal as too early",
        "refund_abnormal": "accept a refund that the customer's account then can't take",
        "refund_closed": "accept a refund that then fails: the merchant has its money again",
        "rotate": "exchange the platform key before answering",
        "stale_signature": "act, then answer with a signature of ten minutes ago",
        "wrong_hash": "tell another hash of the bill",
        "notice_lost": "do not post a notice",
        "notice_twice": "post a notice twice",
        "notice_forged": "post a notice whose signature does not verify",
        "notice_old": "post a notice that was signed 400 seconds ago",
        "notice_other_merchant": "post a notice, properly signed, about another merchant",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self.who = load_or_make(data)
        self.books_ = Books(data / "wechatpay.db")
        scale = float(self.options.get("notice_scale", "1"))
        self.notices = Notices(self.who, self.faults, lambda body, age: self._signed(body, self._current, age), scale)
        self.orders = Orders(self.books_, _rules(self.options), self.now, self._announce)
        by_code = self.options.get("userpaying", "code") == "code"
        self.methods = Methods(self.orders, self.who, waits_by_code=by_code)
        at_once = self.options.get("bill_ready", "next_day") == "at_once"
        columns = int(self.options.get("bill_columns", "27"))
        self.bills = Bills(self.books_, self.who, self.now, at_once=at_once, columns=columns)
        self.levers = Levers(self)
        self.requests: Counter[str] = Counter()
        self._server: ThreadingHTTPServer | None = None
        self.root = ""

    def start(self) -> dict[str, str]:
        self.notices.start()
        self._server = serve_http(self._handle, self.port("gateway"))
        address = f"{LOOPBACK}:{self._server.server_address[1]}"
        self.root = f"http://{address}"
        return {"gateway": address}

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self.notices.stop()
        self.orders.stop()
        self.books_.close()

    def books(self) -> dict[str, Any]:
        return self.levers.books() | {"requests": dict(self.requests), "notices": list(self.notices.log)}

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        result = self.levers.pull(command)
        return super().control(command) if result is None else result

    # -- keys ----------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> Platform:
        """The platform key in use; the other one is announced, and takes over with a rotation."""
        return self.who.platforms[self.books_.balance("#rotations") % 2]

    def rotate(self) -> str:
        """Exchange the platform key; gives the serial number of the one in use now."""
        self.books_.number("rotations")
        return self._current.serial

    def _signed(self, body: bytes, platform: Platform, age: float = 0.0) -> dict[str, str]:
        at, nonce = str(int(self.now() - age)), secrets.token_hex(16)
        signature = rsa.sign(f"{at}\n{nonce}\n".encode() + body + b"\n", platform.key)
        return {
            "Wechatpay-Timestamp": at,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": platform.serial,
            "Wechatpay-Signature": signature,
            "Wechatpay-Signature-Type": SCHEME,
        }

    def _certificates(self) -> dict[str, Any]:
        """The certificates, each encrypted: the one in use, and from a rotation on the other one too."""
        shown = [self._current, *(each for each in self.who.platforms if each is not self._current)]
        return {"data": [self._sealed(each) for each in shown[: 1 + bool(self.books_.balance("#rotations"))]]}

    def _sealed(self, platform: Platform) -> dict[str, Any]:
        nonce = secrets.token_hex(6)
        sealed = {"algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": "certificate"}
        sealed["ciphertext"] = encrypt(self.who.api_v3_key, nonce, platform.pem.encode(), "certificate")
        times = {"effective_time": stamp(self.now() - 86_400), "expire_time": stamp(self.now() + 86_400 * 365)}
        return {"serial_no": platform.serial, **times, "encrypt_certificate": sealed}

    # -- HTTP ----------------------------------------------------------------------------------------------------

    def _handle(self, request: HttpRequest) -> HttpReply:
        operation = _operation(request)
        self.requests[operation] += 1
        self._before(operation)
        if (late := self.faults.take("late_success", operation)) is not None:
            timer = threading.Timer(late.value / 1000, lambda: self._act(operation, request))
            timer.daemon = True
            timer.start()
            raise Hangup
        if self.faults.take("error", operation):
            return self._reply(request, 500, _error(Refusal(500, "SYSTEM_ERROR", "系统繁忙")))
        status, fields = self._act(operation, request)
        if self.faults.take("duplicate", operation):
            status, fields = self._act(operation, request)
        if isinstance(fields, bytes):
            half = len(fields) // 2 if self.faults.take("half_body", operation) else None
            return HttpReply(status, fields, "application/octet-stream", truncate=half)
        return self._after(operation, request, status, fields)

    def _before(self, operation: str) -> None:
        pause = float(self.options.get("latency_ms", "0"))
        if (fault := self.faults.take("latency", operation)) is not None:
            pause += fault.value
        if pause:
            time.sleep(pause / 1000)
        if self.faults.take("refuse", operation) or self.faults.take("drop_before", operation):
            raise Hangup

    def _act(self, operation: str, request: HttpRequest) -> tuple[int, dict[str, Any] | bytes]:
        """Do what was asked; also for a request that is not one."""
        try:
            self._authentic(request)
            found = self._done(operation, request)
            return (200 if found else 204), found
        except Refusal as refusal:
            return refusal.status, _error(refusal)
        except ParseError as error:
            return 400, _error(Refusal(400, "PARAM_ERROR", f"参数错误: {error}"))

    def _authentic(self, request: HttpRequest) -> None:
        """Verify the request's signature, over its very bytes."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        told = dict(_FIELD.findall(rest))
        ours = (told.get("mchid"), told.get("serial_no")) == (self.who.mchid, self.who.serial_no)
        at = told.get("timestamp", "")
        fresh = at.isascii() and at.isdigit() and len(at) < 12 and abs(int(at) - self.now()) < TOLERANCE_S
        if scheme != SCHEME or not ours or not fresh:
            raise Refusal(401, "SIGN_ERROR", "Http头Authorization中的商户号、证书序列号或时间戳不正确")
        content = request_content(request.method, request.target, at, told.get("nonce_str", ""), request.body)
        if not rsa.verify(content, told.get("signature", ""), self.who.merchant_key):
            raise Refusal(401, "SIGN_ERROR", "签名错误，验签失败")

    def _done(self, operation: str, request: HttpRequest) -> dict[str, Any] | bytes:
        order, refund = _ORDER.fullmatch(request.path), _REFUND.fullmatch(request.path)
        body = read_object(request.body) if request.method == "POST" else {}
        match operation:
            case "codepay":
                return self.methods.codepay(body)
            case "native":
                return self.methods.native(body)
            case "query" if order:
                return self.methods.query(order[1], request.query.get("mchid", ""))
            case "close" if order:
                return self.methods.close(order[1], body)
            case "reverse" if order:
                return self._reversal(order[1], body)
            case "refund":
                return self._refund(body)
            case "refund.query" if refund:
                return self.methods.refund_query(refund[1])
            case "tradebill":
                told = self.bills.address(request.query, self.root)
                return told | ({"hash_value": "0" * 40} if self.faults.take("wrong_hash") else {})
            case "bill.download":
                return self._file(request)
            case "certificates":
                return self._certificates()
        raise Refusal(404, "NOT_FOUND", "请求的资源不存在")

    def _reversal(self, number: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.faults.take("too_early", "reverse"):
            raise Refusal(403, "REVERSE_TOO_EARLY", "支付后15秒内请勿撤销")
        if self.faults.take("reverse_again", "reverse"):
            return {"appid": self.who.appid, "mchid": self.who.mchid, "out_trade_no": number}
        return self.methods.reverse(number, body)

    def _refund(self, body: Mapping[str, Any]) -> dict[str, Any]:
        fields = self.methods.refund(body)
        for fault, state in (("refund_abnormal", "ABNORMAL"), ("refund_closed", "CLOSED")):
            if self.faults.take(fault, "refund"):
                self.orders.settle(str(fields["out_refund_no"]), state)
        return fields

    def _file(self, request: HttpRequest) -> bytes:
        packed = self.bills.fetch(request.query.get("token", ""))
        if packed is None:
            raise Refusal(400, "INVALID_REQUEST", "下载地址已失效")
        return b"<html>busy</html>" if self.faults.take("garbage", "bill.download") else packed

    def _after(self, operation: str, request: HttpRequest, status: int, fields: dict[str, Any]) -> HttpReply:
        """Send the reply, or what a fault makes of it."""
        take = self.faults.take
        if (fault := take("slow", operation)) is not None:
            time.sleep(fault.value / 1000)
        if take("drop_after", operation):
            raise Hangup
        if take("garbage", operation):
            return HttpReply(200, b"<html><body>502 Bad Gateway \xff\xfe</body></html>", "text/html")
        if take("system_error", operation):
            status, fields = 500, _error(Refusal(500, "SYSTEM_ERROR", "系统异常"))
        if (fault := take("wrong_amount", operation)) is not None and "amount" in fields:
            changed = {name: fields["amount"][name] + (fault.value or 1) for name in ("total", "refund")
                       if name in fields["amount"]}  # fmt: skip
            fields = {**fields, "amount": fields["amount"] | changed}
        if take("wrong_id", operation):
            fields = {
                name: value[::-1] if name in ("out_trade_no", "out_refund_no") else value
                for name, value in fields.items()
            }
        if take("rotate", operation):
            self.rotate()
        reply = self._reply(request, status, fields, operation)
        if take("half_body", operation):
            return HttpReply(reply.status, reply.body, truncate=len(reply.body) // 2, headers=reply.headers)
        return reply

    def _reply(self, request: HttpRequest, status: int, fields: Mapping[str, Any], operation: str = "*") -> HttpReply:
        """The signed reply. A caller that is not known is answered unsigned."""
        body = b"" if status == 204 else dump(fields)
        if status == 401:
            return HttpReply(status, body)
        if self.faults.take("wrong_encoding", operation):
            body = body.decode().encode("utf-16")
        wanted = request.headers.get("wechatpay-serial", "")
        platform = self.who.bare if wanted == self.who.bare.serial else self._current
        age = 600.0 if self.faults.take("stale_signature", operation) else 0.0
        headers = self._signed(body, platform, age)
        if self.faults.take("bad_signature", operation):
            headers["Wechatpay-Signature"] = headers["Wechatpay-Signature"][:-8] + "AAAAAA=="
        return HttpReply(status, body, headers=tuple(headers.items()))

    # -- notices -------------------------------------------------------------------------------------------------

    def _announce(self, changed: Order | Repayment) -> None:
        self.announce(changed)

    def announce(self, changed: Order | Repayment, url: str = "") -> None:
        """Post a notice about an order that was paid, or about a refund that came to its end."""
        if isinstance(changed, Order):
            told = self.methods.told(changed)
            self.notices.announce(
                url or changed.notify_url, "TRANSACTION.SUCCESS", "transaction", told, stamp(self.now())
            )
        elif not changed.state.startswith("then ") and not changed.reversal:
            told = self.methods.told_refund(changed)
            told = {"mchid": self.who.mchid, "refund_status": told.pop("status"), **told}
            address = url or changed.notify_url
            self.notices.announce(address, f"REFUND.{changed.state}", "refund", told, stamp(self.now()))


def _operation(request: HttpRequest) -> str:
    fixed = _FIXED.get((request.method, request.path))
    if fixed:
        return fixed
    order = _ORDER.fullmatch(request.path)
    if order and request.method == "GET" and not order[2]:
        return "query"
    if order and request.method == "POST" and order[2]:
        return order[2][1:]
    return "refund.query" if request.method == "GET" and _REFUND.fullmatch(request.path) else "unknown"


def _error(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code, "message": refusal.message}


def _rules(options: Mapping[str, str]) -> Rules:
    """The rules with what the options say of them; raises ``ValueError`` for what is not a number."""
    defaults = asdict(Rules())
    given = {name: type(default)(options[name]) for name, default in defaults.items() if name in options}
    return Rules(**given)
