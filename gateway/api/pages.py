"""Pages for people: the API's documentation, and one page a problem. No file comes from another host."""

from __future__ import annotations

import html
import json
import tomllib
from functools import cache
from importlib.resources import files

from flask import Flask, Response, abort

from gateway.api.openapi import document
from gateway.engine.problems import PROBLEMS

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STATIC = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "pages.css": "text/css; charset=utf-8",
}
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Merchant integration gateway: API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="data:,"></head>
<body><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/docs.js"></script></body></html>
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{slug}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/pages.css"><link rel="icon" href="data:,"></head>
<body><main>{body}</main></body></html>
"""


def install(app: Flask) -> None:
    """Give the app its pages."""
    app.add_url_rule("/openapi.json", "openapi", lambda: Response(_openapi(), content_type="application/json"))
    app.add_url_rule("/docs", "docs", lambda: _html(_DOCS))
    app.add_url_rule("/docs/<name>", "docs_file", _file)
    app.add_url_rule("/problems", "problems", lambda: _html(_PAGE.format(slug="Problems", body=_index())))
    app.add_url_rule("/problems/<slug>", "problem", _problem)


@cache
def _openapi() -> str:
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":"))


def _html(text: str) -> Response:
    return Response(text, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})


def _file(name: str) -> Response:
    if name not in _STATIC:
        abort(404)
    return Response(
        _bytes(name),
        content_type=_STATIC[name],
        headers={"Cache-Control": "public, max-age=86400", "Content-Security-Policy": POLICY},
    )


@cache
def _bytes(name: str) -> bytes:
    return files("gateway.api").joinpath("static", name).read_bytes()


def _index() -> str:
    rows = "".join(
        f'<li><a href="/problems/{slug}">{slug}</a> <small>{status}</small> {html.escape(title)}</li>'
        for slug, (status, title) in PROBLEMS.items()
    )
    return f"<h1>Problems</h1><ul>{rows}</ul>"


def _problem(slug: str) -> Response:
    if slug not in PROBLEMS:
        abort(404)
    status, title = PROBLEMS[slug]
    texts = problem_texts()[slug]
    parts = [
        f"<h1>{html.escape(title)}</h1><p><code>/problems/{slug}</code> · HTTP {status}</p>",
        *(f'<section lang="{lang}">{_paragraphs(texts[lang])}</section>' for lang in ("en", "zh")),
        '<p><a href="/problems">all problems · 全部错误</a></p>',
    ]
    return _html(_PAGE.format(slug=slug, body="".join(parts)))


def _paragraphs(texts: list[str]) -> str:
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)


@cache
def problem_texts() -> dict[str, dict[str, list[str]]]:
    """What each problem means and what to do: slug → language → paragraphs."""
    text = files("gateway.api").joinpath("problem_texts.toml").read_text(encoding="utf-8")
    found: dict[str, dict[str, list[str]]] = tomllib.loads(text)
    return found
