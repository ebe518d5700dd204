"""Carries events to endpoints: any process can run it, each step is claimed in SQL, and none waits inside one.

Per endpoint and subject there is one delivery under way at a time, so that a receiver sees a subject's events in order;
what waits is rows, so that a receiver that is down for days costs no memory.
"""

from __future__ import annotations

import json
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter

from gateway.engine.clock import wall
from gateway.engine.feed import event_view, events_after
from gateway.engine.sealing import Sealer
from gateway.engine.seams import Clock, Ids
from gateway.runtime.gateway_config import Webhooks as Settings
from gateway.runtime.master_key import MasterKey
from gateway.store import webhooks
from gateway.store.encoding import dump
from gateway.store.port import Database, Row, Tx
from gateway.webhooks import signing
from gateway.webhooks.addresses import Forbidden, Resolver, Unresolved, addresses_of, parse, system_resolver
from gateway.webhooks.cases import Cases
from gateway.webhooks.sending import NotDelivered, post

log = logging.getLogger("gateway.webhooks")

ATTEMPTS = Counter("gateway_webhook_attempts", "Tries to deliver an event, by what became of them", ("outcome",))
#: A worker that has not said after so many times the time of a delivery what became of it is taken for dead.
LEASE_TIMES = 4
#: Deliveries under way to one endpoint, over all processes; one that fails again and again is asked one at a time.
PARALLEL, FAILING_AFTER = 6, 3
#: Events taken from the feed at once, and how often for one receiver before the others have their turn.
BATCH, BATCHES_MOST = 200, 10
#: A pause is shortened by up to this share, so that what failed together does not come back together.
JITTER = 0.05

#: How the ids of platforms' endpoints begin.
PLATFORMS = "whe_"

_RANDOM = random.SystemRandom()

#: What is to be done once what was taken stands; and who takes events inside the transaction that moves a position on.
After = Callable[[], None]
Taker = Callable[[Tx, list[Row]], After | None]


@dataclass(frozen=True, slots=True)
class Job:
    """A delivery that this worker has claimed: where it goes, what it says."""

    endpoint: Row
    delivery: dict[str, Any]
    event: Row | None


