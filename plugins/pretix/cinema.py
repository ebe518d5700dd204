"""A cinema at the real ticket system: showings with quotas, vouchers, gift cards, members; made over its own API."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

ORGANIZER = "screen"
#: The showings of a cinema of the conformance suite.
FILM, SOLD_OUT = "film", "sold out"
#: Where vouchers are held and redeemed: a product that costs nothing, on a date that nobody can buy.
FAR_AWAY = "2035-01-01T00:00:00Z"


@dataclass
class Api:
    """The ticket system's REST interface, as its own staff would use it."""

    base: str
    token: str
    organizer: str = ORGANIZER
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, body: Any = None, key: str = "", timeout: float = 120.0) -> requests.Response:
        headers = {"Authorization": f"Token {self.token}"}
        if key:
            headers["X-Idempotency-Key"] = key
        url = f"{self.base}/api/v1/organizers/{self.organizer}/{path}"
        return self.session.request(method, url, json=body, headers=headers, timeout=timeout)

    def get(self, path: str) -> Any:
        reply = self.ask("GET", path)
        reply.raise_for_status()
        return reply.json()

    def post(self, path: str, body: Any) -> Any:
        return self._done(self.ask("POST", path, body))

    def patch(self, path: str, body: Any) -> Any:
        return self._done(self.ask("PATCH", path, body))

    @staticmethod
    def _done(reply: requests.Response) -> Any:
        if reply.status_code not in (200, 201, 204):
            raise RuntimeError(f"{reply.request.method} {reply.url}: {reply.status_code} {reply.text[:500]}")
        return reply.json() if reply.content else None


@dataclass
class Cinema:
    """One event series of its own: tests do not meet in it."""

    api: Api
    event: str
    ticket: int = 0
    snack: int = 0
    redemption: int = 0
    redemption_date: int = 0
    showings: dict[str, int] = field(default_factory=dict)
    quotas: dict[str, int] = field(default_factory=dict)

    def path(self, rest: str) -> str:
        return f"events/{self.event}/{rest}"

    def sku(self, showing: str, item: int = 0) -> str:
        return f"{item or self.ticket}@{self.showings[showing]}"

    def left(self, showing: str) -> int:
        found = self.api.get(self.path(f"quotas/{self.quotas[showing]}/availability/"))
        return int(found["available_number"])

    def voucher(self, *, uses: int = 1, value: str = "10.00", mode: str = "subtract", **more: Any) -> str:
        code = f"V{secrets.token_hex(6).upper()}"
        body = {"code": code, "max_usages": uses, "price_mode": mode, "value": value, **more}
        self.api.post(self.path("vouchers/"), body)
        return code

    def redeemed(self, code: str) -> int:
        return int(self.api.get(self.path(f"vouchers/?code={code}"))["results"][0]["redeemed"])

    def gift_card(self, value: str = "50.00") -> str:
        secret = f"GC{secrets.token_hex(8).upper()}"
        self.api.post("giftcards/", {"secret": secret, "value": value, "currency": "CNY"})
        return secret

    def balance(self, secret: str) -> str:
        return str(self.api.get(f"giftcards/?secret={secret}")["results"][0]["value"])

    def member(self, name: str = "王") -> str:
        """Who has joined at the ticket system itself; the number there."""
        body = {"email": f"{secrets.token_hex(6)}@example.org", "locale": "en"}
        made = self.api.post("customers/", {**body, "name_parts": {"_scheme": "full", "full_name": name}})
        return str(made["identifier"])

    def orders(self) -> list[dict[str, Any]]:
        """All orders that are about tickets or goods; the redemptions of vouchers are left out."""
        rows: list[dict[str, Any]] = self.api.get(self.path("orders/"))["results"]
        return [row for row in rows if any(at["item"] != self.redemption for at in row["positions"])]


def open_cinema(api: Api, showings: dict[str, int]) -> Cinema:
    """Make an event series with a showing for each name, with so many places; tickets cost 45 yuan, popcorn 25."""
    slug = f"c{secrets.token_hex(4)}"
    api.post("events/", {
        "name": {"en": "Silver Screen"}, "slug": slug, "live": False, "testmode": False, "currency": "CNY",
        "date_from": "2026-01-01T00:00:00Z", "is_public": False, "has_subevents": True, "timezone": "Asia/Shanghai",
        "plugins": ["pretix.plugins.manualpayment"],
    })  # fmt: skip
    cinema = Cinema(api, slug)
    cinema.ticket = _item(cinema, "流浪地球 film ticket", "45.00", category="film")
    cinema.snack = _item(cinema, "爆米花 popcorn", "25.00", category="kiosk", admission=False)
    cinema.redemption = _item(cinema, "voucher redemption", "0.00", category="", admission=False)
    cinema.redemption_date = _date(cinema, "vouchers", FAR_AWAY)
    _quota(cinema, "vouchers", None, cinema.redemption_date, [cinema.redemption])
    for number, (name, places) in enumerate(showings.items()):
        start = (datetime.now(UTC) + timedelta(days=1, hours=2 * number)).replace(microsecond=0)
        cinema.showings[name] = _date(cinema, name, start.isoformat(), (start + timedelta(hours=2)).isoformat())
        cinema.quotas[name] = _quota(cinema, name, places, cinema.showings[name], [cinema.ticket])
        _quota(cinema, f"{name} kiosk", None, cinema.showings[name], [cinema.snack])
    return cinema


def _item(cinema: Cinema, name: str, price: str, *, category: str, admission: bool = True) -> int:
    body: dict[str, Any] = {
        "name": {"en": name}, "default_price": price, "active": True, "admission": admission, "free_price": False,
        "internal_name": category or None, "position": 0,
    }  # fmt: skip
    return int(cinema.api.post(cinema.path("items/"), body)["id"])


def _date(cinema: Cinema, name: str, start: str, end: str | None = None) -> int:
    body: dict[str, Any] = {
        "name": {"en": name}, "date_from": start, "date_to": end, "active": True, "is_public": False,
        "item_price_overrides": [], "variation_price_overrides": [], "meta_data": {},
    }  # fmt: skip
    return int(cinema.api.post(cinema.path("subevents/"), body)["id"])


def _quota(cinema: Cinema, name: str, size: int | None, subevent: int, items: list[int]) -> int:
    body = {"name": name, "size": size, "items": items, "variations": [], "subevent": subevent}
    return int(cinema.api.post(cinema.path("quotas/"), body)["id"])
