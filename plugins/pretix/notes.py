"""What the adapter must remember itself: what a return took out, and on what was booked on a day.

The request of a return names lines, while pretix wants to know which pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from gateway.sdk import KeyValue


class Notes:
    """Notes in the connection's own durable store."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store

    def plan_return(self, key: str, pieces: Sequence[int]) -> list[int]:
        """The pieces that this return takes out: those chosen at its first attempt."""
        chosen = self.planned(key)
        if not chosen:
            chosen = list(pieces)
            self._store.put(f"return/{key}", chosen)
        return chosen

    def planned(self, key: str) -> list[int]:
        """The pieces that this return takes out, if it has chosen any yet."""
        return [int(piece) for piece in self._store.get(f"return/{key}") or []]

    def put_given_back(self, day: date, code: str) -> None:
        """Remember that money was given back on an order: pretix does not count that as a change of the order."""
        self._store.put(f"back/{day.isoformat()}/{code}", True)

    def given_back(self, day: date) -> list[str]:
        """The codes of the orders on which money was given back on a day."""
        return [name.rpartition("/")[2] for name in self._store.keys(f"back/{day.isoformat()}/")]

    def put_card(self, day: date, card: int) -> None:
        """Remember that a gift card (its number at pretix, not its secret) is booked on."""
        self._store.put(f"card/{day.isoformat()}/{card}", True)

    def cards(self, day: date) -> list[int]:
        """The gift cards that were booked on."""
        return [int(name.rpartition("/")[2]) for name in self._store.keys(f"card/{day.isoformat()}/")]

    def put_restored(self, at: datetime, code: str, key: str) -> None:
        """Remember when uses of a voucher are given back; ``at`` in the shop's own time."""
        name = f"restored/{at.date().isoformat()}/{code}/{key}"
        if self._store.get(name) is None:
            self._store.put(name, at.isoformat())

    def restored(self, day: date) -> Iterator[tuple[str, str, datetime]]:
        """The redemptions' orders of which uses were given back on a day, under which keys, and when."""
        for name in self._store.keys(f"restored/{day.isoformat()}/"):
            code, key = name.split("/")[2:]
            yield code, key, datetime.fromisoformat(self._store.get(name))
