"""Checkouts a second through gunicorn: adapters embedded, over their sockets, one hot SKU; beside bare Flask."""

from __future__ import annotations

import random
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from benchmarks.load import Measured, json_bytes, run
from benchmarks.shop import MEMBERS, SKUS, gunicorn, process, shop, wait_for
from gateway.demo.stage import free_port

Request = Callable[[int], tuple[str, bytes, dict[str, str]]]


def checkout(key: str, *, wallet: bool, hot: bool = False, seed: int = 1) -> Request:
    """One order of three lines with member rate, 满减, points used and earned, stock, the till, and a tender."""
    draw = random.Random(seed)
    run_id = uuid.uuid4().hex[:8]

    def request(n: int) -> tuple[str, bytes, dict[str, str]]:
        skus = [0, 0, 0] if hot else draw.sample(range(SKUS), 3)
        tender = (
            {"method": "payment_code", "auth_code": f"28{draw.randrange(10**12):012d}{draw.randrange(8999):04d}"}
            if wallet
            else {"method": "cash"}
        )
        body = {
            "store_id": "s1",
            "order_no": f"{run_id}-{n}",
            "lines": [{"sku": f"S{sku:04d}", "quantity": "1"} for sku in skus],
            "member": {"type": "phone", "value": f"139{draw.randrange(MEMBERS):08d}"},
            "points": 100,
            "tenders": [{"method": "stored_value", "amount": 5000}, tender],
        }
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"{run_id}-{n}"}
        return "/v1/merchants/m1/checkouts", json_bytes(body), {**headers, "Content-Type": "application/json"}

    return request


def plain(path: str) -> Request:
    def request(n: int) -> tuple[str, bytes, dict[str, str]]:
        body = {"order_no": f"o{n}", "lines": [{"sku": "A", "quantity": "1"}] * 3}
        return path, json_bytes(body), {"Content-Type": "application/json"}

    return request


def measure(count: int = 2000) -> dict[str, Measured]:
    """All runs, in one go on one machine; progress is printed."""
    found: dict[str, Measured] = {}

    def note(name: str, result: Measured) -> None:
        found[name] = result
        print(result.line(), flush=True)

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    json_port, proxy_port = free_port(), free_port()
    with process(gunicorn("benchmarks.peers:json_app", json_port)) as server:
        wait_for(f"http://127.0.0.1:{json_port}/")
        run("warm-up", json_port, server.pid, 16, 500, plain("/echo"))
        note("flask", run("bare Flask JSON route", json_port, server.pid, 16, count, plain("/echo")))
        upstream = f"http://127.0.0.1:{json_port}/echo"
        with process(gunicorn("benchmarks.peers:proxy_app", proxy_port), UPSTREAM=upstream) as proxy:
            wait_for(f"http://127.0.0.1:{proxy_port}/")
            run("warm-up", proxy_port, proxy.pid, 16, 300, plain("/pass"))
            note("proxy", run("six-line Flask proxy (requests)", proxy_port, proxy.pid, 16, count, plain("/pass")))
    with shop(folder / "shop") as (port, pid, key):
        run("warm-up", port, pid, 16, 300, checkout(key, wallet=False, seed=9))
        for clients in (1, 16):
            name = "checkout, adapters embedded"
            note(f"embedded{clients}", run(name, port, pid, clients, count, checkout(key, wallet=False)))
        note(
            "hot",
            run("checkout, embedded, all on one SKU", port, pid, 16, count, checkout(key, wallet=False, hot=True)),
        )
        run("warm-up", port, pid, 16, 100, checkout(key, wallet=True, seed=8))
        for clients in (1, 16):
            name = "checkout, the wallet over its socket"
            note(f"socket{clients}", run(name, port, pid, clients, count // 4, checkout(key, wallet=True, seed=2)))
    return found


if __name__ == "__main__":
    results = measure()
    print(f"P4  CPU a checkout / bare Flask: {results['embedded16'].cpu_us / results['flask'].cpu_us:.2f} (gate 7)")
    print(f"P11 one SKU / spread: {results['hot'].per_second / results['embedded16'].per_second:.2f} (gate 0.9)")
