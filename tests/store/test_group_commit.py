"""Units that share a commit: none harms another, none waits for ever, whatever becomes of the thread that leads."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from gateway.store.batch import Ground, Runner
from gateway.store.errors import StorageBusy, StorageConflict, StorageMisuse, StorageUnknown
from gateway.store.group import Batch, Group
from gateway.store.migrate import migrate
from gateway.store.port import Database, Tx
from gateway.store.postgres import PostgresDatabase
from gateway.store.sqlite import SqliteDatabase
from tests.store.conftest import SHOP
from tests.store.shop import free, sales, sell


class Refused(Exception):
    """A unit's own error."""


@pytest.fixture
def shop(grouped_url: str, opened: Callable[..., Database]) -> Database:
    database = opened(grouped_url)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 100)"))
    return database


class Crowd:
    """Threads whose units are made to meet in one batch: the first holds the lead until the others have queued up."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.outcomes: dict[str, object] = {}
        self._threads: list[threading.Thread] = []
        self._inside = threading.Event()
        self._go_on = threading.Event()

    def hold(self) -> None:
        """Start the unit that leads and stays in the middle."""

        def unit(_: Tx) -> str:
            self._inside.set()
            assert self._go_on.wait(10)
            return "held"

        self.start("holder", unit)
        assert self._inside.wait(10)

    def start(self, name: str, unit: Callable[[Tx], object]) -> None:
        """Start a thread with that unit and let it queue up."""

        def run() -> None:
            try:
                self.outcomes[name] = self.database.tx(unit)
            except BaseException as error:
                self.outcomes[name] = error

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()
        time.sleep(0.02)

    def finish(self) -> dict[str, object]:
        """Let the leader go on; return what came of every unit."""
        self._go_on.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a unit was forgotten"
        return self.outcomes


def failing(unit: Callable[[Tx], object], error: BaseException) -> Callable[[Tx], object]:
    """The unit, which then raises."""

    def fail(tx: Tx) -> None:
        unit(tx)
        raise error

    return fail


def test_units_share_one_commit(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The point of it all: 20 units that meet cost two commits, not 20."""
    commits = _count_commits(monkeypatch)
    crowd = Crowd(shop)
    crowd.hold()
    for number in range(20):
        crowd.start(f"{number}", sell("apple", f"buyer {number}"))
    outcomes = crowd.finish()
    assert list(outcomes.values()).count(True) == 20
    assert (free(shop, "apple"), sales(shop)) == (80, 20)
    assert commits() <= 2


@pytest.mark.parametrize("careful", [0, 5])
def test_failed_unit_does_not_poison_its_batch(shop: Database, careful: int) -> None:
    """One failed precondition, broken rule or bug harms nobody else, with and without savepoints from the start."""
    _runner(shop).careful = careful
    crowd = Crowd(shop)
    crowd.hold()
    crowd.start("one", sell("apple", "one"))
    crowd.start("refused", failing(sell("apple", "refused"), Refused()))
    crowd.start("clash", sell("apple", "one"))
    crowd.start("bug", failing(sell("apple", "bug"), ZeroDivisionError()))
    crowd.start("before writing", failing(lambda tx: tx.one("SELECT 1 AS n"), Refused()))
    crowd.start("two", sell("apple", "two"))
    outcomes = crowd.finish()
    assert {name: type(outcome) for name, outcome in outcomes.items()} == {
        "holder": str,
        "one": bool,
        "refused": Refused,
        "clash": StorageConflict,
        "bug": ZeroDivisionError,
        "before writing": Refused,
        "two": bool,
    }
    assert (free(shop, "apple"), sales(shop)) == (98, 2)


