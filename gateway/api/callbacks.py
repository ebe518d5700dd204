"""Callbacks of far systems: no key, any body; the address cannot be guessed and the adapter verifies what comes."""

from __future__ import annotations

from flask import Flask, Response, request

from gateway.api.bodies import read_bytes
from gateway.api.parts import Parts
from gateway.api.shares import Shares
from gateway.domain.messages import NoticeRequest

ROUTE = "/v1/callbacks/<merchant>/<connection>/<token>"


def install(app: Flask, parts: Parts, shares: Shares) -> None:
    """Give the app the address of callbacks."""

    def take_callback(merchant: str, connection: str, token: str) -> Response:
        with shares.taken(merchant, len(parts.runtime.merchants)):
            notice = parts.notices.take(merchant, connection, token, _received())
        return Response(notice.reply, 200, content_type=notice.reply_content_type)

    app.add_url_rule(ROUTE, "take_callback", take_callback, methods=["GET", "POST"])


def _received() -> NoticeRequest:
    return NoticeRequest(
        method=request.method,
        query=request.query_string.decode("latin-1"),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=read_bytes(request),
    )
