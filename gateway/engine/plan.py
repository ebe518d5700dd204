"""Plans the legs of a checkout from what each adapter can do: which connection, which hooks, in which phase.

What a system lacks, the gateway's own ledger stands in for: a soft hold where nothing can be reserved, a lock on a code
that can only be redeemed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from gateway.domain.coupons import Coupon
from gateway.domain.payments import Method
from gateway.engine.drawing import drawing_legs
from gateway.engine.limits import use_legs
from gateway.engine.model import Json, Leg, Phase
from gateway.engine.own import OWN
from gateway.engine.parts import REPRICED, part_of, which
from gateway.engine.priced import Priced
from gateway.engine.problems import Problem, invalid
from gateway.engine.reading import Reading
from gateway.runtime import Connection

#: Tenders that a channel of the payments family takes.
EXTERNAL = frozenset({Method.PAYMENT_CODE, Method.QR_CODE, Method.BANK_CARD})
#: Tenders that no leg of their own takes: the till books them. (The house holds what is put on account.)
AT_THE_TILL = frozenset({Method.CASH, Method.ON_ACCOUNT})


class Planner:
    """Plans one checkout. ``now`` (milliseconds) is a time before anything was read: what we use since counts."""

    def __init__(self, reading: Reading, priced: Priced, now: int) -> None:
        self.reading, self.priced, self.now = reading, priced, now
        self.merchant_id = priced.merchant.id
        self.legs: list[Leg] = []
        self.tenders: list[Json] = []

    def plan(self) -> None:
        """Fill ``legs`` and ``tenders``, in the order of the quote's tenders."""
        self._goods()
        self._slots()
        self._bills()
        self._coupons()
        self._uses()
        self._points()
        for asked, quoted in zip(self.priced.tenders, self.priced.quote["tenders"], strict=True):
            if quoted["amount"] > 0:
                self.add_tender(asked, quoted)
        self._post()
        self._earn()
        self._rewards()

    def _add(self, name: str, connection: Connection | None, hooks: dict[Phase, str], params: Json) -> Leg:
        own = connection is None
        part = part_of(name)
        if part and part not in REPRICED and self.priced.merchant.policy.when(part) == "without":
            params = {**params, "when_down": "without"}
        leg = Leg(
            name,
            OWN if own or connection is None else connection.name,
            OWN if own or connection is None else connection.adapter_name,
            {str(phase): hook for phase, hook in hooks.items()},
            params,
        )
        self.legs.append(leg)
        return leg

    def _absent(self, connection: Connection | None, name: str) -> bool:
        """Whether this leg is left out because its system is known to be down, and the merchant can do without it.

        Raises ``adapter-unavailable`` where it can not, before anything is held.
        """
        if connection is None or connection.embedded or not connection.down:
            return False
        part = part_of(name)
        choice = self.priced.merchant.policy.when(part)
        if choice == "defer":
            return False
        if choice == "block" or part in REPRICED:
            detail = f"{connection.name} ({connection.adapter_name}) is down; nothing was sent and nothing is held"
            raise Problem("adapter-unavailable", detail, retry_after=5, extra={"leg": name})
        self.priced.leave_out(part, which(name))
        return True

    # --- goods and rooms ---------------------------------------------------------------------------------------------

    def _goods(self) -> None:
        """Hold the goods; lines of one SKU are merged and sorted, so that two checkouts never wait crosswise."""
        wanted: dict[tuple[str, str], Decimal] = {}
        for line in self.priced.lines:
            if line.get("stocked", True) and line.get("sku"):
                place = (line["sku"], line.get("counter_id", ""))
                wanted[place] = wanted.get(place, Decimal(0)) + Decimal(line["quantity"])
        connection = self.reading.stock(self.priced.store_id)
        if not wanted or connection is None or self._absent(connection, "stock"):
            return
        items = [
            {"sku": sku, "quantity": str(quantity), "counter_id": counter}
            for (sku, counter), quantity in sorted(wanted.items())
        ]
        if connection.has("stock_reserve"):
            hooks = {Phase.HOLD: "stock_reserve", Phase.SETTLE: "stock_confirm"}
            self._add("stock", connection, hooks, {"items": items, "store_id": self.priced.store_id})
            return
        limits = self._limits_or_none(connection, [item["sku"] for item in items])
        if limits:
            params = {"items": items, "store_id": self.priced.store_id, "limits": limits}
            self._add("stock", None, {Phase.HOLD: "stock_reserve", Phase.SETTLE: "stock_confirm"}, params)

    def _limits_or_none(self, connection: Connection, skus: list[str]) -> Json:
        """The limits; none where the merchant sells without them while nobody tells them."""
        try:
            return self._limits(connection, skus)
        except Problem:
            if self.priced.merchant.policy.when("stock") != "without":
                raise
            self.priced.leave_out("stock")
            return {}

    def _limits(self, connection: Connection, skus: list[str]) -> Json:
        """What may be promised of each SKU, in thousandths, as the far system said, and when it said it."""
        levels = self.reading.levels(connection, self.priced.store_id, skus)
        return {
            sku: {"available": int(level.available * 1000), "as_of": int(level.as_of.timestamp() * 1000)}
            for sku, level in levels.items()
        }

    def _slots(self) -> None:
        """Hold each room over its window, and open or extend the session once it is paid."""
        till = self.reading.orders(self.priced.store_id)
        for line_id, slot in self.priced.slots.items():
            connection = self.reading.stock(self.priced.store_id)
            far = connection if connection is not None and connection.has("stock_reserve") else None
            params = {"slots": [slot], "store_id": self.priced.store_id}
            hooks = {Phase.HOLD: "stock_reserve", Phase.SETTLE: "stock_confirm"}
            self._absent(far, f"slot:{line_id}")
            self._add(f"slot:{line_id}", far, hooks, params)
            if till is None:
                continue
            self._absent(till, f"session:{line_id}")
            if slot["extends"]:
                hooks = {Phase.SETTLE: "session_extend"}
                self._add(f"session:{line_id}", till, hooks, {**slot, "session_id": slot["extends"]})
            elif till.has("session_open"):
                self._add(f"session:{line_id}", till, {Phase.SETTLE: "session_open"}, dict(slot))

    def _bills(self) -> None:
        """Freeze the till's bills while they are paid, where the till can."""
        till = self.priced.bill_connection
        if till is not None and self.priced.bills and till.has("bill_hold") and not self._absent(till, "bill"):
            self._add("bill", till, {Phase.HOLD: "bill_hold"}, {"bills": self._bill_refs()})

    def _bill_refs(self) -> list[Json]:
        return [{"bill_id": bill.bill_id, "version": bill.version} for bill in self.priced.bills]

    # --- benefits ----------------------------------------------------------------------------------------------------

    def _coupons(self) -> None:
        for applied in self.priced.quote["applied"]:
            if applied.get("kind") == "coupon" and applied["id"] in self.priced.coupons:
                coupon, connection = self.priced.coupons[applied["id"]]
                self._code(f"coupon:{coupon.code}", coupon, connection, 1, applied["amount"], {})

    def _code(self, name: str, coupon: Coupon, connection: Connection, count: int, amount: int, more: Json) -> Leg:
        """Hold and use a code; one that can only be redeemed is locked here until it is."""
        self._absent(connection, name)
        params = {"code": coupon.code, "count": count, "worth_amount": amount, **more}
        if connection.has("coupon_reserve"):
            hooks = {Phase.HOLD: "coupon_reserve", Phase.SETTLE: "coupon_confirm"}
            return self._add(name, connection, hooks, params)
        lock = {"available": coupon.counts.available, "as_of": self.now, "store_id": "", "lock_of": name, **params}
        self._add(f"lock:{name}", None, {Phase.HOLD: "coupon_reserve", Phase.SETTLE: "coupon_confirm"}, lock)
        return self._add(name, connection, {Phase.SETTLE: "coupon_redeem"}, params)

    def _uses(self) -> None:
        """Count what is used of campaigns with limits or a budget."""
        priced = self.priced
        for name, hooks, params in use_legs(priced.quote, priced.campaigns, priced.document, priced.member_id):
            self._add(name, None, hooks, params)

    def _points(self) -> None:
        used = self.priced.quote.get("points") or {}
        if used.get("used") and self.priced.member is not None:
            params = {
                "member_ref": self.priced.member.ref,
                "points": used["used"],
                "worth_amount": used["amount"],
            }
            self._absent(self.priced.member_connection, "points")
            hooks = {Phase.HOLD: "points_reserve", Phase.SETTLE: "points_confirm"}
            self._add("points", self.priced.member_connection, hooks, params)

    # --- tenders -----------------------------------------------------------------------------------------------------

    def add_tender(self, asked: Json, quoted: Json) -> None:
        """Plan one tender of the amount in ``quoted``. Raises ``Problem`` where nobody can take it."""
        method = Method(asked["method"])
        name = f"tender:{asked['id']}"
        channel, leg = "", None
        if method in EXTERNAL:
            channel, leg = self._external(name, method, asked, quoted)
        elif method is Method.STORED_VALUE:
            leg = self._stored_value(name, quoted)
        elif method is Method.DEPOSIT:
            leg = self._deposit(name, asked, quoted)
        elif method is Method.ON_ACCOUNT:
            leg = self._on_account(name, quoted)
        elif method not in AT_THE_TILL:
            coupon, connection = self.priced.coupons[asked["code"]]
            worth = {"tender_id": asked["id"]}
            count = asked.get("count", 1)
            leg = self._code(name, coupon, connection, count, quoted["amount"], worth)
        tender = {
            "id": asked["id"],
            "method": method.value,
            "channel": channel,
            "amount": quoted["amount"],
            "leg": leg.name if leg else "",
        }
        tender |= {name: asked[name] for name in ("code", "count", "held_amount") if name in asked}
        if "income_amount" in quoted:
            tender |= {key: quoted[key] for key in ("income_amount", "non_income_amount", "fee_amount")}
        self.tenders.append(tender)

    def _external(self, name: str, method: Method, asked: Json, quoted: Json) -> tuple[str, Leg]:
        channel = asked.get("channel", "")
        if method is Method.PAYMENT_CODE:
            channel = self.priced.merchant.channel_of(asked["auth_code"]) or ""
            if not channel:
                raise invalid("/tenders", "this is no payment code of a known wallet", "payment-code-unrecognised")
        connection = self.reading.runtime.route(
            self.merchant_id, "payments", method=method, channel=channel, store_id=self.priced.store_id
        )
        if connection is None:
            raise invalid("/tenders", f"this merchant does not take {channel or method.value} here")
        self._absent(connection, name)
        params = {"method": method.value, "channel": channel, "amount": quoted["amount"], "tender_id": asked["id"]}
        leg = self._add(name, connection, {Phase.PAY: "payment_charge"}, params)
        return channel or connection.adapter_name, leg

    def _stored_value(self, name: str, quoted: Json) -> Leg:
        member = self.priced.member
        if member is None:
            raise invalid("/tenders", "stored value is a member's: say which member")
        params = {"account": member.ref, "amount": quoted["amount"], "order": member.value_order.value}
        hooks = {Phase.HOLD: "value_reserve", Phase.SETTLE: "value_confirm"}
        self._absent(self.priced.member_connection, name)
        return self._add(name, self.priced.member_connection, hooks, params)

    def _on_account(self, name: str, quoted: Json) -> Leg | None:
        """Hold it within the customer's limit where the house is the till; another till keeps accounts of its own."""
        till = self.priced.bill_connection or self.reading.orders(self.priced.store_id)
        if till is None or not till.embedded or not till.has("value_reserve"):
            return None
        if self.priced.member is None:
            raise invalid("/tenders", "an account is a member's: say which member")
        params = {"account": f"account/{self.priced.member.ref}", "amount": quoted["amount"]}
        return self._add(name, till, {Phase.HOLD: "value_reserve", Phase.SETTLE: "value_confirm"}, params)

    def _deposit(self, name: str, asked: Json, quoted: Json) -> Leg:
        deposit, ops = self.priced.deposits[asked["deposit_id"]]
        legs = drawing_legs(name, asked["id"], deposit, ops, quoted["amount"])
        self.legs.extend(legs)
        return legs[-1]

    # --- afterwards --------------------------------------------------------------------------------------------------

    def _post(self) -> None:
        till = self.priced.bill_connection or self.reading.orders(self.priced.store_id)
        if till is not None and till.has("order_post") and not self._absent(till, "order"):
            self._add("order", till, {Phase.POST: "order_post"}, {"bills": self._bill_refs()})

    def _earn(self) -> None:
        earned = (self.priced.quote.get("points") or {}).get("earned", 0)
        connection = self.priced.member_connection
        if earned and self.priced.member is not None and connection is not None and connection.has("points_earn"):
            if self._absent(connection, "earn"):
                return
            basis = self.priced.quote["payable_amount"]
            params = {"member_ref": self.priced.member.ref, "points": earned, "basis_amount": basis}
            self._add("earn", connection, {Phase.REWARD: "points_earn"}, params)

    def _rewards(self) -> None:
        for reward in self.priced.quote.get("rewards", ()):
            connection = self.reading.runtime.route(
                self.merchant_id, "coupons", store_id=self.priced.store_id, kind="red_envelope"
            )
            if connection is None or not connection.has("reward_send"):
                raise Problem("adapter-unavailable", f"no connection can give the reward {reward['id']}")
            if self._absent(connection, f"reward:{reward['id']}"):
                continue
            params: dict[str, Any] = {
                "kind": reward["kind"],
                "worth_amount": reward["amount"],
                "template": reward["id"],
                "member_ref": self.priced.member.ref if self.priced.member else "",
            }
            self._add(f"reward:{reward['id']}", connection, {Phase.REWARD: "reward_send"}, params)
