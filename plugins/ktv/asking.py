"""What became of an earlier change: the till is looked at for its traces. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.sdk import (
    ActionType,
    Answer,
    DepositVoid,
    Done,
    NextAction,
    NotFound,
    NotSupported,
    OrderPost,
    OrderReturn,
    OrderVoid,
    Pending,
    Query,
    SessionExtend,
)
from plugins.ktv import deposits, mapping, posting, rooms
from plugins.ktv import protocol as p
from plugins.ktv.client import Burst, Refusal


@dataclass(frozen=True)
class Asking:
    """Looks for the traces of changes, over one burst."""

    burst: Burst
    areas: tuple[str, ...]
    codes: posting.Codes
    packages: Mapping[str, str]

    def answer(self, query: Query) -> Answer:
        """The answer of ``order_query``; what left no trace is not found, and that is never final by itself."""
        ask: Callable[[Query], Answer] | None = getattr(self, f"_{query.hook}", None)
        if ask is None:
            raise NotSupported(f"no change of this adapter is called {query.hook}")
        try:
            return ask(query)
        except Refusal:
            return NotFound()

    def bill_of(self, session: str) -> str:
        """A session's bill number: itself, or that of the room opened on a booking; nothing if none was."""
        if not session.startswith("Y"):
            return session
        found = rooms.read_rooms(self.burst, self.areas)
        return next((row.bill for row in found if row.booking == session), "")

    # -------------------------------------------------------------- one method a hook

    def _session_open(self, query: Query) -> Answer:
        if rooms.first_step(query.steps, "BK"):
            return NotFound()  # bookings can't be listed; the till refuses to book a room twice for the same time
        step = rooms.first_step(query.steps, "OP")
        if step is None:
            return NotFound()
        wanted = rooms.wanted_of(query.request, self.packages)
        found = rooms.read_rooms(self.burst, self.areas)
        bill = rooms.find_opening(self.burst, found, wanted, step)
        return rooms.opened(bill, replayed=True) if bill else NotFound()

    def _session_extend(self, query: Query) -> Answer:
        request: SessionExtend = query.request
        step = rooms.first_step(query.steps, "EX")
        if step is None:
            return NotFound()
        bill = rooms.read_bill(self.burst, request.session_id)
        minutes = rooms.minutes_between(request.start, request.end)
        return rooms.extended(bill, replayed=True) if rooms.is_extended(bill, minutes, step) else NotFound()

    def _session_move(self, query: Query) -> Answer:
        bill = rooms.read_bill(self.burst, query.request.session_id)
        return rooms.moved(bill) if bill.room == query.request.to_resource_id else NotFound()

    def _session_close(self, query: Query) -> Answer:
        number: str = query.request.session_id
        if number.startswith("Y"):
            return NotFound()  # cancelling again is harmless, so the answer need not be known
        bill = rooms.read_bill(self.burst, number)
        return NotFound() if bill.state == p.BILL_OPEN else Done(ref=number, replayed=True)

    def _order_post(self, query: Query) -> Answer:
        request: OrderPost = query.request
        session = posting.session_of(request)
        number = self.bill_of(session)
        if not number:
            return awaiting(session)
        bill = rooms.read_bill(self.burst, number)
        if not posting.complete(bill, request, query.key, self.codes):
            return NotFound()
        return posting.posted(bill, query.key, settled=bill.state != p.BILL_OPEN, replayed=True)

    def _order_void(self, query: Query) -> Answer:
        request: OrderVoid | OrderReturn = query.request
        bill = rooms.read_bill(self.burst, posting.bill_of_sale(request.original))
        if bill.state != p.BILL_REFUNDED:
            return NotFound()
        return posting.taken_out(bill, request.original.key)

    _order_return = _order_void

    def _deposit_post(self, query: Query) -> Answer:
        return self._deposit(query, deposits.target_of(query.request))

    def _deposit_void(self, query: Query) -> Answer:
        request: DepositVoid = query.request
        return self._deposit(query, deposits.find(self.burst, deposits.target_of(request), request.original))

    def _deposit(self, query: Query, target: str) -> Answer:
        found = rooms.read_bill(self.burst, target).with_ref("Y", mapping.reference(query.key))
        return deposits.done(found, target, replayed=True) if found else NotFound()


def awaiting(session: str) -> Pending:
    """A sale on a booking waits until the desk has opened the room."""
    action = NextAction(type=ActionType.ASK_CASHIER, fields={"booking": session, "do": "open the room on this booking"})
    return Pending(ref=session, next_action=action, facts={"booking": session})
