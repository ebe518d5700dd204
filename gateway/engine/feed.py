"""The feed of events: read in one way, and shown in one shape, to who pulls it and to webhooks."""

from __future__ import annotations

from collections.abc import Collection

from gateway.engine.model import Json
from gateway.engine.views import moment
from gateway.store import audit, listings
from gateway.store.encoding import load
from gateway.store.port import Row, Tx

#: On PostgreSQL an event may be committed after one with a higher position: none is told before it is so old.
SETTLED_MS = 1_000
_ANY_TIME = 1 << 62


def events_after(
    tx: Tx, after: int, merchants: Collection[str] | None, stores: Collection[str] | None, limit: int
) -> list[Row]:
    """Sealed events after a position, in the order of sealing; ``None`` for merchants or stores: all of them."""
    return listings.events(tx, after, merchants, stores, limit)


def event_view(row: Row) -> Json:
    """The envelope of an event, the same in the feed and in a webhook."""
    return {
        "id": row["id"],
        "type": row["type"],
        "occurred_at": moment(row["occurred"]),
        "merchant": row["merchant"],
        "subject": row["subject"],
        "seq": row["seq"],
        "data": load(row["data"]),
        "audit_head": audit.shown(row["chain_seq"], row["hash"]),
    }
