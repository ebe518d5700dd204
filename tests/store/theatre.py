"""A stage for what can happen to a running server's storage and clock."""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from gateway.engine.invariants import all_violations
from tests.engine.street import TIMES, Street, simple, wallet_code

ROOM, BUSY_S = 160, 1.0
_numbers = itertools.count()
_CLOCKWORK = Path(__file__).parent / "clockwork"


@dataclass
class Theatre:
    """A street whose gateway lies on a small disk of its own, and has a clock that can be turned."""

    street: Street
    kill: bool
    sold: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def disk(self) -> Path:
        return self.street.store.parent

    # --- what is done ------------------------------------------------------------------------------------------------

    def sell(self, expect: tuple[int, ...] = (201,)) -> requests.Response:
        """One checkout; its answer is remembered if it was accepted."""
        number = f"S-{next(_numbers)}"
        request = self.asked[number] = simple(number, wallet_code(next(_numbers)))
        reply = self.street.post("/checkouts", request, number)
        assert reply is not None, "the server died"
        assert reply.status_code in expect, f"{reply.status_code}: {reply.text}"
        if reply.status_code == 201:
            self.sold[number] = reply.json()
        if reply.status_code == 503:
            assert int(reply.headers["Retry-After"]) >= 1, "a 503 must say when to come back"
        return reply

    def refused(self, slug: str, seconds: float = 5.0) -> None:
        """New work is refused by that name, within so long; never with a 500."""
        deadline = time.monotonic() + seconds
        while (reply := self.sell((201, 202, 503, 409))).status_code != 503:
            assert time.monotonic() < deadline, f"still {reply.status_code}"
            time.sleep(0.1)
        assert reply.json()["type"] == f"/problems/{slug}", reply.text

    def sells_again(self, seconds: float = 15.0) -> None:
        """The trouble is over: checkouts succeed again, by themselves."""
        deadline, in_a_row = time.monotonic() + seconds, 0
        while in_a_row < 6:  # by each of the workers
            reply = self.sell((201, 202, 503, 409))
            in_a_row = in_a_row + 1 if reply.status_code == 201 else 0
            assert time.monotonic() < deadline, f"still {reply.status_code}: {reply.text}"
            time.sleep(0 if in_a_row else 0.2)

    def not_ready(self, *words: str, seconds: float = 5.0) -> None:
        """``/readyz`` says what is wrong, within so long: any of the workers."""
        deadline, seen = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            reply = requests.get(f"{self.street.url}/readyz", timeout=15)
            seen = reply.text
            if reply.status_code == 503 and any(word in seen for word in words):
                return
            time.sleep(0.05)
        raise AssertionError(f"/readyz never said {words}: {seen}")

    def ready(self, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while requests.get(f"{self.street.url}/readyz", timeout=15).status_code != 200:
            assert time.monotonic() < deadline, requests.get(f"{self.street.url}/readyz", timeout=15).text
            time.sleep(0.1)

    def maybe_kill(self, everyone: bool = False) -> None:
        """kill -9 of a worker, or of all of them, at this moment, if that is what is played."""
        if self.kill and (alive := self.street.workers_alive()):
            for worker in alive if everyone else [random.choice(alive)]:
                os.kill(worker, signal.SIGKILL)

    def reads_and_replays_go_on(self) -> None:
        """What was sold can be read, and asking again with the same key gives the same answer, by every worker."""
        number, sold = next(iter(self.sold.items()))
        for _ in range(6):
            assert self.street.get(f"/checkouts/{sold['id']}").json()["status"] == "completed"
            reply = self.street.post("/checkouts", self.asked[number], number)
            assert reply is not None and (reply.status_code, reply.json()) == (201, sold), reply
            assert reply.headers["Idempotency-Replayed"] == "true"

    def doctor_tells(self, words: str) -> None:
        """`gateway doctor` names what is wrong, and its exit status says that something is."""
        done = subprocess.run(self._command("doctor"), capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and words in done.stdout, done.stdout + done.stderr

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """A checkout whose wallet answers late, so that it is in the middle when the trouble comes; it must end."""
        number = f"U-{next(_numbers)}"
        self.street.systems["alipay"].faults({"name": "latency", "value": 700, "times": 1})
        request = simple(number, wallet_code(next(_numbers)))
        thread = threading.Thread(target=self._until_taken, args=(request, number))
        thread.start()
        deadline = time.monotonic() + 5
        while not self.street.rows(f"SELECT id FROM sagas WHERE number = '{number}'"):
            assert time.monotonic() < deadline, "it was not accepted"
            time.sleep(0.02)
        try:
            yield
        finally:
            thread.join(40)
        done = self.street.by_number(number, 30)
        assert done.get("status") in ("completed", "failed"), done

    def _until_taken(self, request: dict[str, Any], number: str) -> None:
        """Post; again with the same key while it is refused, as a platform does."""
        for _ in range(30):
            reply = self.street.post("/checkouts", request, number)
            if reply is None or reply.status_code != 503:
                return
            time.sleep(0.2)

    def end(self) -> tuple[int, str]:
        """Stop the server as an operator does; its exit status, and what it has logged."""
        assert self.street.gateway is not None
        self.street.gateway.send_signal(signal.SIGTERM)
        status = self.street.gateway.wait(90)
        return status, (self.street.data / "logs" / "gateway.log").read_text(encoding="utf-8")

    def start(self) -> None:
        """Start the server again, with a new log."""
        self.street._start_gateway()

    def refuses_to_start(self) -> str:
        """What the server says when it does not start."""
        done = subprocess.run(self._command("serve"), capture_output=True, text=True, timeout=60)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "gateway.cli", name, "--config", str(self.street.config_file)]

    # --- what must hold ----------------------------------------------------------------------------------------------

    def nothing_is_wrong(self) -> None:
        """After each scene: everything ends, what was sold stands, the wallet agrees, no 500 was logged."""
        deadline = time.monotonic() + 30
        rows: list[dict[str, Any]] = [{}]
        while rows and time.monotonic() < deadline:
            rows = self.street.rows("SELECT number, state FROM sagas WHERE state NOT IN ('completed', 'failed')")
            time.sleep(0.1)
        assert not rows, rows
        for number, sold in self.sold.items():
            found = self.street.get(f"/checkouts/{sold['id']}").json()
            assert found["status"] == "completed", f"{number} was acknowledged and is {found}"
        with self.street.opened() as database:
            wrong = database.read(lambda tx: list(all_violations(tx, time.time_ns() // 1_000_000 + 10**8)))
        assert not wrong, wrong
        paid = self.street.rows("SELECT coalesce(sum(amount), 0) AS n FROM sagas WHERE state = 'completed'")[0]["n"]
        odd = self.street.rows(
            "SELECT sagas.id, sagas.state, ops.hook, ops.state AS op, first_sent, last_sent, outcome FROM sagas"
            " JOIN ops ON saga_id = sagas.id WHERE sagas.state <> 'completed' AND hook LIKE 'payment%'"
        )
        assert self.street.money()["net"] == paid, (self.street.money(), paid, odd)
        assert self.street.intact() == "ok"
        log = (self.street.data / "logs" / "gateway.log").read_text(encoding="utf-8")
        assert "internal error" not in log, log[log.index("internal error") - 200 :][:3000]


class SmallStreet(Street):
    """A street whose gateway waits for a lock no longer than a test has time."""

    def _write_config(self) -> None:
        super()._write_config()
        text = self.config_file.read_text(encoding="utf-8")
        self.config_file.write_text(f"{text}[database]\nbusy_seconds = {BUSY_S}\n", encoding="utf-8")


@contextmanager
def theatre(folder: Path, kill: bool, plain: bool = False) -> Iterator[Theatre]:
    """A street on a small disk; the caller has a mount namespace of its own. ``plain``: on the disk as it is."""
    disk = folder / "gateway"
    disk.mkdir(parents=True)
    if not plain:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "none", str(disk)], check=True)
    _no_more_power()
    os.environ["CLOCK_FILE"] = str(folder / "clock")
    os.environ["PYTHONPATH"] = f"{_CLOCKWORK}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with SmallStreet(folder, times={**TIMES, "inline_s": 4.0}) as street:
        with street.opened() as database:
            database.tx(lambda tx: tx.execute("UPDATE house_stock SET on_hand = 10000000"))
        yield Theatre(street, kill)


def _no_more_power() -> None:
    """The processes that are started from now on have none of root's rights: permissions hold for them too."""
    libc = ctypes.CDLL(None)
    for capability in range(64):
        if capability != _IMMUTABLE:
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


_PR_CAPBSET_DROP, _IMMUTABLE = 24, 9
