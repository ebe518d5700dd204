"""What the engine thinks in: a saga, its legs as planned, and one operation for each change asked of a far system."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from gateway.domain.traits import Traits

Json = dict[str, Any]


class Kind(StrEnum):
    """What a saga is about."""

    CHECKOUT = "checkout"
    REFUND = "refund"
    DEPOSIT = "deposit"
    RELEASE = "release"


class State(StrEnum):
    """Where a saga stands. Until SETTLING everything can be undone; from there it goes forward only."""

    RESERVING = "reserving"
    PAYING = "paying"
    AWAITING_TENDER = "awaiting_tender"
    SETTLING = "settling"
    POSTING = "posting"
    COMPLETED = "completed"
    CLOSING = "closing"
    UNDOING = "undoing"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})


class Phase(StrEnum):
    """When a leg's change is due."""

    HOLD = "hold"
    PAY = "pay"
    SETTLE = "settle"
    POST = "post"
    REWARD = "reward"


class OpState(StrEnum):
    """What is known of one change.

    INTENT: committed before its first byte; found at rest it means UNKNOWN. PENDING: the far system has it and has not
    decided. NOT_SENT: provably nothing left us. TASK: a person must say. GONE: a query proved that it never happened.
    """

    INTENT = "intent"
    OK = "ok"
    PENDING = "pending"
    DECLINED = "declined"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    GONE = "gone"
    TASK = "task"


#: States in which a change may have happened, or did.
MAYBE = frozenset({OpState.INTENT, OpState.OK, OpState.PENDING, OpState.UNKNOWN, OpState.TASK})
#: States that will not change by themselves.
SETTLED = frozenset({OpState.OK, OpState.DECLINED, OpState.GONE})


class Leg(NamedTuple):
    """One leg of a plan: which connection serves it, which hook is due in which phase, and what it is about.

    ``params`` is JSON from which the requests are built again after a crash; no secret is in it.
    """

    name: str
    connection: str
    adapter: str
    hooks: Mapping[str, str]
    params: Json

    def hook(self, phase: Phase) -> str | None:
        return self.hooks.get(phase)

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "connection": self.connection,
            "adapter": self.adapter,
            "hooks": dict(self.hooks),
            "params": self.params,
        }


def leg_from(data: Mapping[str, Any]) -> Leg:
    return Leg(data["name"], data["connection"], data["adapter"], data["hooks"], data["params"])


@dataclass(slots=True)
class Op:
    """One change asked of one far system, with all its attempts. ``key`` is what the far system sees.

    Times are milliseconds. ``first_sent``/``last_sent`` are commits of the intent; ``next_at`` when to look again.
    ``outcome`` is JSON: ``ref``, ``amount``, ``facts``, ``reason``, ``code``, ``message``, ``next_action``, ``error``.
    """

    key: str
    saga_id: str
    leg: str
    hook: str
    turn: int
    connection: str
    state: OpState
    attempts: int = 0
    queries: int = 0
    first_sent: int = 0
    last_sent: int = 0
    next_at: int = 0
    finished: int = 0
    steps: list[Json] = field(default_factory=list)
    outcome: Json = field(default_factory=dict)
    new: bool = False
    dirty: bool = False

    def copy(self) -> Op:
        """One that may be changed without changing this one."""
        return Op(
            self.key,
            self.saga_id,
            self.leg,
            self.hook,
            self.turn,
            self.connection,
            self.state,
            self.attempts,
            self.queries,
            self.first_sent,
            self.last_sent,
            self.next_at,
            self.finished,
            list(self.steps),
            dict(self.outcome),
            self.new,
            self.dirty,
        )

    @property
    def ref(self) -> str:
        return str(self.outcome.get("ref", ""))

    @property
    def facts(self) -> Json:
        return dict(self.outcome.get("facts", {}))


@dataclass(slots=True)
class Saga:
    """One piece of durable work: a checkout, a refund, a deposit. ``doc`` is fixed when it is accepted.

    ``progress`` is small JSON that changes: tenders added, the failure, flags. ``fence`` is raised by every claim and
    checked in every write; a worker with an old one can write nothing.
    """

    id: str
    kind: Kind
    merchant: str
    store_id: str
    number: str
    parent: str
    state: State
    doc: Json
    progress: Json
    amount: int
    created: int
    updated: int
    fence: int = 1
    lease_until: int = 0
    due_at: int | None = None
    expires_at: int = 0
    version: int = 1
    refunded: int = 0
    _legs: tuple[Leg, ...] = ()
    _due: dict[Phase, tuple[tuple[Leg, str], ...]] = field(default_factory=dict)

    def copy(self) -> Saga:
        """One whose state and progress may be changed without changing this one's; the document is shared."""
        return Saga(
            self.id,
            self.kind,
            self.merchant,
            self.store_id,
            self.number,
            self.parent,
            self.state,
            self.doc,
            deepcopy(self.progress) if self.progress else {},
            self.amount,
            self.created,
            self.updated,
            self.fence,
            self.lease_until,
            self.due_at,
            self.expires_at,
            self.version,
            self.refunded,
            self._legs,
            self._due,
        )

    def legs(self) -> tuple[Leg, ...]:
        """The legs planned at acceptance and those of tenders added since; legs are added and never changed."""
        planned, added = self.doc["legs"], self.progress.get("legs", ())
        if len(self._legs) != len(planned) + len(added):
            self._legs, self._due = tuple(leg_from(item) for item in (*planned, *added)), {}
        return self._legs

    def due(self, phase: Phase) -> tuple[tuple[Leg, str], ...]:
        """The legs that have something to do in a phase, with the hook that does it."""
        legs = self.legs()
        found = self._due.get(phase)
        if found is None:
            found = self._due[phase] = tuple((leg, hook) for leg in legs if (hook := leg.hooks.get(phase)))
        return found

    def failure(self) -> Json | None:
        return self.progress.get("failure")

    def at_stake(self, leg_name: str) -> int:
        """The money that a case about this leg decides, in minor units: the leg's own, else all of it."""
        own = next((leg.params.get("amount") for leg in self.legs() if leg.name == leg_name), None)
        return self.amount if own is None else int(own)

    def policy(self, name: str) -> Any:
        """What the merchant has said about a case when the saga was accepted; ``None``: nothing, the default."""
        return self.doc.get("policy", {}).get(name)

    def without(self) -> list[str]:
        """Legs that were left out because their systems were down, and provably hold nothing."""
        return list(self.progress.get("without", ()))

    def by_hand(self) -> list[str]:
        """Legs that a person has given back or shown to hold nothing: nobody need undo them any more."""
        return list(self.progress.get("by_hand", ()))


