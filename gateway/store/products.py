"""The mirror of merchants' product libraries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.store.listings import one_of
from gateway.store.port import Row, Tx

_UPSERT = """
INSERT INTO products (merchant, sku, name, doc, as_of, deleted) VALUES (:merchant, :sku, :name, :doc, :as_of, :deleted)
ON CONFLICT (merchant, sku) DO UPDATE SET name = excluded.name, doc = excluded.doc, as_of = excluded.as_of,
  deleted = excluded.deleted
"""
_CODE = "INSERT INTO product_codes (merchant, code, sku) VALUES (:merchant, :code, :sku) ON CONFLICT DO NOTHING"


def upsert(tx: Tx, products: Sequence[Mapping[str, Any]], codes: Sequence[Mapping[str, Any]]) -> None:
    """Write articles and their bar codes as they now are."""
    if products:
        tx.execute_many(_UPSERT, products)
    if codes:
        tx.execute_many(_CODE, codes)


def drop_codes(tx: Tx, codes: Sequence[Mapping[str, Any]]) -> None:
    """Take bar codes from articles."""
    if codes:
        tx.execute_many("DELETE FROM product_codes WHERE merchant = :merchant AND code = :code AND sku = :sku", codes)


def documents(tx: Tx, merchant: str, skus: Sequence[str]) -> dict[str, str]:
    """Documents by SKU, of deleted articles too."""
    sql = "SELECT sku, doc FROM products WHERE merchant = :merchant AND sku = :sku"
    rows = [tx.one(sql, {"merchant": merchant, "sku": sku}) for sku in skus]
    return {row["sku"]: row["doc"] for row in rows if row is not None}


def delete_unseen(tx: Tx, merchant: str, before: int) -> int:
    """Mark the articles that were last seen before this time (milliseconds) as deleted; how many there were."""
    sql = "UPDATE products SET deleted = 1 WHERE merchant = :merchant AND as_of < :before AND deleted = 0"
    return tx.execute(sql, {"merchant": merchant, "before": before})


def find(tx: Tx, merchant: str, asked: Iterable[str]) -> dict[str, str]:
    """Documents of articles by SKU, or by a bar code that belongs to one article alone."""
    codes = list(dict.fromkeys(asked))
    if not codes:
        return {}
    among, values = one_of("sku", codes, "sku")
    sql = f"SELECT sku, doc FROM products WHERE merchant = :merchant AND deleted = 0{among}"  # noqa: S608 - names only
    found = {row["sku"]: row["doc"] for row in tx.all(sql, {"merchant": merchant, **values})}
    for code in codes:
        if code not in found and (row := _by_code(tx, merchant, code)) is not None:
            found[code] = row["doc"]
    return found


def _by_code(tx: Tx, merchant: str, code: str) -> Row | None:
    rows = tx.all(
        "SELECT p.doc AS doc FROM product_codes c JOIN products p ON p.merchant = c.merchant AND p.sku = c.sku"
        " WHERE c.merchant = :merchant AND c.code = :code AND p.deleted = 0",
        {"merchant": merchant, "code": code},
    )
    return rows[0] if len(rows) == 1 else None


def page(tx: Tx, merchant: str, query: str, after: str, limit: int) -> list[Row]:
    """Articles in the order of their SKU, filtered by a part of the name or the SKU."""
    return tx.all(
        "SELECT sku, doc, as_of FROM products WHERE merchant = :merchant AND deleted = 0 AND sku > :after"
        " AND (:query = '' OR name LIKE '%' || :query || '%' ESCAPE '!' OR sku LIKE :query || '%' ESCAPE '!')"
        " ORDER BY sku LIMIT :limit",
        {"merchant": merchant, "query": _literal(query), "after": after, "limit": limit},
    )


def _literal(query: str) -> str:
    """A text as ``LIKE`` takes it literally."""
    return query.replace("!", "!!").replace("%", "!%").replace("_", "!_")
