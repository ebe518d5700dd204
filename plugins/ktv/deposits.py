"""Deposits in the till: on a bill, or on a room until it is opened, when they move to its bill."""

from __future__ import annotations

from gateway.sdk import Call, Change, DepositPost, DepositVoid, Done, InvalidReply, NotSupported, Original
from plugins.ktv import mapping, replies
from plugins.ktv import protocol as p
from plugins.ktv.client import Burst, Refusal
from plugins.ktv.rooms import following, newest_bill, read_bill, read_rooms

#: How many bills after the one that was the newest are searched for a deposit that moved on with its room.
BILLS_SEARCHED = 40


def target_of(request: DepositPost | DepositVoid) -> str:
    """Where a deposit stands: the session's bill, else the room. Raises ``NotSupported`` where neither is named."""
    session = "" if request.session_id.startswith("Y") else request.session_id
    target = session or request.resource_id
    if not target:
        raise NotSupported("the till keeps deposits on a bill or a room: neither is named")
    return target


def take(burst: Burst, target: str, amount: int, areas: tuple[str, ...], call: Call) -> Change:
    """Take a deposit, unless the till shows it with our reference.

    For a room the newest bill number is noted: the bill that the deposit moves to has a later one.
    """
    mark = newest_bill(read_rooms(burst, areas)) if target[:1] != "K" else ""
    outcome = _move(burst, target, amount, call)
    return Done(
        ref=outcome.ref, amount=outcome.amount, facts={**outcome.facts, "mark": mark}, replayed=outcome.replayed
    )


def give_back(burst: Burst, target: str, amount: int, original: Original, call: Call) -> Change:
    """Give a deposit back where it stands now, unless the till shows that with our reference."""
    return _move(burst, find(burst, target, original), -amount, call)


def _move(burst: Burst, target: str, amount: int, call: Call) -> Done:
    ref = mapping.reference(call.key)
    if found := read_bill(burst, target).with_ref("Y", ref):
        return done(found, target, replayed=True)
    with call.step("YJ", ref):
        burst.change("YJ", target, p.format_money(amount), ref, read=replies.read_number)
    found = read_bill(burst, target).with_ref("Y", ref)
    if not found:
        raise InvalidReply("the till does not show the deposit")
    return done(found, target)


def find(burst: Burst, target: str, original: Original) -> str:
    """The bill or room that has a deposit of ours: the named one, or the bill that took it over from the room."""
    ref = mapping.reference(original.key)
    if target[:1] == "K" or read_bill(burst, target).with_ref("Y", ref):
        return target
    number = str(original.facts.get("mark") or _before_first(original.ref))
    for _ in range(BILLS_SEARCHED if number else 0):
        number = following(number)
        try:
            if read_bill(burst, number).with_ref("Y", ref):
                return number
        except Refusal:
            break
    return target


def _before_first(deposit: str) -> str:
    """The number before an evening's first bill: ``D1403080003`` → ``K1403080000``."""
    return f"K{deposit[1:7]}0000" if len(deposit) == 11 else ""


def done(found: list[replies.BillMoney], target: str, replayed: bool = False) -> Done:
    """A deposit's movement that the till shows; the amount is positive whichever way it went."""
    amount = abs(sum(row.amount for row in found))
    return Done(ref=found[-1].number, amount=amount, facts={"target": target}, replayed=replayed)
