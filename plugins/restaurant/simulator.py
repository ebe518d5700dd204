"""The simulator of 食通天下: the tills of 34 restaurants, their head office, and the sold-out file.

Addresses: ``till`` is the base URL of every till, to which the shop's code and the command are added
(``http://127.0.0.1:PORT/till/SH01/bill``); ``office`` is the head office; ``sold`` the folder of the sold-out file.
Options: ``till_port``, ``office_port``, ``latency_ms`` a command, ``upload_delay_s`` till → head office,
``soldout_every_s`` (0: only when a lever says so). README.md lists the levers of ``control`` and the faults.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk.simulator import LOOPBACK, Fault, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from plugins.restaurant.protocol import ENCODING, ParseError, decode_form, encode_reply
from plugins.restaurant.simulator_bill import TillBill
from plugins.restaurant.simulator_books import books_of
from plugins.restaurant.simulator_levers import Levers
from plugins.restaurant.simulator_members import Members
from plugins.restaurant.simulator_office import HeadOffice, encode
from plugins.restaurant.simulator_seed import load_dishes, load_shops
from plugins.restaurant.simulator_soldout import SoldOutWriter
from plugins.restaurant.simulator_store import ChainStore
from plugins.restaurant.simulator_till import Chain, Till, TillError

#: Dishes that every shop limits from the first day: dish → portions, in thousandths.
LIMITED_AT_FIRST = {"D0110": 0, "D0118": 8000, "D0203": 20_500, "D0301": 5000}
READS = ("bill", "tables")
AMOUNT_FIELDS = ("lastTotal", "paid", "due")


class RestaurantSimulator(Simulator):
    """A restaurant chain of its own. The files are split by part: till, bill, office, sold-out, levers, books."""

    name = "restaurant"
    extra_faults: ClassVar[dict[str, str]] = {
        "disk_full": "the till answers that its disk is full, without acting",
        "power_cut": "act, then be off: no answer to anything for so long; value = milliseconds. Memory is lost",
        "other_reply": "act, then answer with the till's previous reply, as mixed-up connections do",
        "settled_again": "on clear: staff take the bill back at once and settle it again in cash",
        "token_expiry": "on office.*: the token has expired early; every token is void",
        "page_shift": "on office.bills, from page 2: a bill of this page jumps to the front of the list first",
        "late_upload": "on pay and reopen: the bill reaches the head office late; value = seconds",
        "half_file": "on soldout_file: the file is written only in part",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        # There is neither a signature nor a check digit in a reply of this system.
        del self.faults.known["bad_signature"]
        self.store = ChainStore(data / "chain.sqlite")
        self.chain = Chain(self.store, load_shops(), load_dishes(), self.now, self._upload)
        self.members = Members(data / "members.sqlite", self.now)
        self.office = HeadOffice(self.chain, self.members)
        self.tills = {code: Till(self.chain, shop) for code, shop in self.chain.shops.items()}
        self.sold_folder = data / "SOLD"
        every_s = float(self.options.get("soldout_every_s", "300"))
        self.sold_out = SoldOutWriter(self.chain, self.sold_folder, every_s)
        self._latency_s = float(self.options.get("latency_ms", "0")) / 1000
        self._upload_delay_s = float(self.options.get("upload_delay_s", "0"))
        self._levers = Levers(self)
        self._previous: dict[str, bytes] = {}
        self._off_until = 0.0
        self._servers: list[ThreadingHTTPServer] = []
        self._timers: list[threading.Timer] = []
        self._seed()

    def start(self) -> dict[str, str]:
        till = serve_http(self._serve_till, self.port("till"), "HTTP/1.0")
        office = serve_http(self._serve_office, int(self.options.get("office_port", "0")), "HTTP/1.1")
        self._servers = [till, office]
        self.sold_out.start()
        base = f"http://{LOOPBACK}:"
        return {
            "till": f"{base}{till.server_address[1]}/till",
            "office": f"{base}{office.server_address[1]}",
            "sold": str(self.sold_folder),
        }

    def stop(self) -> None:
        self.sold_out.stop()
        for timer in self._timers:
            timer.cancel()
        # Side by side: each waits until its server has noticed.
        closing = [threading.Thread(target=_close, args=(server,)) for server in self._servers]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        self.store.close()
        self.members.close()

    def books(self) -> dict[str, Any]:
        return books_of(self)

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._levers.pull(command)
        except TillError as error:
            raise ValueError(f"{error.code} {error.msg}") from error

    def till(self, shop: str) -> Till:
        """The till of a shop. Raises ``TillError`` for an unknown code."""
        found = self.tills.get(shop)
        if found is None:
            raise TillError(50002, "门店不存在")
        return found

    def write_sold_out(self) -> Path:
        """Write the sold-out file now."""
        return self.sold_out.write(half=self.faults.take("half_file", "soldout_file") is not None)

    def reset(self) -> None:
        """Start over: no bills, the first day's limits, no faults, nothing in memory."""
        for timer in self._timers:
            timer.cancel()
        self.faults.set([])
        self._previous.clear()
        self.store.wipe()
        self.members.wipe()
        self.restart()
        self._seed()

    def restart(self) -> None:
        """Every till and the head office restart: serials and tokens, which live in memory, are gone."""
        self._off_until = 0.0
        for till in self.tills.values():
            till.forget()
        self.office.forget()

    def _seed(self) -> None:
        self.members.seed()
        if self.store.next_number("started") > 1:
            return
        for till in self.tills.values():
            for dish, left in LIMITED_AT_FIRST.items():
                till.set_left(dish, left)

    def _upload(self, bill: TillBill) -> None:
        late = self.faults.take("late_upload", "reopen" if bill.state == 0 else "pay")
        self.office.receive(bill, late.value if late else self._upload_delay_s)

    # ---- protocol
    def _serve_till(self, request: HttpRequest) -> HttpReply:
        parts = request.path.strip("/").split("/")
        shop, command = (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "till" else ("", "")
        self._before(command)
        if command not in READS and self.faults.take("disk_full", command):
            return _till_reply(encode_reply(50098, "磁盘空间不足"))

        def act() -> bytes:
            return self._till_answer(shop, command, request)

        return self._answer(command, act, shop, 50000)

    def _till_answer(self, shop: str, command: str, request: HttpRequest) -> bytes:
        try:
            form = {**request.query, **decode_form(request.body)}
            till = self.till(shop)
            data = till.run(command, form)
            if command == "clear" and self.faults.take("settled_again", "clear"):
                self._levers.settle_again(till, str(data["bsId"]))
        except ParseError:
            return encode_reply(50001, "参数错误")
        except TillError as error:
            return encode_reply(error.code, error.msg)
        return self._spoil(command, data, encode_reply)

    def _serve_office(self, request: HttpRequest) -> HttpReply:
        operation = _office_operation(request.path)
        self._before(operation)
        if operation != "office.accesstoken" and self.faults.take("token_expiry", operation):
            self.office.forget()

        def act() -> bytes:
            return self._office_answer(operation, request)

        return self._answer(operation, act, "office", 40000)

    def _office_answer(self, operation: str, request: HttpRequest) -> bytes:
        try:
            fields = {**request.query, **decode_form(request.body)}
            if operation == "office.bills" and fields.get("pageNo", "1") != "1":
                self._shift_page(request.path, fields)
            data = self.office.run(request.path, fields)
        except ParseError:
            return encode(40009, "bad form")
        except TillError as error:
            return encode(error.code, error.msg)
        return self._spoil(operation, data, encode)

    def _shift_page(self, path: str, fields: Mapping[str, str]) -> None:
        if self.faults.take("page_shift", "office.bills"):
            rows = self.office.run(path, fields)["billList"]
            if rows:
                self.office.shift(rows[0]["settleBizDate"], rows[0]["bsId"])

    # ---- faults
    def _before(self, operation: str) -> None:
        if time.monotonic() < self._off_until or self.faults.take("refuse", operation):
            raise Hangup
        wait = self.faults.take("latency", operation)
        pause = self._latency_s + (wait.value / 1000 if wait else 0)
        if pause:
            time.sleep(pause)

    def _answer(self, operation: str, act: Callable[[], bytes], line: str, error_code: int) -> HttpReply:
        take = self.faults.take
        if take("drop_before", operation):
            raise Hangup
        if take("error", operation):
            return _till_reply(encode_reply(error_code, "系统错误"))
        late = take("late_success", operation)
        if late:
            timer = threading.Timer(late.value / 1000, act)
            timer.daemon = True
            self._timers.append(timer)
            timer.start()
            raise Hangup
        body = act()
        if take("duplicate", operation):
            act()
        return self._after(operation, body, line)

    def _after(self, operation: str, body: bytes, line: str) -> HttpReply:
        # All are taken before the wait: a fault switched on meanwhile is meant for another message.
        names = ("power_cut", "slow", "drop_after", "other_reply", "wrong_encoding", "garbage", "half_body")
        on = {name: fault for name in names if (fault := self.faults.take(name, operation))}
        previous = self._previous.get(line, body)
        self._previous[line] = body
        if "power_cut" in on:
            self.restart()
            self._off_until = time.monotonic() + on["power_cut"].value / 1000
            raise Hangup
        if "slow" in on:
            time.sleep(on["slow"].value / 1000)
        if "drop_after" in on:
            raise Hangup
        if "other_reply" in on:
            body = previous
        if "wrong_encoding" in on:
            body = body.decode(ENCODING, errors="replace").encode("utf-16")
        if "garbage" in on:
            body = b"\xff\xfe<html>\x81 502"
        return _till_reply(body, len(body) // 2 if "half_body" in on else None)

    def _spoil(self, operation: str, data: dict[str, Any], encoder: Callable[..., bytes]) -> bytes:
        amount, other = self.faults.take("wrong_amount", operation), self.faults.take("wrong_id", operation)
        if not amount and not other:
            return encoder(0, "ok", data)
        if operation.startswith("crm."):
            return encoder(0, "ok", _spoil_receipt(data, amount, other))
        rows = data.get("billList") or [data["bill"] if isinstance(data.get("bill"), dict) else data]
        for row in rows:
            for name in AMOUNT_FIELDS if amount else ():
                row[name] = float(row.get(name, 0)) + (amount.value if amount else 0) / 100
            if other and "bsId" in row:
                row["bsId"] = str(row["bsId"])[:-4] + "9999"
        return encoder(0, "ok", data)


def _spoil_receipt(data: dict[str, Any], amount: Fault | None, other: Fault | None) -> dict[str, Any]:
    if amount and "points" in data:
        data["points"] += amount.value
        data["money"] += amount.value / 100
    if other and "requestId" in data:
        data["requestId"] = data["requestId"][:-4] + "9999"
    return data


def _office_operation(path: str) -> str:
    """What faults call an operation of the head office: ``office.bills``, ``crm.points.freeze``."""
    if path.startswith("/api/crm/"):
        return "crm." + path.removeprefix("/api/crm/").replace("/", ".")
    last = path.rsplit("/", 1)[-1]
    return "office." + {"getserialdata": "bills", "getserialdatalive": "bills", "getdishs": "dishes"}.get(last, last)


def _close(server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.server_close()


def _till_reply(body: bytes, truncate: int | None = None) -> HttpReply:
    """A reply whose header claims utf-8, as this system does."""
    return HttpReply(200, body, "application/json; charset=utf-8", truncate)
