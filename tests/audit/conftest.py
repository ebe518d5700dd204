"""A shop whose day is over: checkouts sealed, heads seen elsewhere, and a hand that changes rows behind its back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.audit import Anchor, Auditor, Finding
from gateway.engine.sealing import Witness
from gateway.store import audit
from plugins.alipay.simulator import AlipaySimulator
from tests.engine.conftest import database_url as database_url
from tests.engine.conftest import postgres_server as postgres_server
from tests.engine.conftest import seed, shop_file
from tests.engine.kit import House, build

KEY = b"k" * 32


def simple(order_no: str, code: str) -> dict[str, Any]:
    """One article, paid by wallet."""
    tenders = [{"method": "payment_code", "auth_code": code}]
    return {"store_id": "s1", "order_no": order_no, "lines": [{"sku": "A", "quantity": "1"}], "tenders": tenders}


@dataclass
class Day:
    """A shop and what is verified of it."""

    house: House

    def sell(self, count: int = 1) -> list[str]:
        """Sell, and seal after each, as recovery does; the checkouts' ids."""
        ids = []
        for _ in range(count):
            number = self.house.count
            reply, body = self.house.checkout(simple(f"N{number}", f"28123456789{number:04d}456"))
            assert reply.status == 201, body
            ids.append(body["id"])
            self.house.engine.sealer.seal()
        return ids

    def head(self) -> Anchor:
        """The head as a platform sees it."""
        seq, head = self.house.engine.journal.read(lambda tx: audit.head(tx, "m1"))
        return Anchor("m1", seq, head)

    def verify(self, *anchors: Anchor, key: bool = True) -> list[Finding]:
        sealer = self.house.engine.sealer
        return Auditor(self.house.database, sealer.key if key else None).verify(None, anchors)

    def by_hand(self, sql: str, **params: Any) -> None:
        """Change the database as somebody does who can write to it."""
        assert self.house.database.tx(lambda tx: tx.execute(sql, params)) > 0, sql

    def row(self, sql: str, **params: Any) -> dict[str, Any]:
        found = self.house.database.read(lambda tx: tx.one(sql, params))
        assert found is not None, sql
        return dict(found)


@pytest.fixture
def day(tmp_path: Path, database_url: str) -> Iterator[Day]:
    simulator = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"})
    house = build(tmp_path, shop_file(simulator), {"alipay": simulator}, url=database_url)
    house.database.tx(seed)
    house.engine.sealer.use(lambda: KEY, tmp_path / "audit-heads.json")
    yield Day(house)
    house.stop()


@pytest.fixture
def witness(day: Day) -> Witness:
    """The file beside the database that remembers heads."""
    found = day.house.engine.sealer.witness
    assert found is not None
    return found
