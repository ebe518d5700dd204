"""The e-voucher platform 凭证通, simulated: its calls, its notices, and the customers who buy, lose and give back.

Run it with ``gateway simulate evoucher``. Its README lists the levers, the options and the faults.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk.simulator import COMMON_FAULTS, LOOPBACK, FaultPanel, Hangup, HttpReply, HttpRequest, Simulator
from gateway.sdk.simulator import serve_http as serve
from plugins.evoucher.protocol import (
    BAD_KEY,
    BAD_PARAMETER,
    BAD_SESSION,
    BAD_SIGNATURE,
    BUSY,
    CHINA,
    TIME,
    ParseError,
    read_form,
    sign_call,
)
from plugins.evoucher.simulator_book import Book, Refusal
from plugins.evoucher.simulator_levers import Levers
from plugins.evoucher.simulator_methods import Methods
from plugins.evoucher.simulator_notices import Notices

APP_KEY, SELLER_NICK, SELLER_ID = "ev-app-1001", "星海旗舰店", "2200001001"
APP_SECRET, SESSION = "ev-app-secret-7c21f0b4", "ev-session-91d3e8aa"
#: How far a call's time may be off, in seconds.
_WINDOW_S = 600
Data = dict[str, Any]


class EVoucherSimulator(Simulator):
    """The simulated platform with one merchant; books and credentials are in its data folder."""

    name = "evoucher"
    extra_faults: ClassVar[dict[str, str]] = {
        "busy_acted": "act, then answer 'system busy'",
        "log_lag": "the log shows a use only after a while; value = milliseconds",
        "notice_lost": "a notice never leaves: only tasks.get tells of it",
        "notice_late": "a notice leaves later, and may be overtaken; value = milliseconds",
        "notice_twice": "a notice is delivered twice",
        "notice_forged": "somebody else posts a notice of the same look first",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        known = {name: text for name, text in COMMON_FAULTS.items() if name != "bad_signature"}
        self.faults = FaultPanel({**known, **self.extra_faults})  # replies are not signed
        for name, value in (("app_secret", APP_SECRET), ("session", SESSION)):
            _write_secret(data / name, value)
        self.book = Book(data / "evoucher.db")
        who = {"seller_nick": SELLER_NICK, "seller_id": SELLER_ID, "app_secret": APP_SECRET}
        pause, most = float(self.options.get("notice_pause_s", "60")), int(self.options.get("notice_tries", "5"))
        self.notices = Notices(self.book, self.faults, self.now, who, pause, most)
        self.notices.url = self.options.get("notify_url", "")
        self.methods = Methods(self.book, self.now, self.notices.again, self._log_lag, SELLER_NICK)
        self._levers = Levers(self.book, self.notices, self.now)
        self._requests: Counter[str] = Counter()
        self._server: ThreadingHTTPServer | None = None
        names = "send failsend resend consume reverse order.get code.get oplogs.get tasks.get manage.notify seller.get"
        self._calls: dict[str, Callable[[Mapping[str, str]], Data]] = {
            name: getattr(self.methods, name.replace(".", "_")) for name in names.split()
        }

    def start(self) -> dict[str, str]:
        self._server = serve(self._handle, self.port("platform"))
        self.notices.start()
        return {"platform": f"{LOOPBACK}:{self._server.server_address[1]}"}

    def stop(self) -> None:
        self.notices.stop()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self.book.close()

    def _log_lag(self) -> float:
        return next((fault.value / 1000 for fault in self.faults.list() if fault.name == "log_lag"), 0.0)

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def _handle(self, request: HttpRequest) -> HttpReply:
        if (request.method, request.path) != ("POST", "/router/rest"):
            return HttpReply(404, b"404 page not found", "text/plain")
        try:
            fields = read_form(request.body, "utf-8")
        except ParseError:
            fields = {}
        name = fields.get("method", "").removeprefix("evoucher.")
        if name not in self._calls:
            return _reply("error", {"code": 22, "msg": "Invalid method", "sub_code": BAD_PARAMETER})
        return self._faulty(name, lambda: self._authorised(name, fields))

    def _authorised(self, name: str, fields: Mapping[str, str]) -> Data:
        if fields.get("app_key") != APP_KEY:
            raise Refusal(BAD_KEY, "app_key不存在")
        if not hmac.compare_digest(sign_call(fields, APP_SECRET).encode(), fields.get("sign", "").encode()):
            raise Refusal(BAD_SIGNATURE, "签名错误")
        if fields.get("session") != SESSION:
            raise Refusal(BAD_SESSION, "session无效")
        try:
            at = datetime.strptime(fields.get("timestamp", ""), TIME).replace(tzinfo=CHINA).timestamp()
        except ValueError:
            raise Refusal(BAD_PARAMETER, "timestamp不合法") from None
        if abs(at - self.now()) > _WINDOW_S:
            raise Refusal(BAD_PARAMETER, "timestamp与服务器时间相差超过10分钟")
        return self._calls[name](fields)

    def _faulty(self, name: str, act: Callable[[], Data]) -> HttpReply:
        """Act as the faults switched on for this call want it."""
        self._requests[name] += 1
        take = self.faults.take
        fault = take("latency", name)
        pause = float(self.options.get("latency_ms", "0")) + (fault.value if fault else 0)
        if pause:
            time.sleep(pause / 1000)
        if take("refuse", name) or take("drop_before", name):
            raise Hangup
        if (late := take("late_success", name)) is not None:
            timer = threading.Timer(late.value / 1000, lambda: _answer(act))
            timer.daemon = True
            timer.start()
            raise Hangup
        if take("error", name):
            return _busy()
        kind, data = _answer(act)
        if take("duplicate", name):
            kind, data = _answer(act)
        return self._spoilt(name, kind, data)

    def _spoilt(self, name: str, kind: str, data: Data) -> HttpReply:
        take = self.faults.take
        if (fault := take("slow", name)) is not None:
            time.sleep(fault.value / 1000)
        if take("drop_after", name):
            raise Hangup
        if take("garbage", name):
            return HttpReply(200, b"<html>bad gateway \xff\xfe</html>", "text/html")
        if take("busy_acted", name):
            return _busy()
        if "num" in data and (fault := take("wrong_amount", name)) is not None:
            data |= {"num": data["num"] + (fault.value or 1)}
        if "order_id" in data and take("wrong_id", name):
            data |= {key: data[key][::-1] for key in ("order_id", "serial_num") if key in data}
        reply = _reply(kind or name, data)
        if take("wrong_encoding", name):
            return HttpReply(200, reply.body.decode().encode("utf-16"))
        if take("half_body", name):
            return HttpReply(200, reply.body, reply.content_type, truncate=len(reply.body) // 2)
        return reply

    # -- the panel ---------------------------------------------------------------------------------------------------

    def books(self) -> dict[str, Any]:
        orders = self.book.rows("SELECT * FROM orders ORDER BY bought_at")
        codes = self.book.rows("SELECT * FROM codes ORDER BY rowid")
        log = self.book.rows("SELECT * FROM log ORDER BY log_id")
        back = {line["serial"] for line in log if line["type"] == 2}
        waiting = self.book.rows("SELECT order_id, method, tries, answered, called_back FROM notices ORDER BY number")
        shown = ("state", "num", "cancelled", "texts", "failed", "item", "token")
        return {
            "orders": {order["order_id"]: {name: order[name] for name in shown} for order in orders},
            "codes": {code["code"]: {name: code[name] for name in code if name != "code"} for code in codes},
            "log": log,
            "used": sum(code["used"] for code in codes),
            "uses": [line for line in log if line["type"] == 1 and line["serial"] not in back],
            "texts": sum(order["texts"] for order in orders),
            "notices": waiting,
            "delivered": self.notices.delivered,
            "requests": dict(self._requests),
        }

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        lever = getattr(self._levers, f"do_{command.get('do')}", None)
        if lever is None:
            return super().control(command)
        result: dict[str, Any] = lever(**{name: value for name, value in command.items() if name != "do"})
        return result


def _write_secret(path: Path, value: str) -> None:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(value, encoding="utf-8")


def _answer(act: Callable[[], Data]) -> tuple[str, Data]:
    """What a call gives, and ``error`` if that is a refusal."""
    try:
        return "", act()
    except Refusal as refusal:
        return "error", {
            "code": 15,
            "msg": "Remote service error",
            "sub_code": refusal.code,
            "sub_msg": refusal.message,
        }


def _busy() -> HttpReply:
    return _reply("error", {"code": 15, "msg": "Remote service error", "sub_code": BUSY, "sub_msg": "系统繁忙"})


def _reply(kind: str, data: Mapping[str, Any]) -> HttpReply:
    name = "error_response" if kind == "error" else f"evoucher_{kind.replace('.', '_')}_response"
    whole = {name: dict(data) | {"request_id": secrets.token_hex(6)}}
    return HttpReply(200, json.dumps(whole, ensure_ascii=False).encode())
