"""The chain of evidence: what happened, in one order, each entry bound to the one before it by SHA-256.

A transaction that tells something puts it among the *unsealed*. Sealing is a short transaction of its own, by whichever
process comes first: it takes what has been committed, in order, and gives it the merchant's next number without a gap
and the hash that binds it. So no two checkouts of a merchant wait for each other, and nothing becomes visible behind
something that was shown before: the feed and the webhooks show what is sealed. The last entry of every sealing carries
a keyed checkpoint, which whoever can write the database but has not the key cannot make.

This does not keep anybody from changing the database; it makes a change found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.store.encoding import dump
from gateway.store.port import Row, Tx

SCHEMA = """
CREATE TABLE acts (
  id TEXT PRIMARY KEY, merchant TEXT NOT NULL, subject TEXT NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL,
  at INTEGER NOT NULL, data TEXT NOT NULL
) STRICT;
CREATE INDEX acts_subject ON acts (subject);

CREATE TABLE unsealed (
  position INTEGER PRIMARY KEY, merchant TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL, subject TEXT NOT NULL,
  digest TEXT NOT NULL, state TEXT NOT NULL, marks TEXT NOT NULL
) STRICT;

CREATE TABLE chain (
  position INTEGER PRIMARY KEY, merchant TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL,
  subject TEXT NOT NULL, digest TEXT NOT NULL, state TEXT NOT NULL, marks TEXT NOT NULL, sealed INTEGER NOT NULL,
  hash TEXT NOT NULL, checkpoint TEXT NOT NULL,
  UNIQUE (merchant, seq)
) STRICT;
CREATE INDEX chain_item ON chain (item);
CREATE INDEX chain_state ON chain (subject, position) WHERE state <> '';

CREATE VIEW feed AS
SELECT c.position, e.id, e.merchant, e.subject, e.seq, e.type, e.occurred, e.data, c.seq AS chain_seq, c.hash
FROM chain c JOIN events e ON e.id = c.item WHERE c.kind = 'event';

INSERT INTO unsealed (merchant, kind, item, subject, digest, state, marks)
SELECT merchant, 'event', id, subject, '', '', '' FROM events ORDER BY position;
"""

#: Whose acts belong to no merchant: a key for all of them.
EVERYBODY = "*"
#: What an empty chain's first entry is bound to.
GENESIS = "0" * 64
#: Entries of one sealing; the lock is held for so long.
SEAL_MOST = 500

_ENTER = """
INSERT INTO unsealed (merchant, kind, item, subject, digest, state, marks)
VALUES (:merchant, :kind, :item, :subject, :digest, :state, :marks)
"""
_SEALED = """
INSERT INTO chain (position, merchant, seq, kind, item, subject, digest, state, marks, sealed, hash, checkpoint)
VALUES (:position, :merchant, :seq, :kind, :item, :subject, :digest, :state, :marks, :sealed, :hash, :checkpoint)
"""
_INSERT_ACT = """
INSERT INTO acts (id, merchant, subject, kind, who, at, data) VALUES (:id, :merchant, :subject, :kind, :who, :at, :data)
"""

#: Signs ``merchant``, ``seq`` and ``hash``; the text says which key it was.
Sign = Callable[[str, int, str], str]


def digest(values: Sequence[Any]) -> str:
    """What tells whether these values are still the same."""
    return hashlib.sha256(dump(values).encode()).hexdigest()


def digest_of(*texts: str) -> str:
    """The digest of texts of JSON, none of which has a line break in it."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def event_digest(row: Mapping[str, Any] | Row) -> str:
    """The digest of an event's row."""
    names = ("id", "merchant", "subject", "seq", "type", "occurred", "data")
    return digest([row[name] for name in names])


def act_digest(row: Mapping[str, Any] | Row) -> str:
    """The digest of an act's row."""
    return digest([row[name] for name in ("id", "merchant", "subject", "kind", "who", "at", "data")])


def entry(
    merchant: str, kind: str, item: str, subject: str, digest: str, state: str = "", marks: str = ""
) -> dict[str, str]:
    """One entry to be sealed: ``kind`` is event, act, state or forgotten; ``digest`` is of the item's own row.

    ``state`` is the digest of the saga with its operations as this transaction leaves it, ``marks`` a hint (JSON) by
    which the row that differs can be named.
    """
    return {
        "merchant": merchant,
        "kind": kind,
        "item": item,
        "subject": subject,
        "digest": digest,
        "state": state,
        "marks": marks,
    }


def enter(tx: Tx, entries: Sequence[Mapping[str, str]]) -> None:
    """Put entries among the unsealed, in the transaction of what they tell."""
    if entries:
        tx.execute_many(_ENTER, entries)


