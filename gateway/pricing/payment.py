"""From what the goods and fees come to, to who pays what: points, rounding off, tenders, the line by tender matrix,
buckets."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from gateway.domain.money import half_up, largest_remainder
from gateway.pricing.eligibility import barred, lines_in_scope
from gateway.pricing.errors import PricingErrors, TooLittleValue, fail
from gateway.pricing.fees import FeeResult
from gateway.pricing.model import FOR_AN_ARTICLE, Basket, Benefit, PointsUse, StoredValue, TenderPlan
from gateway.pricing.units import Units

BUCKETS: Final = ("real", "gift", "prepaid")
_DRAWN: Final = {"real_first": ("real", "prepaid", "gift"), "gift_first": ("gift", "prepaid", "real")}
_ROUNDING: Final = {"none": 1, "jiao": 10, "yuan": 100}


@dataclass(frozen=True, slots=True)
class TenderResult:
    """What a tender pays, and how a voucher, a deposit or stored value splits it."""

    plan: TenderPlan
    amount: int
    voucher: Benefit | None = None
    forfeited: int = 0
    buckets: tuple[int, int, int] | None = None
    places: tuple[int, ...] | None = None  # the lines and fees it may pay for; None is all

    def to_document(self) -> dict[str, Any]:
        plan = self.plan
        document: dict[str, Any] = {"id": plan.id, "method": plan.method, "amount": self.amount}
        if plan.code is not None:
            document["code"] = plan.code
            document["count"] = plan.count
        if self.voucher is not None:
            income, fee = self.income()
            document["income_amount"] = income
            document["non_income_amount"] = self.amount - income
            document["fee_amount"] = fee
            document["forfeited_amount"] = self.forfeited
        if plan.held_amount is not None:
            document["captured_amount"] = self.amount
            document["released_amount"] = plan.held_amount - self.amount
        return document

    def income(self) -> tuple[int, int]:
        """What the merchant earns through a voucher, at most what it pays, and the platform's fee on its price."""
        voucher = self.voucher
        if voucher is None:
            return self.amount, 0
        sold = self.amount if voucher.sold_amount is None else voucher.sold_amount * self.plan.count
        income = sold if voucher.income_amount is None else voucher.income_amount * self.plan.count
        return min(income, self.amount), half_up(sold * voucher.platform_fee_bp, 10_000)


