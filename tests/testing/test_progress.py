"""What whoever waits for a run sees: which check runs, how long it took, and about how much is left."""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path

import pytest

from gateway.testing.estimate import left_out
from gateway.testing.progress import LastTimes, Watch, told
from gateway.testing.suite import run
from tests.testing.wallet import WalletProfile


def test_each_check_is_a_line_with_its_time_and_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of minutes that says nothing is taken for one that hangs, and is killed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shown = io.StringIO()
    run(WalletProfile, quick=True, progress=shown, only=["declined_codes_listed"])
    lines = shown.getvalue().splitlines()
    assert lines[0].startswith("wallet: 5 hooks, quick; it was not run here before")
    assert lines[1] == left_out(real=False)
    told_ = [re.fullmatch(r"\[(\d+)/(\d+)\] \d+:\d\d(, \d+ left, about \d+:\d\d)?: (.+): \d+\.\d s", x) for x in lines]
    checks = [each for each in told_ if each is not None]
    assert [int(each[1]) for each in checks] == list(range(1, len(checks) + 1)) and checks[-1][1] == checks[-1][2]
    names = {each[4] for each in checks}
    assert names >= {"start, settings and check()", "contract payment_charge", "contract payment_query", "refusals"}
    assert all(each[3] for each in checks[:-1]) and not checks[-1][3]
    assert any(re.match(r"one call takes \d+\.\d\d s here: about", line) for line in lines)
    assert not list(tmp_path.rglob("*.json")), "a part of a run says nothing of how long all of it takes"


def test_on_a_terminal_one_line_is_written_over() -> None:
    """Sixty lines that scroll away hide the report that comes after them."""
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        watch = Watch(terminal)
        watch.expect({"faults a": 2.0, "faults b": 2.0}, 2)
        for step, name in ((watch.began, "faults a"), (watch.began, "faults b"), (watch.over, "faults a")):
            step(name)
        watch.over("faults b")
        watch.close()
        seen = os.read(master, 10_000).decode()
    os.close(master)
    assert "\n" not in seen and seen.count("\r\x1b[K") == 5 and seen.endswith("\r\x1b[K")
    assert "[0/2] 0:00, 2 left, about 0:02: faults b and 1 more" in seen and "[2/2] 0:00: faults b" in seen


def test_what_is_left_follows_the_pace_of_what_has_ended() -> None:
    """An estimate that never learns says two minutes for half an hour."""
    watch = Watch()
    watch.expect({str(number): 10.0 for number in range(8)}, 4)
    assert watch.left_s() == 20.0
    for number in range(4):
        watch.began(str(number))
    time.sleep(0.05)
    for number in range(4):
        watch.over(str(number))
    assert 0.04 < watch.left_s() < 2.0
    watch.expect({"again": 10.0}, 1)
    assert watch.left_s() == 10.0 and set(watch.ended) == {"0", "1", "2", "3"}


def test_how_long_it_took_is_known_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where nothing can be kept, or what was kept is spoilt, the run goes on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert LastTimes().of("wallet") == ""
    LastTimes().keep("wallet", 74.2)
    LastTimes().keep("wallet, quick", 3700)
    assert re.fullmatch(r"1:14 on \d{4}-\d\d-\d\d", LastTimes().of("wallet"))
    assert LastTimes().of("wallet, quick").startswith("1:01:40 on ")
    LastTimes().file.write_text("[", encoding="utf-8")
    assert LastTimes().of("wallet") == "" and told(59.6) == "1:00"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    LastTimes().keep("wallet", 1)
