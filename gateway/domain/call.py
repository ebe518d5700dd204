"""What comes with every changing hook call: its key, deadline and attempt, and the journal for its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from gateway.domain.common import Step


class Transaction(Protocol):
    """The running transaction of the gateway's own database, for embedded adapters only.

    Statements use ``:name`` parameters; rows are read by column name.
    """

    def execute(self, sql: str, params: Mapping[str, Any] = ...) -> int:
        """Run a statement; return the number of rows touched."""

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once a row; return the number of rows touched in all."""

    def one(self, sql: str, params: Mapping[str, Any] = ...) -> Any:
        """The first row, or ``None``."""

    def all(self, sql: str, params: Mapping[str, Any] = ...) -> list[Any]:
        """All rows."""


def _no_journal(step: Step) -> None:
    """A call made outside the engine (a test, a shell) keeps no journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt at one change.

    ``key`` identifies the change to the far system: 26 characters of ``0-9A-Z``, the same for every attempt, never
    used for anything else. Its first ten are the time it was made at, in milliseconds, as in a ULID; its last 20 are
    unique enough for short reference fields. ``deadline`` is when
    the caller stops waiting. ``attempt`` starts at 1; above 1, look the earlier attempt up before sending again.
    ``steps`` are the messages journalled by earlier attempts. ``tx`` is set for embedded adapters only.
    """

    key: str
    deadline: datetime
    attempt: int = 1
    trace: str = ""
    steps: tuple[Step, ...] = ()
    tx: Transaction | None = None
    journal: Callable[[Step], None] = field(default=_no_journal, repr=False)

    def remaining(self, now: datetime | None = None) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, (self.deadline - (now or datetime.now(UTC))).total_seconds())

    def step_done(self, name: str, ref: str = "") -> bool:
        """Whether an earlier attempt journalled this message as answered."""
        return any(step.name == name and step.done and ref in ("", step.ref) for step in self.steps)

    @contextmanager
    def step(self, name: str, ref: str = "") -> Iterator[Step]:
        """Send one changing message of several: journalled before its first byte, and again once it was answered.

        ``ref`` is the reference that the message carries. An exception inside leaves the step open: after a crash or a
        time-out the query hook is given the steps and asks the far system about each.
        """
        begun = Step(name=name, ref=ref)
        self.journal(begun)
        yield begun
        self.journal(Step(name=name, ref=ref, done=True))
