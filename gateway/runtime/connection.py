"""Connections: a merchant's adapters, each behind its relay and its guard."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from gateway.domain.call import Call, Transaction
from gateway.domain.common import Query, Step
from gateway.domain.errors import AdapterError, Misconfigured, NotSent, NotSupported, OutcomeUnknown, PluginError
from gateway.domain.outcomes import Answer, Change
from gateway.domain.traits import AdapterTraits, Traits
from gateway.hookspecs import FAMILY_OF, QUERY_HOOKS
from gateway.runtime import capabilities
from gateway.runtime.breaker import Breaker, BreakerState
from gateway.runtime.facades import Readings
from gateway.runtime.guard import Guard, LastError, from_a_person, place
from gateway.runtime.hookcheck import implemented_hooks
from gateway.runtime.merchant import ConnectionConfig, Merchant
from gateway.runtime.pool import Pool
from gateway.runtime.relay import build_relay
from gateway.runtime.runner import Runner, Spec
from gateway.runtime.storage import DurableStore
from gateway.sdk import Adapter, Context, EmbeddedAdapter, Http, Secret
from gateway.sdk.transports.masking import Masker
from gateway.sdk.transports.recording import Tape, secrets_in
from gateway.store.errors import StorageError
from gateway.store.port import Database

Clock = Callable[[], datetime]
#: Hears when a connection is taken for down (``False``) and when it is up again (``True``).
Listener = Callable[["Connection", bool], None]

_NO_TRAITS = Traits()
_NO_HOOKS: frozenset[str] = frozenset()
#: Reading hooks that list, and so may take longer.
_PAGES = frozenset(hook for hook in FAMILY_OF if hook.endswith(("_page", "_statement")))
#: How long a check of a connection may take, in seconds.
CHECK_S = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What connections share: the database, the folder for what is written, the clock, who hears of ups and downs."""

    database: Database
    data: Path
    clock: Clock
    listener: Listener | None = None


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """How a connection does: ``breaker`` is closed, open or half-open, ``hung`` counts threads left behind."""

    breaker: str
    built: bool
    failures_in_a_row: int = 0
    next_try_s: float = 0.0
    busy: int = 0
    hung: int = 0
    slots: int = 1
    last_error: LastError | None = None
    last_success_at: datetime | None = None