def test_failed_leader_does_not_poison_its_batch(shop: Database) -> None:
    """The leader's own unit may fail after it has written; the others of its batch stand."""
    crowd = Crowd(shop)
    inside, go_on = threading.Event(), threading.Event()

    def leading(tx: Tx) -> None:
        sell("apple", "leader")(tx)
        inside.set()
        assert go_on.wait(10)
        raise Refused

    crowd.start("leader", leading)
    assert inside.wait(10)
    crowd.start("other", sell("apple", "other"))
    go_on.set()
    outcomes = crowd.finish()
    assert isinstance(outcomes["leader"], Refused)
    assert outcomes["other"] is True
    assert (free(shop, "apple"), sales(shop)) == (99, 1)


def test_schema_change_of_a_failed_unit_is_undone(shop: Database) -> None:
    """What changes the schema is not counted like rows; it must be undone all the same."""
    crowd = Crowd(shop)
    crowd.hold()
    crowd.start("failed", failing(lambda tx: tx.execute("CREATE TABLE extra (x INTEGER) STRICT"), Refused()))
    crowd.start("other", sell("apple", "other"))
    crowd.finish()
    with pytest.raises(StorageMisuse):
        shop.read(lambda tx: tx.one("SELECT x FROM extra"))
    assert sales(shop) == 1


def test_disappointed_unit_costs_the_others_nothing(shop: Database) -> None:
    """A unit that fails before it has written leaves nothing to undo: the others of its batch run once."""
    runs: list[str] = []

    def counted(tx: Tx) -> bool:
        runs.append("run")
        return sell("apple", "counted")(tx)

    def sold_out(tx: Tx) -> None:
        tx.one("SELECT free FROM stock WHERE sku = 'none' FOR UPDATE")
        assert tx.execute("UPDATE stock SET free = free - 1 WHERE sku = 'none'") == 0
        raise Refused

    crowd = Crowd(shop)
    crowd.hold()
    crowd.start("counted", counted)
    crowd.start("sold out", sold_out)
    outcomes = crowd.finish()
    assert (outcomes["counted"], type(outcomes["sold out"]), runs) == (True, Refused, ["run"])


def test_interrupted_leader_loses_nobody(shop: Database) -> None:
    """A signal in the thread that leads ends that thread's unit; those it had in hand are done by the next leader."""
    crowd = Crowd(shop)
    inside, go_on = threading.Event(), threading.Event()

    def interrupted(tx: Tx) -> None:
        sell("apple", "interrupted")(tx)
        inside.set()
        assert go_on.wait(10)
        raise KeyboardInterrupt

    crowd.start("leader", interrupted)
    assert inside.wait(10)
    for number in range(5):
        crowd.start(f"{number}", sell("apple", f"buyer {number}"))
    go_on.set()
    outcomes = crowd.finish()
    assert isinstance(outcomes.pop("leader"), KeyboardInterrupt)
    assert list(outcomes.values()) == [True] * 5
    assert (free(shop, "apple"), sales(shop)) == (95, 5)


def test_interruption_in_anothers_unit_loses_nobody(shop: Database) -> None:
    """A signal may find the leader at work for another: that one's unit, and all others in hand, are then run again."""
    crowd = Crowd(shop)
    crowd.hold()
    signals = [KeyboardInterrupt()]

    def struck(tx: Tx) -> bool:
        sold = sell("apple", "struck")(tx)
        if signals:
            raise signals.pop()
        return sold

    crowd.start("before", sell("apple", "before"))
    crowd.start("struck", struck)
    crowd.start("after", sell("apple", "after"))
    outcomes = crowd.finish()
    assert isinstance(outcomes.pop("holder"), KeyboardInterrupt)
    assert outcomes == {"before": True, "struck": True, "after": True}
    assert (free(shop, "apple"), sales(shop)) == (97, 3)


