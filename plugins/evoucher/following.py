"""Works off what notices have asked for: the order itself is asked what it needs, and gets that.

So it does not matter in which order notices came, how late, or how often. What fails stays owed for the next time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from gateway.sdk import AdapterError, Context
from plugins.evoucher.ledger import Ledger
from plugins.evoucher.platform import Platform
from plugins.evoucher.protocol import (
    ALREADY_SENT,
    CODES_DIFFER,
    MODIFIED,
    ORDER_CLOSED,
    RESEND,
    SENT,
    WAITING,
    Order,
)

#: The platform's lists of notices that came to nothing: those that failed, those that nobody has called back about.
_LISTS = (1, 2)


class Follower:
    """Follows the notices of one connection. Two at a time do no harm: each call may be repeated."""

    def __init__(self, context: Context, platform: Platform, ledger: Ledger) -> None:
        self._settings, self._log, self._clock = context.settings, context.log, context.clock
        self._platform, self._ledger = platform, ledger
        self._repair_at = context.clock()

    def follow(self, deadline: datetime) -> int:
        """Do what is owed, until the deadline; how many orders are left."""
        if self._clock() >= self._repair_at:
            self._repair(deadline)
        self._ask_for(self._ledger.wanted(), deadline)
        owed = self._ledger.owed()
        return sum(not self._one(order_id, keys, deadline) for order_id, keys in owed.items())

    def _one(self, order_id: str, keys: list[str], deadline: datetime) -> bool:
        """Bring one order to where its notices want it; whether it is there."""
        if self._clock() >= deadline:
            return False
        try:
            settled = self._served(order_id, deadline)
        except AdapterError as error:
            self._log.warning("order %s: its notices are not followed yet: %s", order_id, error)
            return False
        if settled:
            self._ledger.settle(keys)
        return settled

    def _served(self, order_id: str, deadline: datetime) -> bool:
        token = self._ledger.token(order_id)
        order = self._platform.order(order_id, token, deadline)
        if order.state == WAITING and order.left:
            return self._send(order, token, deadline)
        if order.state == SENT and {RESEND, MODIFIED} & set(order.awaits):
            return self._resend(order, token, deadline)
        return True  # cancelled, moved, or served before

    def _send(self, order: Order, token: str, deadline: datetime) -> bool:
        """Make the order's codes and have them texted. An item that the shop does not know waits for the settings."""
        if order.item not in self._settings["items"]:
            self._log.error("items.%s is missing: order %s waits for its codes", order.item, order.order_id)
            return False
        error = self._platform.text("send", order.order_id, token, self._ledger.codes_for(order), deadline)
        return self._told(order.order_id, error, (ALREADY_SENT, ORDER_CLOSED))

    def _resend(self, order: Order, token: str, deadline: datetime) -> bool:
        """Have all codes texted again that still have uses, those that a refund has locked too."""
        usable = {code.code: code.left + code.locked for code in order.codes if code.left + code.locked}
        if not usable:
            return True
        error = self._platform.text("resend", order.order_id, token, usable, deadline)
        return error != CODES_DIFFER and self._told(order.order_id, error, (ORDER_CLOSED,))

    def _told(self, order_id: str, error: str, over: Iterable[str]) -> bool:
        """Whether nothing is left to do: it was done, or the order is beyond it."""
        if error and error not in over:
            self._log.error("order %s: the platform refuses our codes: %s", order_id, error)
        return not error or error in over

    # -- what was lost on the way ------------------------------------------------------------------------------------

    def _repair(self, deadline: datetime) -> None:
        """Ask which notices never reached us, or were never called back about, and have them sent again."""
        try:
            lost = [order for kind in _LISTS for order in self._platform.unfinished(kind, deadline)]
        except AdapterError as error:
            self._log.warning("the platform's list of lost notices can't be read: %s", error)
            return
        owed = self._ledger.owed()
        self._ask_for([order_id for order_id in dict.fromkeys(lost) if order_id not in owed], deadline)
        self._repair_at = self._clock() + timedelta(seconds=float(self._settings["repair_every_s"]))

    def _ask_for(self, orders: Iterable[str], deadline: datetime) -> None:
        for order_id in orders:
            try:
                self._platform.notify(order_id, deadline)
            except AdapterError as error:
                self._log.warning("order %s: its notices can't be asked for: %s", order_id, error)
                return
