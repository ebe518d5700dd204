"""The real caller: hooks of the runtime's connections, side by side on a bounded pool, the last one inline."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Protocol

from gateway.domain.call import Call
from gateway.domain.common import Query, Step
from gateway.domain.errors import AdapterError, NotSent, PluginError
from gateway.domain.outcomes import Answer, Change
from gateway.domain.traits import Traits
from gateway.engine import crash
from gateway.engine.model import Far, Verb
from gateway.engine.own import OWN, OwnLedger
from gateway.engine.seams import Clock, Effect, Outcome
from gateway.sdk.adapter import utc_now
from gateway.sdk.transports.recording import Tape
from gateway.store.port import Tx

#: Late messages that wait to be written; of more, the oldest are lost.
LATE_MOST = 256


class Connection(Far, Protocol):
    """A connection of the runtime, as far as the engine uses it."""

    def tape(self, request: Any = None) -> Tape | None: ...

    def change(self, hook: str, request: Any, call: Call, tape: Tape | None = None) -> Change: ...

    def query(self, query: Query, *, tape: Tape | None = None) -> Answer: ...


class Connections(Protocol):
    """The runtime's lookup of connections."""

    def connection(self, merchant_id: str, name: str) -> Connection: ...


class Unconfigured:
    """A connection that was there when the saga was planned and is no longer configured: it can do nothing."""

    embedded = False

    def has(self, hook: str) -> bool:
        return False

    def traits(self, hook: str) -> Traits:
        return Traits()


GONE = Unconfigured()


class RuntimeCaller:
    """Calls far systems through the runtime's guarded connections. ``wall`` is the clock that adapters measure by."""

    def __init__(
        self, connections: Connections, clock: Clock, threads: int = 64, wall: Callable[[], datetime] = utc_now
    ) -> None:
        self._connections, self._clock, self._threads, self._wall = connections, clock, threads, wall
        self._own = OwnLedger()
        #: Messages of calls that had been given up on: saga, operation, verb, time, message.
        self.late: deque[tuple[str, str, str, int, Mapping[str, Any]]] = deque(maxlen=LATE_MOST)
        self._pool: ThreadPoolExecutor | None = None

    def far(self, merchant: str, connection: str) -> Far:
        if connection == OWN:
            return self._own
        try:
            return self._connections.connection(merchant, connection)
        except LookupError:
            return GONE

    def embedded(self, merchant: str, effect: Effect, tx: Tx) -> Change | Answer | AdapterError:
        try:
            if effect.todo.connection == OWN:
                return self._own.change(effect, tx, self._clock.now())
            connection = self._connections.connection(merchant, effect.todo.connection)
            return self._call(connection, effect, tx)
        except AdapterError as error:
            return error

    def run(self, effects: Sequence[Effect]) -> list[Outcome]:
        if len(effects) == 1:
            return [self._run(effects[0])]
        pool = self._started_pool()
        others = [pool.submit(self._run, effect) for effect in effects[:-1]]
        last = self._run(effects[-1])
        return [*(other.result() for other in others), last]

    def _started_pool(self) -> ThreadPoolExecutor:
        # Made at the first use, so that it is made after fork.
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="leg")
        return self._pool

    def _run(self, effect: Effect) -> Outcome:
        try:
            connection = self._connections.connection(effect.merchant, effect.todo.connection)
        except LookupError as error:
            return Outcome(effect, NotSent(f"no such connection: {error}"))
        tape, began, clock = connection.tape(effect.request), self._clock.now(), time.monotonic()
        about = f"query:{effect.todo.hook}" if effect.todo.verb is Verb.QUERY else effect.todo.hook
        crash.point("before-send", about)
        try:
            result: Change | Answer | AdapterError = self._call(connection, effect, None, tape)
        except AdapterError as error:
            result = error
        except Exception as error:
            result = PluginError(type(error).__name__)
        crash.point("after-send", about)
        took = int((time.monotonic() - clock) * 1_000_000)
        frames = tape.end(lambda frame: self._came_late(effect, frame)) if tape is not None else ()
        return Outcome(effect, result, began, took, frames)

    def _came_late(self, effect: Effect, frame: Mapping[str, Any]) -> None:
        """A message of a call that nobody waits for any more: kept until the next chores write it down."""
        self.late.append((effect.op.saga_id, effect.op.key, effect.todo.verb.value, self._clock.now(), frame))

    def _call(self, connection: Connection, effect: Effect, tx: Tx | None, tape: Tape | None = None) -> Change | Answer:
        if effect.todo.verb is Verb.QUERY:
            return connection.query(effect.request, tape=tape)
        op = effect.op
        call = Call(
            key=op.key,
            # An adapter measures by a clock of its own; what is left is the same by either.
            deadline=self._wall() + timedelta(milliseconds=effect.deadline - self._clock.now()),
            attempt=op.attempts,
            trace=effect.trace,
            steps=tuple(Step(name=s["name"], ref=s["ref"], done=s["done"]) for s in op.steps) if op.steps else (),
            tx=tx,
            journal=lambda step: effect.step({"name": step.name, "ref": step.ref, "done": step.done}),
        )
        return connection.change(effect.todo.hook, effect.request, call, tape)

    def close(self) -> None:
        """Let running calls end and stop the pool."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
