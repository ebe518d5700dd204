"""The mirror of the product library: what is new, changed or gone in the legacy system is so here after a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backoffice.sync import BATCH, sync_products
from gateway.domain.errors import PluginError
from gateway.runtime import Connection
from gateway.store import products
from gateway.store.port import Tx
from tests.api.kit import Gateway, build


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Gateway]:
    made = build(tmp_path)
    yield made
    made.stop()


def write(gateway: Gateway, sku: str, **doc: object) -> None:
    row = {"sku": sku, "doc": json.dumps({"name": sku, "unit_amount": 100, **doc})}
    sql = (
        "INSERT INTO house_products (merchant, sku, doc) VALUES ('bun', :sku, :doc)"
        " ON CONFLICT (merchant, sku) DO UPDATE SET doc = excluded.doc"
    )
    gateway.parts.database.tx(lambda tx: tx.execute(sql, row))


def by_code(gateway: Gateway, code: str) -> str:
    found = gateway.parts.engine.reading("bun").products([code])
    return str(found[code]["sku"]) if code in found else ""


def test_changes_bar_codes_and_deletions_are_taken_over(shop: Gateway) -> None:
    write(shop, "new", barcodes=["690001"])
    assert sync_products(shop.parts.engine, "bun").read == 5
    assert by_code(shop, "690001") == "new"
    write(shop, "new", barcodes=["690002"], unit_amount=250)
    write(shop, "other", barcodes=["690001"])
    assert sync_products(shop.parts.engine, "bun").deleted == 0
    assert (by_code(shop, "690001"), by_code(shop, "690002")) == ("other", "new")
    assert shop.parts.engine.reading("bun").products(["new"])["new"]["unit_amount"] == 250
    shop.parts.database.tx(lambda tx: tx.execute("DELETE FROM house_products WHERE sku = 'other'"))
    assert sync_products(shop.parts.engine, "bun").deleted == 1
    assert by_code(shop, "690001") == ""


def test_a_catalogue_that_is_suddenly_empty_deletes_nothing(shop: Gateway) -> None:
    shop.parts.database.tx(lambda tx: tx.execute("DELETE FROM house_products WHERE merchant = 'bun'"))
    found = sync_products(shop.parts.engine, "bun")
    assert (found.read, found.deleted) == (0, 0)
    assert by_code(shop, "bun") == "bun"


def test_many_articles_come_in_batches_with_progress(shop: Gateway) -> None:
    def fill(tx: Tx) -> None:
        rows = [{"sku": f"x{n:05d}", "doc": '{"name": "x", "unit_amount": 1}'} for n in range(BATCH + 200)]
        tx.execute_many("INSERT INTO house_products (merchant, sku, doc) VALUES ('bun', :sku, :doc)", rows)

    shop.parts.database.tx(fill)
    told: list[int] = []
    assert sync_products(shop.parts.engine, "bun", told.append).read == BATCH + 204
    assert told == [BATCH, BATCH + 204]
    page = shop.parts.database.read(lambda tx: products.page(tx, "bun", "x0", "", 5))
    assert [row["sku"] for row in page] == [f"x{n:05d}" for n in range(5)]


def test_a_till_s_price_list_is_mirrored_over_its_own_protocol(shop: Gateway) -> None:
    found = sync_products(shop.parts.engine, "song")
    assert found.connections == ("till",)
    assert found.read > 5


def test_a_catalogue_that_goes_round_in_circles_is_told(shop: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter's cursor is at fault here, which no simulator of ours has as a fault."""
    real = Connection.catalogue

    def circling(self: Connection, request: object) -> object:
        return replace(real(self, request), next_cursor="again")  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "catalogue", circling)
    with pytest.raises(PluginError, match="circles"):
        sync_products(shop.parts.engine, "bun")
