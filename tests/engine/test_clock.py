"""The engine's clock: what a wall clock that is turned, a restart or a spoilt file does to it, on real files."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.engine import clock
from gateway.engine.caller import RuntimeCaller
from gateway.engine.clock import Kept, Line, Machine, SteadyClock, begun, led, up, wall
from gateway.engine.model import Todo, Verb
from gateway.engine.seams import Effect
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database
from gateway.store.schema import MIGRATIONS

HOUR, DAY = 3_600_000, 86_400_000
CLOCKWORK = Path(__file__).parents[1] / "store" / "clockwork"
_DUE = """
INSERT INTO sagas (id, kind, merchant, store_id, number, parent, state, doc, progress, amount, created, updated,
  expires_at, fence, lease_until, due_at, version)
VALUES ('chk_1', 'checkout', 'm1', 's1', 'N1', '', 'paying', '{}', '{}', 100, 0, 0, 0, 1, 0, :due, 1)
"""


@dataclass
class Turned:
    """A machine whose wall clock is wrong by so much, and which has been started so many times; real otherwise."""

    wrong_by: int = 0
    slept: int = 0
    start: int = 1

    def machine(self) -> Machine:
        return Machine(self.up, self.wall, self.wall, lambda: f"start {self.start}")

    def up(self) -> int:
        return up() + self.slept

    def wall(self) -> int:
        return wall() + self.slept + self.wrong_by


@pytest.fixture
def database(tmp_path: Path, database_url: str) -> Iterator[Database]:
    found = open_database(database_url or f"sqlite:///{tmp_path / 'gateway.db'}")
    migrate(found, [Migration(*pair) for pair in MIGRATIONS])
    yield found
    found.close()


def apart(one: SteadyClock, right: int) -> int:
    return right - one.now()


# --- the rule --------------------------------------------------------------------------------------------------------


def test_no_wait_is_shortened_by_more_than_a_twentieth() -> None:
    """Whatever the right time does: else "not found" would count while a payment may still be on its way."""
    for seed in range(300):
        chance, line, at, right = random.Random(seed), Line("b", 0, 10**12), 0, 10**12
        for _ in range(60):
            passed, before = chance.randrange(1, 90_000), line.at(at)
            at += passed
            right += passed + chance.choice((0, 0, 30, 1_900, HOUR, -HOUR, -DAY, DAY))
            assert passed * 19 // 20 - 1 <= line.at(at) - before <= passed * 21 // 20 + 1, f"seed {seed}"
            after = led(line, at, right)
            assert after.at(at) == line.at(at), "it jumped"
            line = after


def test_it_gets_there_and_stays() -> None:
    """Ten seconds apart: after 200 s they agree, and from then on nothing is written but once a minute."""
    line, changes = Line("b", 0, 10**12), 0
    for second in range(1, 601):
        after = led(line, second * 1000, 10**12 + second * 1000 + 10_000)
        changes, line = changes + (after is not line), after
    assert abs(line.at(600_000) - 10**12 - 610_000) < clock.BAND
    assert changes <= 12


@pytest.mark.parametrize(("right", "begins"), [(5_000, 5_000), (500, 1_000)])
def test_a_new_start_begins_at_the_right_time_and_never_before_the_last_one(right: int, begins: int) -> None:
    """A machine without a battery wakes up in 1970: what it had sent must not look as if it lay in the future."""
    assert begun("second", 7, right, Line("first", 900_000, 1_000)).at(7) == begins


# --- on a journal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong_by", [HOUR, -HOUR, 3_000])
def test_while_something_is_under_way_it_is_led(tmp_path: Path, database: Database, wrong_by: int) -> None:
    """An hour forward or back under a running sale: no jump, it is told, and a twentieth of the time is made good."""
    database.tx(lambda tx: tx.execute(_DUE, {"due": wall() + HOUR}))
    turned = Turned()
    ours = SteadyClock(Kept(tmp_path / "clock.json"), database, turned.machine())
    before, turned.wrong_by = ours.now(), wrong_by
    ours.look()
    assert abs(ours.now() - before) < 500
    assert "of the gateway's own" in ours.warnings()[0]
    turned.slept = 100_000
    gained = ours.now() - before - turned.slept
    assert abs(gained - max(-5_000, min(wrong_by, 5_000))) < 500


def test_when_nothing_is_under_way_it_is_taken_whole(tmp_path: Path, database: Database) -> None:
    """Nobody waits for anything: nothing is to be said to the shop but the right time."""
    database.tx(lambda tx: tx.execute(_DUE, {"due": None}))
    turned = Turned()
    ours = SteadyClock(Kept(tmp_path / "clock.json"), database, turned.machine())
    other = SteadyClock(Kept(tmp_path / "clock.json"), database, turned.machine())
    for wrong_by in (HOUR, -DAY):
        turned.wrong_by, turned.slept = wrong_by, turned.slept + 2_000
        ours.look()
        assert abs(apart(ours, turned.wall())) < 100 and abs(apart(other, turned.wall())) < 100
        assert ours.warnings() == ()


def test_a_sale_that_begins_meanwhile_keeps_the_clock(tmp_path: Path, database: Database) -> None:
    """It is accepted between the question whether anything is under way and the answer: the clock stays for it."""
    turned, asked = Turned(), threading.Event()

    class Between:
        """The real database; a sale is accepted just after it was first asked."""

        def read(self, fn: Any) -> Any:
            found = database.read(fn)
            if not asked.is_set():
                asked.set()
                database.tx(lambda tx: tx.execute(_DUE, {"due": wall()}))
            return found

        def tx(self, fn: Any) -> Any:
            return database.tx(fn)

    ours = SteadyClock(Kept(tmp_path / "clock.json"), Between(), turned.machine())
    before, turned.wrong_by = ours.now(), HOUR
    ours.look()
    assert asked.is_set() and ours.now() - before < 5_000


def test_a_call_decided_before_the_change_is_too_late_after_it(tmp_path: Path) -> None:
    """Its deadline is by the engine's time: an hour on, the adapter is given nothing of it, and sends nothing."""
    turned = Turned()
    ours = SteadyClock(Kept(tmp_path / "clock.json"), None, turned.machine())
    seen: list[float] = []

    class Deaf:
        embedded = False

        def tape(self, request: Any = None) -> None: ...

        def change(self, hook: str, request: Any, call: Any, tape: Any = None) -> Any:
            seen.append(call.remaining())
            raise LookupError

        def connection(self, merchant: str, name: str) -> Any:
            return self

    op = type("Op", (), {"key": "K", "attempts": 1, "steps": [], "saga_id": "chk_1"})()
    todo = Todo(Verb.SEND, "leg", "payment_charge", 0, "wallet")
    effect = Effect(todo, op, {}, "m1", None, ours.now() + 10_000, "chk_1", lambda step: None)
    caller = RuntimeCaller(Deaf(), ours)
    caller.run([effect])
    Kept(tmp_path / "clock.json").write(Line("start 1", up(), wall() + HOUR))
    caller.run([effect])
    assert 9 < seen[0] <= 10 and seen[1] == 0


