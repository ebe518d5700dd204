"""What an adapter may do wrong, and what the engine is told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from socket import socket

import pytest
from prometheus_client import REGISTRY

from gateway.runtime import Connection, Discovery, Runtime
from gateway.sdk import (
    AdapterError,
    Declined,
    DeclineReason,
    Done,
    Identity,
    IdentityType,
    MemberLookup,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    Pending,
    PluginError,
    Secret,
    StatementRequest,
    Step,
    StockReserve,
)
from gateway.store.errors import StorageConflict
from tests.runtime.kit import SITE, call, charge, database_of, host, query, running, write_config

LOOKUP = MemberLookup(identity=Identity(type=IdentityType.PHONE, value=Secret("13800000000")))


def reserve(order_no: str) -> StockReserve:
    return StockReserve(store_id="s1", items=(), slots=(), order_no=order_no, site=SITE, ttl_s=60)


def test_outcomes_pass_unchanged(pay: Connection) -> None:
    assert pay.change("payment_charge", charge(), call()) == Done(ref="T1", amount=500)
    assert pay.change("payment_charge", charge("declined"), call()) == Declined(reason=DeclineReason.CODE_EXPIRED)
    assert pay.change("payment_charge", charge("pending"), call()) == Pending(ref="T1")
    assert pay.query(query()) == NotFound(final=True)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("nothing", PluginError),
        ("float", PluginError),
        ("not_found", PluginError),
        ("key_error", PluginError),
        ("exit", PluginError),
        ("base_error", PluginError),
        ("unknown", OutcomeUnknown),
        ("not_sent", NotSent),
        ("not_supported", NotSupported),
        ("misconfigured", Misconfigured),
    ],
)
def test_every_way_to_go_wrong_has_its_class(pay: Connection, subject: str, expected: type[AdapterError]) -> None:
    with pytest.raises(AdapterError) as caught:
        pay.change("payment_charge", charge(subject), call())
    assert type(caught.value) is expected


def test_the_text_of_a_plugins_exception_is_not_repeated(pay: Connection) -> None:
    """It may hold a secret; the class and the place are enough to find the bug."""
    with pytest.raises(PluginError, match=r"pay\.payment_charge raised KeyError at kit\.py:\d+") as caught:
        pay.change("payment_charge", charge("key_error"), call())
    assert "4711" not in str(caught.value) and caught.value.__suppress_context__


def test_a_secret_cannot_get_into_the_journal_by_facts(pay: Connection) -> None:
    request = replace(charge("secret_fact"), auth_code=Secret("134567890123456789"))
    with pytest.raises(PluginError, match="facts are not JSON"):
        pay.change("payment_charge", request, call())


@pytest.mark.parametrize("subject", ["send_then_misconfigured", "send_then_not_supported"])
def test_wrong_settings_told_after_a_byte_left_are_unknown(tmp_path: Path, discovery: Discovery, subject: str) -> None:
    """``Misconfigured`` and ``NotSupported`` count as not sent only if the SDK saw no byte leave."""

    def answer(client: socket) -> None:
        client.recv(100)
        client.sendall(b"no\n")

    with host(answer) as port, running(write_config(tmp_path, "m1", port=port), discovery) as runtime:
        pay = runtime.connection("m1", "pay")
        with pytest.raises(OutcomeUnknown) as caught:
            pay.change("payment_charge", charge(subject), call())
        assert not isinstance(caught.value, NotSent)
        with pytest.raises(Misconfigured):  # the next call begins with nothing sent
            pay.change("payment_charge", charge("misconfigured"), call())


def test_a_hanging_adapter_is_left_behind_and_its_outcome_unknown(pay: Connection) -> None:
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="did not come back"):
        pay.change("payment_charge", charge("hang"), call(0.1))
    assert time.monotonic() - began < 1.0
    assert pay.state.hung == 1
    assert pay.change("payment_charge", charge(), call()) == Done(ref="T1", amount=500)
    release(pay)
    wait_until(lambda: pay.state.hung == 0 and pay.state.busy == 0)


@pytest.mark.parametrize("subject", ["send_late", "send_late_by_http"])
def test_what_wakes_up_after_its_deadline_sends_nothing(tmp_path: Path, discovery: Discovery, subject: str) -> None:
    """By then the engine may have asked, reversed, and given the goods to another: a late message would undo that."""
    heard: list[bytes] = []
    with (
        host(lambda client: heard.append(client.recv(100))) as port,
        running(write_config(tmp_path, "m1", port=port), discovery) as runtime,
    ):
        pay = runtime.connection("m1", "pay")
        with pytest.raises(OutcomeUnknown, match="did not come back"):
            pay.change("payment_charge", charge(subject), call(0.05))
        time.sleep(0.06)
        release(pay)
        wait_until(lambda: adapter_of(pay).late_error is not None)
        assert "nothing more is sent" in str(adapter_of(pay).late_error)
    assert b"".join(heard) == b""


def test_what_wakes_up_after_its_deadline_begins_no_further_step(pay: Connection) -> None:
    """Nor does it write to a journal whose checkout others have gone on with."""
    journal: list[Step] = []
    with pytest.raises(OutcomeUnknown):
        pay.change("payment_charge", charge("steps"), call(0.05, journal=journal.append))
    time.sleep(0.06)
    release(pay)
    wait_until(lambda: adapter_of(pay).late_error is not None)
    assert [(step.name, step.done) for step in journal] == [("open", False), ("open", True)]


def test_when_all_slots_hang_nothing_is_sent(pay: Connection) -> None:
    """A call that never got a thread is provably not sent; the breaker does not take that for the system's fault."""
    threads = [threading.Thread(target=swallow, args=(pay, "hang", 0.1)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(NotSent, match="all 2 slots"):
        pay.change("payment_charge", charge(), call(0.1))
    assert pay.state.failures_in_a_row == 2
    release(pay)
    wait_until(lambda: pay.state.hung == 0)
    assert pay.change("payment_charge", charge(), call()) == Done(ref="T1", amount=500)


def test_a_call_that_waited_too_long_for_a_slot_is_not_begun(pay: Connection) -> None:
    """With little time left it would be cut off half way, and nobody would know what came of it."""
    with ThreadPoolExecutor(2) as clients:
        before = [clients.submit(pay.change, "payment_charge", charge("hang"), call(5)) for _ in range(2)]
        wait_until(lambda: adapter_of(pay).running == 2)
        began = time.monotonic()
        with pytest.raises(NotSent, match="slots"):
            pay.change("payment_charge", charge(), call(0.4))
        assert 0.15 < time.monotonic() - began < 0.39
        release(pay)
        assert [running.result(5) for running in before] == [Done(ref="late")] * 2


def test_no_more_calls_at_a_time_than_the_adapter_bears(pay: Connection) -> None:
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: pay.change("payment_charge", charge("slow"), call()), range(8)))
    assert answers == [Done()] * 8
    assert adapter_of(pay).most == 2