class Connection(Readings):
    """One merchant's way to one legacy system. The adapter is built at its first use, in the process that uses it."""

    def __init__(
        self, merchant: Merchant, config: ConnectionConfig, adapter: type[Adapter] | None, around: Surroundings
    ) -> None:
        self.name = config.name
        self.adapter_name = config.adapter
        self.merchant_id = merchant.id
        self.config = config
        self._merchant, self._class, self._around = merchant, adapter, around
        self._hooks = implemented_hooks(adapter) if adapter else _NO_HOOKS
        self.embedded = adapter is not None and issubclass(adapter, EmbeddedAdapter)
        self._masker = Masker(_secrets_in(config.settings), adapter.about.hidden if adapter else ())
        own = {"merchant": merchant.id, "connection": config.name, "masker": self._masker}
        self.log = logging.LoggerAdapter(logging.getLogger(f"gateway.adapter.{config.adapter}"), own)
        self._lock = threading.Lock()
        self._relay: Mapping[str, Callable[..., Any]] | None = None
        self._adapter: Adapter | Runner | None = None
        self._http: Http | None = None
        self._retired = False
        pool = Pool(self._parallel(), f"{merchant.id}/{config.name}")
        self._guard = Guard(config.adapter, self.log, pool, Breaker(first_open_s=config.breaker_open_s), self._tell)

    def __repr__(self) -> str:
        return f"<Connection {self.merchant_id}/{self.name} ({self.adapter_name})>"

    def has(self, hook: str) -> bool:
        """Whether the adapter implements a hook.

        One whose plugin did not load is taken to have them all: each call then says so, and no part of a sale is left
        out silently because its system seems not to know it.
        """
        return hook in self._hooks or self._class is None

    def traits(self, hook: str) -> Traits:
        """What the adapter declares of a hook."""
        return self._class.traits.get(hook, _NO_TRAITS) if self._class else _NO_TRAITS

    @property
    def about(self) -> AdapterTraits:
        """What the adapter declares of itself."""
        return self._class.about if self._class else AdapterTraits()

    @cached_property
    def capabilities(self) -> dict[str, Any]:
        """What this connection can do, as plain values."""
        if self._class is None:
            return {"adapter": self.adapter_name, "families": [], "hooks": {}, "problem": self.config.problem}
        return capabilities.capabilities(self._class)

    @property
    def down(self) -> bool:
        """Whether nothing would be sent now: the breaker is open, or the plugin did not load."""
        return self._class is None or self._guard.breaker.state is BreakerState.OPEN

    def queryable(self, hook: str) -> bool:
        """Whether the outcome of this change can be asked for."""
        return self._class is None or capabilities.queryable(self._class, hook)

    def reversible(self, hook: str) -> bool:
        """Whether this change has its undo."""
        return self._class is None or capabilities.reversible(self._class, hook)

    def tape(self, request: Any = None) -> Tape | None:
        """What a call's messages are taken down on, masked by what this connection must not show; embedded: none."""
        if self.embedded:
            return None
        return Tape(self._masker, secrets_in(request))

    def change(self, hook: str, request: Any, call: Call, tape: Tape | None = None) -> Change:
        """Make a change. Raises subclasses of ``AdapterError`` only, and the store's errors if the adapter is embedded.

        The adapter has until ``call.deadline``, and the connection's grace to come back with an answer of its own; once
        this method has come back ``call.journal`` is not called any more.
        """
        caller = self._caller(hook)
        if self.embedded:
            return cast(
                "Change", self._guard.inline(hook, partial(caller, request=request, call=call), passing=StorageError)
            )
        seconds = call.remaining(self._around.clock())
        if seconds <= 0:
            raise NotSent("the deadline had passed before anything was sent")
        bounded = _bounded(call, time.monotonic() + seconds + self.config.grace_s)
        return cast("Change", self._guarded(hook, partial(caller, request=request, call=bounded), seconds, tape))

    def query(self, query: Query, *, timeout_s: float | None = None, tape: Tape | None = None) -> Answer:
        """Ask what became of a change. Raises ``NotSupported`` if the family has no query here."""
        hook = QUERY_HOOKS.get(FAMILY_OF.get(query.hook, ""))
        if hook is None:
            raise NotSupported(f"nothing answers for {query.hook}")
        return cast("Answer", self.read(hook, query, timeout_s=timeout_s, tape=tape))

    def read(self, hook: str, request: Any, *, timeout_s: float | None = None, tape: Tape | None = None) -> Any:
        """Call a reading hook; ``None`` takes the connection's time-out. The typed methods stand beside this one."""
        work = partial(self._caller(hook), request=request)
        if self.embedded or hook == "notice_read":
            return self._guard.inline(hook, work, passing=StorageError if self.embedded else ())
        seconds = self._read_seconds(hook) if timeout_s is None else timeout_s
        return self._guarded(hook, work, seconds, tape)

    def discrepancies(self, tx: Transaction) -> list[str]:
        """What does not add up in an embedded adapter's own tables; nothing of any other."""
        if not self.embedded:
            return []
        self._ready()
        return list(cast("EmbeddedAdapter", self._adapter).discrepancies(tx))

    def check(self) -> None:
        """Ask the adapter whether its system can be reached. Raises ``Misconfigured``, ``NotSent`` or what went wrong.

        It is asked whatever the breaker says, and an answer closes it.
        """
        self._ready()
        adapter = cast("Adapter | Runner", self._adapter)
        self._guard.probe("check", adapter.check, CHECK_S, self.config.grace_s)

    @property
    def state(self) -> ConnectionState:
        """How the connection does now."""
        guard = self._guard
        success = guard.last_success
        return ConnectionState(
            breaker=guard.breaker.state.value,
            built=self._relay is not None,
            failures_in_a_row=guard.breaker.in_a_row,
            next_try_s=guard.breaker.opens_in(),
            busy=guard.pool.busy,
            hung=guard.pool.hung,
            slots=guard.pool.size,
            last_error=guard.last_error,
            last_success_at=datetime.fromtimestamp(success, UTC) if success else None,
        )

    def close(self) -> None:
        """Take no more calls; close the adapter once those under way have ended."""
        with self._lock:
            self._retired, self._relay = True, None
        self._guard.pool.close(self._close_adapter)

    def _guarded(self, hook: str, work: Callable[[], Any], seconds: float, tape: Tape | None) -> Any:
        return self._guard.run(hook, work, seconds, self.config.grace_s, tape)

    def _caller(self, hook: str) -> Callable[..., Any]:
        caller = (self._relay or self._ready()).get(hook)
        if caller is None:
            raise NotSupported(f"adapter {self.adapter_name!r} has no {hook}")
        return caller

    def _parallel(self) -> int:
        own = self._class.about.max_parallel if self._class else 1
        return max(1, min(own, self.config.max_parallel or own))

    def _read_seconds(self, hook: str) -> float:
        if hook in _PAGES:
            return self.config.page_timeout_s
        return self.config.query_timeout_s if hook.endswith("_query") else self.config.read_timeout_s

    def _ready(self) -> Mapping[str, Callable[..., Any]]:
        """The relay, built if this is the first use. A connection that cannot be built is tried again next time."""
        with self._lock:
            if self._retired:
                raise NotSent(f"connection {self.name!r} was closed, its configuration has changed")
            if self._relay is None:
                self._relay = self._noted(self._build)
            return self._relay

    def _noted(self, build: Callable[[], Mapping[str, Callable[..., Any]]]) -> Mapping[str, Callable[..., Any]]:
        try:
            return build()
        except AdapterError as error:
            self._guard.note("connect", error)
            raise

    def _build(self) -> Mapping[str, Callable[..., Any]]:
        if self._class is None:
            raise Misconfigured(self.config.problem)
        if self.config.runner:
            runner = self._runner(self._class)
            self._adapter = runner
            return runner.relay(self._hooks)
        with ExitStack() as undo:
            http = Http(
                verify=self.config.ca_bundle or True, pool=self.config.pool, plain_text=self.config.insecure_transport
            )
            undo.callback(http.close)
            adapter = self._construct(self._class, http)
            relay = build_relay(adapter)
            undo.pop_all()
        self._adapter, self._http = adapter, http
        return relay

    def _runner(self, adapter: type[Adapter]) -> Runner:
        """The adapter in processes of its own, which get this connection's settings and nothing else."""
        config = self.config
        context = {
            "merchant": self.merchant_id,
            "connection": self.name,
            "settings": config.settings,
            "spool": str(self._spool()),
            "currency": self._merchant.currency,
            "timezone": str(self._merchant.timezone),
            "verify": config.ca_bundle or True,
            "pool": config.pool,
            "plain_text": config.insecure_transport,
        }
        spec = Spec(
            adapter=adapter,
            name=config.adapter,
            context=context,
            grace_s=config.grace_s,
            patience_s=config.runner_patience_s,
            memory_bytes=config.runner_memory_mb << 20,
            cpu_s=config.runner_cpu_s,
            most=self._parallel(),
            read_s=lambda hook: CHECK_S if hook == "check" else self._read_seconds(hook),
        )
        return Runner(spec, DurableStore(self._around.database, self.merchant_id, self.name), self.log)

    def _construct(self, adapter: type[Adapter], http: Http) -> Adapter:
        try:
            return adapter(self._context(http))
        except (NotSent, OutcomeUnknown, PluginError):
            raise
        except BaseException as error:
            if from_a_person(error):
                raise
            text = f"adapter {self.adapter_name!r} cannot be built: {type(error).__name__} {place(error)}"
            raise PluginError(text) from None

    def _spool(self) -> Path:
        spool = self._around.data / "spool" / self.merchant_id / self.name
        try:
            spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Misconfigured(f"the folder {spool} cannot be made: {error.strerror}") from None
        return spool

    def _context(self, http: Http) -> Context:
        return Context(
            merchant=self.merchant_id,
            connection=self.name,
            settings=self.config.settings,
            http=http,
            log=self.log,
            store=DurableStore(self._around.database, self.merchant_id, self.name),
            spool=self._spool(),
            currency=self._merchant.currency,
            timezone=self._merchant.timezone,
            clock=self._around.clock,
            database=self._around.database if self.embedded else None,
        )

    def _tell(self, up: bool) -> None:
        if self._around.listener is None:
            return
        try:
            self._around.listener(self, up)
        except Exception as error:
            self.log.error("the listener raised %s %s", type(error).__name__, place(error))

    def _close_adapter(self) -> None:
        adapter, self._adapter = self._adapter, None
        try:
            if adapter is not None:
                adapter.close()
        except BaseException as error:
            if from_a_person(error):
                raise
            self.log.warning("closing raised %s %s", type(error).__name__, place(error))
        if self._http is not None:
            self._http.close()


def _secrets_in(value: Any) -> list[str]:
    """All secrets in settings, however deep."""
    if isinstance(value, Secret):
        return [value.reveal()]
    if isinstance(value, Mapping):
        return [secret for inner in value.values() for secret in _secrets_in(inner)]
    return [secret for inner in value for secret in _secrets_in(inner)] if isinstance(value, list | tuple) else []


def _bounded(call: Call, end: float) -> Call:
    """The call with a journal that refuses steps once the caller has given up: no message of theirs may follow."""

    def journal(step: Step) -> None:
        if time.monotonic() > end:
            raise OutcomeUnknown(f"the caller has given up before {step.name}")
        call.journal(step)

    return replace(call, journal=journal)
