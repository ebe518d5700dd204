"""What can happen to a running server's storage and clock, played on a real one.

``python -m tests.store.scenes FOLDER`` in a mount namespace of its own (see ``play`` in ``test_server_faults``), so
that a small disk can be mounted that nobody else sees. With ``--kill`` a worker is killed in the middle of each scene.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from gateway.engine.invariants import all_violations
from tests.engine.street import TIMES, Street, simple, wallet_code

ROOM, BUSY_S = 160, 1.0
MIB = 1 << 20
_numbers = itertools.count()
_CLOCKWORK = Path(__file__).parent / "clockwork"


@dataclass
class Theatre:
    """A street whose gateway lies on a small disk of its own, and has a clock that can be turned."""

    street: Street
    kill: bool
    sold: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def disk(self) -> Path:
        return self.street.store.parent

    # --- what is done ------------------------------------------------------------------------------------------------

    def sell(self, expect: tuple[int, ...] = (201,)) -> requests.Response:
        """One checkout; its answer is remembered if it was accepted."""
        number = f"S-{next(_numbers)}"
        reply = self.street.post("/checkouts", simple(number, wallet_code(next(_numbers))), number)
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

    def maybe_kill(self) -> None:
        """kill -9 of a worker at this moment, if that is what is played."""
        if self.kill and (alive := self.street.workers_alive()):
            os.kill(random.choice(alive), signal.SIGKILL)

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


# --- the scenes ------------------------------------------------------------------------------------------------------


def disk_fills_up(at: Theatre) -> None:
    """Below the low-water mark new work is refused; at the last byte the ballast lets what is under way go on."""
    filler = at.disk / "filler"
    with at.under_way():
        _fill(at.disk, filler, leave=30 * MIB)
        at.maybe_kill()
        at.refused("storage-full")
        at.not_ready("almost full")
    filler.unlink()
    at.sells_again()
    with at.under_way():
        _fill(at.disk, filler, leave=0)
        at.maybe_kill()
        at.refused("storage-full")
    filler.unlink()
    at.sells_again()
    at.ready()


def another_program_holds_the_lock(at: Theatre) -> None:
    """A tool that writes for longer than anybody waits: 503 with a time to come back, and then as before."""
    tool = sqlite3.connect(at.street.store, isolation_level=None)
    with at.under_way():
        tool.execute("BEGIN IMMEDIATE")
        at.maybe_kill()
        at.refused("storage-busy", 10)
        at.not_ready("cannot be written")
        tool.execute("ROLLBACK")
        tool.close()
    at.sells_again()
    at.ready()


def writes_fail(at: Theatre) -> None:
    """Every write beyond the first pages is refused by the system (a limit on the workers' files)."""
    with at.under_way():
        _limit(at, 8192)
        at.maybe_kill()
        if not at.kill:  # a new worker has no limit: it serves
            at.refused("storage-busy")
            at.not_ready("cannot be written")
        _limit(at, resource.RLIM_INFINITY)
    at.sells_again()
    at.ready()


def the_file_is_moved_away(at: Theatre) -> None:
    """Somebody renames the database under the running server, and puts it back."""
    elsewhere = at.disk / "elsewhere.db"
    with at.under_way():
        at.street.store.rename(elsewhere)
        at.refused("storage-busy")
        at.not_ready("removed or replaced")
        elsewhere.rename(at.street.store)
        at.maybe_kill()
    at.sells_again()
    at.ready()


def the_clock_is_turned(at: Theatre) -> None:
    """An hour forward, an hour back (that is two at once), and right again, with checkouts under way."""
    for wrong_by in (3600.0, -3600.0, 0.0):
        with at.under_way():
            (at.street.data / "clock").write_text(str(wrong_by))
            at.maybe_kill()
            time.sleep(0.2)
            at.sells_again()
        at.ready()


SCENES: dict[str, Callable[[Theatre], None]] = {
    "full": disk_fills_up,
    "locked": another_program_holds_the_lock,
    "broken": writes_fail,
    "moved": the_file_is_moved_away,
    "clock": the_clock_is_turned,
}


def _fill(disk: Path, filler: Path, leave: int) -> None:
    """Take all room but so much; others may take some at the same time."""
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            state = os.statvfs(disk)
            over = state.f_bavail * state.f_frsize - leave
            if over <= 0 and leave:
                return
            file.write(bytes(min(max(over, 1), MIB)))


def _limit(at: Theatre, size: int) -> None:
    for worker in at.street.workers_alive():
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


# --- playing them ----------------------------------------------------------------------------------------------------


class SmallStreet(Street):
    """A street whose gateway waits for a lock no longer than a test has time."""

    def _write_config(self) -> None:
        super()._write_config()
        text = self.config_file.read_text(encoding="utf-8")
        self.config_file.write_text(f"{text}[database]\nbusy_seconds = {BUSY_S}\n", encoding="utf-8")


@contextmanager
def theatre(folder: Path, kill: bool) -> Iterator[Theatre]:
    """A street on a small disk; the caller has a mount namespace of its own."""
    disk = folder / "gateway"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "none", str(disk)], check=True)
    os.environ["CLOCK_FILE"] = str(folder / "clock")
    os.environ["PYTHONPATH"] = f"{_CLOCKWORK}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with SmallStreet(folder, times={**TIMES, "inline_s": 4.0}) as street:
        with street.opened() as database:
            database.tx(lambda tx: tx.execute("UPDATE house_stock SET on_hand = 10000000"))
        yield Theatre(street, kill)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--times", type=int, default=1)
    asked = parser.parse_args()
    with theatre(asked.folder, asked.kill) as at:
        for name in asked.scenes.split(",") * asked.times:
            began = time.monotonic()
            SCENES[name](at)
            at.nothing_is_wrong()
            print(json.dumps({"scene": name, "kill": asked.kill, "s": round(time.monotonic() - began, 1)}), flush=True)


if __name__ == "__main__":
    main()
