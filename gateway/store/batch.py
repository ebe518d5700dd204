"""How the units of a batch run inside one transaction without harming each other.

A savepoint a unit costs a fifth of the throughput, and almost no unit fails after it has written. So a batch first runs
without; when a unit fails and has left something behind, the batch is undone and run again with a savepoint a unit, and
so are the next batches for a while. A unit that fails before it has written anything leaves nothing to undo.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from gateway.store.group import Batch, Unit

_CAREFUL_BATCHES = 64


class Ground(Protocol):
    """An open transaction in which units run."""

    def run(self, unit: Unit) -> bool:
        """Run the unit and keep its result or error in it; True when it failed and has left something behind."""
        ...

    def lost(self, unit: Unit) -> bool:
        """True when the whole transaction is gone after this unit failed, or worth giving up."""
        ...

    def begin(self) -> None:
        """Begin the transaction."""
        ...

    def roll_back(self) -> None:
        """Undo the whole transaction."""
        ...

    def mark(self) -> None:
        """Set a savepoint."""
        ...

    def undo(self) -> None:
        """Go back to the savepoint and drop it."""
        ...

    def keep(self) -> None:
        """Drop the savepoint."""
        ...


class _Verdict(Enum):
    STANDS = "every unit has its result or error, and only what succeeded is in the transaction"
    SPOILT = "a unit that failed has left something in the transaction"
    LOST = "the transaction is gone"


class Runner:
    """Runs batches; remembers whether it had better be careful."""

    def __init__(self) -> None:
        self.careful = 0  # so many more batches with a savepoint a unit

    def run(self, ground: Ground, batch: Batch) -> bool:
        """Begin, and run the leader's unit and all that wait; False when the transaction is lost.

        Else the transaction is open and holds what succeeded, or it is rolled back because nothing did. Raises what
        ``ground`` raises.
        """
        ground.begin()
        if self.careful == 0:
            verdict = _run_plain(ground, batch)
            if verdict is not _Verdict.SPOILT:
                return verdict is _Verdict.STANDS
            ground.roll_back()
            if len(batch.units) == 1:
                return True  # it was alone: nothing to keep
            self.careful = _CAREFUL_BATCHES
            ground.begin()
        self.careful -= 1
        return _run_apart(ground, batch) is _Verdict.STANDS


def _run_plain(ground: Ground, batch: Batch) -> _Verdict:
    unit: Unit | None = batch.units[0]
    while unit is not None:
        left_something = ground.run(unit)
        if unit.error is not None:
            if ground.lost(unit):
                return _Verdict.LOST
            if left_something:
                return _Verdict.SPOILT
        unit = batch.take()
    return _Verdict.STANDS


def _run_apart(ground: Ground, batch: Batch) -> _Verdict:
    done = 0
    while done < len(batch.units) or batch.take() is not None:
        unit = batch.units[done]
        done += 1
        ground.mark()
        ground.run(unit)
        if unit.error is None:
            ground.keep()
        elif ground.lost(unit):
            return _Verdict.LOST
        else:
            ground.undo()
    return _Verdict.STANDS
