"""Who a hold is for: a clinic's diary books a name and not only an hour."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gateway.sdk import (
    Adapter,
    Answer,
    Call,
    Change,
    Done,
    Member,
    MemberLookup,
    NotFound,
    Query,
    Settings,
    StockHeld,
    StockReserve,
    Traits,
    Transaction,
    hookimpl,
)
from tests.engine.kit import build
from tests.runtime.kit import plugin

_SHOP = """
[merchant]
id = "m1"
name = "Clinic"
[[stores]]
id = "s1"
name = "One"
[connections.diary]
adapter = "diary"
[[routes]]
family = "stock"
connection = "diary"
[[routes]]
family = "membership"
connection = "diary"
[connections.house]
adapter = "house"
[[routes]]
family = "orders"
connection = "house"
"""


class DiaryAdapter(Adapter):
    """A diary in a folder: one file a booking, with the patient in it."""

    name = "diary"
    Settings = Settings
    traits: ClassVar[Mapping[str, Traits]] = {
        hook: Traits(idempotent=True) for hook in ("stock_reserve", "stock_confirm", "stock_cancel")
    }

    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        return Member(ref="P7") if request.identity.value.reveal() == "13800001111" else None

    @hookimpl
    def stock_reserve(self, request: StockReserve, call: Call) -> Change:
        page = {"patient": request.member_ref, "order_no": request.order_no}
        (self.context.spool / f"{call.key}.json").write_text(json.dumps(page), encoding="utf-8")
        return Done(ref=call.key)

    @hookimpl
    def stock_confirm(self, request: StockHeld, call: Call) -> Change:
        return Done(ref=request.original.key)

    @hookimpl
    def stock_cancel(self, request: StockHeld, call: Call) -> Change:
        return Done(ref=request.original.key)

    @hookimpl
    def stock_query(self, request: Query) -> Answer:
        there = (self.context.spool / f"{request.key}.json").exists()
        return Done(ref=request.key) if there else NotFound(final=True)


def _seed(tx: Transaction) -> None:
    doc = json.dumps({"sku": "A1", "name": "Check-up", "unit_amount": 300})
    sql = "INSERT INTO products (merchant, sku, name, doc, as_of) VALUES ('m1', 'A1', 'Check-up', :doc, 0)"
    tx.execute(sql, {"doc": doc})


@pytest.mark.parametrize(("phone", "patient"), [("13800001111", "P7"), ("", "")])
def test_a_hold_names_the_member_that_the_checkout_names(tmp_path: Path, phone: str, patient: str) -> None:
    """Else a system that books people holds an hour for nobody, and the desk cannot find who comes."""
    house = build(tmp_path, _SHOP, {}, plugins=[plugin("diary", DiaryAdapter)])
    house.database.tx(_seed)
    asked: dict[str, Any] = {
        "store_id": "s1",
        "order_no": "W1",
        "lines": [{"line_id": "1", "sku": "A1", "quantity": "1"}],
        "tenders": [{"method": "cash"}],
    }
    try:
        reply, said = house.checkout({**asked, "member": {"type": "phone", "value": phone}} if phone else asked)
        assert reply.status == 201, said
        pages = [json.loads(file.read_text(encoding="utf-8")) for file in tmp_path.rglob("spool/**/*.json")]
        assert pages == [{"patient": patient, "order_no": "W1"}], list(tmp_path.rglob("*.json"))
    finally:
        house.stop()
