"""One far system under test: its process, the proxies before it, its panel and books, and a connection to it."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import re
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from gateway.domain.call import Call
from gateway.domain.common import Query, Secret, Site, Step
from gateway.domain.messages import NoticeRequest
from gateway.domain.outcomes import Done
from gateway.engine.seams import TimeOrderedIds
from gateway.hookspecs import FAMILY_OF, QUERY_HOOKS
from gateway.runtime.hookcheck import implemented_hooks
from gateway.runtime.relay import build_relay
from gateway.sdk.adapter import Adapter, EmbeddedAdapter, utc_now
from gateway.sdk.simulator import HttpReply, HttpRequest, serve_http
from gateway.sdk.transports.masking import Masker
from gateway.sdk.transports.recording import Tape, secrets_in
from gateway.store.migrate import Migration, migrate
from gateway.store.port import open_database
from gateway.testing.chains import Made, before
from gateway.testing.context import FileStore, build
from gateway.testing.foreign import ForeignSystem, Place
from gateway.testing.host import Host
from gateway.testing.outcome import Outcome, classed
from gateway.testing.profile import Profile
from gateway.testing.proxy import Line

_ADDRESS = re.compile(r"^(?P<scheme>\w+://)?127\.0\.0\.1:(?P<port>\d+)(?P<rest>/.*)?$")
#: Longer than its deadline a hook may take by so much, in seconds; then it counts as hanging.
GRACE_S = 2.0
SHANGHAI = ZoneInfo("Asia/Shanghai")


class Far:
    """A far system that runs in a folder of its own, with an adapter connected to it through proxies.

    A profile's methods are given one: ``address``, ``secret``, ``control``, ``site``, ``number``, ``read``, ``do`` and
    ``listener`` are for them.
    """

    numbers = itertools.count(1)

    def __init__(
        self, profile: Profile, folder: Path, host: Host | None, template: Path | None, merchant: str = "test",
        foreign: ForeignSystem | None = None,
    ) -> None:  # fmt: skip
        self.profile, self.folder, self._host, self.merchant = profile, folder, host, merchant
        self.foreign, self.place = foreign, Place({})
        self.data = folder / "system"
        self.line = Line()
        self.skew_s = 0.0
        self._ids = TimeOrderedIds(lambda: int(self.now().timestamp() * 1000))
        #: The keys of all changes that were made here.
        self.keys: set[str] = set()
        self.direct: dict[str, str] = {}
        self._through: dict[str, str] = {}
        self.pid = 0
        self._panel = ""
        #: The change that is waited for, or was asked about last: what ``advance`` is to let go on.
        self.asked: Made | None = None
        #: What went over the wire, masked as the gateway keeps it; nothing is kept while this is ``None``.
        self.frames: list[tuple[str, str]] | None = None
        self._listener: ThreadingHTTPServer | None = None
        self._heard: list[NoticeRequest] = []
        folder.mkdir(parents=True, exist_ok=True)
        if template is not None and template.exists():
            shutil.copytree(template, self.data)
        self._start()
        self.embedded = issubclass(profile.adapter, EmbeddedAdapter)
        self.database: Any = open_books(profile.adapter, folder) if self.embedded else None
        self.adapter_hooks = implemented_hooks(profile.adapter)
        #: Where the adapter's own files lie; another process has others.
        self._home = folder
        self.store = FileStore(folder / "store.db")
        self.adapter = self.connect()
        self._relay = build_relay(self.adapter)
        profile.prepare(self)

    def _start(self) -> None:
        if self.foreign is not None:
            self.data.mkdir(exist_ok=True)
            self.line.wait_s = 15.0
            self.place = self.foreign.take()
            self.direct = dict(self.place.addresses)
        elif self.profile.simulator is not None and self._host is not None:
            started = self._host.simulate(self.profile.simulator, self.data, self.profile.options)
            self.pid, self._panel, self.direct = started["pid"], started["panel"], started["addresses"]
        for role, address in self.direct.items():
            found = _ADDRESS.match(address)
            if found is None:
                self._through[role] = address
                continue
            port = self.line.add(role, int(found["port"]))
            self._through[role] = f"{found['scheme'] or ''}127.0.0.1:{port}{found['rest'] or ''}"

    def connect(self, **changes: Any) -> Adapter:
        """An adapter with the profile's settings, some of them changed. Raises ``ValidationError``."""
        settings = {**self.profile.settings(self), **changes}
        return build(
            self.profile.adapter,
            settings,
            self._home,
            merchant=self.merchant,
            clock=lambda: utc_now() + timedelta(seconds=self.skew_s),
            store=self.store,
            database=self.database,
        )

    @contextmanager
    def beside(self, store: FileStore | None = None) -> Iterator[Far]:
        """The same far system as another process sees it: an adapter of its own, an empty spool, and a store that is
        empty unless one is given. What is the far system itself, where nothing lies between, is the same for both."""
        other = copy.copy(self)
        if self.profile.simulator is not None or self.foreign is not None:
            other._home = self.folder / f"beside{next(self.numbers)}"
            other._home.mkdir()
            other.store = store or FileStore(other._home / "store.db")
        other.adapter = other.connect()
        other._relay = build_relay(other.adapter)
        try:
            yield other
        finally:
            other.adapter.close()
            other.adapter.context.http.close()

    def stop(self, *, spent: bool = False) -> None:
        """End it; the place in a real system is used again unless it is ``spent``."""
        self.adapter.close()
        self.adapter.context.http.close()
        self.line.stop()
        if self.database is not None:
            self.database.close()
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
        if self.pid and self._host is not None:
            self._host.stop(self.pid)
        if self.foreign is not None and not spent:
            self.foreign.give_back(self.place)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- for profiles ------------------------------------------------------------------------------------------------

    def address(self, role: str = "") -> str:
        """Where the adapter finds the far system, by the simulator's name for it; the only one if none is named."""
        return self._through[role] if role else next(iter(self._through.values()))

    def secret(self, name: str, value: str) -> str:
        """A reference, for the settings, to a secret with this value."""
        known = hashlib.sha256(value.encode()).hexdigest()[:8]  # another value under the name is another secret
        file = self.folder / f"{name}-{known}.secret"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(value, encoding="utf-8")
        return f"file:{file}"

    def control(self, do: str, **fields: Any) -> dict[str, Any]:
        """Pull a lever of the simulator."""
        answer: dict[str, Any] = self._ask_panel("POST", "/control", {"do": do, **fields})
        return answer

    def number(self, prefix: str) -> str:
        """A number that was never used."""
        return f"{prefix}{next(self.numbers):06d}"

    def site(self) -> Site:
        """Where and by whom the suite's sales are made."""
        return Site(
            store_id=self.profile.store_id, business_date=self.today(), till_id="T1", cashier_id="C1", terminal_id="P1"
        )

    def today(self) -> date:
        return self.now().astimezone(SHANGHAI).date()

    def now(self) -> datetime:
        return utc_now() + timedelta(seconds=self.skew_s)

    def read(self, hook: str, request: Any) -> Any:
        """What a reading hook answers. Raises ``RuntimeError`` if it does not."""
        found = self.run(hook, request)
        if found.kind != "read":
            raise RuntimeError(f"{hook}: {found}")
        return found.answer

    def do(self, hook: str, request: Any) -> Made:
        """Make a change that a request needs before it. Raises ``RuntimeError`` if it is not done."""
        made, came = self.change(hook, request)
        made, came = self.settled(made, came)
        if came.kind != "done":
            raise RuntimeError(f"{hook}: {came}")
        return made

    def listener(self) -> str:
        """The address of a server that hears callbacks and answers ``success``; :meth:`heard` gives the last one."""
        if self._listener is None:
            self._listener = serve_http(self._hear)
        return f"http://127.0.0.1:{self._listener.server_address[1]}/notice"

    def _hear(self, request: HttpRequest) -> HttpReply:
        query = urlencode(request.query)
        self._heard.append(
            NoticeRequest(method=request.method, query=query, headers=request.headers, body=request.body)
        )
        return HttpReply(200, b"success", "text/plain")

    def heard(self, seconds: float = 3.0) -> NoticeRequest:
        """The last callback that came; waits for the first. Raises ``RuntimeError`` if none comes."""
        until = time.monotonic() + seconds
        while not self._heard:
            if time.monotonic() > until:
                raise RuntimeError("no callback came")
            time.sleep(0.01)
        return self._heard[-1]

    # -- books and faults --------------------------------------------------------------------------------------------

    def panel_books(self) -> Mapping[str, Any]:
        books: Mapping[str, Any] = self._ask_panel("GET", "/books")
        return books

    def tally(self) -> dict[str, int]:
        """What stands in the books now."""
        return {name: value for name, value in self.profile.tally(self.profile.books(self)).items() if value}

    def quiet(self, seconds: float = 1.5) -> dict[str, int]:
        """What stands in the books once nothing moves any more."""
        until, last = time.monotonic() + seconds, self.tally()
        while time.monotonic() < until:
            time.sleep(0.03)
            now = self.tally()
            if now == last:
                return now
            last = now
        return last

    @property
    def knows(self) -> Mapping[str, str]:
        """The faults that the simulator can make."""
        known: Mapping[str, str] = self._ask_panel("GET", "/")["faults"] if self._panel else {}
        return known

    def fired(self) -> bool:
        """Whether the fault that was switched on for one time has happened."""
        return not (self._panel and self._ask_panel("GET", "/faults")["faults"])

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Switch faults of the simulator on, and all others off."""
        if self._panel:
            self._ask_panel("PUT", "/faults", {"faults": list(faults)})

    @contextmanager
    def later(self, seconds: float) -> Iterator[None]:
        """Both clocks, the far system's and ours, moved on. Raises ``RuntimeError`` for a real system."""
        if self.foreign is not None:
            raise RuntimeError("the clock of a system that nobody here wrote can't be moved")
        self.skew_s += seconds
        self.faults({"name": "clock_skew", "value": int(self.skew_s)})
        try:
            yield
        finally:
            self.skew_s -= seconds
            self.faults()

    def _ask_panel(self, method: str, path: str, body: Any = None) -> Any:
        if not self._panel:
            raise RuntimeError(f"{self.profile.adapter.name} has no simulator: its profile must not ask for a panel")
        data = json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(self._panel + path, data, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
                return json.loads(answer.read())
        except HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode('utf-8', 'replace')}") from None

    # -- calls -------------------------------------------------------------------------------------------------------

    def key(self) -> str:
        """A key as the engine makes it, never used: its first ten characters are its time, as in a ULID."""
        return self._ids.new()

    def run(self, hook: str, request: Any, call: Call | None = None, seconds: float | None = None) -> Outcome:
        """Call a hook in a thread of its own, and wait for it a little longer than it may take."""
        seconds = self.profile.deadline_s if seconds is None else seconds
        found: list[Outcome] = []
        cpu: list[float] = []
        before_ = self.line.messages

        def work() -> None:
            began = time.thread_time()
            tape = self._tape(request)
            found.append(classed(self.adapter.name, hook, lambda: self._called(hook, request, call), tape))
            if tape is not None and self.frames is not None:
                self.frames.append((hook, str(tape.end())))
            cpu.append(time.thread_time() - began)

        began = time.monotonic()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(seconds + GRACE_S if call else 30)
        took, sent = time.monotonic() - began, self.line.messages - before_
        if not found:
            return Outcome("hung", None, f"did not come back within {took:.1f} s", took, sent)
        return Outcome(found[0].kind, found[0].answer, found[0].text, took, sent, sum(cpu))

    def _tape(self, request: Any) -> Tape | None:
        """What a call's messages are taken down on, masked as the gateway does."""
        if self.frames is None:
            return None
        secrets_ = [value.reveal() for value in self.adapter.context.settings.values() if isinstance(value, Secret)]
        return Tape(Masker(secrets_, self.adapter.about.hidden), secrets_in(request))

    def _called(self, hook: str, request: Any, call: Call | None) -> Any:
        """Call a hook; a change of an embedded adapter in a transaction of the database, as the engine does."""
        if call is None:
            return self._relay[hook](request=request)
        if self.database is None:
            return self._relay[hook](request=request, call=call)
        return self.database.tx(lambda tx: self._relay[hook](request=request, call=replace(call, tx=tx)))

    def change(
        self, hook: str, request: Any, *, key: str = "", attempt: int = 1, seconds: float | None = None,
        steps: tuple[Step, ...] = (),
    ) -> tuple[Made, Outcome]:  # fmt: skip
        """Make a change; what was made, and what came of it."""
        seconds = self.profile.deadline_s if seconds is None else seconds
        journal: list[Step] = list(steps)
        key = key or self.key()
        self.keys.add(key)
        deadline = datetime.now(UTC) + timedelta(seconds=seconds + self.skew_s)
        call = Call(key=key, deadline=deadline, attempt=attempt, steps=tuple(journal), journal=journal.append)
        sent_at = self.now()
        came = self.run(hook, request, call, seconds)
        return Made(hook, key, request, came.answer, sent_at, tuple(journal)), came

    def queryable(self, hook: str) -> bool:
        return QUERY_HOOKS.get(FAMILY_OF[hook], "") in self.adapter_hooks

    def query(self, made: Made) -> Outcome:
        """Ask what became of a change."""
        self.asked = made
        asked = Query(
            hook=made.hook,
            key=made.key,
            request=_kept(made.request),
            sent_at=made.sent_at,
            ref=made.ref,
            facts=made.facts,
            steps=made.steps,
        )
        return self.run(QUERY_HOOKS[FAMILY_OF[made.hook]], asked)

    def settled(self, made: Made, came: Outcome) -> tuple[Made, Outcome]:
        """Wait for what is pending: the far system is let go on, and asked again."""
        until = time.monotonic() + self.profile.settle_s
        while came.kind == "pending" and self.queryable(made.hook) and time.monotonic() < until:
            self.asked = made
            self.profile.advance(self)
            came = self.query(made)
            if came.kind == "pending":
                time.sleep(0.03)
        if came.kind == "done":
            facts = {**made.facts, **came.answer.facts}
            answer = Done(ref=came.answer.ref or made.ref, amount=came.answer.amount, facts=facts)
            made = Made(made.hook, made.key, made.request, answer, made.sent_at, made.steps)
        return made, came

    def ready(self, hook: str) -> Callable[[], Any]:
        """Do what must have been done before a hook; then makes requests for it, each valid once."""
        chain = before(hook, self.adapter_hooks)
        if not chain:
            return lambda: self.profile.request(hook, self)
        first = last = self.do(chain[0], self.profile.request(chain[0], self))
        for name in chain[1:]:
            last = self.do(name, self.profile.request(name, self, first))
        return lambda: _with_confirm(self.profile.request(hook, self, first), first, last)


def _with_confirm(request: Any, first: Made, last: Made) -> Any:
    """A return as the engine asks for it: it names the hold, and the confirm's own number beside it."""
    if last is first or getattr(request, "confirmed", request) is not None:
        return request
    return replace(request, confirmed=last.original)


def open_books(adapter: type[Adapter], folder: Path) -> Any:
    """The database that an embedded adapter lives in, with its tables."""
    assert issubclass(adapter, EmbeddedAdapter)
    database = open_database(f"sqlite:///{folder / 'gateway.db'}", ballast_bytes=0)
    migrate(database, [Migration(*pair) for pair in adapter.migrations])
    return database


def _kept(request: Any) -> Any:
    """A request as the engine keeps it: a payment code is gone."""
    from dataclasses import fields

    gone = {each.name: None for each in fields(request) if each.name == "auth_code"}
    return replace(request, **gone) if gone else request
