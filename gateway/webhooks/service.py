"""The relay's threads: one looks for what is due, a few send; every process of the server runs them."""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from gateway.store.errors import StorageError
from gateway.webhooks.relay import Job, Relay

log = logging.getLogger("gateway.webhooks")

#: How many deliveries one process makes side by side.
THREADS = 8
_JITTER = random.SystemRandom()


class RelayService:
    """Runs a relay in the background until it is stopped; what is under way then is taken up by another process."""

    def __init__(self, relay: Relay, every_s: float) -> None:
        self._relay, self._every = relay, every_s
        self._stop, self._wake = threading.Event(), threading.Event()
        self._busy, self._noting, self._over = 0, 0, False
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(THREADS, "webhooks")
        self._thread = threading.Thread(target=self._loop, name="webhook-relay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Claim nothing more, and wait for deliveries under way, for so many seconds at most.

        What became of one that takes longer is not written down any more, so that nobody uses a database that is being
        closed: it is made again by another process when its lease has run out.
        """
        until = time.monotonic() + timeout
        self._stop.set()
        self._wake.set()
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
            except StorageError as error:
                log.warning("the relay could not read or write", extra={"error": type(error).__name__})
            except Exception:
                log.exception("the relay failed; it goes on")

    def _look(self) -> None:
        self._relay.take_events()
        with self._changed:
            room = THREADS - self._busy
        for job in self._relay.claim(room) if room else ():
            with self._changed:
                self._busy += 1
            self._pool.submit(self._deliver, job)

    def _deliver(self, job: Job) -> None:
        """A delivery that could not be noted is made again when its lease has run out."""
        try:
            self._note(job, self._relay.send(job))
        except StorageError as error:
            log.warning("a delivery could not be noted", extra={"error": type(error).__name__})
        except Exception:
            log.exception("a delivery failed; it is made again")
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()
            self._wake.set()

    def _note(self, job: Job, became: tuple[int, str]) -> None:
        with self._changed:
            if self._over:
                return
            self._noting += 1
        try:
            self._relay.note(job, *became)
        finally:
            with self._changed:
                self._noting -= 1
                self._changed.notify_all()
