"""Deposits: money held for a room or a booking, drawn on by checkouts, the rest given back.

Where the channel can hold money without taking it, it is authorised; else it is taken and what is left is refunded.
"""

from __future__ import annotations

from contextlib import suppress

from gateway.domain.common import Secret
from gateway.domain.membership import IdentityType
from gateway.engine.basket import business_date
from gateway.engine.model import Json, Kind, Leg, Op, OpState, Phase, Saga, State
from gateway.engine.plan import Planner
from gateway.engine.priced import Priced
from gateway.engine.problems import Problem, invalid
from gateway.engine.records import original_of
from gateway.engine.replies import Reply
from gateway.engine.seams import Secrets
from gateway.engine.service import Asked, Engine
from gateway.engine.views import deposit_view
from gateway.runtime import Merchant
from gateway.store import holds as holds_sql
from gateway.store.port import Tx

#: How long a customer has to pay a deposit, in milliseconds.
PAY_WITHIN = 5 * 60 * 1000


class Deposits:
    """Takes deposits and lets them go."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def create(self, asked: Asked, request: Json) -> Reply:
        """Hold ``amount`` by one tender, and note it in the till."""
        stored = self.engine.stored(asked)
        if stored is not None:
            return stored
        merchant, secrets = self.engine.merchant(asked.merchant), Secrets()
        store = merchant.stores.get(request["store_id"])
        if store is None:
            raise invalid("/store_id", "this merchant has no such store")
        tender = {**request["tender"], "id": "t1"}
        site = {
            "store_id": store.id,
            "business_date": business_date(merchant, self.engine.now()).isoformat(),
            **(request.get("operator") or {}),
        }
        legs, tenders = self._plan(Priced(merchant, store.id, site, {}), tender, request)
        if tender.get("auth_code"):
            secrets.codes["tender:t1"] = Secret(tender["auth_code"])
        doc: Json = {
            "site": site,
            "currency": merchant.currency,
            "subject": f"{store.name} 押金",
            **self._written_to(merchant, store.id, request.get("member")),
            "session_id": request.get("session_id", ""),
            "resource_id": request.get("resource_id", ""),
            "tenders": tenders,
            "legs": [leg.to_json() for leg in legs],
        }
        number = request.get("deposit_no") or f"D{self.engine.ids.new()}"
        saga = self.engine.new_saga(
            Kind.DEPOSIT, merchant.id, store.id, number, doc, request["amount"], State.RESERVING, PAY_WITHIN
        )
        return self.engine.start(asked, saga, secrets)

    def _written_to(self, merchant: Merchant, store_id: str, identity: dict[str, str] | None) -> Json:
        """Where the member can be written to, if that can be found out now: no deposit waits for a message."""
        found = None
        if identity is not None and merchant.messages.on and identity["type"] != IdentityType.OPENID:
            with suppress(Problem):
                found = self.engine.reading(merchant.id).member(identity, store_id)
        return self.engine.addresses.kept(merchant, identity, found[0] if found is not None else None)

    def _plan(self, priced: Priced, tender: Json, request: Json) -> tuple[list[Leg], list[Json]]:
        reading = self.engine.reading(priced.merchant.id)
        planner = Planner(reading, priced, self.engine.clock.now())
        if tender["method"] not in ("payment_code", "qr_code", "bank_card", "cash"):
            raise invalid("/tender/method", "a deposit is paid by a wallet, a card or cash")
        planner.add_tender(tender, {"amount": request["amount"]})
        legs = [self._authorizing(leg, priced) for leg in planner.legs]
        till = reading.orders(priced.store_id)
        if till is not None and till.has("deposit_post"):
            params = {name: request[name] for name in ("session_id", "resource_id") if request.get(name)}
            params["worth_amount"] = request["amount"]
            legs.append(Leg("deposit", till.name, till.adapter_name, {Phase.POST.value: "deposit_post"}, params))
        return legs, planner.tenders

    def _authorizing(self, leg: Leg, priced: Priced) -> Leg:
        """Hold the money where the channel can."""
        if self.engine.caller.far(priced.merchant.id, leg.connection).has("payment_authorize"):
            return Leg(leg.name, leg.connection, leg.adapter, {Phase.PAY.value: "payment_authorize"}, leg.params)
        return leg

    def release(self, asked: Asked, deposit_id: str) -> Reply:
        """Give back what no checkout has drawn on."""
        stored = self.engine.stored(asked)
        if stored is not None:
            return stored
        parent, ops = self.engine.load(asked.merchant, Kind.DEPOSIT, deposit_id)
        if parent.state is not State.COMPLETED:
            raise Problem("invalid-state", f"a deposit that is {parent.state} has nothing to release")
        used = self.used(asked.merchant, deposit_id)
        left = parent.amount - parent.refunded - used
        if left <= 0:
            raise Problem("invalid-state", "nothing of this deposit is held any more")
        doc: Json = {
            "site": parent.doc["site"],
            "currency": parent.doc["currency"],
            "reason": "deposit released",
            "tenders": [],
            "gives_back": {"amount": left},
            "legs": [leg.to_json() for leg in self._release_legs(parent, ops, left, used)],
        }
        number = f"{parent.number}-R{parent.refunded}"
        saga = self.engine.new_saga(
            Kind.RELEASE, parent.merchant, parent.store_id, number, doc, left, State.PAYING, 0, parent.id
        )
        return self.engine.start(asked, saga, Secrets(), lambda tx, _: self._take(tx, parent, left, used))

    def _take(self, tx: Tx, parent: Saga, left: int, used: int) -> None:
        """Count the release; a checkout that drew on the deposit meanwhile makes this stale."""
        tx.lock(f"hold:{parent.merchant}:deposit::{parent.id}")
        now_used = holds_sql.taken(tx, parent.merchant, "deposit", "", parent.id, 0)
        sql = "UPDATE sagas SET refunded_amount = refunded_amount + :amount WHERE id = :id AND refunded_amount = :seen"
        counted = tx.execute(sql, {"amount": left, "id": parent.id, "seen": parent.refunded})
        if counted != 1 or now_used != used:
            raise Problem("request-in-progress", "the deposit has just been drawn on or released", retry_after=1)

    def _release_legs(self, parent: Saga, ops: list[Op], left: int, used: int) -> list[Leg]:
        legs = []
        for leg in parent.legs():
            op = next((op for op in ops if op.leg == leg.name and op.state is OpState.OK), None)
            if op is None:
                continue
            params = {**leg.params, "original": original_of(op)}
            if op.hook in ("payment_authorize", "payment_charge"):
                hook = "payment_release" if op.hook == "payment_authorize" else "payment_refund"
                params |= {"amount": left, "charged_amount": parent.amount}
                legs.append(Leg(f"release:{leg.name}", leg.connection, leg.adapter, {Phase.PAY.value: hook}, params))
            elif op.hook == "deposit_post":
                params |= {"worth_amount": left, "used_amount": used}
                legs.append(Leg("deposit", leg.connection, leg.adapter, {Phase.POST.value: "deposit_void"}, params))
        return legs

    def used(self, merchant_id: str, deposit_id: str) -> int:
        """What checkouts have drawn on a deposit or hold of it, in minor units."""
        return self.engine.journal.read(lambda tx: holds_sql.taken(tx, merchant_id, "deposit", "", deposit_id, 0))

    def get(self, merchant_id: str, deposit_id: str) -> Json:
        """One deposit as it stands."""
        saga, ops = self.engine.load(merchant_id, Kind.DEPOSIT, deposit_id)
        return deposit_view(saga, ops, self.used(merchant_id, deposit_id))