def enter_events(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put events among the unsealed, with the ``state`` and ``marks`` that some of them carry."""
    enter(
        tx,
        [
            entry(
                row["merchant"],
                "event",
                row["id"],
                row["subject"],
                event_digest(row),
                row.get("state", ""),
                row.get("marks", ""),
            )
            for row in rows
        ],
    )


def act(tx: Tx, row: Mapping[str, Any]) -> None:
    """Note what a person did: ``id merchant subject kind who at data``; it becomes an entry of the chain."""
    tx.execute(_INSERT_ACT, row)
    enter(tx, [entry(row["merchant"], "act", row["id"], row["subject"], act_digest(row))])


def acts_of(tx: Tx, subject: str) -> list[Row]:
    """What people did about a subject, oldest first."""
    return tx.all("SELECT * FROM acts WHERE subject = :subject ORDER BY at, id", {"subject": subject})


def last_act(tx: Tx, merchant: str, subject: str, kind: str) -> Row | None:
    """The last act of this kind about a subject."""
    return tx.one(
        "SELECT * FROM acts WHERE subject = :subject AND kind = :kind AND merchant = :merchant"
        " ORDER BY at DESC, id DESC LIMIT 1",
        {"subject": subject, "kind": kind, "merchant": merchant},
    )


# --- sealing ---------------------------------------------------------------------------------------------------------


def waiting(tx: Tx) -> bool:
    """Whether anything is unsealed."""
    return tx.one("SELECT 1 AS found FROM unsealed LIMIT 1") is not None


def bound(previous: str, row: Mapping[str, Any] | Row) -> str:
    """The hash of an entry, which binds it to the one before."""
    names = ("merchant", "seq", "kind", "item", "subject", "digest", "state", "marks", "sealed")
    return hashlib.sha256(f"{previous}\n{dump([row[name] for name in names])}".encode()).hexdigest()


def seal(tx: Tx, now: int, sign: Sign | None, most: int = SEAL_MOST) -> dict[str, tuple[int, str]]:
    """Seal what was committed, in order; the new heads (number and hash) by merchant.

    The lock is held to the end of the transaction, so that numbers become visible as they rise.
    """
    tx.lock("gateway-seal")
    rows = tx.all("SELECT * FROM unsealed ORDER BY position LIMIT :most", {"most": most})
    if not rows:
        return {}
    position, heads, made = _last_position(tx), dict[str, tuple[int, str]](), []
    for row in rows:
        position += 1
        merchant = row["merchant"]
        seq, before = heads.get(merchant) or head(tx, merchant)
        sealed = {**dict(row), "position": position, "seq": seq + 1, "sealed": now, "checkpoint": ""}
        if not sealed["digest"]:
            sealed["digest"] = _digest_now(tx, sealed)
        sealed["hash"] = bound(before, sealed)
        heads[merchant] = sealed["seq"], sealed["hash"]
        made.append(sealed)
    if sign is not None:
        last = {row["merchant"]: row for row in made}
        for row in last.values():
            row["checkpoint"] = sign(row["merchant"], row["seq"], row["hash"])
    tx.execute_many(_SEALED, made)
    tx.execute_many("DELETE FROM unsealed WHERE position = :position", [{"position": row["position"]} for row in rows])
    return heads


def _last_position(tx: Tx) -> int:
    row = tx.one("SELECT coalesce(max(position), 0) AS position FROM chain")
    return 0 if row is None else int(row["position"])


def _digest_now(tx: Tx, row: Mapping[str, Any]) -> str:
    """The digest of an event that was written before there was a chain; of what is gone: none."""
    found = tx.one("SELECT * FROM events WHERE id = :id", {"id": row["item"]}) if row["kind"] == "event" else None
    return event_digest(found) if found is not None else ""


def head(tx: Tx, merchant: str) -> tuple[int, str]:
    """The number and hash of a merchant's last entry; 0 and the beginning if there is none."""
    row = tx.one(
        "SELECT seq, hash FROM chain WHERE merchant = :merchant ORDER BY seq DESC LIMIT 1", {"merchant": merchant}
    )
    return (0, GENESIS) if row is None else (int(row["seq"]), str(row["hash"]))


def hash_at(tx: Tx, merchant: str, seq: int) -> str:
    """The hash of a merchant's entry; ``""`` if there is none."""
    sql = "SELECT hash FROM chain WHERE merchant = :merchant AND seq = :seq"
    row = tx.one(sql, {"merchant": merchant, "seq": seq})
    return "" if row is None else str(row["hash"])


def shown(seq: int, hash: str) -> str:
    """A head as it is shown and kept elsewhere: ``SEQ:HEAD``."""
    return f"{seq}:{hash}"


# --- reading ---------------------------------------------------------------------------------------------------------


def merchants(tx: Tx) -> list[str]:
    """Whose chains there are."""
    return [row["merchant"] for row in tx.all("SELECT DISTINCT merchant FROM chain ORDER BY merchant")]


def entries(tx: Tx, merchant: str, after: int, limit: int) -> list[Row]:
    """Entries of a chain after a number, in order."""
    return tx.all(
        "SELECT * FROM chain WHERE merchant = :merchant AND seq > :after ORDER BY seq LIMIT :limit",
        {"merchant": merchant, "after": after, "limit": limit},
    )


def position_of(tx: Tx, item: str) -> int | None:
    """Where an item stands in the order of sealing; ``None`` while it is not sealed."""
    row = tx.one("SELECT position FROM chain WHERE item = :item AND kind = 'event'", {"item": item})
    return None if row is None else int(row["position"])
