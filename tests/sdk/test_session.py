"""Sessions over real sockets: what needs a sign-on never goes without one; what fails before a change is `NotSent`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import Busy, Counter, Misconfigured, NotSent, OutcomeUnknown, Session, Sessions, tcp
from gateway.sdk.transports import wire
from tests.sdk.cardhost import FRAMES, PASSWORD, CardHost, card_host
from tests.sdk.kit import ROOT

NUMBERS = Counter(1, 9999)
State = dict[str, int]


def signing_on(password: str = PASSWORD) -> Callable[[Session[State]], State]:
    def sign_on(session: Session[State]) -> State:
        _, code, *told = session.ask(f"LG|{password}".encode(), timeout=2).decode().split("|")
        if code == "12":
            raise Busy("signed on elsewhere")
        if code == "10":
            raise Misconfigured("password: the host refuses it")
        return {"last": int(told[1])}

    return sign_on


def sessions(host: CardHost, password: str = PASSWORD, **more: Any) -> Sessions[State]:
    return Sessions(tcp("127.0.0.1", host.port), FRAMES, signing_on(password), **more)


def book(session: Session[State], ref: str, seconds: float = 2.0) -> None:
    """One change: the next number, and a code that is told apart."""
    number = NUMBERS.after(session.state["last"])
    answer = session.ask(f"BK|{number:04d}|{ref}".encode(), timeout=seconds)
    if b"|11|" in answer:
        raise NotSent("the host has forgotten our sign-on")
    assert answer.startswith(b"BK|00"), answer
    session.state["last"] = number


def test_a_session_is_kept_and_signed_on_anew_when_the_host_hung_up() -> None:
    with card_host() as host, closing(sessions(host)) as terminal:
        for ref in "AB":
            with terminal.turn(3) as session:
                book(session, ref)
        assert host.signed_on == 1, "a sign-on for every question"
        host.hang_up()
        with terminal.turn(3) as session:
            book(session, "C")
        assert (host.booked, host.signed_on) == (["A", "B", "C"], 2)


def test_nothing_goes_over_a_connection_that_nobody_signed_on() -> None:
    """A line that opens a new connection by itself would ask there, be refused as `11`, and nobody would know why."""
    with card_host() as host, closing(sessions(host)) as terminal:
        with pytest.raises(NotSent, match="session has ended"), terminal.turn(3) as session:
            book(session, "A")
            host.hang_up()
            time.sleep(0.05)
            book(session, "B")
        with terminal.turn(3) as session:
            book(session, "B")
        assert (host.booked, host.signed_on) == (["A", "B"], 2)


def test_a_wrong_password_is_told_as_such_and_counts_as_nothing_sent() -> None:
    """A guard takes `Misconfigured` for unknown once something has left: a sign-on that failed has changed nothing."""
    with card_host() as host:
        wire.begin()
        with pytest.raises(Misconfigured), sessions(host, "000000").turn(3):
            raise AssertionError("let in")
        assert wire.sends() == 0


@pytest.mark.parametrize("fault", ["drop", "mute"])
def test_a_sign_on_that_fails_is_not_sent(fault: str) -> None:
    """No answer to a change is unknown; no answer to a sign-on is not: the engine may try again at once."""
    with card_host() as host:
        host.faults["LG"] = fault
        wire.begin()
        with pytest.raises(NotSent, match="no sign-on"), sessions(host).turn(0.5):
            raise AssertionError("let in")
        assert wire.sends() == 0


def test_a_host_that_lets_nobody_in_for_a_minute() -> None:
    """A till died without signing off. Calls end in time, as not sent; once the host has forgotten it, they go on."""
    with card_host(lingers=60) as host:
        dead = sessions(host)
        with dead.turn(3) as session:
            book(session, "A")
        dead.close()
        deadline = time.monotonic() + 5
        while host.taken and time.monotonic() < deadline:
            time.sleep(0.01)
        with closing(sessions(host)) as terminal:
            began = time.monotonic()
            with pytest.raises(NotSent, match="elsewhere"), terminal.turn(0.7):
                raise AssertionError("let in")
            assert time.monotonic() - began < 1.5 and host.refused > 1
            host.pass_time()
            with terminal.turn(3) as session:
                book(session, "B")
        assert host.booked == ["A", "B"]


def test_an_answer_that_never_comes_is_unknown_and_ends_the_session() -> None:
    """A connection whose other end vanished looks alive until it is used. The next turn does not use it again."""
    with card_host() as host, closing(sessions(host)) as terminal:
        host.faults["BK"] = "mute"
        with pytest.raises(OutcomeUnknown), terminal.turn(3) as session:
            book(session, "A", 0.2)
        with terminal.turn(3) as session:
            assert session.state["last"] == 1, "the sign-on tells that the number was used"
        assert host.signed_on == 2


def test_a_session_that_lay_idle_is_not_trusted() -> None:
    """A firewall that forgets a quiet connection tells nobody: what is asked over it is lost, and unknown."""
    with card_host() as host, closing(sessions(host, idle_s=0.05)) as terminal:
        for ref in "AB":
            with terminal.turn(3) as session:
                book(session, ref)
            time.sleep(0.1)
        assert host.signed_on == 2


ONE_TERMINAL = """
import sys
from pathlib import Path
from gateway.sdk import Sessions, tcp
from tests.sdk.cardhost import FRAMES
from tests.sdk.test_session import book, signing_on

