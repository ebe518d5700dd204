"""Errors as RFC 9457 problem documents, whatever went wrong and wherever: with a request id, without a stack."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from gateway.api import metrics
from gateway.engine.problems import Problem
from gateway.engine.seams import TimeOrderedIds
from gateway.engine.service import storage_problem
from gateway.store.errors import StorageError
from gateway.store.journal import dump

log = logging.getLogger("gateway.api")

CONTENT_TYPE = "application/problem+json"
#: What Flask and Werkzeug refuse by themselves.
_SLUGS = {
    400: "malformed-json",
    404: "not-found",
    405: "method-not-allowed",
    411: "malformed-json",
    413: "body-too-large",
    415: "unsupported-media-type",
}
_DETAILS = {
    400: "the request is no valid HTTP request, or its body broke off",
    404: "there is nothing at this address",
    405: "this address does not take this method; Allow has those it takes",
    413: "the body is larger than this gateway takes",
}
_ids = TimeOrderedIds()


def request_id() -> str:
    """The id of the request in hand, made at first use; it is in the header ``X-Request-Id`` and in every problem."""
    known: str | None = g.get("request_id")
    if known is None:
        known = g.request_id = f"req_{_ids.new()}"
    return known


def problem_response(problem: Problem, trouble: str = "") -> Response:
    """The problem as it is sent. What is no fault of the platform's is logged, with ``trouble`` as its cause."""
    metrics.PROBLEMS.labels(problem.slug).inc()
    if problem.status > 500:
        extra = {"problem": problem.slug, "status": problem.status, "route": request.endpoint or "", "trouble": trouble}
        log.warning("refused: %s", problem.detail, extra={"request_id": request_id(), **extra})
    document: dict[str, Any] = {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request_id(),
        **({"errors": problem.errors} if problem.errors else {}),
        **problem.extra,
    }
    response = Response(dump(document), problem.status, content_type=CONTENT_TYPE)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.location:
        response.headers["Location"] = problem.location
    return response


def from_http(error: HTTPException) -> Response:
    """What Flask refuses: unknown addresses, methods, bodies that are too large."""
    code = error.code or 500
    if code < 400:  # a redirect is no problem
        return Response(error.get_response().response, code, error.get_headers())
    if code >= 500:
        return from_any(error)
    slug = _SLUGS.get(code, "malformed-json")
    response = problem_response(Problem(slug, _DETAILS.get(code, "")))
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def from_any(error: Exception) -> Response:
    """A bug of ours: the platform learns nothing of it but the request id, the log has the stack."""
    log.error("internal error", exc_info=error, extra={"request_id": request_id(), "route": str(request.url_rule)})
    return problem_response(Problem("internal-error", "it has been logged under this request id"))


def from_store(error: StorageError) -> Response:
    """The database's trouble."""
    return problem_response(storage_problem(error), f"{type(error).__name__}: {error}")


def install(app: Flask) -> None:
    """Let the app answer every error as a problem."""
    app.register_error_handler(Problem, problem_response)
    app.register_error_handler(StorageError, from_store)
    app.register_error_handler(HTTPException, from_http)
    app.register_error_handler(Exception, from_any)
