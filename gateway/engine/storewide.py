"""What must hold in the whole store, asked of a live one: sagas newest first, then the tables beside them.

Nothing is changed and nothing is stopped: every saga is read in a snapshot of its own, and one that somebody works on
just now is left for the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway.engine import invariants
from gateway.engine.invariants import Record
from gateway.engine.model import TERMINAL, Far, Json, Kind
from gateway.engine.own import OWN
from gateway.engine.retender import quote_in_force
from gateway.hookspecs import FAMILY_OF, QUERY_HOOKS
from gateway.store import frames, uses
from gateway.store.port import Row, Tx

#: Outcomes of an attempt of which it is proved that nothing left us.
_NEVER_LEFT = frozenset({"not_sent", "misconfigured", "not_supported"})

FarOf = Callable[[str, str], Far]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A violation: the subject (a checkout, or a row) and what is wrong, beginning with the invariant's name."""

    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


def sagas(tx: Tx, before: str, limit: int) -> list[str]:
    """Ids of sagas, newest first, below one that was seen (``""``: from the newest)."""
    sql = (
        "SELECT id FROM sagas WHERE (:before = '' OR substr(id, 5) < :before) ORDER BY substr(id, 5) DESC LIMIT :limit"
    )
    return [row["id"] for row in tx.all(sql, {"before": before[4:], "limit": limit})]


def of_saga(tx: Tx, saga_id: str, far: FarOf, now: int) -> list[Wrong]:
    """What is wrong with one saga and what hangs on it; nothing is said of one that somebody works on."""
    found = invariants.record(tx, saga_id)
    if found is None or found.saga.lease_until >= now:
        return []
    due = found.saga.due_at is not None and found.saga.due_at <= now
    checks = [*invariants.ALWAYS, sums_of_the_quote]
    if found.saga.state in TERMINAL and not due:
        checks.append(invariants.completed_is_whole)
    if not (due and found.saga.progress.get("late")):  # money that came late is being given back
        checks.append(invariants.failed_holds_nothing)
    if invariants.overdue(found, now):
        checks.append(invariants.ended_or_a_persons_case)
    texts = [text for check in checks for text in check(found)]
    texts += [*sent_once(tx, found, far), *one_tenant(tx, found), *codes_there(tx, found)]
    texts += invariants.ledger_agrees(tx, found)
    if found.saga.kind is Kind.CHECKOUT:
        texts += [text.partition(" ")[2] for text in invariants.parent_covers_refunds(tx, saga_id)]
    return [Wrong(saga_id, text) for text in texts]


# --- of one saga -----------------------------------------------------------------------------------------------------


def sums_of_the_quote(found: Record) -> Iterator[str]:
    """M4: what is paid is gross less discount, points and rounding, plus fees; the lines come to the whole."""
    saga = found.saga
    if saga.kind is not Kind.CHECKOUT or "quote" not in saga.doc:
        return
    quote: Json = quote_in_force(saga)
    if not {"gross_amount", "discount_amount", "fee_amount", "payable_amount"} <= quote.keys():
        return
    points = quote.get("points") or {}
    due = quote["gross_amount"] - quote["discount_amount"] + quote["fee_amount"]
    due -= int(points.get("amount", 0)) + int(quote.get("rounding_amount", 0))
    if due != quote["payable_amount"] or due < 0:
        yield f"M4: payable is {quote['payable_amount']}, and its parts come to {due}"
    if saga.amount != quote["payable_amount"]:
        yield f"M4: the checkout is over {saga.amount}, its quote over {quote['payable_amount']}"
    lines = [line for line in quote.get("lines", ()) if "net_amount" in line and "gross_amount" in line]
    net, gross = (sum(line[name] for line in lines) for name in ("net_amount", "gross_amount"))
    if lines and (gross != quote["gross_amount"] or net != gross - quote["discount_amount"]):
        yield f"M4: the lines come to {gross} gross and {net} net of {quote['gross_amount']}"


def sent_once(tx: Tx, found: Record, far: FarOf) -> Iterator[str]:
    """X2: what can neither be repeated nor asked about has left us once at most."""
    rows: list[Row] | None = None
    for op in found.ops:
        if op.attempts < 2:
            continue
        connection = far(found.saga.merchant, op.connection)
        query = QUERY_HOOKS.get(FAMILY_OF.get(op.hook, ""), "")
        if connection.embedded or connection.traits(op.hook).idempotent or connection.has(query):
            continue
        rows = frames.of_saga(tx, found.saga.id) if rows is None else rows
        stayed = sum(row["op"] == op.key and row["verb"] == "send" and row["outcome"] in _NEVER_LEFT for row in rows)
        if op.attempts - stayed > 1:
            yield f"X2: {op.leg}/{op.hook} was sent {op.attempts - stayed} times, and can neither be asked nor repeated"


#: What this checkout and those before it have taken of a code since the far side said how much of it was left.
_TAKEN = """
SELECT coalesce(sum(quantity), 0) AS taken FROM holds
WHERE merchant = :merchant AND kind = 'coupon' AND store_id = '' AND item = :code AND saga_id <= :id
  AND (state = 'held' OR (state = 'used' AND updated >= :as_of))
  AND EXISTS (SELECT 1 FROM holds mine WHERE mine.merchant = :merchant AND mine.saga_id = :id
    AND mine.kind = 'coupon' AND mine.store_id = '' AND mine.item = :code AND mine.state IN ('held', 'used'))
"""


