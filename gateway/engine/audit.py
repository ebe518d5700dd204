"""Verifies the chain of evidence against the rows that it tells of, and against what others have seen of it.

A finding names the table and the row. What can be found: a row that was changed, deleted or put in; an entry of the
chain that was; a chain that was written anew without the key; a tail that was cut off; an older copy in place of the
database. What cannot: a change by somebody who also has the key, and every head that was ever told to others.
"""

from __future__ import annotations

import hmac
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.engine.evidence import BIRTH, attempts_digest, birth, state, state_texts
from gateway.engine.records import op_from, saga_from
from gateway.engine.sealing import Seal
from gateway.engine.seams import Journal
from gateway.store import audit, frames
from gateway.store import journal as sql
from gateway.store.encoding import load
from gateway.store.port import Row, Tx

#: Entries that are read at once, in one snapshot.
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that somebody has seen: of which merchant (``""``: of any), its number, its hash, and who saw it."""

    merchant: str
    seq: int
    hash: str
    source: str = "anchor"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed: in which chain, table and row, and what is wrong with it."""

    merchant: str
    table: str
    row: str
    text: str

    def __str__(self) -> str:
        return f"{self.merchant}: {self.table} {self.row}: {self.text}"


def anchor_from(text: str, source: str = "anchor") -> Anchor:
    """An anchor from ``SEQ:HEAD``, ``MERCHANT/SEQ:HEAD`` or a line of JSON with ``audit_head`` (an event, a report).

    Raises ``ValueError``.
    """
    merchant = ""
    if text.lstrip().startswith("{"):
        line = json.loads(text)
        merchant, text = str(line.get("merchant", "")), str(line["audit_head"])
    elif "/" in text:
        merchant, _, text = text.rpartition("/")
    seq, _, head = text.strip().partition(":")
    if not seq.isdigit() or len(head) != 64:
        raise ValueError("an anchor is SEQ:HEAD, as events and settlements carry it in audit_head")
    return Anchor(merchant.strip(), int(seq), head.lower(), source)


class Auditor:
    """Verifies the chains of one database. ``key`` checks the checkpoints, ``tell`` hears how many entries are done."""

    def __init__(self, journal: Journal, key: Seal | None, tell: Callable[[int], None] = lambda _: None) -> None:
        self._journal, self._key, self._tell = journal, key, tell

    def verify(self, merchants: Sequence[str] | None, anchors: Sequence[Anchor]) -> list[Finding]:
        """All findings, of these merchants or of all; of a chain that does not hold only its first bad entry."""
        known = self._journal.read(audit.merchants)
        seen = {anchor.merchant for anchor in anchors if anchor.merchant}
        chosen = merchants if merchants is not None else sorted({*known, *seen})
        found: list[Finding] = []
        hashes: dict[str, dict[int, str]] = {}
        for merchant in chosen:
            wanted = {anchor.seq for anchor in anchors if anchor.merchant in ("", merchant)}
            found += self._chain(merchant, wanted, hashes.setdefault(merchant, {}))
        found += [each for anchor in anchors if (each := _against(anchor, hashes)) is not None]
        return [*found, *self._not_in_chain()]

    def _chain(self, merchant: str, wanted: set[int], hashes: dict[int, str]) -> Iterator[Finding]:
        """Walk one chain; ``hashes`` gets the heads at ``wanted`` and the last."""
        seq, previous, checkpoints = 0, audit.GENESIS, _Checkpoints(merchant, self._key)
        while True:
            rows, found = self._journal.read(lambda tx, after=seq: self._chunk(tx, merchant, after))  # type: ignore[misc]
            if not rows:
                break
            for row in rows:
                wrong = _link(row, seq, previous)
                if wrong is not None:
                    yield Finding(merchant, "chain", f"entry {seq + 1}", wrong)
                    return
                seq, previous = row["seq"], row["hash"]
                if seq in wanted:
                    hashes[seq] = previous
                yield from checkpoints.look(row)
            yield from found
            self._tell(len(rows))
        hashes[seq] = previous
        yield from checkpoints.end(seq)

    def _chunk(self, tx: Tx, merchant: str, after: int) -> tuple[list[Row], list[Finding]]:
        rows = audit.entries(tx, merchant, after, CHUNK)
        return rows, [finding for row in rows for finding in _item(tx, row)]

    def _not_in_chain(self) -> list[Finding]:
        """Events and acts that were put in without being sealed."""
        return [
            Finding(row["merchant"], table, row["id"], "is not in the chain: it was put in afterwards")
            for table in ("events", "acts")
            for row in self._journal.read(lambda tx, table=table: tx.all(_STRAYS[table]))  # type: ignore[misc]
        ]


