"""A load on a server of this machine: keep-alive clients in threads, bounded in count and time; latency, rate, CPU."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """One run: requests a second, latencies in ms, CPU in µs a request over the server's processes."""

    name: str
    clients: int
    count: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    failures: int

    def line(self) -> str:
        bad = f"  FAILED {self.failures}" if self.failures else ""
        return (
            f"{self.name:<44}{self.clients:>3} clients {self.per_second:>8.0f}/s  p50 {self.p50_ms:>7.2f} ms  "
            f"p99 {self.p99_ms:>7.2f} ms  CPU {self.cpu_us:>7.0f} µs{bad}"
        )


def children(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(_stat(entry)[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == pid:
                found += children(int(entry.name))
    return found


def _stat(process: Path) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state on."""
    return (process / "stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()


def cpu_seconds(pids: list[int]) -> float:
    """CPU time that these processes have used."""
    total = 0
    for pid in pids:
        fields = _stat(Path(f"/proc/{pid}"))
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def run(
    name: str,
    port: int,
    pid: int,
    clients: int,
    count: int,
    request: Callable[[int], tuple[str, bytes, dict[str, str]]],
) -> Measured:
    """Send ``count`` requests over ``clients`` connections; ``request`` gives path, body and headers of the n-th."""
    prepared = [request(n) for n in range(count)]
    latencies: list[float] = []
    failures: list[Any] = []
    lock, cursor = threading.Lock(), iter(range(count))

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        mine: list[float] = []
        while True:
            with lock:
                n = next(cursor, None)
            if n is None:
                break
            path, body, headers = prepared[n]
            begun = time.perf_counter()
            connection.request("POST", path, body, headers)
            reply = connection.getresponse()
            text = reply.read()
            mine.append(time.perf_counter() - begun)
            if reply.status not in (200, 201):
                failures.append((reply.status, text[:200]))
        connection.close()
        with lock:
            latencies.extend(mine)

    pids = children(pid)
    before, begun = cpu_seconds(pids), time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - begun, cpu_seconds(pids) - before
    latencies.sort()
    if failures:
        print(f"  first failure: {failures[0]}")
    return Measured(
        name,
        clients,
        count,
        count / took,
        latencies[len(latencies) // 2] * 1000,
        latencies[int(len(latencies) * 0.99) - 1] * 1000,
        used / count * 1_000_000,
        len(failures),
    )


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
