"""Simulator of the KTV till "星海KTV V8.6": one TCP connection at a time, serial commands, GBK text frames.

Run it with ``gateway simulate ktv``. Options (``--set name=value``): ``port`` (or ``till_port``), ``latency_ms`` for
every command (0; the real one takes 200 to 4000), ``idle_s`` after which a silent connection is closed (2),
``lazy_s`` until the song system has confirmed an opening (5), ``clock``, its local time at start
(``14-03-08 20:00:00``).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk.simulator import LOOPBACK, Simulator
from plugins.ktv import protocol as p
from plugins.ktv.simulator_faults import CHANGES, EXTRA_FAULTS, Reply, spoil
from plugins.ktv.simulator_seed import CLASSES, DRINKS, MANAGER_CODE, STORE
from plugins.ktv.simulator_state import Field, Refused
from plugins.ktv.simulator_till import Till


class KtvSimulator(Simulator):
    """The till as a program of its own. Its clock is the machine's, moved by ``clock``, levers and ``clock_skew``."""

    name: ClassVar[str] = "ktv"
    extra_faults: ClassVar[dict[str, str]] = EXTRA_FAULTS

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self._latency = float(self.options.get("latency_ms", "0")) / 1000
        self._idle = float(self.options.get("idle_s", "2"))
        self._moved = 0.0
        if "clock" in self.options:
            self._moved = p.parse_time(self.options["clock"]).timestamp() - time.time()
        self.till = Till(data, self.now, float(self.options.get("lazy_s", "5")))
        self.answered = 0
        self._stopped = threading.Event()
        self._socket: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._server: threading.Thread | None = None
        self._late: list[threading.Thread] = []

    def now(self) -> float:
        """The till's own clock."""
        return super().now() + self._moved

    # -------------------------------------------------------------- serving

    def start(self) -> dict[str, str]:
        """Listen on loopback, on the option ``port`` or any free one; the back office exports its price list."""
        (self.data / "price-list.csv").write_bytes(_price_list())
        self._socket = socket.create_server((LOOPBACK, self.port("till")), backlog=64)
        self._server = threading.Thread(target=self._accept, daemon=True)
        self._server.start()
        return {"till": f"{LOOPBACK}:{self._socket.getsockname()[1]}"}

    def stop(self) -> None:
        """Stop serving, close the file."""
        self._stopped.set()
        for each in (self._socket, self._peer):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        for thread in (self._server, *self._late):
            if thread is not None:
                thread.join(5)
        with self.till.lock:
            self.till.archive.close()

    def _accept(self) -> None:
        """Serve one connection after the other; others wait in the queue, their bytes with them."""
        while not self._stopped.is_set() and self._socket is not None:
            try:
                self._peer, _ = self._socket.accept()
            except OSError:
                return
            with self._peer as peer, contextlib.suppress(OSError):
                peer.settimeout(self._idle)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not self.faults.take("refuse"):
                    self._serve(peer)

    def _serve(self, peer: socket.socket) -> None:
        reader = p.FrameReader()
        while data := peer.recv(65536):
            reader.feed(data)
            while True:
                try:
                    body = reader.take()
                    request = p.parse_request(body) if body is not None else None
                except p.ParseError:
                    return  # what is no frame ends the connection, as with the real one
                if request is None:
                    break
                if not self._answer(peer, request):
                    return

    def _answer(self, peer: socket.socket, request: p.Request) -> bool:
        """Act on one request and answer it; ``False``: the connection is closed now."""
        take, op = self.faults.take, request.command
        self._wait(self._latency)
        if fault := take("latency", op):
            self._wait(fault.value / 1000)
        if take("drop_before", op):
            return False
        if fault := take("late_success", op):
            self._later(request, fault.value / 1000)
            return False
        if (trouble := self._trouble(op)) is not None:
            peer.sendall(p.frame(Reply(op, request.seq, *trouble, []).body()))
            return True
        reply = self._act(request)
        if take("duplicate", op):
            reply = self._act(request)
        if fault := take("slow", op):
            self._wait(fault.value / 1000)
        if fault := take("state_jump", op):
            self._walk_in(fault.value)
        if take("drop_after", op):
            return False
        return spoil(peer, reply, self.faults, op)

    def _trouble(self, op: str) -> tuple[int, str] | None:
        """RET and TEXT of a fault by which the till answers without acting."""
        if self.faults.take("error", op):
            return p.BUSY, "系统忙,请稍后再试"
        if op in CHANGES and self.faults.take("disk_full", op):
            return p.BUSY, "磁盘空间不足"
        fault = self.faults.take("new_code", op)
        return (fault.value, "新版本错误") if fault else None

    def _act(self, request: p.Request) -> Reply:
        """Carry out a request; now and then TEXT has a ``|`` in it, because the printer has something to say."""
        try:
            fields, code, text = self.till.run(request.command, request.fields), p.OK, "成功"
        except Refused as refusal:
            fields, code, text = [], refusal.code, refusal.text
        self.answered += 1
        if self.answered % 4 == 0:
            text += "|3号打印机缺纸"
        reply = Reply(request.command, request.seq, code, text, fields)
        return reply if reply.fits else Reply(request.command, request.seq, p.TOO_LONG, "数据过长,请分区查询", [])

    def _later(self, request: p.Request, seconds: float) -> None:
        def act() -> None:
            if not self._stopped.wait(seconds):
                self._act(request)

        thread = threading.Thread(target=act, daemon=True)
        self._late.append(thread)
        thread.start()

    def calm(self, seconds: float = 5.0) -> None:
        """Wait until everything that was put off by ``late_success`` has been carried out."""
        for thread in self._late:
            thread.join(seconds)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._stopped.wait(seconds)

    def _walk_in(self, room: int) -> None:
        """Somebody at the desk opens a room (0: the first idle one) while a client believes that it is idle."""
        idle = [each.code for each in self.till.rooms.values() if each.state == p.IDLE]
        code = str(room) if room else (idle[0] if idle else "")
        with contextlib.suppress(Refused):
            self._desk("OP", [code, "H", "120", "5", "", ""])
            self.till.rooms[code].since -= self.till.lazy_s

    # -------------------------------------------------------------- books and levers

    def books(self) -> dict[str, Any]:
        """Everything the till knows. Amounts in fen, times in seconds since the epoch."""
        with self.till.lock:
            self.till.tick()
            bills = {number: self._bill(number) for number in self.till.bills}
            rooms = {code: asdict(room) for code, room in self.till.rooms.items()}
            bookings = {number: {**asdict(each), "phone": ""} for number, each in self.till.bookings.items()}
        return {"store": STORE, "money": _money(bills, rooms), "bills": bills, "rooms": rooms, "bookings": bookings}

    def _bill(self, number: str) -> dict[str, Any]:
        bill = self.till.bills[number]
        names = ("drinks", "counted", "top_up", "total", "paid", "deposit", "extensions")
        return {**asdict(bill), **{name: getattr(bill, name) for name in names}}

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """What people do at that system; ``command["do"]`` is one of the names in the README."""
        do = getattr(self, f"_do_{command.get('do')}", None)
        if do is None:
            return super().control(command)
        try:
            result: dict[str, Any] = do(**{key: value for key, value in command.items() if key != "do"})
        except Refused as refusal:
            raise ValueError(f"{refusal.code} {refusal.text}") from None
        return result

    def _desk(self, command: str, fields: list[str]) -> list[str]:
        """A command from the till's own screen."""
        return [_text(field) for field in self.till.run(command, tuple(fields))]

    def _do_command(self, cmd: str, fields: list[str]) -> dict[str, Any]:
        return {"fields": self._desk(cmd, fields)}

    def _do_open_room(self, room: str, plan: str = "H", minutes: int = 120, guests: int = 4) -> dict[str, Any]:
        return {"bill": self._desk("OP", [room, plan, str(minutes), str(guests), "", ""])[0]}

    def _do_order(self, bill: str, code: str, quantity: int = 1) -> dict[str, Any]:
        if code not in DRINKS:
            raise ValueError(f"no drink {code!r}")
        return {"line": self._desk("DK", [bill, code, str(quantity), p.format_money(DRINKS[code].price)])[0]}

    def _do_pay(self, bill: str, amount: int, tender: str = "RMB") -> dict[str, Any]:
        return {"receipt": self._desk("PY", [bill, tender, p.format_money(amount), ""])[0]}

    def _do_close(self, bill: str) -> dict[str, Any]:
        return {"state": self._desk("CL", [bill])[0]}

    def _do_book(self, room: str, start: str, minutes: int = 180, name: str = "散客") -> dict[str, Any]:
        return {"booking": self._desk("BK", [room, start, str(minutes), "", name])[0]}

    def _do_refund(self, bill: str) -> dict[str, Any]:
        return {"receipt": self._desk("TD", [bill, MANAGER_CODE])[0]}

    def _do_set_state(self, room: str, state: int) -> dict[str, Any]:
        if state not in p.ROOM_STATES:
            raise ValueError(f"no room state {state}")
        self.till.set_room(room, state)
        return {"room": room, "state": state}

    def _do_forward(self, minutes: float) -> dict[str, Any]:
        """Time passes at the till."""
        self._moved += minutes * 60
        return {"now": p.format_time(p.local_time(self.now()))}

    def _do_close_day(self) -> dict[str, Any]:
        """Time passes until the business day has ended at 06:00."""
        now = p.local_time(self.now())
        left = (6 - now.hour) % 24 * 60 - now.minute
        return self._do_forward(left if left > 0 else left + 24 * 60)

    def _do_restart(self) -> dict[str, Any]:
        """Power fails and comes back. Bills are in the file; room states are not if the fault ``lose_memory`` is on."""
        if self.faults.take("lose_memory"):
            self.till.forget()
        return {"rooms": {code: room.state for code, room in self.till.rooms.items()}}

    def _do_prices(self) -> dict[str, Any]:
        return {"classes": {code: each._asdict() for code, each in CLASSES.items()}}


