"""The shop's first day in a fresh Tryton database: company, two stores, goods, coupons, cards, and the gateway's user.

Everything goes through the server's JSON-RPC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from plugins.tryton.real.desk import Desk

#: The article's code, its name, its price, how many lie in the first store.
GOODS = (
    ("RC1", "电饭煲 Rice cooker", "299", 40),
    ("TB2", "保温杯 Thermos", "89.90", 400),
    ("LAST", "样品 Sample", "50", 1),
)
STORES = ("EAST", "WEST")
CARDS = (("GC100", "100"), ("GC200", "200"))


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
    for code in STORES:
        _store(desk, code)
    for code, name, price, count in GOODS:
        _article(desk, code, name, price)
        desk.receive(code, count, f"{STORES[0]}-STO")
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


def _store(desk: Desk, code: str) -> None:
    storage = desk.create("stock.location", name=f"{code} shelves", code=f"{code}-STO", type="storage")
    places = dict.fromkeys(("input_location", "output_location", "storage_location"), storage)
    desk.create("stock.location", name=code, code=code, type="warehouse", **places)


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
