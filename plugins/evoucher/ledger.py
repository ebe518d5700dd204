"""What a connection keeps of the orders it makes codes for: their tokens, whose a code is, and what notices ask for.

No code and no phone is kept. A code follows from the order's number and ``code_key``, so that the same codes are made
again after a crash; which order a code belongs to is kept under its digest.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from gateway.sdk import KeyValue, Secret
from plugins.evoucher.protocol import ONE_EACH, NoticeForm, Order

#: A code has twelve digits and begins with no 0: it is no payment code and no card number.
_DIGITS = 12
_TRIES = 50


class Ledger:
    """One connection's keeping. Durable when a method returns."""

    def __init__(self, store: KeyValue, code_key: Secret) -> None:
        self._store, self._key = store, code_key

    # -- orders and notices ------------------------------------------------------------------------------------------

    def take(self, notice: NoticeForm) -> bool:
        """Keep what a notice asks for; ``False`` if it carries another token than the order has.

        The same notice again is the same entry, so it asks for nothing more.
        """
        known = self.token(notice.order_id)
        if known and not hmac.compare_digest(known.encode(), notice.token.encode()):
            return False
        if not known:
            self._store.put(f"order/{notice.order_id}", {"token": notice.token})
        self._store.put(f"owed/{notice.order_id}/{notice.digest}", {"method": notice.method})
        self._store.delete(f"wanted/{notice.order_id}")
        return True

    def token(self, order_id: str) -> str:
        """The order's token; ``""`` if no notice about it has come."""
        kept = self._store.get(f"order/{order_id}")
        return str(kept["token"]) if kept else ""

    def owed(self) -> dict[str, list[str]]:
        """The orders that notices have asked something for, each with the keys of what was kept."""
        found: dict[str, list[str]] = {}
        for key in self._store.keys("owed/"):
            found.setdefault(key.split("/")[1], []).append(key)
        return found

    def settle(self, keys: Iterable[str]) -> None:
        """What these notices asked for has been done. One that came meanwhile stays."""
        for key in keys:
            self._store.delete(key)

    def want(self, order_id: str) -> None:
        """Note that the notices of an order are needed again: its token is not known here."""
        self._store.put(f"wanted/{order_id}", {})

    def wanted(self) -> list[str]:
        """The orders whose notices are needed again."""
        return [key.removeprefix("wanted/") for key in self._store.keys("wanted/")]

    # -- codes -------------------------------------------------------------------------------------------------------

    def codes_for(self, order: Order) -> dict[str, int]:
        """The codes of an order that has none yet, with their uses; the same whenever this is asked."""
        parts = [1] * order.left if order.consume_type == ONE_EACH else [order.left]
        return {self._code(order.order_id, number): num for number, num in enumerate(parts)}

    def _code(self, order_id: str, number: int) -> str:
        """The first code of a series that belongs to no other order; it belongs to this one from now on."""
        for attempt in range(_TRIES):
            spread = int.from_bytes(self._mac(f"code/{order_id}/{number}/{attempt}"), "big")
            code = str(10 ** (_DIGITS - 1) + spread % (9 * 10 ** (_DIGITS - 1)))
            place = f"{order_id}/{number}"
            owner = self._store.get(self._index(code))
            if owner is None:
                self._store.put(self._index(code), {"of": place})
            if owner is None or owner["of"] == place:
                return code
        raise AssertionError("so many codes of other orders in a row do not happen")

    def order_of(self, code: str) -> str:
        """The order that a code was made for here; ``""`` if it was not."""
        owner = self._store.get(self._index(code))
        return str(owner["of"]).partition("/")[0] if owner else ""

    def _index(self, code: str) -> str:
        return f"code/{self._mac(f'index/{code}').hex()[:32]}"

    def _mac(self, text: str) -> bytes:
        return hmac.new(self._key.reveal().encode(), text.encode(), hashlib.sha256).digest()
