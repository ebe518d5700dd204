"""Tasks and events as the platform reads them, narrowed to the merchants and stores that a key may see."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gateway.store.port import Row, Tx

Json = dict[str, Any]


def one_of(column: str, values: Collection[str] | None, name: str) -> tuple[str, Json]:
    """A condition that a column is one of some values, with its parameters; none for ``None``: all."""
    if values is None:
        return "", {}
    named = {f"{name}_{index}": value for index, value in enumerate(sorted(values))}
    return f" AND {column} IN ({', '.join(f':{key}' for key in named) or 'NULL'})", named


_CHECKOUTS = {
    "number": "number = :number",
    "start": "created >= :start",
    "end": "created < :end",
    "after": "id < :after",
    "from_id": "id >= :from_id",
    "to_id": "id < :to_id",
}


def checkouts_sql(asked: Json, states: Collection[str] | None, stores: Collection[str] | None) -> tuple[str, Json]:
    """The statement of a page of checkouts, newest first, with its parameters; what is not asked for is not in it."""
    conditions = "".join(f" AND {text}" for name, text in _CHECKOUTS.items() if name in asked)
    in_states, state_values = one_of("state", states, "state")
    in_stores, store_values = one_of("store_id", stores, "store")
    sql = (
        "SELECT * FROM sagas WHERE merchant = :merchant AND kind = 'checkout'"  # noqa: S608 - names of parameters only
        f"{conditions}{in_states}{in_stores} ORDER BY id DESC LIMIT :limit"
    )
    return sql, {**asked, **state_values, **store_values}


def tasks(tx: Tx, asked: Json, stores: Collection[str] | None) -> list[Row]:
    """Tasks, newest first. ``asked``: merchant, id, status and subject (``""``: any), after, limit."""
    condition, values = one_of("s.store_id", stores, "store")
    return tx.all(
        "SELECT t.* FROM tasks t LEFT JOIN sagas s ON s.id = t.subject"  # noqa: S608 - names of parameters only
        " WHERE t.merchant = :merchant AND (:id = '' OR t.id = :id) AND (:status = '' OR t.status = :status)"
        f" AND (:subject = '' OR t.subject = :subject) AND (:after = '' OR t.id < :after){condition}"
        " ORDER BY t.id DESC LIMIT :limit",
        {**asked, **values},
    )


def event_position(tx: Tx, event_id: str, merchants: Collection[str]) -> int | None:
    """Where an event stands in the feed; ``None`` if there is none that may be seen."""
    condition, values = one_of("merchant", merchants, "merchant")
    sql = f"SELECT position FROM chain WHERE item = :id AND kind = 'event'{condition}"  # noqa: S608
    row = tx.one(sql, {"id": event_id, **values})
    return None if row is None else int(row["position"])


def events(
    tx: Tx, after: int, merchants: Collection[str] | None, stores: Collection[str] | None, limit: int
) -> list[Row]:
    """Sealed events after a position, in the order of sealing."""
    of_merchants, merchant_values = one_of("e.merchant", merchants, "merchant")
    in_stores, store_values = one_of("s.store_id", stores, "store")
    return tx.all(
        "SELECT e.* FROM feed e LEFT JOIN sagas s ON s.id = e.subject"  # noqa: S608 - names of parameters only
        f" WHERE e.position > :after{of_merchants}{in_stores}"
        " ORDER BY e.position LIMIT :limit",
        {"after": after, "limit": limit, **merchant_values, **store_values},
    )
