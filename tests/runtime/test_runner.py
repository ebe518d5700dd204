"""An adapter in a process of its own: what it does to itself it does not do to the gateway, and nothing is guessed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.runtime import ConfigError, Connection, Runtime, discover
from gateway.runtime.runner.codec import CodecError, decode, encode
from gateway.sdk import Done, NotFound, NotSent, OutcomeUnknown, Pending, PluginError, Secret, Step
from tests.runtime.kit import HouseAdapter, call, charge, plugin, query, running
from tests.runtime.rough import RoughAdapter

FILE = """
[merchant]
id = "m1"
name = "Shop"
[[stores]]
id = "s1"
name = "One"
[connections.rough]
adapter = "{adapter}"
grace_s = 0.1
query_timeout_s = 3
breaker_open_s = 0.05
{runner}
{settings}
"""
#: Other ways to end, with what is slow left to the longer runs.
SLOW = [pytest.param(subject, marks=pytest.mark.slow) for subject in ("os_exit", "garbage", "spin", "sleep 20")]
SETTINGS = '[connections.rough.settings]\nnote = "n1"\nkey = "env:ROUGH_KEY"\n'


@contextmanager
def rough(folder: Path, runner: str = "runner = true", settings: str = "", adapter: str = "rough") -> Iterator[Runtime]:
    os.environ["ROUGH_KEY"] = "sk-rough-4711"
    folder.joinpath("merchants").mkdir()
    text = FILE.format(runner=runner, settings=(SETTINGS + settings) if adapter == "rough" else "", adapter=adapter)
    folder.joinpath("merchants", "m1.toml").write_text(text, encoding="utf-8")
    folder.joinpath("data").mkdir()
    file = folder / "gateway.toml"
    file.write_text('data = "data"\nmerchants = ["merchants"]\n', encoding="utf-8")
    discovery = discover(entry_points=[plugin("rough", RoughAdapter), plugin("house", HouseAdapter)])
    with running(file, discovery) as runtime:
        yield runtime


@pytest.fixture
def pay(tmp_path: Path) -> Iterator[Connection]:
    with rough(tmp_path) as runtime:
        connection = runtime.connection("m1", "rough")
        connection.change("payment_charge", charge(), call(20))  # started: the tests below need not wait for it
        yield connection


def do(pay: Connection, subject: str, seconds: float = 5.0, **more: object) -> object:
    return pay.change("payment_charge", charge(subject), call(seconds, **more))


def pid_of(answer: object) -> int:
    assert isinstance(answer, Done)
    return int(answer.ref.removeprefix("R-"))


def again(pay: Connection) -> object:
    """A call that goes well, once the process has been started again."""
    end = time.monotonic() + 15
    while True:
        try:
            return do(pay, "done", 10)
        except NotSent:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_it_is_another_process_and_the_same_for_every_call(pay: Connection) -> None:
    first = pid_of(do(pay, "done"))
    assert first != os.getpid() and pid_of(do(pay, "done")) == first
    assert do(pay, "pending") == Pending(ref="P")
    assert pay.query(query()) == NotFound()
    pay.check()


def test_it_has_its_own_settings_and_nothing_else_of_ours(pay: Connection) -> None:
    """No database, no other secret: what the environment holds for others is not there."""
    assert do(pay, "settings") == Done(facts={"note": "n1", "key": "4711"})
    facts = do(pay, "environment").facts  # type: ignore[attr-defined]
    assert facts["database"] is False and "ROUGH_KEY" not in facts["names"]
    assert set(facts["names"]) <= {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH"} | {
        name for name in facts["names"] if name.startswith(("SSL_", "ODBC"))
    }


def test_its_store_and_its_log_are_the_gateways(pay: Connection, caplog: pytest.LogCaptureFixture) -> None:
    assert do(pay, "store v1") == Done(facts={"k": "v1", "keys": ["k"], "again": False})
    assert "kept v1" in caplog.text


@pytest.mark.parametrize("subject", ["segfault", "hog", "hold_gil", *SLOW])
def test_whatever_ends_it_is_unknown_and_the_next_call_is_served(tmp_path: Path, subject: str) -> None:
    """It had the call in hand: something may have been sent. The gateway lives, and so does the connection."""
    with rough(tmp_path, "runner = true\nrunner_memory_mb = 512\nrunner_cpu_s = 1") as runtime:
        pay = runtime.connection("m1", "rough")
        first = pid_of(do(pay, "done", 20))
        began = time.monotonic()
        with pytest.raises((OutcomeUnknown, PluginError)):
            do(pay, subject, 2)
        assert time.monotonic() - began < 4
        second = pid_of(again(pay))
        assert second != first and not Path(f"/proc/{first}").exists()


def test_what_python_can_catch_is_told_without_its_text(pay: Connection) -> None:
    for subject in ("exit", "secret_error", "cancelled"):
        with pytest.raises((PluginError, OutcomeUnknown)) as caught:
            do(pay, subject)
        assert "4711" not in str(caught.value)
        again(pay)
    with pytest.raises(NotSent, match="refused"):
        do(pay, "not_sent")


def test_a_process_that_cannot_start_has_sent_nothing_and_is_not_started_at_every_call(tmp_path: Path) -> None:
    with rough(tmp_path, settings='broken = "exit"\n') as runtime:
        pay = runtime.connection("m1", "rough")
        with pytest.raises(NotSent, match="ended while it started"):
            do(pay, "done", 10)
        began = time.monotonic()
        with pytest.raises(NotSent):
            do(pay, "done", 10)
        assert time.monotonic() - began < 0.1


def test_a_process_that_was_gone_before_the_call_has_sent_nothing(pay: Connection) -> None:
    os.kill(pid_of(do(pay, "done")), 9)
    time.sleep(0.1)
    with pytest.raises(NotSent):
        do(pay, "done")
    again(pay)


def test_a_step_is_journalled_before_the_process_goes_on(pay: Connection) -> None:
    journal: list[Step] = []
    assert do(pay, "steps", journal=journal.append) == Done(ref="both")
    assert [(step.name, step.ref, step.done) for step in journal] == [
        ("open", "r1", False),
        ("open", "r1", True),
        ("tender", "r2", False),
        ("tender", "r2", True),
    ]


def test_a_step_that_cannot_be_journalled_is_not_taken(pay: Connection) -> None:
    def refuse(step: Step) -> None:
        raise OutcomeUnknown("the claim is gone")

    with pytest.raises(OutcomeUnknown, match="the claim is gone"):
        do(pay, "steps", journal=refuse)


def test_a_driver_that_blocks_outlives_its_deadline_and_is_asked_later(tmp_path: Path) -> None:
    """A terminal that reads a card for a minute and a half must not be killed in the middle of it."""
    with rough(tmp_path, "runner = true\nrunner_patience_s = 20\nmax_parallel = 1") as runtime:
        pay = runtime.connection("m1", "rough")
        do(pay, "done", 20)
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="did not come back"):
            do(pay, "terminal 2.5", 0.5)
        assert time.monotonic() - began < 1.5
        with pytest.raises(NotSent):  # the terminal is busy: it serves one call at a time
            pay.query(query(), timeout_s=0.5)
        end = time.monotonic() + 10
        while pay.state.hung and time.monotonic() < end:
            time.sleep(0.05)
        assert pay.query(query()) == Done(ref="asked", amount=500)


def test_a_thousand_calls(pay: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    """What a process of its own costs, printed: it depends on the machine."""
    began = time.monotonic()
    for _ in range(1000):
        do(pay, "done")
    with capsys.disabled():
        print(f"\n1,000 calls through a runner: {(time.monotonic() - began) * 1000:.0f} µs each")


def test_closing_a_connection_ends_its_processes(tmp_path: Path) -> None:
    with rough(tmp_path) as runtime:
        pay = runtime.connection("m1", "rough")
        pid = pid_of(do(pay, "done", 20))
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()


def test_an_embedded_adapter_cannot_have_a_process_of_its_own(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"connections\.rough\.runner: .*own transaction"),
        rough(tmp_path, adapter="house-test"),
    ):
        raise AssertionError("it was accepted")


def test_the_bounds_of_a_process_need_one(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"connections\.rough\.runner_memory_mb: needs runner"),
        rough(tmp_path, runner="runner_memory_mb = 512"),
    ):
        raise AssertionError("it was accepted")


def test_every_request_comes_over_as_it_was() -> None:
    for value in (charge(), query(), Done(facts={"a": [1, {"b": None}], "c": 1.5}), {"k": (Secret("x"), b"\x00")}):
        assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"nonsense",
        b'{"$":"Done"}',
        b'{"a":1}',
        b'{"$":"Popen","is":{}}',
        b'{"$":"Done","is":{"ref":"x"}}',
        b'{"$":"enum","is":["Done",1]}',
        b'{"$":"enum","is":[1]}',
        b'{"$":"decimal","is":"x"}',
        b'{"$":"map","is":[1]}',
        b"[" * 100_000,
    ],
)
def test_nothing_but_the_domains_records_comes_over(garbage: bytes) -> None:
    """What a process that has gone wrong writes may make the call unknown, and nothing else."""
    with pytest.raises(CodecError):
        decode(garbage)


def test_what_cannot_be_handed_over_is_told() -> None:
    with pytest.raises(CodecError):
        encode(object())
    with pytest.raises(CodecError):
        encode({"n": float("nan")})
