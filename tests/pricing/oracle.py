"""A second, plain implementation of the pricing rules: fractions, every set tried, nothing shared with the engine.

It reads the same documents and knows nothing of how the engine is built. Slow on purpose; where it and the engine
differ, one of them misreads the rules.
"""

from fractions import Fraction
from itertools import combinations
from math import ceil, floor
from typing import Any

Document = dict[str, Any]
STAGES = {"item": 0, "member": 1, "order": 2}


def nearest(value: Fraction) -> int:
    """Half up, for amounts that are not negative."""
    return floor(value + Fraction(1, 2))


def apportion(amount: int, weights: list[int]) -> list[int]:
    """Largest remainder: the larger fraction, then the larger weight, then the earlier one gets the odd fen."""
    if amount == 0:
        return [0 for _ in weights]
    exact = [Fraction(amount * weight, sum(weights)) for weight in weights]
    result = [floor(share) for share in exact]
    while sum(result) < amount:
        behind = [(exact[i] - result[i], weights[i], -i) for i in range(len(weights))]
        result[behind.index(max(behind))] += 1
    return result


def quantity(line: Document) -> Fraction:
    return Fraction(line["quantity"])


def pieces(line: Document) -> int:
    return int(quantity(line)) if quantity(line).denominator == 1 else 1


def unit_prices(net: int, count: int) -> list[int]:
    """Each unit's money: what k units cost, rounded down, less what k-1 cost."""
    return [floor(Fraction(net * k, count)) - floor(Fraction(net * (k - 1), count)) for k in range(1, count + 1)]


def in_scope(line: Document, scope: Document) -> bool:
    marks = {"skus": line.get("sku"), "categories": line.get("category"), "counters": line.get("counter_id")}
    if any(scope.get(name) and mark not in scope[name] for name, mark in marks.items()):
        return False
    without = scope.get("exclude", {})
    return not any(mark in without.get(name, []) for name, mark in marks.items())


class Benefit:
    def __init__(self, document: Document, coupon: bool, position: int) -> None:
        self.document = document
        self.coupon = coupon
        self.id = document["code"] if coupon else document["id"]
        self.kind = document["kind"]
        stage = document.get("stage", "member" if self.kind == "member_rate" else "order")
        self.stage = 3 if coupon else STAGES[stage]
        self.place = (self.stage, document.get("priority", 100), coupon, position)
        self.basis = document.get("basis", "after_campaign" if coupon else "after_member")
        self.tiers = [document] if coupon else document["tiers"]

    def without(self) -> list[str]:
        return self.document.get("exclusive_with", [])

    def bars(self, other: "Benefit") -> bool:
        if self.document.get("exclusive") or other.id in self.without():
            return True
        group = self.document.get("stack_group")
        return group is not None and group == other.document.get("stack_group")


