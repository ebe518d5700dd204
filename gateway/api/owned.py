"""Whether a resource is the merchant's and of a store that the key sees; anything else is absent."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.api.operation import Ask
from gateway.engine.model import Json, Kind
from gateway.engine.problems import Problem

_ID = re.compile(r"[a-z]{3}_[0-9A-Z]{26}\Z")


def need_id(text: str, what: str) -> None:
    """Refuse what cannot be an id. Raises ``not-found``."""
    if _ID.match(text) is None:
        raise Problem("not-found", f"no such {what}")


def need_saga(ask: Ask, kind: Kind, saga_id: str) -> None:
    """See that the key may see this one. Raises ``not-found``. Whose merchant it is, the engine checks."""
    need_id(saga_id, kind.value)
    if ask.key.stores is None:
        return
    saga, _ = ask.parts.engine.load(ask.merchant_id, kind, saga_id)
    if not ask.key.sees_store(saga.store_id):
        raise Problem("not-found", f"no such {kind}")


def need_deposits(ask: Ask, tenders: Sequence[Json]) -> None:
    """See that the key may see every deposit that is to pay. Raises ``not-found``."""
    for tender in tenders:
        if tender["method"] == "deposit":
            need_saga(ask, Kind.DEPOSIT, tender["deposit_id"])
