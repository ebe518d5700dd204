"""Every invariant that can be asked of a store: a row is broken by hand, and the doctor names it and the checkout."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.cli_doctor import _store
from gateway.store.port import open_database
from tests.api.kit import PHONE, Gateway, build, paid_code


@dataclass
class Shop:
    """A gateway with a completed checkout, a refunded one, a failed one; and a copy of its file for each test."""

    gateway: Gateway
    sold: str
    refunded: str
    failed: str

    def copy(self, to: Path) -> Path:
        file = to / "gateway.db"
        source = sqlite3.connect(self.gateway.folder / "data" / "gateway.db")
        target = sqlite3.connect(file)
        source.backup(target)
        source.close()
        target.close()
        return file

    def told(self, file: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
        """What the doctor says of a store, a line each."""
        parts, database = self.gateway.parts, open_database(f"sqlite:///{file}")
        _store(
            SimpleNamespace(database=database, engine=parts.engine, caller=parts.caller, runtime=parts.runtime),
            everything=True,
        )
        database.close()
        return capsys.readouterr().out.splitlines()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    gateway = build(tmp_path_factory.mktemp("doctor"))
    api = gateway.api("bun")

    def sell(number: str, status: int = 201, code: str = "") -> str:
        order = {
            "store_id": "s1",
            "order_no": number,
            "lines": [{"line_id": "1", "sku": "milk"}],
            "member": {"type": "phone", "value": PHONE},
            "tenders": [{"method": "payment_code", "auth_code": code or paid_code()}],
        }
        reply = api.post("…/checkouts", order)
        assert reply.status_code == status, reply.json
        body: Any = reply.json
        return str(body["id"] if status == 201 else body["checkout_id"])

    from tests.api.kit import declined_code

    made = Shop(gateway, sell("D-1"), sell("D-2"), sell("D-3", 402, declined_code()))
    assert api.post(f"…/checkouts/{made.refunded}/refunds", {"refund_no": "DR-1"}).status_code == 201
    yield made
    gateway.stop()


LAX = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;"
WITHOUT_RULES = """
ALTER TABLE {table} RENAME TO old_{table};
CREATE TABLE {table} AS SELECT * FROM old_{table};
"""
#: The gateway's own lock on two uses of a code that had one.
LOCK = json.dumps(
    {
        "name": "lock:coupon:C9",
        "adapter": "gateway",
        "connection": "gateway",
        "hooks": {"hold": "coupon_reserve"},
        "params": {"code": "C9", "count": 2, "available": 1, "as_of": 0},
    }
)
#: The invariant, how it is broken, which checkout (or row) is named.
BROKEN = {
    "M1": ("UPDATE sagas SET doc = json_set(doc, '$.tenders[0].amount', 1) WHERE id = ':sold'", ":sold"),
    "M1 charge": ("UPDATE ops SET state = 'unknown' WHERE saga_id = ':sold' AND hook = 'payment_charge'", ":sold"),
    "M1 failed": ("UPDATE sagas SET state = 'failed' WHERE id = ':sold'", ":sold"),
    "M2": ("UPDATE sagas SET refunded_amount = 1 WHERE id = ':refunded'", ":refunded"),
    "M3": (
        "UPDATE sagas SET state = 'closing', due_at = NULL WHERE id = ':sold';"
        "INSERT INTO ops SELECT 'ZZZ', saga_id, leg, 'stock_cancel', 0, connection, 'ok', 1, 0, 1, 1, 0, 1, '[]', '{}',"
        " fence FROM ops WHERE saga_id = ':sold' AND hook = 'stock_reserve'",
        ":sold",
    ),
    "M4": ("UPDATE sagas SET doc = json_set(doc, '$.quote.discount_amount', 7) WHERE id = ':sold'", ":sold"),
    "C1": (
        "INSERT INTO holds VALUES ('bun', ':sold', 'coupon', 's1', 'C9', 2, 0, 0, 'used', 0, 0)",
        ":sold",
    ),
    "C1 over": (
        f"UPDATE sagas SET doc = json_insert(doc, '$.legs[#]', json('{LOCK}')) WHERE id = ':sold';"
        "INSERT INTO holds VALUES ('bun', ':sold', 'coupon', '', 'C9', 2, 0, 0, 'used', 0, 0)",
        ":sold",
    ),
    "C2": (
        "UPDATE ops SET state = 'unknown' WHERE saga_id = ':failed' AND hook = 'stock_cancel'",
        ":failed",
    ),
    "S1": (
        "INSERT INTO holds VALUES ('bun', 'chk_NOBODY', 'goods', 's1', 'milk', 1, 0, 0, 'held', 99999999999999, 0)",
        "chk_NOBODY",
    ),
    "O1": ("UPDATE ops SET state = 'unknown' WHERE saga_id = ':sold' AND hook = 'order_post'", ":sold"),
    "W1": ("UPDATE events SET seq = 7 WHERE subject = ':sold' AND seq = 1", ":sold"),
    "W2": ("UPDATE events SET type = 'checkout.failed' WHERE subject = ':sold' AND seq = 1", ":sold"),
    "W2 orphan": ("UPDATE events SET subject = 'chk_NOBODY' WHERE subject = ':sold' AND seq = 1", "chk_NOBODY"),
    "I1": ("UPDATE sagas SET state = 'cancelled' WHERE id = ':sold'", ":sold"),
    "I1 twice": (
        "INSERT INTO idempotency SELECT merchant, 'other', fingerprint, subject, status, body, location, created"
        " FROM idempotency WHERE subject = ':sold'",
        ":sold",
    ),
    "I2": (
        WITHOUT_RULES.format(table="sagas") + "UPDATE sagas SET number = 'D-1' WHERE id = ':refunded'",
        ":sold",
    ),
    "X2": ("UPDATE ops SET attempts = 3 WHERE saga_id = ':sold' AND hook = 'payment_charge'", ":sold"),
    "X3": ("UPDATE ops SET fence = 99 WHERE saga_id = ':sold' AND hook = 'order_post'", ":sold"),
    "L1": (
        "UPDATE sagas SET state = 'settling', created = 1, updated = 1, due_at = NULL WHERE id = ':sold'",
        ":sold",
    ),
    "T1": ("UPDATE events SET merchant = 'tea' WHERE subject = ':sold' AND seq = 1", ":sold"),
    "T1 task": (
        "INSERT INTO tasks (id, merchant, subject, leg, kind, status, owner, detail, opened, deadline)"
        " VALUES ('tsk_1', 'tea', ':sold', 'x', 'y', 'open', 'merchant', '', 1, 1)",
        ":sold",
    ),
    "T1 reply": ("UPDATE idempotency SET merchant = 'tea' WHERE subject = ':sold'", ":sold"),
    "P1": ("UPDATE house_members SET points_held = 5 WHERE merchant = 'bun'", "bun/house"),
    "P1 below": ("UPDATE house_members SET points = -1 WHERE merchant = 'bun'", "bun/house"),
    "S1 house": ("UPDATE house_stock SET reserved = 1000 WHERE merchant = 'bun' AND sku = 'milk'", "bun/house"),
    "S1 ledger": ("DELETE FROM house_ledger WHERE hook = 'stock_confirm' AND merchant = 'bun'", "bun/house"),
    "C1 campaign": (
        "INSERT INTO campaign_uses VALUES ('bun', 'cmp', ':failed', '1', '', '2026-11-22', 1, 0, 'used', 0)",
        ":failed",
    ),
    "T1 settlement": ("UPDATE settlement_entries SET merchant = 'tea' WHERE subject = ':sold'", ":sold"),
}


def test_a_store_in_order_is_told_so(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A doctor who finds something in every patient is not asked again."""
    assert shop.told(shop.copy(tmp_path), capsys) == ["store: all that was asked holds"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_is_named(
    name: str, shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operators must learn of it from the doctor, with the checkout to look at, and not from a customer."""
    if name == "X2":  # the wallet can be asked; here it is one that can not
        monkeypatch.setattr("gateway.engine.storewide.QUERY_HOOKS", {})
    sql, subject = BROKEN[name]
    file = shop.copy(tmp_path)
    for placeholder in ("sold", "refunded", "failed"):
        sql = sql.replace(f":{placeholder}", getattr(shop, placeholder))
        subject = subject.replace(f":{placeholder}", getattr(shop, placeholder))
    with sqlite3.connect(file) as connection:
        connection.executescript(LAX + sql)
    connection.close()
    told = shop.told(file, capsys)
    wanted = [line for line in told if line.startswith(f"{subject}: {name.split()[0]}: ")]
    assert wanted, told
    assert told[-1].endswith("violations")


def test_the_command_is_asked_of_a_running_gateway(shop: Shop, tmp_path: Path) -> None:
    """It answers while the gateway sells, and its exit status says whether all is well; the chain holds too."""
    folder = tmp_path / "copy"
    shutil.copytree(shop.gateway.folder, folder, ignore=shutil.ignore_patterns("gateway.db*"))
    config = shop.gateway.folder / "gateway.toml"

    def doctor(*words: str) -> subprocess.CompletedProcess[str]:
        args = [sys.executable, "-m", "gateway.cli", "doctor", "--config", str(config), *words]
        return subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)

    audit = doctor("--audit")
    assert (audit.returncode, audit.stdout.splitlines()[-1].partition(": ")[2].split(": ")[1]) == (
        0,
        "they hold together, and with what was seen of them",
    ), audit.stdout + audit.stderr
    plain = doctor()
    assert "store: all that was asked holds" in plain.stdout, plain.stdout + plain.stderr
    wrong = doctor("--audit", "--anchor", f"bun/99999:{'0' * 64}")
    assert wrong.returncode == 1
    assert "bun: chain entry 99999 (anchor): the chain ends at" in wrong.stdout
