"""Turns events into messages that are to be sent; a receiver of the feed, like a webhook endpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import Counter

from gateway.engine.model import Saga
from gateway.engine.records import saga_from
from gateway.engine.service import Engine
from gateway.runtime import Merchant
from gateway.runtime.messages import EVENTS
from gateway.store import journal, messages
from gateway.store.errors import StorageError
from gateway.store.port import Row, Tx

log = logging.getLogger("gateway.messages")

#: The receiver's id in the feed.
RECEIVER = "messages"
OUTCOMES = Counter("gateway_messages", "Messages to members, by how they ended", ("outcome",))
_EVENTS = frozenset(EVENTS)


class About(NamedTuple):
    """What an event is about: the saga, what it is a refund or release of (else itself), and where to write to."""

    saga: Saga
    order: Saga
    language: str


class Taking:
    """Takes events for all merchants. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, tx: Tx, events: list[Row]) -> Callable[[], None]:
        """Add the messages that these events make; what to count once they stand."""
        skipped = 0
        for event in events:
            merchant = self._engine.runtime.merchants.get(event["merchant"])
            if event["type"] in _EVENTS and merchant is not None and merchant.messages.on:
                skipped += self._taken(tx, merchant, event)
        return lambda: OUTCOMES.labels("skipped").inc(skipped)

    def _taken(self, tx: Tx, merchant: Merchant, event: Row) -> int:
        """The same as ``_take``; a fault of ours with one event must not keep the others from being taken."""
        try:
            return self._take(tx, merchant, event)
        except StorageError:
            raise
        except Exception:
            log.exception("an event made no message", extra={"merchant": merchant.id, "subject": event["id"]})
            return 0

    def _take(self, tx: Tx, merchant: Merchant, event: Row) -> int:
        """Add an event's messages; how many it does not make, because nobody is known to send them to."""
        now, expires = self._engine.clock.now(), event["occurred"] + int(merchant.messages.expire_s * 1000)
        found = about(tx, merchant, event["subject"]) if now < expires else None
        if found is None:
            return 0
        rules = merchant.messages.about(event["type"], found.order.store_id)
        if "to" not in found.order.doc:
            return len(rules)
        for rule in rules:
            connection = next(iter(merchant.matching("messages", store_id=found.order.store_id)), "")
            row = {name: event[name] for name in ("merchant", "type", "subject", "occurred")}
            row |= {"key": self._engine.ids.new(), "event": event["id"], "template": rule.template, "now": now}
            messages.insert(tx, {**row, "connection": connection, "expires": expires})
        return 0


def about(tx: Tx, merchant: Merchant, subject: str) -> About | None:
    """What an event's subject is; ``None``: it is not there any more, because nothing of it was ever sent."""
    row = journal.saga(tx, subject)
    if row is None or row["merchant"] != merchant.id:
        return None
    saga = saga_from(row)
    parent = journal.saga(tx, saga.parent) if saga.parent else None
    order = saga if parent is None else saga_from(parent)
    return About(saga, order, order.doc.get("to", {}).get("language") or merchant.messages.language)
