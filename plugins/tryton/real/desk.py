"""A person at a desk of Tryton's: their own session, past the adapter, for what a shop does by itself."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import requests

from plugins.tryton import protocol


class Desk:
    """A person at a desk: a session of their own, bound by nothing that binds the gateway."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = f"{url}/rpc/"
        self._http = requests.Session()
        opened = self._post("common.db.login", [user, {"password": password}], {})
        self.authorization = protocol.authorization(user, opened[0], opened[1])
        self._headers = {"Authorization": self.authorization, "Accept-Encoding": "gzip"}
        self.context: dict[str, Any] = {"company": 1, "language": "en"}
        self._card: dict[str, Any] = {}
        self._coupon = 0

    def _post(self, method: str, params: list[Any], headers: dict[str, str]) -> Any:
        body = protocol.encode(method, params)
        reply = self._http.post(
            self._url, data=body, headers={"Content-Type": "application/json", **headers}, timeout=30
        )
        if reply.status_code != 200:
            raise RuntimeError(f"{method}: HTTP {reply.status_code}")
        answer = protocol.decode(reply.content)
        if isinstance(answer, protocol.Failure):
            raise RuntimeError(f"{method}: {answer.name}: {answer.message}")
        return answer

    def __call__(self, method: str, *args: Any, **context: Any) -> Any:
        return self._post(f"model.{method}", [*args, {**self.context, **context}], self._headers)

    def create(self, model: str, **values: Any) -> int:
        return int(self(f"{model}.create", [values])[0])

    def rows(self, model: str, domain: list[Any], *names: str, **context: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self(
            f"{model}.search_read", domain, 0, None, [["id", "ASC"]], list(names), **context
        )
        return found

    def gift_card(self, number: str, fen: int) -> int:
        """Sell a gift card over the counter: like the seeded ones, with a number and a value of its own."""
        if not self._card:
            self._card = self.rows("sale.gift_card", [["number", "=", "GC100"]], "product", "currency")[0]
        like = {name: self._card[name] for name in ("product", "currency")}
        return self.create("sale.gift_card", number=number, value=Decimal(fen) / 100, **like)

    def coupon(self, number: str, **more: Any) -> int:
        """One more number of the seeded coupon, good for one use."""
        if not self._coupon:
            like = self.rows("sale.promotion.coupon.number", [["number", "=", "TEN1"]], "coupon", active_test=False)
            self._coupon = int(like[0]["coupon"])
        return self.create("sale.promotion.coupon.number", number=number, coupon=self._coupon, **more)

    def receive(self, code: str, count: int, shelf: str) -> None:
        """Take goods in from a supplier, onto a shelf by its code."""
        product = self.rows("product.product", [["code", "=", code]], "default_uom", "template.list_price")[0]
        supplier = self.rows("stock.location", [["type", "=", "supplier"]], "name")[0]["id"]
        move = self.create(
            "stock.move",
            product=product["id"],
            unit=product["default_uom"],
            quantity=float(count),
            from_location=supplier,
            to_location=self.rows("stock.location", [["code", "=", shelf]], "name")[0]["id"],
            unit_price=product["template."]["list_price"],
            currency=self.rows("currency.currency", [["code", "=", "CNY"]], "code")[0]["id"],
        )
        self("stock.move.do", [move])
