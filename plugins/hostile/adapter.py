"""Everything goes wrong here: hangs, exits, nonsense, wrong amounts, secrets in errors. For tests of what bears it.

``mood`` chooses one of the moods for every hook; ``""`` gives each hook its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from marshmallow import fields, validate

from gateway.sdk import (
    Adapter,
    Answer,
    Call,
    Change,
    Charge,
    Done,
    Enrol,
    InvalidReply,
    Member,
    MemberLookup,
    NotFound,
    NotSent,
    Page,
    PaymentRefund,
    PointsEarn,
    Query,
    Reverse,
    SecretField,
    Settings,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)

MOODS = ("hang", "exit", "nonsense", "wrong_amount", "leak", "not_sent", "none", "twice")


class HostileSettings(Settings):
    """``hang_s`` is how long a hook hangs."""

    password = SecretField(required=True)
    mood = fields.String(load_default="", validate=validate.OneOf(["", *MOODS]))
    hang_s = fields.Float(load_default=30.0)


class HostileAdapter(Adapter):
    """Its claims are untrue, and its check finds everything in order."""

    name = "hostile"
    Settings = HostileSettings
    traits: ClassVar[dict[str, Traits]] = {"payment_refund": Traits(idempotent=True, tombstone=True)}

    def check(self) -> None:
        """All is well, whatever is."""

    def _moved(self, name: str, amount: int) -> None:
        """What really happened, in its own store: that is its far system."""
        store = self.context.store
        store.put(name, (store.get(name) or 0) + amount)

    def _do(self, own: str, request: Any, amount: int) -> Any:
        mood = self.context.settings["mood"] or own
        behaviour: dict[str, Callable[[Any, int], Any]] = {
            "hang": self._hang,
            "exit": lambda request, amount: sys.exit(3),
            "nonsense": lambda request, amount: {"ok": True},
            "wrong_amount": self._wrong_amount,
            "leak": self._leak,
            "not_sent": self._not_sent,
            "none": lambda request, amount: None,
            "twice": self._twice,
        }
        return behaviour[mood](request, amount)

    def _hang(self, request: Any, amount: int) -> Change:
        time.sleep(self.context.settings["hang_s"])
        return Done()

    def _wrong_amount(self, request: Any, amount: int) -> Change:
        self._moved("money", amount)
        return Done(ref="H1", amount=amount + 1)

    def _leak(self, request: Any, amount: int) -> Change:
        secret = self.context.settings["password"].reveal()
        self.context.log.warning("the password is %s", secret)
        self.context.store.put("last password", secret)
        raise InvalidReply(f"refused with password {secret}")

    def _not_sent(self, request: Any, amount: int) -> Change:
        self._moved("money", amount)
        raise NotSent("nothing happened, honestly")

    def _twice(self, request: Any, amount: int) -> Change:
        self._moved("money", amount)
        return Done(ref="H1", amount=amount)

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        answer: Change = self._do("twice", request, request.amount)
        return answer

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        answer: Change = self._do("not_sent", request, -request.amount)
        return answer

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        answer: Change = self._do("twice", request, -request.amount)
        return answer

    @hookimpl
    def points_earn(self, request: PointsEarn, call: Call) -> Change:
        answer: Change = self._do("leak", request, request.points)
        return answer

    @hookimpl
    def member_enrol(self, request: Enrol, call: Call) -> Change:
        answer: Change = self._do("nonsense", request, 1)
        return answer

    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        answer: Member | None = self._do("exit", request, 0)
        return answer

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        return NotFound(final=True)

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        row = StatementRow(kind="charge", ref="H1", amount=1)
        return replace(Page(items=(row,)), next_cursor="again")
