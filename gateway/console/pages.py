"""The console's one page, and the small Flask app that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

from flask import Blueprint, Flask, Response, abort, redirect, render_template, request, url_for

from gateway.backoffice.evidence import told
from gateway.backoffice.table import yuan
from gateway.console import day
from gateway.console.words import LANGUAGES, Words
from gateway.engine.basket import business_date
from gateway.engine.problems import Problem
from gateway.engine.service import Engine
from gateway.engine.timeline import timeline
from gateway.runtime import GatewayConfig, Merchant, Runtime

#: Nothing but our own style sheet; no script at all.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: Names under which a page on this machine is asked for; any other Host is somebody's trick (DNS rebinding).
LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]


class Parts(Protocol):
    """What the console needs of the gateway's parts."""

    @property
    def config(self) -> GatewayConfig: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def runtime(self) -> Runtime: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the reader chose, as it stands in the form; ``trouble`` is what was wrong with it."""

    merchant: str
    date: str
    status: str
    lang: str
    trouble: str = ""


def create_console(parts: Parts) -> Flask:
    """The console as an application of its own, for a port on loopback; ``/`` leads to ``/console/``."""
    app = Flask("gateway.console", static_folder=None)
    app.config["TRUSTED_HOSTS"] = [*LOOPBACK, parts.config.server.console_host]
    app.register_blueprint(console(parts))
    app.add_url_rule("/", "root", lambda: redirect(url_for("console.page")))
    return app


def console(parts: Parts) -> Blueprint:
    """The page as a blueprint under ``/console/``. Changes nothing and calls no far system.

    Query: ``merchant``, ``date``, ``status``, ``page``, ``lang``; ``open`` unfolds one (id or order number).
    """
    pages = Blueprint(
        "console",
        __name__,
        url_prefix="/console",
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )

    @pages.after_request
    def guard(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @pages.get("/")
    def page() -> str:
        return _page(parts)

    @pages.get("/timeline/<merchant>/<checkout>")
    def one(merchant: str, checkout: str) -> str:
        return _timeline(parts, merchant, checkout)

    return pages


def _page(parts: Parts) -> str:
    words = Words(_language())
    filters, asked = _asked(parts, words)
    shown = day.read_day(parts.engine, asked, words)
    number = min(asked.page, shown.pages - 1)
    return render_template(
        "console/day.html",
        w=words,
        day=shown,
        filters=filters,
        page=number,
        opened=request.args.get("open", ""),
        merchants=parts.runtime.merchants.values(),
        statuses=day.STATUSES,
        languages=LANGUAGES,
        most=day.MOST,
        yuan=yuan,
        names=day.names,
        quantity=day.quantity,
        link=lambda **changed: _link(filters, **changed),
    )


def _timeline(parts: Parts, merchant: str, checkout: str) -> str:
    """The evidence of one checkout, masked as it was written down."""
    words, known = Words(_language()), parts.runtime.merchants.get(merchant)
    try:
        found = timeline(parts.engine.journal, None, merchant, checkout) if known is not None else None
    except Problem:
        found = None
    if known is None or found is None:
        abort(404)
    return render_template(
        "console/timeline.html",
        w=words,
        merchant=merchant,
        checkout=checkout,
        number=found["order_no"],
        lines=told(found, known.timezone, words.language),
    )


def _language() -> str:
    asked = request.args.get("lang", "")
    return asked if asked in LANGUAGES else request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]


def _asked(parts: Parts, words: Words) -> tuple[Filters, day.Asked]:
    """The reader's choice; what makes no sense is said and left out."""
    merchants = parts.runtime.merchants
    chosen, status, text = (request.args.get(name, "") for name in ("merchant", "status", "date"))
    trouble = ""
    if chosen and chosen not in merchants:
        chosen, trouble = "", words("bad_merchant")
    wanted = (merchants[chosen],) if chosen else tuple(merchants.values())
    try:
        when = date.fromisoformat(text) if text else None
    except ValueError:
        when, trouble = None, words("bad_date")
    status = status if status in day.STATUSES else ""
    shown = (when or _today(parts, wanted)).isoformat()
    filters = Filters(merchant=chosen, date=shown, status=status, lang=words.language, trouble=trouble)
    page = request.args.get("page", "0")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 0
    return filters, day.Asked(merchants=wanted, day=when, status=status, page=number)


def _today(parts: Parts, merchants: tuple[Merchant, ...]) -> date:
    """The newest business date among these merchants, for the form."""
    now = parts.engine.now()
    return max((business_date(merchant, now) for merchant in merchants), default=now.date())


def _link(filters: Filters, **changed: object) -> str:
    values = {"merchant": filters.merchant, "date": request.args.get("date", ""), "status": filters.status}
    values |= {"lang": filters.lang, **{name: str(value) for name, value in changed.items()}}
    return url_for("console.page", **{name: value for name, value in values.items() if value})  # type: ignore[arg-type]
