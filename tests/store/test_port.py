"""What a unit may count on, on both databases alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.store.errors import StorageConflict, StorageMisuse
from gateway.store.migrate import migrate
from gateway.store.port import Database, Tx, open_database
from tests.store.conftest import SHOP
from tests.store.shop import free, sales, sell, value


class Refused(Exception):
    """A unit's own error."""


def test_counts_rows(database: Database) -> None:
    """Guards read the count: it must be that of the rows touched, whatever the form of the statement."""

    def unit(tx: Tx) -> tuple[int, ...]:
        return (
            tx.execute("UPDATE stock SET free = free + 0"),
            tx.execute("UPDATE stock SET free = 1 WHERE sku = :sku", {"sku": "none"}),
            tx.execute("INSERT INTO stock (sku, free) VALUES (:s, 1) ON CONFLICT (sku) DO NOTHING", {"s": "apple"}),
            tx.execute("INSERT INTO stock (sku, free) VALUES ('a', 1), ('b', 2) RETURNING sku"),
            tx.execute("DELETE FROM stock WHERE sku IN ('a', 'b')"),
            tx.execute_many("UPDATE stock SET free = :f WHERE sku = :s", [{"s": "apple", "f": 7}, {"s": "no", "f": 1}]),
            tx.execute_many("UPDATE stock SET free = :f WHERE sku = :s", []),
        )

    assert database.tx(unit) == (2, 0, 0, 2, 2, 1, 0)


def test_values_return_as_they_went(database: Database) -> None:
    """Types must not depend on the database: money stays an int to the last digit, bytes stay bytes."""
    went: dict[str, Any] = {
        "n": -(2**63),
        "t": "退款 'x' 100% :y \\",
        "b": bytes(range(256)),
        "r": 31.2304,
        "z": None,
        "y": True,
    }

    def unit(tx: Tx) -> dict[str, Any]:
        tx.execute("INSERT INTO stock (sku, free) VALUES ('big', :n)", {"n": 2**63 - 1})
        tx.execute("INSERT INTO sale (sku, buyer, note, paid, weight) VALUES ('big', :t, :z, :b, :r)", went)
        row = tx.one("SELECT buyer, note, paid, weight FROM sale")
        assert row is not None and list(row.keys()) == ["buyer", "note", "paid", "weight"]
        return dict(row)

    assert database.tx(unit) == {"buyer": went["t"], "note": None, "paid": went["b"], "weight": 31.2304}
    assert value(database, "SELECT free AS n FROM stock WHERE sku = 'big'") == 2**63 - 1


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT SUM(free) AS n FROM stock", 101),
        ("SELECT AVG(free) AS n FROM stock", 50.5),
        ("SELECT SUM(free) AS n FROM stock WHERE free < 0", None),
        ("SELECT COUNT(*) AS n FROM stock", 2),
        ("SELECT free = 1 AS n FROM stock WHERE sku = 'pear'", 1),
        ("SELECT CAST(:x AS TEXT) IS NULL AS n", 1),
        ("SELECT :x || ':x' || '%s%%' AS n", None),
        ("SELECT 'it''s :x 100%' AS n -- :not a parameter", "it's :x 100%"),
        ("SELECT sku AS n FROM stock WHERE sku LIKE 'p%'", "pear"),
        ("SELECT 7 % 4 AS n", 3),
        ("WITH few AS (SELECT sku FROM stock WHERE free < 5) SELECT sku AS n FROM few", "pear"),
        ("SELECT sku AS n FROM stock WHERE sku = 'pear' FOR UPDATE SKIP LOCKED", "pear"),
        ("SELECT 'FOR UPDATE' AS n", "FOR UPDATE"),
        (
            "SELECT s AS n FROM (SELECT 'a' AS s UNION ALL SELECT 'B' UNION ALL SELECT '中') AS x ORDER BY s LIMIT 1",
            "B",
        ),
    ],
)
def test_one_text_means_the_same(database: Database, sql: str, expected: object) -> None:
    """One SQL text serves both databases: same value, same Python type."""
    row = database.tx(lambda tx: tx.one(sql, {"x": None} if ":x" in sql else {}))
    assert row is not None
    assert (row["n"], type(row["n"])) == (expected, type(expected))


def test_failed_unit_leaves_nothing_and_keeps_its_error(database: Database) -> None:
    """An exception rolls back its unit alone and comes to its caller as it is."""
    refused = Refused("no")

    def unit(tx: Tx) -> None:
        sell("apple", "ann")(tx)
        raise refused

    with pytest.raises(Refused) as caught:
        database.tx(unit)
    assert caught.value is refused
    assert (free(database, "apple"), sales(database)) == (100, 0)
    assert database.tx(sell("apple", "ann"))


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("INSERT INTO stock (sku, free) VALUES ('apple', 1)", "unique"),
        ("UPDATE stock SET free = -1", "check"),
        ("INSERT INTO sale (sku, buyer) VALUES ('none', 'ann')", "foreign key"),
        ("INSERT INTO sale (sku, buyer) VALUES ('apple', NULL)", "not null"),
        ("INSERT INTO stock (sku, free) VALUES ('x', 'many')", "type"),
    ],
)
def test_broken_rule_is_named(database: Database, sql: str, rule: str) -> None:
    """Every rule of the schema is enforced and told apart, foreign keys (off by default in SQLite) included."""
    with pytest.raises(StorageConflict) as caught:
        database.tx(lambda tx: tx.execute(sql))
    assert caught.value.rule == rule


def test_unit_cannot_go_on_after_an_error(database: Database) -> None:
    """PostgreSQL gives the transaction up at the first error; a unit that hides one must not succeed on SQLite."""

    def unit(tx: Tx) -> None:
        sell("apple", "ann")(tx)
        try:
            tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 1)")
        except StorageConflict:
            return

    with pytest.raises(StorageConflict):
        database.tx(unit)
    assert sales(database) == 0


