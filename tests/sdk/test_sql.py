"""Databases of others: what was read, what was written, and what nobody knows after a lost answer."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.sdk import InvalidReply, Misconfigured, NotSent, OutcomeUnknown, Secret
from gateway.sdk.transports import sql_drivers, wire
from gateway.sdk.transports.claims import TABLE, Claims, Closed
from gateway.sdk.transports.sql import Database, Driver, Duplicate, classify, translate
from gateway.testing.postgres import PostgresServer
from tests.sdk.kit import exceptions_of, make
from tests.sdk.mariadb import MariaDb

SALES = "CREATE TABLE sale (no INTEGER PRIMARY KEY, name VARCHAR(40), amount DECIMAL(12,2))"
KINDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.slow),
]


def sqlite_driver(tmp_path: Path) -> Driver:
    path = tmp_path / "pos.db"
    sqlite3.connect(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS made (x)")
    return sql_drivers.sqlite(path)


def mysql_driver(server: MariaDb, **options: Any) -> Driver:
    return sql_drivers.mysql("127.0.0.1", "pos", "o2o", Secret("secret"), port=server.port, **options)


@pytest.fixture(params=KINDS)
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_driver(tmp_path)
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return sql_drivers.postgres(server.new_database())
    maria: MariaDb = request.getfixturevalue("mariadb_server")
    found = mysql_driver(maria, transactional=True)
    with Database(found).write(5) as session:
        for table in ("sale", "o2o_claim", "pending", "raw"):
            session.execute(f"DROP TABLE IF EXISTS {table}")
    return found


@pytest.fixture
def shop(driver: Driver) -> Database:
    database = Database(driver)
    with database.write(5) as session:
        session.execute(SALES)
        session.execute(TABLE)
        session.execute(
            "INSERT INTO sale VALUES (1, :name, :amount)",
            name="茶 100% :x",
            amount=Decimal("12.30") if driver.named != ":{}" else "12.30",
        )
    return database


def count(database: Database) -> int:
    with database.read(5) as session:
        row = session.one("SELECT COUNT(*) AS n FROM sale")
    assert row is not None
    return int(row["n"])


def test_rows_come_back_by_name_and_parameters_are_bound(shop: Database) -> None:
    """A guest's name with a quote, a percent sign or a colon is a value and no part of the statement."""
    evil = "x'); DROP TABLE sale; -- %s %(a)s :a"
    with shop.write(5) as session:
        assert session.execute("INSERT INTO sale VALUES (:no, :name, NULL)", no=2, name=evil) == 1
    with shop.read(5) as session:
        rows = session.all(
            "SELECT no, name, amount FROM sale WHERE name <> ':nobody 5%' AND no >= :no ORDER BY no", no=1
        )
        assert [row["name"] for row in rows] == ["茶 100% :x", evil]
        assert Decimal(str(rows[0]["amount"])) == Decimal("12.30")
        assert session.all("SELECT 1 AS one WHERE 'a%' LIKE 'a%'") == [{"one": 1}]
        assert session.one("SELECT no FROM sale WHERE no = :no", no=99) is None


def test_what_fails_before_the_commit_has_no_effect(shop: Database) -> None:
    with pytest.raises(RuntimeError), shop.write(5) as session:
        session.execute("INSERT INTO sale VALUES (2, 'a', 1)")
        raise RuntimeError
    with pytest.raises(Duplicate), shop.write(5) as session:
        session.execute("INSERT INTO sale VALUES (2, 'a', 1)")
        session.execute("INSERT INTO sale VALUES (1, 'b', 1)")
    with pytest.raises(NotSent), shop.write(5) as session:
        session.execute("INSERT INTO sale VALUES (2, 'a', 1)")
        session.execute("INSERT INTO no_such_table VALUES (1)")
    assert count(shop) == 1


def test_a_reader_cannot_write(shop: Database) -> None:
    """A report that changes a till's books by mistake is what its owner fears most."""
    with pytest.raises((NotSent, Misconfigured)), shop.read(5) as session:
        session.execute("DELETE FROM sale")
    assert count(shop) == 1