class Relay:
    """Claims, sends, notes. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: Ids,
        master: MasterKey,
        settings: Settings,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._database, self._clock, self._ids, self._master = database, clock, ids, master
        self._settings, self._resolver = settings, resolver
        self._context: ssl.SSLContext | None = None
        self.cases = Cases(clock, ids)
        self.sealer = Sealer(database, clock)
        self.sealer.use(lambda: master.derive("audit-chain"))
        #: The receivers inside this gateway, by id: what takes their events; ``None``: they become deliveries.
        self.inside: dict[str, Taker | None] = {}
        self._registered = False

    # --- from the feed to deliveries ---------------------------------------------------------------------------------

    def take_events(self) -> int:
        """Turn new events into deliveries, for every receiver; how many receivers had something to look at.

        A plugin that is not loaded here keeps its place in the feed, for when it is.
        """
        self.register()
        self.sealer.seal()
        behind = self._database.read(webhooks.behind_the_feed)
        mine = [each for each in behind if each in self.inside or each.startswith(PLATFORMS)]
        for receiver in mine:
            for _ in range(BATCHES_MOST):
                seen, after = self._database.tx(lambda tx, receiver=receiver: self._take(tx, receiver))  # type: ignore[misc]
                if after is not None:
                    after()
                if seen < BATCH:
                    break
        return len(mine)

    def register(self) -> None:
        """Give the receivers inside a place in the feed, once: they hear of what happens from then on.

        Called before a process serves anybody, and before it gives events their places; and again by the relay, for a
        database that was not there then.
        """
        if self._registered:
            return
        now = self._clock.now()
        for receiver in self.inside:
            self._database.tx(lambda tx, receiver=receiver: webhooks.insert_receiver(tx, receiver, now))  # type: ignore[misc]
        self._registered = True

    def _take(self, tx: Tx, endpoint_id: str) -> tuple[int, After | None]:
        """Take what is new for a receiver: how many events it looked at, and what is to be done when that stands."""
        webhooks.lock(tx, endpoint_id)
        row = webhooks.endpoint(tx, endpoint_id)
        if row is None or row["state"] != "enabled":
            return 0, None
        seen = events_after(tx, row["position"], None, None, BATCH)
        if not seen:
            return 0, None
        count, last, taker = len(seen), seen[-1]["position"], self.inside.get(endpoint_id)
        if taker is not None:
            webhooks.move_on(tx, endpoint_id, row["position"], last)
            return count, taker(tx, seen)
        stores = _names(row["stores"])
        if stores is not None:
            found = events_after(tx, row["position"], None, stores, BATCH)
            seen = [each for each in found if each["position"] <= last]
        merchants, types = _names(row["merchants"]), json.loads(row["event_types"])
        wanted = [each for each in seen if (merchants is None or each["merchant"] in merchants) and _is_of(each, types)]
        webhooks.add_deliveries(tx, endpoint_id, wanted, row["position"], last, self._clock.now())
        return count, None

    # --- deliveries --------------------------------------------------------------------------------------------------

    def claim(self, most: int) -> list[Job]:
        """Take deliveries that are due, at most so many, from the endpoints in turn."""
        now, master = self._clock.now(), self._master.fingerprint
        due = self._database.read(lambda tx: webhooks.due(tx, now, master))
        _RANDOM.shuffle(due)
        jobs: list[Job] = []
        share = max(1, most // max(1, len(due)))
        for endpoint_id in due:
            room = min(share, most - len(jobs))
            if room > 0:
                jobs += self._database.tx(lambda tx, e=endpoint_id, r=room: self._claim(tx, e, r))  # type: ignore[misc]
        return jobs

    def _claim(self, tx: Tx, endpoint_id: str, room: int) -> list[Job]:
        now, lease = self._clock.now(), int(self._settings.timeout_s * LEASE_TIMES * 1000)
        webhooks.lock(tx, endpoint_id)
        endpoint = webhooks.endpoint(tx, endpoint_id)
        if endpoint is None or endpoint["state"] != "enabled":
            return []
        parallel = 1 if endpoint["failures"] >= FAILING_AFTER else PARALLEL
        most = min(room, parallel - webhooks.under_way(tx, endpoint_id, now))
        claimed = webhooks.claim(tx, endpoint_id, now, now + lease, most) if most > 0 else []
        return jobs_of(tx, endpoint, claimed)

    def deliver(self, job: Job) -> str:
        """Send a delivery and note what became of it: ``delivered``, ``later``, ``dead`` or ``gone``."""
        return self.note(job, self.send(job))

    def send(self, job: Job) -> tuple[int, str]:
        """Send a delivery, without the database; the status, or 0 and what went wrong."""
        if job.event is None:  # nothing of its subject was ever sent anywhere, and it was taken back
            return 204, ""
        return self._send(job, event_view(job.event))

    def note(self, job: Job, became: tuple[int, str]) -> str:
        """Write down what became of a delivery: ``delivered``, ``later``, ``dead`` or ``gone``."""
        (status, trouble), outcome = became, "delivered"
        if status == 410:
            outcome = self._gone(job)
        elif 200 <= status < 300:
            self._database.tx(lambda tx: webhooks.delivered(tx, job.delivery, self._clock.now()))
        else:
            outcome = self._failed(job, trouble or f"it answered {status}")
        ATTEMPTS.labels(outcome).inc()
        return outcome

    def _send(self, job: Job, event: dict[str, Any]) -> tuple[int, str]:
        """The status, or 0 and what went wrong."""
        body, now = dump(event).encode(), self._clock.now()
        generations = [job.endpoint["generation"]]
        if now < job.endpoint["previous_until"]:
            generations.append(generations[0] - 1)
        secrets = [signing.secret_of(self._master, job.endpoint["id"], each) for each in generations]
        try:
            target = parse(job.endpoint["url"], self._settings.allow_hosts)
            found = addresses_of(target, self._resolver)
            headers = signing.headers(secrets, event["id"], wall() // 1000, body)  # it is held against the receiver's
            return post(target, found, headers, body, self._tls(), self._settings.timeout_s), ""
        except (Forbidden, Unresolved, NotDelivered) as error:
            return 0, str(error)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._settings.ca_bundle or None)
        return self._context

    def _failed(self, job: Job, trouble: str) -> str:
        pauses, tried = self._settings.retry_s, int(job.delivery["attempts"])
        dead = tried >= len(pauses)
        pause = 0.0 if dead else pauses[tried] * _RANDOM.uniform(1 - JITTER, 1)
        now = self._clock.now()

        def unit(tx: Tx) -> None:
            webhooks.lock(tx, job.endpoint["id"])
            state, next_at = ("dead", now) if dead else ("waiting", now + int(pause * 1000))
            if webhooks.failed(tx, job.delivery, state, next_at, trouble) and dead:
                detail = f"an event was tried {tried} times: {trouble}"
                self.cases.open(tx, job.endpoint["id"], job.delivery["merchant"], "webhook-dead", detail)

        self._database.tx(unit)
        level = logging.ERROR if dead else logging.INFO
        log.log(level, "an event was not delivered", extra={"endpoint": job.endpoint["id"], "trouble": trouble})
        return "dead" if dead else "later"

    def _gone(self, job: Job) -> str:
        """The receiver says that it is no more: nothing is sent there until a person says otherwise."""
        reason = "it answered 410 Gone"

        def unit(tx: Tx) -> None:
            webhooks.lock(tx, job.endpoint["id"])
            webhooks.failed(tx, job.delivery, "waiting", self._clock.now(), reason)
            if webhooks.disable(tx, job.endpoint["id"], reason):
                detail = f"the endpoint is disabled: {reason}"
                self.cases.open(tx, job.endpoint["id"], job.delivery["merchant"], "webhook-disabled", detail)

        self._database.tx(unit)
        log.error("a webhook endpoint is gone", extra={"endpoint": job.endpoint["id"]})
        return "gone"

    def run_once(self, most: int = 16) -> int:
        """Take what is new, deliver what is due, here and now; how many were tried."""
        self.take_events()
        jobs = self.claim(most)
        for job in jobs:
            self.deliver(job)
        return len(jobs)


def jobs_of(tx: Tx, endpoint: Row, claimed: Sequence[Row]) -> list[Job]:
    """Claimed deliveries with their events."""
    return [Job(endpoint, dict(row), webhooks.event_at(tx, row["position"])) for row in claimed]


def _names(text: str) -> set[str] | None:
    names = json.loads(text)
    return None if names == ["*"] else set(names)


def _is_of(event: Row, types: list[str]) -> bool:
    """Whether an endpoint wants events of this type; ``[]`` is all, ``family.*`` all of a family."""
    kind = event["type"]
    return not types or kind in types or f"{kind.partition('.')[0]}.*" in types
