"""A street of shops in processes of their own: legacy systems, and the gateway under gunicorn with its recovery."""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import requests

from gateway.demo.stage import SECRETS, SYSTEMS, Stage, System, free_port
from gateway.folders import config_folder
from gateway.store.port import Database, open_database
from tests.engine.conftest import SHOP, seed

#: The engine's times on the street, in seconds: a lease of two, everything else to match.
TIMES = {
    "lease_s": 2.0,
    "call_s": 1.5,
    "hold_s": 3.0,
    "pay_s": 6.0,
    "backoff_first_s": 0.05,
    "backoff_most_s": 1.0,
    "post_patience_s": 1.0,
    "task_after_s": 8.0,
    "watch_s": 4.0,
    "inline_s": 6.0,
    "recovery_every_s": 0.2,
    "scale": 0.02,
}
ENDED = ("completed", "failed", "cancelled", "succeeded", "released", "held")


@dataclass
class Street(Stage):
    """The stage with some of its systems, a shop ``m1`` on the house and a wallet, and short times."""

    names: Sequence[str] = ("alipay",)
    merchants: Sequence[str] = ()
    times: Mapping[str, float] = field(default_factory=lambda: TIMES)
    database_url: str = ""
    workers: int = 2
    logs: list[TextIO] = field(default_factory=list)

    @property
    def crash_folder(self) -> Path:
        return self.data / "crash"

    @property
    def store(self) -> Path:
        return self.data / "gateway" / "gateway.db"

    def set_up(self, tell: Any = None) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.crash_folder.mkdir(exist_ok=True)
        os.environ.update(SECRETS)
        os.environ["GATEWAY_CRASH_AT"] = str(self.crash_folder)
        for name in self.names:
            self.systems[name] = self._start_system(name, SYSTEMS[name])
        self._write_config()
        self._prepare_database(lambda *_: None)
        self._seed()
        self._start_gateway()

    def _write_config(self) -> None:
        folder = self.config_file.parent / "merchants"
        folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        shop = SHOP.replace('"APP"', '"@alipay.app_id@"').replace("SELLER", "@alipay.seller_id@")
        shop = shop.replace("timeout_s = 1.0", "timeout_s = 1.0\nwait_minutes = 1")
        for role in ("gateway", "data"):
            shop = shop.replace(f"<alipay.{role}>", f"@alipay.{role}@")
        (folder / "m1.toml").write_text(_patient(self._with_addresses(shop)), encoding="utf-8")
        for name in self.merchants:
            text = (config_folder() / "demo" / f"{name}.toml").read_text(encoding="utf-8")
            (folder / f"{name}.toml").write_text(_patient(self._with_addresses(text)), encoding="utf-8")
        times = "\n".join(f"{name} = {value}" for name, value in self.times.items())
        database = f'[database]\nurl = "{self.database_url}"\n' if self.database_url else ""
        self.config_file.write_text(
            f'data = "../gateway"\nmerchants = ["merchants/*.toml"]\n{database}'
            f"[server]\nport = {self.port}\nconsole_port = 0\nworkers = {self.workers}\n[engine]\n{times}\n",
            encoding="utf-8",
        )

    def _with_addresses(self, text: str) -> str:
        who = json.loads((self.systems["alipay"].data / "merchant.json").read_text(encoding="utf-8"))
        text = text.replace("@alipay.app_id@", who["app_id"]).replace("@alipay.seller_id@", who["seller_id"])
        if "department" in self.systems:
            return super()._with_addresses(text)
        nowhere = System("department", self.systems["alipay"].process, {"soap": ""}, "", self.data)
        self.systems["department"] = nowhere
        try:
            return super()._with_addresses(text)
        finally:
            del self.systems["department"]

    def _seed(self) -> None:
        with self.opened() as database:
            database.tx(seed)

    @contextmanager
    def opened(self) -> Iterator[Database]:
        database = open_database(self.database_url or f"sqlite:///{self.store}")
        try:
            yield database
        finally:
            database.close()

    def stop(self) -> None:
        super().stop()
        for system in self.systems.values():
            if system.process.stdout is not None:
                system.process.stdout.close()
        for log in self.logs:
            log.close()

    def _log(self, name: str) -> TextIO:
        log = super()._log(name)
        self.logs.append(log)
        return log

    def __enter__(self) -> Street:
        try:
            self.set_up()
        except BaseException:
            self.stop()
            raise
        return self

    # --- what a test does --------------------------------------------------------------------------------------------

    def die_at(self, point: str) -> None:
        """The next process to reach this point is killed there."""
        (self.crash_folder / point).touch()

    def died(self, point: str) -> bool:
        return not (self.crash_folder / point).exists()

    def post(self, path: str, body: Mapping[str, Any], key: str, *, merchant: str = "m1") -> requests.Response | None:
        """One request; ``None`` if the server died before it answered."""
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key}
        try:
            return requests.post(
                f"{self.url}/v1/merchants/{merchant}{path}", json=dict(body), headers=headers, timeout=30
            )
        except requests.RequestException:
            return None

    def get(self, path: str, *, merchant: str = "m1", **query: str) -> requests.Response:
        """Read, patiently: a worker may be starting again."""
        headers = {"Authorization": f"Bearer {self.key}"}
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                return requests.get(
                    f"{self.url}/v1/merchants/{merchant}{path}", headers=headers, params=query, timeout=10
                )
            except requests.RequestException:
                time.sleep(0.1)
        raise AssertionError("the gateway does not answer")

    def ended(self, path: str, seconds: float, *, merchant: str = "m1") -> dict[str, Any]:
        """Read a resource until it has come to its end, for at most so long."""
        deadline = time.monotonic() + seconds
        while True:
            found = dict(self.get(path, merchant=merchant).json())
            if found.get("status") in ENDED or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def by_number(self, order_no: str, seconds: float) -> dict[str, Any]:
        """The checkout of an order number, once it has come to its end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.get("/checkouts", order_no=order_no).json()["data"]
            if found:
                return self.ended(f"/checkouts/{found[0]['id']}", max(0.0, deadline - time.monotonic()))
            time.sleep(0.1)
        return {}

    def workers_alive(self) -> list[int]:
        """The worker processes of gunicorn, children of the one we started."""
        assert self.gateway is not None
        children = Path(f"/proc/{self.gateway.pid}/task/{self.gateway.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def trades(self) -> dict[str, Any]:
        """The wallet's own record of trades, of all merchants."""
        books = self.systems["alipay"].books()
        return {no: trade for each in _accounts(books) for no, trade in each["trades"].items()}

    def refunds(self) -> list[dict[str, Any]]:
        """The wallet's own record of refunds, of all merchants."""
        return [refund for each in _accounts(self.systems["alipay"].books()) for refund in each["refunds"]]

    def money(self) -> dict[str, int]:
        return dict(self.systems["alipay"].books()["money"])

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return self.at_once(sql)[0]

    def at_once(self, *statements: str) -> list[list[dict[str, Any]]]:
        """What several statements say of one and the same moment."""
        with self.opened() as database:
            return database.read(lambda tx: [[dict(row) for row in tx.all(sql)] for sql in statements])

    def intact(self) -> str:
        """What SQLite says of its file."""
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)
        try:
            return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
        finally:
            connection.close()


def _patient(text: str) -> str:
    """A merchant's file whose connections are tried again soon after they were taken for down."""
    return re.sub(r"^(adapter = .*)$", r"\1\nbreaker_open_s = 0.2", text, flags=re.MULTILINE)


def _accounts(books: dict[str, Any]) -> list[dict[str, Any]]:
    return [books, *books.get("merchants", {}).values()]


def simple(order_no: str, code: str) -> dict[str, Any]:
    """One article, paid by the wallet alone."""
    return {
        "store_id": "s1",
        "order_no": order_no,
        "lines": [{"line_id": "A", "sku": "B", "quantity": "0.001"}],
        "tenders": [{"method": "payment_code", "auth_code": code}],
    }


def wallet_code(number: int) -> str:
    """A payment code of a customer with enough money."""
    return f"28{number:012d}{random.randrange(8999):04d}"


def in_threads(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Run so many threads to their end; what they raised."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


def replies_of(response: requests.Response) -> dict[str, Any]:
    return dict(json.loads(response.text))