class Pricing:
    """One set of benefits applied in order; `saving` and what else the comparison needs."""

    def __init__(self, document: Document, chosen: list[Benefit]) -> None:
        self.lines = document["lines"]
        self.member = document.get("member")
        self.net = [nearest(line["unit_amount"] * quantity(line)) for line in self.lines]
        self.gross = list(self.net)
        self.marks = dict.fromkeys(("gross", "after_item", "after_member", "after_campaign"), self.net)
        self.steps: list[tuple[str, int]] = []
        self.given = 0
        self.useless = False
        self.forfeited = 0
        self.legal = not any(a.bars(b) for a in chosen for b in chosen if a is not b)
        member_off = any("member" in b.without() for b in chosen)
        for stage in range(4):
            for benefit in sorted((b for b in chosen if b.stage == stage), key=lambda b: b.place):
                self.apply(benefit)
            self.mark(stage)
            if stage == 0 and self.member and not member_off:
                self.take("member", self.member_offs())
                self.mark_from(1)

    def mark(self, stage: int) -> None:
        if stage < 3:
            self.mark_from(stage)

    def mark_from(self, stage: int) -> None:
        """The end of a stage, and of all later ones until they are reached."""
        for name in ("after_item", "after_member", "after_campaign")[stage:]:
            self.marks[name] = list(self.net)

    def member_offs(self) -> list[int]:
        offs = []
        for line, net in zip(self.lines, self.net, strict=True):
            price = net
            if line.get("discountable", True) and line.get("member_price", True):
                price = nearest(Fraction(net * self.member.get("rate_bp", 10000), 10000))
                if line.get("member_amount") is not None:
                    price = min(price, nearest(line["member_amount"] * quantity(line)))
            offs.append(max(0, net - price))
        return offs

    def take(self, name: str, offs: list[int]) -> None:
        if sum(offs):
            self.steps.append((name, sum(offs)))
            self.net = [net - off for net, off in zip(self.net, offs, strict=True)]

    def apply(self, benefit: Benefit) -> None:
        self.eligible = [i for i, line in enumerate(self.lines) if line.get("discountable", True)]
        scope = [i for i in self.eligible if in_scope(self.lines[i], benefit.document.get("scope", {}))]
        targets, measured = scope, scope
        sku = benefit.document.get("sku")
        if benefit.kind == "add_on":
            measured = [i for i in self.eligible if i not in scope]
        if benefit.kind == "exchange" or (benefit.kind == "count_pass" and sku):
            targets = [i for i in scope if self.lines[i].get("sku") == sku]
        reached = [
            t
            for t in benefit.tiers
            if sum(self.marks[benefit.basis][i] for i in measured) >= t.get("threshold_amount", 0)
            and sum(quantity(self.lines[i]) for i in measured) >= t.get("threshold_quantity", 0)
        ]
        before = (sum(self.net), self.given)
        if reached and targets:
            tier = max(reached, key=lambda t: (t.get("threshold_amount", 0), t.get("threshold_quantity", 0)))
            basis = sum(self.marks[benefit.basis][i] for i in measured)
            self.pieces_measured = sum((quantity(self.lines[i]) for i in measured), Fraction(0))
            self.use(benefit, tier, targets, basis)
        if before == (sum(self.net), self.given):
            self.useless = True  # a set with a benefit that does nothing is no set of its own
        if benefit.stage < 3:
            self.mark_from(benefit.stage)

    def times(self, benefit: Benefit, tier: Document, basis: int) -> int:
        rules = benefit.document
        if not (rules.get("repeat") or benefit.kind == "every_amount_off"):
            return 1
        threshold = tier.get("threshold_amount", 0)
        count = basis // threshold if threshold else rules.get("max_times", 1)
        if tier.get("threshold_quantity"):
            count = floor(self.pieces_measured / tier["threshold_quantity"])
        return min(count, rules.get("max_times", count))

    def use(self, benefit: Benefit, tier: Document, targets: list[int], basis: int) -> None:
        times = self.times(benefit, tier, basis)
        kind = benefit.kind
        if kind == "fixed_price" and benefit.document["n"] == 1 and "max_times" not in benefit.document:
            offs = {i: self.net[i] - nearest(tier["price_amount"] * quantity(self.lines[i])) for i in targets}
            self.spread_offs(benefit, {i: off for i, off in offs.items() if off > 0})
        elif kind in ("amount_off", "every_amount_off", "cash"):
            self.off(benefit, tier["off_amount"] * times, targets)
        elif kind == "member_rate":
            self.each_line(benefit, tier, targets)
        elif kind in ("percent_off", "percent"):
            total = sum(self.net[i] for i in targets)
            self.off(benefit, total - nearest(Fraction(total * tier["rate_bp"], 10000)), targets)
        elif kind in ("nth_unit", "buy_n_cheapest", "fixed_price"):
            self.groups(benefit, tier, targets)
        elif kind in ("add_on", "exchange", "count_pass"):
            self.cheap_units(benefit, tier, targets, times)
        else:
            self.give(tier, times, benefit)

    def affordable(self, benefit: Benefit, cost: int) -> bool:
        budget = benefit.document.get("budget_amount")
        return budget is None or cost <= budget - benefit.document["used"]["budget_amount"]

    def give(self, tier: Document, times: int, benefit: Benefit) -> None:
        value = tier.get("voucher_amount") or tier.get("reward_amount")
        if value is not None:
            worth = min(value * times, benefit.document.get("cap_amount", value * times))
        else:
            worth = max(1, tier["gift"]["value_amount"] * times)
        if self.affordable(benefit, worth):
            self.given += worth

    def off(self, benefit: Benefit, amount: int, targets: list[int]) -> None:
        amount = min(amount, benefit.document.get("cap_amount", amount))
        total = sum(self.net[i] for i in targets)
        if benefit.coupon:
            self.forfeited += max(0, amount - total) if total else 0
        self.spread(benefit, min(amount, total), {i: self.net[i] for i in targets})

    def spread(self, benefit: Benefit, amount: int, weights: dict[int, int]) -> None:
        offs = [0] * len(self.net)
        if amount and self.affordable(benefit, amount):
            for i, share in zip(weights, apportion(amount, list(weights.values())), strict=True):
                offs[i] = share
        self.take(benefit.id, offs)

    def each_line(self, benefit: Benefit, tier: Document, targets: list[int]) -> None:
        offs = {i: self.net[i] - nearest(Fraction(self.net[i] * tier["rate_bp"], 10000)) for i in targets}
        self.spread_offs(benefit, offs)

    def spread_offs(self, benefit: Benefit, offs: dict[int, int]) -> None:
        self.spread(benefit, min(sum(offs.values()), benefit.document.get("cap_amount", 10**15)), offs)

    def dearest(self, targets: list[int]) -> list[tuple[int, int]]:
        units = [(price, i) for i in targets for price in unit_prices(self.net[i], pieces(self.lines[i]))]
        return sorted(units, key=lambda unit: (-unit[0], unit[1]))

    def groups(self, benefit: Benefit, tier: Document, targets: list[int]) -> None:
        units, size = self.dearest(targets), benefit.document["n"]
        whole = [units[k : k + size] for k in range(0, len(units) - size + 1, size)]
        amount, inside = 0, []
        for group in whole[: benefit.document.get("max_times", len(whole))]:
            prices = [price for price, _ in group]
            off = self.group_off(benefit.kind, tier, prices)
            if off > 0:
                amount += off
                inside += group
        weights = {i: sum(price for price, j in inside if i == j) for i in sorted({i for _, i in inside})}
        self.spread(benefit, min(amount, benefit.document.get("cap_amount", amount)), weights)

    def group_off(self, kind: str, tier: Document, prices: list[int]) -> int:
        last = prices[-1]
        if kind == "fixed_price":
            return sum(prices) - tier["price_amount"]
        if kind == "buy_n_cheapest":
            return last
        if "rate_bp" in tier:
            return last - nearest(Fraction(last * tier["rate_bp"], 10000))
        return min(last, tier["off_amount"]) if "off_amount" in tier else max(0, last - tier["price_amount"])

    def cheap_units(self, benefit: Benefit, tier: Document, targets: list[int], times: int) -> None:
        price = tier["price_amount"] if benefit.kind == "add_on" else 0
        count = times
        if benefit.kind == "count_pass":
            count = benefit.document["counts"]["available"]
        offs: dict[int, int] = {}
        for unit, i in self.dearest(targets)[:count]:
            if unit > price:
                offs[i] = offs.get(i, 0) + unit - price
        offs = dict(sorted(offs.items()))
        self.spread(benefit, min(sum(offs.values()), benefit.document.get("cap_amount", 10**15)), offs)


