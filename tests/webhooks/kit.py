"""A receiver on a real socket, a relay on a real database, and a clock that can jump over days."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gateway.engine.seams import TimeOrderedIds
from gateway.engine.service import Asked
from gateway.runtime.gateway_config import Webhooks
from gateway.runtime.master_key import MasterKey
from gateway.store import journal
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database
from gateway.store.schema import MIGRATIONS
from gateway.webhooks.endpoints import Endpoints, Who
from gateway.webhooks.relay import Relay

HOUR = 3_600_000
EVERYBODY = Who(None, None)


@dataclass
class Seen:
    """One request as a receiver saw it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


#: What a receiver does: a status, or headers with it; ``None`` hangs up.
Behaviour = Callable[[Seen], int | tuple[int, dict[str, str]] | None]


class Receiver:
    """An HTTP server that writes down what it is sent."""

    def __init__(self, behaviour: Behaviour = lambda seen: 204) -> None:
        self.behaviour, self.seen, self.accepted = behaviour, list[Seen](), list[Seen]()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self, Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, body))

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/hook"

    def take(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        self.seen.append(seen)
        answer = self.behaviour(seen)
        if answer is None:
            return
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        if 200 <= status < 300:
            self.accepted.append(seen)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def first_seen(self, accepted: bool = True) -> dict[str, list[int]]:
        """The numbers of each subject's events in the order in which they first came."""
        found: dict[str, list[int]] = {}
        for seen in self.accepted if accepted else self.seen:
            event = seen.event
            numbers = found.setdefault(event["subject"], [])
            if event["seq"] not in numbers:
                numbers.append(event["seq"])
        return found

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    at: int = 1_800_000_000_000

    def now(self) -> int:
        return self.at


@dataclass
class Post:
    """Everything that webhooks need, on a database in a folder."""

    folder: Path
    settings: Webhooks = field(default_factory=Webhooks)
    resolver: Any = None
    url: str = ""

    def __post_init__(self) -> None:
        self.clock, self.ids = Clock(), TimeOrderedIds()
        self.database: Database = open_database(self.url or f"sqlite:///{self.folder / 'w.db'}")
        migrate(self.database, [Migration(name, sql) for name, sql in MIGRATIONS])
        self.master = MasterKey(self.folder / "master.key")
        self.counts: dict[str, int] = {}

    def _made(self, made: Any) -> Any:
        more = {} if self.resolver is None else {"resolver": self.resolver}
        return made(self.database, self.clock, self.ids, self.master, self.settings, **more)

    @property
    def relay(self) -> Relay:
        relay: Relay = self._made(Relay)
        return relay

    @property
    def endpoints(self) -> Endpoints:
        endpoints: Endpoints = self._made(Endpoints)
        return endpoints

    def allow(self, *receivers: Receiver) -> None:
        hosts = tuple(receiver.host for receiver in receivers)
        self.settings = replace(self.settings, allow_hosts=(*self.settings.allow_hosts, *hosts))

    def endpoint(self, url: str, who: Who = EVERYBODY, **body: Any) -> dict[str, Any]:
        """Add an endpoint; as the platform is told of it, with its secret."""
        key = self.ids.new()
        reply = self.endpoints.create(who, Asked(who.tenant, key, key), {"url": url, **body})
        made: dict[str, Any] = json.loads(reply.body)
        return made

    def happen(self, *subjects: str, merchant: str = "bun", kind: str = "checkout.completed") -> None:
        """Something happens to each of these subjects."""
        rows = []
        for subject in subjects:
            seq = self.counts.get(subject, 0)
            self.counts[subject] = seq + 1
            names = {"merchant": merchant, "subject": subject, "seq": seq, "type": kind}
            rows.append({**names, "id": f"evt_{self.ids.new()}", "occurred": self.clock.at - 5_000, "data": "{}"})
        self.database.tx(lambda tx: journal.insert_events(tx, rows))

    def run(self, until: int, relay: Relay | None = None) -> None:
        """Work, and move the clock from one thing that is due to the next, until a time."""
        relay = relay or self.relay
        while True:
            if relay.run_once():
                continue
            following = self.next_due()
            if following is None or following > until:
                self.clock.at = max(self.clock.at, until)
                return
            self.clock.at = following

    def next_due(self) -> int | None:
        """When the next delivery may be tried, of those that may not be tried now."""
        at = "CASE WHEN next_at > lease_until THEN next_at ELSE lease_until + 1 END"
        sql = f"SELECT min({at}) AS at FROM webhook_deliveries WHERE state = 'waiting' AND {at} > :now"
        row = self.database.read(lambda tx: tx.one(sql, {"now": self.clock.at}))
        return None if row is None or row["at"] is None else int(row["at"])

    def left(self) -> dict[str, int]:
        """How many deliveries are in which state."""
        rows = self.database.read(
            lambda tx: tx.all("SELECT state, count(*) AS n FROM webhook_deliveries GROUP BY state")
        )
        return {row["state"]: row["n"] for row in rows}

    def tasks(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.database.read(lambda tx: tx.all("SELECT * FROM tasks ORDER BY id"))]
