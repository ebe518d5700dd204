"""The simulated head office's members: points that can be frozen, stored value in three buckets, numbered requests.

Every change carries the caller's ``requestId``. The same number again is answered with success and the mark
``BIZ_ALREADY_SUCCESS``; with other contents it is refused. A refused change leaves no trace of its number.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from plugins.restaurant.protocol import fen_of
from plugins.restaurant.protocol_members import BUCKETS
from plugins.restaurant.simulator_till import DAY_ENDS, TillError, local_time, stamp

SCHEMA = """
create table if not exists customer (id text primary key, phone text, card text, openid text, doc text not null);
create index if not exists customer_phone on customer (phone);
create index if not exists customer_card on customer (card);
create index if not exists customer_openid on customer (openid);
create table if not exists request (id text primary key, customer text not null, kind text not null,
    biz_date text not null, doc text not null);
create index if not exists request_day on request (biz_date);
"""
#: Level code → what is paid, in ten-thousandths.
LEVELS = {"V1": 10_000, "V2": 9_500, "V3": 9_000, "V4": 8_800}
SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张"
#: More than this, in fen, needs the member's own password, which no program has.
PASSWORD_FREE = 20_000
ORDERS = {
    "real_first": ("real", "pre", "gift"),
    "gift_first": ("gift", "pre", "real"),
}


def seed_customers() -> list[dict[str, Any]]:
    """Twenty-four members, the same in every run."""
    return [
        {
            "id": f"C{810000 + number}",
            "phone": f"1380000{2000 + number}",
            "card": f"8810{number:06d}",
            "openid": f"oQH{number:06d}",
            "name": f"{surname}{'女士' if number % 2 else '先生'}",
            "level": f"V{1 + number % 4}",
            "state": 1,
            "points": 1000 * (number % 6),
            "frozen": 0,
            "real": 10_000 * (number % 8),
            "gift": 2_000 * (number % 5),
            "pre": 5_000 * (number % 3),
        }
        for number, surname in enumerate(SURNAMES)
    ]


def take(account: Mapping[str, int], amount: int, order: str) -> dict[str, int]:
    """What each bucket gives for ``amount``; the percent order shares by largest remainder."""
    if order in ORDERS:
        taken, left = dict.fromkeys(BUCKETS, 0), amount
        for name in ORDERS[order]:
            taken[name] = min(left, account[name])
            left -= taken[name]
        return taken
    total = sum(account[name] for name in BUCKETS) or 1
    taken = {name: amount * account[name] // total for name in BUCKETS}
    by_rest = sorted(BUCKETS, key=lambda name: (-(amount * account[name] % total), BUCKETS.index(name)))
    for name in by_rest[: amount - sum(taken.values())]:
        taken[name] += 1
    return taken


class Members:
    """The members of one chain. ``run`` is the wire's side; every change is one transaction."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=off")
        self._db.executescript(SCHEMA)
        self._reads: dict[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
            "customer/get": self._get,
            "customer/page": self._page,
            "request/get": self._request,
            "records": self._records,
        }
        self._changes: dict[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
            "customer/create": self._create,
            "points/freeze": self._freeze,
            "points/unfreeze": self._unfreeze,
            "points/consume": self._consume,
            "points/reverse": self._return_points,
            "points/add": self._add_points,
            "points/deduct": self._take_points,
            "value/deduct": self._deduct,
            "value/reverse": self._return_value,
            "value/charge": self._charge,
            "value/uncharge": self._uncharge,
        }

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def seed(self) -> None:
        """The first day's members; those that are there stay."""
        with self._lock:
            if self._rows("select 1 from customer limit 1"):
                return
            for customer in seed_customers():
                self._save(customer)

    def wipe(self) -> None:
        with self._lock:
            self._db.execute("delete from customer")
            self._db.execute("delete from request")

    def run(self, name: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """Carry out one command. Raises ``TillError``, or ``ValueError`` for fields that can't be read."""
        with self._lock:
            if name in self._reads:
                return self._reads[name](fields)
            if name not in self._changes:
                raise TillError(40004, "no such interface")
            return self._once(name, fields)

    def books(self) -> dict[str, Any]:
        """Points and value of every member, and the requests that were carried out."""
        with self._lock:
            customers = [json.loads(row[0]) for row in self._rows("select doc from customer order by id")]
            requests = self._rows("select id, kind from request order by rowid")
        shown = ("level", "points", "frozen", *BUCKETS)
        return {
            "members": {one["id"]: {name: one[name] for name in shown} for one in customers},
            "requests": dict(requests),
        }

    # ---- storage
    def _rows(self, sql: str, *values: Any) -> list[Any]:
        return self._db.execute(sql, values).fetchall()

    def _save(self, customer: Mapping[str, Any]) -> None:
        values = [customer["id"], customer["phone"], customer["card"], customer["openid"]]
        self._rows("insert or replace into customer values (?,?,?,?,?)", *values, json.dumps(customer))

    def _customer(self, number: str) -> dict[str, Any]:
        rows = self._rows("select doc from customer where id=?", number)
        if not rows:
            raise TillError(41004, "会员不存在")
        found: dict[str, Any] = json.loads(rows[0][0])
        if found["state"] != 1:
            raise TillError(41005, "会员已停用")
        return found

    def _done(self, number: str) -> dict[str, Any] | None:
        rows = self._rows("select doc from request where id=?", number)
        return json.loads(rows[0][0]) if rows else None

    def _put(self, receipt: Mapping[str, Any]) -> None:
        day = (local_time(self._now()) - DAY_ENDS).date().isoformat()
        values = (receipt["requestId"], receipt["customerId"], receipt["kind"], day, json.dumps(receipt))
        self._rows("insert or replace into request values (?,?,?,?,?)", *values)

    def _once(self, name: str, fields: Mapping[str, str]) -> dict[str, Any]:
        number = fields.get("requestId", "")
        if not 1 <= len(number) <= 64:
            raise TillError(40009, "requestId")
        meaning = json.dumps({key: fields[key] for key in sorted(fields) if key != "accessToken"})
        earlier = self._done(number)
        if earlier is not None:
            if earlier["meaning"] != [name, meaning]:
                raise TillError(42010, "请求号重复")
            return {**_shown(earlier), "result": "BIZ_ALREADY_SUCCESS"}
        self._db.execute("begin immediate")
        try:
            receipt = self._changes[name](fields)
            receipt |= {"requestId": number, "meaning": [name, meaning], "time": stamp(self._now())}
            receipt["bizNo"] = fields.get("bizNo", "")
            self._put(receipt)
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise
        return {**_shown(receipt), "result": "SUCCESS"}

    # ---- reads
    def _get(self, fields: Mapping[str, str]) -> dict[str, Any]:
        columns = {"phone": "phone", "card": "card", "code": "card", "openid": "openid", "id": "id"}
        column, value = columns.get(fields.get("idType", "")), fields.get("idValue", "")
        if column is None:
            raise TillError(40009, "idType")
        # A member's code in the app is the card's number behind two letters.
        value = value.removeprefix("QH") if fields["idType"] == "code" else value
        rows = self._rows(f"select doc from customer where {column}=?", value)  # noqa: S608 - a fixed column
        if not value or not rows:
            raise TillError(41004, "会员不存在")
        return {"customer": _wire(json.loads(rows[0][0]))}

    def _page(self, fields: Mapping[str, str]) -> dict[str, Any]:
        rows = [_wire(json.loads(row[0])) for row in self._rows("select doc from customer order by id")]
        return _paged(rows, fields, "customerList")

    def _request(self, fields: Mapping[str, str]) -> dict[str, Any]:
        found = self._done(fields.get("originId", ""))
        if found is None:
            raise TillError(42004, "原请求不存在")
        return _shown(found)

    def _records(self, fields: Mapping[str, str]) -> dict[str, Any]:
        day, family = fields.get("bizDate", ""), fields.get("family", "")
        datetime.strptime(day, "%Y-%m-%d")  # noqa: DTZ007 - only to refuse what is no date
        rows = [
            json.loads(row[0])
            for row in self._rows(
                "select doc from request where biz_date=? and kind like ? order by rowid", day, f"{family}.%"
            )
        ]
        moved = [row for row in rows if row["moved"]]
        return _paged([_record(row) for row in moved], fields, "recordList")

    # ---- changes
    def _create(self, fields: Mapping[str, str]) -> dict[str, Any]:
        phone, card = fields.get("phone", ""), fields.get("card", "")
        if not phone and not card:
            raise TillError(40009, "phone")
        there = self._rows(
            "select id from customer where (phone=? and ?<>'') or (card=? and ?<>'')", *_twice(phone, card)
        )
        if there:
            return _receipt("member.create", str(there[0][0]), state="existing")
        count = int(self._rows("select count(*) from customer")[0][0])
        customer = {
            "id": f"C{810000 + count}",
            "phone": phone,
            "card": card or f"8810{count:06d}",
            "openid": fields.get("openid", ""),
            "name": fields.get("name", "")[:20],
            "level": "V1",
            "state": 1,
            **dict.fromkeys(("points", "frozen", *BUCKETS), 0),
        }
        self._save(customer)
        return _receipt("member.create", str(customer["id"]), state="new")

    def _freeze(self, fields: Mapping[str, str]) -> dict[str, Any]:
        customer, points = self._customer(fields.get("customerId", "")), _count(fields, "points")
        if customer["points"] < points:
            raise TillError(42001, "积分不足")
        customer["points"] -= points
        customer["frozen"] += points
        self._save(customer)
        return _receipt("points.freeze", customer["id"], points=points, state="frozen", moved=False)

    def _unfreeze(self, fields: Mapping[str, str]) -> dict[str, Any]:
        return self._end_freeze(fields, "points.unfreeze", "released", give_back=True)

    def _consume(self, fields: Mapping[str, str]) -> dict[str, Any]:
        return self._end_freeze(fields, "points.consume", "consumed", give_back=False)

    def _end_freeze(self, fields: Mapping[str, str], kind: str, state: str, *, give_back: bool) -> dict[str, Any]:
        freeze = self._origin(fields, "points.freeze")
        if freeze["state"] != "frozen":
            raise TillError(42009, f"冻结状态为 {freeze['state']}")
        customer = self._customer(freeze["customerId"])
        customer["frozen"] -= freeze["points"]
        customer["points"] += freeze["points"] if give_back else 0
        self._save(customer)
        self._put({**freeze, "state": state})
        receipt = _receipt(kind, customer["id"], points=-freeze["points"], moved=not give_back)
        return {**receipt, "originId": freeze["requestId"]}

    def _return_points(self, fields: Mapping[str, str]) -> dict[str, Any]:
        freeze, points = self._origin(fields, "points.freeze"), _count(fields, "points")
        if freeze["state"] != "consumed" or freeze["returned"] + points > freeze["points"]:
            raise TillError(42005, "超出可退积分")
        customer = self._customer(freeze["customerId"])
        customer["points"] += points
        self._save(customer)
        self._put({**freeze, "returned": freeze["returned"] + points})
        return {**_receipt("points.reverse", customer["id"], points=points), "originId": freeze["requestId"]}

    def _add_points(self, fields: Mapping[str, str]) -> dict[str, Any]:
        customer, points = self._customer(fields.get("customerId", "")), _count(fields, "points")
        customer["points"] += points
        self._save(customer)
        return _receipt("points.add", customer["id"], points=points)

    def _take_points(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """Points given for a sale are taken back as far as they are still there."""
        added, points = self._origin(fields, "points.add"), _count(fields, "points")
        if added["returned"] + points > added["points"]:
            raise TillError(42005, "超出可退积分")
        customer = self._customer(added["customerId"])
        taken = min(points, customer["points"])
        customer["points"] -= taken
        self._save(customer)
        self._put({**added, "returned": added["returned"] + points})
        return {**_receipt("points.deduct", customer["id"], points=-taken), "originId": added["requestId"]}

    def _deduct(self, fields: Mapping[str, str]) -> dict[str, Any]:
        customer, money = self._customer(fields.get("customerId", "")), fen_of(fields.get("money", ""), "money")
        if money <= 0:
            raise TillError(40009, "money")
        if money > sum(customer[name] for name in BUCKETS):
            raise TillError(42002, "储值余额不足")
        if money > PASSWORD_FREE:
            raise TillError(42003, "超过免密限额，需输入密码")
        taken = take(customer, money, fields.get("order", "percent"))
        for name in BUCKETS:
            customer[name] -= taken[name]
        self._save(customer)
        return _receipt("value.deduct", customer["id"], money=-money, buckets={k: -v for k, v in taken.items()})

    def _return_value(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """Give value back to its buckets; without amounts all that is still to be given back."""
        deducted = self._origin(fields, "value.deduct")
        left = {name: -deducted["buckets"][name] - deducted["back"][name] for name in BUCKETS}
        asked = {name: fen_of(fields[name], name) for name in BUCKETS if fields.get(name)} or left
        back = {name: asked.get(name, 0) for name in BUCKETS}
        if any(not 0 <= back[name] <= left[name] for name in BUCKETS):
            raise TillError(42005, "超出可退金额")
        return self._pay_in("value.reverse", deducted, back)

    def _charge(self, fields: Mapping[str, str]) -> dict[str, Any]:
        customer = self._customer(fields.get("customerId", ""))
        paid = {name: fen_of(fields.get(name) or "0", name) for name in BUCKETS}
        if any(amount < 0 for amount in paid.values()) or not any(paid.values()):
            raise TillError(40009, "money")
        for name in BUCKETS:
            customer[name] += paid[name]
        self._save(customer)
        return _receipt("value.charge", customer["id"], money=sum(paid.values()), buckets=paid)

    def _uncharge(self, fields: Mapping[str, str]) -> dict[str, Any]:
        charged = self._origin(fields, "value.charge")
        customer = self._customer(charged["customerId"])
        if any(charged["back"].values()):
            raise TillError(42005, "已撤销")
        if any(customer[name] < charged["buckets"][name] for name in BUCKETS):
            raise TillError(42002, "储值余额不足")
        return self._pay_in("value.uncharge", charged, {name: -charged["buckets"][name] for name in BUCKETS})

    def _pay_in(self, kind: str, origin: dict[str, Any], amounts: Mapping[str, int]) -> dict[str, Any]:
        customer = self._customer(origin["customerId"])
        for name in BUCKETS:
            customer[name] += amounts[name]
        self._save(customer)
        back = {name: origin["back"][name] + amounts[name] for name in BUCKETS}
        self._put({**origin, "back": back})
        receipt = _receipt(kind, customer["id"], money=sum(amounts.values()), buckets=amounts)
        return {**receipt, "originId": origin["requestId"]}

    def _origin(self, fields: Mapping[str, str], kind: str) -> dict[str, Any]:
        found = self._done(fields.get("originId", ""))
        if found is None or found["kind"] != kind:
            raise TillError(42004, "原请求不存在")
        return found


def _twice(*values: str) -> list[str]:
    return [value for value in values for _ in range(2)]


def _count(fields: Mapping[str, str], name: str) -> int:
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text)):
        raise TillError(40009, name)
    return int(text)


def _receipt(
    kind: str,
    customer: str,
    *,
    points: int = 0,
    money: int = 0,
    buckets: Mapping[str, int] | None = None,
    state: str = "done",
    moved: bool = True,
) -> dict[str, Any]:
    none = dict.fromkeys(BUCKETS, 0)
    return {
        "kind": kind,
        "customerId": customer,
        "points": points,
        "money": money,
        "buckets": dict(buckets or none),
        "back": none,
        "returned": 0,
        "state": state,
        "moved": moved,
        "originId": "",
    }


def _shown(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt on the wire, amounts as yuan."""
    return {
        "requestId": receipt["requestId"],
        "customerId": receipt["customerId"],
        "kind": receipt["kind"],
        "state": receipt["state"],
        "points": abs(receipt["points"]),
        "money": abs(receipt["money"]) / 100,
        "affected": {f"{name}Money": abs(amount) / 100 for name, amount in receipt["buckets"].items()},
    }


def _record(receipt: Mapping[str, Any]) -> dict[str, Any]:
    names = ("requestId", "originId", "customerId", "kind", "points", "time", "bizNo")
    return {**{name: receipt[name] for name in names}, "money": receipt["money"] / 100}


def _wire(customer: Mapping[str, Any]) -> dict[str, Any]:
    phone = customer["phone"]
    return {
        "customerId": customer["id"],
        "name": customer["name"],
        "phone": f"{phone[:3]}****{phone[-4:]}" if phone else "",
        "levelCode": customer["level"],
        "levelDiscount": LEVELS[customer["level"]] / 10_000,
        "state": customer["state"],
        "deductOrder": "percent",
        "points": {"available": customer["points"], "frozen": customer["frozen"]},
        "accounts": {f"{name}Money": customer[name] / 100 for name in BUCKETS},
    }


def _paged(rows: list[dict[str, Any]], fields: Mapping[str, str], name: str) -> dict[str, Any]:
    number = int(fields.get("pageNo", "1"))
    if number < 1:
        raise ValueError("pageNo")
    pages = max(1, -(-len(rows) // 50))
    info = {"pageNo": number, "pageSize": 50, "pageTotal": pages, "total": len(rows)}
    return {"pageInfo": info, name: rows[(number - 1) * 50 : number * 50]}
