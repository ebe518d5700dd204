"""A load on a server of this machine: keep-alive clients in threads, bounded in count and time; latency, rate, CPU."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")

#: Path, body and headers of the n-th request.
Request = Callable[[int], tuple[str, bytes, dict[str, str]]]


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
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def failures(self) -> int:
        return sum(count for status, count in self.statuses.items() if status not in (200, 201))

    def line(self) -> str:
        bad = f"  FAILED {self.failures}" if self.failures else ""
        return (
            f"{self.name:<44}{self.clients:>3} clients {self.per_second:>8.0f}/s  p50 {self.p50_ms:>7.2f} ms  "
            f"p99 {self.p99_ms:>7.2f} ms  CPU {self.cpu_us:>7.0f} µs{bad}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "clients": self.clients,
            "count": self.count,
            "per_second": round(self.per_second, 1),
            "p50_ms": round(self.p50_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
            "cpu_us": round(self.cpu_us),
            "failures": self.failures,
        }


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


def run(name: str, port: int, pid: int, clients: int, count: int, request: Request) -> Measured:
    """Send ``count`` requests over ``clients`` connections to the server whose processes begin at ``pid``."""
    load = _Load(port, [request(n) for n in range(count)])
    pids = children(pid)
    before, begun = cpu_seconds(pids), time.perf_counter()
    threads = [threading.Thread(target=load.client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - begun, cpu_seconds(pids) - before
    latencies = sorted(load.latencies)
    return Measured(
        name,
        clients,
        count,
        count / took,
        latencies[len(latencies) // 2] * 1000,
        latencies[max(0, int(len(latencies) * 0.99) - 1)] * 1000,
        used / count * 1_000_000,
        load.statuses,
    )


class _Load:
    """Requests that threads take one after the other."""

    def __init__(self, port: int, prepared: list[tuple[str, bytes, dict[str, str]]]) -> None:
        self.port, self.prepared = port, prepared
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self._lock, self._cursor = threading.Lock(), iter(range(len(prepared)))

    def client(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        mine: list[float] = []
        statuses: Counter[int] = Counter()
        while (n := self._next()) is not None:
            path, body, headers = self.prepared[n]
            begun = time.perf_counter()
            connection.request("POST", path, body, headers)
            reply = connection.getresponse()
            text = reply.read()
            mine.append(time.perf_counter() - begun)
            if reply.status >= 500:
                print(f"  {reply.status}: {text[:200].decode(errors='replace')}", flush=True)
            statuses[reply.status] += 1
        connection.close()
        with self._lock:
            self.latencies.extend(mine)
            self.statuses += statuses

    def _next(self) -> int | None:
        with self._lock:
            return next(self._cursor, None)


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
