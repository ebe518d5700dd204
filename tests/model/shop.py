"""The engine in a simulated world, driven step by step: what a walk of the state machine acts on."""

from __future__ import annotations

import heapq
from typing import Any

from gateway.domain.outcomes import Change, Declined, DeclineReason
from gateway.engine.model import Json, Kind, Leg, Phase, Saga, State
from gateway.engine.seams import Effect
from tests.simulation import far as fars
from tests.simulation.far import Charge, FarSystem, hooks_of
from tests.simulation.plans import MERCHANT, SITE, Planner, quote_of, saga_of
from tests.simulation.plans import Shop as Connections
from tests.simulation.store import Memory
from tests.simulation.troubles import NEVER, Mix
from tests.simulation.world import World

#: How long all is given to come to rest, and how long a checkout waits for its next payer (virtual milliseconds).
REST, LIVES = 300_000, 36_000_000


class Wallet(FarSystem):
    """A channel on which one customer pays, who can't spend more than there is."""

    funds = 0

    def balance(self) -> int:
        return self.funds - sum(charge.net for charge in self.charges.values())

    def _payment_charge(self, key: str, request: Any, saga: str, now: int) -> Change:
        if key not in self.charges and request.amount > self.balance():
            self.charges[key] = Charge(request.amount, declined=True, at=now)
            return Declined(reason=DeclineReason.INSUFFICIENT_FUNDS, code="poor")
        return super()._payment_charge(key, request, saga, now)


class ShopWorld(World):
    """A shop on systems that can do everything; its troubles are put in one by one.

    ``trouble`` is what happens to the next message of a hook: ``(hook, kind)``. ``dies`` is after how many steps of any
    worker one dies.
    """

    def __init__(self, db: Memory, stock: int, funds: int) -> None:
        self.scarce, self.funds = stock, funds
        self.trouble: dict[str, str] = {}
        self.dies = 0
        self.wishes: dict[str, tuple[int, int, bool, str]] = {}
        super().__init__(1, db, 0, mix=Mix())
        self.planner = Wished(self)

    def _build_shop(self) -> Connections:
        for role, name in (("stock", "stock"), ("coupon", "coupon"), ("till", "till")):
            self.systems[name] = FarSystem(name, fars.FULL, hooks_of(role, fars.FULL), self.rng)
        self.systems["stock"].free = self.scarce
        self.wallet = Wallet("pay", fars.FULL, hooks_of("payment", fars.FULL), self.rng)
        self.wallet.funds = self.funds
        self.systems["pay"] = self.wallet
        return Connections(("pay",), "stock", "coupon", "", "", "", "till", 1, LIVES // 1000)

    # --- time --------------------------------------------------------------------------------------------------------

    def rest(self, milliseconds: int = REST) -> None:
        """Let time pass; recovery looks a second after something is due."""
        until = self.now_ms + milliseconds
        while True:
            event = self.heap[0][0] if self.heap else NEVER
            look = max(self.next_look, self.now_ms) + 1_000
            if min(event, look) > until:
                break
            if look < event:
                self.now_ms = look
                self.recover()
                continue
            at, _, fn = heapq.heappop(self.heap)
            self.now_ms = max(self.now_ms, at)
            fn()
        self.now_ms = until

    # --- troubles ----------------------------------------------------------------------------------------------------

    def chance(self, trouble: str) -> bool:
        if trouble == "crash" and self.dies:
            self.dies -= 1
            return self.dies == 0
        return self.trouble.get(self.sending) == trouble and bool(self.trouble.pop(self.sending))

    sending = ""

    def _send(self, system: FarSystem, effect: Effect, *rest: Any) -> None:
        self.sending = effect.todo.hook
        super()._send(system, effect, *rest)
        self.sending = ""

    # --- what is seen of it ------------------------------------------------------------------------------------------

    def state(self, number: str) -> str:
        found = self.saga(number)
        return found.state.value if found is not None else "failed"

    def posted(self) -> int:
        return sum(self.systems["till"].posted.values())

    def codes(self) -> set[str]:
        """The codes that are locked or used."""
        return {row["item"] for row in self.db.rows("SELECT item FROM holds WHERE state IN ('held', 'used')")}

    def wish(self, number: str, amount: int, first: int, stock: bool, code: str) -> None:
        """Ask for a checkout, as a platform does."""
        self.wishes[number] = (amount, first, stock, code)
        self.submit(number)

    def give_back(self, number: str, amount: int) -> bool:
        """Ask for a refund; whether it was accepted."""
        before = self._refunds(number)
        parent = self.saga(number)
        if parent is not None and parent.state is State.COMPLETED:
            self.start_refund(parent, amount)
        return self._refunds(number) > before

    def _refunds(self, number: str) -> int:
        rows = self.db.rows(
            "SELECT count(*) AS n FROM sagas r JOIN sagas c ON r.parent = c.id"
            " WHERE c.number = :n AND r.kind = 'refund'",
            n=number,
        )
        return int(rows[0]["n"])


class Wished(Planner):
    """Plans what the walk has asked for."""

    def __init__(self, world: ShopWorld) -> None:
        super().__init__(world.shop, world.rng)
        self.world = world

    def checkout(self, number: str, saga_id: str, now: int) -> Saga:
        amount, first, stock, code = self.world.wishes[number]
        legs: list[Leg] = []
        if stock:
            hooks = {Phase.HOLD: "stock_reserve", Phase.SETTLE: "stock_confirm"}
            legs.append(self._leg("stock", "stock", hooks, {"items": [{"sku": "A", "quantity": "1"}]}))
        if code:
            hooks = {Phase.HOLD: "coupon_reserve", Phase.SETTLE: "coupon_confirm"}
            lock = {"code": code, "count": 1, "worth_amount": 1, "available": 1, "as_of": 0, "store_id": ""}
            legs.append(self._leg(f"coupon:{code}", "gateway", hooks, lock))
        tenders: list[Json] = []
        self.tender("t1", first, legs, tenders)
        legs.append(self._leg("order", "till", {Phase.POST: "order_post"}, {"bills": []}))
        doc: Json = {"site": SITE, "currency": "CNY", "quote": quote_of(amount), "lines": [], "tenders": tenders}
        doc |= {"on_decline": "await_tender" if first < amount else "release", "legs": [leg.to_json() for leg in legs]}
        return saga_of(Kind.CHECKOUT, saga_id, number, doc, amount, now, State.RESERVING, LIVES)

    def tender(self, tender_id: str, amount: int, legs: list[Leg], tenders: list[Json]) -> None:
        name = f"tender:{tender_id}"
        params = {"method": "bank_card", "channel": "x", "amount": amount, "tender_id": tender_id}
        legs.append(self._leg(name, "pay", {Phase.PAY: "payment_charge"}, params))
        tenders.append({"id": tender_id, "method": "bank_card", "channel": "", "amount": amount, "leg": name})


__all__ = ["MERCHANT", "ShopWorld"]
