"""The timeline of a checkout, as evidence for whoever has to explain one."""

from __future__ import annotations

from gateway.api.operation import Ask, operation
from gateway.api.owned import need_saga
from gateway.engine.model import Json, Kind
from gateway.engine.timeline import timeline
from schemas.timeline import Timeline


@operation("GET", "…/checkouts/<checkout_id>/timeline", returns={200: Timeline}, scopes=("checkout:read",))
def read_timeline(ask: Ask) -> Json:
    """Every leg of a checkout, every attempt with the masked messages on the wire, events, cases, what people did."""
    checkout_id = ask.ids["checkout_id"]
    need_saga(ask, Kind.CHECKOUT, checkout_id)
    return timeline(ask.parts.engine.journal, ask.parts.engine.sealer, ask.merchant_id, checkout_id)