@pytest.mark.parametrize(
    "sql", ["COMMIT", "  -- a comment\n BEGIN", "/* x */ rollback", "SELEC 1", "SELECT * FROM nothing"]
)
def test_wrong_sql_is_misuse(database: Database, sql: str) -> None:
    """A bug in SQL, or a word that would end the port's own transaction, is told as our mistake."""
    with pytest.raises(StorageMisuse):
        database.tx(lambda tx: tx.execute(sql))
    assert database.tx(sell("apple", "ann"))


def test_missing_parameter_is_misuse(database: Database) -> None:
    """A forgotten parameter must not become NULL."""
    with pytest.raises(StorageMisuse):
        database.tx(lambda tx: tx.execute("UPDATE stock SET free = :free", {"fre": 1}))


def test_transaction_ends_with_its_unit(database: Database) -> None:
    """A transaction that is kept would write outside of any unit."""
    kept = database.tx(lambda tx: tx)
    with pytest.raises(StorageMisuse):
        kept.execute("UPDATE stock SET free = 0")
    assert free(database, "apple") == 100


def test_units_do_not_nest(database: Database) -> None:
    """A unit inside a unit would wait for itself."""
    with pytest.raises(StorageMisuse):
        database.tx(lambda _: database.tx(sell("apple", "ann")))
    with pytest.raises(StorageMisuse):
        database.tx(lambda _: database.read(lambda tx: tx.one("SELECT 1 AS n")))
    assert database.tx(sell("apple", "ann"))


def test_reader_sees_one_moment_and_stops_nobody(database: Database) -> None:
    """A report must add up while checkouts go on, and checkouts must not wait for it."""

    def report(tx: Tx) -> tuple[Any, Any]:
        before = tx.one("SELECT free AS n FROM stock WHERE sku = 'apple'")
        writer = threading.Thread(target=database.tx, args=(sell("apple", "ann"),))
        writer.start()
        writer.join(3)
        assert not writer.is_alive(), "the writer waited for the reader"
        after = tx.one("SELECT free AS n FROM stock WHERE sku = 'apple'")
        assert before is not None and after is not None
        return before["n"], after["n"]

    assert database.read(report) == (100, 100)
    assert free(database, "apple") == 99


def test_reader_does_not_wait_for_a_writer(database: Database) -> None:
    """A page of the console must not hang on a slow import."""
    inside, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        tx.execute("UPDATE stock SET free = 50 WHERE sku = 'apple'")
        inside.set()
        go_on.wait(5)

    writer = threading.Thread(target=database.tx, args=(slow,))
    writer.start()
    assert inside.wait(5)
    started = time.monotonic()
    assert free(database, "apple") == 100
    assert time.monotonic() - started < 1
    go_on.set()
    writer.join(5)
    assert free(database, "apple") == 50


def test_reader_must_not_write(database: Database) -> None:
    """``read`` is not a way round the group commit."""
    with pytest.raises(StorageMisuse):
        database.read(lambda tx: tx.execute("UPDATE stock SET free = 0"))
    assert free(database, "apple") == 100


def test_guarded_write_is_exact(database: Database) -> None:
    """16 threads, one pear: one wins, and nobody gets an error."""
    won: list[bool] = []
    _run_threads(16, lambda number: won.append(database.tx(sell("pear", f"buyer {number}"))))
    assert (won.count(True), len(won), free(database, "pear"), sales(database)) == (1, 16, 0, 1)


def test_lock_makes_reading_first_exact(database: Database) -> None:
    """Where a unit must read before it decides, ``lock`` keeps others out of the same matter."""

    def unit(tx: Tx) -> None:
        tx.lock("stock of apples")
        row = tx.one("SELECT free FROM stock WHERE sku = 'apple'")
        assert row is not None
        tx.execute("UPDATE stock SET free = :free WHERE sku = 'apple'", {"free": row["free"] - 1})

    def many(_: int) -> None:
        for _ in range(5):
            database.tx(unit)

    _run_threads(8, many)
    assert free(database, "apple") == 60


def test_grouped_units_are_serialised(grouped_url: str, opened: Callable[..., Database]) -> None:
    """Two lanes, as of two processes: where units are grouped, even one that reads first without a lock is exact."""
    lanes = [opened(grouped_url) for _ in range(2)]
    migrate(lanes[0], [SHOP])
    lanes[0].tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 100)"))

    def careless(tx: Tx) -> None:
        row = tx.one("SELECT free FROM stock WHERE sku = 'apple'")
        assert row is not None
        tx.execute("UPDATE stock SET free = :free WHERE sku = 'apple'", {"free": row["free"] - 1})

    def many(number: int) -> None:
        for _ in range(10):
            lanes[number % 2].tx(careless)

    _run_threads(8, many)
    assert free(lanes[0], "apple") == 20


def test_health_tells_what_it_is(database: Database) -> None:
    """``/readyz`` shows the dialect, the version and that nothing is amiss."""
    health = database.health()
    assert (health.dialect, health.ok, health.error, health.low) == (database.dialect, True, "", False)
    assert health.version and health.database_bytes
    assert not database.storage_low()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:relative.db", "nonsense"])
def test_unknown_database_is_refused(url: str) -> None:
    """A typing error in the settings is told at once."""
    with pytest.raises(StorageMisuse, match="unknown database"):
        open_database(url)


def test_unknown_setting_is_refused(grouped_url: str) -> None:
    """A misspelt setting must not be ignored."""
    with pytest.raises(StorageMisuse, match="busy_second"):
        open_database(grouped_url, busy_second=1)


def _run_threads(count: int, work: Any) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failures, failures
