"""A shop that sold for a year settles as fast as on its first day: no statement of a checkout reads a whole table."""

from __future__ import annotations

import re

import pytest

from gateway.sdk.simulator import Fault
from gateway.store import sqlite_tx
from gateway.store.dialect import Translated, sqlite_statement
from tests.engine.conftest import everything
from tests.engine.kit import House

#: Tables that grow with every sale.
GROWING = "sagas|ops|attempts|events|chain|acts|settlement_entries|holds|idempotency|tasks|quotes|house_ledger"
#: A whole table, or all that one merchant has of it.
SLOW = re.compile(
    rf"^SCAN (?:{GROWING})\b(?! USING INDEX sagas_due)"
    rf"|^SEARCH (?:{GROWING}) .*\((?:merchant=\?|merchant=\? AND kind=\?)\)$"
)
#: The newest link of a merchant's chain: one step into the index.
ONE_STEP = re.compile(r"ORDER BY seq DESC LIMIT 1$")


@pytest.fixture
def database_url() -> str:
    """SQLite: what it plans is what a test can read; PostgreSQL has the same statements and indexes."""
    return ""


def test_no_statement_of_a_sale_reads_all_that_was_ever_sold(shop: House, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Translated(sqlite_statement)
    monkeypatch.setattr(sqlite_tx, "_SQL", said)
    _, body = shop.checkout(everything("O1"))
    for request in ({"lines": [{"line_id": "B", "quantity": "1"}]}, {}):
        shop.refunds.preview("m1", body["id"], request)
        shop.refunds.create(shop.asked(), body["id"], request)
    shop.fault("alipay", Fault("drop_after"))
    shop.checkout(everything("O2"))
    shop.settle()
    statements = [sql for sql in said if re.match(r"\s*(?:SELECT|UPDATE|DELETE|INSERT|WITH)\b", sql)]
    assert len(statements) > 25, "hardly anything was said to the database"
    slow = {" ".join(sql.split()): step for sql in statements for step in _plan(shop, sql) if SLOW.match(step)}
    assert {sql: step for sql, step in slow.items() if not ONE_STEP.search(sql)} == {}


def _plan(shop: House, sql: str) -> list[str]:
    values = dict.fromkeys(re.findall(r"(?<!:):(\w+)", sql), 1)
    rows = shop.database.read(lambda tx: tx.all(f"EXPLAIN QUERY PLAN {sql}", values))
    return [str(row["detail"]) for row in rows]
