"""What the simulated restaurant chain is made of: 34 shops in four cities, tables, dishes, tender codes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from plugins.restaurant.protocol import fen_of, thousandths_of

SEED = Path(__file__).parent / "seed"
#: The chain's number at its head office, and the demo credentials that the simulator accepts.
BRAND_ID = "810001"
APP_KEY = "qinghe-gateway"
APP_SECRET = "demo-secret-of-qinghe"  # noqa: S105 - the simulator's own demo credential
OPERATOR = "9001"
OPERATOR_PASSWORD = "demo-till-9001"  # noqa: S105 - the simulator's own demo credential


@dataclass(frozen=True, slots=True)
class Shop:
    """One restaurant. ``service_bp`` is on top (1000 = 10 %); ``wipe`` is its 抹零 mode: none, jiao or yuan."""

    code: str
    name: str
    english: str
    city: str
    city_english: str
    address: str
    latitude: float
    longitude: float
    service_bp: int
    service_basis: str
    wipe: str
    tables: int


@dataclass(frozen=True, slots=True)
class Dish:
    """One dish. Amounts in fen; a promo price of 0 means there is none. ``components`` are (dish, thousandths)."""

    code: str
    name: str
    english: str
    category: str
    unit: str
    price: int
    member_price: int
    promo_price: int
    discountable: bool
    weighed: bool
    package: bool
    components: tuple[tuple[str, int], ...]
    depart: str


@dataclass(frozen=True, slots=True)
class PayCode:
    """A tender code of the till; ``income_bp`` is the share of it that counts as income (纯收)."""

    code: str
    name: str
    income_bp: int


PAY_CODES = {
    row.code: row
    for row in (
        PayCode("01", "现金", 10_000),
        PayCode("02", "银行卡", 10_000),
        PayCode("03", "微信支付", 10_000),
        PayCode("04", "支付宝", 10_000),
        PayCode("05", "会员储值", 10_000),
        PayCode("06", "积分抵扣", 0),
        PayCode("07", "优惠券", 0),
        PayCode("08", "团购券", 10_000),
        PayCode("09", "挂账", 10_000),
        PayCode("10", "宴请", 0),
        PayCode("11", "平台支付", 10_000),
        PayCode("12", "会员优惠", 0),
        PayCode("13", "红包", 10_000),
        PayCode("14", "礼品卡", 10_000),
        PayCode("15", "抹零差额", 0),
    )
}


def load_shops() -> dict[str, Shop]:
    """The 34 shops by code."""
    with (SEED / "shops.csv").open(encoding="utf-8", newline="") as file:
        return {row["code"]: _shop(row) for row in csv.DictReader(file)}


def _shop(row: dict[str, str]) -> Shop:
    return Shop(
        code=row["code"],
        name=row["name"],
        english=row["name_en"],
        city=row["city"],
        city_english=row["city_en"],
        address=row["address"],
        latitude=float(row["latitude"]),
        longitude=float(row["longitude"]),
        service_bp=int(row["service_bp"]),
        service_basis=row["service_basis"],
        wipe=row["wipe"],
        tables=int(row["tables"]),
    )


def load_dishes() -> dict[str, Dish]:
    """The dishes by code; every shop sells all of them."""
    with (SEED / "dishes.csv").open(encoding="utf-8", newline="") as file:
        return {row["code"]: _dish(row) for row in csv.DictReader(file)}


def _dish(row: dict[str, str]) -> Dish:
    parts = [part.split("*") for part in row["components"].split(";") if part]
    return Dish(
        code=row["code"],
        name=row["name"],
        english=row["name_en"],
        category=row["category"],
        unit=row["unit"],
        price=fen_of(row["price"]),
        member_price=fen_of(row["member_price"]),
        promo_price=fen_of(row["promo_price"]),
        discountable=row["discountable"] == "1",
        weighed=row["weigh"] == "1",
        package=row["package"] == "1",
        components=tuple((code, thousandths_of(count)) for code, count in parts),
        depart=row["depart"],
    )


#: The area of takeaway seats, which charge no service.
TAKEAWAY = "外带"


def table_codes(shop: Shop) -> list[tuple[str, str]]:
    """The shop's tables as (code, area): the hall, the private rooms, nine takeaway seats."""
    hall = [(f"A{n:02d}", "大厅") for n in range(1, shop.tables - 3)]
    rooms = [(f"V{n:02d}", "包间") for n in range(1, 5)]
    return [*hall, *rooms, *[(f"W{n:02d}", TAKEAWAY) for n in range(1, 10)]]
