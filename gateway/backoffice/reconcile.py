"""Reconciliation: the journal against every system's own record of a business date.

It only reads far away, and writes what it found: a row a run into ``reconciliations``, an event, and for what a bill
decides before we did, a nudge to the recovery, which asks the system itself. It never changes a state: what a bill says
is evidence, and the adapter's query is the judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from gateway.backoffice.matching import Linked, Matcher, Rules, link
from gateway.backoffice.ours import Entry, Index, Sale, Unit, entries_of, is_key, sale_of
from gateway.backoffice.result import Class, Difference, Result
from gateway.backoffice.statements import Statements, Unavailable
from gateway.domain.common import StatementRow
from gateway.engine.service import Engine
from gateway.hookspecs import FAMILY_OF
from gateway.runtime import Connection, Merchant
from gateway.sdk.convert.dates import business_date as date_in_business
from gateway.store import books
from gateway.store.journal import dump, insert_events
from gateway.store.port import Row, Tx

#: Operations are looked for so long before and after the day: a business day and a calendar day may differ.
AROUND = timedelta(days=2)
UNREADABLE = "unreadable"
BEHIND_OUR_BACK = "not made by this gateway"
NOT_OUR_KEY = "it looks like a key of ours, and the journal does not know it"


def reconcile_day(engine: Engine, merchant_id: str, business_date: date) -> list[Result]:
    """Compare a business date on every connection of a merchant that has a statement; keep what was found.

    Raises ``Problem`` (``not-found``) for an unknown merchant. A statement that is not there makes a result that says
    so in ``unavailable``. May be run again at any time.
    """
    merchant = engine.merchant(merchant_id)
    results, sales = [], Sales(engine)
    for connection in engine.runtime.connections(merchant_id):
        for hook in connection.statements():
            result, hurried = _Day(engine, merchant, connection, hook, business_date, sales).compare()
            if result.rows or result.operations or _serves(merchant, connection, hook):
                engine.journal.tx(lambda tx, r=result, h=hurried: _keep(tx, engine, r, h))  # type: ignore[misc]
                results.append(result)
    head = engine.sealer.head(merchant_id)
    for result in results:
        result.audit_head = head
    return results


def _serves(merchant: Merchant, connection: Connection, hook: str) -> bool:
    """Whether a route leads to this connection for the statement's family: one that is idle is not worth a line."""
    return connection.name in merchant.matching(FAMILY_OF[hook])


