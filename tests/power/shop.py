"""A shop on a disk that forgets: the real engine and store, twice as two worker processes would, and its customers."""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from gateway.engine.caller import RuntimeCaller
from gateway.engine.checkouts import Checkouts
from gateway.engine.problems import Problem
from gateway.engine.refunds import Refunds
from gateway.engine.replies import Reply
from gateway.engine.seams import SystemClock, TimeOrderedIds
from gateway.engine.service import Asked, Engine
from gateway.runtime import Runtime, discover, load_config, migrations
from gateway.runtime.discovery import Discovery, Found, find
from gateway.runtime.gateway_config import GatewayConfig
from gateway.store.driver import Connect, connect
from gateway.store.errors import StorageError
from gateway.store.migrate import Migration, migrate
from gateway.store.schema import MIGRATIONS
from gateway.store.sqlite import SqliteDatabase
from tests.engine.conftest import PHONE, SHOP, seed
from tests.engine.kit import FAST
from tests.power.disk import Disk

FILE = "gateway.db"
_CONNECTION = '[connections.wallet]\nadapter = "power-wallet"\nbreaker_open_s = 0.01\n'
_START = SHOP.index("[connections.alipay]")
_END = SHOP.index("[[routes]]")


class Clock:
    """The machine's clock, that waiting puts forward instead of taking time."""

    def __init__(self) -> None:
        self._system, self._ahead = SystemClock(), 0.0

    def now(self) -> int:
        return self._system.now() + int(self._ahead)

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now() / 1000, UTC)

    def sleep(self, seconds: float) -> None:
        self._ahead += seconds * 1000


@cache
def discovery() -> Discovery:
    """The house, and the wallet of these tests."""
    house = [found for found in find() if found.name == "house"]
    return discover(("house", "power-wallet"), [*house, Found("power-wallet", "tests.power.wallet", "o2o-power")])


def configured(folder: Path, books: str) -> GatewayConfig:
    """The shop's configuration, its wallet the one of that name."""
    text = SHOP[:_START] + _CONNECTION + f'[connections.wallet.settings]\nbooks = "{books}"\n' + SHOP[_END:]
    (folder / "merchants").mkdir()
    (folder / "merchants" / "m1.toml").write_text(text.replace('"alipay"', '"wallet"'), encoding="utf-8")
    file = folder / "gateway.toml"
    plugins = '[plugins]\nallow = ["house", "power-wallet"]\n'
    file.write_text(f'data = "data"\nmerchants = ["merchants/*.toml"]\n{plugins}', encoding="utf-8")
    return load_config(file, discovery())


@cache
def furnished() -> bytes:
    """A database's file with the schema, a member, and goods; it is made once, every machine begins with a copy."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        _furnish(path)
        return path.read_bytes()


def _furnish(path: Path) -> None:
    database = SqliteDatabase(path, ballast_bytes=0, connect=connect)
    migrate(database, [Migration(*pair) for pair in (*MIGRATIONS, *migrations(discovery()))])
    database.tx(seed)
    database.tx(lambda tx: tx.execute("UPDATE house_stock SET on_hand = 100000000"))
    database.tx(lambda tx: tx.execute("UPDATE house_members SET points = 50000000, real = 100000000"))
    database.close()


@dataclass
class Process:
    """What one worker process has: its connections, its engine."""

    database: SqliteDatabase
    runtime: Runtime
    engine: Engine

    def close(self) -> None:
        self.runtime.close()
        self.database.close()


def process(config: GatewayConfig, path: Path, opens: Connect, clock: Clock, busy_seconds: float) -> Process:
    """A worker process on the file."""
    database = SqliteDatabase(path, connect=opens, ballast_bytes=0, low_water_bytes=0, busy_seconds=busy_seconds)
    runtime = Runtime(config, discovery(), database, clock.moment)
    engine = Engine(runtime, database, RuntimeCaller(runtime, clock, 2, clock.moment), clock, TimeOrderedIds(), FAST)
    engine.worker.sleep = clock.sleep
    return Process(database, runtime, engine)


@dataclass
class Customers:
    """Buys, gives back, and remembers every answer that came while there was power."""

    rng: random.Random
    replies: dict[str, Reply] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    count: Any = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def visit(self, disk: Disk, processes: list[Process], each: int) -> None:
        """Three threads a process, ``each`` checkouts a thread; comes back when all have ended, or the power is off."""
        kinds = [[self.rng.choice(_KINDS) for _ in range(each)] for _ in range(3 * len(processes))]
        with ThreadPoolExecutor(len(kinds)) as pool:
            for number, mine in enumerate(kinds):
                pool.submit(self._buy_all, disk, processes[number % len(processes)].engine, mine)

    def _buy_all(self, disk: Disk, engine: Engine, kinds: list[Callable[[], dict[str, Any]]]) -> None:
        for kind in kinds:
            number = f"P-{next(self.count)}"
            request = {"store_id": "s1", "order_no": number, **kind()}
            reply = self._ask(disk, lambda: Checkouts(engine).create(_asked(number), request))  # noqa: B023
            if reply is None:
                continue
            self._keep(disk, number, reply)
            if reply.status == 201 and zlib.crc32(number.encode()) % 4 == 0:
                sold = json.loads(reply.body)["id"]
                back = self._ask(disk, lambda: Refunds(engine).create(_asked("R-" + number), sold, _refund(number)))  # noqa: B023
                if back is not None:
                    self._keep(disk, "R-" + number, back)

    def _ask(self, disk: Disk, ask: Callable[[], Reply]) -> Reply | None:
        try:
            return ask()
        except (Problem, StorageError) as problem:
            self.problems[problem.slug if isinstance(problem, Problem) else type(problem).__name__] += 1
            return None
        except Exception as error:
            if not disk.off:
                self.errors.append(error)
            return None

    def _keep(self, disk: Disk, key: str, reply: Reply) -> None:
        """A reply counts as given only if there was still power after it was made."""
        if not disk.off:
            with self.lock:
                self.replies[key] = reply


def _asked(key: str) -> Asked:
    return Asked("m1", key, f"fp-{key}")


def _refund(number: str) -> dict[str, Any]:
    return {"refund_no": f"R-{number}"}


def _everything() -> dict[str, Any]:
    """Stock, points, stored value, the wallet, the till, points earned."""
    tenders = [{"method": "stored_value", "amount": 200}, _code()]
    return {"lines": _LINE, "member": {"type": "phone", "value": PHONE}, "points": 100, "tenders": tenders}


def _embedded() -> dict[str, Any]:
    """All in the house: one transaction."""
    tenders = [{"method": "stored_value", "amount": 200}, {"method": "cash"}]
    return {"lines": _LINE, "member": {"type": "phone", "value": PHONE}, "points": 100, "tenders": tenders}


def _by_wallet() -> dict[str, Any]:
    return {"lines": _LINE, "tenders": [_code()]}


def _code() -> dict[str, Any]:
    return {"method": "payment_code", "auth_code": "281234567890123456"}


_LINE = [{"line_id": "B", "sku": "B", "quantity": "1"}]
_KINDS = (_everything, _everything, _embedded, _by_wallet)