def test_a_statement_ends_when_its_time_is_up(shop: Database, driver: Driver) -> None:
    """A slow report must not hold the checkout, nor go on at the till after we have given up."""
    slow = {
        "PostgreSQL": "SELECT pg_sleep(20)",
        "MySQL": "SELECT SLEEP(20)",
    }.get(driver.name, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n")
    began = time.monotonic()
    try:
        with shop.read(0.3) as session:
            session.all(slow)
            assert driver.name == "MySQL"  # SLEEP ends early there, and says so in its answer only
    except NotSent:
        pass
    assert time.monotonic() - began < 2


def test_nothing_is_sent_when_the_caller_has_given_up(shop: Database) -> None:
    wire.begin(time.monotonic() - 1)
    with pytest.raises(NotSent, match="given up"), shop.write(5) as session:
        session.execute("INSERT INTO sale VALUES (2, 'a', 1)")
    wire.begin()
    assert count(shop) == 1
    with pytest.raises(NotSent, match="no time left"), shop.write(0):
        pass


def test_a_write_is_not_repeated_under_one_number(shop: Database) -> None:
    claims = Claims(shop)

    def change(session: Any) -> dict[str, int]:
        session.execute("INSERT INTO sale VALUES (7, '茶', 3)")
        return {"no": 7}

    assert claims.once("K1", change, seconds=5).content == {"no": 7}
    again = claims.once("K1", change, seconds=5)
    assert (again.content, again.again) == ({"no": 7}, True)
    assert count(shop) == 2
    with pytest.raises(Duplicate):  # its own unique number is taken: a refusal, and nothing stays claimed
        claims.once("K2", change, seconds=5)
    assert claims.find("K2", seconds=5) is None
    assert claims.close("K1", seconds=5) is not None
    assert claims.close("K3", seconds=5) is None
    assert claims.close("K3", seconds=5) is None
    with pytest.raises(Closed):
        claims.once("K3", change, seconds=5)


class LostCommit:
    """Stands between us and a server, and drops the answer to the commit, after or before it is carried out."""

    def __init__(self, connect: Callable[[], socket.socket], *, carried_out: bool) -> None:
        self._connect, self.carried_out = connect, carried_out
        self.armed = False
        self._swallow, self._swallowed = threading.Event(), threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, self._connect() as server:
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            while data := _received(client):
                if self.armed and b"COMMIT" in data:
                    if self.carried_out:
                        self._swallowed.clear()
                        self._swallow.set()
                        server.sendall(data)
                        self._swallowed.wait(5)
                    client.shutdown(socket.SHUT_RDWR)
                    break
                server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            if self._swallow.is_set():  # the answer to the commit: it is carried out
                self._swallow.clear()
                self._swallowed.set()
                return
            try:
                client.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._server.close()


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(65536)
    except OSError:
        return b""


def unix_postgres(server: PostgresServer) -> tuple[str, Callable[[], socket.socket]]:
    """A new database's address, and what connects to its server's socket."""
    url = server.new_database()
    folder = Path(parse_qs(urlsplit(url).query)["host"][0])
    name = str(next(folder.glob(".s.PGSQL.*[0-9]")))

    def connect() -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        line.connect(name)
        return line

    return url, connect


def through(url: str, port: int) -> str:
    """The same database, by a port of this machine."""
    return f"postgresql://postgres@127.0.0.1:{port}{urlsplit(url).path}?gssencmode=disable&sslmode=disable"


@contextmanager
def behind(
    driver_kind: str, request: pytest.FixtureRequest, *, carried_out: bool
) -> Iterator[tuple[Database, Database, LostCommit]]:
    """A database seen directly, and through a line that loses the answer to a commit."""
    if driver_kind == "postgresql":
        url, connect = unix_postgres(request.getfixturevalue("postgres_server"))
        line = LostCommit(connect, carried_out=carried_out)
        pair = sql_drivers.postgres(url), sql_drivers.postgres(through(url, line.port))
    else:
        maria = request.getfixturevalue("mariadb_server")
        line = LostCommit(lambda: socket.create_connection(("127.0.0.1", maria.port)), carried_out=carried_out)
        direct = mysql_driver(maria, transactional=True)
        pair = (
            direct,
            sql_drivers.mysql("127.0.0.1", "pos", "o2o", Secret("secret"), port=line.port, transactional=True),
        )
        with Database(direct).write(5) as session:
            session.execute("DROP TABLE IF EXISTS sale")
            session.execute("DROP TABLE IF EXISTS o2o_claim")
    try:
        with Database(pair[0]).write(5) as session:
            session.execute(SALES)
            session.execute(TABLE)
        yield Database(pair[0]), Database(pair[1]), line
    finally:
        line.close()


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("carried_out", [True, False])
def test_a_lost_commit_is_looked_up_by_its_number(kind: str, carried_out: bool, request: pytest.FixtureRequest) -> None:
    """Sent and not answered: the row may be in the till's books. Guessing either way is money."""
    with behind(kind, request, carried_out=carried_out) as (direct, by_line, line):
        line.armed = True
        with pytest.raises(OutcomeUnknown), by_line.write(3) as session:
            session.execute("INSERT INTO sale VALUES (1, 'a', 1)")
        assert count(direct) == (1 if carried_out else 0)

        def change(session: Any) -> int:
            return int(session.execute("INSERT INTO sale VALUES (2, 'b', 1)"))

        if carried_out:
            assert Claims(by_line).once("K1", change, seconds=3).content == 1
        else:
            with pytest.raises(OutcomeUnknown):
                Claims(by_line).once("K1", change, seconds=3)
            assert Claims(direct).close("K1", seconds=3) is None  # from now on, not found is final
        assert count(direct) == (2 if carried_out else 0)


@pytest.mark.postgres
def test_a_server_that_stops_answering_is_bounded(postgres_server: PostgresServer) -> None:
    """A process that hangs keeps its sockets open: no network time-out ever fires."""
    url, connect = unix_postgres(postgres_server)
    silent = LostCommit(connect, carried_out=True)
    database = Database(sql_drivers.postgres(through(url, silent.port)))
    began = time.monotonic()
    with pytest.raises(NotSent), database.read(0.5) as session:
        session.all("SET LOCAL statement_timeout = 0; SELECT pg_sleep(20)")
    assert time.monotonic() - began < 3
    silent.close()


def test_gbk_that_stands_raw_in_an_sqlite_file(tmp_path: Path) -> None:
    """Old tills write GBK into whatever they are given, and cut names through the middle of a character."""
    path = tmp_path / "gbk.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE item (name TEXT, price REAL)")
        connection.execute("INSERT INTO item VALUES (CAST(? AS TEXT), 1.5)", ("海底捞".encode("gbk")[:5] + b"  ",))
        connection.commit()
    database = Database(sql_drivers.sqlite(path, raw_text=True), encoding="gb18030")
    with database.read(1) as session:
        assert session.all("SELECT * FROM item") == [{"name": "海底", "price": 1.5}]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE item SET name = CAST(? AS TEXT)", (b"\xff\xff\xffabcdef",))
        connection.commit()
    with pytest.raises(InvalidReply), database.read(1) as session:
        session.all("SELECT * FROM item")