class Far(Protocol):
    """What ``decide`` may know of a connection."""

    @property
    def embedded(self) -> bool:
        """Its changes run inside the engine's own transaction."""

    def has(self, hook: str) -> bool:
        """Whether the adapter implements this hook."""

    def traits(self, hook: str) -> Traits:
        """What it declares about this hook."""


class Verb(StrEnum):
    """What to do about an operation now."""

    SEND = "send"
    QUERY = "query"


class Todo(NamedTuple):
    """One effect that ``decide`` asks for: send this change (``op`` None: for the first time), or ask about it."""

    verb: Verb
    leg: str
    hook: str
    turn: int
    connection: str
    op: Op | None = None


@dataclass(frozen=True, slots=True)
class NewTask:
    """A case for a person; one a leg and kind is open at a time. ``hook``: the change that it is about, if one is."""

    leg: str
    kind: str
    detail: str
    owner: str = "merchant"
    hook: str = ""


@dataclass(slots=True)
class Decision:
    """What ``decide`` says: the state to be in, the effects to run now, when to look again, what to tell.

    ``wake_at`` (milliseconds) is when to decide again if nothing else happens; ``None`` with no todo: never by itself.
    ``tasks`` are all that stand now: one that is open and not among them has been settled without a person.
    """

    state: State
    todo: list[Todo] = field(default_factory=list)
    wake_at: int | None = None
    tasks: list[NewTask] = field(default_factory=list)
    progress: Json = field(default_factory=dict)
    events: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every time in the engine, in milliseconds; scaled down in tests.

    ``lease``: how long a worker owns a saga without renewing. ``call``: deadline of one hook call. ``hold``: how long
    holds may take to be resolved before the checkout is given up; one call that holds has half of it (``hold_call``).
    ``pay``: after this an undecided payment is closed (an adapter's ``close_after_s`` may say less).
    ``backoff_first``/``backoff_most``: between attempts of what must end well. ``post_patience``: how long a checkout
    waits for the till before it completes without. ``task_after``: when what does not end becomes a person's case.
    ``watch``: how long closed payments are watched for late money.
    ``slow_after``: what is still not settled after so long is tried ``slow_every`` only. ``tail``: how long after its
    begin a change of an ended saga is still tried; from then on it is a person's alone.
    ``scale`` multiplies the times that adapters declare.
    """

    lease: int = 20_000
    call: int = 10_000
    hold: int = 8_000
    pay: int = 60_000
    backoff_first: int = 500
    backoff_most: int = 60_000
    post_patience: int = 5_000
    task_after: int = 480_000
    watch: int = 1_800_000
    slow_after: int = 86_400_000
    slow_every: int = 3_600_000
    tail: int = 604_800_000
    inline: int = 15_000
    recovery_every: int = 1_000
    scale: float = 1.0

    def seconds(self, value: float) -> int:
        """A time that an adapter declares in seconds, as milliseconds under the scale."""
        return int(value * 1000 * self.scale)

    @property
    def hold_call(self) -> int:
        """The deadline of one call that holds something: half of ``hold`` and never more than ``call``.

        Whatever the two are set to, an answer that does not come leaves as much time again to ask or to repeat before
        the checkout is given up.
        """
        return max(1, min(self.call, self.hold // 2))

    def quiet_at(self, op: Op, traits: Traits) -> int:
        """From when on what was sent for this operation can no longer be on its way, with half a call's time to spare
        for an adapter's grace.

        Counted from when it was given up as well: a clock that was put forward meanwhile makes nothing arrive sooner.
        A twentieth more is waited, for a clock that is just being led forward by so much.
        """
        given_up = max(op.last_sent + self.call, int(op.outcome.get("given_up", 0)))
        in_flight = self.seconds(traits.max_in_flight_s)
        return given_up + self.call // 2 + in_flight + in_flight // 20

    def pause(self, op: Op, now: int, wanted: int) -> int:
        """The pause that is wanted, stretched for what has not been settled for long: a minute, then an hour."""
        age = now - op.first_sent
        if age >= self.slow_after:
            return max(wanted, self.slow_every)
        return max(wanted, self.backoff_most) if age >= 6 * self.task_after else wanted

    def backoff(self, attempts: int) -> int:
        """The pause after so many attempts."""
        return min(self.backoff_first << min(max(attempts - 1, 0), 16), self.backoff_most)


def scaled(timing: Timing, factor: float) -> Timing:
    """All times multiplied, for tests and demonstrations; at least a millisecond each."""
    times = {
        name: max(1, int(getattr(timing, name) * factor))
        for name in (
            "lease",
            "call",
            "hold",
            "pay",
            "backoff_first",
            "backoff_most",
            "post_patience",
            "task_after",
            "watch",
            "slow_after",
            "slow_every",
            "tail",
        )
    }
    return replace(timing, **times, scale=timing.scale * factor)
