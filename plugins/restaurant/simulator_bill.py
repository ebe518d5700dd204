"""A bill inside the simulated till: its lines, its tender rows and the till's own arithmetic.

Inside, amounts are whole fen and quantities thousandths. The till adds *unrounded* line amounts and rounds the sum
once, so that the printed lines may differ from the printed total by a fen or two: a quirk of the real thing that
comes here without floats. On the wire every amount is a float of yuan.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from plugins.restaurant.protocol_bill import KEPT, NOT_SETTLED, OPEN, VALID
from plugins.restaurant.simulator_seed import PAY_CODES, Dish, Shop

THOUSAND = 1000


def half_up(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` to the nearest whole number, halves away from zero for what is positive here."""
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(slots=True)
class Line:
    """One line. ``discount_flag``: empty, P campaign price, M member price, G gift, C changed price."""

    line_no: int
    dish: str
    name: str
    category: str
    unit: str
    quantity: int
    price: int
    member_price: int
    promo_price: int
    discountable: bool
    depart: str
    cook: int = 0
    changed: bool = False
    gift_reason: str = ""
    package: int = 0
    package_head: int = 0
    state: int = VALID

    def gross(self) -> int:
        """The line before discounts, in thousandths of a fen."""
        return (self.price * self.quantity + self.cook * THOUSAND) if self._counts() else 0

    def last(self, member: bool) -> int:
        """What is charged, in thousandths of a fen. A campaign price keeps the member price out."""
        if not self._counts() or self.gift_reason:
            return 0
        return self._charged_price(member) * self.quantity + self.cook * THOUSAND

    def flag(self, member: bool) -> str:
        if self.gift_reason:
            return "G"
        if self.changed:
            return "C"
        if self.promo_price:
            return "P"
        return "M" if member and self.member_price < self.price else ""

    def _charged_price(self, member: bool) -> int:
        if self.changed:
            return self.price
        if self.promo_price:
            return self.promo_price
        return min(self.member_price, self.price) if member else self.price

    def _counts(self) -> bool:
        return self.state == VALID and self.package != 2


@dataclass(slots=True)
class Payment:
    """One tender row. ``state`` 2 is a row taken back by 反结账; it stays visible."""

    ts_id: int
    code: str
    amount: int
    change: int
    memo: str
    paid_at: str
    voucher_code: str = ""
    sold_amount: int = 0
    state: int = VALID

    def income(self) -> int:
        """What of the row counts as income: of a voucher that was sold below its face, only what it was sold for."""
        kept = self.amount - self.change
        if self.voucher_code and self.sold_amount:
            return min(self.sold_amount, kept)
        return half_up(kept * PAY_CODES[self.code].income_bp, 10_000)


@dataclass(frozen=True, slots=True)
class Sums:
    """A bill's sums in fen."""

    gross: int
    net: int
    member: int
    promo: int
    gift: int
    service: int
    wipe: int
    total: int


@dataclass(slots=True)
class TillBill:
    """One bill of the till."""

    bs_id: str
    bs_code: str
    shop: str
    table: str
    area: str
    guests: int
    opened_at: str
    waiter: str
    service_bp: int
    service_basis: str
    wipe_mode: str
    settled_at: str = ""
    biz_date: str = ""
    state: int = OPEN
    settle_state: int = NOT_SETTLED
    settled_before: bool = False
    delete_flag: int = KEPT
    member: bool = False
    pre_memo: str = ""
    cleared: bool = False
    upload_time: str = ""
    lines: list[Line] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> TillBill:
        lines = [Line(**row) for row in document.pop("lines")]
        payments = [Payment(**row) for row in document.pop("payments")]
        return cls(**document, lines=lines, payments=payments)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def sums(self, member: bool | None = None) -> Sums:
        """The till's sum of the bill; ``member`` asks what it would be with or without the member price."""
        as_member = self.member if member is None else member
        gross = sum(line.gross() for line in self.lines)
        net = sum(line.last(as_member) for line in self.lines)
        cuts = dict.fromkeys("MPG", 0)
        for line in self.lines:
            flag = line.flag(as_member)
            if flag in cuts:
                cuts[flag] += line.gross() - line.last(as_member)
        # "Gross" is before the member price; a campaign price counts as the dish's price.
        base = sum(line.last(False) for line in self.lines) if self.service_basis == "gross" else net
        service = half_up(half_up(base, THOUSAND) * self.service_bp, 10_000)
        net_fen = half_up(net, THOUSAND)
        before = net_fen + service
        wipe = before % {"jiao": 10, "yuan": 100}.get(self.wipe_mode, 1)
        rounded = {flag: half_up(amount, THOUSAND) for flag, amount in cuts.items()}
        gross_fen = half_up(gross, THOUSAND)
        return Sums(gross_fen, net_fen, rounded["M"], rounded["P"], rounded["G"], service, wipe, before - wipe)

    def paid(self) -> int:
        return sum(row.amount - row.change for row in self.payments if row.state == VALID)

    def due(self) -> int:
        return max(0, self.sums().total - self.paid())

    def next_line(self) -> int:
        return max((line.line_no for line in self.lines), default=0) + 1

    def next_ts(self) -> int:
        return max((row.ts_id for row in self.payments), default=0) + 1


