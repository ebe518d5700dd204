"""The slots that a refund makes free again: which it is to free, and which stay booked and why.

A slot is sold by a hold at whoever keeps the times and, where the till runs sessions, by a session or booking there. It
is free again once the session is closed and the slot returned; where one of them cannot be had, neither is begun.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from gateway.engine.model import Far, Json, Leg, Op, OpState, Phase, Saga
from gateway.engine.records import original_of

#: Why a slot is not even asked for; one that its system refuses is found out later.
BEGUN, NOT_WANTED, UNSUPPORTED = "begun", "not_wanted", "unsupported"
#: What closes a session that was opened or booked; a running one that was extended cannot be made shorter.
_CLOSES = {"session_open": "session_close"}


class Freeing:
    """Plans what a refund of ``parent`` does with its slots. ``asked``: the platform's own word; ``None``: none."""

    def __init__(
        self, parent: Saga, ops: Sequence[Op], far: Callable[[str], Far], policy: str, asked: bool | None, now: datetime
    ) -> None:
        self.parent, self.ops, self.far = parent, ops, far
        self.policy, self.asked, self.now = policy, asked, now
        self.planned = {leg.name: leg for leg in parent.legs()}
        self.legs: list[Leg] = []

    def plan(self, line_ids: Sequence[str]) -> list[Json]:
        """What becomes of the slots of lines that come back whole; what is to be asked for is added to ``legs``."""
        booked = ((line_id, self.planned.get(f"slot:{line_id}")) for line_id in line_ids)
        return [
            self._slot(line_id, leg, held)
            for line_id, leg in booked
            if leg is not None and (held := self._done(leg.name, "stock_reserve")) is not None
        ]

    def _done(self, leg: str, *hooks: str) -> Op | None:
        found = (op for op in self.ops if op.leg == leg and op.hook in hooks and op.state is OpState.OK)
        return next(found, None)

    def _slot(self, line_id: str, leg: Leg, held: Op) -> Json:
        slot = leg.params["slots"][0]
        told = {"line_id": line_id, **{name: slot[name] for name in ("resource_id", "resource_class", "from", "to")}}
        session = self._done(f"session:{line_id}", "session_open", "session_extend")
        able = self._able(leg, session)
        stays = self._unwanted(datetime.fromisoformat(slot["from"])) or ("" if able or self.asked else UNSUPPORTED)
        if stays:
            return {**told, "stays": stays}
        before = len(self.legs)
        self._free(leg, held, session, able)
        return {**told, "legs": [leg.name for leg in self.legs[before:]]}

    def _unwanted(self, begins: datetime) -> str:
        """Why nobody wants it back: guests may sit in what has begun, and what is over was used or lost."""
        if self.asked is not None:
            return "" if self.asked else NOT_WANTED
        if self.policy == "never":
            return NOT_WANTED
        return BEGUN if self.policy == "future" and begins <= self.now else ""

    def _able(self, leg: Leg, session: Op | None) -> bool:
        if session is not None and not self._has(session.connection, _CLOSES.get(session.hook, "")):
            return False
        return self._has(leg.connection, "stock_return")

    def _has(self, connection: str, hook: str) -> bool:
        return bool(hook) and self.far(connection).has(hook)

    def _free(self, leg: Leg, held: Op, session: Op | None, able: bool) -> None:
        """First the session, then the slot. One that cannot be freed is planned all the same: for a person."""
        params: Json = {
            "slots": leg.params["slots"],
            "store_id": self.parent.store_id,
            "held_by": self.parent.id,
            "original": original_of(held),
        }
        if (confirmed := self._done(leg.name, "stock_confirm")) is not None:
            params["confirmed"] = original_of(confirmed)
        if not able:
            params["unable"] = True
        elif session is not None:
            source = self.planned[session.leg]
            self._add(source, _CLOSES[session.hook], {"original": original_of(session)})
            params["after"] = source.name
        self._add(leg, "stock_return", params)

    def _add(self, source: Leg, hook: str, params: Json) -> None:
        params |= {"slot": True, "asked": bool(self.asked)}
        self.legs.append(Leg(source.name, source.connection, source.adapter, {Phase.POST.value: hook}, params))
