"""What the last two digits of an amount (in minor units, or of a count of points) bring about."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.sdk import DeclineReason, StockItem
from plugins.sandbox.book import DECLINED, DONE, LATE, LOST, PENDING


@dataclass(frozen=True, slots=True)
class Spell:
    """How a change is answered: its state in the books, and whether the answer is lost."""

    state: str
    lost_answer: bool = False
    reason: DeclineReason = DeclineReason.DECLINED
    what: str = ""


SPELLS: dict[int, Spell] = {
    1: Spell(DECLINED, what="declined"),
    2: Spell(DONE, lost_answer=True, what="unknown, and done when asked"),
    3: Spell(PENDING, what="pending, done after a while"),
    4: Spell(LATE, lost_answer=True, what="unknown, not found when asked, done after a while"),
    5: Spell(LOST, lost_answer=True, what="the request is lost: not found when asked, done if it is sent again"),
    6: Spell(PENDING, what="pending for ever, until it is closed"),
    7: Spell(DECLINED, reason=DeclineReason.INSUFFICIENT_FUNDS, what="declined: too little money"),
    8: Spell(DECLINED, reason=DeclineReason.LIMIT_EXCEEDED, what="declined: over a limit"),
}
FOREVER = frozenset({6})
_PLAIN = Spell(DONE, what="done at once")


def spell_of(amount: int) -> Spell:
    """What this amount does; any other ending is done at once."""
    return SPELLS.get(amount % 100, _PLAIN)


def ending_of(text: str) -> int:
    """The magic in a number that a platform chooses (``WEB-7-02``) or in a SKU (``SB001-02``); 0: none."""
    head, hyphen, ending = text.rpartition("-")
    return int(ending) if head and hyphen and len(ending) == 2 and ending.isdecimal() else 0


def thousandths(items: tuple[StockItem, ...]) -> int:
    """A quantity as a whole number, over all articles."""
    return sum(int(item.quantity * 1000) for item in items)
