"""How the simulated till's answers go wrong on the wire: the faults that spoil a reply after the till has acted."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.sdk.simulator import FaultPanel
from plugins.ktv import protocol as p

#: Commands that change something.
CHANGES = ("BK", "BC", "OP", "EX", "MV", "MG", "DK", "PY", "CL", "YJ", "TD")

EXTRA_FAULTS = {
    "half_char": "act, then answer with half a GBK character in TEXT, right before a separator",
    "other_reply": "act, then first answer with another client's reply; value = 1: and never with ours",
    "state_jump": "after this command somebody at the desk opens a room; value = its number, 0 = the first idle one",
    "lose_memory": "the next restart (lever) forgets the states of rooms; bills stay",
    "new_code": "answer with a RET that no list has, without acting; value = the RET",
    "disk_full": "a changing command answers 磁盘空间不足 without acting",
}

_AMOUNT = re.compile(rb"(-?\d+\.\d\d)")
_NUMBER = re.compile(rb"([KRDYT]\d{6})(\d{4})")


@dataclass(frozen=True)
class Reply:
    """An answer before it becomes bytes."""

    command: str
    seq: int
    code: int
    text: str
    fields: Sequence[str | bytes]
    encoding: str = "gbk"

    def body(self, text_tail: bytes = b"") -> bytes:
        """The body; ``text_tail`` is put right after TEXT."""
        text = self.text.encode(self.encoding, errors="replace") + text_tail
        head = f"{self.command}|{self.seq}|{self.code}|".encode("ascii") + text
        return b"|".join([head, *(self._raw(field) for field in self.fields)])

    def _raw(self, field: str | bytes) -> bytes:
        if isinstance(field, bytes) and self.encoding == "gbk":
            return field
        text = field if isinstance(field, str) else field.decode("gbk", errors="replace")
        return text.encode(self.encoding, errors="replace")

    @property
    def fits(self) -> bool:
        """Whether four digits can say its length."""
        return len(self.body()) <= p.MAX_BODY


def spoil(peer: socket.socket, reply: Reply, faults: FaultPanel, op: str) -> bool:
    """Send a reply, spoilt as the faults say; ``False``: the connection is to be closed."""
    body = _spoilt_body(reply, faults, op)
    if fault := faults.take("other_reply", op):
        peer.sendall(p.frame(replace(reply, seq=reply.seq + 7, text="成功", fields=["K9912310001"]).body()))
        if fault.value:
            return True
    if faults.take("garbage", op):
        peer.sendall(b"\xff\xfe<html>502 Bad Gateway</html>")
        return False
    data = p.frame(body)
    if faults.take("bad_signature", op):  # the length is the only thing in a frame that verifies anything
        data = b"%04d" % (len(body) - 1) + body
    if faults.take("half_body", op):
        peer.sendall(data[: len(data) // 2])
        return False
    peer.sendall(data)
    return True


def _spoilt_body(reply: Reply, faults: FaultPanel, op: str) -> bytes:
    if faults.take("wrong_encoding", op):
        reply = replace(reply, encoding="utf-8")
    body = reply.body("的".encode("gbk")[:1] if faults.take("half_char", op) else b"")
    if fault := faults.take("wrong_amount", op):
        body = _AMOUNT.sub(lambda match: _shifted(match[1], fault.value), body, count=1)
    if faults.take("wrong_id", op):
        body = _NUMBER.sub(lambda match: match[1] + b"%04d" % ((int(match[2]) + 4321) % 10000), body, count=1)
    return body[: p.MAX_BODY]


def _shifted(amount: bytes, by: int) -> bytes:
    return p.format_money(p.parse_money(amount.decode()) + by).encode()
