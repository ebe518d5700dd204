"""Runs operations: authenticate, permit, read, validate, call, answer. In this order, for every route alike."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.globals import request_ctx
from werkzeug.datastructures import Headers

from gateway.api import metrics, problems
from gateway.api.auth import Authenticator
from gateway.api.bodies import fingerprint, idempotency_key, read_bytes, read_json, read_query
from gateway.api.keys import ApiKey
from gateway.api.limits import MISSES, MissLimit, RateLimit
from gateway.api.operation import OPERATIONS, Ask, Operation
from gateway.api.parts import Parts
from gateway.api.shares import Shares
from gateway.api.signatures import SignatureCheck, message_of
from gateway.api.validation import load_body, load_query
from gateway.engine.model import Json
from gateway.engine.problems import Problem
from gateway.engine.replies import Reply
from gateway.engine.service import Asked
from gateway.store.journal import dump

_JSON = "application/json"
#: An address without what a proxy may read otherwise: empty parts, encoded slashes, dots and control characters.
_ADDRESS = re.compile(
    r"(?:https?://[^/?#]++)?(?:/(?:[^/%?#\\]++|%(?!2[eEfF]|5[cC]|[01]|7[fF])[0-9A-Fa-f]{2})++)++(?:\?[^#]*+)?\Z"
)
#: What every reply carries.
ALWAYS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Ready(Response):
    """A reply whose headers are all there, in ASCII: nothing of them is worked out again."""

    def get_wsgi_headers(self, environ: object) -> Headers:
        return self.headers


class Gate:
    """What every request goes through before its operation: whose key, how often, signed as it must be."""

    def __init__(self, parts: Parts, shares: Shares) -> None:
        self._authenticate = Authenticator(parts.database)
        self._rate = RateLimit(parts.config.limits, parts.config.server.workers)
        self._verify = SignatureCheck(parts.database, parts.master)
        self._public_url = parts.config.server.public_url
        self.misses = MissLimit(parts.database, parts.config.limits)
        self.shares = shares

    def __call__(self, operation: Operation, request: Request) -> ApiKey:
        """The key. Raises what is wrong with it or with its signature, and ``rate-limited``."""
        environ = request.environ
        raw = environ.get("RAW_URI")
        if raw is not None and _ADDRESS.match(raw) is None:
            raise Problem("not-found", "there is nothing at this address")
        key = self._authenticate(environ.get("HTTP_AUTHORIZATION"))
        self._rate.take(key.id)
        if operation.guess:
            self.misses.check(key.id, operation.guess)
        if key.signed:
            read_bytes(request, keep=True)
            self._verify(key, message_of(request, self._public_url))
        return key


def install(app: Flask, parts: Parts, shares: Shares) -> None:
    """Give the app the routes of all operations."""
    gate = Gate(parts, shares)
    for operation in OPERATIONS:
        endpoint = _endpoint(operation, parts, gate)
        app.add_url_rule(operation.path, operation.id, endpoint, methods=[operation.method])


def _endpoint(operation: Operation, parts: Parts, gate: Gate) -> Callable[..., Response]:
    seconds = metrics.SECONDS.labels(operation.id)

    def endpoint(**ids: str) -> Response:
        started = time.perf_counter()
        try:
            response = _answer(operation, parts, gate, ids)
        except Problem as problem:
            response = problems.problem_response(problem)
        metrics.requests(operation.id, response.status_code).inc()
        seconds.observe(time.perf_counter() - started)
        return response

    return endpoint


def _answer(operation: Operation, parts: Parts, gate: Gate, ids: dict[str, str]) -> Response:
    parts.start_recovery()
    request = request_ctx.request  # itself, because every look through Flask's proxy costs
    key = gate(operation, request)
    _permit(operation, parts, key, ids)
    ask = Ask(parts, key, ids, {})
    if not operation.far:
        return _work(operation, ask, gate, request)
    with gate.shares.taken(ids["merchant"], len(parts.runtime.merchants)):
        return _work(operation, ask, gate, request)


def _work(operation: Operation, ask: Ask, gate: Gate, request: Request) -> Response:
    """Read, validate, call, answer."""
    if operation.method != "GET":
        _read_body(operation, ask, request)
    ask.query = load_query(operation.query_schema, read_query(request))
    try:
        return _response(operation, operation.view(ask))
    except Problem as problem:
        if operation.guess and problem.slug in MISSES:
            gate.misses.missed(ask.key.id, operation.guess)
        raise


def _permit(operation: Operation, parts: Parts, key: ApiKey, ids: dict[str, str]) -> None:
    """Scopes first, which say nothing of what there is; then another's tenant, the same as one that is absent."""
    missing = [scope for scope in operation.scopes if scope not in key.scopes]
    if missing:
        raise Problem("insufficient-scope", f"this needs {', '.join(missing)}")
    merchant = ids.get("merchant")
    if merchant is not None and not (key.sees(merchant) and merchant in parts.runtime.merchants):
        raise Problem("not-found", "no such merchant")


def _read_body(operation: Operation, ask: Ask, request: Request) -> None:
    raw: Any = read_json(request, required=operation.body is not None)
    if raw is None and operation.body is None:
        raw = {}
    key = idempotency_key(request.environ.get("HTTP_IDEMPOTENCY_KEY")) if operation.idempotent else ""
    if operation.body_schema is not None:
        proved = operation.prove(raw)
        ask.body = load_body(operation.body_schema, raw) if proved is None else proved
    elif raw != {}:
        raise Problem("unknown-field", "this takes no body")
    if key:
        meaning = fingerprint(operation.method, request.path, raw)
        ask.asked = Asked(ask.ids.get("merchant") or ask.who.tenant, key, meaning, problems.request_id())


def _response(operation: Operation, answer: Json | Reply) -> Response:
    headers = {**ALWAYS, "X-Request-Id": problems.request_id()}
    if not isinstance(answer, Reply):
        return Ready(dump(answer), min(operation.returns), {**headers, "Content-Type": _JSON})
    headers["Content-Type"] = _JSON if answer.status < 400 else problems.CONTENT_TYPE
    if answer.location:
        headers["Location"] = answer.location
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    made = Ready if answer.location.isascii() else Response
    return made(answer.body, answer.status, {**headers, **answer.headers})
