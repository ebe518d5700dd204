"""One token is valid at a time: workers share it, and a void one is exchanged once, not by every worker."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import Done, NotSent
from gateway.sdk.simulator import Fault
from gateway.testing.context import FileStore, build, call
from plugins.messages.adapter import OfficialAccountAdapter
from plugins.messages.conformance import message
from tests.plugins.messages.support import Account, key

WORKERS, EACH = 4, 4


def work(settings: dict[str, Any], store: Path, spool: Path, who: str, first: int, gate: Any, told: Any) -> None:
    """A worker process: it waits until all are there, then sends."""
    adapter = build(OfficialAccountAdapter, settings, spool, store=FileStore(store))
    gate.wait(60)
    kinds = []
    for number in range(first, first + EACH):
        for attempt in (1, 2, 3):
            try:
                answer = adapter.message_send(request=message(who), call=call(key(number), attempt=attempt))
                kinds.append(type(answer).__name__)
                break
            except NotSent:
                continue
    told.put(kinds)


def race(account: Account, machines: int) -> list[str]:
    """All workers of so many machines send at once; what came of each message."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    gate, told = context.Barrier(WORKERS), context.Queue()
    processes = []
    for worker in range(WORKERS):
        spool = account.folder / f"machine{worker % machines}"
        spool.mkdir(exist_ok=True)
        arguments = (account.settings(), account.folder / "store.db", spool, account.follower(worker), worker * 100)
        processes.append(context.Process(target=work, args=(*arguments, gate, told), daemon=True))
    for process in processes:
        process.start()
    kinds = [kind for _ in processes for kind in told.get(timeout=60)]
    for process in processes:
        process.join(10)
    return kinds


def test_workers_that_start_at_once_fetch_one_token(account: Account) -> None:
    """Each fetching its own would make the others' void, again and again: nobody would get a message through."""
    assert race(account, machines=1) == ["Done"] * (WORKERS * EACH)
    assert len(account.sent) == WORKERS * EACH
    assert account.tokens == 1


@pytest.mark.slow
def test_workers_that_are_all_refused_at_once_fetch_one_new_token(account: Account) -> None:
    account.adapter.check()
    account.simulator.control({"do": "fetch_token"})  # another program made ours void
    assert race(account, machines=1) == ["Done"] * (WORKERS * EACH)
    assert account.tokens == 3


@pytest.mark.slow
def test_machines_that_fetch_at_once_come_to_rest(account: Account) -> None:
    """There is no lock between machines: they may void each other's token once or twice, and then share one."""
    assert race(account, machines=3) == ["Done"] * (WORKERS * EACH)
    assert len(account.sent) == WORKERS * EACH
    settled = account.tokens
    assert settled < WORKERS * EACH / 2
    for number, machine in enumerate(("one", "two", "three")):
        answer = account.worker(machine).message_send(request=message(account.follower()), call=call(key(900 + number)))
        assert isinstance(answer, Done)
    assert account.tokens <= settled + 1


@pytest.mark.parametrize("fault", ["token_taken", "token_expired"])
def test_a_token_that_is_refused_costs_one_exchange_and_no_second_message(account: Account, fault: str) -> None:
    account.adapter.check()
    account.once(fault, "template")
    assert isinstance(account.send(), Done)
    assert len(account.sent) == 1
    assert account.simulator.books()["requests"]["token"] == 2


def test_a_token_is_exchanged_before_its_life_ends(account: Account) -> None:
    """In its last minutes it is not used any more: a clock that is a little off would make a message fail."""
    account.adapter.check()
    late = account.worker(ahead_s=7200 - 200)
    answer = late.message_send(request=message(account.follower()), call=call(key(1), seconds=7200))
    assert isinstance(answer, Done)
    assert account.tokens == 2 and account.simulator.books()["requests"]["template"] == 1, "none was refused"


def test_a_program_that_keeps_taking_the_token_is_named(account: Account) -> None:
    """Two programs with one account void each other's tokens for ever: a person must hear of it, not a full log."""
    account.adapter.check()
    account.simulator.faults.set([Fault("token_taken", match="template")])
    with pytest.raises(NotSent, match="another program"):
        account.send()
    assert account.sent == [] and account.simulator.books()["requests"]["template"] == 2


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "garbage", "half_body", "error", "token_refused"])
def test_no_token_means_that_nothing_was_sent(account: Account, fault: str) -> None:
    account.once(fault, "token")
    with pytest.raises(NotSent):
        account.send()
    assert account.sent == []
    assert isinstance(account.send(attempt=2), Done)


def test_a_worker_that_hangs_with_the_lock_lets_others_give_up_in_time(account: Account) -> None:
    """A worker stopped in the middle of a fetch must not stop all others for longer than their own deadline."""
    holder = account.adapter._client._tokens
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with holder._locked(account.adapter.context.clock()):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert entered.wait(5)
        with pytest.raises(NotSent, match="still fetching"):
            account.send(seconds=0.3)
    finally:
        leave.set()
        thread.join()
    assert isinstance(account.send(attempt=2), Done)


def test_a_changed_secret_or_account_does_not_use_the_old_token(account: Account) -> None:
    """The token is sealed under the secret, for the account: settings that changed fetch their own."""
    account.adapter.check()
    tokens = account.adapter._client._tokens
    other = type(tokens)(tokens._fetch, tokens._store, account.folder, tokens._clock, "wx1", "another secret")
    assert tokens._kept() and not other._kept()
