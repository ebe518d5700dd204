"""A shop that makes codes for e-vouchers: the simulator on real sockets and the adapter against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.sdk import (
    Answer,
    Change,
    Coupon,
    CouponLookup,
    CouponRestore,
    CouponUse,
    Done,
    Notice,
    NoticeFollow,
    NoticeRequest,
    Original,
    Query,
    Site,
    StatementRequest,
    StatementRow,
)
from gateway.sdk.simulator import Fault
from gateway.testing.context import FileStore, build, call
from plugins.evoucher.adapter import EVoucherAdapter
from plugins.evoucher.simulator import APP_KEY, SELLER_NICK, EVoucherSimulator

SITE = Site(store_id="S1", business_date=date(2026, 11, 22), till_id="T2")
ITEMS = {
    "EV-CASH50": {"kind": "cash", "face_amount": 5000},
    "EV-KTV3": {"kind": "group_buy", "face_amount": 26800, "sku": "PKG-3H"},
}


def key(number: int) -> str:
    """The key of change ``number``: 26 characters."""
    return f"01JEVC{number:020d}"


@dataclass
class Shop:
    """The simulator, running, and one adapter with a store that outlives it."""

    sim: EVoucherSimulator
    address: str
    folder: Path
    adapter: EVoucherAdapter = field(init=False)

    def __post_init__(self) -> None:
        code_key = self.folder / "code_key"
        code_key.touch(mode=0o600)
        code_key.write_text("a-key-for-codes-in-tests-0123")
        self.store = FileStore(self.folder / "store.db")
        self.adapter = self.build()

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "base_url": f"http://{self.address}",
            "app_key": APP_KEY,
            "app_secret": "file:system/app_secret",
            "session": "file:system/session",
            "seller_nick": SELLER_NICK,
            "code_key": "file:code_key",
            "items": ITEMS,
            "timeout_s": 2.0,
            "repair_every_s": 86_400,
            **more,
        }

    def build(self, **more: Any) -> EVoucherAdapter:
        """Another process's adapter: nothing is shared but the store."""
        return build(EVoucherAdapter, self.settings(**more), self.folder, store=self.store)

    def always(self, name: str, match: str = "*", value: int = 0, times: int | None = None) -> None:
        self.sim.faults.set([Fault(name, match=match, times=times, value=value)])

    def once(self, name: str, match: str = "*", value: int = 0) -> None:
        self.always(name, match, value, times=1)

    def healed(self) -> None:
        self.sim.faults.set([])

    def pull(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.sim.control({"do": do, **arguments})

    # -- notices -----------------------------------------------------------------------------------------------------

    def take(self, form: str | bytes) -> Notice | None:
        body = form.encode("ascii") if isinstance(form, str) else form
        return self.adapter.notice_read(NoticeRequest(method="POST", query="", headers={}, body=body))

    def follow(self, seconds: float = 5.0) -> int:
        return self.adapter.notice_follow(NoticeFollow(deadline=datetime.now(UTC) + timedelta(seconds=seconds)))

    def bought(self, num: int = 5, item: str = "EV-CASH50") -> tuple[str, list[str]]:
        """An order whose notice was taken and followed, and its codes."""
        told = self.pull("buy", item=item, num=num)
        assert self.take(told["notice"]) is not None and self.follow() == 0
        return told["order_id"], self.codes(told["order_id"])

    # -- codes -------------------------------------------------------------------------------------------------------

    def find(self, code: str) -> Coupon | None:
        return self.adapter.coupon_find(CouponLookup(code=code, store_id="S1"))

    def use(self, code: str, count: int = 2) -> CouponUse:
        return CouponUse(code=code, count=count, amount=5000 * count, order_no="WEB-1", site=SITE)

    def redeem(self, number: int, code: str, count: int = 2, attempt: int = 1) -> Change:
        return self.adapter.coupon_redeem(self.use(code, count), call(key(number), attempt=attempt))

    def restoring(self, number: int, code: str, count: int = 2) -> CouponRestore:
        original = Original(key=key(number), ref=key(number), at=datetime.now(UTC))
        return CouponRestore(original=original, code=code, count=count, amount=5000 * count, site=SITE)

    def restore(self, number: int, request: CouponRestore, attempt: int = 1) -> Change:
        return self.adapter.coupon_restore(request, call(key(number), attempt=attempt))

    def ask(self, number: int, request: Any, hook: str = "coupon_redeem") -> Answer:
        query = Query(hook=hook, key=key(number), request=request, sent_at=datetime.now(UTC))
        return self.adapter.coupon_query(query)

    def rows(self) -> tuple[StatementRow, ...]:
        day = datetime.now(self.adapter.context.timezone).date()
        return self.adapter.coupon_statement(StatementRequest(business_date=day)).items

    # -- the platform's books ----------------------------------------------------------------------------------------

    def order(self, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sim.books()["orders"][order_id]
        return found

    def codes(self, order_id: str) -> list[str]:
        return [code for code, row in self.sim.books()["codes"].items() if row["order_id"] == order_id]

    def left(self, code: str) -> int:
        return int(self.sim.books()["codes"][code]["left_num"])

    def requests(self, name: str) -> int:
        return int(self.sim.books()["requests"].get(name, 0))


def done(change: Change | Answer) -> Done:
    assert isinstance(change, Done), change
    return change