# --- processes and files ---------------------------------------------------------------------------------------------

_ASK = """
import sys, time
from pathlib import Path
from gateway.engine.clock import Kept, SteadyClock, up, wall
time.sleep(0.3)
ours = SteadyClock(Kept(Path(sys.argv[1])))
print(ours.now() - up(), wall() - up())
"""


def _asked(file: Path, wrong_by: float) -> tuple[int, int]:
    """What a process of its own with that wall clock says: our time and the wall clock's, both since the start."""
    turned = file.with_name(f"turned{wrong_by}")
    turned.write_text(str(wrong_by))
    environment = {**os.environ, "CLOCK_FILE": str(turned), "PYTHONPATH": str(CLOCKWORK)}
    command = [sys.executable, "-c", _ASK, str(file)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=25, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = done.stdout.split()
    return int(ours), int(theirs)


def test_a_process_that_starts_after_the_clock_was_turned_goes_by_the_others(tmp_path: Path) -> None:
    """Its wall clock is an hour ahead, and its time is that of the worker that began before."""
    first, _ = _asked(tmp_path / "clock.json", 0)
    second, turned = _asked(tmp_path / "clock.json", 3600)
    assert abs(turned - first - HOUR) < 1_000, "the wall clock was not turned"
    assert abs(second - first) <= 1


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"boot": 1, "base": "x"}', '{"boot":"b","base":-1}'])
def test_a_spoilt_file_stops_nothing(tmp_path: Path, text: str) -> None:
    """A running process goes on by what it knows, a new one by the wall clock; the file is made whole again."""
    file, turned = tmp_path / "clock.json", Turned()
    ours = SteadyClock(Kept(file), None, turned.machine())
    file.write_text(text)
    assert abs(apart(ours, wall())) < 500
    assert abs(apart(SteadyClock(Kept(file), None, turned.machine()), wall())) < 500
    assert Kept(file).read() is not None


def test_a_file_that_is_gone_is_written_again(tmp_path: Path) -> None:
    file, turned = tmp_path / "clock.json", Turned()
    ours = SteadyClock(Kept(file), None, turned.machine())
    turned.wrong_by = HOUR
    file.unlink()
    before = ours.now()
    ours.look()
    assert Kept(file).read() is not None and ours.now() - before < 500


def test_a_folder_that_cannot_be_written_is_no_reason_not_to_sell(tmp_path: Path) -> None:
    ours = SteadyClock(Kept(tmp_path / "nowhere" / "clock.json"), None, Turned().machine())
    ours.look()
    assert abs(apart(ours, wall())) < 500


# --- several machines ------------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_machines_that_share_a_database_go_by_its_clock(tmp_path: Path, postgres_server: Any) -> None:
    """A node whose own clock is an hour ahead judges no other's calls by it, and says that its clock is wrong."""
    database = open_database(postgres_server.new_database())
    try:
        migrate(database, [Migration(*pair) for pair in MIGRATIONS])
        ours = SteadyClock.of(tmp_path, database)
        wrong = replace(ours._machine, wall=lambda: wall() + HOUR)
        node = SteadyClock(Kept(tmp_path / "clock.json"), database, wrong)
        said = database.read(lambda tx: tx.one("SELECT CAST(clock_timestamp() AS TEXT) AS now"))
        assert said is not None
        server = datetime.fromisoformat(said["now"]).timestamp() * 1000
        assert abs(node.now() - server) < timedelta(seconds=2).total_seconds() * 1000
        assert ours.warnings() == () and "see to its NTP" in node.warnings()[0]
    finally:
        database.close()
