"""A shop that takes group-buy vouchers: the simulator on real sockets and the adapter against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
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
    Original,
    Query,
    Site,
    StatementRequest,
    StatementRow,
    Step,
)
from gateway.sdk.simulator import Fault
from gateway.testing.context import build, call
from plugins.groupbuy.adapter import GroupBuyAdapter
from plugins.groupbuy.simulator import CLIENT_KEY, GroupBuySimulator
from plugins.groupbuy.simulator_seed import CONVENIENCE, KTV, RESTAURANT

SITE = Site(store_id="K1", business_date=date(2026, 11, 22), cashier_id="小王")


def key(number: int) -> str:
    """The key of change ``number``: 26 characters."""
    return f"01JGRB{number:020d}"


def settings(address: str, **more: Any) -> dict[str, Any]:
    return {
        "base_url": f"http://{address}",
        "client_key": CLIENT_KEY,
        "client_secret": "file:client_secret",
        "poi_ids": {"K1": KTV, "R1": RESTAURANT, "C1": CONVENIENCE},
        "operator_account": "gateway-01",
        "operator_name": "网关",
        "packages": {"TC03": "PKG-3H"},
        "short_link_hosts": ["127.0.0.1"],
        "timeout_s": 2.0,
        "retry_after_s": 0.02,
        **more,
    }


@dataclass
class Shop:
    """The simulator, running, and one adapter."""

    sim: GroupBuySimulator
    address: str
    folder: Path
    adapter: GroupBuyAdapter = field(init=False)

    def __post_init__(self) -> None:
        self.adapter = self.build()

    def build(self, **more: Any) -> GroupBuyAdapter:
        return build(GroupBuyAdapter, settings(self.address, **more), self.folder)

    def faults(self, *faults: Fault) -> None:
        self.sim.faults.set(list(faults))

    def once(self, name: str, match: str = "*", value: int = 0) -> None:
        self.faults(Fault(name, match=match, times=1, value=value))

    def always(self, name: str, match: str = "*", value: int = 0) -> None:
        self.faults(Fault(name, match=match, value=value))

    def pull(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.sim.control({"do": do, **arguments})

    def buy(self, count: int = 1, deal: str = "TC03") -> list[str]:
        """The codes of what a customer has just bought."""
        codes: list[str] = self.pull("buy", deal=deal, count=count)["codes"]
        return codes

    def find(self, code: str, store_id: str = "K1") -> Coupon | None:
        return self.adapter.coupon_find(CouponLookup(code=code, store_id=store_id))

    def use(self, code: str, count: int = 1) -> CouponUse:
        return CouponUse(code=code, count=count, amount=26800 * count, order_no="WEB-1", site=SITE)

    def redeem(
        self,
        number: int,
        code: str,
        count: int = 1,
        *,
        attempt: int = 1,
        seconds: float = 5.0,
        journal: list[Step] | None = None,
    ) -> Change:
        made = call(key(number), attempt=attempt, seconds=seconds, journal=journal)
        return self.adapter.coupon_redeem(self.use(code, count), made)

    def restore_request(self, done: Done, number: int, count: int = 1) -> CouponRestore:
        original = Original(key=key(number), ref=done.ref, facts=done.facts, at=datetime.now(UTC))
        return CouponRestore(original=original, code="x", count=count, amount=26800, site=SITE)

    def restore(self, number: int, request: CouponRestore, attempt: int = 1, seconds: float = 5.0) -> Change:
        return self.adapter.coupon_restore(request, call(key(number), attempt=attempt, seconds=seconds))

    def ask(self, number: int, request: Any, hook: str = "coupon_redeem", steps: tuple[Step, ...] = ()) -> Answer:
        query = Query(hook=hook, key=key(number), request=request, sent_at=datetime.now(UTC), steps=steps)
        return self.adapter.coupon_query(query)

    def rows(self, day: date | None = None, store_id: str = "") -> tuple[StatementRow, ...]:
        day = day or datetime.now(self.adapter.context.timezone).date()
        return self.adapter.coupon_statement(StatementRequest(business_date=day, store_id=store_id)).items

    def status(self, code: str) -> str:
        status: str = self.sim.books()["certificates"][code]["status"]
        return status

    def statuses(self, codes: list[str]) -> list[str]:
        return [self.status(code) for code in codes]

    def records(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self.sim.books()["records"]
        return records

    def requests(self, name: str) -> int:
        count: int = self.sim.books()["requests"].get(name, 0)
        return count