def points_taken(rule: PointsUse | None, available: int | None, base: int) -> tuple[int, int]:
    """Points used and the fen they pay of `base`: no more than asked for, had, allowed, or needed."""
    if rule is None or not rule.use:
        return 0, 0
    points = rule.use if available is None else min(rule.use, available)
    limit = base * rule.limit_bp // 10_000
    points = min(points, limit * rule.points // rule.amount)
    points -= points % rule.interval
    amount = points * rule.amount // rule.points
    needed = -(-amount * rule.points // rule.amount)  # the fewest points that pay as much
    points = min(points, -(-needed // rule.interval) * rule.interval)
    if points < rule.minimum or amount == 0:
        return 0, 0
    return points, amount


def points_earned(rule: PointsUse | None, tier: str | None, paid: int) -> int:
    """Points for what is paid: whole steps only, times the tier's rate."""
    if rule is None or not rule.earn_per_amount:
        return 0
    earned = paid // rule.earn_per_amount * rule.earn_points
    rate = (rule.earn_rates or {}).get(tier or "", 10_000)
    return earned * rate // 10_000


def rounded_off(amount: int, mode: str) -> int:
    """What is waived by rounding down to the jiao or the yuan."""
    return amount % _ROUNDING[mode]


def draw(account: StoredValue, left: tuple[int, int, int], amount: int) -> tuple[int, int, int]:
    """Take an amount from the buckets that are left, in the account's order."""
    if account.order == "percent":
        real, gift, prepaid = largest_remainder(amount, left)
        return real, gift, prepaid
    balance = dict(zip(BUCKETS, left, strict=True))
    taken = dict.fromkeys(BUCKETS, 0)
    for name in _DRAWN[account.order]:
        taken[name] = min(amount, balance[name])
        amount -= taken[name]
    return taken["real"], taken["gift"], taken["prepaid"]


class Till:
    """Lays the tenders against what is to be paid for each line and fee."""

    def __init__(self, basket: Basket, fees: Sequence[FeeResult], due: list[int]) -> None:
        self.basket = basket
        self.fees = fees
        self.due = due
        self.payable = sum(due)
        self.vouchers = {coupon.id: coupon for coupon in basket.coupons}

    def tenders(self) -> tuple[TenderResult, ...]:
        """What each tender pays. Raises `PricingErrors` when one pays more than there is to pay or than it holds."""
        plans = self.basket.tenders
        results: list[TenderResult | None] = [None] * len(plans)
        left = self.payable - sum(plan.amount or 0 for plan in plans)
        if left < 0:
            raise self._too_much(-left)
        for i, plan in enumerate(plans):
            result = self._own(i, plan, left)
            if result is not None:
                results[i] = result
                left -= result.amount if plan.amount is None else 0
        self._share_out(results, left)
        return self._with_buckets([result for result in results if result is not None])

    def _too_much(self, beyond: int) -> PricingErrors:
        """The tender that is the first beyond what is to be paid."""
        sums = list(accumulate(plan.amount or 0 for plan in self.basket.tenders))
        first = next(i for i, paid in enumerate(sums) if paid > self.payable)
        return fail(f"/tenders/{first}/amount", f"the tenders pay {beyond} fen more than is to be paid")

    def _own(self, i: int, plan: TenderPlan, left: int) -> TenderResult | None:
        """A tender whose amount is said, or follows from what it is."""
        if plan.method == "voucher" and plan.code in self.vouchers:
            return self._voucher(i, plan, self.vouchers[plan.code], left)
        if plan.held_amount is not None:
            amount = min(plan.held_amount, left) if plan.amount is None else plan.amount
            if amount > plan.held_amount:
                raise fail(f"/tenders/{i}/amount", "is more than is held")
            return TenderResult(plan, amount)
        return None if plan.amount is None else TenderResult(plan, plan.amount)

    def _voucher(self, i: int, plan: TenderPlan, voucher: Benefit, left: int) -> TenderResult:
        pointer = f"/tenders/{i}"
        reason = barred(self.basket, voucher)
        if reason is not None:
            raise fail(f"{pointer}/code", f"cannot be used: {reason}")
        if voucher.available is not None and plan.count > voucher.available:
            raise fail(f"{pointer}/count", f"only {voucher.available} are left")
        places = self._places(voucher)
        if places == ():
            raise fail(f"{pointer}/code", "cannot be used: scope")
        room = self.payable if places is None else sum(self.due[i] for i in places)
        if room < voucher.tiers[0].threshold_amount:
            raise fail(f"{pointer}/code", f"its threshold is missed by {voucher.tiers[0].threshold_amount - room} fen")
        face = self._face(voucher, plan.count, places, f"{pointer}/count")
        amount = min(face, room, left) if plan.amount is None else plan.amount
        if amount > min(face, room):
            raise fail(f"{pointer}/amount", "is more than the voucher can pay here")
        forfeited = face - amount if voucher.no_change and face > amount else 0
        return TenderResult(plan, amount, voucher, forfeited, None, places)

    def _face(self, voucher: Benefit, count: int, places: tuple[int, ...] | None, pointer: str) -> int:
        """What so many uses are worth: their face, or the dearest units of what a count pass is for."""
        each = voucher.face_amount or voucher.tiers[0].off_amount
        if each is not None:
            return each * count
        lines = self.basket.lines
        inside = range(len(lines)) if places is None else [place for place in places if place < len(lines)]
        units = tuple(i for i in inside if voucher.sku is None or lines[i].sku == voucher.sku)
        pieces = sum(lines[i].pieces for i in units)
        if count > pieces:
            raise fail(pointer, f"only {pieces} units are there to pay for")
        return Units(units, self.due, lines).sum_of(count)

    def _places(self, voucher: Benefit) -> tuple[int, ...] | None:
        """The lines in the voucher's scope and the fees on them, as positions; None for everything."""
        scope = voucher.scope
        every = tuple(range(len(self.basket.lines)))
        if voucher.sku is not None and voucher.kind in FOR_AN_ARTICLE:
            every = tuple(i for i in every if self.basket.lines[i].sku == voucher.sku)
            return lines_in_scope(self.basket, scope, every)
        if scope is None:
            return None
        lines = lines_in_scope(self.basket, scope, every)
        marked = scope.skus or scope.categories or scope.brands or scope.counters or scope.exclude is not None
        ids = {self.basket.lines[i].line_id for i in lines}
        first = len(self.basket.lines)
        fees = (
            first + f
            for f, fee in enumerate(self.fees)
            if fee.line_id in ids or (lines and not marked and fee.line_id is None)
        )
        return (*lines, *fees)

    def _share_out(self, results: list[TenderResult | None], left: int) -> None:
        """What is left goes in equal shares, or to the last."""
        plans = self.basket.tenders
        equal = [i for i, plan in enumerate(plans) if plan.equal]
        if equal:
            for i, share in zip(equal, largest_remainder(left, [1] * len(equal)), strict=True):
                results[i] = TenderResult(plans[i], share)
            left = 0
        for i, result in enumerate(results):
            if result is None:
                results[i] = TenderResult(plans[i], left)

    def _with_buckets(self, results: list[TenderResult]) -> tuple[TenderResult, ...]:
        account = self.basket.stored_value
        if account is None:
            return tuple(results)
        left = (account.real, account.gift, account.prepaid)
        for i, result in enumerate(results):
            if result.plan.method != "stored_value":
                continue
            if result.amount > sum(left):
                detail = f"only {sum(left)} fen of stored value are left"
                raise TooLittleValue([{"pointer": f"/tenders/{i}", "detail": detail}])
            taken = draw(account, left, result.amount)
            left = (left[0] - taken[0], left[1] - taken[1], left[2] - taken[2])
            results[i] = TenderResult(result.plan, result.amount, buckets=taken)
        return tuple(results)


def matrix(due: Sequence[int], tenders: Sequence[TenderResult]) -> list[list[int]]:
    """One row a tender, one column a line or fee; rows add up to the tender, columns to at most what is due.

    Those that may pay for some lines only are laid first, then the others in their order, each by largest remainder
    on what is left.
    """
    left = list(due)
    rows: list[list[int]] = [[] for _ in tenders]
    order = sorted(range(len(tenders)), key=lambda t: tenders[t].places is None)
    for t in order:
        places = tenders[t].places
        weights = left if places is None else [left[i] if i in places else 0 for i in range(len(left))]
        if tenders[t].amount == sum(weights):
            row = list(weights)
        else:
            row = largest_remainder(tenders[t].amount, weights)
        rows[t] = row
        left = [a - b for a, b in zip(left, row, strict=True)]
    return rows