@pytest.mark.slow
def test_gbk_in_latin1_columns_and_in_gbk_columns(mariadb_server: MariaDb) -> None:
    """Both ways, with characters whose second byte is a backslash or a quote's neighbour."""
    plain = Database(mysql_driver(mariadb_server))
    raw = Database(mysql_driver(mariadb_server, raw_text=True), encoding="gb18030")
    names = ["海底捞", "誠' \\ \"", "珅\\", "a%b:c"]
    with plain.write(5) as session:
        session.execute("DROP TABLE IF EXISTS raw")
        session.execute(
            "CREATE TABLE raw (no INT, old VARCHAR(40) CHARACTER SET latin1, gbk VARCHAR(40) CHARACTER SET gbk,"
            " price DECIMAL(9,2), at DATETIME)"
        )
    with raw.write(5) as session:
        for no, name in enumerate(names):
            session.execute(
                "INSERT INTO raw (no, old, price, at) VALUES (:no, :name, 1.50, '2014-03-08 23:30:00')",
                no=no,
                name=name,
            )
    with raw.read(5) as session:
        rows = session.all("SELECT old, price, at FROM raw ORDER BY no")
        assert [row["old"] for row in rows] == names
        assert rows[0]["price"] == Decimal("1.50")
        assert rows[0]["at"].hour == 23
        assert session.one("SELECT no FROM raw WHERE old = :name", name="珅\\") == {"no": 2}
    with plain.write(5) as session:
        session.execute("UPDATE raw SET gbk = :name WHERE no = 0", name="海底捞")
    with plain.read(5) as session:
        assert session.one("SELECT HEX(gbk) AS h, gbk FROM raw WHERE no = 0") == {
            "h": "海底捞".encode("gbk").hex().upper(),
            "gbk": "海底捞",
        }