def test_a_deadline_that_has_passed_sends_nothing(pay: Connection) -> None:
    with pytest.raises(NotSent, match="deadline"):
        pay.change("payment_charge", charge(), call(-1))


def test_three_failures_in_a_row_open_the_breaker(pay: Connection) -> None:
    for _ in range(3):
        swallow(pay, "unknown")
    assert pay.state.breaker == "open"
    with pytest.raises(NotSent, match="taken for down"):
        pay.change("payment_charge", charge(), call())
    with pytest.raises(NotSent, match="taken for down"):
        pay.find_member(LOOKUP)


def test_a_decline_is_no_failure(pay: Connection) -> None:
    for _ in range(10):
        pay.change("payment_charge", charge("declined"), call())
    for _ in range(10):
        swallow(pay, "not_supported")
    assert pay.state.breaker == "closed"


def test_a_bug_in_one_hook_does_not_close_the_others(pay: Connection) -> None:
    for _ in range(10):
        swallow(pay, "key_error")
        swallow(pay, "nothing")
    assert pay.state.breaker == "closed"
    for _ in range(3):
        swallow(pay, "network_error")
    assert pay.state.breaker == "open"


def test_ups_and_downs_are_told_once_each(tmp_path: Path, discovery: Discovery) -> None:
    heard: list[tuple[str, bool]] = []
    with running(write_config(tmp_path, "m1"), discovery) as made:
        runtime = Runtime(
            made.config,
            discovery,
            database_of(made),
            listener=lambda connection, up: heard.append((connection.name, up)),
        )
        pay = runtime.connection("m1", "pay")
        for _ in range(3):
            swallow(pay, "unknown")
        swallow(pay, "done")  # refused
        pay.check()
        pay.change("payment_charge", charge(), call())
        runtime.close()
    assert heard == [("pay", False), ("pay", True)]


