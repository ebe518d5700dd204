"""Random checkouts: which legs, on systems of which profile, paid by which tenders."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.engine.deposits import PAY_WITHIN
from gateway.engine.drawing import drawing_legs
from gateway.engine.model import Json, Kind, Leg, Op, Phase, Saga, State
from gateway.engine.own import OWN
from gateway.engine.records import original_of
from gateway.engine.requests import tenders_of

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
    #: How likely a tender is a deposit, a bill is split over several payers; how many deposits are paid.
    drawing: float = 0.0
    splitting: float = 0.0
    deposits: int = 0
    #: Codes that others use too; which of them this world's checkouts bring (none: one code for all).
    codes: tuple[str, ...] = ()
    coupon_redeems: bool = False


#: A deposit that can be drawn on: it, its operations, and what is left of it (minor units).
Held = tuple[Saga, Sequence[Op], int]


class Planner:
    """Makes checkouts for one world."""

    def __init__(self, shop: Shop, rng: random.Random, more: random.Random | None = None) -> None:
        """``more`` draws what was added to the world later: so a seed without it is the world that it always was."""
        self.shop, self.rng, self.more = shop, rng, more or random.Random(0)
        self.deposits: list[Held] = []
        self.authorising: set[str] = set()
        self.notes_deposits = False

    def checkout(self, number: str, saga_id: str, now: int) -> Saga:
        rng = self.rng
        legs: list[Leg] = []
        tenders: list[Json] = []
        amount = rng.randrange(100, 10_000)
        if rng.random() < 0.8:
            legs.append(self._leg("stock", self.shop.stock, _HOLD["stock"], {"items": [_ITEM]}))
        if rng.random() < 0.4:
            self._coupon(legs)
        if rng.random() < 0.3:
            params = {"member_ref": "m1", "points": 10, "worth_amount": 10}
            legs.append(self._leg("points", self.shop.points, _HOLD["points"], params))
        if self.shop.uses_most and rng.random() < 0.7:
            legs.append(self._campaign_use())
        for index in range(rng.choice((1, 1, 1, 2))):
            share = amount if index else (amount if rng.random() < 0.7 else amount // 2)
            if self.more.random() < self.shop.splitting:
                share = self.more.randrange(1, share) if share > 1 else share
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

    def _coupon(self, legs: list[Leg]) -> None:
        """A coupon that lowers the price: held at its system, or locked here where that can only redeem."""
        code = self.more.choice(self.shop.codes) if self.shop.codes else "C"
        name = f"coupon:{code}"
        if not self.shop.coupon_redeems:
            return legs.append(self._leg(name, self.shop.coupon, _HOLD["coupon"], _code(code)))
        legs.append(self._lock(name, code))
        return legs.append(self._leg(name, self.shop.coupon, {Phase.SETTLE: "coupon_redeem"}, _code(code)))

    def _lock(self, name: str, code: str) -> Leg:
        lock = {**_code(code), "available": 1, "as_of": 0, "store_id": "", "lock_of": name}
        return self._leg(f"lock:{name}", OWN, _HOLD["coupon"], lock)

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
        held = self.more.choice(self.deposits) if self.deposits and self.more.random() < self.shop.drawing else None
        if held is not None and held[2] >= amount:
            kind = "deposit"
            legs.extend(drawing_legs(name, tender_id, held[0], held[1], amount))
        elif kind == "payment":
            params = {"method": "bank_card", "channel": "x", "amount": amount, "tender_id": tender_id}
            connection = self.rng.choice(self.shop.payments)
            legs.append(self._leg(name, connection, {Phase.PAY: "payment_charge"}, params))
        elif kind == "value":
            legs.append(self._leg(name, self.shop.value, _HOLD["value"], {"account": "m1", "amount": amount}))
        elif kind == "voucher":
            code = f"V{self.rng.randrange(self.shop.coupon_codes)}"
            legs.append(self._lock(name, code))
            params = {**_code(code), "worth_amount": amount}
            legs.append(self._leg(name, self.shop.voucher, {Phase.SETTLE: "coupon_redeem"}, params))
        tender = {"id": tender_id, "method": _METHODS[kind], "channel": "", "amount": amount}
        tenders.append({**tender, "leg": "" if kind == "cash" else name})

    def deposit(self, saga_id: str, number: str, now: int) -> Saga:
        """Money held for a room, or taken where the channel can't hold it; noted in the till if that can."""
        amount, connection = self.more.randrange(1_000, 20_000), self.more.choice(self.shop.payments)
        hook = "payment_authorize" if connection in self.authorising else "payment_charge"
        params = {"method": "bank_card", "channel": "x", "amount": amount, "tender_id": "t1"}
        legs = [self._leg("tender:t1", connection, {Phase.PAY: hook}, params)]
        if self.notes_deposits:
            legs.append(self._leg("deposit", self.shop.till, {Phase.POST: "deposit_post"}, {"worth_amount": amount}))
        tender = {"id": "t1", "method": "bank_card", "channel": "x", "amount": amount, "leg": "tender:t1"}
        doc: Json = {"site": SITE, "currency": "CNY", "tenders": [tender], "legs": [leg.to_json() for leg in legs]}
        return saga_of(Kind.DEPOSIT, saga_id, number, doc, amount, now, State.RESERVING, PAY_WITHIN)

    @staticmethod
    def _leg(name: str, connection: str, hooks: dict[Phase, str], params: Json) -> Leg:
        return Leg(name, connection, connection, {phase.value: hook for phase, hook in hooks.items()}, params)


_METHODS = {"payment": "bank_card", "value": "stored_value", "voucher": "voucher", "cash": "cash", "deposit": "deposit"}
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


def refund_of(
    parent: Saga, ops: list[Op], saga_id: str, number: str, amount: int, now: int, more: random.Random | None = None
) -> Saga | None:
    """A refund of part of what an external tender took (the first one; with ``more`` any, or what value or a deposit
    paid)."""
    by_leg = {leg.name: leg for leg in parent.legs()}
    paid = {tender["leg"] for tender in tenders_of(parent)}
    taken = [op for op in ops if op.hook in _PAID and op.state == "ok" and op.leg in paid]
    if more is None:
        taken = [op for op in taken if op.hook == "payment_charge"][:1]
    if not taken:
        return None
    charge = taken[0] if more is None else more.choice(taken)
    source = by_leg[charge.leg]
    amount = min(amount, source.params["amount"])
    params = {**source.params, "amount": amount, "charged_amount": source.params["amount"], "held_by": parent.id}
    hooks = {"pay": _PAID[charge.hook]}
    params["original"] = original_of(charge)
    legs = [Leg(f"refund:{source.name}", source.connection, source.adapter, hooks, params)]
    order = by_leg.get("order")
    if order is not None and order.name not in parent.without():
        posted = next((op for op in ops if op.hook == "order_post" and op.state == "ok"), None)
        back: Json = {"order_no": parent.number, "worth_amount": amount, "after_sale": posted is None}
        back |= {"original": original_of(posted)} if posted is not None else {}
        back |= {"whole": False, "lines": [], "tenders": [], "bills": []}
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


#: What a tender was paid by, and what gives it back.
_PAID = {
    "payment_charge": "payment_refund",
    "payment_capture": "payment_refund",
    "value_reserve": "value_return",
}
