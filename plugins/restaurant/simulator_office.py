"""The simulated head office: tokens of two hours, signed requests, pages of 50, every number a float.

Its text is escaped, so that its replies are plain ASCII. Bills arrive here when a till has uploaded them, at once or
hours later, the newest first; a bill settled again arrives again under the same number with settleState -1.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from plugins.restaurant.protocol import ParseError, sign_token_request
from plugins.restaurant.protocol_bill import KEPT
from plugins.restaurant.simulator_bill import TillBill, wire
from plugins.restaurant.simulator_members import Members
from plugins.restaurant.simulator_seed import APP_KEY, APP_SECRET, BRAND_ID
from plugins.restaurant.simulator_till import LOCAL, Chain, TillError, stamp

TOKEN_LIFE_S = 7200
TIMESTAMP_WINDOW_S = 300
PAGE_SIZE = 50
#: How far back the real-time query may begin.
LIVE_WINDOW_S = 15 * 60
AMOUNTS = ("Money", "money", "Total", "Price", "price", "paid", "due")


def floats(value: Any, name: str = "") -> Any:
    """Every number as the head office writes it: ``3`` is ``3.0``, and yuan carry the noise of ``fen * 0.01``."""
    if isinstance(value, dict):
        return {key: floats(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [floats(item, name) for item in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return math.floor(value * 100 + 0.5) * 0.01 if name.endswith(AMOUNTS) else float(value)


def encode(code: int, msg: str = "", data: Mapping[str, Any] | None = None) -> bytes:
    """A reply of the head office."""
    return json.dumps({"code": code, "msg": msg, "data": dict(data or {})}).encode("ascii")


class HeadOffice:
    """The head office of one chain."""

    def __init__(self, chain: Chain, members: Members) -> None:
        self._chain = chain
        self._members = members
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()
        self._commands: dict[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
            "/api/auth/accesstoken": self._token,
            "/api/shop/getshops": self._shops,
            "/api/datatransfer/getdishs": self._dishes,
            "/api/datatransfer/getserialdata": self._day,
            "/api/datatransfer/getserialdatalive": self._live,
        }

    def run(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer one request with the reply's data. Raises ``TillError``."""
        if path != "/api/auth/accesstoken":
            self._check_token(query.get("accessToken", ""))
        try:
            if path.startswith("/api/crm/"):
                return floats(self._members.run(path.removeprefix("/api/crm/"), query))  # type: ignore[no-any-return]
            action = self._commands.get(path)
            if action is None:
                raise TillError(40004, "no such interface")
            return action(query)
        except (ParseError, ValueError) as error:
            raise TillError(40009, f"参数错误: {error}") from error

    def forget(self) -> None:
        """A restart, or an early expiry: no token given out so far is good any more."""
        with self._lock:
            self._tokens.clear()

    def receive(self, bill: TillBill, delay_s: float) -> None:
        """A till uploads a bill; it can be read after the delay."""
        arrives = self._chain.now() + delay_s
        document = {**wire(bill), "uploadTime": stamp(arrives)}
        for row in document["payways"]:
            row["deleteFlag"] = row["state"]
        self._chain.store.upload(bill, arrives, document)

    def shift(self, biz_date: str, bs_id: str) -> None:
        """Bring a bill to the front of its day, as a second upload of it does."""
        now = self._chain.now()
        for document in self._chain.store.cloud_day(biz_date, [], now):
            if document["bsId"] == bs_id:
                bill = self._chain.store.bill(document["shopCode"], bs_id)
                if bill:
                    bill.biz_date = biz_date
                    self._chain.store.upload(bill, now, {**document, "uploadTime": stamp(now)})

    def _check_token(self, token: str) -> None:
        with self._lock:
            until = self._tokens.get(token, 0.0)
        if self._chain.now() >= until:
            raise TillError(40001, "accessToken 已失效")

    def _token(self, query: Mapping[str, str]) -> dict[str, Any]:
        now, key, given = self._chain.now(), query.get("appKey", ""), query.get("timestamp", "")
        if (key, query.get("brandId")) != (APP_KEY, BRAND_ID):
            raise TillError(40005, "appKey 或 brandId 不存在")
        if not given.isascii() or not given.isdigit() or abs(int(given[:15]) - now) > TIMESTAMP_WINDOW_S:
            raise TillError(40003, "时间戳超出允许范围")
        wanted = sign_token_request(key, BRAND_ID, int(given), APP_SECRET)
        if not secrets.compare_digest(query.get("sign", "").encode(), wanted.encode()):
            raise TillError(40002, "签名错误")
        token = secrets.token_hex(16)
        with self._lock:
            self._tokens = {old: until for old, until in self._tokens.items() if until > now}
            self._tokens[token] = now + TOKEN_LIFE_S
        return {"accessToken": token, "expiresIn": TOKEN_LIFE_S}

    def _shops(self, query: Mapping[str, str]) -> dict[str, Any]:
        rows = [
            {
                "shopCode": shop.code,
                "shopName": shop.name,
                "shopNameEn": shop.english,
                "cityName": shop.city,
                "address": shop.address,
                "latitude": shop.latitude,
                "longitude": shop.longitude,
                "serviceRate": shop.service_bp,
                "serviceBasis": shop.service_basis,
                "wipeMode": shop.wipe,
            }
            for shop in self._chain.shops.values()
        ]
        return _page(rows, query, "shopList")

    def _dishes(self, query: Mapping[str, str]) -> dict[str, Any]:
        rows = [
            {
                "dishCode": dish.code,
                "dishName": dish.name,
                "dishNameEn": dish.english,
                "cateCode": dish.category,
                "unit": dish.unit,
                "price": dish.price / 100,
                "memberPrice": dish.member_price / 100,
                "promoPrice": dish.promo_price / 100,
                "canDisc": int(dish.discountable),
                "weigh": int(dish.weighed),
                "pkgFlag": int(dish.package),
                "departCode": dish.depart,
                "deleteFlag": KEPT,
            }
            for dish in self._chain.dishes.values()
        ]
        return floats(_page(rows, query, "dishList"))  # type: ignore[no-any-return]

    def _day(self, query: Mapping[str, str]) -> dict[str, Any]:
        day = query.get("settleBizDate", "")
        datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=LOCAL)
        rows = self._chain.store.cloud_day(day, _shop_list(query), self._chain.now())
        return floats(_page(rows, query, "billList"))  # type: ignore[no-any-return]

    def _live(self, query: Mapping[str, str]) -> dict[str, Any]:
        begin = datetime.strptime(query.get("timeBegin", ""), "%Y-%m-%d %H:%M:%S").replace(tzinfo=LOCAL).timestamp()
        now = self._chain.now()
        if now - begin > LIVE_WINDOW_S + 60:
            raise TillError(40031, "timeBegin 超出 15 分钟")
        rows = self._chain.store.cloud_since(begin, _shop_list(query), now)
        return floats(_page(rows, query, "billList"))  # type: ignore[no-any-return]


def _shop_list(query: Mapping[str, str]) -> list[str]:
    return [code for code in query.get("shopCode", "").split(",") if code]


def _page(rows: list[dict[str, Any]], query: Mapping[str, str], name: str) -> dict[str, Any]:
    number = int(query.get("pageNo", "1"))
    size = min(PAGE_SIZE, max(1, int(query.get("pageSize", str(PAGE_SIZE)))))
    if number < 1:
        raise ValueError("pageNo")
    pages = max(1, math.ceil(len(rows) / size))
    info = {"pageNo": number, "pageSize": size, "pageTotal": pages, "total": len(rows)}
    return {"pageInfo": info, name: rows[(number - 1) * size : number * size]}
