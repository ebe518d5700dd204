"""A small made-up wallet: a simulator on a real socket, an adapter that does all right, and its profile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs

from marshmallow import fields

from gateway.sdk import (
    Adapter,
    Answer,
    Call,
    Change,
    Charge,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    Page,
    PaymentRefund,
    Query,
    Reverse,
    SecretField,
    Settings,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)
from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from gateway.sdk.transports.http import HttpReply as HttpAnswer
from gateway.testing import Far, Profile, charge

PASSWORD = "wallet-password-77"


class ParseError(ValueError):
    """An answer that is not this wallet's."""


def parse(body: bytes) -> dict[str, Any]:
    """An answer: an object with a text ``state`` and whole ``amount``s."""
    try:
        found = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise ParseError("no JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("state"), str):
        raise ParseError("no state")
    if not isinstance(found.get("amount", 0), int) or not isinstance(found.get("key", ""), str):
        raise ParseError("an amount or a key that is none")
    return found


class WalletSimulator(Simulator):
    """Changes are idempotent by their key; a number that was reversed before it came stays closed."""

    name = "wallet"
    idempotent = True
    extra_faults: ClassVar[dict[str, str]] = {
        "late_read": "act, then close without answering; questions show it only later; value = milliseconds"
    }

    def __init__(self, data: Any, options: Any = None) -> None:
        super().__init__(data, options)
        self.rows: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()
        self.hidden: dict[str, float] = {}

    def start(self) -> dict[str, str]:
        self.server = serve_http(self.handle)
        return {"wallet": f"{LOOPBACK}:{self.server.server_address[1]}"}

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def handle(self, request: HttpRequest) -> HttpReply:
        asked = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if asked.pop("password", "") != PASSWORD:
            return _json({"state": "forbidden"})
        if self.faults.take("drop_before"):
            raise Hangup
        if self.faults.take("error"):
            return _json({"state": "busy", "key": asked.get("key", "")})
        if (late := self.faults.take("late_success")) is not None:
            threading.Timer(late.value / 1000, self.act, (request.path, asked)).start()
            raise Hangup
        if request.path not in ("/ask", "/list") and (hidden := self.faults.take("late_read")) is not None:
            self.hidden[asked["key"]] = time.monotonic() + hidden.value / 1000
            self.act(request.path, asked)
            raise Hangup
        answer = self.act(request.path, asked)
        if (fault := self.faults.take("wrong_amount")) is not None and "amount" in answer:
            answer = {**answer, "amount": answer["amount"] + fault.value}
        if self.faults.take("wrong_id"):
            answer = {**answer, "key": "somebody-else"}
        if self.faults.take("drop_after"):
            raise Hangup
        return _json(answer)

    def act(self, path: str, asked: dict[str, str]) -> dict[str, Any]:
        key = asked.get("key", "")
        with self.lock:
            if path == "/list":
                return {"state": "list", "key": "list", "rows": [row for row in self.rows.values() if "kind" in row]}
            row = self.rows.get(key)
            if path == "/ask" and self.hidden.get(key, 0) > time.monotonic():
                row = None
            if path == "/ask" or (row is not None and self.idempotent):
                return {"state": "absent", "key": key} if row is None else row
            return self.change(path, asked, key)

    def change(self, path: str, asked: dict[str, str], key: str) -> dict[str, Any]:
        amount, original = int(asked["amount"]), asked.get("original", "")
        first = self.rows.get(original)
        if path == "/charge" and amount == 666:
            return {"state": "poor", "key": key}
        if path == "/reverse":
            self.rows[original] = {**(first or {"amount": 0, "key": original}), "state": "closed"}
        if path == "/refund":
            if first is None or first["state"] != "done" or first.get("left", first["amount"]) < amount:
                return {"state": "no-refund", "key": key}
            first["left"] = first.get("left", first["amount"]) - amount
        name = key if self.idempotent else f"{key}/{len(self.rows)}"
        row = {"state": "done", "key": key, "amount": amount, "kind": path[1:], "at": time.time(), "original": original}
        self.rows[name] = row
        return row

    def books(self) -> dict[str, Any]:
        with self.lock:
            return {"rows": [dict(row) for row in self.rows.values()]}


def _json(answer: Mapping[str, Any]) -> HttpReply:
    return HttpReply(200, json.dumps(answer).encode())


class WalletSettings(Settings):
    url = fields.Url(required=True, require_tld=False)
    password = SecretField(required=True)


class WalletAdapter(Adapter):
    """Charges, closes, refunds, tells."""

    name = "wallet"
    Settings = WalletSettings
    traits: ClassVar[Mapping[str, Traits]] = {
        "payment_charge": Traits(idempotent=True),
        "payment_reverse": Traits(idempotent=True, tombstone=True, partial=False),
        "payment_refund": Traits(idempotent=True),
    }
    DECLINES: ClassVar[dict[str, DeclineReason]] = {
        "poor": DeclineReason.INSUFFICIENT_FUNDS,
        "no-refund": DeclineReason.NOT_REFUNDABLE,
        "closed": DeclineReason.CLOSED,
    }

    def check(self) -> None:
        try:
            self.ask("/ask", key="none")
        except OutcomeUnknown as error:
            raise NotSent(f"url: the wallet does not answer as it should: {error}") from None

    def ask(self, path: str, seconds: float = 2.0, **fields: str) -> dict[str, Any]:
        settings = self.context.settings
        form = {**fields, "password": settings["password"].reveal()}
        body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
        reply = self.post(settings["url"] + path, body, seconds)
        if reply.status != 200:
            raise OutcomeUnknown(f"HTTP status {reply.status}")
        try:
            answer = parse(reply.body)
        except ParseError as error:
            raise InvalidReply(str(error)) from None
        if answer["state"] == "forbidden":
            raise Misconfigured("password: the wallet refuses it")
        if answer.get("key") != fields["key"]:
            raise InvalidReply("an answer about another key")
        return answer

    def post(self, url: str, body: bytes, seconds: float) -> HttpAnswer:
        return self.context.http.send("POST", url, data=body, timeout=seconds)

    def change(self, path: str, call: Call, amount: int, original: str = "") -> Change:
        answer = self.ask(path, call.remaining(), key=call.key, amount=str(amount), original=original)
        return self.read(answer, amount)

    def read(self, answer: dict[str, Any], amount: int) -> Change:
        if answer["state"] in self.DECLINES:
            return Declined(reason=self.DECLINES[answer["state"]], code=answer["state"])
        if answer["state"] != "done":
            raise OutcomeUnknown(f"the wallet says {answer['state']}")
        if answer.get("amount") != amount:
            raise InvalidReply("another amount")
        return Done(ref=answer["key"], amount=amount)

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        if request.currency != "CNY":
            raise NotSupported("the wallet takes CNY")
        return self.change("/charge", call, request.amount)

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        return self.change("/reverse", call, request.amount, request.original.key)

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        return self.change("/refund", call, request.amount, request.original.key)

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        answer = self.ask("/ask", key=request.key)
        return NotFound() if answer["state"] == "absent" else self.read(answer, request.request.amount)

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        rows = self.ask("/list", key="list").get("rows", ())
        return Page(items=tuple(self.row(row) for row in rows if row.get("kind") in ("charge", "refund")))

    def row(self, row: dict[str, Any]) -> StatementRow:
        try:
            sign = 1 if row["kind"] == "charge" else -1
            return StatementRow(kind=row["kind"], ref=row["key"], key=row["key"], amount=sign * row["amount"])
        except (KeyError, TypeError):
            raise InvalidReply("a row that is none") from None


class WalletProfile(Profile):
    """The wallet as it should be."""

    adapter = WalletAdapter
    simulator = WalletSimulator
    patience_s = 0.3

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {"url": f"http://{far.address('wallet')}", "password": far.secret("password", PASSWORD)}

    def payment_charge(self, far: Far) -> Any:
        from gateway.sdk import Method

        return charge(far, method=Method.QR_CODE)

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        from gateway.sdk import Method

        if hook == "payment_charge":
            yield "insufficient_funds", charge(far, amount=666, method=Method.QR_CODE)

    def parsers(self) -> Iterable[tuple[Any, bytes]]:
        yield parse, b'{"state": "done", "key": "K", "amount": 1200}'

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        rows = [row for row in books["rows"] if row["state"] == "done"]
        signs = {"charge": 1, "refund": -1, "reverse": 0}
        return {"net": sum(signs[row["kind"]] * row["amount"] for row in rows)}
