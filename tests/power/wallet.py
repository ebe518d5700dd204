"""A wallet in another town: it has power when the shop has none, keeps its own books, and may lose an answer."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from marshmallow import fields

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    Change,
    Charge,
    Declined,
    Done,
    NotFound,
    OutcomeUnknown,
    PaymentRefund,
    Query,
    Reverse,
    Settings,
    Traits,
    hookimpl,
)


@dataclass
class Books:
    """The wallet's truth: what was taken and given back, by the keys it was sent."""

    rng: random.Random
    taken: dict[str, int] = field(default_factory=dict)
    given: dict[str, tuple[str, int]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    declined: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def net(self, key: str) -> int:
        """What is left of a charge."""
        return self.taken.get(key, 0) - sum(amount for charge, amount in self.given.values() if charge == key)

    def answer(self, done: Done) -> Done:
        """The answer, unless it is lost on its way."""
        if self.rng.random() < 0.04:
            raise OutcomeUnknown("the answer was lost")
        return done


#: The wallets there are, by name.
WALLETS: dict[str, Books] = {}


class WalletSettings(Settings):
    """Which of the wallets."""

    books = fields.String(required=True)


class Wallet(Adapter):
    """Takes money once a key where it is asked; can be asked, closed, and give back."""

    name: ClassVar[str] = "power-wallet"
    Settings = WalletSettings
    about = AdapterTraits(max_parallel=16)
    traits: ClassVar[Mapping[str, Traits]] = {
        "payment_charge": Traits(max_in_flight_s=1, poll_every_s=1),
        "payment_reverse": Traits(idempotent=True, max_in_flight_s=1),
        "payment_refund": Traits(idempotent=True, max_in_flight_s=1),
    }

    @property
    def _books(self) -> Books:
        return WALLETS[self.context.settings["books"]]

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        books = self._books
        with books.lock:
            if call.key in books.taken:
                raise AssertionError(f"{call.key} was charged twice")
            if call.key in books.closed or books.rng.random() < 0.1:
                books.declined.add(call.key)
                return Declined(code="no-money")
            books.taken[call.key] = request.amount
            return books.answer(Done(ref=call.key, amount=request.amount))

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        books = self._books
        with books.lock:
            if request.hook == "payment_charge" and request.key in books.taken:
                return Done(ref=request.key, amount=books.net(request.key))
            if request.hook == "payment_refund" and request.key in books.given:
                return Done(ref=request.key, amount=books.given[request.key][1])
            if request.key in books.declined | books.closed:
                return Declined(code="no-money")
            return NotFound()

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        books = self._books
        with books.lock:
            key = request.original.key
            books.closed.add(key)
            left, facts = books.net(key), {"action": "close"}
            if left:
                books.given[call.key] = (key, left)
                facts = {"action": "refund"}
            return books.answer(Done(ref=call.key, facts=facts))

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        books = self._books
        with books.lock:
            if call.key not in books.given and books.net(request.original.key) < request.amount:
                return Declined(code="not-so-much")
            books.given.setdefault(call.key, (request.original.key, request.amount))
            return books.answer(Done(ref=call.key, amount=request.amount))


@hookimpl
def o2o_adapters() -> Sequence[type[Any]]:
    """The adapters of this plugin."""
    return (Wallet,)
