"""The adapter beside a real cinema, and requests as the engine makes them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway.sdk import (
    Call,
    CouponHeld,
    CouponRestore,
    CouponUse,
    Method,
    OrderLine,
    OrderPost,
    OrderReturn,
    OrderVoid,
    Original,
    Query,
    Site,
    StockHeld,
    StockItem,
    StockReserve,
    TenderLine,
)
from gateway.testing.context import FileStore, build
from gateway.testing.context import call as called
from plugins.pretix.adapter import PretixAdapter
from plugins.pretix.cinema import ORGANIZER, Cinema

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TODAY = datetime.now(ZoneInfo("Asia/Shanghai")).date()
#: The real system answers in a tenth of a second, or in many seconds where the machine is busy with others.
PATIENCE = {"timeout_s": 50.0, "read_timeout_s": 50.0, "query_timeout_s": 50.0, "page_timeout_s": 60.0}
SITE = Site(store_id="screen-1", business_date=TODAY)


def key() -> str:
    """A key as the engine makes them."""
    return "01" + "".join(secrets.choice(ALPHABET) for _ in range(24))


def call(of: str, *, attempt: int = 1) -> Call:
    """A call that has time enough."""
    return called(of, seconds=60.0, attempt=attempt)


def settings(cinema: Cinema, token: str = "file:token", **more: Any) -> dict[str, Any]:
    return {
        "base_url": cinema.api.base, "token": token, "organizer": ORGANIZER, "event": cinema.event,
        "store_id": SITE.store_id, "redemption_item": cinema.redemption, "redemption_date": cinema.redemption_date,
        **PATIENCE, **more,
    }  # fmt: skip


@dataclass
class House:
    """One connection to a cinema, with its own durable store."""

    cinema: Cinema
    folder: Path
    adapter: PretixAdapter = field(init=False)

    def __post_init__(self) -> None:
        token = self.folder / "token"
        token.write_text(self.cinema.api.token, encoding="utf-8")
        token.chmod(0o600)
        self.adapter = self.build()

    def build(self, **more: Any) -> PretixAdapter:
        store = FileStore(self.folder / "store.db")
        return build(PretixAdapter, settings(self.cinema, **more), self.folder, store=store)

    def goods(self, showing: str, count: int = 1) -> tuple[StockItem, ...]:
        return (StockItem(sku=self.cinema.sku(showing), quantity=Decimal(count)),)

    def reserve(self, showing: str, count: int = 1, order_no: str = "") -> StockReserve:
        return StockReserve(
            store_id=SITE.store_id, items=self.goods(showing, count), slots=(), order_no=order_no or key(), site=SITE,
            ttl_s=900,
        )  # fmt: skip


def held(request: StockReserve, of: str) -> StockHeld:
    return StockHeld(
        original=original(of), store_id=request.store_id, items=request.items, slots=(), site=request.site
    )  # fmt: skip


def original(of: str, **facts: Any) -> Original:
    return Original(key=of, facts=facts, at=datetime.now(UTC) - timedelta(seconds=30))


def use(code: str, amount: int, count: int = 1) -> CouponUse:
    return CouponUse(code=code, count=count, amount=amount, order_no=key(), site=SITE, ttl_s=900)


def used(request: CouponUse, of: str, **facts: Any) -> CouponHeld:
    return CouponHeld(
        original=original(of, **facts), code=request.code, count=request.count, amount=request.amount, site=SITE
    )  # fmt: skip


def restored(request: CouponUse, of: str, amount: int | None = None, count: int | None = None) -> CouponRestore:
    return CouponRestore(
        original=original(of), code=request.code, count=request.count if count is None else count,
        amount=request.amount if amount is None else amount, site=SITE,
    )  # fmt: skip


def line(sku: str, count: int, net: int, line_id: str = "1") -> OrderLine:
    return OrderLine(
        line_id=line_id, sku=sku, name="ticket", quantity=Decimal(count), unit_amount=4500, gross_amount=4500 * count,
        discount_amount=4500 * count - net, net_amount=net,
    )  # fmt: skip


def sale(*lines: OrderLine, order_no: str = "", method: Method = Method.CASH, held: str = "") -> OrderPost:
    """A paid sale; ``held`` is the key of the hold that it uses up."""
    net = sum(each.net_amount for each in lines)
    return OrderPost(
        order_no=order_no or key(), site=SITE, currency="CNY", lines=lines,
        tenders=(TenderLine(tender_id="t1", method=method, amount=net),), splits=(), gross_amount=net,
        discount_amount=0, payable_amount=net, sold_at=datetime.now(UTC),
        holds=(original(held),) if held else (),
    )  # fmt: skip


def returned(request: OrderPost, of: str, lines: tuple[OrderLine, ...], amount: int, *, whole: bool) -> OrderReturn:
    return OrderReturn(
        original=original(of), order_no=request.order_no, refund_no=key(), site=SITE, lines=lines, tenders=(),
        amount=amount, whole=whole, returned_at=datetime.now(UTC),
    )  # fmt: skip


def voided(request: OrderPost, of: str) -> OrderVoid:
    return OrderVoid(original=original(of), order_no=request.order_no, site=SITE, amount=request.payable_amount)


def asked(hook: str, of: str, request: Any) -> Query:
    return Query(hook=hook, key=of, request=request, sent_at=datetime.now(UTC) - timedelta(seconds=30))


__all__ = ["SITE", "TODAY", "House", "asked", "call", "held", "key", "line", "original", "restored", "returned", "sale"]
