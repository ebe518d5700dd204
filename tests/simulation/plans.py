"""Random checkouts: which legs, on systems of which profile, paid by which tenders."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from gateway.engine.model import Json, Kind, Leg, Phase, Saga, State
from gateway.engine.own import OWN

MERCHANT, STORE = "m", "s"
SITE = {"store_id": STORE, "business_date": "2026-06-01"}


@dataclass(frozen=True, slots=True)
class Shop:
    """The connections of one world's merchant, by role."""

    payments: tuple[str, ...]
    stock: str
    coupon: str
    voucher: str
    points: str
    value: str
    till: str
    coupon_codes: int
    expires_s: int
    #: What the merchant's policy says, as a checkout keeps it; the parts that it can do without; its campaign's limit.
    policy: Json = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    uses_most: int = 0


class Planner:
    """Makes checkouts for one world."""

    def __init__(self, shop: Shop, rng: random.Random) -> None:
        self.shop, self.rng = shop, rng

    def checkout(self, number: str, saga_id: str, now: int) -> Saga:
        rng = self.rng
        legs: list[Leg] = []
        tenders: list[Json] = []
        amount = rng.randrange(100, 10_000)
        if rng.random() < 0.8:
            legs.append(self._leg("stock", self.shop.stock, _HOLD["stock"], {"items": [_ITEM]}))
        if rng.random() < 0.4:
            legs.append(self._leg("coupon:C", self.shop.coupon, _HOLD["coupon"], _code("C")))
        if rng.random() < 0.3:
            params = {"member_ref": "m1", "points": 10, "worth_amount": 10}
            legs.append(self._leg("points", self.shop.points, _HOLD["points"], params))
        if self.shop.uses_most and rng.random() < 0.7:
            legs.append(self._campaign_use())
        for index in range(rng.choice((1, 1, 1, 2))):
            share = amount if index else (amount if rng.random() < 0.7 else amount // 2)
            share = min(share, amount - sum(tender["amount"] for tender in tenders))
            if share:
                self.tender(f"t{index + 1}", share, legs, tenders)
        left = amount - sum(tender["amount"] for tender in tenders)
        patient = left > 0 or rng.random() < 0.3
        if rng.random() < 0.8:
            legs.append(self._leg("order", self.shop.till, {Phase.POST: "order_post"}, {"bills": []}))
        if rng.random() < 0.3:
            params = {"member_ref": "m1", "points": 5, "basis_amount": amount}
            legs.append(self._leg("earn", self.shop.points, {Phase.REWARD: "points_earn"}, params))
        doc: Json = {
            "site": SITE,
            "currency": "CNY",
            "on_decline": "await_tender" if patient else "release",
            "quote": quote_of(amount),
            "lines": [],
            "tenders": tenders,
            "policy": self.shop.policy,
            "legs": [self._may_be_missing(leg).to_json() for leg in legs],
        }
        return saga_of(Kind.CHECKOUT, saga_id, number, doc, amount, now, State.RESERVING, self.shop.expires_s * 1000)

    def _may_be_missing(self, leg: Leg) -> Leg:
        """The leg, marked if the merchant sells without it while its system is down."""
        if leg.name.partition(":")[0] not in self.shop.without:
            return leg
        return leg._replace(params={**leg.params, "when_down": "without"})

    def _campaign_use(self) -> Leg:
        """One use of a campaign that has a limit and a budget: counted in the gateway's own books."""
        params: Json = {**_code("CAMP"), "campaign": "CAMP", "version": "1", "member": "m1", "times": 1}
        params |= {"business_date": SITE["business_date"], "worth_amount": 5, "benefits": [["campaign", "CAMP"]]}
        params["limits"] = {"total": self.shop.uses_most, "budget_amount": 5 * self.shop.uses_most}
        return self._leg("use:CAMP", OWN, _HOLD["coupon"], params)

    def tender(self, tender_id: str, amount: int, legs: list[Leg], tenders: list[Json]) -> None:
        """One tender more: a wallet or card mostly; stored value, a voucher that is locked here, cash."""
        kind = self.rng.choices(("payment", "value", "voucher", "cash"), (7, 2, 1, 0.5))[0]
        name = f"tender:{tender_id}"
        if kind == "payment":
            params = {"method": "bank_card", "channel": "x", "amount": amount, "tender_id": tender_id}
            connection = self.rng.choice(self.shop.payments)
            legs.append(self._leg(name, connection, {Phase.PAY: "payment_charge"}, params))
        elif kind == "value":
            legs.append(self._leg(name, self.shop.value, _HOLD["value"], {"account": "m1", "amount": amount}))
        elif kind == "voucher":
            code = f"V{self.rng.randrange(self.shop.coupon_codes)}"
            lock = {**_code(code), "available": 1, "as_of": 0, "store_id": "", "lock_of": name}
            legs.append(self._leg(f"lock:{name}", OWN, _HOLD["coupon"], lock))
            params = {**_code(code), "worth_amount": amount}
            legs.append(self._leg(name, self.shop.voucher, {Phase.SETTLE: "coupon_redeem"}, params))
        tender = {"id": tender_id, "method": _METHODS[kind], "channel": "", "amount": amount}
        tenders.append({**tender, "leg": "" if kind == "cash" else name})

    @staticmethod
    def _leg(name: str, connection: str, hooks: dict[Phase, str], params: Json) -> Leg:
        return Leg(name, connection, connection, {phase.value: hook for phase, hook in hooks.items()}, params)


_METHODS = {"payment": "bank_card", "value": "stored_value", "voucher": "voucher", "cash": "cash"}
_ITEM = {"sku": "A", "quantity": "1"}
_HOLD = {
    family: {Phase.HOLD: f"{family}_reserve", Phase.SETTLE: f"{family}_confirm"}
    for family in ("stock", "coupon", "points", "value")
}


def _code(code: str) -> Json:
    return {"code": code, "count": 1, "worth_amount": 1}


def quote_of(amount: int) -> Json:
    return {
        "gross_amount": amount,
        "discount_amount": 0,
        "payable_amount": amount,
        "fees": [],
        "splits": [],
        "settlement": [],
        "points": {},
    }


def saga_of(
    kind: Kind, saga_id: str, number: str, doc: Json, amount: int, now: int, state: State, lives: int, parent: str = ""
) -> Saga:
    return Saga(
        id=saga_id,
        kind=kind,
        merchant=MERCHANT,
        store_id=STORE,
        number=number,
        parent=parent,
        state=state,
        doc=doc,
        progress={},
        amount=amount,
        created=now,
        updated=now,
        expires_at=now + lives,
    )


def refund_of(parent: Saga, ops: list[Any], saga_id: str, number: str, amount: int, now: int) -> Saga | None:
    """A refund of part of what the first external tender took; all that was used comes back with the rest."""
    from gateway.engine.service import original_of

    by_leg = {leg.name: leg for leg in parent.legs()}
    charge = next((op for op in ops if op.hook == "payment_charge" and op.state == "ok"), None)
    if charge is None:
        return None
    source = by_leg[charge.leg]
    amount = min(amount, source.params["amount"])
    params = {**source.params, "amount": amount, "charged_amount": source.params["amount"]}
    hooks = {"pay": "payment_refund"}
    params["original"] = original_of(charge)
    legs = [Leg(f"refund:{source.name}", source.connection, source.adapter, hooks, params)]
    posted = next((op for op in ops if op.hook == "order_post" and op.state == "ok"), None)
    if posted is not None:
        back: Json = {"original": original_of(posted), "order_no": parent.number, "worth_amount": amount}
        back |= {"whole": False, "lines": [], "tenders": [], "bills": []}
        order = by_leg["order"]
        legs.append(Leg("order", order.connection, order.adapter, {"post": "order_return"}, back))
    doc: Json = {
        "site": SITE,
        "currency": "CNY",
        "reason": "",
        "gives_back": {"amount": amount},
        "tenders": [],
        "legs": [leg.to_json() for leg in legs],
    }
    return saga_of(Kind.REFUND, saga_id, number, doc, amount, now, State.PAYING, 0, parent.id)