class Sales:
    """What sagas are about, each read once for all statements."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.known: dict[str, Sale] = {}

    def learn(self, saga_ids: Iterable[str]) -> dict[str, Sale]:
        """Read those that are not known yet; all that are known then."""
        wanted = sorted(set(saga_ids) - set(self.known))
        for start in range(0, len(wanted), books.BATCH):
            ids = wanted[start : start + books.BATCH]
            rows = self.engine.journal.read(lambda tx, ids=ids: books.of_subjects(tx, "sagas", ids))  # type: ignore[misc]
            self.known |= {row["id"]: sale_of(row) for row in rows}
        return self.known


class _Day:
    """One statement of one connection on one date."""

    def __init__(
        self,
        engine: Engine,
        merchant: Merchant,
        connection: Connection,
        hook: str,
        business_date: date,
        sales: Sales,
    ) -> None:
        self.sales = sales
        self.engine, self.merchant, self.connection, self.hook = engine, merchant, connection, hook
        self.day = business_date
        self.statements = Statements(connection, hook)
        self.owners: dict[str, str] = {}

    def compare(self) -> tuple[Result, list[str]]:
        """The result, and the sagas that recovery should look at."""
        index = Index(self._entries(self._ops_of_day()))
        try:
            rows = self.statements.rows(self.day)
        except Unavailable as unavailable:
            result = self._result(Unit.AMOUNT)
            result.unavailable = str(unavailable)
            ours = [e for e in index.entries if self.day in e.days and not e.silent]
            result.operations = len(ours)
            result.our_amount = sum(entry.made(result.unit) for entry in ours)
            return result, []
        linked = link(rows, index, lambda key: self._found_later(key, index))
        linked.pairs = [pair for pair in linked.pairs if pair.rows or self.day in pair.entry.days]
        return self._better(linked, len(rows))

    def _better(self, linked: Linked, count: int) -> tuple[Result, list[str]]:
        """The comparison in the unit in which the statement counts; only coupons' may count either way."""
        tried = []
        for unit in Unit if self.hook == "coupon_statement" else (Unit.AMOUNT,):
            result = self._result(unit)
            result.rows = count
            matcher = Matcher(result, Rules(self._elsewhere, self._stray, self._fee_bp()))
            matcher.run(linked)
            tried.append((result, matcher.hurried))
        return min(tried, key=lambda pair: len(pair[0].differences))

    def _result(self, unit: Unit) -> Result:
        return Result(
            merchant=self.merchant.id,
            connection=self.connection.name,
            adapter=self.connection.adapter_name,
            family=FAMILY_OF[self.hook],
            hook=self.hook,
            business_date=self.day,
            unit=unit,
        )

    def _fee_bp(self) -> int:
        return self.merchant.acquirer_fee_bp if self.hook == "payment_statement" else 0

    # --- our side ----------------------------------------------------------------------------------------------------

    def _ops_of_day(self) -> list[Row]:
        begin = datetime.combine(self.day, time(), self.merchant.timezone)
        since, until = begin - AROUND, begin + timedelta(days=1) + AROUND
        at = [int(moment.astimezone(UTC).timestamp() * 1000) for moment in (since, until)]
        name = self.connection.name
        return self.engine.journal.read(lambda tx: books.ops_of_day(tx, self.merchant.id, name, at[0], at[1]))

    def _entries(self, rows: list[Row]) -> list[Entry]:
        sales = self.sales.learn(row["saga_id"] for row in rows)
        return entries_of(rows, sales, self.hook, self._dates, self._deferred)

    def _dates(self, moment: datetime) -> set[date]:
        """The calendar day of a moment where the shop is, and its date in a system whose day ends at its own hour."""
        zone, ends = self.merchant.timezone, time.fromisoformat(self.connection.about.business_day_ends)
        return {moment.astimezone(zone).date(), date_in_business(moment, ends, zone)}

    def _deferred(self, hook: str) -> bool:
        return self.connection.traits(hook).deferred

    def _found_later(self, key: str, index: Index) -> Entry | None:
        """The entry of a key that is not among the day's: of a checkout that ended long before, say."""
        if not is_key(key) or key in self.owners:
            return None
        owner = self.engine.journal.read(lambda tx: books.owner_of(tx, key))
        self.owners[key] = "" if owner is None else "here"
        if owner is None:
            return None
        if (owner["merchant"], owner["connection"]) != (self.merchant.id, self.connection.name):
            self.owners[key] = "elsewhere"
            return None
        saga_id, name = owner["saga_id"], self.connection.name
        index.add(self._entries(self.engine.journal.read(lambda tx: books.ops_of_saga(tx, saga_id, name))))
        return index.by_key(key)

    # --- what the comparison asks ------------------------------------------------------------------------------------

    def _stray(self, row: StatementRow) -> str:
        """Why a row should have been ours; ``""`` if it is somebody else's business.

        A wallet's or a terminal's account is the gateway's to fill. A till sells to people whom we never see.
        """
        if row.status == UNREADABLE:
            return f"unreadable: {row.facts.get('error', '')}"
        if self.owners.get(row.key) == "elsewhere":
            return ""  # another merchant, or another connection, of the same account
        if self.hook == "payment_statement" or self.connection.about.exclusive_writer:
            return BEHIND_OUR_BACK
        return NOT_OUR_KEY if is_key(row.key) else ""

    def _elsewhere(self, entry: Entry) -> str:
        """Where a movement stands that is not in this day's statement: see ``Rules``."""
        for day in sorted(entry.days - {self.day}):
            try:
                if self.statements.names(day).have(entry):
                    return "there"
            except Unavailable:
                return "unknown"
        return "ours" if entry.home == self.day else ""


def _keep(tx: Tx, engine: Engine, result: Result, hurried: list[str]) -> None:
    """Store a run, tell of it, and make due what the bill has decided before us."""
    now = engine.clock.now()
    run_id = f"rec_{engine.ids.new()}"
    found = [*result.differences, *result.pending]
    row = {
        "id": run_id,
        "merchant": result.merchant,
        "business_date": result.business_date.isoformat(),
        "connection": result.connection,
        "family": result.hook,
        "counts": dump(result.sums()),
        "differences": dump([difference.to_json() for difference in found]),
        "closed": now if result.reconciled else 0,
    }
    books.insert_reconciliation(tx, row)
    for saga_id in dict.fromkeys(hurried):
        books.hurry(tx, saga_id, now)
    if result.reconciled:
        insert_events(tx, [_event(engine, run_id, result, now)])


def _event(engine: Engine, run_id: str, result: Result, now: int) -> dict[str, object]:
    data = {
        "business_date": result.business_date.isoformat(),
        "connection": result.connection,
        "hook": result.hook,
        "matched": result.matched,
        "amount": result.our_amount,
    }
    return {
        "id": f"evt_{engine.ids.new()}",
        "merchant": result.merchant,
        "subject": run_id,
        "seq": 0,
        "type": "reconciliation.closed",
        "occurred": now,
        "data": dump(data),
    }


__all__ = ["Class", "Difference", "Result", "reconcile_day"]
