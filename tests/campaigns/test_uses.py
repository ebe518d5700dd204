"""The counters of campaign uses, on both databases: exact between threads and processes, idempotent, never below 0."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gateway.store import uses
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database
from gateway.store.schema import MIGRATIONS
from tests.campaigns.worker import try_it, use_of


def held(database: Database) -> int:
    def unit(tx: Any) -> int:
        assert uses.drift(tx) == []
        row = tx.one("SELECT COUNT(*) AS held FROM campaign_uses WHERE state = 'held'")
        return int(row["held"]) if row else 0

    return database.read(unit)


@pytest.mark.parametrize(
    ("limits", "most"),
    [({"total": 1}, 1), ({"total": 7}, 7), ({"per_member": 3}, 6), ({"per_day": 2}, 4), ({"budget_amount": 2999}, 9)],
)
def test_processes_race_for_the_last_use(url: str, database: Database, limits: dict[str, int], most: int) -> None:
    command = [sys.executable, "-m", "tests.campaigns.worker", url]
    started = [
        subprocess.Popen([*command, f"p{n}", json.dumps(limits), "8"], stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    told = [process.communicate(timeout=25)[0].split() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sum(int(asked) for _, asked in told) == 96
    assert sum(int(won) for won, _ in told) == most == held(database)


def test_holding_twice_counts_once_and_giving_back_frees_it(database: Database) -> None:
    limits = {"total": 1, "budget_amount": 300}
    assert try_it(database, "s1", "", limits)
    assert try_it(database, "s1", "", limits), "the same checkout holds what it holds"
    assert not try_it(database, "s2", "", limits)
    for _ in range(2):
        database.tx(lambda tx: uses.give_back(tx, "m1", "first", "s1", 2))
    assert held(database) == 0
    assert try_it(database, "s2", "", limits)
    assert try_it(database, "s1", "", {"total": 2}), "one that gave it back may hold it again"


def test_counts_tell_members_and_days_apart(database: Database) -> None:
    for saga_id, member in (("s1", "a"), ("s2", "a"), ("s3", "b"), ("s4", "")):
        assert try_it(database, saga_id, member, {})
    database.tx(lambda tx: uses.hold(tx, {**use_of("s5", "a", 50), "business_date": "2026-03-09"}, {}, 1))

    def read(member: str, day: str) -> dict[str, uses.Count]:
        return database.read(lambda tx: uses.counts(tx, "m1", ["first"], member, day))

    assert read("a", "2026-03-09") == {"first": uses.Count(5, 3, 1, 1250)}
    assert read("b", "2026-03-08") == {"first": uses.Count(5, 1, 1, 1250)}
    assert read("nobody", "2026-03-08") == {"first": uses.Count(5, 0, 0, 1250)}
    assert database.read(lambda tx: uses.counts(tx, "m2", ["first"], "a", "2026-03-08")) == {}


ACTIONS = some.tuples(
    some.sampled_from(["hold", "confirm", "give_back", "part"]),
    some.integers(0, 5),
    some.integers(1, 400),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=some.lists(ACTIONS, max_size=25))
def test_held_and_used_rows_add_up_to_the_counters(tmp_path: Path, actions: list[tuple[str, int, int]]) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'sums.db'}")
    migrate(database, [Migration(*pair) for pair in MIGRATIONS])
    database.tx(lambda tx: [tx.execute(f"DELETE FROM {table}") for table in ("campaign_uses", "campaign_counters")])
    limits = {"total": 4, "per_member": 2, "budget_amount": 900}
    for action, number, amount in actions:
        database.tx(partial(act, action=action, number=number, amount=amount, limits=limits))
        held(database)
        found = database.read(lambda tx: uses.counts(tx, "m1", ["first"], "mem0", "2026-03-08")).get("first")
        assert found is None or (found.total <= 4 and found.member <= 2 and found.budget_amount <= 900)
    database.close()


def act(tx: Any, action: str, number: int, amount: int, limits: dict[str, int]) -> None:
    saga_id = f"s{number}"
    if action == "hold":
        try:
            uses.hold(tx, use_of(saga_id, f"mem{number % 2}", amount), limits, 1)
        except uses.Overrun:
            return
    elif action == "confirm":
        uses.confirm(tx, "m1", "first", saga_id, 2)
    else:
        uses.give_back(tx, "m1", "first", saga_id, 3, amount=amount, whole=action == "give_back")