def new_line(number: int, dish: Dish, quantity: int, price: int | None = None, cook: int = 0, head: int = 0) -> Line:
    """A line for a dish; a component of a package costs nothing, its head carries the price."""
    changed = price is not None and price != dish.price
    return Line(
        line_no=number,
        dish=dish.code,
        name=dish.name,
        category=dish.category,
        unit=dish.unit,
        quantity=quantity,
        price=dish.price if price is None else price,
        member_price=dish.member_price,
        promo_price=dish.promo_price,
        discountable=dish.discountable,
        depart=dish.depart,
        cook=cook,
        changed=changed,
        package=2 if head else int(dish.package),
        package_head=head,
    )


def new_bill(shop: Shop, bs_id: str, table: str, area: str, guests: int, opened_at: str, waiter: str) -> TillBill:
    """An empty open bill of a shop."""
    code = bs_id.removeprefix(shop.code)
    return TillBill(
        bs_id, code, shop.code, table, area, guests, opened_at, waiter, shop.service_bp, shop.service_basis, shop.wipe
    )


def yuan(fen: int) -> float:
    """The till's number for an amount."""
    return fen / 100


def wire(bill: TillBill, member: bool | None = None) -> dict[str, Any]:
    """The bill as the wire shows it."""
    as_member = bill.member if member is None else member
    sums = bill.sums(as_member)
    valid = [row for row in bill.payments if row.state == VALID]
    income = sum(row.income() for row in valid)
    kept = sum(row.amount - row.change for row in valid)
    head = _head(bill)
    amounts = {
        "origTotal": sums.gross,
        "memberMoney": sums.member,
        "promoMoney": sums.promo,
        "giftMoney": sums.gift,
        "wipeMoney": sums.wipe,
        "serviceMoney": sums.service,
        "lastTotal": sums.total,
        "incomeTotal": income,
        "notIncomeMoney": kept - income,
        "paid": kept,
        "due": max(0, sums.total - kept),
    }
    lines = [_wire_line(line, as_member) for line in bill.lines]
    payways = [_wire_payment(row) for row in bill.payments]
    return {**head, **{name: yuan(fen) for name, fen in amounts.items()}, "lines": lines, "payways": payways}


def _head(bill: TillBill) -> dict[str, Any]:
    return {
        "bsId": bill.bs_id,
        "bsCode": bill.bs_code,
        "shopCode": bill.shop,
        "tableCode": bill.table,
        "tableName": f"{bill.area}{bill.table}" if bill.table else "",
        "areaName": bill.area,
        "guests": bill.guests,
        "openTime": bill.opened_at,
        "settleTime": bill.settled_at,
        "settleBizDate": bill.biz_date,
        "state": bill.state,
        "settleState": bill.settle_state,
        "deleteFlag": bill.delete_flag,
        "preMemo": bill.pre_memo,
        "waiterCode": bill.waiter,
        "salesCode": "",
        "serviceRate": bill.service_bp,
        "uploadTime": bill.upload_time,
    }


def _wire_line(line: Line, member: bool) -> dict[str, Any]:
    gross, last = half_up(line.gross(), THOUSAND), half_up(line.last(member), THOUSAND)
    return {
        "lineNo": line.line_no,
        "dishCode": line.dish,
        "dishName": line.name,
        "cateCode": line.category,
        "unit": line.unit,
        "qty": line.quantity / THOUSAND,
        "price": yuan(0 if line.package == 2 else line.price),
        "cookMoney": yuan(line.cook),
        "memberPrice": yuan(line.member_price),
        "origMoney": yuan(gross),
        "discMoney": yuan(gross - last),
        "lastMoney": yuan(last),
        "discFlag": line.flag(member),
        "canDisc": int(line.discountable),
        "pkgFlag": line.package,
        "pkgHead": line.package_head,
        "giftReason": line.gift_reason,
        "departCode": line.depart,
        "state": line.state,
    }


def _wire_payment(row: Payment) -> dict[str, Any]:
    income = row.income()
    return {
        "tsId": row.ts_id,
        "payCode": row.code,
        "payName": PAY_CODES[row.code].name,
        "payMoney": yuan(row.amount),
        "incomeMoney": yuan(income),
        "notIncomeMoney": yuan(row.amount - row.change - income),
        "changeMoney": yuan(row.change),
        "memo": row.memo,
        "payTime": row.paid_at,
        "voucherCode": row.voucher_code,
        "faceMoney": yuan(row.amount if row.voucher_code else 0),
        "soldMoney": yuan(row.sold_amount),
        "state": row.state,
    }
