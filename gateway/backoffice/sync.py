"""Mirrors a merchant's product library from its legacy systems into the gateway's own database.

Only reads far away, so it may be run again at any time. Transactions are of about a thousand articles, so that no
checkout waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from gateway.domain.errors import PluginError
from gateway.domain.stock import CatalogueRequest, Product
from gateway.engine.service import Engine
from gateway.runtime import Connection
from gateway.store import products as sql
from gateway.store.journal import dump
from gateway.store.port import Tx

#: Articles in one transaction.
BATCH = 1000
#: What the mirror keeps of an article.
KEPT = tuple(field.name for field in fields(Product) if field.name not in ("deleted", "facts"))
#: Called with the number of articles read so far.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What a run came to: articles read and marked as deleted, and the connections that they were read from."""

    read: int
    deleted: int
    connections: tuple[str, ...]


def sync_products(engine: Engine, merchant_id: str, progress: Progress | None = None) -> Synced:
    """Bring the mirror up to date from every connection that has a catalogue.

    An article that is in no catalogue any more is marked as deleted, once all catalogues were read to their ends and
    something was in them. Raises ``AdapterError`` when a system does not answer; what was read until then stays.
    """
    started, read = engine.clock.now(), 0
    connections = [c for c in engine.runtime.routes(merchant_id, "stock") if c.has("catalogue_page")]
    for connection in connections:
        for batch in _batches(connection):
            rows = [_row(merchant_id, product, started) for product in batch]
            engine.journal.tx(lambda tx, rows=rows, batch=batch: _write(tx, merchant_id, rows, batch))  # type: ignore[misc]
            read += len(batch)
            if progress is not None:
                progress(read)
    gone = engine.journal.tx(lambda tx: sql.delete_unseen(tx, merchant_id, started)) if read else 0
    return Synced(read=read, deleted=gone, connections=tuple(connection.name for connection in connections))


def _batches(connection: Connection) -> Iterator[list[Product]]:
    """A connection's articles, about a thousand at a time; the last of two with one SKU wins."""
    waiting: dict[str, Product] = {}
    for page in _pages(connection):
        waiting |= {product.sku: product for product in page}
        if len(waiting) >= BATCH:
            yield list(waiting.values())
            waiting = {}
    if waiting:
        yield list(waiting.values())


def _pages(connection: Connection) -> Iterator[Sequence[Product]]:
    cursor, seen = "", {""}
    while True:
        page = connection.catalogue(CatalogueRequest(cursor=cursor, limit=BATCH))
        yield page.items
        if page.next_cursor is None:
            return
        cursor = page.next_cursor
        if cursor in seen:
            raise PluginError(f"{connection.name}: the catalogue goes round in circles")
        seen.add(cursor)


def _row(merchant_id: str, product: Product, now: int) -> dict[str, Any]:
    document = {name: getattr(product, name) for name in KEPT} | {"facts": dict(product.facts)}
    return {
        "merchant": merchant_id,
        "sku": product.sku,
        "name": product.name,
        "doc": dump(document),
        "as_of": now,
        "deleted": int(product.deleted),
    }


def _write(tx: Tx, merchant_id: str, rows: list[dict[str, Any]], products: Sequence[Product]) -> None:
    """Write a batch; bar codes that an article had and has no more are taken from it."""
    known = sql.documents(tx, merchant_id, [product.sku for product in products])
    gone, codes = [], []
    for product in products:
        before = json.loads(known[product.sku]).get("barcodes", ()) if product.sku in known else ()
        row = {"merchant": merchant_id, "sku": product.sku}
        gone += [{**row, "code": code} for code in before if code not in product.barcodes]
        codes += [{**row, "code": code} for code in product.barcodes if code not in before]
    sql.drop_codes(tx, gone)
    sql.upsert(tx, rows, codes)
