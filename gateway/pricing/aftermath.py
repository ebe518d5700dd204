"""What a refund does beside the money: coupons, points, gifts, vouchers and rewards, settlement, commission."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway.domain.money import format_quantity
from gateway.pricing.kept import Kept, PastStep, Sale, kept_part, policy_of
from gateway.pricing.model import Benefit
from gateway.pricing.payment import points_earned
from gateway.pricing.returned import Returned
from gateway.pricing.settle import MERCHANT, acquirer_fee, commission, fund, settle, shares_of
from gateway.pricing.settle import Sale as LineSale

if TYPE_CHECKING:
    from gateway.pricing.refunds import Refund


class Aftermath:
    """The consequences of one refund, each as the difference to what earlier refunds did."""

    def __init__(self, sale: Sale, before: Returned, refund: "Refund", kept: Kept) -> None:
        self.sale = sale
        self.before = before
        self.refund = refund
        self.kept = kept
        self.over: dict[str, int] = {}
        self.rewards_found = [] if refund.money_only else [self._reward(*pair) for pair in self._issued()]

    def _issued(self) -> list[tuple[PastStep, int]]:
        """Every voucher or reward that was issued, and what is still due on what is kept."""
        return [
            (step, outcome.issued)
            for step, outcome in zip(self.sale.steps, self.kept.outcomes, strict=True)
            if step.issued
        ]

    def _reward(self, step: PastStep, entitled: int) -> dict[str, Any]:
        """Unused vouchers are cancelled and spent ones deducted; a reward is clawed back from its funder."""
        before = self.before
        gone = before.cancelled[step.id] + before.clawed[step.id]
        over = max(0, step.issued - gone - entitled)
        if step.benefit is None or step.benefit.kind == "reward":
            return {"id": step.id, "cancelled_amount": 0, "clawed_back_amount": over}
        unused = max(0, step.issued - self.refund.spent - before.cancelled[step.id])
        cancelled = min(over, unused)
        self.over[step.id] = over - cancelled
        return {"id": step.id, "cancelled_amount": cancelled, "clawed_back_amount": over - cancelled}

    def rewards(self) -> list[dict[str, Any]]:
        return [reward for reward in self.rewards_found if reward["cancelled_amount"] or reward["clawed_back_amount"]]

    def deductions(self, value: int) -> list[dict[str, Any]]:
        """What is kept back: vouchers spent beyond what is due, gifts not brought back; never more than the refund."""
        found: list[dict[str, Any]] = [
            {"id": name, "kind": "rebate_voucher", "amount": amount} for name, amount in self.over.items() if amount
        ]
        for step, lost in self._broken_gifts():
            if not self._gift_is_back(step):
                found.append({"id": step.id, "kind": "gift", "amount": lost})
        kept_back = []
        for deduction in found:
            amount = min(value, deduction["amount"])
            value -= amount
            if deduction["kind"] == "rebate_voucher" and amount < deduction["amount"]:
                self._less_clawed(deduction["id"], deduction["amount"] - amount)
            if amount:
                kept_back.append({**deduction, "amount": amount})
        return kept_back

    def _less_clawed(self, name: str, amount: int) -> None:
        for reward in self.rewards_found:
            if reward["id"] == name:
                reward["clawed_back_amount"] -= amount

    def _gift_is_back(self, step: PastStep) -> bool:
        return self.refund.gift_returned or step.id in self.before.gifts_returned or self._gift_line_is_back(step)

    def _gift_line_is_back(self, step: PastStep) -> bool:
        """A gift may also stand among the lines, at no price, and be returned as one."""
        sku = step.gift[0] if step.gift else None
        places = [i for i, line in enumerate(self.sale.basket.lines) if line.sku == sku and line.gross == 0]
        lines = self.sale.basket.lines
        return bool(places) and all(self.refund.returned[i] == lines[i].quantity for i in places)

    def _broken_gifts(self) -> list[tuple[PastStep, int]]:
        """Gifts that what is kept no longer earns, with what they are worth, less what was deducted before."""
        broken = []
        for step, outcome in zip(self.sale.steps, self.kept.outcomes, strict=True):
            if step.gift is None:
                continue
            _, quantity, value = step.gift
            entitled = outcome.gift.quantity if outcome.gift is not None else 0
            lost = value * (quantity - min(entitled, quantity)) // quantity - self.before.gifts_deducted[step.id]
            if entitled < quantity:
                broken.append((step, lost))
        return broken

    def gifts(self, deductions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What becomes of each gift that is no longer earned."""
        if self.refund.money_only:
            return []
        documents = []
        for step, _ in self._broken_gifts():
            sku, quantity, _ = step.gift or ("", 0, 0)
            status = "returned" if self._gift_is_back(step) else "deducted"
            documents.append({"id": step.id, "sku": sku, "quantity": format_quantity(quantity), "status": status})
        return documents

    def coupons(self, tenders: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Every coupon and voucher of the sale with its state after this refund."""
        documents = []
        for step, outcome in zip(self.sale.steps, self.kept.outcomes, strict=True):
            if step.kind == "coupon" and step.benefit is not None:
                lost = policy_of(step, self.refund.policy) == "recompute" and outcome.reason == "threshold"
                back = not self.refund.money_only and (lost or self._all_back(step))
                documents.append(self._coupon(step.benefit, back))
        vouchers = {coupon.id: coupon for coupon in self.sale.basket.coupons}
        for t, tender in enumerate(self.sale.snapshot["tenders"]):
            if tender["code"] is not None:
                back = self.before.tenders_left[t] == tenders[t]["amount"]
                documents.append(self._coupon(vouchers[tender["code"]], back))
        return documents

    def _all_back(self, step: PastStep) -> bool:
        """Whether the last of the lines it lowered is back; of all lines when it lowered none."""
        lines = self.sale.basket.lines
        places = [i for i, share in step.shares.items() if share] or range(len(lines))
        return all(self.refund.returned[i] == lines[i].quantity for i in places)

    def _coupon(self, coupon: Benefit, back: bool) -> dict[str, Any]:
        status = self.before.coupons.get(coupon.id, "redeemed")
        if status == "redeemed" and back:
            status = "expired" if self._expired(coupon) else "available"
        return {"code": coupon.id, "status": status}

    def _expired(self, coupon: Benefit) -> bool:
        now = self.refund.at or self.sale.basket.at
        if coupon.expires is None or now is None:
            return False
        if isinstance(coupon.expires, datetime):
            return now >= coupon.expires
        return now.date() > coupon.expires

    def points(self, amount: int) -> dict[str, int]:
        """Points spent come back with their lines; points earned follow what is kept."""
        snapshot, before = self.sale.snapshot, self.before
        used, paid = snapshot["points"]["used"], snapshot["points"]["amount"]
        back = 0
        for i, line in enumerate(self.sale.basket.lines):
            back += snapshot["points_by"][i] * self.refund.returned[i] // line.quantity
        for position in self.refund.fees | before.fees:
            back += snapshot["points_by"][position]
        returned = used * back // paid if paid else 0
        member = self.sale.basket.member
        left = sum(snapshot["due"]) - before.refunded - amount
        earned = points_earned(self.sale.basket.points, member.tier if member else None, left)
        return {
            "returned": returned - before.points["returned"],
            "returned_amount": back - before.points["returned_amount"],
            "revoked": max(0, snapshot["points"]["earned"] - earned - before.points["revoked"]),
        }

    def _kept_nets(self, values: Sequence[int]) -> list[int]:
        """By line, the net of what is kept, less what was given back without goods."""
        nets = []
        pure = all(policy_of(step, self.refund.policy) == "prorata" for step in self.sale.steps)
        for i, line in enumerate(self.sale.basket.lines):
            done = self.refund.returned[i]
            if done == line.quantity:
                nets.append(0)
                continue
            money = self.before.money[i] + (values[i] if self.refund.money_only else 0)
            whole = self.sale.snapshot["nets"][i]
            net = kept_part(whole, line.quantity, done) if pure else self.kept.nets[i]
            nets.append(max(0, net - kept_part(money, line.quantity, done)))
        return nets

    def settlement(self, values: Sequence[int], tenders: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The entries that turn the parties' books into those of what is kept; they add up to minus the refund."""
        basket, before = self.sale.basket, self.before
        payable = sum(self.sale.snapshot["due"]) - before.refunded - sum(values)
        methods = [
            (tender["method"], left - part["amount"])
            for tender, left, part in zip(self.sale.snapshot["tenders"], before.tenders_left, tenders, strict=True)
        ]
        fee = acquirer_fee(basket.acquirer_fee_bp, payable, methods)
        after = settle(self._line_sales(values), basket.contracts, payable, fee)
        amounts = dict.fromkeys(before.settlement, 0)
        bases = dict(amounts)
        for entry in after:
            key = entry["party"], entry["kind"]
            amounts[key] = amounts.get(key, 0) + entry["amount"]
            bases[key] = bases.get(key, 0) + entry["basis_amount"]
        entries = [
            {
                "party": key[0],
                "kind": key[1],
                "basis_amount": bases[key] - before.settlement_basis[key],
                "amount": amount - before.settlement[key],
            }
            for key, amount in amounts.items()
        ]
        return [entry for entry in entries if entry["amount"] or entry["basis_amount"]]

    def _line_sales(self, values: Sequence[int]) -> list[LineSale]:
        basket = self.sale.basket
        if not basket.contracts:
            return []
        nets = self._kept_nets(values)
        sales = []
        for i, line in enumerate(basket.lines):
            given = self.before.given[i] + values[i]
            sale = LineSale(line.counter_id, nets[i], max(0, self.sale.snapshot["due"][i] - given))
            if self.refund.returned[i] == line.quantity:
                sales.append(LineSale(line.counter_id, 0, 0))
                continue
            for benefit, shares in self.kept.shares:
                funding = MERCHANT if benefit is None else benefit.funding
                for party, amount in fund(shares.get(i, 0), shares_of(basket, line, funding)):
                    sale.borne[party] = sale.borne.get(party, 0) + amount
            sales.append(sale)
        return sales

    def commission(self, values: Sequence[int]) -> list[dict[str, Any]]:
        """What each guide's commission changes by."""
        nets = self._kept_nets(values)
        lines = self.sale.basket.lines
        after = commission(self.sale.basket.guides, [(line.guide_id, nets[i]) for i, line in enumerate(lines)])
        return [
            {"guide_id": entry["guide_id"], "amount": entry["amount"] - self.before.commission[entry["guide_id"]]}
            for entry in after
        ]