def candidates(document: Document) -> list[Benefit]:
    found = [Benefit(c, False, i) for i, c in enumerate(document["campaigns"])]
    wanted = document["select"]
    for i, coupon in enumerate(document["coupons"]):
        if coupon["kind"] != "group_buy" and (wanted == "auto" or coupon["code"] in wanted):
            found.append(Benefit(coupon, True, i))
    if not document.get("member"):
        found = [b for b in found if b.kind != "member_rate"]
    return found


def best(document: Document) -> tuple[Pricing, list[Benefit]]:
    """Every legal set is tried; the rules say which of two is better."""
    found: list[tuple[Any, Pricing, list[Benefit]]] = []
    everything = candidates(document)
    for size in range(len(everything) + 1):
        for chosen in combinations(everything, size):
            pricing = Pricing(document, list(chosen))
            if not pricing.legal or (pricing.useless and chosen):
                continue
            coupons = [b for b in chosen if b.coupon]
            expiry = sorted(b.document.get("expires_at", "9999") for b in coupons)
            key = (sum(pricing.net), -pricing.given, len(coupons), expiry, sorted(b.id for b in chosen))
            found.append((key, pricing, list(chosen)))
    key, pricing, chosen = min(found, key=lambda item: item[0])
    return pricing, chosen


class Bill:
    """The winning set with fees, points, rounding and tenders."""

    def __init__(self, document: Document) -> None:
        self.pricing, _ = best(document)
        self.nets = self.pricing.net
        self.fees = [self.fee(document, fee) for fee in document["fees"]]
        owed = [*self.nets, *self.fees]
        self.points_used, self.points_amount = self.points(document, sum(owed))
        after = [a - b for a, b in zip(owed, apportion(self.points_amount, owed), strict=True)]
        step = {"none": 1, "jiao": 10, "yuan": 100}[document["rounding"]]
        self.rounding = sum(after) % step
        self.due = [a - b for a, b in zip(after, apportion(self.rounding, after), strict=True)]
        self.payable = sum(self.due)
        self.forfeited = self.pricing.forfeited
        self.tenders = self.pay(document)
        self.matrix = self.lay()

    def fee(self, document: Document, fee: Document) -> int:
        if fee["kind"] == "minimum_spend":
            counting = [line.get("counts_to_minimum", True) for line in document["lines"]]
            return max(0, fee["amount"] - sum(net for net, counts in zip(self.nets, counting, strict=True) if counts))
        amounts = self.pricing.gross if fee["basis"] == "gross" else self.nets
        return nearest(Fraction(sum(amounts) * fee["charge_bp"], 10000))

    def points(self, document: Document, base: int) -> tuple[int, int]:
        wanted = document.get("points")
        if not wanted or not wanted["use"]:
            return 0, 0
        rule = wanted["rule"]
        worth = Fraction(rule["amount"], rule["points"])
        limit = floor(Fraction(base * rule["limit_bp"], 10000))
        most = min(wanted["use"], document["member"]["points_available"], floor(limit / worth))
        most -= most % rule["interval"]
        amount = floor(most * worth)
        if not amount:
            return 0, 0
        fewest = ceil(Fraction(ceil(amount / worth), rule["interval"])) * rule["interval"]
        return min(most, fewest), amount

    def pay(self, document: Document) -> list[int]:
        plans = document["tenders"]
        if plans[0].get("share"):
            return apportion(self.payable, [1] * len(plans)) if self.payable else [0] * len(plans)
        amounts = []
        for plan in plans[:-1]:
            face = 1500 * plan["count"]
            amounts.append(min(face, self.payable))
            self.forfeited += face - amounts[-1]
        return [*amounts, self.payable - sum(amounts)]

    def lay(self) -> list[list[int]]:
        left, rows = list(self.due), []
        for amount in self.tenders:
            row = apportion(amount, left)
            left = [a - b for a, b in zip(left, row, strict=True)]
            rows.append(row)
        return rows


