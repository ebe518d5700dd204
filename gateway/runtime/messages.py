"""Which events a merchant's members get a message about, and what it says; checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter

#: Events that a message can be about: each ends a checkout, a refund or a deposit, which knows its member.
EVENTS = (
    "checkout.completed",
    "checkout.failed",
    "checkout.cancelled",
    "refund.succeeded",
    "deposit.completed",
    "release.completed",
)
#: What a message can tell of one, by name: every message carries these fields, and texts may name them in braces.
FACTS = ("order_no", "number", "amount", "store", "merchant", "time")
LANGUAGES = ("zh", "en")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRule:
    """One message about one event: the connection's own name of a template, and further fields by language."""

    event: str
    template: str
    stores: tuple[str, ...] = ()
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What members are told; times in seconds. ``language`` is for who has not said which one they read."""

    on: tuple[MessageRule, ...] = ()
    language: str = "zh"
    expire_s: float = 3600.0

    def about(self, event: str, store_id: str) -> tuple[MessageRule, ...]:
        """The messages about an event in a store."""
        return tuple(each for each in self.on if each.event == event and (not each.stores or store_id in each.stores))


def wrong_in(text: str) -> str:
    """What is wrong with a text that names facts in braces; nothing if it can be filled in."""
    try:
        named = [name for _, name, spec, conversion in Formatter().parse(text) if name is not None]
        odd = [name for _, name, spec, conversion in Formatter().parse(text) if spec or conversion]
    except ValueError as error:
        return f"expected text with {{facts}}: {error}"
    unknown = [name for name in named if name not in FACTS] or odd
    return f"{{{unknown[0]}}} is none of: {', '.join(FACTS)}" if unknown else ""