def codes_there(tx: Tx, found: Record) -> Iterator[str]:
    """C1: what the gateway itself has locked of a code is never more than there was of it."""
    for leg in found.saga.legs():
        if leg.connection == OWN and "code" in leg.params:
            about = {"merchant": found.saga.merchant, "id": found.saga.id}
            row = tx.one(_TAKEN, {**about, "code": leg.params["code"], "as_of": leg.params["as_of"]})
            taken, there = int(row["taken"]) if row else 0, int(leg.params["available"])
            if taken > there:
                yield f"C1: {taken} of {leg.params['code']} are locked, and {there} were there"


_OTHERS = {
    "events": "SELECT id AS row FROM events WHERE subject = :id AND merchant <> :merchant",
    "tasks": "SELECT id AS row FROM tasks WHERE subject = :id AND merchant <> :merchant",
    "sagas": "SELECT id AS row FROM sagas WHERE parent = :id AND parent <> '' AND merchant <> :merchant",
    "acts": "SELECT id AS row FROM acts WHERE subject = :id AND merchant <> :merchant",
}


def one_tenant(tx: Tx, found: Record) -> Iterator[str]:
    """T1: all that belongs to a saga belongs to its merchant."""
    about = {"id": found.saga.id, "merchant": found.saga.merchant}
    for table, sql in _OTHERS.items():
        for row in tx.all(sql, about):
            yield f"T1: {table} {row['row']} belongs to another merchant"


# --- beside the sagas ------------------------------------------------------------------------------------------------

# One query an invariant; each names the row, the checkout where there is one, and what is wrong.
_TABLES: Mapping[str, str] = {
    "I1: a key's reply is final while its checkout is not there or not ended": """
        SELECT i.subject AS subject, i.key AS row FROM idempotency i LEFT JOIN sagas s ON s.id = i.subject
        WHERE i.status IN (201, 402, 409) AND i.subject LIKE 'chk%' AND i.location NOT LIKE '%#%'
          AND (s.id IS NULL OR (i.status = 201 AND s.state <> 'completed')
            OR (i.status = 402 AND s.state NOT IN ('failed', 'cancelled'))) LIMIT 100""",
    "I1: one checkout was made by several keys": """
        SELECT subject, min(key) AS row FROM idempotency WHERE subject LIKE 'chk%' AND location NOT LIKE '%#%'
        GROUP BY merchant, subject HAVING count(*) > 1 LIMIT 100""",
    "I2: one order number, several checkouts": """
        SELECT min(id) AS subject, number AS row FROM sagas GROUP BY merchant, kind, number
        HAVING count(*) > 1 LIMIT 100""",
    "S1: something is held for a checkout that is not there, or has failed": """
        SELECT h.saga_id AS subject, h.item AS row FROM holds h LEFT JOIN sagas s ON s.id = h.saga_id
        WHERE h.state = 'held' AND h.expires > :now AND h.saga_id LIKE 'chk%'
          AND (s.id IS NULL OR (s.state IN ('failed', 'cancelled') AND s.due_at IS NULL)) LIMIT 100""",
    "T1: a key's reply is about another merchant's checkout": """
        SELECT i.subject AS subject, i.key AS row FROM idempotency i JOIN sagas s ON s.id = i.subject
        WHERE s.merchant <> i.merchant LIMIT 100""",
    "T1: a hold is another merchant's": """
        SELECT h.saga_id AS subject, h.item AS row FROM holds h JOIN sagas s ON s.id = h.saga_id
        WHERE s.merchant <> h.merchant LIMIT 100""",
    "T1: a settlement entry is another merchant's": """
        SELECT e.subject AS subject, e.id AS row FROM settlement_entries e JOIN sagas s ON s.id = e.subject
        WHERE s.merchant <> e.merchant LIMIT 100""",
    "W2: an event tells of a checkout that is not there": """
        SELECT e.subject AS subject, e.id AS row FROM events e LEFT JOIN sagas s ON s.id = e.subject
        WHERE s.id IS NULL AND e.subject LIKE 'chk%' LIMIT 100""",
}


def table_checks() -> tuple[str, ...]:
    """The names of the checks beside the sagas."""
    return tuple(_TABLES)


def of_tables(tx: Tx, name: str, now: int) -> list[Wrong]:
    """What one of the checks beside the sagas finds."""
    text = _TABLES[name]
    rows = tx.all(text, {"now": now} if ":now" in text else {})
    return [Wrong(row["subject"], f"{name} ({row['row']})") for row in rows]


def of_campaigns(tx: Tx) -> list[Wrong]:
    """C1: uses of campaigns that the counters and the checkouts do not bear out."""
    counted = [Wrong(row["campaign"], f"C1: the counter does not count its uses: {row}") for row in uses.drift(tx)]
    return counted + [Wrong(row["saga_id"], f"C1: a use of {row['campaign']} stands") for row in uses.orphans(tx)]
