"""All that a process of the gateway is made of; put together in ``gateway/app.py``."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

from gateway.backoffice.messages.sending import THREADS, Sending
from gateway.engine.caller import RuntimeCaller
from gateway.engine.checkouts import Checkouts
from gateway.engine.clock import SteadyClock
from gateway.engine.deposits import Deposits
from gateway.engine.notices import Notices
from gateway.engine.refunds import Refunds
from gateway.engine.service import Engine
from gateway.engine.updown import UpDown
from gateway.engine.worker import Recovery
from gateway.runtime import Discovery, GatewayConfig, Runtime
from gateway.runtime.master_key import MasterKey
from gateway.store.errors import StorageError
from gateway.store.port import Database
from gateway.webhooks.endpoints import Endpoints
from gateway.webhooks.plugins import PluginReceiver
from gateway.webhooks.relay import Relay
from gateway.webhooks.service import RelayService

#: How long what is being sent is waited for at the end, in seconds; another process makes it again.
STOP_S = 5.0


@dataclass(slots=True, kw_only=True)
class Parts:
    """The engine with everything around it. ``config`` is as it was at the start; the runtime has what is in force."""

    config: GatewayConfig
    discovery: Discovery
    database: Database
    clock: SteadyClock
    runtime: Runtime
    caller: RuntimeCaller
    engine: Engine
    checkouts: Checkouts
    refunds: Refunds
    deposits: Deposits
    notices: Notices
    master: MasterKey
    endpoints: Endpoints
    relay: Relay
    listeners: tuple[PluginReceiver, ...]
    messages: Sending | None
    updown: UpDown
    _recovery: Recovery | None = None
    _sending: tuple[RelayService, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start_recovery(self) -> None:
        """Start this process's threads: recovery, webhooks, plugins; call it after ``fork``, as often as you like."""
        if self._recovery is not None:
            return
        with self._lock:
            if self._recovery is None:
                with contextlib.suppress(StorageError):  # the relay does it when the database is there again
                    self.relay.register()
                engine = self.engine
                recovery = Recovery(engine.worker, engine.timing.recovery_every, engine.finish)
                recovery.start()
                self._sending = self._services()
                for service in self._sending:
                    service.start()
                self._recovery = recovery

    def _services(self) -> tuple[RelayService, ...]:
        """The relay, and threads of their own for each plugin that hears of events, and for messages to members."""
        every = self.config.webhooks.every_s
        listeners = [RelayService(each, every, f"plugin {each.name}", threads=1) for each in self.listeners]
        messages = [RelayService(self.messages, every, "messages", THREADS)] if self.messages is not None else []
        return (RelayService(self.relay, every), *listeners, *messages)

    @property
    def recovering(self) -> bool:
        """Whether the recovery thread has been started in this process."""
        return self._recovery is not None

    def close(self) -> None:
        """Stop the recovery after the saga in hand, then close connections and database."""
        with self._lock:
            recovery, self._recovery = self._recovery, None
            sending, self._sending = self._sending, ()
        if recovery is not None:
            recovery.stop()
        until = time.monotonic() + STOP_S
        for service in sending:
            service.halt()
        for service in sending:
            service.stop(STOP_S, max(0.0, until - time.monotonic()))
        self.caller.close()
        self.runtime.close()
        self.updown.close()
        self.database.close()
