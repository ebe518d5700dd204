"""What the adapter remembers of each change at the terminal, since the terminal keeps nothing of ours.

Before a request goes out, the last voucher number is noted under our key; afterwards the change is found among the
vouchers that came later, by its amount. A voucher belongs to one key only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from gateway.sdk import KeyValue
from plugins.department.protocol_bankall import BankResponse

APPROVED = "00"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that may have gone out: its type, amount in fen, the last voucher before it, and when (epoch seconds).

    ``undoes`` is the key that it undoes or completes. ``ended`` says that the DLL came back from the call, so nothing
    of it is under way any more. ``undone_by`` and ``completed_by`` are the keys that did that to it.
    """

    kind: str
    amount: int
    before: int
    at: float
    undoes: str = ""
    completes: str = ""
    ended: bool = False
    undone_by: str = ""
    completed_by: str = ""


class Records:
    """Records of one terminal in the connection's own store."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store

    def sent(self, key: str) -> Sent | None:
        """What was noted before the request of this key went out."""
        value = self._store.get(f"sent/{key}")
        return Sent(**value) if value else None

    def note_sent(self, key: str, sent: Sent) -> None:
        """Note a request, or a new state of it."""
        self._store.put(f"sent/{key}", asdict(sent))

    def forget(self, key: str) -> None:
        """This key provably did nothing at the terminal, and may be sent again."""
        self._store.delete(f"answer/{key}")
        self._store.delete(f"sent/{key}")

    def end(self, key: str) -> None:
        """The DLL came back from this key's call."""
        self._change(key, ended=True)

    def answer(self, key: str) -> BankResponse | None:
        """The terminal's answer to this key, if one came (late ones too)."""
        value = self._store.get(f"answer/{key}")
        return BankResponse(**value) if value else None

    def note_answer(self, key: str, response: BankResponse) -> None:
        """Keep an answer; an approved one claims its voucher for this key, and marks what it undoes."""
        self._store.put(f"answer/{key}", asdict(response))
        if response.code != APPROVED or not response.voucher:
            return
        self._store.put(f"voucher/{response.voucher:06d}", key)
        sent = self.sent(key)
        if sent and sent.undoes:
            self._change(sent.undoes, undone_by=key)
        if sent and sent.completes:
            self._change(sent.completes, completed_by=key)

    def _change(self, key: str, **values: str | bool) -> None:
        sent = self.sent(key)
        if sent is not None:
            self.note_sent(key, replace(sent, **values))  # type: ignore[arg-type]

    def undone(self, key: str, by: str) -> None:
        """The bank says that this key is undone already."""
        self._change(key, undone_by=by)

    def owner(self, voucher: int) -> str:
        """The key that a voucher belongs to, or ``""``."""
        return str(self._store.get(f"voucher/{voucher:06d}") or "")

    def close(self, key: str) -> None:
        """This key must not be sent any more."""
        self._store.put(f"closed/{key}", True)

    def closed(self, key: str) -> bool:
        """Whether this key was closed before it was sent."""
        return bool(self._store.get(f"closed/{key}"))