_STRAYS = {
    "events": "SELECT e.id, e.merchant FROM events e WHERE NOT EXISTS (SELECT 1 FROM chain c WHERE c.item = e.id)"
    " AND NOT EXISTS (SELECT 1 FROM unsealed u WHERE u.item = e.id) ORDER BY e.id LIMIT 100",
    "acts": "SELECT e.id, e.merchant FROM acts e WHERE NOT EXISTS (SELECT 1 FROM chain c WHERE c.item = e.id)"
    " AND NOT EXISTS (SELECT 1 FROM unsealed u WHERE u.item = e.id) ORDER BY e.id LIMIT 100",
}


# --- the chain itself ------------------------------------------------------------------------------------------------


def _link(row: Row, seq: int, previous: str) -> str | None:
    """What is wrong with an entry that should come after ``seq``."""
    if row["seq"] != seq + 1:
        return f"is missing: the next one there is {row['seq']}"
    if audit.bound(previous, row) != row["hash"]:
        return f"{row['kind']} {row['item']} was changed, or the one before it was"
    return None


class _Checkpoints:
    """What the keyed checkpoints say of a chain: only who has the key can have written it up to there."""

    def __init__(self, merchant: str, key: Seal | None) -> None:
        self._merchant, self._key = merchant, key
        self._good = self._seen = 0
        self._broken = False

    def look(self, row: Row) -> Iterator[Finding]:
        if not row["checkpoint"] or self._key is None or self._broken:
            return
        self._seen = row["seq"]
        if hmac.compare_digest(self._key.sign(self._merchant, row["seq"], row["hash"]), row["checkpoint"]):
            self._good = row["seq"]
            return
        self._broken = True
        name = row["checkpoint"].partition(":")[0]
        text = f"was written anew after entry {self._good}: this key did not make the checkpoint here"
        if name != self._key.name:
            text = f"its checkpoint was made with key {name}, and this is key {self._key.name}"
        yield Finding(self._merchant, "chain", f"entry {row['seq']}", text)

    def end(self, last: int) -> Iterator[Finding]:
        if self._key is not None and not self._broken and last != self._good:
            text = f"was written anew or cut after entry {self._good}, the last that a checkpoint covers"
            yield Finding(self._merchant, "chain", f"entry {last}", text)


def _against(anchor: Anchor, hashes: Mapping[str, Mapping[int, str]]) -> Finding | None:
    """Whether what somebody has seen is still there."""
    chains = [hashes[anchor.merchant]] if anchor.merchant in hashes else list(hashes.values())
    if any(chain.get(anchor.seq) == anchor.hash for chain in chains):
        return None
    last = max((max(chain, default=0) for chain in chains), default=0)
    name = anchor.merchant or "*"
    if anchor.seq > last:
        text = f"the chain ends at {last}: its tail was cut off, or an older copy was restored"
    else:
        text = "the chain has another entry there: an older copy was restored and went on, or it was written anew"
    return Finding(name, "chain", f"entry {anchor.seq} ({anchor.source})", text)


# --- what the entries tell of ----------------------------------------------------------------------------------------


def _item(tx: Tx, row: Row) -> Iterator[Finding]:
    """Hold the row that an entry tells of against its digest, and the saga as it stood against the journal."""
    table = {"event": "events", "act": "acts"}.get(row["kind"])
    if table is not None:
        yield from _own_row(tx, row, table)
    if row["state"] and row["marks"] == BIRTH:
        yield from _born(tx, row)
    elif row["state"] and _is_last_state(tx, row):
        yield from _stands(tx, row)


