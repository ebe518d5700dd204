"""A street with as many nodes as a run wants: each a real gunicorn with its workers and recovery, on one database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests

from gateway.demo.stage import free_port
from gateway.sdk import Identity, IdentityType, Secret, Transaction
from plugins.house import coupons, members
from plugins.house.adapter import insert_identity, insert_member
from tests.engine.street import Street

#: The members of the shop, each with their phone; plenty of points and value.
MEMBERS = 12
COUPON = "SPARE"
START_S = 60.0


@dataclass
class Node:
    """One gateway: its file, its port, the process of its master."""

    config_file: Path
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    #: How long its last start took, in seconds: how busy the machine is with others.
    start_s: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(self.config_file)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until it answers. Raises ``RuntimeError`` with the end of its log if it does not."""
        began = time.monotonic()
        deadline = began + START_S
        while not self.answers():
            if time.monotonic() > deadline or self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"the node did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        self.start_s = time.monotonic() - began

    def answers(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz", timeout=2).status_code == 200
        return False

    def workers(self) -> list[int]:
        """The worker processes that live."""
        if self.process is None:
            return []
        with suppress(OSError):
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
            return [int(pid) for pid in children.split() if _lives(int(pid))]
        return []

    def die(self) -> None:
        """kill -9 of the master and of all its workers; none is left behind, and nothing is started again."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGSTOP)  # it starts no other worker meanwhile
        for pid in self.workers():
            kill(pid)
        self.process.kill()
        self.process.wait(20)
        self.process = None

    def stop(self) -> None:
        """End it in an orderly way."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.die()
        self.process = None


@dataclass
class Town(Street):
    """A street whose nodes come and go."""

    nodes: list[Node] = field(default_factory=list)
    _joined: int = 0

    def _start_gateway(self) -> None:
        self.join().wait()

    def join(self) -> Node:
        """Start one more node on the same database; the first has the street's own port."""
        port = self.port if not self._joined else free_port()
        folder = self.data / f"node{self._joined}"
        self._joined += 1
        folder.mkdir()
        text = self.config_file.read_text().replace(f"\nport = {self.port}\n", f"\nport = {port}\n")
        text = text.replace('"merchants/*.toml"', f'"{self.config_file.parent}/merchants/*.toml"')
        data = '"data"' if self.database_url else f'"{self.data / "gateway"}"'
        (folder / "gateway.toml").write_text(text.replace('"../gateway"', data))
        node = Node(folder / "gateway.toml", port, folder / "log")
        node.start()
        self.nodes.append(node)
        return node

    def leave(self, node: Node) -> None:
        """This node dies, for good."""
        self.nodes.remove(node)
        node.die()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
        super().stop()

    def __enter__(self) -> Town:
        super().__enter__()
        return self

    def errors(self) -> list[str]:
        """What the nodes wrote of faults of ours: tracebacks in their logs."""
        texts = [log.read_text(errors="replace") for log in sorted(self.data.glob("node*/log"))]
        return [
            line for text in texts for line in text.splitlines() if line.startswith("Traceback") or '"stack":' in line
        ]


def phone(number: int) -> str:
    return f"139{number:08d}"


def stock_up(tx: Transaction) -> None:
    """Goods, members and a coupon that no run uses up."""
    tx.execute("UPDATE house_stock SET on_hand = 1000000000")
    for number in range(MEMBERS):
        ref = f"many{number}"
        insert_member(tx, "m1", ref, "会员", "gold", points=50_000_000, real=500_000_000)
        digest = members.digest_of(Identity(type=IdentityType.PHONE, value=Secret(phone(number))), "m1")
        insert_identity(tx, "m1", ref, "phone", digest)
    terms = {"off_amount": 100, "threshold_amount": 1000, "basis": "after_member"}
    coupons.insert(tx, "m1", COUPON, {"kind": "cash", "title": "满10减1", "terms": terms}, 1_000_000, "", 0)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    """Whether this process runs; one that is dead and not yet fetched by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
