"""Plugins of a test distribution, and what it takes to run the real runtime around them."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from marshmallow import fields

from gateway.runtime import Discovery, Runtime, discover, load_config, migrations
from gateway.runtime.discovery import DISTRIBUTION, Found
from gateway.sdk import (
    Adapter,
    AdapterError,
    AdapterTraits,
    Call,
    Charge,
    Declined,
    DeclineReason,
    Done,
    EmbeddedAdapter,
    Member,
    MemberLookup,
    Method,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    Page,
    Pending,
    Query,
    SecretField,
    Settings,
    Site,
    StatementRequest,
    StatementRow,
    StockReserve,
    Traits,
    hookimpl,
)
from gateway.sdk.transports.tcp import TcpConnection
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database

SITE = Site(store_id="s1", business_date=date(2026, 11, 22))
KEY = "0123456789ABCDEFGHJKMNPQRS"


class PayAdapter(Adapter):
    """Does what a request's ``subject`` says; ``port`` is a real host's, where it has to send something first."""

    name = "pay"
    about = AdapterTraits(max_parallel=2)
    traits: ClassVar = {"payment_charge": Traits(idempotent=True, max_in_flight_s=30)}

    class Settings(Settings):
        port = fields.Integer(load_default=0)
        key = SecretField()
        note = fields.String(load_default="")

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.release = threading.Event()
        self.running = 0
        self.most = 0
        self.closed = 0
        self.late_error: AdapterError | None = None
        self._lock = threading.Lock()

    @property
    def lazy(self) -> str:
        """A property that must not be read when the adapter is registered."""
        raise RuntimeError("read too early")

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Any:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if request.subject == "steps":
                return self._steps(call)
            return getattr(self, f"do_{request.subject}")(request)
        finally:
            with self._lock:
                self.running -= 1

    @hookimpl
    def payment_query(self, request: Query) -> Any:
        return NotFound(final=True)

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Any:
        return Page(items=(StatementRow(kind="charge", ref="1", amount=5),))

    @hookimpl
    def member_find(self, request: MemberLookup) -> Any:
        if request.store_id == "wrong":
            return "a member"
        return Member(ref=self.context.settings["note"]) if request.store_id != "nobody" else None

    def check(self) -> None:
        if self.context.settings["note"] == "broken":
            raise Misconfigured("settings.note: say something else")

    def close(self) -> None:
        self.closed += 1

    def do_done(self, request: Charge) -> Any:
        return Done(ref="T1", amount=request.amount)

    def do_declined(self, request: Charge) -> Any:
        return Declined(reason=DeclineReason.CODE_EXPIRED)

    def do_pending(self, request: Charge) -> Any:
        return Pending(ref="T1")

    def do_slow(self, request: Charge) -> Any:
        time.sleep(0.05)
        return Done()

    def do_hang(self, request: Charge) -> Any:
        self.release.wait(20)
        return Done(ref="late")

    def do_nothing(self, request: Charge) -> Any:
        return None

    def do_float(self, request: Charge) -> Any:
        return Done(amount=1.5)  # type: ignore[arg-type]

    def do_secret_fact(self, request: Charge) -> Any:
        return Done(facts={"code": request.auth_code})

    def do_not_found(self, request: Charge) -> Any:
        return NotFound()

    def do_key_error(self, request: Charge) -> Any:
        raise KeyError("secret-4711")

    def do_exit(self, request: Charge) -> Any:
        sys.exit(3)

    def do_base_error(self, request: Charge) -> Any:
        raise AdapterError("of no class")

    def do_unknown(self, request: Charge) -> Any:
        raise OutcomeUnknown("reset")

    def do_not_sent(self, request: Charge) -> Any:
        raise NotSent("refused")

    def do_not_supported(self, request: Charge) -> Any:
        raise NotSupported("no such thing")

    def do_misconfigured(self, request: Charge) -> Any:
        raise Misconfigured("settings.key: wrong")

    def do_send_then_misconfigured(self, request: Charge) -> Any:
        self._login()
        raise Misconfigured("settings.key: refused by the host")

    def do_send_then_not_supported(self, request: Charge) -> Any:
        self._login()
        raise NotSupported("the host does not know it")

    def do_send_late(self, request: Charge) -> Any:
        self.release.wait(20)
        return self._noted(self._login)

    def do_send_late_by_http(self, request: Charge) -> Any:
        self.release.wait(20)
        url = f"http://127.0.0.1:{self.context.settings['port']}/"
        return self._noted(lambda: self.context.http.send("POST", url, data=b"x", timeout=2))

    def do_network_error(self, request: Charge) -> Any:
        raise ConnectionResetError("raised by a driver of its own")

    def _steps(self, call: Call) -> Any:
        """Two messages; the second one comes when the caller has long given up."""
        with call.step("open", "r1"):
            pass
        self.release.wait(20)
        return self._noted(lambda: call.step("tender", "r2").__enter__())

    def _noted(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except AdapterError as error:
            self.late_error = error
            raise

    def _login(self) -> None:
        with TcpConnection("127.0.0.1", self.context.settings["port"], deadline=time.monotonic() + 2) as host:
            host.send(b"login\n")
            host.read_until(b"\n")


class HouseAdapter(EmbeddedAdapter):
    """Keeps its stock in the gateway's own database."""

    name = "house-test"
    migrations = (("house-test-1", "CREATE TABLE house_test (sku TEXT PRIMARY KEY, free INTEGER NOT NULL) STRICT"),)

    @hookimpl
    def stock_reserve(self, request: StockReserve, call: Call) -> Any:
        assert call.tx is not None
        if request.order_no == "bug":
            raise KeyError("a bug")
        call.tx.execute("INSERT INTO house_test (sku, free) VALUES (:sku, 1)", {"sku": request.order_no})
        return Done(ref=threading.current_thread().name)


