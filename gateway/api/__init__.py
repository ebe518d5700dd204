"""The platform's endpoints: parse, call, dump; no logic."""

from __future__ import annotations

from flask import Flask, Response
from flask.globals import request_ctx

from gateway.api import (
    callbacks,
    checkouts,
    deposits,
    events,
    goods,
    health,
    members,
    merchants,
    pages,
    problems,
    refunds,
    serving,
    tasks,
    timeline,
    webhooks,
)
from gateway.api.arrivals import ARRIVALS, LEAVE_S
from gateway.api.parts import Parts
from gateway.api.shares import Shares

__all__ = ["install_api"]

#: The modules whose operations make up the API, in the order of its document.
RESOURCES = (merchants, goods, members, checkouts, timeline, refunds, deposits, tasks, events, webhooks)


def install_api(app: Flask, parts: Parts) -> None:
    """Give the app everything that it answers to."""
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = parts.config.server.max_body_bytes + 1  # see read_bytes
    problems.install(app)
    shares = Shares(parts.config.server.threads)
    serving.install(app, parts, shares)
    callbacks.install(app, parts, shares)
    pages.install(app)
    health.install(app, parts)
    app.after_request(_finish)


def _finish(response: Response) -> Response:
    ARRIVALS.begin(request_ctx.request.environ.get("gunicorn.socket"), LEAVE_S)
    if isinstance(response, serving.Ready):
        return response
    response.headers["X-Request-Id"] = problems.request_id()
    for name, value in serving.ALWAYS.items():
        response.headers.setdefault(name, value)
    return response
