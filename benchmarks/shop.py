"""The shop that is measured: members, coupons, goods in the house; a wallet on a socket; real gunicorn, 2 × 8."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from gateway.api.keys import create_key
from gateway.app import build_parts
from gateway.demo.stage import free_port
from gateway.domain.common import Secret
from gateway.domain.membership import Identity, IdentityType
from gateway.store.port import Tx
from plugins.house import members, stock
from plugins.house.adapter import insert_identity, insert_member

MEMBERS, SKUS = 200, 1000
ROUTES = """
[[routes]]
family = "membership"
connection = "house"
[[routes]]
family = "coupons"
connection = "house"
[[routes]]
family = "stock"
connection = "house"
[[routes]]
family = "orders"
connection = "house"
"""
MERCHANT = """
[merchant]
id = "m1"
name = "基准"
[[stores]]
id = "s1"
name = "一店"
[connections.house]
adapter = "house"
[connections.house.settings.tiers]
gold = 9500
{wallet}
{routes}
[pricing.points]
rule = {{ points = 100, amount = 100 }}
earn = {{ per_amount = 100, points = 1 }}
[[pricing.campaigns]]
id = "off30"
version = 1
kind = "amount_off"
tiers = [{{ threshold_amount = 20000, off_amount = 3000 }}]
"""
WALLET = """
[connections.alipay]
adapter = "alipay"
insecure_transport = true
[connections.alipay.settings]
endpoint = "http://{address}/gateway.do"
app_id = "{app_id}"
seller_id = "{seller_id}"
app_private_key = "file:{data}/app_private_key.pem"
alipay_public_key = "file:{data}/alipay_public_key.pem"
[[routes]]
family = "payments"
connection = "alipay"
"""


@contextmanager
def process(command: list[str], **env: str) -> Iterator[subprocess.Popen[str]]:
    """A process of ours that ends with the block."""
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **env}
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            started.kill()


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            requests.get(url, timeout=1)
            return
        except requests.RequestException:
            time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url}")


def gunicorn(target: str, port: int) -> list[str]:
    common = ["-k", "gthread", "-w", "2", "--threads", "8", "--no-control-socket", "--keep-alive", "30"]
    return [sys.executable, "-m", "gunicorn", *common, "-b", f"127.0.0.1:{port}", target]


def seed(tx: Tx) -> None:
    for n in range(MEMBERS):
        ref = f"mem{n}"
        insert_member(tx, "m1", ref, f"会员{n}", "gold", points=10_000_000, real=1_000_000_000)
        identity = Identity(type=IdentityType.PHONE, value=Secret(f"139{n:08d}"))
        insert_identity(tx, "m1", ref, "phone", members.digest_of(identity, "m1"))
    for n in range(SKUS):
        stock.set_level(tx, "m1", "s1", f"S{n:04d}", 1_000_000_000)
        doc = {"sku": f"S{n:04d}", "name": f"商品{n}", "unit_amount": 12_800 + n}
        row = {"sku": doc["sku"], "doc": json.dumps(doc)}
        sql = "INSERT INTO products (merchant, sku, name, doc, as_of) VALUES ('m1', :sku, :sku, :doc, 0)"
        tx.execute(sql, row)


@contextmanager
def shop(folder: Path, wallet_latency_ms: int = 0) -> Iterator[tuple[int, int, str]]:
    """The gateway on this shop: its port, the pid of gunicorn's master, and a key."""
    folder.mkdir(parents=True)
    wallet = folder / "alipay"
    command = [sys.executable, "-m", "gateway.cli", "simulate", "alipay", "--data", str(wallet)]
    with process([*command, "--set", f"latency_ms={wallet_latency_ms}"]) as simulator:
        told = json.loads(simulator.stdout.readline())  # type: ignore[union-attr]
        who = json.loads((wallet / "merchant.json").read_text())
        text = MERCHANT.format(
            wallet=WALLET.format(address=told["addresses"]["gateway"], data=wallet, **who), routes=ROUTES
        )
        (folder / "merchants").mkdir()
        (folder / "merchants" / "m1.toml").write_text(text, encoding="utf-8")
        port = free_port()
        config = folder / "gateway.toml"
        config.write_text(f'data = "data"\nmerchants = ["merchants/*.toml"]\n[server]\nport = {port}\n')
        parts = build_parts(config)
        parts.database.tx(seed)
        key, _ = create_key(parts.database, name="bench")
        parts.close()
        serve = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
        with process(serve) as server:
            wait_for(f"http://127.0.0.1:{port}/healthz")
            yield port, server.pid, key
