"""The quick parts of the long runs: a few deaths, races, pairs of faults, a minute's soak. Each with its own budget."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from gateway.testing.postgres import PostgresServer
from tests.engine.conftest import postgres_server  # noqa: F401 - a fixture
from tests.long.faults import SCALE, Shop, once, run_cells
from tests.long.kill import deaths, town_in
from tests.long.races import Arena, Maker, run_races
from tests.long.soak import soak
from tests.matrix.cells import cells, pairs
from tests.matrix.faults import Fault
from tests.simulation.bugs import planted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
#: Points at which no other test kills a process.
POINTS = ("before-commit:reserving", "committed:paying", "committed:settling", "before-send:order_post")


def test_six_deaths_under_load(tmp_path: Path) -> None:
    """A shop whose server dies six times in as many seconds has lost no sale and charged nobody twice."""
    with town_in(tmp_path) as town:
        assert list(deaths(town, 1).batch(6, POINTS)) == []


@pytest.mark.postgres
def test_two_nodes_of_which_one_dies_for_good(tmp_path: Path, postgres_server: PostgresServer) -> None:  # noqa: F811
    """Whatever a dead node was about, the other finishes; a new one takes its place."""
    with town_in(tmp_path, postgres_server.new_database()) as town:
        town.join().wait()
        assert list(deaths(town, 1).batch(2)) == []


def test_races_over_processes(tmp_path: Path) -> None:
    """Of as many customers as you like, as many get the last item, use, point or fen as there is."""
    figures: Counter[str] = Counter()
    with Arena(tmp_path, processes=3, threads=32) as arena:
        assert list(run_races(arena, Maker(arena, 1, 8, 4), 160, figures)) == []
    assert figures["requests"] > 600


@pytest.mark.postgres
def test_races_over_nodes(tmp_path: Path, postgres_server: PostgresServer) -> None:  # noqa: F811
    """The same where every process is a node of its own on PostgreSQL."""
    url = postgres_server.new_database()
    with Arena(tmp_path, processes=2, threads=32, database_url=url) as arena:
        assert list(run_races(arena, Maker(arena, 2, 8, 4), 72, Counter())) == []


def test_pairs_of_faults_over_sockets() -> None:
    """Two systems fail in the same checkout: nothing is lost, doubled or left without an owner."""
    chosen = random.Random(2).sample([*pairs()], 30)
    assert run_cells(chosen)[0] == []


def test_what_is_broken_on_purpose_shows_over_sockets() -> None:
    """Checks that pass whatever the engine does would show nothing: here a timeout counts as a failure."""
    hit = [cell for cell in cells() if cell.profile == "asked" and cell.fault is Fault.TIMEOUT_AFTER]
    with planted("timeout-is-failure"):
        assert once([Shop(f"c{number}", (cell,)) for number, cell in enumerate(hit)], SCALE / 2)


def test_half_a_minute_of_load_leaves_nothing_behind(tmp_path: Path) -> None:
    """A server in a shop runs for months. In its first moments caches still fill; the hour's run allows 5 %."""
    wrong, figures = soak(30.0, 1, 2.0, tmp_path, growth=0.35)
    assert wrong == []
    assert figures["replies"] > 120
