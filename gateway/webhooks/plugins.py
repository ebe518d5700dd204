"""Tells one plugin of events: one call at a time in all processes, with a deadline, never inside a request.

What waits for the plugin is rows, as for a webhook endpoint, so that a plugin that hangs or raises costs no memory and
loses nothing; as a receiver its id is ``plugin:NAME``.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter

from gateway.engine.feed import event_view
from gateway.engine.seams import Clock, Ids
from gateway.runtime.gateway_config import PluginEvents as Settings
from gateway.store import webhooks
from gateway.store.port import Database, Tx
from gateway.webhooks.cases import Cases
from gateway.webhooks.relay import JITTER, Job, jobs_of

log = logging.getLogger("gateway.webhooks")

CALLS = Counter("gateway_plugin_events", "Calls of o2o_event, by what became of them", ("plugin", "outcome"))
#: How the ids of these receivers begin, and the kind of a case about one.
PREFIX, PARKED = "plugin:", "plugin-event-parked"
#: Events claimed at once. Those that were not reached in ``BUDGET_TIMES`` the time of a call are given back; the lease
#: is for ``LEASE_TIMES`` that time.
BATCH, BUDGET_TIMES, LEASE_TIMES = 50, 2, 4
#: So many calls of one plugin may hang in one process; then it is not called here until one of them has come back.
HUNG_MOST = 4
_SAID = {"later": "a plugin did not take an event; it is told again", "parked": "an event was parked for a plugin"}

_RANDOM = random.SystemRandom()

Hook = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that this worker has claimed, each the first of its subject."""

    jobs: tuple[Job, ...]


class PluginReceiver:
    """One plugin; a carrier for :class:`gateway.webhooks.service.RelayService`. Safe to share between threads."""

    def __init__(self, name: str, hook: Hook, database: Database, clock: Clock, ids: Ids, settings: Settings) -> None:
        self.name, self.id = name, f"{PREFIX}{name}"
        self._hook, self._database, self._clock, self._settings = hook, database, clock, settings
        self._cases = Cases(clock, ids)
        self._lock, self._hung = threading.Lock(), 0

    def take_events(self) -> int:
        """Nothing: the relay of the webhooks turns events into deliveries, for all receivers."""
        return 0

    @property
    def hung(self) -> int:
        """How many calls have been given up and are still running."""
        with self._lock:
            return self._hung

    # --- claiming ----------------------------------------------------------------------------------------------------

    def claim(self, most: int) -> list[Batch]:
        """Take what is due, unless somebody is telling this plugin something just now."""
        now = self._clock.now()
        if self.hung >= HUNG_MOST or self.id not in self._database.read(lambda tx: webhooks.due(tx, now, "")):
            return []
        jobs = self._database.tx(self._claim)
        return [Batch(tuple(jobs))] if jobs else []

    def _claim(self, tx: Tx) -> list[Job]:
        now, lease = self._clock.now(), int(self._settings.timeout_s * LEASE_TIMES * 1000)
        webhooks.lock(tx, self.id)
        receiver = webhooks.endpoint(tx, self.id)
        if receiver is None or receiver["state"] != "enabled" or webhooks.under_way(tx, self.id, now):
            return []
        return jobs_of(tx, receiver, webhooks.claim(tx, self.id, now, now + lease, BATCH))

    # --- calling -----------------------------------------------------------------------------------------------------

    def send(self, batch: Batch) -> list[str]:
        """Tell the plugin of events until one of them fails or time is over; of each that was tried the trouble."""
        began, troubles = time.monotonic(), list[str]()
        for job in batch.jobs:
            if time.monotonic() - began > self._settings.timeout_s * BUDGET_TIMES:
                break
            troubles.append(self._call(event_view(job.event)) if job.event is not None else "")
            if troubles[-1]:
                break
        return troubles

    def _call(self, event: Mapping[str, Any]) -> str:
        """Call the hook in a thread of its own; what went wrong, or nothing."""
        raised: list[str] = []
        over = threading.Event()  # the call has come back, or has been given up

        def run() -> None:
            try:
                self._hook(event)
            except BaseException as error:  # a plugin may raise anything, and nobody else is in this thread
                raised.append(f"it raised {type(error).__name__}")
            with self._lock:
                self._hung -= over.is_set()
                over.set()

        threading.Thread(target=run, name=f"o2o_event-{self.name}", daemon=True).start()
        if not over.wait(self._settings.timeout_s):
            with self._lock:
                if not over.is_set():  # else it has come back in this very moment
                    over.set()
                    self._hung += 1
                    return "it did not come back in time"
        return raised[0] if raised else ""

    # --- noting ------------------------------------------------------------------------------------------------------

    def note(self, batch: Batch, troubles: list[str]) -> None:
        """Write down what became of each; what was not tried is given back. Raises what the store raises."""
        tried, rest = list(zip(batch.jobs, troubles, strict=False)), batch.jobs[len(troubles) :]

        def unit(tx: Tx) -> list[str]:
            webhooks.lock(tx, self.id)
            for job in rest:
                webhooks.release(tx, job.delivery)
            return [self._note(tx, job, trouble) for job, trouble in tried]

        for (job, trouble), outcome in zip(tried, self._database.tx(unit), strict=True):
            CALLS.labels(self.name, outcome).inc()
            if trouble:
                event = job.event["id"] if job.event is not None else ""
                level = logging.ERROR if outcome == "parked" else logging.WARNING
                log.log(level, _SAID[outcome], extra={"endpoint": self.id, "subject": event, "trouble": trouble})

    def _note(self, tx: Tx, job: Job, trouble: str) -> str:
        """``told``, ``later`` or ``parked``; hold the receiver's lock."""
        now = self._clock.now()
        if not trouble:
            webhooks.delivered(tx, job.delivery, now)
            return "told"
        pauses, tries = self._settings.retry_s, int(job.delivery["attempts"])
        parked = tries >= len(pauses)
        pause = 0.0 if parked else pauses[tries] * _RANDOM.uniform(1 - JITTER, 1)
        state = "dead" if parked else "waiting"
        if webhooks.failed(tx, job.delivery, state, now + int(pause * 1000), trouble) and parked:
            event = job.event["id"] if job.event is not None else ""
            detail = f"plugin {self.name} was told {tries} times of event {event}: {trouble}; gateway webhooks retry"
            self._cases.open(tx, self.id, job.delivery["merchant"], PARKED, f"{detail} {self.id}")
        return "parked" if parked else "later"
