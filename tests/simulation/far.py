"""Far systems that keep their own truth, in five profiles of what they can do after a lost answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.outcomes import Answer, Change, Declined, DeclineReason, Done, NotFound, Pending
from gateway.domain.traits import Traits
from gateway.hookspecs import FAMILY_OF, QUERY_HOOKS
from tests.simulation.profiles import (
    ASKED,
    DEFERRED,
    FOREIGN,
    FULL,
    HOLDING,
    LOCKED,
    NOTHING,
    PAYING,
    POSTING,
    REDEEMING,
    REFUNDING,
    REPEATED,
    TOMBSTONE,
    UNDOES_OF_HOLDS,
    Profile,
    hooks_of,
)

IN_FLIGHT_S = 20.0


@dataclass
class Charge:
    """A payment at the far system."""

    amount: int
    paid: bool = False
    pending: bool = False
    declined: bool = False
    closed: bool = False
    refunded: int = 0
    at: int = 0
    #: Of money that is only held: what was taken of it. What is let go counts as refunded.
    captured: int = 0

    @property
    def net(self) -> int:
        return self.amount - self.refunded if self.paid else 0

    @property
    def left(self) -> int:
        """What is still held, or still there of what was taken."""
        return self.net - self.captured


@dataclass
class Held:
    """Something held or used at the far system, for one checkout."""

    saga: str
    quantity: int
    state: str = "held"
    code: str = ""
    #: What refunds have given back of it.
    refunded: int = 0
    #: Somebody else has used it while we held it.
    stolen: bool = False


@dataclass
class FarSystem:
    """One legacy system. ``hooks`` is what its adapter implements; ``free`` how much is left of what it holds."""

    name: str
    profile: Profile
    hooks: frozenset[str]
    rng: random.Random
    free: int = 10**9
    decline: float = 0.0
    patience: float = 0.0
    refusing: float = 0.0
    embedded: bool = False
    #: Takes part of a held amount once, and lets the rest go with it.
    completes: bool = False
    #: Whether points and value are counted in what was asked for, and codes one by one: how often each may be used.
    counts: bool = False
    uses: dict[str, int] | None = None
    #: Whether others can use what we hold: a lock that only its own counters know of.
    soft: bool = False
    opening: int = 0
    elsewhere: int = 0
    charges: dict[str, Charge] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    posted: dict[str, int] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)
    earned: dict[str, int] = field(default_factory=dict)
    deposits: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Change] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)  # charges that were said, when asked, not to have been paid
    sends: dict[str, int] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    #: Told of every effect that lets something go or moves money: (saga, what).
    watch: Callable[[str, str], None] = lambda saga, what: None

    # --- what the engine knows ---------------------------------------------------------------------------------------

    def has(self, hook: str) -> bool:
        return hook in self.hooks

    def traits(self, hook: str) -> Traits:
        profile = self.profile
        # A charge by payment code is never idempotent: the code is single use.
        idempotent = profile.idempotent and hook not in ("payment_charge", "payment_authorize")
        return Traits(
            idempotent=idempotent,
            tombstone=profile.tombstone,
            max_in_flight_s=IN_FLIGHT_S,
            deferred=profile.deferred and hook == "order_post",
        )

    def resends_are_safe(self, hook: str) -> bool:
        return self.traits(hook).idempotent

    def queryable(self, hook: str) -> bool:
        return QUERY_HOOKS[FAMILY_OF[hook]] in self.hooks

    # --- acting ------------------------------------------------------------------------------------------------------

    def act(self, hook: str, key: str, request: Any, saga: str, now: int) -> Change:
        """Do what a request says, at the moment it arrives."""
        if self.traits(hook).idempotent and key in self.answers:
            return self.answers[key]
        if key in self.blocked:
            return Declined(code="closed")
        result: Change = getattr(self, f"_{_VERBS.get(hook, hook)}")(key, request, saga, now)
        self.answers[key] = result
        return result

    def _payment_charge(self, key: str, request: Any, saga: str, now: int) -> Change:
        known = self.charges.get(key)
        if known is not None and (known.paid or known.closed or known.pending):
            return Declined(code="code-used")  # a payment code is single use
        charge = self.charges[key] = Charge(request.amount, at=now)
        if known is None and self.rng.random() < self.decline:
            self.faults["decline"] += 1
            charge.declined = True  # a duplicate that comes later may find the money there
            return Declined(reason=DeclineReason.INSUFFICIENT_FUNDS, code="poor")
        if self.rng.random() < self.patience:
            self.faults["patience"] += 1
            charge.pending = True
            return Pending(ref=key)
        charge.paid = True
        self.watch(saga, "denied and charged" if key in self.denied else "charged")
        return Done(ref=key, amount=request.amount)

    def _payment_capture(self, key: str, request: Any, saga: str, now: int) -> Change:
        held = self.charges.get(request.original.key)
        if held is None or held.left < request.amount:
            return Declined(reason=DeclineReason.INSUFFICIENT_FUNDS, code="not-held")
        held.captured += request.amount
        if self.completes:
            held.refunded = held.amount - held.captured
        charge = self.charges.setdefault(key, Charge(0, paid=True, at=now))
        charge.amount += request.amount
        self.watch(saga, "charged")
        return Done(ref=key, amount=request.amount)

    def _payment_release(self, key: str, request: Any, saga: str, now: int) -> Change:
        held = self.charges.get(request.original.key)
        if held is None or not held.paid:
            return self._payment_reverse(key, request, saga, now)
        if held.left < request.amount:
            gone = self.completes and held.captured
            return Done(ref=key, amount=request.amount) if gone else Declined(code="more-than-held")
        held.refunded += request.amount
        return Done(ref=key, amount=request.amount)

    def customer(self, key: str, saga: str, pays: bool) -> None:
        """The customer types the password, or walks away."""
        charge = self.charges.get(key)
        if charge is not None and charge.pending:
            charge.pending = False
            charge.paid, charge.declined = pays, not pays
            if pays:
                self.watch(saga, "charged")

    def _payment_reverse(self, key: str, request: Any, saga: str, now: int) -> Change:
        original = request.original.key
        charge = self.charges.get(original)
        if charge is None:
            if self.profile.tombstone:
                self.blocked.add(original)
            return Done(ref=original)
        charge.closed, charge.pending = True, False
        if charge.paid:
            charge.refunded = charge.amount
        return Done(ref=original)

    def _payment_refund(self, key: str, request: Any, saga: str, now: int) -> Change:
        charge = self.charges.get(request.original.key)
        if charge is None or charge.net < request.amount:
            return Declined(code="more-than-paid")
        charge.refunded += request.amount
        return Done(ref=key, amount=request.amount)

    def _reserve(self, key: str, request: Any, saga: str, now: int) -> Change:
        quantity, code = self._asked_for(request), getattr(request, "code", "")
        if self.free < quantity or (self.uses is not None and self.uses.get(code, 0) < quantity):
            return Declined(reason=DeclineReason.OUT_OF_STOCK, code="none-left")
        self._take(code, quantity)
        self.held[key] = Held(saga, quantity, code=code)
        return Done(ref=key, amount=getattr(request, "amount", None))

    def _asked_for(self, request: Any) -> int:
        """How much a request takes: points and value in their own units, all else by the piece."""
        points = getattr(request, "points", None)
        return int(points or request.amount) if self.counts else 1

    def _take(self, code: str, quantity: int) -> None:
        self.free -= quantity
        if self.uses is not None:
            self.uses[code] -= quantity

    def spend(self, code: str) -> None:
        """Somebody uses this code, who has never heard of us: one that is free, or one that we hold where we can't."""
        assert self.uses is not None
        held = next((each for each in self.held.values() if each.code == code and each.state == "held"), None)
        if self.uses.get(code, 0) > 0:
            self._take(code, 1)
        elif held is not None and self.soft:
            held.state, held.stolen = "released", True
        else:
            return
        self.elsewhere += 1
        self.faults["spent_elsewhere"] += 1

    def _redeem(self, key: str, request: Any, saga: str, now: int) -> Change:
        refused, code = self._refuses(), getattr(request, "code", "")
        if refused and self.uses is not None:
            self.spend(code)
        if self.uses.get(code, 0) < 1 if self.uses is not None else refused:
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED, code="spent-elsewhere")
        result = self._reserve(key, request, saga, now)
        if isinstance(result, Done):
            self.held[key].state = "used"
        return result

    def _refuses(self) -> bool:
        refuses = self.rng.random() < self.refusing
        if refuses:
            self.faults["use_refused"] += 1
        return refuses

    def _confirm(self, key: str, request: Any, saga: str, now: int) -> Change:
        held = self.held.get(request.original.key)
        if held is not None and held.stolen:
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED, code="spent-elsewhere")
        if held is None or held.state != "held":
            return Declined(code="not-held")
        if self._refuses():  # somebody has used it elsewhere: it is not ours to give back
            held.state = "released"
            self.elsewhere += held.quantity
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED, code="spent-elsewhere")
        held.state = "used"
        return Done(ref=key)

    def _cancel(self, key: str, request: Any, saga: str, now: int) -> Change:
        held = self.held.get(request.original.key)
        if held is None:
            if self.profile.tombstone:
                self.blocked.add(request.original.key)
            return Done(ref=key)
        if held.state == "used":
            return Declined(code="used")
        self._let_go(held)
        return Done(ref=key)

    def _let_go(self, held: Held) -> None:
        if held.state != "released":
            self.watch(held.saga, "released")
            held.state = "released"
            self._take(held.code, -held.quantity)

    def _give_back(self, key: str, request: Any, saga: str, now: int) -> Change:
        """``original`` names the use, or the hold that was used."""
        held = self.held.get(request.original.key)
        if held is None or held.state == "released":
            return Declined(code="nothing-used")
        if self.counts and saga != held.saga:  # a refund gives back part of it
            if held.refunded + self._asked_for(request) > held.quantity:
                return Declined(code="more-than-used")
            held.refunded += self._asked_for(request)
            self._take("", -self._asked_for(request))
        else:
            self._let_go(held)
        return Done(ref=key, amount=getattr(request, "amount", None))

    def _order_post(self, key: str, request: Any, saga: str, now: int) -> Change:
        if self._refuses():
            return Declined(code="day-closed")
        self.posted[saga] = self.posted.get(saga, 0) + 1
        if self.profile.deferred:
            self.due[key] = now + 30_000
            return Pending(ref=key)
        return Done(ref=f"R{key}")

    def _order_return(self, key: str, request: Any, saga: str, now: int) -> Change:
        self.returned[saga] = self.returned.get(saga, 0) + 1
        return Done(ref=f"R{key}")

    def _points_earn(self, key: str, request: Any, saga: str, now: int) -> Change:
        self.earned[saga] = self.earned.get(saga, 0) + 1
        if self.counts:
            self.free += request.points
        return Done(ref=key)

    def _deposit_post(self, key: str, request: Any, saga: str, now: int) -> Change:
        self.deposits[saga] += 1
        return Done(ref=f"D{key}")

    def _deposit_void(self, key: str, request: Any, saga: str, now: int) -> Change:
        self.deposits[saga] -= 1
        return Done(ref=f"D{key}")

    # --- being asked -------------------------------------------------------------------------------------------------

    def ask(self, hook: str, key: str, now: int) -> Answer:
        """What became of a change, as the system's own record has it."""
        if hook in ("payment_charge", "payment_authorize", "payment_capture"):
            return self._ask_charge(key)
        if key in self.due and now < self.due[key]:
            return Pending(ref=key)
        if key in self.held and self.held[key].state == "released":
            return Declined(code="released")
        known = self.answers.get(key)
        if known is None:
            return NotFound(final=key in self.blocked)
        return Done(ref=known.ref) if isinstance(known, Pending) else known

    def _ask_charge(self, key: str) -> Answer:
        charge = self.charges.get(key)
        if charge is None:
            return NotFound(final=key in self.blocked)
        if charge.paid:
            return Done(ref=key, amount=charge.net)
        if charge.pending:
            return Pending(ref=key)
        self.denied.add(key)
        return Declined(code="not-paid")


_VERBS = {
    "stock_reserve": "reserve",
    "coupon_reserve": "reserve",
    "points_reserve": "reserve",
    "value_reserve": "reserve",
    "stock_confirm": "confirm",
    "coupon_confirm": "confirm",
    "points_confirm": "confirm",
    "value_confirm": "confirm",
    "stock_cancel": "cancel",
    "coupon_cancel": "cancel",
    "points_cancel": "cancel",
    "value_cancel": "cancel",
    "stock_return": "give_back",
    "coupon_restore": "give_back",
    "points_return": "give_back",
    "value_return": "give_back",
    "coupon_redeem": "redeem",
    "payment_authorize": "payment_charge",
}

__all__ = [
    "ASKED",
    "DEFERRED",
    "FOREIGN",
    "FULL",
    "HOLDING",
    "IN_FLIGHT_S",
    "LOCKED",
    "NOTHING",
    "PAYING",
    "POSTING",
    "REDEEMING",
    "REFUNDING",
    "REPEATED",
    "TOMBSTONE",
    "UNDOES_OF_HOLDS",
    "Charge",
    "FarSystem",
    "Held",
    "Profile",
    "hooks_of",
]