port, lock, name = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
bye = lambda session: session.ask(b"LO")
terminal = Sessions(tcp("127.0.0.1", port), FRAMES, signing_on(), sign_off=bye, lock=lock)
for number in range(5):
    with terminal.turn(20) as session:
        book(session, f"{name}{number}")
"""


def test_processes_take_turns_at_one_terminal(tmp_path: Path) -> None:
    """Without the lock, all but one process would be refused, or count the same numbers."""
    with card_host(lingers=60, last=9990) as host:
        command = [sys.executable, "-c", ONE_TERMINAL, str(host.port), str(tmp_path / "terminal.lock")]
        running = [subprocess.Popen([*command, name], cwd=ROOT) for name in "AB"]
        assert [process.wait(30) for process in running] == [0, 0]
        assert sorted(host.booked) == [f"{name}{number}" for name in "AB" for number in range(5)]
        assert (host.refused, host.last) == (0, 1), "9999 and then 1"


def test_the_lock_of_a_process_that_hangs_is_waited_for_and_no_longer(tmp_path: Path) -> None:
    with card_host() as host:
        lock = tmp_path / "terminal.lock"
        waits = pytest.raises(NotSent, match="another process")
        with sessions(host, lock=lock).turn(3), waits, sessions(host, lock=lock).turn(0.1):
            raise AssertionError("let in")


@pytest.mark.parametrize("fault", ["mute", "drop"])
def test_their_number_proves_what_became_of_a_change(fault: str) -> None:
    """No answer came. The sign-on tells the last number used: ours, so it was done; below ours, so it never will be."""
    with card_host(last=9998) as host, closing(sessions(host)) as terminal:
        host.faults["BK"] = fault
        with pytest.raises(OutcomeUnknown), terminal.turn(3) as session:
            noted = NUMBERS.after(session.state["last"])
            book(session, "A", 0.2)
        with terminal.turn(3) as session:
            used = NUMBERS.reached(noted, session.state["last"])
        assert used is (host.booked == ["A"]) is (fault == "mute")


def test_numbers_wrap() -> None:
    assert [NUMBERS.after(number) for number in (0, 1, 9998, 9999)] == [1, 2, 9999, 1]
    assert NUMBERS.reached(9999, 1) and NUMBERS.reached(1, 1) and NUMBERS.reached(7, 8)
    assert not NUMBERS.reached(1, 9999) and not NUMBERS.reached(8, 7)
    small = Counter(0, 1)
    assert small.reached(0, 0) and not small.reached(1, 0)


def test_a_sign_on_that_is_still_in_force_need_not_ask(tmp_path: Path) -> None:
    """A key of the day holds over connections: the question goes out, and it is the host that says what it thinks."""
    kept: list[State] = []

    def once(session: Session[State]) -> State:
        if not kept:
            kept.append(signing_on()(session))
        return kept[0]

    with card_host() as host:
        terminal = Sessions(tcp("127.0.0.1", host.port), FRAMES, once, lock=tmp_path / "terminal.lock")
        with terminal.turn(3) as session:
            book(session, "A")
        with pytest.raises(NotSent, match="the host has forgotten"), terminal.turn(3) as session:
            book(session, "B")
        assert (host.booked, host.signed_on) == (["A"], 1)
