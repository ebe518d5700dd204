"""Connections are built lazily, kept apart by merchant, rebuilt when their configuration changes."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.runtime import ConfigError, Connection, Discovery, Runtime
from gateway.runtime.health import check_connections, health
from gateway.sdk import AdapterError, Done, Identity, IdentityType, MemberLookup, NotSent, OutcomeUnknown, Secret
from tests.runtime.kit import PayAdapter, call, charge, database_of, running, write_config

LOOKUP = MemberLookup(identity=Identity(type=IdentityType.PHONE, value=Secret("13800000000")))


def adapter_of(connection: Connection) -> PayAdapter:
    connection._ready()
    adapter = connection._adapter
    assert isinstance(adapter, PayAdapter)
    return adapter


def test_one_merchants_connection_knows_nothing_of_anothers(runtime: Runtime) -> None:
    """Same adapter, two merchants: instance, relay, settings, store, spool folder and breaker are each one's own."""
    one, two = runtime.connection("m1", "pay"), runtime.connection("m2", "pay")
    first, second = adapter_of(one), adapter_of(two)
    assert first is not second and one._relay is not two._relay
    member = two.find_member(LOOKUP)
    assert member is not None and member.ref == "m2"
    first.context.store.put("token", "of m1")
    assert second.context.store.get("token") is None and second.context.store.keys() == []
    assert first.context.spool != second.context.spool and first.context.http is not second.context.http
    for _ in range(3):
        with pytest.raises(AdapterError):
            one.change("payment_charge", charge("unknown"), call())
    assert (one.state.breaker, two.state.breaker) == ("open", "closed")
    assert two.change("payment_charge", charge(), call()) == Done(ref="T1", amount=500)


def test_no_other_merchants_adapter_can_be_reached_from_a_relay(runtime: Runtime) -> None:
    """Each caller of a relay is a hook of its own adapter."""
    for merchant in ("m1", "m2"):
        connection = runtime.connection(merchant, "pay")
        own = adapter_of(connection)
        for caller in connection._ready().values():
            assert caller.__self__ is own  # type: ignore[attr-defined]


def test_an_adapters_store_is_durable(tmp_path: Path, discovery: Discovery) -> None:
    file = write_config(tmp_path, "m1")
    with running(file, discovery) as runtime:
        store = adapter_of(runtime.connection("m1", "pay")).context.store
        store.put("token", {"value": "第一", "until": 5})
        store.put("token_2", [1])
        store.put("other", None)
        store.delete("never")
        assert store.put_new("number/7", "K1") and not store.put_new("number/7", "K2")
        assert store.get("number/7") == "K1"
        store.delete("number/7")
    with running(file, discovery) as runtime:
        store = adapter_of(runtime.connection("m1", "pay")).context.store
        assert store.get("token") == {"value": "第一", "until": 5}
        assert store.keys("token") == ["token", "token_2"] and store.keys() == ["other", "token", "token_2"]
        store.delete("token")
        assert store.get("token") is None
        with pytest.raises(TypeError):
            store.put("x", object())


def test_the_store_of_one_name_is_not_a_pattern(runtime: Runtime) -> None:
    """``%`` and ``_`` in a prefix mean themselves."""
    store = adapter_of(runtime.connection("m1", "pay")).context.store
    for key in ("a_b", "axb", "a%b"):
        store.put(key, 1)
    assert store.keys("a_") == ["a_b"] and store.keys("a%") == ["a%b"]


def test_connections_are_made_once_under_contention(tmp_path: Path, discovery: Discovery) -> None:
    with running(write_config(tmp_path, "m1"), discovery) as runtime, ThreadPoolExecutor(16) as clients:
        barrier = threading.Barrier(16)

        def ask(_: int) -> PayAdapter:
            barrier.wait(5)
            connection = runtime.connection("m1", "pay")
            connection.change("payment_charge", charge(), call())
            return adapter_of(connection)

        assert len(set(clients.map(ask, range(16)))) == 1


def test_nothing_is_built_before_its_first_use(runtime: Runtime) -> None:
    connection = runtime.connection("m1", "pay")
    assert connection.has("payment_charge") and connection.capabilities and not connection.state.built
    connection.change("payment_charge", charge(), call())
    assert connection.state.built


