"""A client of the processor: one request, one answer; every change carries an Idempotency-Key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.sdk import Context, InvalidReply, Misconfigured, NotSent, OutcomeUnknown, ParseError
from plugins.stripe.protocol import form, read_object


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that the processor names: its HTTP status, type, code, decline code, and the parameter it is about."""

    status: int
    kind: str
    code: str
    decline: str
    message: str
    about: str


class StripeClient:
    """Access to one account. Thread-safe; nothing is ever sent twice."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._http, self._endpoint = context.http, str(settings["endpoint"]).rstrip("/")
        self._headers = {"Authorization": f"Bearer {settings['secret_key'].reveal()}"}
        if settings["api_version"]:
            self._headers["Stripe-Version"] = settings["api_version"]

    def get(self, path: str, timeout: float, **params: Any) -> dict[str, Any] | Refusal:
        """Ask. Raises ``NotSent`` or ``OutcomeUnknown``; a refusal is an answer."""
        query = form(params).decode()
        return self._send("GET", f"{path}?{query}" if query else path, b"", {}, timeout)

    def post(self, path: str, values: Mapping[str, Any], key: str, timeout: float) -> dict[str, Any] | Refusal:
        """Change something, once under this key."""
        headers = {"Idempotency-Key": key, "Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", path, form(values), headers, timeout)

    def _send(
        self, method: str, path: str, data: bytes, headers: Mapping[str, str], timeout: float
    ) -> dict[str, Any] | Refusal:
        if timeout <= 0:
            raise NotSent("the deadline has passed")
        url = self._endpoint + path
        reply = self._http.send(method, url, data=data, headers={**self._headers, **headers}, timeout=timeout)
        where = path.partition("?")[0]
        if reply.status >= 500 or reply.status in (409, 429):
            raise OutcomeUnknown(f"{where}: HTTP status {reply.status}")
        try:
            found = read_object(reply.body)
        except ParseError as error:
            raise InvalidReply(f"{where}: {error}") from None
        if reply.status == 200:
            return found
        if reply.status in (401, 403):
            raise Misconfigured(f"the processor at endpoint refuses secret_key (HTTP status {reply.status})")
        return _refusal(reply.status, found)


def _refusal(status: int, found: Mapping[str, Any]) -> Refusal:
    error = found.get("error")
    if not isinstance(error, Mapping):
        raise InvalidReply(f"HTTP status {status} without an error")
    names = ("type", "code", "decline_code", "message", "param")
    return Refusal(status, *(str(error.get(name) or "") for name in names))
