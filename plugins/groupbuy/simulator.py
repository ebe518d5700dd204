"""The group-buy platform 团券通, simulated: tokens, prepare → verify → cancel, history, and customers who buy.

Run it with ``gateway simulate groupbuy``. Its README lists the levers, the options and the faults.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk.simulator import COMMON_FAULTS, LOOPBACK, FaultPanel, Hangup, HttpReply, HttpRequest, Simulator
from gateway.sdk.simulator import serve_http as serve
from plugins.groupbuy.protocol import (
    BAD_PARAMETER,
    BUSY,
    REFUNDED,
    TOKEN_EXPIRED,
    TOKEN_INVALID,
    UNUSED,
)
from plugins.groupbuy.simulator_book import Book, Refusal, seed
from plugins.groupbuy.simulator_methods import STATUS_NAMES, Methods
from plugins.groupbuy.simulator_seed import POIS, PRODUCTS

CLIENT_KEY, CLIENT_SECRET = "tqt-merchant-001", "tqt-secret-5b1c9e"
Data = dict[str, Any]


class GroupBuySimulator(Simulator):
    """The simulated platform with one merchant of several shops; books and credentials are in its data folder."""

    name = "groupbuy"
    extra_faults: ClassVar[dict[str, str]] = {
        "token_expired": "answer that the access token has expired, without acting",
        "verify_error_acted": "verify, then answer 'system busy'; the same verify again is answered by 1208",
        "partial_results": "one certificate of a verify of several turns out to be refunded; the others are redeemed",
        "result_lag": "a get or query shows a redemption only after a while; value = milliseconds",
        "extra_error": "answer error_code 0 in data and the error 'system busy' in extra, without acting",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        known = {name: text for name, text in COMMON_FAULTS.items() if name != "bad_signature"}
        self.faults = FaultPanel({**known, **self.extra_faults})  # replies are not signed
        self._write_secret(data / "client_secret")
        self.book = Book(data / "groupbuy.db")
        seed(self.book, PRODUCTS, self.now)
        cancel_s, token_s = float(self.options.get("cancel_s", "3600")), float(self.options.get("prepare_s", "1800"))
        fee_bp = int(self.options.get("fee_bp", "500"))
        self.methods = Methods(self.book, PRODUCTS, POIS, self.now, cancel_s, token_s, fee_bp)
        self._tokens: dict[str, float] = {}
        self._requests: Counter[str] = Counter()
        self._server: ThreadingHTTPServer | None = None
        self._routes: dict[tuple[str, str], tuple[str, Callable[[Mapping[str, Any]], Data]]] = {
            ("GET", "/v1/certificate/prepare"): ("prepare", self.methods.prepare),
            ("POST", "/v1/certificate/verify"): ("verify", self._verify),
            ("POST", "/v1/certificate/cancel"): ("cancel", self.methods.cancel),
            ("GET", "/v1/certificate/get"): ("get", self._lagging(self.methods.get)),
            ("GET", "/v1/certificate/query"): ("query", self._lagging(self.methods.query)),
            ("GET", "/v1/verify_record/query"): ("history", self.methods.history),
            ("GET", "/v1/shop/poi/query"): ("shops", self.methods.shops),
        }

    def _write_secret(self, path: Path) -> None:
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(CLIENT_SECRET, encoding="utf-8")

    def start(self) -> dict[str, str]:
        self._server = serve(self._handle, self.port("platform"))
        return {"platform": f"{LOOPBACK}:{self._server.server_address[1]}"}

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self.book.close()

    # -- HTTP ----------------------------------------------------------------------------------------------------

    def _handle(self, request: HttpRequest) -> HttpReply:
        if request.path.startswith("/s/"):
            return self._short_link(request.path.removeprefix("/s/").strip("/"))
        if (request.method, request.path) == ("POST", "/oauth/client_token"):
            return self._faulty("token", lambda: self._token(_json(request.body)))
        route = self._routes.get((request.method, request.path.rstrip("/")))
        if route is None:
            return HttpReply(404, b"404 page not found", "text/plain")
        operation, method = route
        return self._faulty(operation, lambda: self._authorised(operation, request, method))

    def _faulty(self, operation: str, act: Callable[[], Data]) -> HttpReply:
        """Act as the faults switched on for this operation want it."""
        self._requests[operation] += 1
        take = self.faults.take
        fault = take("latency", operation)
        pause = float(self.options.get("latency_ms", "0")) + (fault.value if fault else 0)
        if pause:
            time.sleep(pause / 1000)
        if take("refuse", operation) or take("drop_before", operation):
            raise Hangup
        if (late := take("late_success", operation)) is not None:
            self._later(late.value, act)
            raise Hangup
        if take("error", operation):
            return _reply({"error_code": BUSY, "description": "系统繁忙，请稍后重试"})
        if take("extra_error", operation):
            return _reply({}, BUSY)
        data = _answer(act)
        if take("duplicate", operation):
            data = _answer(act)
        return self._spoilt(operation, data)

    def _later(self, milliseconds: int, act: Callable[[], Data]) -> None:
        timer = threading.Timer(milliseconds / 1000, lambda: _answer(act))
        timer.daemon = True
        timer.start()

    def _spoilt(self, operation: str, data: Data) -> HttpReply:
        take = self.faults.take
        if (fault := take("slow", operation)) is not None:
            time.sleep(fault.value / 1000)
        if take("drop_after", operation):
            raise Hangup
        if take("garbage", operation):
            return HttpReply(200, b"<html>gateway timeout \xff\xfe</html>", "text/html")
        if operation == "verify" and take("verify_error_acted", operation):
            data = {"error_code": BUSY, "description": "系统繁忙，请稍后重试"}
        if (fault := take("wrong_amount", operation)) is not None:
            for item in _items(data, "amount"):
                item["original_amount"] += fault.value or 1
        if take("wrong_id", operation):
            for name in ("certificate_id", "encrypted_code", "verify_id"):
                for item in _items(data, name):
                    item[name] = item[name][::-1]
        reply = _reply(data)
        if take("wrong_encoding", operation):
            return HttpReply(200, reply.body.decode().encode("utf-16"))
        if take("half_body", operation):
            return HttpReply(200, reply.body, reply.content_type, truncate=len(reply.body) // 2)
        return reply

    def _token(self, fields: Mapping[str, Any]) -> Data:
        if (fields.get("client_key"), fields.get("client_secret")) != (CLIENT_KEY, CLIENT_SECRET):
            raise Refusal(10008, "client_key或client_secret错误")
        lifetime = int(self.options.get("access_token_s", "7200"))
        token = f"clt.{secrets.token_hex(24)}"
        self._tokens[token] = self.now() + lifetime
        return {"access_token": token, "expires_in": lifetime}

    def _authorised(self, operation: str, request: HttpRequest, method: Callable[[Mapping[str, Any]], Data]) -> Data:
        if self.faults.take("token_expired", operation):
            raise Refusal(TOKEN_EXPIRED, "access_token过期，请刷新或重新授权")
        until = self._tokens.get(request.headers.get("access-token", ""))
        if until is None:
            raise Refusal(TOKEN_INVALID, "access_token无效")
        if self.now() >= until:
            raise Refusal(TOKEN_EXPIRED, "access_token过期，请刷新或重新授权")
        return method(request.query if request.method == "GET" else _json(request.body))

    def _verify(self, fields: Mapping[str, Any]) -> Data:
        wanted = fields.get("encrypted_codes")
        if isinstance(wanted, list) and len(wanted) > 1 and self.faults.take("partial_results", "verify"):
            self.book.run(
                "UPDATE certificates SET status = :gone WHERE encrypted_code = :code AND status = :unused",
                gone=REFUNDED,
                code=str(wanted[-1]),
                unused=UNUSED,
            )
        return self.methods.verify(fields)

    def _lagging(self, method: Callable[[Mapping[str, Any]], Data]) -> Callable[[Mapping[str, Any]], Data]:
        """A look at certificates that runs behind while the fault ``result_lag`` is on."""

        def look(fields: Mapping[str, Any]) -> Data:
            data = method(fields)
            lag = next((fault.value for fault in self.faults.list() if fault.name == "result_lag"), 0)
            for certificate in _items(data, "verify") if lag else []:
                if certificate["verify"]["verify_time"] + 1 + lag / 1000 > self.now():
                    certificate |= {"status": UNUSED, "verify": None}
            return data

        return look

    def _short_link(self, object_id: str) -> HttpReply:
        """The first hop of a QR code's short link."""
        self._requests["short_link"] += 1
        target = f"https://www.tuanquan.example/share/coupon/?schema_type=13&object_id={object_id}&app=tq"
        return HttpReply(302, b"", "text/html", headers=(("Location", target),))

    # -- the panel -----------------------------------------------------------------------------------------------

    def books(self) -> dict[str, Any]:
        rows = self.book.rows("SELECT * FROM certificates ORDER BY code")
        records = self.book.rows("SELECT * FROM records ORDER BY number")
        counts = Counter(STATUS_NAMES[row["status"]] for row in rows)
        live = [record for record in records if not record["cancel_time"]]
        fields = (
            "verify_id",
            "certificate_id",
            "order_id",
            "poi_id",
            "account",
            "device",
            "verify_time",
            "cancel_time",
        )
        return {
            "counts": dict(counts),
            "redeemed_amount": sum(PRODUCTS[record["sku_id"]].sold for record in live),
            "certificates": {row["code"]: self._shown(row) for row in rows},
            "records": [{name: record[name] for name in fields} for record in records],
            "prepares": len(self.book.rows("SELECT 1 FROM prepares")),
            "shops": POIS,
            "requests": dict(self._requests),
        }

    def _shown(self, row: Mapping[str, Any]) -> dict[str, Any]:
        product = PRODUCTS[row["sku_id"]]
        shown = {name: row[name] for name in ("order_id", "certificate_id", "object_id", "verify_id", "expires_at")}
        shown |= {"status": STATUS_NAMES[row["status"]], "deal": product.third_sku_id, "title": product.title}
        return shown | {"face_amount": product.original, "sold_amount": product.sold, "pois": list(product.pois)}

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        lever = getattr(self, f"_do_{command.get('do')}", None)
        if lever is None:
            return super().control(command)
        result: dict[str, Any] = lever(**{name: value for name, value in command.items() if name != "do"})
        return result

    def _do_buy(self, deal: str, count: int = 1, days: float | None = None) -> dict[str, Any]:
        """A customer buys ``count`` of a deal (its number at the merchant, as ``TC03``, or at the platform)."""
        product = next((p for p in PRODUCTS.values() if deal in (p.third_sku_id, p.sku_id)), None)
        if product is None:
            raise ValueError(f"no deal {deal!r}; there are {', '.join(p.third_sku_id for p in PRODUCTS.values())}")
        bought = self.book.buy(product, self.now(), count=count, days=days)
        address = self._server.server_address[1] if self._server else 0
        return bought | {"short_link": f"http://{LOOPBACK}:{address}/s/{bought['object_id']}/"}

    def _do_refund(self, code: str) -> dict[str, Any]:
        """The customer gives an unused certificate back."""
        return self._move(code, UNUSED, REFUNDED)

    def _do_expire(self, code: str) -> dict[str, Any]:
        """A certificate's time is over."""
        self.book.run("UPDATE certificates SET expires_at = :at WHERE code = :code", at=self.now() - 1, code=code)
        return self._shown(self._row(code))

    def _do_use_elsewhere(self, code: str, poi: str = "") -> dict[str, Any]:
        """Somebody redeems a certificate with the platform's own app."""
        row = self._row(code)
        fields = {"code": code, "poi_id": poi or PRODUCTS[row["sku_id"]].pois[0]}
        try:
            prepared = self.methods.prepare(fields)
            operator = {"account": "shop-phone", "name": "店长", "device": "app"}
            codes = [row["encrypted_code"]]
            token = prepared["verify_token"]
            self.methods.verify(fields | {"verify_token": token, "encrypted_codes": codes, "operator": operator})
        except Refusal as refusal:
            raise ValueError(f"{refusal.code} {refusal.message}") from None
        return self._shown(self._row(code))

    def _do_age(self, code: str, seconds: float) -> dict[str, Any]:
        """Move a redemption into the past, as if it had been made so many seconds earlier."""
        sql = "UPDATE records SET verify_time = verify_time - :seconds WHERE verify_id = :id"
        self.book.run(sql, seconds=seconds, id=self._row(code)["verify_id"])
        return self._shown(self._row(code))

    def _do_forget_tokens(self) -> dict[str, Any]:
        """Every access token becomes invalid, as after a restart of the platform."""
        forgotten = len(self._tokens)
        self._tokens.clear()
        return {"forgotten": forgotten}

    def _row(self, code: str) -> dict[str, Any]:
        row = self.book.row("SELECT * FROM certificates WHERE code = :code", code=code)
        if row is None:
            raise ValueError("no such code")
        return row

    def _move(self, code: str, old: int, new: int) -> dict[str, Any]:
        sql = "UPDATE certificates SET status = :new WHERE code = :code AND status = :old"
        if not self.book.run(sql, new=new, code=code, old=old):
            raise ValueError(f"the certificate is {STATUS_NAMES[self._row(code)['status']]}")
        return self._shown(self._row(code))


def _answer(act: Callable[[], Data]) -> Data:
    try:
        return act()
    except Refusal as refusal:
        return {"error_code": refusal.code, "description": refusal.message}


def _reply(data: Mapping[str, Any], extra_code: int = 0) -> HttpReply:
    code = data.get("error_code", 0)
    extra = {"error_code": extra_code, "description": "系统繁忙" if extra_code else ""}
    extra |= {"logid": secrets.token_hex(8), "now": int(time.time())}
    whole = {"data": {"error_code": code, "description": ""} | dict(data), "extra": extra}
    return HttpReply(200, json.dumps(whole, ensure_ascii=False).encode())


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Refusal(BAD_PARAMETER, "参数不合法")
    return fields


def _items(value: Any, name: str) -> list[dict[str, Any]]:
    """Every object in a reply that has a member of this name."""
    if isinstance(value, list):
        return [found for item in value for found in _items(item, name)]
    if not isinstance(value, dict):
        return []
    mine = [value] if value.get(name) else []
    return mine + [found for item in value.values() for found in _items(item, name)]