def _price_list() -> bytes:
    """The drinks as the back office exports them."""
    rows = [f"{d.code},{d.name},{p.format_money(d.price)},{'否' if d.counted else '是'}" for d in DRINKS.values()]
    kept = [row for row in rows if not row.startswith("G")]
    return ("\r\n".join(["编码,名称,单价,不计低消", *kept]) + "\r\n").encode("gbk")


def _text(field: Field) -> str:
    return field if isinstance(field, str) else p.decode_text(field)


def _money(bills: Mapping[str, Any], rooms: Mapping[str, Any]) -> dict[str, Any]:
    """Money taken by tender net of change, given back as whole refunds, and held as deposits; fen."""
    rows = [row for bill in bills.values() for row in bill["money"]]
    by_tender: dict[str, int] = {}
    for row in rows:
        if row["kind"] == "P":
            by_tender[row["tender"]] = by_tender.get(row["tender"], 0) + row["amount"] - row["change"]
    waiting = sum(row["amount"] for room in rooms.values() for row in room["deposits"])
    return {
        "taken_by_tender": by_tender,
        "taken": sum(by_tender.values()),
        "change": sum(row["change"] for row in rows if row["kind"] == "P"),
        "refunded": sum(row["amount"] for row in rows if row["kind"] == "T"),
        "deposits_held": waiting + sum(bill["deposit"] for bill in bills.values()),
    }
