"""The shops that are measured, under real gunicorn, 2 processes × 8 threads.

One has members, goods and the till in the house, and a wallet on a socket; the other has goods, coupons and points in
three systems of its own, each a process with a socket.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from gateway.api.keys import create_key
from gateway.app import build_parts
from gateway.demo.stage import free_port
from gateway.domain.common import Secret
from gateway.domain.membership import Identity, IdentityType
from gateway.store.port import Tx, open_database
from plugins.house import members, stock
from plugins.house.adapter import insert_identity, insert_member

ROOT = Path(__file__).resolve().parents[1]
MEMBERS, SKUS = 200, 1000
#: An article of which there are few: how many, in whole pieces.
LAST, LAST_ON_HAND = "LAST", 50
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


FAR = """
[merchant]
id = "m1"
name = "远方"
[[stores]]
id = "s1"
name = "一店"
{connections}
[[routes]]
family = "membership"
connection = "members"
[[routes]]
family = "coupons"
connection = "coupons"
[[routes]]
family = "stock"
connection = "goods"
[pricing.points]
rule = {{ points = 100, amount = 100 }}
"""
FAR_CONNECTION = """
[connections.{name}]
adapter = "bench-far"
[connections.{name}.settings]
url = "http://{address}"
silent = {silent}
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
    stock.set_level(tx, "m1", "s1", LAST, LAST_ON_HAND * 1000)
    seed_products(tx)


def seed_products(tx: Tx) -> None:
    """The product library."""
    for sku in [LAST, *(f"S{n:04d}" for n in range(SKUS))]:
        doc = {"sku": sku, "name": f"商品{sku}", "unit_amount": 12_800 + int(sku[1:] if sku[1:].isdigit() else 0)}
        row = {"sku": sku, "doc": json.dumps(doc)}
        sql = "INSERT INTO products (merchant, sku, name, doc, as_of) VALUES ('m1', :sku, :sku, :doc, 0)"
        tx.execute(sql, row)


@dataclass(frozen=True)
class Shop:
    """A gateway at work: its port, the pid of gunicorn's master, a key, the configuration."""

    port: int
    pid: int
    key: str
    config: Path

    def on_hand(self, sku: str) -> int:
        """What the house's books say is there, in thousandths."""
        database = open_database(f"sqlite:///{self.config.parent / 'data' / 'gateway.db'}")
        sql = "SELECT on_hand FROM house_stock WHERE sku = :sku"
        found = database.read(lambda tx: tx.one(sql, {"sku": sku}))
        database.close()
        return int(found["on_hand"]) if found is not None else 0


@contextmanager
def shop(folder: Path, wallet_latency_ms: int = 0) -> Iterator[Shop]:
    """The gateway on the shop with the house and a wallet."""
    folder.mkdir(parents=True)
    wallet = folder / "alipay"
    command = [sys.executable, "-m", "gateway.cli", "simulate", "alipay", "--data", str(wallet)]
    with process([*command, "--set", f"latency_ms={wallet_latency_ms}"]) as simulator:
        told = json.loads(simulator.stdout.readline())  # type: ignore[union-attr]
        who = json.loads((wallet / "merchant.json").read_text())
        text = MERCHANT.format(
            wallet=WALLET.format(address=told["addresses"]["gateway"], data=wallet, **who), routes=ROUTES
        )
        with _gateway(folder, text, seed) as found:
            yield found


@contextmanager
def far_shop(folder: Path, latency_ms: int, *, silent: bool) -> Iterator[tuple[Shop, str]]:
    """The gateway on the shop with three systems of ``latency_ms`` each, and the address of the members' system.

    ``silent``: looking up members costs no message.
    """
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        addresses = {name: stack.enter_context(_far(folder / name, latency_ms)) for name in FAR_NAMES}
        words = {"silent": json.dumps(silent)}
        connections = (FAR_CONNECTION.format(name=name, address=at, **words) for name, at in addresses.items())
        text = FAR.format(connections="".join(connections))
        path = f"{_plugin(folder / 'plugin')}{os.pathsep}{ROOT}"
        yield stack.enter_context(_gateway(folder, text, seed_products, PYTHONPATH=path)), addresses["members"]


FAR_NAMES = ("members", "coupons", "goods")


@contextmanager
def _far(folder: Path, latency_ms: int) -> Iterator[str]:
    """One far system in a process of its own; its address."""
    with process([sys.executable, "-m", "benchmarks.far", str(folder)], PYTHONPATH=str(ROOT)) as simulator:
        told = json.loads(simulator.stdout.readline())  # type: ignore[union-attr]
        faults = [{"name": "latency", "value": latency_ms}] if latency_ms else []
        requests.put(f"{told['panel']}/faults", json={"faults": faults}, timeout=5).raise_for_status()
        yield told["addresses"]["far"]


def _plugin(folder: Path) -> Path:
    """An installed distribution, as far as finding plugins goes, that declares the benchmark's adapter."""
    about = folder / "bench_far-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-far\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[o2o_gateway.plugins]\nbench-far = benchmarks.far\n")
    return folder


@contextmanager
def _gateway(folder: Path, merchant: str, fill: Callable[[Tx], None], **env: str) -> Iterator[Shop]:
    (folder / "merchants").mkdir()
    (folder / "merchants" / "m1.toml").write_text(merchant, encoding="utf-8")
    port, config = free_port(), folder / "gateway.toml"
    plugins = '[plugins]\nallow = ["first-party", "bench-far"]\n'
    server = f"[server]\nport = {port}\nconsole_port = 0\n"
    config.write_text(f'data = "data"\nmerchants = ["merchants/*.toml"]\n{plugins}{server}')
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.shop", str(config), fill.__name__],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    serve = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
    with process(serve, **env) as gateway:
        wait_for(f"http://127.0.0.1:{port}/healthz")
        yield Shop(port, gateway.pid, made.stdout.split()[-1], config)


def main(config: str, fill: str) -> None:
    """Make the database of a shop, and print a key; a process of its own, so that it sees the shop's plugins."""
    parts = build_parts(Path(config))
    parts.database.tx({"seed": seed, "seed_products": seed_products}[fill])
    key, _ = create_key(parts.database, name="bench")
    parts.close()
    print(key)


if __name__ == "__main__":
    main(*sys.argv[1:])
