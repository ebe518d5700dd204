"""The driver: executes what ``decide`` asks for, one commit a round.

A round is one transaction: the outcomes of the effects that ran, then decisions until the next effects are known, whose
intents are committed with it. Changes of embedded adapters run inside that transaction. Then the effects run, with no
transaction open. The driver is a generator that yields batches of effects and pauses, so that a simulation can run it
against a world of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.errors import AdapterError
from gateway.engine import crash
from gateway.engine import outcomes as rules
from gateway.engine.model import Op, OpState, Saga, Timing
from gateway.engine.records import op_from, saga_from
from gateway.engine.round import Duplicate, EmbeddedTrouble, Lost, Refused, Round, Transaction, Work
from gateway.engine.seams import Caller, Clock, Effect, Ids, Journal, Outcome
from gateway.store import journal as sql
from gateway.store.errors import StorageBusy
from gateway.store.port import Tx

#: How often outcomes in hand are offered to a busy database again.
BUSY_MOST = 3


@dataclass(slots=True)
class Pause:
    """Nothing to do before this time (milliseconds)."""

    until: int


Steps = Generator[list[Effect] | Pause, list[Outcome], Work]


class Driver:
    """Drives sagas; stateless between them, safe to share between threads."""

    def __init__(self, journal: Journal, caller: Caller, clock: Clock, ids: Ids, timing: Timing) -> None:
        self.journal, self.caller, self.clock, self.ids, self.timing = journal, caller, clock, ids, timing

    # --- the claim ---------------------------------------------------------------------------------------------------

    def claim(self, saga_id: str) -> Work | None:
        """Take a saga that nobody works on; ``None`` if somebody does."""
        now = self.clock.now()

        def unit(tx: Tx) -> Work | None:
            row = sql.claim(tx, saga_id, now, now + self.timing.lease)
            return Work(saga_from(row), [op_from(op) for op in sql.ops(tx, saga_id)]) if row else None

        work = self.journal.tx(unit)
        if work is not None:
            for op in work.ops:
                self._orphaned(work.saga, op, now)
        return work

    def _orphaned(self, saga: Saga, op: Op, now: int) -> None:
        """An intent found on load belongs to a worker that died: its outcome is unknown."""
        if op.state is OpState.INTENT:
            rules.orphaned(op, self.caller.far(saga.merchant, op.connection).traits(op.hook), self.timing, now)

    # --- the rounds --------------------------------------------------------------------------------------------------

    def steps(
        self,
        work: Work,
        until: int,
        accept: Callable[[Tx, Work], None] | None = None,
        finish: Callable[[Tx, Work], None] | None = None,
    ) -> Steps:
        """Work on a saga until it rests or ``until`` (milliseconds) has come; yields effects and pauses.

        ``accept`` runs in the first transaction (it takes the idempotency key of what is asked); ``finish`` in the one
        in which the saga comes to its end. Raises ``Lost``, ``Refused``, or what the store raises.
        """
        done: list[Outcome] = []
        while True:
            crash.point("before-commit", work.saga.state)
            turn = self._round(work, done, until, accept, finish)
            crash.point("accepted" if work.fresh else "committed", "" if work.fresh else turn.work.saga.state)
            work, accept = turn.work, None
            if turn.effects:
                done = yield turn.effects
            elif turn.resting:
                return work
            else:
                done = []
                yield Pause(turn.wake_at or until)

    def _round(
        self,
        before: Work,
        done: list[Outcome],
        until: int,
        accept: Callable[[Tx, Work], None] | None,
        finish: Callable[[Tx, Work], None] | None,
    ) -> Round:
        failed: dict[str, AdapterError] = {}

        def unit(tx: Tx) -> Round:
            return Transaction(self, before, done, until, failed).run(tx, accept, finish)

        busy = 0
        while True:
            try:
                return self.journal.tx(unit)
            except EmbeddedTrouble as trouble:
                failed[trouble.name] = trouble.error  # rolled back with all it did; decide again with its outcome
            except StorageBusy:
                # Outcomes that nobody else has are in hand: lost here, they would have to be found out again.
                busy += 1
                if not done or busy > BUSY_MOST:
                    raise

    def journal_step(self, work: Work, op: Op) -> Callable[[Mapping[str, Any]], None]:
        """The journal that a hook's ``call.step`` writes to, before each of its messages."""
        fence = work.saga.fence

        def write(step: Mapping[str, Any]) -> None:
            kept = [item for item in op.steps if (item["name"], item["ref"]) != (step["name"], step["ref"])]
            op.steps = [*kept, dict(step)]
            if not self.journal.tx(lambda tx: sql.write_steps(tx, op.key, sql.dump(op.steps), fence)):
                raise Lost(op.saga_id)

        return write


__all__ = ["Driver", "Duplicate", "Lost", "Pause", "Refused", "Round", "Steps", "Work"]