def _own_row(tx: Tx, row: Row, table: str) -> Iterator[Finding]:
    found = tx.one(f"SELECT * FROM {table} WHERE id = :id", {"id": row["item"]})  # noqa: S608 - one of two names
    if found is None:
        if not _forgotten(tx, row["subject"]):
            yield Finding(row["merchant"], table, row["item"], "was deleted")
        return
    now = audit.event_digest(found) if table == "events" else audit.act_digest(found)
    if now != row["digest"]:
        yield Finding(row["merchant"], table, row["item"], "was changed after it was sealed")


def _forgotten(tx: Tx, subject: str) -> bool:
    """Whether the gateway itself took this back, because nothing of it was ever sent anywhere."""
    return any(
        tx.one(f"SELECT 1 AS found FROM {table} WHERE item = :id AND kind = 'forgotten'", {"id": subject})  # noqa: S608
        for table in ("chain", "unsealed")
    )


def _born(tx: Tx, row: Row) -> Iterator[Finding]:
    found = sql.saga(tx, row["subject"])
    if found is None:
        if not _forgotten(tx, row["subject"]):
            yield Finding(row["merchant"], "sagas", row["subject"], "was deleted")
    elif birth(dict(found)) != row["state"]:
        yield Finding(row["merchant"], "sagas", row["subject"], "what was accepted (doc, amount, number) was changed")


def _is_last_state(tx: Tx, row: Row) -> bool:
    """Whether nothing later was said of how this saga stands, and nobody works on it now."""
    later = "SELECT 1 AS found FROM chain WHERE subject = :subject AND state <> '' AND position > :position"
    coming = "SELECT 1 AS found FROM unsealed WHERE subject = :subject AND state <> ''"
    about = {"subject": row["subject"], "position": row["position"]}
    return tx.one(later, about) is None and tx.one(coming, {"subject": row["subject"]}) is None


def _stands(tx: Tx, row: Row) -> Iterator[Finding]:
    found = sql.saga(tx, row["subject"])
    if found is None:
        if not _forgotten(tx, row["subject"]):
            yield Finding(row["merchant"], "sagas", row["subject"], "was deleted")
        return
    yield from _attempted(tx, row, found)
    ops = sql.ops(tx, row["subject"])
    saga, operations = saga_from(found), [op_from(op) for op in ops]
    if state(saga, operations)[0] == row["state"]:
        return
    own, texts = state_texts(saga, operations)
    marks = load(row["marks"])
    yield from _named(row, marks, own, texts, {op["key"][-8:]: op for op in ops})


def _attempted(tx: Tx, row: Row, found: Row) -> Iterator[Finding]:
    """Hold a saga's attempts against what was bound of them; those that were deleted for their age are not missed."""
    count, digest = load(found["progress"]).get("attempts", (0, ""))
    rows = frames.bound(tx, row["subject"], count)
    if len(rows) < count and not frames.any_before(tx, found["created"]):
        return
    if attempts_digest("", rows) != digest:
        text = f"one was deleted: {len(rows)} of {count} are there" if len(rows) < count else "one was changed"
        yield Finding(row["merchant"], "attempts", f"of {row['subject']}", text)


def _named(
    row: Row, marks: Mapping[str, Any], own: str, texts: Mapping[str, str], ops: Mapping[str, Row]
) -> Iterable[Finding]:
    """Which of a saga's rows differ, by the marks that were sealed with them."""
    found = []
    if zlib.crc32(own.encode()) != marks["saga"]:
        found.append(Finding(row["merchant"], "sagas", row["subject"], "its state or progress was changed at its end"))
    for key in sorted({*marks["ops"], *texts}):
        name = f"{ops[key]['key']} ({ops[key]['leg']}/{ops[key]['hook']})" if key in ops else f"…{key}"
        if key not in texts:
            found.append(Finding(row["merchant"], "ops", name, f"was deleted; it belonged to {row['subject']}"))
        elif key not in marks["ops"]:
            found.append(Finding(row["merchant"], "ops", name, f"was put in afterwards, into {row['subject']}"))
        elif zlib.crc32(texts[key].encode()) != marks["ops"][key]:
            found.append(Finding(row["merchant"], "ops", name, f"was changed; it belongs to {row['subject']}"))
    return found or [Finding(row["merchant"], "sagas", row["subject"], "it or one of its operations was changed")]
