"""The department store "银座百货 MIS": a SOAP sale upload, the till's database, a promotion procedure, nightly files.

Runs by itself: ``gateway simulate department``. Addresses: ``soap`` (``/sales.asmx``, WSDL at ``?wsdl``), ``database``
(the SQLite file that stands for the shop's SQL Server), ``files`` (the folder of the nightly files).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from plugins.department import protocol_sales as wire
from plugins.department import simulator_slips as slips
from plugins.department.protocol import ParseError, yuan
from plugins.department.simulator_books import books
from plugins.department.simulator_calc import calculate
from plugins.department.simulator_database import Database
from plugins.department.simulator_files import write_day_file
from plugins.department.simulator_sales import Refusal, post

WSDL = Path(__file__).parent / "wsdl" / "sales.wsdl"
SHOP_TIME = ZoneInfo("Asia/Shanghai")
OPERATIONS = ("postsalescreate", "caldecmoney", "postdailysalessummary", "getversion")
_REBATE_DELAY = timedelta(minutes=1)
_OK, _REFUSED, _FAILED = 0, -1, -100

Answer = tuple[int, str, dict[str, Any]]


class DepartmentSimulator(Simulator):
    """See the module. Options: ``soap_port``, ``latency_ms``, ``user``, ``password``, ``license``."""

    name: ClassVar[str] = "department"
    extra_faults: ClassVar[dict[str, str]] = {
        "disk_full": "the server answers -100 and the nightly job writes nothing",
        "zysl_leak": "voided slips and returned goods do not give their held stock back",
        "calc_off": "the promotion procedure's sum is off; value = fen (1 if 0)",
        "day_file_missing_counter": "the nightly file lacks its last counter",
        "day_file_torn": "the nightly file is written only in part",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self.database = Database(data)
        self.files = data / "JS"
        self.files.mkdir(exist_ok=True)
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> dict[str, str]:
        self._server = serve_http(self._handle, self.port("soap"))
        address = f"{LOOPBACK}:{self._server.server_address[1]}"
        return {"soap": address, "database": str(self.database.path), "files": str(self.files)}

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def shop_now(self) -> datetime:
        """The shop's own clock, in its own zone."""
        return datetime.fromtimestamp(self.now(), SHOP_TIME)

    def books(self) -> dict[str, Any]:
        with self.database.read() as connection:
            return books(connection, self.shop_now())

    # --- SOAP -----------------------------------------------------------------------------------------------------

    def _handle(self, request: HttpRequest) -> HttpReply:
        if request.path.lower() != "/sales.asmx":
            return HttpReply(404, b"", "text/plain")
        if request.method == "GET" and "wsdl" in request.query:
            return HttpReply(200, WSDL.read_bytes(), "text/xml; charset=utf-8")
        try:
            operation, fields = wire.parse_call(request.body)
        except ParseError as error:
            return HttpReply(500, wire.encode_fault(str(error)), "text/xml; charset=utf-8")
        return self._operate(operation, fields)

    def _operate(self, operation: str, fields: wire.Fields) -> HttpReply:
        time.sleep(int(self.options.get("latency_ms", "0")) / 1000)
        take = self.faults.take
        if fault := take("latency", operation):
            time.sleep(fault.value / 1000)
        if take("refuse", operation) or take("drop_before", operation):
            raise Hangup
        if take("error", operation):
            return self._reply(operation, (_FAILED, "系统异常,请联系管理员", {}))
        if fault := take("late_success", operation):
            threading.Timer(fault.value / 1000, self._act, (operation, fields)).start()
            raise Hangup
        answer = self._act(operation, fields)
        if take("duplicate", operation):
            answer = self._act(operation, fields)
        if fault := take("slow", operation):
            time.sleep(fault.value / 1000)
        if take("drop_after", operation):
            raise Hangup
        return self._reply(operation, answer)

    def _reply(self, operation: str, answer: Answer) -> HttpReply:
        code, message, fields = answer
        take = self.faults.take
        if (fault := take("wrong_amount", operation)) and "netamount" in fields:
            fields["netamount"] = yuan(wire.amount(fields, "netamount") + (fault.value or 1))
        if take("wrong_id", operation):
            fields["txdocno"] = "0000000001"
        body = wire.encode_reply(operation, code, message, fields)
        if take("garbage", operation):
            body = b"\x00\xff<<Server Error>>"
        if take("wrong_encoding", operation):
            body = body.decode().encode("gb18030") + "，完".encode("gb18030")
        half = len(body) // 2 if take("half_body", operation) else None
        return HttpReply(200, body, "text/xml; charset=utf-8", truncate=half)

    def _act(self, operation: str, fields: wire.Fields) -> Answer:
        """Do what was asked, once; every refusal and failure is an answer, as this server never shows a stack."""
        if self.faults.take("disk_full", operation):
            return _FAILED, "磁盘空间不足", {}
        request = fields.get("astr_request") or {}
        actions: dict[str, Callable[[wire.Fields], Answer]] = {
            "postsalescreate": self._post_sale,
            "caldecmoney": self._calculate,
            "postdailysalessummary": self._compare_day,
            "getversion": lambda _: (_OK, "", {"version": "V332M"}),
        }
        if operation not in actions or not isinstance(request, dict):
            return _FAILED, "无此操作", {}
        if operation != "getversion" and not self._known_caller(request):
            return _REFUSED, "用户名或密码错误", {}
        try:
            return actions[operation](request)
        except Refusal as refusal:
            return _REFUSED, str(refusal), {}
        except ParseError as error:
            return _FAILED, f"数据格式错误: {error}", {}
        except sqlite3.Error as error:
            return _FAILED, f"数据库错误: {error}", {}

    def _known_caller(self, request: wire.Fields) -> bool:
        header = request.get("header") or {}
        expected = {"username": "user", "password": "password", "licensekey": "license"}
        return isinstance(header, dict) and all(
            header.get(name, "") == self.options.get(option, option) for name, option in expected.items()
        )

    def _post_sale(self, request: wire.Fields) -> Answer:
        sale = wire.parse_sale(request)
        self._book(sale)
        return _OK, "", {"txdocno": sale.number.document, "netamount": yuan(sale.net)}

    def _book(self, sale: wire.Sale) -> None:
        rebate_time = f"{self.shop_now() + _REBATE_DELAY:{slips.STAMP}}"
        with self.database.write() as connection:
            post(connection, sale, rebate_time, bool(self.faults.take("zysl_leak", "postsalescreate")))

    def _calculate(self, request: wire.Fields) -> Answer:
        numbers = wire.texts(request, "slips", "slipno")
        tenders = [
            (str(row.get("paycode", "")), wire.amount(row, "payamount"))
            for row in wire.rows(request, "payrows", "payrow")
        ]
        member, coupon = wire.text(request, "vipcode", 20), wire.text(request, "couponnumber", 20)
        try:
            with self.database.read() as connection:
                lines = calculate(connection, numbers, tenders, member, coupon)
        except LookupError as error:
            raise Refusal(f"开票单不是待收状态: {error.args[0]}") from None
        fault = self.faults.take("calc_off", "caldecmoney")
        net = sum(line.net for line in lines) + ((fault.value or 1) if fault else 0)
        gross = sum(line.gross for line in lines)
        rows = [
            {
                "slipno": line.slip,
                "lineno": line.line,
                "originalamount": yuan(line.gross),
                "memberless": yuan(line.member_less),
                "promotionless": yuan(line.promotion_less),
                "couponless": yuan(line.coupon_less),
                "netamount": yuan(line.net),
            }
            for line in lines
        ]
        total = {"originalamount": yuan(gross), "totalless": yuan(gross - net), "netamount": yuan(net)}
        return _OK, "", {"serverbillid": "+".join(numbers)[:40], **total, "calclines": {"calcline": rows}}

    def _compare_day(self, request: wire.Fields) -> Answer:
        day = wire.text(request, "txdate_yyyymmdd", 8, required=True)
        store, till = wire.text(request, "storecode", 4), wire.text(request, "tillid", 6)
        with self.database.read() as connection:
            row = connection.execute(
                "SELECT COUNT(*) AS n, COALESCE(SUM(CAST(ROUND(ysje * 100) AS INT)), 0) AS fen FROM XSHEAD"
                " WHERE txdate = ? AND trim(store) = ? AND trim(till) = ?",
                (day, store, till),
            ).fetchone()
        ours, theirs = (row["n"], row["fen"]), (wire.number(request, "totalcount"), wire.amount(request, "totalamount"))
        if ours == theirs:
            return _OK, "核对一致", {}
        texts = [f"{yuan(money)}元/{count}笔" for count, money in (ours, theirs)]
        return _REFUSED, f"日结不符: 商场{texts[0]}, 上传{texts[1]}", {}

    # --- levers ---------------------------------------------------------------------------------------------------

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Levers: ``issue_slip``, ``change_slip``, ``void_slip``, ``void_unpaid`` (the 22:30 job), ``pick_up``,
        ``till_sale``, ``invoice``, ``nightly`` (the 02:00 file job), ``lock_database``."""
        levers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "issue_slip": self._issue,
            "change_slip": self._change,
            "void_slip": lambda c: self._with(lambda db: slips.void(db, str(c["slip_no"]), self._leaks()), "lines"),
            "void_unpaid": lambda _: self._with(
                lambda db: slips.void_unpaid(db, self.shop_now(), self._leaks()), "voided"
            ),
            "pick_up": lambda c: self._with(lambda db: slips.pick_up(db, str(c["slip_no"])), "lines"),
            "till_sale": self._till_sale,
            "invoice": self._invoice,
            "nightly": self._nightly,
            "lock_database": self._lock,
        }
        lever = levers.get(str(command.get("do")))
        if lever is None:
            raise ValueError(f"no lever {command.get('do')!r}; known: {', '.join(levers)}")
        try:
            return lever(command)
        except KeyError as error:
            raise ValueError(f"the lever needs {error}") from None

    def _with(self, act: Callable[[sqlite3.Connection], Any], name: str) -> dict[str, Any]:
        with self.database.write() as connection:
            return {name: act(connection)}

    def _leaks(self) -> bool:
        return self.faults.take("zysl_leak", "void") is not None

    def _issue(self, command: Mapping[str, Any]) -> dict[str, Any]:
        lines, counter = command["lines"], str(command["counter"])
        return self._with(lambda db: slips.issue(db, self.shop_now(), counter, lines), "slip_no")

    def _change(self, command: Mapping[str, Any]) -> dict[str, Any]:
        slip, line, discount = str(command["slip_no"]), int(command.get("line", 1)), int(command["discount"])
        return self._with(lambda db: slips.change(db, slip, line, discount), "changed")

    def _till_sale(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """A cashier's own sale at till T01; ``offline`` takes a number of the till's offline range (9xxxxx)."""
        numbers = [str(one) for one in command["slip_nos"]]
        offset = 900_000 if command.get("offline") else 0
        till = str(command.get("till", "T01"))
        with self.database.write() as connection:
            last = connection.execute(
                "SELECT MAX(CAST(docno AS INT)) AS last FROM XSHEAD WHERE trim(till) = ? AND txdate = ?"
                " AND CAST(docno AS INT) / 900000 = ?",
                (till, f"{self.shop_now():%Y%m%d}", offset // 900_000),
            ).fetchone()["last"]
            document = str((last or offset) + 1).zfill(6)
            sale = slips.ring_up(connection, self.shop_now(), till, document, numbers, str(command.get("tender", "CH")))
            post(connection, sale, f"{self.shop_now() + _REBATE_DELAY:{slips.STAMP}}", leak=False)
        return {"document": document, "till": till, "net": sale.net}

    def _invoice(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The VAT invoice of a receipt, once."""
        with self.database.write() as connection:
            done = connection.execute(
                "UPDATE XSHEAD SET fp = '1' WHERE trim(docno) = ? AND trim(till) = ? AND txdate = ? AND fp = '0'",
                (str(command["document"]), str(command["till"]), str(command["txdate"])),
            ).rowcount
        if not done:
            raise ValueError("no such receipt, or its invoice was already made")
        return {"invoiced": True}

    def _nightly(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The 02:00 job, for ``business_date`` (today if absent)."""
        day = date.fromisoformat(str(command.get("business_date", self.shop_now().date().isoformat())))
        if self.faults.take("disk_full", "nightly"):
            return {"files": []}
        missing = self.faults.take("day_file_missing_counter", "nightly") is not None
        torn = self.faults.take("day_file_torn", "nightly") is not None
        with self.database.read() as connection:
            stores = [row["store"].strip() for row in connection.execute("SELECT store FROM MD ORDER BY store")]
            written = [write_day_file(connection, self.files, day, store, missing, torn) for store in stores]
        return {"files": [str(path) for path in written]}

    def _lock(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Another program keeps the database locked for ``ms``."""
        held = threading.Event()

        def hold() -> None:
            with self.database.write():
                held.set()
                time.sleep(int(command.get("ms", 500)) / 1000)

        threading.Thread(target=hold, daemon=True).start()
        return {"locked": held.wait(10)}
