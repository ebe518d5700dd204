"""A card processor of Stripe's kind, simulated: payment intents, refunds, movements, idempotency keys, webhooks.

Run it with ``gateway simulate stripe``. Its address is ``api``; the secret key and the webhook secret are options.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from gateway.sdk import AdapterError, Http
from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from plugins.stripe.protocol import signature
from plugins.stripe.simulator_account import Account, Object, Refused
from plugins.stripe.simulator_ledger import Ledger

SECRET_KEY, WEBHOOK_SECRET = "sk_test_simulator_0001", "whsec_simulator_0001"
_KEPT_S = 86_400
_INTENT = re.compile(r"/v1/payment_intents/(pi_\w+)(?:/(confirm|cancel))?")
_PATHS = {
    ("POST", "/v1/payment_intents"): "create",
    ("POST", "/v1/refunds"): "refund",
    ("GET", "/v1/refunds"): "refunds",
    ("GET", "/v1/balance_transactions"): "movements",
    ("GET", "/v1/balance"): "balance",
}


class StripeSimulator(Simulator):
    """See the module; its README lists cards, levers, options and faults."""

    name: ClassVar[str] = "stripe"
    extra_faults: ClassVar[dict[str, str]] = {
        "rate_limited": "answer 429 without acting",
        "forgets_key": "act as if the Idempotency-Key had never been seen",
        "webhook_forged": "sign a webhook with another secret",
        "webhook_old": "sign a webhook with a time ten minutes ago",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self.ledger = Ledger(data / "processor.db")
        self.account = Account(self.ledger, self.now, self._event)
        self.key = self.options.get("secret_key", SECRET_KEY)
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._server: ThreadingHTTPServer | None = None
        self._http = Http()

    def start(self) -> dict[str, str]:
        self._server = serve_http(self._handle, self.port("api"))
        return {"api": f"http://{LOOPBACK}:{self._server.server_address[1]}"}

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._http.close()
        self.ledger.close()

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def _handle(self, request: HttpRequest) -> HttpReply:
        found = _INTENT.fullmatch(request.path)
        operation = _PATHS.get((request.method, request.path), "")
        if found:
            operation = (found[2] or "") if request.method == "POST" else ("intent" if not found[2] else "")
        self._requests[operation or "other"] += 1
        take = self.faults.take
        pause = float(self.options.get("latency_ms", "0"))
        if (fault := take("latency", operation)) is not None:
            pause += fault.value
        time.sleep(pause / 1000)
        if take("refuse", operation) or take("drop_before", operation):
            raise Hangup
        if (late := take("late_success", operation)) is not None:
            timer = threading.Timer(late.value / 1000, self._answered, args=(operation, found, request))
            timer.daemon = True
            timer.start()
            raise Hangup
        if take("error", operation):
            return _reply(500, {"error": {"type": "api_error", "message": "An error occurred"}})
        if take("rate_limited", operation):
            return _reply(429, {"error": {"type": "rate_limit_error", "code": "rate_limit", "message": "Too many"}})
        status, body = self._answered(operation, found, request)
        if take("duplicate", operation):
            status, body = self._answered(operation, found, request)
        return self._spoilt(operation, status, body)

    def _answered(self, operation: str, found: re.Match[str] | None, request: HttpRequest) -> tuple[int, str]:
        """The answer to a request: kept under its Idempotency-Key, whatever it is."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return 401, _error(Refused(401, "", "Invalid API Key provided"))
        values = _unflattened(request)
        if request.method != "POST":
            return self._acted(operation, found, values)
        key = request.headers.get("idempotency-key", "") or secrets.token_hex(8)
        if self.faults.take("forgets_key", operation):
            key = secrets.token_hex(8)
        digest = hashlib.sha256(request.path.encode() + b"\0" + request.body).hexdigest()
        with self._lock:
            if key in self._running:
                return 409, _error(Refused(409, "idempotency_key_in_use", "Another request is using this key"))
            self._running.add(key)
        try:
            kept = self.ledger.answer(key, self.now() - _KEPT_S)
            if kept is not None and kept[0] != digest:
                return 400, _error(
                    Refused(400, "", "Keys can only be used with the same parameters", "idempotency_error")
                )
            if kept is not None:
                return kept[1], kept[2]
            status, body = self._acted(operation, found, values)
            self.ledger.keep(key, digest, status, body, self.now())
            return status, body
        finally:
            with self._lock:
                self._running.discard(key)

    def _acted(self, operation: str, found: re.Match[str] | None, values: Mapping[str, Any]) -> tuple[int, str]:
        number = found[1] if found else ""
        acts: dict[str, Callable[[], Object]] = {
            "create": lambda: self.account.create(values),
            "intent": lambda: self.account.intent(number),
            "confirm": lambda: self.account.confirm(number, values),
            "cancel": lambda: self.account.cancel(number, values),
            "refund": lambda: self.account.refund(values),
            "refunds": lambda: self.account.refunds(values),
            "movements": lambda: self.account.movements(values),
            "balance": self.account.balance,
        }
        try:
            if operation not in acts:
                raise Refused(404, "", "Unrecognized request URL")
            with self.ledger.change():
                return 200, json.dumps(acts[operation]())
        except Refused as refusal:
            return refusal.status, _error(refusal)
        except (ValueError, TypeError, AttributeError):
            return 400, _error(Refused(400, "parameter_invalid", "Invalid request"))

    def _spoilt(self, operation: str, status: int, body: str) -> HttpReply:
        take = self.faults.take
        if (fault := take("slow", operation)) is not None:
            time.sleep(fault.value / 1000)
        if take("drop_after", operation):
            raise Hangup
        if take("garbage", operation):
            return HttpReply(200, b"<html>502 Bad Gateway \xff\xfe</html>", "text/html")
        found = json.loads(body)
        if (fault := take("wrong_amount", operation)) is not None and "amount" in found:
            found["amount"] += fault.value or 1
        if take("wrong_id", operation) and "id" in found:
            found["id"] = found["id"][::-1]
        raw = json.dumps(found).encode("utf-16" if take("wrong_encoding", operation) else "utf-8")
        half = len(raw) // 2 if take("half_body", operation) else None
        return HttpReply(status, raw, truncate=half)

    # -- webhooks ----------------------------------------------------------------------------------------------------

    def _event(self, kind: str, found: Object) -> None:
        """Post an event to the option ``webhook``, if there is one, in a thread of its own."""
        if self.options.get("webhook"):
            threading.Thread(target=self._post, args=(kind, found, self.options["webhook"]), daemon=True).start()

    def _post(self, kind: str, found: Object, url: str) -> None:
        event = {"id": f"evt_{secrets.token_hex(8)}", "object": "event", "type": kind, "data": {"object": found}}
        body, stamp = json.dumps(event).encode(), int(self.now())
        stamp -= 600 if self.faults.take("webhook_old") else 0
        secret = self.options.get("webhook_secret", WEBHOOK_SECRET)
        header = signature("forged" if self.faults.take("webhook_forged") else secret, stamp, body)
        try:
            self._http.send("POST", url, data=body, headers={"Stripe-Signature": header}, timeout=5)
        except AdapterError:
            return  # a webhook that nobody hears is lost: this processor does not repeat it

    # -- the panel ---------------------------------------------------------------------------------------------------

    def books(self) -> dict[str, Any]:
        sums: Counter[str] = Counter()
        for each in self.ledger.all("balance_transaction"):
            sums[each["currency"]] += each["amount"]
        kinds = {"intents": "payment_intent", "charges": "charge", "refunds": "refund"}
        objects = {name: self.ledger.all(kind) for name, kind in kinds.items()}
        return {"net": dict(sums), **objects, "requests": dict(self._requests)}

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """``make_method {does?}``, ``authenticate {intent, success}``, ``send_event {intent, url}``."""
        levers = {"make_method": self._make_method, "authenticate": self._authenticate, "send_event": self._send_event}
        lever = levers.get(str(command.get("do")))
        return lever(command) if lever else super().control(command)

    def _make_method(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """A customer's card as a token: ``does`` is a decline code, ``action``, ``processing`` or nothing."""
        number = f"pm_{secrets.token_hex(12)}"
        self.ledger.put({"id": number, "object": "payment_method", "does": str(command.get("does", ""))})
        return {"payment_method": number}

    def _authenticate(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The customer answers the bank's question, or a slow payment comes to its end."""
        with self.ledger.change():
            intent = self.account.intent(str(command["intent"]))
            if intent["status"] not in ("requires_action", "processing"):
                raise ValueError(f"the intent is {intent['status']}")
            if command.get("success", True):
                return {"status": self.account.pay(intent)["status"]}
            error = {"code": "payment_intent_authentication_failure", "message": "not authenticated"}
            self.ledger.put({**intent, "status": "requires_payment_method", "last_payment_error": error})
            return {"status": "requires_payment_method"}

    def _send_event(self, command: Mapping[str, Any]) -> dict[str, Any]:
        self._post("payment_intent.succeeded", self.account.intent(str(command["intent"])), str(command["url"]))
        return {"done": "send_event"}


def _reply(status: int, found: Mapping[str, Any]) -> HttpReply:
    return HttpReply(status, json.dumps(found).encode())


def _error(refusal: Refused) -> str:
    return json.dumps({"error": refusal.error})


def _unflattened(request: HttpRequest) -> dict[str, Any]:
    """``metadata[key]=1`` as nested objects, of the query or of the form."""
    pairs = list(request.query.items())
    pairs += parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    tree: dict[str, Any] = {}
    for name, value in pairs:
        path = [part.rstrip("]") for part in name.split("[")]
        node = tree
        for part in path[:-1]:
            inner = node.setdefault(part, {})
            node = inner if isinstance(inner, dict) else node
        node[path[-1]] = value
    return tree