def test_a_runtime_made_before_fork_works_in_the_child(runtime: Runtime) -> None:
    """Connections are asked for before ``fork`` and first used after it, in each process by itself."""
    connection = runtime.connection("m1", "pay")
    child = os.fork()
    if child == 0:
        done = connection.change("payment_charge", charge(), call())
        os._exit(0 if done == Done(ref="T1", amount=500) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert connection.change("payment_charge", charge(), call()) == Done(ref="T1", amount=500)


def edit(folder: Path, merchant: str, old: str, new: str) -> None:
    file = folder / "merchants" / f"{merchant}.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_reloading_closes_what_has_changed_and_nothing_else(runtime: Runtime, tmp_path: Path) -> None:
    one, two = runtime.connection("m1", "pay"), runtime.connection("m2", "pay")
    first, second = adapter_of(one), adapter_of(two)
    edit(tmp_path, "m1", 'note = "m1"', 'note = "new"')
    assert runtime.reload() == ["m1/pay"]
    assert first.closed == 1 and second.closed == 0
    assert runtime.connection("m2", "pay") is two
    member = runtime.connection("m1", "pay").find_member(LOOKUP)
    assert member is not None and member.ref == "new"
    with pytest.raises(NotSent, match="configuration has changed"):
        one.change("payment_charge", charge(), call())
    assert runtime.reload() == []


def test_a_wrong_file_changes_nothing(runtime: Runtime, tmp_path: Path) -> None:
    before = runtime.connection("m1", "pay")
    edit(tmp_path, "m1", 'adapter = "pay"', 'adapter = "nil"')
    with pytest.raises(ConfigError):
        runtime.reload()
    assert runtime.connection("m1", "pay") is before
    assert before.change("payment_charge", charge(), call()) == Done(ref="T1", amount=500)


def test_a_call_under_way_ends_before_its_adapter_is_closed(runtime: Runtime, tmp_path: Path) -> None:
    connection = runtime.connection("m1", "pay")
    adapter = adapter_of(connection)
    with ThreadPoolExecutor(1) as client:
        running_call = client.submit(connection.change, "payment_charge", charge("hang"), call(5))
        wait(lambda: adapter.running == 1)
        edit(tmp_path, "m1", 'note = "m1"', 'note = "new"')
        runtime.reload()
        assert adapter.closed == 0
        adapter.release.set()
        assert running_call.result(5) == Done(ref="late")
    wait(lambda: adapter.closed == 1)


def test_health_tells_what_is_down(runtime: Runtime) -> None:
    connection = runtime.connection("m1", "pay")
    assert [facts.ok for facts in health(runtime).connections] == [True]
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            connection.change("payment_charge", charge("unknown"), call())
    (down,) = health(runtime).down
    assert (down.merchant, down.connection, down.breaker) == ("m1", "pay", "open")
    assert down.last_error == "OutcomeUnknown in payment_charge: reset" and down.last_success_at is None
    assert health(runtime).ok, "a legacy system that is down does not make the gateway unready"


def test_checks_tell_a_person_what_to_do(runtime: Runtime, tmp_path: Path) -> None:
    edit(tmp_path, "m2", 'note = "m2"', 'note = "broken"')
    runtime.reload()
    told = {(checked.merchant, checked.connection): checked for checked in check_connections(runtime)}
    assert told["m1", "pay"].ok is True
    assert told["m2", "pay"].text == "Misconfigured: settings.note: say something else"
    assert told["m1", "house"].ok is None and "no check" in told["m1", "house"].text
    assert [checked.merchant for checked in check_connections(runtime, "m2")] == ["m2", "m2"]


def test_the_database_is_given_to_embedded_adapters_alone(runtime: Runtime) -> None:
    assert adapter_of(runtime.connection("m1", "pay")).context.database is None
    house = runtime.connection("m1", "house")
    house._ready()
    assert house._adapter is not None and house._adapter.context.database is database_of(runtime)


def test_five_hundred_merchants_are_cheap(tmp_path: Path, discovery: Discovery) -> None:
    """Loaded, routed and called once each, in seconds; idle ones keep no thread."""
    names = [f"m{number:03}" for number in range(500)]
    file = write_config(tmp_path, *names)
    began = time.process_time()
    with running(file, discovery) as runtime:
        loaded = time.process_time() - began
        for name in names:
            connection = runtime.route(name, "payments")
            assert connection is not None and connection.has("payment_charge")
        routed = time.process_time() - began - loaded
        assert not any(connection.state.built for connection in runtime.opened())
        for name in names[:100]:
            runtime.connection(name, "pay").change("payment_charge", charge(), call())
        called = (time.process_time() - began - loaded - routed) / 100
        assert threading.active_count() < 130
    assert loaded < 5 and routed < 1 and called < 0.02, (loaded, routed, called)


def wait(true: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.01)