def plugin(name: str, *adapters: type, distribution: str = DISTRIBUTION) -> Found:
    """A plugin module with these adapters, importable under a name of its own."""
    module = ModuleType(f"test_plugin_{name}")

    @hookimpl
    def o2o_adapters() -> Sequence[type]:
        return adapters

    module.o2o_adapters = o2o_adapters  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    return Found(name, module.__name__, distribution)


def found() -> Discovery:
    """The two adapters above."""
    return discover(entry_points=[plugin("pay", PayAdapter), plugin("house", HouseAdapter)])


MERCHANT = """
[merchant]
id = "{id}"
name = "Shop {id}"

[[stores]]
id = "s1"
name = "One"

[connections.pay]
adapter = "pay"
read_timeout_s = 0.4
grace_s = 0.05
settings = {{ note = "{id}", port = {port} }}

[connections.house]
adapter = "house-test"

[[routes]]
family = "payments"
connection = "pay"

[[routes]]
family = "membership"
connection = "pay"

[[routes]]
family = "stock"
connection = "house"
"""


def write_config(folder: Path, *merchants: str, port: int = 0) -> Path:
    """A configuration with these merchants; the file's path."""
    (folder / "merchants").mkdir(exist_ok=True)
    for name in merchants:
        (folder / "merchants" / f"{name}.toml").write_text(MERCHANT.format(id=name, port=port), encoding="utf-8")
    file = folder / "gateway.toml"
    file.write_text('data = "data"\nmerchants = ["merchants"]\n', encoding="utf-8")
    (folder / "data").mkdir(exist_ok=True)
    return file


@contextmanager
def running(file: Path, discovery: Discovery) -> Iterator[Runtime]:
    """A runtime on a real database file."""
    config = load_config(file, discovery)
    database = open_database(config.database.url)
    migrate(database, [Migration(*migration) for migration in migrations(discovery)])
    runtime = Runtime(config, discovery, database)
    try:
        yield runtime
    finally:
        runtime.close()
        database.close()


def database_of(runtime: Runtime) -> Database:
    return runtime._around.database


def charge(subject: str = "done", amount: int = 500) -> Charge:
    return Charge(amount=amount, currency="CNY", method=Method.QR_CODE, order_no="o1", subject=subject, site=SITE)


def call(seconds: float = 5.0, **fields_: Any) -> Call:
    return replace(Call(key=KEY, deadline=datetime.now(UTC) + timedelta(seconds=seconds)), **fields_)


def query(hook: str = "payment_charge") -> Query:
    return Query(hook=hook, key=KEY, request=charge(), sent_at=datetime.now(UTC))


@contextmanager
def host(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A real TCP host on loopback that serves connections one after the other; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    stop = threading.Event()

    def accept() -> None:
        while not stop.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            client.settimeout(5)
            with client, suppress(OSError):  # the client went away, which is what some tests want
                serve(client)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        thread.join(10)
        listener.close()
