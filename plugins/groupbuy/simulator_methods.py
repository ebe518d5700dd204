"""The methods of the simulated platform: a request's fields in, the reply's ``data`` out; refusals are raised."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from plugins.groupbuy.protocol import (
    ALREADY_CANCELLED,
    BAD_PARAMETER,
    CANCEL_TOO_LATE,
    CODE_EXPIRED,
    CODE_UNKNOWN,
    COUNT_DIFFERS,
    NONE_USABLE,
    NOT_AT_POI,
    NOT_PREPARED,
    POI_UNKNOWN,
    REFUNDED,
    RESULT_EXPIRED,
    RESULT_NOT_AT_POI,
    RESULT_OK,
    RESULT_REFUNDED,
    RESULT_USED,
    UNUSED,
    USED,
    VERIFY_TOKEN_INVALID,
    VERIFY_TOKEN_USED,
    VERIFY_UNKNOWN,
)
from plugins.groupbuy.simulator_book import Book, Product, Refusal, codes_of

Fields = dict[str, Any]
PAGE = 20
_WORDS = {
    RESULT_OK: "核销成功",
    RESULT_USED: "券已核销",
    RESULT_EXPIRED: "券已过期",
    RESULT_REFUNDED: "券已退款",
    RESULT_NOT_AT_POI: "门店不可用",
}


class Methods:
    """What the platform does. ``cancel_s`` is how long a redemption may be taken back, ``token_s`` a prepare lives."""

    def __init__(
        self,
        book: Book,
        products: Mapping[str, Product],
        pois: Mapping[str, str],
        now: Callable[[], float],
        cancel_s: float,
        token_s: float,
        fee_bp: int,
    ) -> None:
        self.book, self.products, self.pois, self.now = book, products, pois, now
        self.cancel_s, self.token_s, self.fee_bp = cancel_s, token_s, fee_bp

    def prepare(self, fields: Mapping[str, Any]) -> Fields:
        """Look at a code: every unused certificate of its order, and a token for one verify."""
        code, data, poi = (str(fields.get(name, "")) for name in ("code", "encrypted_data", "poi_id"))
        self._poi(poi)
        column, value = ("object_id", data) if data else ("code", code)
        found = self.book.row(f"SELECT * FROM certificates WHERE {column} = :value", value=value)  # noqa: S608
        if not value or found is None:
            raise Refusal(CODE_UNKNOWN, "券码不存在，请核对后重试")
        if poi not in self.products[found["sku_id"]].pois:
            raise Refusal(NOT_AT_POI, "该券不适用于本门店")
        unused = self._unused(found["order_id"])
        if not unused:
            raise Refusal(NONE_USABLE, "没有可用的券")
        if all(row["expires_at"] <= self.now() for row in unused):
            raise Refusal(CODE_EXPIRED, "券已过期")
        unused.sort(key=lambda row: row["code"] != code)  # the one that was shown comes first
        token = secrets.token_hex(20)
        self.book.run(
            "INSERT INTO prepares (verify_token, order_id, poi_id, encrypted_codes, at)"
            " VALUES (:token, :order_id, :poi, :codes, :at)",
            token=token,
            order_id=found["order_id"],
            poi=poi,
            codes=json.dumps([row["encrypted_code"] for row in unused]),
            at=self.now(),
        )
        certificates = [self._certificate(row) for row in unused]
        return {"verify_token": token, "order_id": found["order_id"], "certificates": certificates}

    def _unused(self, order_id: str) -> list[Fields]:
        sql = "SELECT * FROM certificates WHERE order_id = :order_id AND status = :status ORDER BY code"
        return self.book.rows(sql, order_id=order_id, status=UNUSED)

    def verify(self, fields: Mapping[str, Any]) -> Fields:
        """Redeem certificates of one order with a prepare's token. A used token is answered by 1208 and results 2."""
        token, poi, wanted = fields.get("verify_token"), str(fields.get("poi_id", "")), fields.get("encrypted_codes")
        if not isinstance(token, str) or not _distinct(wanted):
            raise Refusal(BAD_PARAMETER, "参数不合法")
        operator = self._operator(fields)
        self._poi(poi)
        with self.book:
            prepare = self.book.row("SELECT * FROM prepares WHERE verify_token = :token", token=token)
            if prepare is None or (not prepare["used"] and self.now() > prepare["at"] + self.token_s):
                raise Refusal(VERIFY_TOKEN_INVALID, "验券token无效或已过期，请重新验券准备")
            if not set(wanted) <= set(codes_of(prepare)):
                raise Refusal(NOT_PREPARED, "券码不属于本次验券准备的订单")
            if prepare["used"]:
                results = [self._result(self._by_encrypted(code), RESULT_USED) for code in wanted]
                return {"error_code": VERIFY_TOKEN_USED, "description": "请勿重复核销", "verify_results": results}
            self.book.run("UPDATE prepares SET used = 1 WHERE verify_token = :token", token=token)
            verify_id = f"6{secrets.randbelow(10**18):018d}"
            results = [self._redeem(self._by_encrypted(code), verify_id, poi, operator) for code in wanted]
        return {"verify_results": results}

    def _redeem(self, row: Fields, verify_id: str, poi: str, operator: Mapping[str, str]) -> Fields:
        if row["status"] != UNUSED:
            return self._result(row, RESULT_USED if row["status"] == USED else RESULT_REFUNDED)
        if row["expires_at"] <= self.now():
            return self._result(row, RESULT_EXPIRED)
        if poi not in self.products[row["sku_id"]].pois:
            return self._result(row, RESULT_NOT_AT_POI)
        self.book.run(
            "UPDATE certificates SET status = :used, verify_id = :verify_id WHERE certificate_id = :id",
            used=USED,
            verify_id=verify_id,
            id=row["certificate_id"],
        )
        self.book.run(
            "INSERT INTO records (verify_id, certificate_id, order_id, sku_id, poi_id, verify_time, account, device)"
            " VALUES (:verify_id, :id, :order_id, :sku, :poi, :at, :account, :device)",
            verify_id=verify_id,
            id=row["certificate_id"],
            order_id=row["order_id"],
            sku=row["sku_id"],
            poi=poi,
            at=self.now(),
            account=operator["account"],
            device=operator["device"],
        )
        return self._result(row, RESULT_OK, verify_id)

    def cancel(self, fields: Mapping[str, Any]) -> Fields:
        """Take a redemption back, all of its certificates or none; the same ``cancel_token`` does it once."""
        verify_id, token = str(fields.get("verify_id", "")), str(fields.get("cancel_token", ""))
        wanted, count = fields.get("certificate_ids"), fields.get("count")
        if not token or not _distinct(wanted) or not isinstance(count, int):
            raise Refusal(BAD_PARAMETER, "参数不合法")
        self._operator(fields)
        with self.book:
            records = self.book.rows("SELECT * FROM records WHERE verify_id = :verify_id", verify_id=verify_id)
            if not verify_id or not records:
                raise Refusal(VERIFY_UNKNOWN, "核销记录不存在")
            if all(record["cancel_token"] == token for record in records):
                return {"verify_id": verify_id, "repeated": True}
            if any(record["cancel_time"] for record in records):
                raise Refusal(ALREADY_CANCELLED, "该核销已撤销")
            if {record["certificate_id"] for record in records} != set(wanted) or count != len(records):
                raise Refusal(COUNT_DIFFERS, "撤销数量与核销数量不一致")
            if self.now() > records[0]["verify_time"] + self.cancel_s:
                raise Refusal(CANCEL_TOO_LATE, "核销超过1小时，不支持撤销")
            self._undo(verify_id, token)
        return {"verify_id": verify_id, "repeated": False}

    def _undo(self, verify_id: str, token: str) -> None:
        self.book.run(
            "UPDATE records SET cancel_time = :at, cancel_token = :token WHERE verify_id = :verify_id",
            at=self.now(),
            token=token,
            verify_id=verify_id,
        )
        self.book.run(
            "UPDATE certificates SET status = :unused, verify_id = '' WHERE verify_id = :verify_id",
            unused=UNUSED,
            verify_id=verify_id,
        )

    def get(self, fields: Mapping[str, Any]) -> Fields:
        """How one certificate stands."""
        encrypted = str(fields.get("encrypted_code", ""))
        return {"certificate": self._certificate(self._by_encrypted(encrypted))}

    def query(self, fields: Mapping[str, Any]) -> Fields:
        """How all certificates of an order stand."""
        rows = self.book.rows(
            "SELECT * FROM certificates WHERE order_id = :order_id ORDER BY code",
            order_id=str(fields.get("order_id", "")),
        )
        if not rows:
            raise Refusal(CODE_UNKNOWN, "订单不存在")
        return {"certificates": [self._certificate(row) for row in rows]}

    def history(self, fields: Mapping[str, Any]) -> Fields:
        """Redemptions by their time, at most 20 a page; a cancelled one stays where it was, with its cancel."""
        try:
            begin, end = int(fields["start_time"]), int(fields["end_time"])
            cursor, size = int(fields.get("cursor") or 0), int(fields.get("size") or PAGE)
        except (KeyError, ValueError):
            raise Refusal(BAD_PARAMETER, "参数不合法") from None
        pois = [poi for poi in str(fields.get("poi_ids", "")).split(",") if poi]
        if not 1 <= size <= PAGE or end < begin or end - begin > 31 * 86_400:
            raise Refusal(BAD_PARAMETER, "参数不合法")
        rows = self.book.rows(
            "SELECT r.*, c.code FROM records r JOIN certificates c USING (certificate_id)"
            " WHERE r.number > :cursor AND verify_time >= :begin AND verify_time < :end ORDER BY r.number",
            cursor=cursor,
            begin=begin,
            end=end,
        )
        rows = [row for row in rows if not pois or row["poi_id"] in pois]
        page, more = rows[:size], len(rows) > size
        last = page[-1]["number"] if page else cursor
        return {"records": [self._record(row) for row in page], "has_more": more, "cursor": last}

    def shops(self, _fields: Mapping[str, Any]) -> Fields:
        """The shops that this account may redeem for."""
        return {"pois": [{"poi_id": poi, "poi_name": name} for poi, name in self.pois.items()]}

    # -- reading what came, writing what goes -------------------------------------------------------------------

    def _poi(self, poi: str) -> None:
        if poi not in self.pois:
            raise Refusal(POI_UNKNOWN, "门店未绑定")

    def _operator(self, fields: Mapping[str, Any]) -> dict[str, str]:
        given = fields.get("operator")
        if not isinstance(given, dict) or not given.get("account") or not given.get("name"):
            raise Refusal(BAD_PARAMETER, "缺少操作员账号")
        return {name: str(given.get(name, ""))[:64] for name in ("account", "name", "device")}

    def _by_encrypted(self, code: Any) -> Fields:
        row = self.book.row("SELECT * FROM certificates WHERE encrypted_code = :code", code=str(code))
        if row is None:
            raise Refusal(CODE_UNKNOWN, "券码不存在")
        return row

    def _result(self, row: Fields, result: int, verify_id: str = "") -> Fields:
        names = {"encrypted_code": row["encrypted_code"], "certificate_id": row["certificate_id"]}
        return names | {"result": result, "msg": _WORDS[result], "verify_id": verify_id, "order_id": row["order_id"]}

    def _certificate(self, row: Fields) -> Fields:
        fields = {name: row[name] for name in ("certificate_id", "encrypted_code", "order_id", "status")}
        fields |= {"code_tail": row["code"][-4:], "start_time": int(row["bought_at"])}
        fields |= {"expire_time": int(row["expires_at"]), "verify": None}
        if row["status"] == USED:
            record = self.book.row(
                "SELECT * FROM records WHERE verify_id = :id AND certificate_id = :certificate",
                id=row["verify_id"],
                certificate=row["certificate_id"],
            )
            fields["verify"] = self._verified(record) if record else None
        return fields | self._product(row["sku_id"])

    def _verified(self, record: Fields) -> Fields:
        fields = {name: record[name] for name in ("verify_id", "poi_id")}
        fields |= {"verify_time": int(record["verify_time"]), "operator": self._who(record)}
        return fields | {"can_cancel": self.now() <= record["verify_time"] + self.cancel_s}

    def _who(self, record: Fields) -> dict[str, str]:
        return {"account": record["account"], "device": record["device"]}

    def _product(self, sku_id: str) -> Fields:
        product = self.products[sku_id]
        sku = {"sku_id": sku_id, "title": product.title, "groupon_type": product.kind}
        amount = {"original_amount": product.original, "sold_amount": product.sold}
        amount |= {"platform_ticket_amount": product.platform_ticket}
        amount |= {"pay_amount": product.sold - product.platform_ticket}
        return {"sku": sku | {"third_sku_id": product.third_sku_id}, "amount": amount}

    def _record(self, row: Fields) -> Fields:
        names = ("verify_id", "certificate_id", "order_id", "poi_id", "cancel_token")
        fields = {name: row[name] for name in names} | self._product(row["sku_id"])
        fields |= {"verify_time": int(row["verify_time"]), "cancel_time": int(row["cancel_time"])}
        fields |= {"code_tail": row["code"][-4:], "operator": self._who(row), "status": 2 if row["cancel_time"] else 1}
        return fields | {"fee_amount": (fields["amount"]["sold_amount"] * self.fee_bp + 5000) // 10000}


def _distinct(codes: Any) -> TypeGuard[list[str]]:
    """Whether this is a list of different texts, and not empty."""
    return (
        isinstance(codes, list) and all(isinstance(code, str) for code in codes) and 0 < len(set(codes)) == len(codes)
    )


STATUS_NAMES = {UNUSED: "unused", USED: "used", 3: "refunding", REFUNDED: "refunded"}
