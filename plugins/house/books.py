"""Whether the house's accounts are what its ledger says: asked of a live store, changing nothing."""

from __future__ import annotations

from typing import Any

from gateway.sdk import Transaction

#: What is reserved and neither used nor given back, by account.
_OPEN = """
SELECT r.account, sum(r.amount) AS amount FROM house_ledger r
WHERE r.merchant = :merchant AND r.hook = :reserve AND NOT EXISTS (
  SELECT 1 FROM house_ledger e WHERE e.merchant = r.merchant AND e.original = r.key AND e.original <> ''
    AND e.account = r.account AND e.hook IN (:confirm, :cancel))
GROUP BY r.account
"""


def discrepancies(tx: Transaction, merchant: str) -> list[str]:
    """P1, S1, C1: points, goods and uses of coupons that are held without a reservation, or below nothing."""
    return [*_points(tx, merchant), *_goods(tx, merchant), *_coupons(tx, merchant)]


def _open(tx: Transaction, merchant: str, family: str) -> dict[str, int]:
    words = {name: f"{family}_{name}" for name in ("reserve", "confirm", "cancel")}
    return {row["account"]: row["amount"] for row in tx.all(_OPEN, {"merchant": merchant, **words})}


def _all(tx: Transaction, table: str, merchant: str) -> list[Any]:
    sql = f"SELECT * FROM {table} WHERE merchant = :merchant"  # noqa: S608 - our own names
    return tx.all(sql, {"merchant": merchant})


def _points(tx: Transaction, merchant: str) -> list[str]:
    held = _open(tx, merchant, "points")
    return [
        f"P1: member {row['ref']} has {row['points']} points and {row['points_held']} held;"
        f" {held.get(row['ref'], 0)} are reserved"
        for row in _all(tx, "house_members", merchant)
        if row["points"] < 0 or (row["points_held"] != held.get(row["ref"], 0) and not row["merged_into"])
    ]


def _goods(tx: Transaction, merchant: str) -> list[str]:
    held: dict[tuple[str, str], int] = {}
    for account, amount in _open(tx, merchant, "stock").items():
        store, sku, *_ = account.split("/")
        held[store, sku] = held.get((store, sku), 0) + amount
    return [
        f"S1: {row['store_id']}/{row['sku']} has {row['on_hand']} on hand and {row['reserved']} reserved;"
        f" open reservations come to {held.get((row['store_id'], row['sku']), 0)} (in thousandths)"
        for row in _all(tx, "house_stock", merchant)
        if row["reserved"] != held.get((row["store_id"], row["sku"]), 0) or not 0 <= row["reserved"] <= row["on_hand"]
    ]


def _coupons(tx: Transaction, merchant: str) -> list[str]:
    return [
        f"C1: coupon {row['code']} was issued for {row['initial']} uses; {row['available']} are left,"
        f" {row['held']} held, {row['used']} used"
        for row in _all(tx, "house_coupons", merchant)
        if row["initial"] != row["available"] + row["held"] + row["used"] or min(row["available"], row["held"]) < 0
    ]