def test_interruption_of_the_commit_is_told_as_unknown() -> None:
    """What was being committed when a signal came may stand: nobody may be told that it failed or run it again."""
    runs: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def commit(batch: Batch) -> None:
        inside.set()
        assert go_on.wait(10)
        while batch.take() is not None:
            pass
        runs.append("committed")
        batch.committing = True
        raise KeyboardInterrupt

    group = Group(commit, busy_seconds=10)
    outcomes: list[BaseException] = []

    def submit() -> None:
        with pytest.raises(BaseException) as caught:
            group.submit(lambda _: None)
        outcomes.append(caught.value)

    threads = [threading.Thread(target=submit) for _ in range(2)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    time.sleep(0.05)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert runs == ["committed"]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["KeyboardInterrupt", StorageUnknown.__name__]


@pytest.mark.parametrize("promoted", [False, True])
def test_interrupted_waiter_is_not_missed(promoted: bool) -> None:
    """A signal that hits a thread while it waits takes its unit out of the queue, or its lead on to the next."""
    group = Group(_run_own, busy_seconds=10)
    inside, go_on, ran = threading.Event(), threading.Event(), []

    def hold(_: object) -> None:
        inside.set()
        assert go_on.wait(10)

    def interrupt(*_: object) -> None:
        if promoted:  # the lead comes to this thread at the very moment of the signal
            go_on.set()
            time.sleep(0.2)
        raise KeyboardInterrupt

    holder = threading.Thread(target=group.submit, args=(hold,))
    holder.start()
    assert inside.wait(10)
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            group.submit(lambda _: ran.append("main"))
    finally:
        signal.signal(signal.SIGALRM, previous)
    go_on.set()
    holder.join(10)
    last = threading.Thread(target=group.submit, args=(lambda _: ran.append("last"),))
    last.start()
    last.join(5)
    assert not last.is_alive(), "nobody leads any more"
    assert ran[-1] == "last"


def test_leader_commits_one_batch_and_hands_on() -> None:
    """No thread may work for the others for ever: who waits leads the next batch, and no batch passes the limit."""
    batches: list[tuple[int, int, int]] = []

    def commit(batch: Batch) -> None:
        while batch.take() is not None:
            pass
        batches.append((threading.get_ident(), len(batch.units), len(group._queue)))
        time.sleep(0.001)

    group = Group(commit, busy_seconds=10, most=4)

    def work() -> None:
        for _ in range(20):
            group.submit(lambda _: None)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(size for _, size, _ in batches) == 160
    assert max(size for _, size, _ in batches) == 4
    handed_on = [(leader, heir) for (leader, _, waiting), (heir, _, _) in pairwise(batches) if waiting]
    assert len(handed_on) > 10
    assert all(leader != heir for leader, heir in handed_on), "a thread led on while others waited"


def test_waiting_is_bounded(grouped_url: str, opened: Callable[..., Database]) -> None:
    """A unit that cannot get its turn says so in time, is not run afterwards, and the next ones go on."""
    shop = opened(grouped_url, busy_seconds=0.2)
    migrate(shop, [SHOP])
    crowd = Crowd(shop)
    crowd.hold()
    crowd.start("late", lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('late', 1)"))
    time.sleep(0.4)
    assert isinstance(crowd.outcomes["late"], StorageBusy)
    crowd.finish()
    assert shop.tx(lambda tx: tx.all("SELECT sku FROM stock")) == []


def test_uncontended_unit_stays_on_its_thread(shop: Database) -> None:
    """Without contention the caller leads itself: a switch of threads would cost more than the unit."""
    assert shop.tx(lambda _: threading.get_ident()) == threading.get_ident()


def _run_own(batch: Batch) -> None:
    batch.units[0].result = batch.units[0].fn(None)  # and no other: who waits gets the lead


def _count_commits(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    done: list[int] = []

    def counting(runner: Runner, ground: Ground, batch: Batch) -> bool:
        stands = run(runner, ground, batch)
        done.append(len(batch.units))
        return stands

    run = Runner.run
    monkeypatch.setattr(Runner, "run", counting)
    return lambda: len(done)


def _runner(database: Database) -> Runner:
    if isinstance(database, SqliteDatabase):
        return database._process.writer._runner
    assert isinstance(database, PostgresDatabase)
    return database._lane._runner
