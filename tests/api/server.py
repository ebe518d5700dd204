"""A real server process: gunicorn with two workers, from the settings that production has."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.api.keys import create_key
from gateway.app import build_parts
from gateway.demo.stage import free_port
from gateway.sdk.simulator import Running, start
from plugins.alipay.simulator import AlipaySimulator
from plugins.ktv.simulator import KtvSimulator
from tests.api.kit import made_folder, stock_up, write_config

ROOT = Path(__file__).parents[2]
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]


@dataclass
class Server:
    """gunicorn, and how to talk to it."""

    process: subprocess.Popen[bytes]
    port: int
    key: str
    log: Path
    environ: Mapping[str, str]
    #: The key of another merchant, ``tea``.
    other: str = ""
    running: Mapping[str, Running] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as peer:
            given = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            given |= {name.replace("_", "-"): value for name, value in headers.items()}
            peer.request(method, path, None if body is None else json.dumps(body), given)
            reply = peer.getresponse()
            return reply.status, dict(reply.headers), reply.read()

    def second(self) -> subprocess.CompletedProcess[bytes]:
        """Begin another server on the same files, by mistake or before this one has ended; it finds the port taken."""
        return subprocess.run(GUNICORN, cwd=ROOT, env=self.environ, capture_output=True, timeout=60, check=False)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="utf-8")
        return [int(pid) for pid in children.split()]


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start simulators and gunicorn on a new database with two shops stocked up; stop them at the end."""
    port = free_port()
    running = {
        "alipay": start(AlipaySimulator(made_folder(folder / "alipay"), {"password_after_s": "2"})),
        "ktv": start(KtvSimulator(made_folder(folder / "ktv"), {})),
    }
    file = write_config(folder, running, port, scale="1.0")
    parts = build_parts(file)
    for shop in ("bun", "tea"):
        stock_up(parts, shop)
    key, other = (create_key(parts.database, merchants=[shop])[0] for shop in ("bun", "tea"))
    parts.close()
    environ = {**os.environ, "GATEWAY_CONFIG": str(file)}
    environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    log = folder / "gunicorn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(GUNICORN, cwd=ROOT, env=environ, stdout=output, stderr=output)
    made = Server(process, port, key, log, environ, other, running)
    try:
        _await_ready(made)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
        for run in running.values():
            run.stop()


def _await_ready(server: Server) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert server.process.poll() is None, server.log.read_text(encoding="utf-8")
        try:
            if server.ask("GET", "/readyz")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(server.log.read_text(encoding="utf-8"))
