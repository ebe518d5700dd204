"""The rows that rules are asked about: a saga, its legs, one operation a change, and what a far system declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.traits import Traits
from gateway.engine.decide import decide
from gateway.engine.model import Decision, Far, Kind, Leg, NewTask, Op, OpState, Phase, Saga, State, Timing, Todo, Verb
from gateway.engine.pursue import Pursuit, Way
from gateway.engine.words import Ops
from gateway.hookspecs import FAMILY_OF

#: The moment at which rules are asked, in milliseconds.
NOW = 10_000_000_000
TIMING = Timing()
#: From the commit of an intent until what was sent can no longer arrive: the call, half of it, the flight, a twentieth.
QUIET = 10_000 + 5_000 + 60_000 + 3_000


@dataclass(frozen=True)
class System:
    """A far system: the hooks that its adapter has, and what it declares of them. Knows no hooks that do not exist."""

    hooks: frozenset[str]
    declared: Mapping[str, Traits] = field(default_factory=dict)
    embedded: bool = False

    def has(self, hook: str) -> bool:
        assert hook in FAMILY_OF, hook
        return hook in self.hooks

    def traits(self, hook: str) -> Traits:
        assert hook in FAMILY_OF, hook
        return self.declared.get(hook, Traits())


def system(*hooks: str, embedded: bool = False, **declared: Traits) -> System:
    return System(frozenset(hooks), declared, embedded)


def leg(name: str = "pay", params: Mapping[str, Any] | None = None, connection: str = "bank", **hooks: str) -> Leg:
    """One leg; ``hooks`` by phase: ``pay="payment_charge"``."""
    return Leg(
        name, connection, f"the {connection}", {Phase(phase): hook for phase, hook in hooks.items()}, dict(params or {})
    )


def op(hook: str, state: OpState, name: str = "pay", turn: int = 0, **more: Any) -> Op:
    """One change; times not given are 0, which is long ago."""
    more.setdefault("connection", "bank")
    return Op(f"{name}:{hook}:{turn}", "saga", name, hook, turn, state=state, **more)


def sale(state: State, *legs: Leg, kind: Kind = Kind.CHECKOUT, **more: Any) -> Saga:
    """A saga of 1000 fen that was accepted a second ago and expires in ten minutes."""
    progress = more.pop("progress", {})
    amount, expires_at = more.pop("amount", 1000), more.pop("expires_at", NOW + 600_000)
    paying = [each for each in legs if "pay" in each.hooks]
    tenders = more.pop("tenders", [{"leg": each.name, "amount": amount} for each in paying[:1]])
    doc = {"legs": [each.to_json() for each in legs], "tenders": tenders, **more}
    return Saga(
        "saga",
        kind,
        "bun",
        "s1",
        "order",
        "",
        state,
        doc,
        progress,
        amount,
        NOW - 1000,
        NOW - 1000,
        expires_at=expires_at,
    )


def far_of(*systems: Far, **named: Far) -> Callable[[str], Far]:
    """What is known of each connection; the one given without a name is the bank."""
    known = {**({"bank": systems[0]} if systems else {}), **named}
    return lambda connection: known[connection]


def decided(saga: Saga, ops: list[Op], far: Callable[[str], Far], now: int = NOW, timing: Timing = TIMING) -> Decision:
    """What is decided; deciding alone changes nothing, and deciding again gives the same."""
    before = ([each.copy() for each in ops], saga.copy())
    found = decide(saga, ops, far, timing, now)
    assert (ops, saga.progress, saga.state) == (before[0], before[1].progress, before[1].state)
    assert decide(saga, Ops(ops), far, timing, now) == found
    return found


def send(hook: str, name: str = "pay", turn: int = 0, op: Op | None = None, connection: str = "bank") -> Todo:
    return Todo(Verb.SEND, name, hook, turn, connection, op)


def ask(op: Op, connection: str = "bank") -> Todo:
    return Todo(Verb.QUERY, op.leg, op.hook, op.turn, connection, op)


def do(todo: Todo) -> Pursuit:
    return Pursuit(Way.DO, todo)


def wait(at: int) -> Pursuit:
    return Pursuit(Way.WAIT, at=at)


STUCK = Pursuit(Way.STUCK)
DONE = Pursuit(Way.DONE)
REFUSED = Pursuit(Way.REFUSED)


def task(name: str, kind: str, detail: str, owner: str = "merchant", hook: str = "") -> NewTask:
    return NewTask(name, kind, detail, owner, hook)


#: A person's case is looked at again after six times the time after which it became one.
SLOWLY = NOW + 6 * 480_000


def gives_up(name: str, reason: str, known: Op | None = None, **more: Any) -> Decision:
    """The decision to give the checkout up because of a leg, and to begin with the money."""
    failure = {"leg": name, "reason": reason}
    if known is not None:
        failure |= {"code": known.outcome.get("code", ""), "message": known.outcome.get("message", "")}
    return Decision(State.CLOSING, progress={"failure": failure, "closing_since": NOW}, **more)
