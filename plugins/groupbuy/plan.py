"""What a redemption is about to do, kept durably under its key before the verify is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.sdk import KeyValue
from plugins.groupbuy.mapping import package_sku
from plugins.groupbuy.protocol import Certificate, Deal, Prepared

REVERSIBLE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The verify token, the certificates chosen for it and what they are worth (fen).

    ``spent`` says that the token can redeem nothing any more: another attempt prepares again.
    """

    key: str
    verify_token: str
    order_id: str
    poi_id: str
    encrypted_codes: tuple[str, ...]
    certificate_ids: tuple[str, ...]
    sku_id: str
    third_sku_id: str
    face_amount: int
    sold_amount: int
    prepared_at: str
    spent: bool = False

    @property
    def at(self) -> datetime:
        """When it was prepared."""
        return datetime.fromisoformat(self.prepared_at)

    def facts(self, packages: Mapping[str, str]) -> dict[str, Any]:
        """What the undo and the settlement need to know of the redemption."""
        deal = Deal(self.sku_id, "", 0, self.third_sku_id)
        return {
            "certificate_ids": list(self.certificate_ids),
            "verify_token": self.verify_token,
            "count": len(self.certificate_ids),
            "face_amount": self.face_amount,
            "sold_amount": self.sold_amount,
            "deal_id": self.sku_id,
            "package_sku": package_sku(deal, packages),
            "reversible_until": (self.at + REVERSIBLE).isoformat(),
        }


class Plans:
    """The plans of a connection, in its own durable store."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store

    def choose(self, key: str, prepared: Prepared, chosen: Sequence[Certificate], poi_id: str, now: datetime) -> Plan:
        """A plan for these certificates; durable when this returns."""
        plan = Plan(
            key=key,
            verify_token=prepared.verify_token,
            order_id=prepared.order_id,
            poi_id=poi_id,
            encrypted_codes=tuple(item.encrypted_code for item in chosen),
            certificate_ids=tuple(item.certificate_id for item in chosen),
            sku_id=chosen[0].deal.sku_id,
            third_sku_id=chosen[0].deal.third_sku_id,
            face_amount=sum(item.amounts.original for item in chosen),
            sold_amount=sum(item.amounts.sold for item in chosen),
            prepared_at=now.isoformat(),
        )
        self._keep(plan)
        return plan

    def load(self, key: str) -> Plan | None:
        """The plan kept under this key."""
        kept = self._store.get(f"redeem/{key}")
        if not kept:
            return None
        codes, ids = tuple(kept["encrypted_codes"]), tuple(kept["certificate_ids"])
        return Plan(**(kept | {"encrypted_codes": codes, "certificate_ids": ids}))

    def spend(self, plan: Plan) -> None:
        """Note that the plan's token can redeem nothing any more."""
        self._keep(replace(plan, spent=True))

    def forget(self, key: str) -> None:
        """Drop the plan of a redemption that was taken back."""
        self._store.delete(f"redeem/{key}")

    def _keep(self, plan: Plan) -> None:
        self._store.put(f"redeem/{plan.key}", asdict(plan))