def test_calls_are_counted_by_outcome(pay: Connection) -> None:
    def counted(outcome: str) -> float:
        labels = {"adapter": "pay", "hook": "payment_charge", "outcome": outcome}
        return REGISTRY.get_sample_value("gateway_adapter_calls_total", labels) or 0.0

    outcomes = ("done", "declined", "pending", "unknown", "not_sent", "plugin_error", "breaker_open")
    before = {name: counted(name) for name in outcomes}
    for subject in ("done", "declined", "pending", "key_error", "done", "unknown", "not_sent", "unknown", "done"):
        with suppress(AdapterError):
            pay.change("payment_charge", charge(subject), call())
    counts = {name: counted(name) - before[name] for name in outcomes}
    assert counts == {
        "done": 2,
        "declined": 1,
        "pending": 1,
        "unknown": 2,
        "not_sent": 1,
        "plugin_error": 1,
        "breaker_open": 1,
    }


def test_a_check_that_succeeds_closes_the_breaker(pay: Connection) -> None:
    for _ in range(3):
        swallow(pay, "not_sent")
    pay.check()
    assert pay.state.breaker == "closed"


def test_reads_have_their_own_time_limit_and_type(pay: Connection) -> None:
    member = pay.find_member(LOOKUP)
    assert member is not None and member.ref == "m1"
    assert pay.find_member(replace(LOOKUP, store_id="nobody")) is None
    page = pay.statement("payment_statement", StatementRequest(business_date=SITE.business_date))
    assert [row.ref for row in page.items] == ["1"]
    with pytest.raises(PluginError, match="expected Member"):
        pay.find_member(replace(LOOKUP, store_id="wrong"))


def test_a_hook_that_is_not_there_is_not_supported(pay: Connection) -> None:
    with pytest.raises(NotSupported, match="payment_refund"):
        pay.change("payment_refund", charge(), call())
    with pytest.raises(NotSupported):
        pay.query(query("message_send"))


def test_registering_runs_no_property_of_the_adapter(pay: Connection) -> None:
    """``lazy`` raises when it is read."""
    assert pay.change("payment_charge", charge(), call()).ref == "T1"  # type: ignore[union-attr]


def test_an_embedded_adapter_runs_inside_the_callers_transaction(runtime: Runtime) -> None:
    """Called in the unit's own thread, and undone with it."""
    house, database = runtime.connection("m1", "house"), database_of(runtime)

    def unit(tx: object) -> Done:
        answer = house.change("stock_reserve", reserve("a"), call(tx=tx))
        assert isinstance(answer, Done) and answer.ref == threading.current_thread().name
        raise ValueError("undo")

    with pytest.raises(ValueError, match="undo"):
        database.tx(unit)
    assert database.read(lambda tx: tx.all("SELECT sku FROM house_test")) == []


def test_the_stores_errors_end_an_embedded_adapters_unit(runtime: Runtime) -> None:
    """Were they turned into something else, the engine could go on in a transaction that is lost."""
    house, database = runtime.connection("m1", "house"), database_of(runtime)
    database.tx(lambda tx: house.change("stock_reserve", reserve("a"), call(tx=tx)))
    with pytest.raises(StorageConflict):
        database.tx(lambda tx: house.change("stock_reserve", reserve("a"), call(tx=tx)))
    with pytest.raises(PluginError):
        database.tx(lambda tx: house.change("stock_reserve", reserve("bug"), call(tx=tx)))


def adapter_of(connection: Connection):  # type: ignore[no-untyped-def]
    """The adapter's instance, to look at what it saw."""
    connection._ready()
    return connection._adapter


def release(connection: Connection) -> None:
    adapter_of(connection).release.set()


def swallow(connection: Connection, subject: str, seconds: float = 5.0) -> None:
    with pytest.raises(AdapterError):
        connection.change("payment_charge", charge(subject), call(seconds))


def wait_until(true: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.01)
