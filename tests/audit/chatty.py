"""An adapter that sends every secret it has in every shape it can, to a host that says all of it back."""

from __future__ import annotations

import base64
import json
import socket
import time
from typing import Any, ClassVar
from urllib.parse import quote

from marshmallow import fields

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Call,
    Change,
    Charge,
    Declined,
    Done,
    OutcomeUnknown,
    Query,
    Reverse,
    SecretField,
    Settings,
    Traits,
    hookimpl,
)
from gateway.sdk.transports.files import write_atomically
from gateway.sdk.transports.tcp import TcpConnection

CARD = "6228480402564890018"
SPACED_CARD = "4111 1111 1111 1111"
PACKED_CARD = bytes.fromhex("0210") + b"\x16" + bytes.fromhex("4111111111111111") + b"\x00\x01"
PHONE = "13912345678"
IDENTITY = "11010119900307457X"
#: How long the host takes for what is slow; longer than a call may.
SLOW_S = 2.2


class ChattySettings(Settings):
    """Where the host is, and secrets of every kind."""

    port = fields.Integer(required=True)
    api_key = SecretField(required=True)
    password = SecretField(required=True)
    deep = fields.List(SecretField(), required=True)


class ChattyAdapter(Adapter):
    """A wallet that talks too much."""

    name: ClassVar[str] = "chatty"
    Settings = ChattySettings
    about = AdapterTraits(insecure_transport=True)
    traits: ClassVar[dict[str, Traits]] = {"payment_charge": Traits(idempotent=True, poll_every_s=0.05)}

    def _secrets(self) -> dict[str, str]:
        settings = self.context.settings
        return {
            "api_key": settings["api_key"].reveal(),
            "password": settings["password"].reveal(),
            "deep": settings["deep"][0].reveal(),
        }

    def _talk(self, charge: Charge, key: str) -> None:
        secrets = self._secrets()
        code = charge.auth_code.reveal() if charge.auth_code else ""
        record = {
            **{f"x_{number}": value for number, value in enumerate(secrets.values())},
            "sign": "U0lHTkFUVVJF" * 4,
            "auth_code": code,
            "note": f"card {CARD}, {SPACED_CARD}, phone {PHONE}, id {IDENTITY}, code {code}",
            "inner": json.dumps({"password": "nested-password-canary", "phone": PHONE}),
        }
        basic = base64.b64encode(secrets["password"].encode()).decode()
        form = "&".join(f"{name}={quote(str(value))}" for name, value in record.items()).encode()
        xml = f"<a><password>{secrets['password']}</password><sign><![CDATA[cdata-sign-canary]]></sign></a>"
        url = self._address(f"/pay?token=query-token-canary&k={secrets['api_key']}")
        headers = {"Authorization": f"Bearer {secrets['api_key']}", "X-Key": key}
        chinese = f"会员密码={secrets['deep']}".encode("gbk")
        for body in (json.dumps(record).encode(), form, xml.encode(), chinese, basic.encode()):
            self.context.http.send("POST", url, data=body, headers=headers, timeout=3)
        with TcpConnection("127.0.0.1", self.context.settings["port"], deadline=time.monotonic() + 3) as line:
            line.send(b"RAW " + PACKED_CARD + secrets["deep"].encode() + b"\n")
            line.read_until(b"\n")
        write_atomically(self.context.spool / "drop.json", json.dumps(record).encode())

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        self._talk(request, call.key)
        if request.order_no.endswith("hang"):
            time.sleep(2.5)
            self.context.http.send("POST", self._address("/late"), data=b"?", timeout=3)
        if request.order_no.endswith("slow"):
            self.context.http.send("POST", self._address("/slow"), data=PHONE.encode(), timeout=4)
        if request.order_no.endswith("bug"):
            raise ValueError(
                f"a bug that shows {self._secrets()} and {request.auth_code and request.auth_code.reveal()}"
            )
        raise OutcomeUnknown("the answer was lost")

    def _address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.context.settings['port']}{path}"

    @hookimpl
    def payment_query(self, request: Query) -> Any:
        self.context.http.send("POST", self._address("/ask"), data=b'{"no":"1"}', timeout=3)
        return Done(ref="T1", amount=request.request.amount)

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        return Declined(code="too-late")


def echo(client: socket.socket) -> None:
    """Says back what it was told: over HTTP if that was asked, else as it came."""
    data = client.recv(65536)
    while not data.startswith(b"RAW") and b"\r\n\r\n" not in data:
        data += client.recv(65536)
    if data.startswith(b"RAW"):
        client.sendall(data)
        return
    head, _, body = data.partition(b"\r\n\r\n")
    if head.startswith(b"POST /slow"):
        time.sleep(SLOW_S)
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
