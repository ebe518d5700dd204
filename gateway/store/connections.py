"""Which connections are taken for down, as the feed was told last."""

from __future__ import annotations

from gateway.store.port import Row, Tx

SCHEMA = """
CREATE TABLE connection_states (
  merchant TEXT NOT NULL, connection TEXT NOT NULL, up INTEGER NOT NULL, told INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  PRIMARY KEY (merchant, connection)
) STRICT;
"""
_UP = """
UPDATE connection_states SET up = 1, told = told + 1, changed = :now
WHERE merchant = :merchant AND connection = :connection AND up = 0
RETURNING told
"""
_DOWN = """
INSERT INTO connection_states (merchant, connection, up, told, changed) VALUES (:merchant, :connection, 0, 1, :now)
ON CONFLICT (merchant, connection) DO UPDATE SET up = 0, told = connection_states.told + 1, changed = excluded.changed
  WHERE connection_states.up = 1
RETURNING told
"""


def change(tx: Tx, merchant: str, connection: str, up: bool, now: int) -> int | None:
    """Note that a connection is down or up; how often it has changed, or ``None`` if that was so before."""
    row = tx.one(_UP if up else _DOWN, {"merchant": merchant, "connection": connection, "now": now})
    return None if row is None else int(row["told"])


def down(tx: Tx) -> list[Row]:
    """The connections that were told to be down last."""
    return tx.all("SELECT merchant, connection, changed FROM connection_states WHERE up = 0")
