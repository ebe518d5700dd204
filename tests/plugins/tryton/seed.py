"""The shop's first day in a fresh Tryton database: company, two stores, goods, coupons, cards, and the gateway's user.

Everything goes through the server's JSON-RPC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import requests

from plugins.tryton import protocol

#: The article's code, its name, its price, how many lie in the first store.
GOODS = (
    ("RC1", "电饭煲 Rice cooker", "299", 40),
    ("TB2", "保温杯 Thermos", "89.90", 400),
    ("LAST", "样品 Sample", "50", 1),
)
CARDS = (("GC100", "100"), ("GC200", "200"))
GATEWAY_GROUPS = ("Sales", "Stock", "Party", "Product", "Promotion", "Administration")


class Desk:
    """A person at a desk: a session of their own, bound by nothing that binds the gateway."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = f"{url}/rpc/"
        self._http = requests.Session()
        opened = self._post("common.db.login", [user, {"password": password}], {})
        self.authorization = protocol.authorization(user, opened[0], opened[1])
        self._headers = {"Authorization": self.authorization, "Accept-Encoding": "gzip"}
        self.context: dict[str, Any] = {"company": 1, "language": "en"}

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


def seed(url: str, password: str) -> None:
    """Fill the database at ``url`` (which ends in its name)."""
    desk = Desk(url, "admin", password)
    del desk.context["company"]  # there is none yet
    currency = _currency(desk)
    party = desk.create(
        "party.party", name="东郊批发 East Wholesale", addresses=[["create", [{"street": "码头路 1 号"}]]]
    )
    company = desk.create("company.company", party=party, currency=currency)
    admin = desk.rows("res.user", [["login", "=", "admin"]], "login")[0]["id"]
    desk("res.user.write", [admin], {"companies": [["add", [company]]], "company": company})
    desk.context["company"] = company
    desk.create("party.party", name="散客 Walk-in", code="WALKIN", addresses=[["create", [{}]]])
    stores = [_store(desk, "EAST"), _store(desk, "WEST")]
    for code, name, price, count in GOODS:
        _stock(desk, _article(desk, code, name, price), count, price, stores[0], currency)
    product = _article(desk, "GIFT", "礼品卡 Gift card", "100", type="service", gift_card=True)
    for number, value in CARDS:
        desk.create("sale.gift_card", number=number, product=product, value=Decimal(value), currency=currency)
    coupons(desk, "九折 Ten percent off", "0.9 * unit_price", 1, *(f"TEN{n}" for n in range(1, 6)))
    coupons(desk, "满减 Twenty off", "unit_price", 1, "TWENTY1")


def coupons(desk: Desk, name: str, formula: str, uses: int, *numbers: str) -> None:
    """A promotion with its coupon's numbers."""
    promotion = desk.create("sale.promotion", name=name, formula=formula)
    coupon = desk.create("sale.promotion.coupon", promotion=promotion, number_of_use=uses)
    for number in numbers:
        desk.create("sale.promotion.coupon.number", number=number, coupon=coupon)


def _currency(desk: Desk) -> int:
    rate = {"date": datetime(2020, 1, 1, tzinfo=UTC).date(), "rate": Decimal(1)}
    return desk.create(
        "currency.currency",
        name="Yuan",
        symbol="¥",
        code="CNY",
        numeric_code="156",
        rounding=Decimal("0.01"),
        digits=2,
        rates=[["create", [rate]]],
    )


def _store(desk: Desk, code: str) -> int:
    storage = desk.create("stock.location", name=f"{code} shelves", code=f"{code}-STO", type="storage")
    places = dict.fromkeys(("input_location", "output_location", "storage_location"), storage)
    desk.create("stock.location", name=code, code=code, type="warehouse", **places)
    return storage


def _article(desk: Desk, code: str, name: str, price: str, **more: Any) -> int:
    unit = desk.rows("product.uom", [["symbol", "=", "u"]], "name")[0]["id"]
    template = desk.create(
        "product.template",
        **{
            "name": name,
            "type": "goods",
            "list_price": Decimal(price),
            "default_uom": unit,
            "salable": True,
            "sale_uom": unit,
            "cost_price_method": "fixed",
            "products": [["create", [{"suffix_code": code, "cost_price": Decimal(0)}]]],
            **more,
        },
    )
    return int(desk.rows("product.product", [["template", "=", template]], "code")[0]["id"])


def _stock(desk: Desk, product: int, count: int, price: str, storage: int, currency: int) -> None:
    supplier = desk.rows("stock.location", [["type", "=", "supplier"]], "name")[0]["id"]
    unit = desk.rows("product.uom", [["symbol", "=", "u"]], "name")[0]["id"]
    move = desk.create(
        "stock.move",
        product=product,
        unit=unit,
        quantity=float(count),
        from_location=supplier,
        to_location=storage,
        unit_price=Decimal(price),
        currency=currency,
    )
    desk("stock.move.do", [move])