class Returns:
    """Refunds under `prorata`: a unit's share of what was paid for its line, tenders by what is left on each."""

    def __init__(self, document: Document, bill: Bill) -> None:
        self.lines = document["lines"]
        self.bill = bill
        self.left = list(bill.tenders)
        self.back = [Fraction(0)] * len(self.lines)

    def give_back(self, request: Document, fees: list[str]) -> tuple[int, list[int]]:
        amount = 0
        for item in request["lines"]:
            if "fee_id" in item:
                amount += self.bill.due[len(self.lines) + fees.index(item["fee_id"])]
                continue
            i = next(i for i, line in enumerate(self.lines) if line["line_id"] == item["line_id"])
            whole, before = quantity(self.lines[i]), self.back[i]
            self.back[i] = before + Fraction(item["quantity"])
            amount += floor(self.bill.due[i] * self.back[i] / whole) - floor(self.bill.due[i] * before / whole)
        parts = apportion(amount, self.left)
        self.left = [a - b for a, b in zip(self.left, parts, strict=True)]
        return amount, parts


class Kept:
    """Refunds under `recompute`, of a sale without fees, points and rounding."""

    def __init__(self, document: Document, paid: int) -> None:
        self.document = document
        self.left = paid
        self.quantities = [quantity(line) for line in document["lines"]]

    def price(self) -> int:
        """The best price of what is still kept."""
        lines = [
            {**line, "quantity": str(float(kept)) if kept.denominator > 1 else str(kept)}
            for line, kept in zip(self.document["lines"], self.quantities, strict=True)
            if kept
        ]
        return sum(best({**self.document, "lines": lines})[0].net) if lines else 0

    def gross(self) -> int:
        lines = zip(self.document["lines"], self.quantities, strict=True)
        return sum(nearest(line["unit_amount"] * kept) for line, kept in lines)

    def give_back(self, request: Document) -> int:
        before = self.gross()
        for item in request["lines"]:
            i = next(i for i, line in enumerate(self.document["lines"]) if line["line_id"] == item["line_id"])
            self.quantities[i] -= Fraction(item["quantity"])
        amount = max(0, min(self.left - self.price(), before - self.gross()))
        if not any(self.quantities):
            amount = self.left
        self.left -= amount
        return amount
