"""Requests as the engine makes them, and the settings of a connection."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.sdk import (
    Call,
    CouponHeld,
    CouponRestore,
    CouponUse,
    Method,
    OrderLine,
    OrderPost,
    OrderReturn,
    Original,
    Query,
    Site,
    StockHeld,
    StockItem,
    StockReserve,
    StockReturn,
    TenderLine,
)

STORE = "east"
DAY = date(2026, 11, 20)
SITE = Site(store_id=STORE, business_date=DAY)
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def settings(url: str, database: str) -> dict[str, Any]:
    return {
        "url": url,
        "database": database,
        "user": "admin",
        "password": "env:TEST_TRYTON_PASSWORD",
        "walk_in": "WALKIN",
        "gift_card_product": "GIFT",
        "stores": {STORE: "EAST", "west": "WEST"},
        "promotions": {"满减 Twenty off": {"kind": "cash", "terms": {"off_amount": 2000}}},
        "timeout_s": 10.0,
    }


def key() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(26))


def call(name: str | None = None, *, seconds: float = 20, attempt: int = 1) -> Call:
    return Call(key=name or key(), deadline=datetime.now(UTC) + timedelta(seconds=seconds), attempt=attempt)


def items(sku: str, count: int) -> tuple[StockItem, ...]:
    return (StockItem(sku=sku, quantity=Decimal(count)),)


def reserve(sku: str, count: int) -> StockReserve:
    return StockReserve(store_id=STORE, items=items(sku, count), slots=(), order_no=key()[:12], site=SITE, ttl_s=600)


def held(original: str, sku: str, count: int) -> StockHeld:
    return StockHeld(original=Original(key=original), store_id=STORE, items=items(sku, count), slots=(), site=SITE)


def returned(original: str, sku: str, count: int) -> StockReturn:
    return StockReturn(original=Original(key=original), store_id=STORE, items=items(sku, count), site=SITE)


def use(code: str, amount: int) -> CouponUse:
    return CouponUse(code=code, count=1, amount=amount, order_no=key()[:12], site=SITE, ttl_s=600)


def used(original: str, code: str, amount: int) -> CouponHeld:
    return CouponHeld(original=Original(key=original), code=code, count=1, amount=amount, site=SITE)


def restored(original: str, code: str, amount: int) -> CouponRestore:
    return CouponRestore(original=Original(key=original), code=code, count=1, amount=amount, site=SITE)


def line(sku: str, count: str, unit: int, net: int | None = None) -> OrderLine:
    gross = int(unit * Decimal(count))
    paid = gross if net is None else net
    return OrderLine(
        line_id="1",
        sku=sku,
        name="电饭煲",
        quantity=Decimal(count),
        unit_amount=unit,
        gross_amount=gross,
        discount_amount=gross - paid,
        net_amount=paid,
    )


def tenders(*amounts: int) -> tuple[TenderLine, ...]:
    methods = (Method.CASH, Method.GIFT_CARD, Method.PAYMENT_CODE)
    return tuple(
        TenderLine(tender_id=f"t{number}", method=methods[number % 3], amount=amount)
        for number, amount in enumerate(amounts)
    )


def sale(*lines: OrderLine, paid: Sequence[int] = (), day: date = DAY, points: int = 0) -> OrderPost:
    payable = sum(row.net_amount for row in lines) - points
    return OrderPost(
        order_no=key()[:12],
        site=Site(store_id=STORE, business_date=day),
        currency="CNY",
        lines=lines,
        tenders=tenders(*(paid or (payable,))),
        splits=(),
        gross_amount=sum(row.gross_amount for row in lines),
        discount_amount=sum(row.discount_amount for row in lines),
        payable_amount=payable,
        sold_at=datetime.now(UTC),
        points_amount=points,
    )


def taken_back(original: str, request: OrderPost, *lines: OrderLine, day: date = DAY) -> OrderReturn:
    amount = sum(row.net_amount for row in lines)
    return OrderReturn(
        original=Original(key=original),
        order_no=request.order_no,
        refund_no=key()[:12],
        site=Site(store_id=STORE, business_date=day),
        lines=lines,
        tenders=tenders(amount),
        amount=amount,
        whole=False,
        returned_at=datetime.now(UTC),
    )


def asked(hook: str, name: str, request: Any) -> Query:
    return Query(hook=hook, key=name, request=request, sent_at=datetime.now(UTC))


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run them at the same moment; an exception is an answer too."""
    gate = threading.Barrier(len(jobs))
    answers: list[Any] = [None] * len(jobs)

    def run(index: int, job: Callable[[], Any]) -> None:
        gate.wait(10)
        try:
            answers[index] = job()
        except Exception as error:
            answers[index] = error

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    return answers