@pytest.mark.slow
def test_tables_that_do_not_roll_back(mariadb_server: MariaDb) -> None:
    """MyISAM keeps what an undone transaction wrote: nobody may call that not sent."""
    database = Database(mysql_driver(mariadb_server))
    with database.write(5) as session:
        session.execute("DROP TABLE IF EXISTS old_table")
        session.execute("CREATE TABLE old_table (no INT) ENGINE=MyISAM")
    with pytest.raises(OutcomeUnknown, match="may not roll back"), database.write(5) as session:
        session.execute("INSERT INTO old_table VALUES (1)")
        session.execute("INSERT INTO no_such_table VALUES (1)")
    with database.read(5) as session:
        assert session.all("SELECT no FROM old_table") == [{"no": 1}]
        assert {"name": "old_table"} in session.all(sql_drivers.TABLES_WITHOUT_TRANSACTIONS)


def test_where_nobody_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pytest.importorskip("pymysql")
    pytest.importorskip("pytds")
    drivers = [
        sql_drivers.sqlite(tmp_path / "none.db"),
        sql_drivers.postgres(f"host=127.0.0.1 port={port} user=u dbname=d"),
        sql_drivers.mysql("127.0.0.1", "d", "u", Secret("p"), port=port),
        sql_drivers.mssql("127.0.0.1", "d", "u", Secret("p"), port=port),
    ]
    for driver in drivers:
        with pytest.raises(NotSent):
            Database(driver).check(1)
    assert wire.sends() == 0
    assert not (tmp_path / "none.db").exists()


@pytest.mark.slow
def test_a_wrong_password_is_a_setting(mariadb_server: MariaDb) -> None:
    driver = sql_drivers.mysql("127.0.0.1", "pos", "o2o", Secret("wrong-secret"), port=mariadb_server.port)
    with pytest.raises(Misconfigured) as caught:
        Database(driver).check(2)
    assert "wrong-secret" not in str(caught.value)


def modules_of(name: str) -> tuple[Driver, list[object]]:
    if name == "psycopg":
        psycopg = pytest.importorskip("psycopg")
        return sql_drivers.postgres(""), [psycopg, psycopg.errors]
    if name == "pymysql":
        pymysql = pytest.importorskip("pymysql")
        return sql_drivers.mysql("", "", "", Secret(""), transactional=True), [pymysql, pymysql.err]
    if name == "pytds":
        return sql_drivers.mssql("", "", "", Secret("")), [
            pytest.importorskip("pytds"),
            pytest.importorskip("pytds.tds_base"),
        ]
    return sql_drivers.sqlite(Path("x")), [sqlite3]


@pytest.mark.parametrize("name", ["sqlite3", "psycopg", "pymysql", "pytds"])
def test_every_exception_class_of_the_libraries(name: str) -> None:
    """Before the commit nothing has an effect; at the commit only the server's own refusal says so."""
    driver, modules = modules_of(name)
    classes = [cls for cls in exceptions_of(*modules) if cls.__name__ != "Rollback"]  # that one asks, and never fails
    assert len(classes) > 5
    for cls in classes:
        error = make(cls)
        assert isinstance(error, driver.failures()), f"{cls} would escape as itself"
        for stage in ("connect", "read", "work"):
            assert isinstance(classify(driver, error, stage), NotSent)  # type: ignore[arg-type]
        assert isinstance(classify(replace(driver, rolls_back=False), error, "work"), OutcomeUnknown)
        expected = NotSent if driver.refused(error) else OutcomeUnknown
        assert type(classify(driver, error, "commit")) is expected


def test_only_a_refusal_by_the_server_itself_undoes_a_commit() -> None:
    psycopg = pytest.importorskip("psycopg")
    driver = sql_drivers.postgres("")
    refused = {cls.__name__ for cls in exceptions_of(psycopg.errors) if driver.refused(make(cls))}
    assert {"SerializationFailure", "DeadlockDetected", "UniqueViolation"} <= refused
    assert "StatementCompletionUnknown" not in refused
    assert "OperationalError" not in refused
    assert not any("Connection" in name or "Shutdown" in name for name in refused)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("a = :a", "a = %(a)s"),
        ("':a' || \":b\" || `:c`", "':a' || \":b\" || `:c`"),
        ("x::text LIKE '5%' AND t = ':10:30'", "x::text LIKE '5%%' AND t = ':10:30'"),
        ("1 % 2 -- :c\n:d /* :e */", "1 %% 2 -- :c\n%(d)s /* :e */"),
        ("'it''s :a' :b", "'it''s :a' %(b)s"),
    ],
)
def test_parameters_are_found_outside_of_texts(sql: str, expected: str) -> None:
    assert translate(sql, "%({})s") == expected
    assert translate(sql, ":{}") == sql
