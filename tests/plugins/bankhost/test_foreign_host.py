"""The adapter against a bank host that nobody here wrote, iso8583sim: does a stranger read our messages?

It keeps no ledger and has no MAC, so it shows the protocol and what a silence does, and no trait. Its packing is ASCII
with binary bitmaps; it lives in an environment of its own, which `make peers` makes.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.sdk import (
    Charge,
    Declined,
    DeclineReason,
    Done,
    Method,
    NotSent,
    Original,
    OutcomeUnknown,
    PaymentRefund,
    Reverse,
    Secret,
)
from gateway.testing.context import MemoryStore, build, call
from plugins.bankhost.adapter import BankHostAdapter
from tests.plugins.bankhost.conftest import SITE, key

PROGRAM = Path(__file__).parents[3] / "var" / "peers" / "iso8583sim" / "bin" / "iso8583sim"
SILENT, POOR, BLOCKING = 666, 51_000, 777
RULES = {
    "rules": [
        {"match": {"mti": ["0200"], "fields": {"4": f"{SILENT:012d}"}}, "action": "drop"},
        {"match": {"mti": ["0200"], "fields": {"4": f"{BLOCKING:012d}"}}, "action": "close"},
        {"match": {"mti": ["0400"], "fields": {"4": f"{BLOCKING:012d}"}}, "action": "drop"},
        {"match": {"mti": ["0200"], "fields": {"4": f"{POOR:012d}"}}, "respond": "51"},
        {"respond": "00"},
    ]
}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PROGRAM.exists(), reason="iso8583sim is not here: make peers")]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(RULES))
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    command = [str(PROGRAM), "serve", "--host", "127.0.0.1", "--port", str(number), "--rules", str(rules)]
    command += ["--header", "2b", "--tpdu", "6000060000", "--format", "ascii-binary"]
    with (tmp_path / "host.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await(number)
        yield number
    finally:
        process.kill()
        process.wait(10)


def _await(port: int) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until, "the foreign host does not start"
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def adapter(port: int, tmp_path: Path) -> Iterator[BankHostAdapter]:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "terminal": "10000001",
        "merchant": "898310058120001",
        "mac": False,
        "packing": "ascii",
        "header": "",
        "timeout_s": 0.7,
    }
    adapter = build(BankHostAdapter, settings, tmp_path, store=MemoryStore())
    yield adapter
    adapter.close()


def _sale(amount: int) -> Charge:
    return Charge(
        amount=amount,
        currency="CNY",
        method=Method.PAYMENT_CODE,
        order_no="WEB-1",
        subject="Dumplings",
        site=SITE,
        auth_code=Secret("6212345678901234567"),
    )


def test_it_signs_in_sells_voids_and_returns(adapter: BankHostAdapter) -> None:
    adapter.check()
    paid = adapter.payment_charge(_sale(1200), call(key(1)))
    assert isinstance(paid, Done) and paid.amount == 1200 and paid.facts["voucher"]
    original = Original(key=key(1), ref=paid.ref, facts=paid.facts)
    back = PaymentRefund(original=original, amount=200, charged_amount=1200, currency="CNY", reason="", site=SITE)
    assert isinstance(adapter.payment_refund(back, call(key(2))), Done)
    void = Reverse(original=original, amount=1200, currency="CNY", site=SITE)
    assert isinstance(adapter.payment_reverse(void, call(key(3))), Done)


def test_it_refuses(adapter: BankHostAdapter) -> None:
    came = adapter.payment_charge(_sale(POOR), call(key(1)))
    assert isinstance(came, Declined) and came.reason is DeclineReason.INSUFFICIENT_FUNDS


def test_its_silence_is_reversed_before_the_next_sale(adapter: BankHostAdapter) -> None:
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(_sale(SILENT), call(key(1)))
    assert isinstance(adapter.payment_charge(_sale(1200), call(key(2))), Done)
    closed = adapter.payment_reverse(
        Reverse(original=Original(key=key(1)), amount=SILENT, currency="CNY", site=SITE), call(key(3))
    )
    assert isinstance(closed, Done) and closed.replayed  # the reversal before the second sale has done it


def test_nothing_is_sold_while_a_reversal_goes_unanswered(adapter: BankHostAdapter) -> None:
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(_sale(BLOCKING), call(key(1)))
    for number in (2, 3):
        with pytest.raises(NotSent, match="blocked"):
            adapter.payment_charge(_sale(1200), call(key(number)))
