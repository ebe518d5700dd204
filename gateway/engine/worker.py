"""Runs the driver's steps for real: inline for a request, and in the background for whatever is due."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from gateway.engine.driver import Driver, Lost, Pause, Work
from gateway.engine.outage import Outage
from gateway.engine.seams import Caller, Clock
from gateway.store import journal as sql
from gateway.store.errors import StorageError
from gateway.store.port import Tx

#: Random pauses of our own: the process's shared generator belongs to others (a test's seed).
_JITTER = random.SystemRandom()

log = logging.getLogger("gateway.engine")

#: For how long a saga is put off that could not be worked on, in milliseconds.
PUT_OFF = 60_000

Accept = Callable[[Tx, Work], None]
Finish = Callable[[Tx, Work], None]


class Worker:
    """Drives sagas against the world."""

    def __init__(
        self, driver: Driver, caller: Caller, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.driver, self.caller, self.clock, self.sleep = driver, caller, clock, sleep
        #: What else is to be done every so often, by whichever process comes first.
        self.chores: list[Callable[[], None]] = []

    def run(self, work: Work, until: int, accept: Accept | None = None, finish: Finish | None = None) -> Work:
        """Work on a claimed saga until it rests or ``until`` (milliseconds) has come.

        Raises ``Lost`` when another worker has taken over, and what the store raises.
        """
        steps = self.driver.steps(work, until, accept, finish)
        try:
            wanted = next(steps)
            while True:
                if isinstance(wanted, Pause):
                    self.sleep(max(0, wanted.until - self.clock.now()) / 1000)
                    wanted = steps.send([])
                else:
                    wanted = steps.send(self.caller.run(wanted))
        except StopIteration as stop:
            result: Work = stop.value
            return result

    def recover(self, finish: Finish | None = None, limit: int = 20, patience: int = 0) -> int:
        """Work on what is due, whoever left it; how many sagas were worked on.

        ``patience`` (milliseconds) is how long to stay with a saga that waits for its next look.
        """
        due = self.driver.journal.read(lambda tx: sql.due(tx, self.clock.now(), limit))
        worked = 0
        for saga_id in due:
            try:
                worked += self._recover_one(saga_id, finish, patience)
            except Lost:
                log.info("another worker has taken over", extra={"saga": saga_id})
        return worked

    def _recover_one(self, saga_id: str, finish: Finish | None, patience: int) -> int:
        work = self.driver.claim(saga_id)
        if work is None:
            return 0
        try:
            self.run(work, self.clock.now() + patience, finish=finish)
        except (Lost, StorageError):
            raise
        except Exception:
            # A fault of ours with one saga must not keep the others from being worked on.
            log.exception("a saga could not be worked on; it is put off", extra={"saga": saga_id})
            self._put_off(work)
        return 1

    def _put_off(self, work: Work) -> None:
        row = {"id": work.saga.id, "fence": work.saga.fence, "due": self.clock.now() + PUT_OFF}
        statement = "UPDATE sagas SET lease_until = 0, due_at = :due WHERE id = :id AND fence = :fence"
        self.driver.journal.tx(lambda tx: tx.execute(statement, row))


class Recovery:
    """A background thread that recovers; every process of the server runs one, and any of them can finish any saga."""

    def __init__(self, worker: Worker, every_ms: int, finish: Finish | None = None) -> None:
        self._worker, self._every, self._finish = worker, every_ms / 1000, finish
        self._outage = Outage(log, "recovery")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="recovery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop after the saga in hand."""
        self._stop.set()
        self._thread.join(timeout)

    def _loop(self) -> None:
        # A random pause keeps the processes from asking all at the same moment.
        while not self._stop.wait(self._every * _JITTER.uniform(0.5, 1.5)):
            try:
                self._worker.recover(self._finish)
                for chore in self._worker.chores:
                    chore()
                self._outage.worked()
            except StorageError as error:
                self._outage.failed(error)
            except Exception:
                log.exception("recovery failed; it goes on")
