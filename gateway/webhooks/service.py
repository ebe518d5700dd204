"""The threads that carry things out: one looks for what is due, a few send; every process of the server runs them."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from gateway.engine.outage import Outage
from gateway.store.errors import StorageError

log = logging.getLogger("gateway.webhooks")

#: How many deliveries one process makes side by side.
THREADS = 8
_JITTER = random.SystemRandom()


J = TypeVar("J")


class Carrier(Protocol[J]):
    """What is carried out in the background: claimed in SQL, sent without the database, noted."""

    def take_events(self) -> int:
        """Turn new events into what is to be sent."""

    def claim(self, most: int) -> Sequence[J]:
        """Take what is due, at most so much; nobody else sends it while the claim lasts."""

    def send(self, job: J) -> Any:
        """Send it; what became of it."""

    def note(self, job: J, became: Any) -> object:
        """Write down what became of it."""


class RelayService:
    """Runs a carrier in the background until it is stopped; what is under way then is taken up by another process."""

    def __init__(self, carrier: Carrier[Any], every_s: float, name: str = "webhooks", threads: int = THREADS) -> None:
        self._carrier, self._every, self._threads = carrier, every_s, threads
        self._outage = Outage(log, f"the relay of {name}")
        self._stop, self._wake = threading.Event(), threading.Event()
        self._busy, self._noting, self._over = 0, 0, False
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(threads, name)
        self._thread = threading.Thread(target=self._loop, name=f"{name}-relay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def halt(self) -> None:
        """Claim nothing more; several are halted before the first is waited for."""
        self._stop.set()
        self._wake.set()

    def stop(self, timeout: float = 5.0, patience: float | None = None) -> None:
        """Claim nothing more, and wait for deliveries under way, for so many seconds at most.

        ``patience``, if given, is how long to wait for what is being sent; what is being written down is always waited
        for. What became of one that takes longer is not written down any more, so that nobody uses a database that is
        being closed: it is made again by another process when its lease has run out.
        """
        until = time.monotonic() + (timeout if patience is None else patience)
        self.halt()
        self._thread.join(timeout)
        self._pool.shutdown(wait=False)
        with self._changed:
            self._changed.wait_for(lambda: not self._busy, max(0.0, until - time.monotonic()))
            self._over = True
            self._changed.wait_for(lambda: not self._noting, timeout)

    def _loop(self) -> None:
        while not self._stop.is_set():
            # A random pause keeps the processes from asking all at the same moment.
            self._wake.wait(self._every * _JITTER.uniform(0.5, 1.5))
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self._look()
                self._outage.worked()
            except StorageError as error:
                self._outage.failed(error)
            except Exception:
                log.exception("the relay failed; it goes on")

    def _look(self) -> None:
        self._carrier.take_events()
        with self._changed:
            room = self._threads - self._busy
        for job in self._carrier.claim(room) if room else ():
            with self._changed:
                self._busy += 1
            self._pool.submit(self._deliver, job)

    def _deliver(self, job: Any) -> None:
        """What could not be noted is looked at again when its lease has run out."""
        try:
            self._note(job, self._carrier.send(job))
        except StorageError as error:
            log.warning("a delivery could not be noted", extra={"error": type(error).__name__})
        except Exception:
            log.exception("a delivery failed; it is made again")
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()
            self._wake.set()

    def _note(self, job: Any, became: Any) -> None:
        with self._changed:
            if self._over:
                return
            self._noting += 1
        try:
            self._carrier.note(job, became)
        finally:
            with self._changed:
                self._noting -= 1
                self._changed.notify_all()
