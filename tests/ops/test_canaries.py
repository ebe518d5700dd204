"""Canaries: what must be kept nowhere goes through a real server, well and badly, and is then looked for everywhere."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import build_parts
from gateway.runtime.connection import _secrets_in
from gateway.sdk.simulator import Fault
from tests.api.kit import gone_code, paid_code
from tests.api.server import ROOT, Server, serving
from tests.api.test_checkouts import order

STRANGER, IDENTITY, CARD = "13912340987", "110105199003078515", "4111111111111111"
#: The simulators' own books, and files that are there to hold a secret.
_THEIR_OWN = ("alipay", "ktv")
_HOLDERS = (".toml", ".key", ".pem", "")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")  # a dump of every thread goes into the log when a worker dies
    with serving(tmp_path) as made:
        yield made


@pytest.mark.slow
def test_canaries_are_found_nowhere(server: Server, tmp_path: Path) -> None:
    """Neither the log, nor the database, nor what a crash leaves behind shows whom and what it was about."""
    codes = _sell(server)
    canaries = {*codes, STRANGER, IDENTITY, CARD, server.key, server.other, *_secrets(tmp_path)}
    _die(server)
    _speak(server)
    seen = {file.name: file.read_bytes() for file in _files(tmp_path)}
    assert {"gunicorn.log", "gateway.db", "gateway.db-wal"} <= set(seen)
    assert b"Fatal Python error" in seen["gunicorn.log"], "no dump was written: nothing was shown of it"
    found = {(name, f"…{canary[-4:]}") for name, text in seen.items() for canary in canaries if canary.encode() in text}
    assert not found
    lines = [line for line in server.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    events = [json.loads(line) for line in lines]
    down = [each for each in events if each.get("problem") == "adapter-unavailable"]
    assert down and all(each["request_id"].startswith("req_") and each["merchant"] == "tea" for each in down)


def _sell(server: Server) -> list[str]:
    """A sale, one whose wallet answers nonsense, ones that are refused; the payment codes that were sent."""
    codes = [paid_code() for _ in range(3)]
    path = "/v1/merchants/bun/checkouts"
    for number, code in enumerate(codes):
        if number == 1:
            server.running["alipay"].simulator.faults.set([Fault("garbage", "alipay.trade.pay")])
        body = order(f"C-{number}", {"method": "payment_code", "auth_code": code})
        server.ask("POST", path, body, Idempotency_Key=f"c-{number}")
        server.running["alipay"].simulator.faults.set([])
    for number, text in enumerate((STRANGER, IDENTITY, CARD)):
        body = order(f"D-{number}", member={"type": "phone", "value": text})
        server.ask("POST", path, body, Idempotency_Key=f"d-{number}")
        server.ask("GET", f"{path}/{text}?phone={text}")
        server.ask("POST", path, {"note": text}, Idempotency_Key=f"x-{number}", Authorization=f"Bearer {server.key}x")
    return codes


def _speak(server: Server) -> None:
    """Have the gateway refuse for a fault that is not the platform's, which it logs: a wallet that is never there."""
    body = order("E-1", {"method": "payment_code", "auth_code": gone_code()})
    headers = {"Idempotency_Key": "e-1", "Authorization": f"Bearer {server.other}"}
    status, _, reply = server.ask("POST", "/v1/merchants/tea/checkouts", body, **headers)
    assert status == 503, reply


def _die(server: Server) -> None:
    """A worker dies as of a fault of a C library; gunicorn has a handler of its own for SIGABRT."""
    before = [pid for pid in server.workers() if b"gateway.cli" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert "Max core file size        0 " in Path(f"/proc/{before[0]}/limits").read_text(encoding="utf-8")
    os.kill(before[0], signal.SIGSEGV)
    deadline = time.monotonic() + 20
    while before[0] in server.workers():
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.1)
    assert not list(ROOT.glob("core*")), "a memory image was written"


def _secrets(folder: Path) -> set[str]:
    """The secrets of all connections, as their adapters get them; of a key's file the lines within."""
    parts = build_parts(folder / "gateway.toml")
    try:
        found = [
            secret
            for merchant in parts.runtime.merchants.values()
            for config in merchant.connections.values()
            for secret in _secrets_in(config.settings)
        ]
    finally:
        parts.close()
    assert found, "there are no secrets here"
    return {line for secret in found for line in (secret.splitlines()[1:-1] or [secret]) if len(line) >= 6}


def _files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        own = file.relative_to(folder).parts[0] in _THEIR_OWN
        if file.is_file() and not own and file.suffix not in _HOLDERS:
            yield file
