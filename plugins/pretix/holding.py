"""Holds in pretix: cart positions that expire, told apart by their cart's name, which is made of our key.

Several are made by one message, of which a part may succeed: the rest is then taken back. Carts cannot be looked up
by name (the filter is ignored), so the newest are read until the time of the hold is passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.sdk import Call, Declined, DeclineReason, Done, OutcomeUnknown
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.client import Refused, Talk

#: How far our clock and theirs may differ.
SKEW = timedelta(minutes=10)
Position = Mapping[str, Any]


def find(talk: Talk, key: str, since: datetime | None) -> list[r.Held]:
    """What the cart of this key holds, also what has expired; ``since`` is when it was made at the earliest."""
    found, cart = [], p.cart_id(key)
    for held in talk.rows("cartpositions/", r.read_held, ordering="-datetime"):
        if held.cart == cart:
            found.append(held)
        if since is not None and held.created < since - SKEW:
            break
    return found


def complete(held: Sequence[r.Held], wanted: Sequence[Position], now: datetime) -> bool:
    """Whether all that is wanted is held now."""
    live = Counter((each.item, each.variation, each.subevent) for each in held if each.expires > now)
    return live == Counter((row["item"], row["variation"], row["subevent"]) for row in wanted)


def reserve(
    talk: Talk, key: str, wanted: Sequence[Position], call: Call, now: datetime, reason: DeclineReason
) -> Done | Declined:
    """Hold all that is wanted or nothing; what an earlier attempt left half done is taken back first."""
    if call.attempt > 1:
        held = find(talk, key, None)
        if complete(held, wanted, now):
            return Done(ref=p.cart_id(key), replayed=True)
        let_go(talk, held, call)
    try:
        with call.step("hold", p.cart_id(key)):
            made, refused = talk.change("POST", "cartpositions/bulk_create/", list(wanted), r.read_bulk)
    except Refused as refusal:
        return Declined(reason=reason, code=str(refusal.status), message=refusal.text)
    if refused:
        let_go(talk, find(talk, key, now), call)
        return Declined(reason=reason, code="400", message=refused[0])
    if any(each.cart != p.cart_id(key) for each in made) or not complete(made, wanted, now):
        raise OutcomeUnknown("pretix holds something else than what was asked for")
    return Done(ref=p.cart_id(key))


def let_go(talk: Talk, held: Sequence[r.Held], call: Call) -> None:
    """Take positions out of a cart; one that is gone is no error."""
    for each in held:
        try:
            with call.step("let go", str(each.id)):
                talk.change("DELETE", f"cartpositions/{each.id}/", None, lambda body: None)
        except Refused as refusal:
            if refusal.status != 404:
                raise OutcomeUnknown(f"a hold cannot be taken back: {refusal.text}") from None


def cancel(talk: Talk, key: str, since: datetime | None, call: Call) -> Done:
    """Let a hold go, and see that it is gone; one that never came to be is done."""
    let_go(talk, find(talk, key, since), call)
    if find(talk, key, since):
        raise OutcomeUnknown("a hold was taken back and is still there")
    return Done(ref=p.cart_id(key))
