"""What can go wrong in a simulated world, how often, and the words that its parts share."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from gateway.engine.model import Json, State, Timing
from tests.simulation import far as fars

START = 1_800_000_000_000
TIMING = Timing()
#: When everything is healed, and until when all must have ended after that (milliseconds).
HEAL_AFTER = 150_000
END_WITHIN = 600_000
#: For how long a world goes on after that, for the watches to end (milliseconds).
LOOKS = 3 * TIMING.watch
NEVER = 1 << 62
#: The longest that a request may be on its way: the call's deadline and what the adapters declare.
CALL = TIMING.call
IN_FLIGHT = int(fars.IN_FLIGHT_S * 1000)

#: Kinds of trouble and how likely each is, at most, per call (or per step of a worker).
TROUBLES: dict[str, float] = {
    "refused": 0.15,
    "lost_request": 0.15,
    "lost_reply": 0.2,
    "late": 0.15,
    "duplicate": 0.2,
    "garbage": 0.1,
    "wrong_amount": 0.1,
    "bug": 0.05,
    "query_lost": 0.3,
    "decline": 0.3,
    "patience": 0.3,
    "use_refused": 0.3,
    "crash": 0.15,
    "stall": 0.1,
    "busy": 0.1,
    "unsure": 0.03,
    "jump": 0.3,
    "cancel": 0.3,
    "again": 0.3,
}
#: Far systems that take seconds, up to a call's whole time; drawn apart, in worlds with more.
SLOW = "slow"


@dataclass(slots=True)
class Mix:
    """The troubles of one world: each is off, or on at some rate."""

    rates: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.rates.get(name, 0.0)


def draw_mix(rng: random.Random, without: frozenset[str]) -> Mix:
    """A swarm: in every world other troubles come together; in some there are none."""
    if rng.random() < 0.05:
        return Mix()
    share = rng.choice((0.2, 0.4, 0.7))
    kinds = [name for name in TROUBLES if rng.random() < share]
    return Mix({name: TROUBLES[name] * rng.choice((0.1, 0.3, 1.0)) for name in kinds if name not in without})


def draw_policy(rng: random.Random) -> Json:
    """What this world's merchant wants done when something fails after the money; mostly nothing of its own."""
    said: Json = {
        "redemption_failure": rng.choice((None, None, "await_tender", "task")),
        "post_failure": rng.choice((None, None, "refund")),
        "spent_elsewhere": rng.choice((None, "honour")),
        "close_after": rng.choice((None, None, 20_000, 90_000)),
    }
    return {name: value for name, value in said.items() if value is not None}


class Violation(AssertionError):
    """Something happened that must not."""


@dataclass(slots=True)
class Standing:
    """Where a saga stood at its last commit, so that the world need not ask the database at every tick."""

    state: State
    look_at: int | None


class Ids:
    """Identifiers of a seed; they rise."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def new(self) -> str:
        return f"{next(self._count):026d}"
