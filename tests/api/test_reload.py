"""Files that are edited while the gateway runs: a mistake in them stops nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.server import Server, serving


def becomes(true: Callable[[], bool], seconds: float = 100) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):  # a server whose new workers are still loading
            if true():
                return True
        time.sleep(0.2)
    return False


def said(server: Server, text: str) -> Callable[[], bool]:
    return lambda: text in server.log.read_text(encoding="utf-8", errors="replace")


@pytest.mark.slow
def test_a_mistake_in_a_file_ends_nothing_that_runs(tmp_path: Path) -> None:
    """Neither at a reload nor when a worker is replaced meanwhile; once the file is right, it comes into force."""
    with serving(tmp_path) as server:
        before = server.workers()
        file = tmp_path / "merchants" / "tea.toml"
        right = file.read_text(encoding="utf-8")
        file.write_text(right + "\nbroken = [", encoding="utf-8")

        server.process.send_signal(signal.SIGHUP)
        assert becomes(said(server, "not reloaded, what was in force stays"))
        assert set(server.workers()) <= set(before) and server.ask("GET", "/healthz")[0] == 200

        os.kill(server.workers()[-1], signal.SIGKILL)
        assert becomes(said(server, "a new worker waits"))
        assert server.ask("GET", "/v1/merchants")[0] == 200

        file.write_text(right.replace('name = "tea 便利店"', 'name = "茶"'), encoding="utf-8")
        old = set(server.workers())
        server.process.send_signal(signal.SIGHUP)
        assert becomes(lambda: server.log.read_text(encoding="utf-8").count("Booting worker") == 5)
        assert becomes(lambda: len(set(server.workers()) - old) >= 2)
        headers = {"Authorization": f"Bearer {server.other}"}
        assert becomes(lambda: "茶" in server.ask("GET", "/v1/merchants/tea", **headers)[2].decode())
        assert server.process.poll() is None
