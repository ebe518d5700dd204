"""A bank's host for terminals, simulated: ISO 8583 over TCP with MAC, batches, and a daily file.

Run it with ``gateway simulate bankhost``. Addresses: ``host`` (TCP) and ``files`` (the folder of daily files).
"""

from __future__ import annotations

import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk import LengthPrefixed, ParseError
from gateway.sdk.formats.iso8583 import Iso8583
from gateway.sdk.signers.mac import ecb
from gateway.sdk.simulator import LOOPBACK, Simulator
from plugins.bankhost.protocol import KINDS, MAC_WRONG, QUERY_CODE, SIGN_IN, codec
from plugins.bankhost.simulator_host import Host
from plugins.bankhost.simulator_ledger import Ledger, digest

TERMINAL, MERCHANT = "10000001", "898310058120001"
MASTER_KEY = "0123456789ABCDEFFEDCBA9876543210"
TPDU, HEADER = "6000060000", "603100000000"
#: Names of the operations, for the faults' ``match``.
OPERATIONS = {"0400": "reversal", "0500": "settle", "0320": "upload", "0800": "sign_in", "0100": "query"}
_CODE_LIFE_S = 3600.0


class BankHostSimulator(Simulator):
    """See the module; its README lists levers, options and faults."""

    name: ClassVar[str] = "bankhost"
    extra_faults: ClassVar[dict[str, str]] = {
        "sign_on_expired": "answer 77: sign in first; nothing is done",
        "mac_refused": "answer A0: the MAC is wrong; nothing is done",
        "reversal_unknown": "answer a reversal with 25 although the original is there, and do reverse it",
        "late_answer": "act, and answer only after a delay; value = milliseconds",
        "timeout_code": "act, then answer 98: the issuer did not answer in time",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self._bills = data / "files"
        self._bills.mkdir(exist_ok=True)
        self.ledger = Ledger(data / "host.db")
        self._host = Host(self.ledger, self.now, self.options.get("day_cut", "23:00"), self._bills)
        self._mac = self.options.get("mac", "yes") == "yes"
        packing = self.options.get("packing", "bcd")
        self._codec: Iso8583 = codec(packing, TPDU, HEADER)
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.requests: dict[str, int] = {}
        for number in (TERMINAL, "10000002"):
            sql = "INSERT OR IGNORE INTO terminals VALUES (?, ?, 1, '', ?)"
            self.ledger.run(sql, number, MERCHANT, MASTER_KEY)

    def start(self) -> dict[str, str]:
        self._listener = socket.create_server((LOOPBACK, self.port("host")), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return {"host": f"{LOOPBACK}:{self._listener.getsockname()[1]}", "files": str(self._bills)}

    def stop(self) -> None:
        for each in (self._listener, *list(self._open)):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        self.ledger.close()

    # -- sockets -----------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Messages of one connection, until it ends, talks nonsense or a fault hangs up."""
        framing, buffer = LengthPrefixed(2), b""
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError, ValueError, sqlite3.ProgrammingError), client:  # the last: stopped meanwhile
            while data := client.recv(65536):
                buffer += data
                while (found := framing.cut(buffer)) is not None:
                    buffer = buffer[found[1] :]
                    reply = self._answered(found[0])
                    if reply is None:
                        return
                    client.sendall(reply)
        self._open.discard(client)

    def _answered(self, raw: bytes) -> bytes | None:
        """The bytes to send back; ``None`` hangs up."""
        asked = self._codec.decode(raw)
        operation = OPERATIONS.get(asked["t"]) or _kind(asked)
        self.requests[operation] = self.requests.get(operation, 0) + 1
        take = self.faults.take
        pause = float(self.options.get("latency_ms", "0"))
        if (fault := take("latency", operation)) is not None:
            pause += fault.value
        time.sleep(pause / 1000)
        if take("refuse", operation) or take("drop_before", operation):
            return None
        if (late := take("late_success", operation)) is not None:
            timer = threading.Timer(late.value / 1000, self._act_late, args=(asked, raw))
            timer.daemon = True
            timer.start()
            return None
        if take("error", operation):
            return self._signed(asked, self._plain(asked, "96"))
        reply = self._act(asked, raw)
        if take("duplicate", operation):
            reply = self._act(asked, raw)
        return self._spoilt(asked, reply, operation)

    def _act(self, asked: Mapping[str, str], raw: bytes) -> dict[str, str]:
        """Do what a message says, if its MAC holds."""
        operation = OPERATIONS.get(asked["t"]) or _kind(asked)
        if asked["t"] != "0800":
            if self.faults.take("sign_on_expired", operation):
                return self._plain(asked, SIGN_IN)
            key = self._key(asked)
            if self._mac and key is None:
                return self._plain(asked, SIGN_IN if self._known(asked) else "97")
            if self.faults.take("mac_refused", operation) or not self._mac_holds(raw, key):
                return self._plain(asked, MAC_WRONG)
        return self._host.answer(asked)

    def _act_late(self, asked: Mapping[str, str], raw: bytes) -> None:
        with suppress(sqlite3.ProgrammingError):  # stopped meanwhile
            self._act(asked, raw)

    def _mac_holds(self, raw: bytes, key: bytes | None) -> bool:
        if not self._mac or key is None:
            return True
        try:
            self._codec.check(raw, partial(ecb, key))
        except ParseError:
            return False
        return True

    def _known(self, asked: Mapping[str, str]) -> bool:
        return self.ledger.one("SELECT 1 FROM terminals WHERE terminal = ?", asked.get("41", "")) is not None

    def _key(self, asked: Mapping[str, str]) -> bytes | None:
        row = self.ledger.one("SELECT mak FROM terminals WHERE terminal = ?", asked.get("41", ""))
        return bytes.fromhex(row["mak"]) if row and row["mak"] else None

    def _plain(self, asked: Mapping[str, str], code: str) -> dict[str, str]:
        """An answer that says no more than a code."""
        echoed = {name: asked[name] for name in ("3", "4", "11", "41", "42") if name in asked}
        return {**echoed, "t": f"{int(asked['t']) + 10:04d}", "39": code}

    def _spoilt(self, asked: Mapping[str, str], reply: dict[str, str], operation: str) -> bytes | None:
        """The answer as a fault has it."""
        take = self.faults.take
        for name in ("slow", "late_answer"):
            if (fault := take(name, operation)) is not None:
                time.sleep(fault.value / 1000)
        if take("drop_after", operation):
            return None
        if take("garbage", operation):
            return LengthPrefixed(2).encode(b"<html>502 Bad Gateway \xff\xfe</html>")
        if (fault := take("wrong_amount", operation)) is not None and "4" in reply:
            reply |= {"4": f"{int(reply['4']) + (fault.value or 1):012d}"}
        if take("wrong_id", operation):
            reply |= {"11": f"{(int(reply['11']) + 1) % 1_000_000:06d}"}
        if take("timeout_code", operation):
            reply |= {"39": "98"}
        if operation == "reversal" and take("reversal_unknown", operation):
            reply |= {"39": "25"}
        frame = self._signed(asked, reply)
        if take("bad_signature", operation):
            frame = frame[:-1] + bytes((frame[-1] ^ 1,))
        if take("wrong_encoding", operation):
            frame = LengthPrefixed(2).encode(frame[2:].decode("latin-1").encode("cp037", "replace"))
        return frame[: len(frame) // 2] if take("half_body", operation) else frame

    def _signed(self, asked: Mapping[str, str], reply: Mapping[str, str]) -> bytes:
        key = self._key(asked)
        unsigned = asked["t"] == "0800" or reply.get("39") in (SIGN_IN, MAC_WRONG) or not self._mac or key is None
        raw = self._codec.encode(reply) if unsigned or key is None else self._codec.sign(reply, partial(ecb, key))
        return LengthPrefixed(2).encode(raw)

    # -- the panel ---------------------------------------------------------------------------------------------------

    def books(self) -> dict[str, Any]:
        return self.ledger.books() | {"requests": dict(self.requests)}

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """``make_code`` and ``make_token`` ``{balance?, account?, allowed?, life_s?}``, ``sign_off``."""
        levers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "make_code": lambda c: self._made(c, "code", f"62{secrets.randbelow(10**17):017d}"),
            "make_token": lambda c: self._made(c, "token", f"TK{secrets.token_hex(12).upper()}"),
            "sign_off": self._sign_off,
        }
        lever = levers.get(str(command.get("do")))
        return lever(command) if lever else super().control(command)

    def _made(self, command: Mapping[str, Any], kind: str, code: str) -> dict[str, Any]:
        """A customer's code or a card's token: single use."""
        account = str(command.get("account") or f"customer-{secrets.token_hex(4)}")
        balance, allowed = int(command.get("balance", 1_000_000)), int(command.get("allowed", 1))
        with self.ledger.change():
            self.ledger.run("INSERT OR IGNORE INTO accounts VALUES (?, ?, ?)", account, balance, allowed)
            until = self.now() + float(command.get("life_s", _CODE_LIFE_S))
            self.ledger.run("INSERT INTO codes VALUES (?, ?, ?, 0, ?)", digest(code), account, until, kind)
        return {"auth_code": code, "account": account}

    def _sign_off(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """All sessions end: the next message is refused with 77."""
        self.ledger.run("UPDATE terminals SET mak = ''")
        return {"done": "sign_off"}


def _kind(asked: Mapping[str, str]) -> str:
    found = (kind for kind, (message, code, _) in KINDS.items() if (message, code) == (asked["t"], asked.get("3", "")))
    return next(found, "query" if asked.get("3") == QUERY_CODE else "other")
