"""Tender rows of the till: their codes, the reference in their memo, and the plan of the rows that settle a bill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.sdk import Method, OrderPost, TenderLine
from plugins.restaurant.protocol import MEMO_BYTES

#: Our mark at the beginning of every memo that we write; the key of the change follows.
MARK = "GW"
KEY_LENGTH = 26

#: The till's tender codes for what lowers the price; none of it counts as income.
POINTS, COUPON, BENEFIT, DIFFERENCE = "06", "07", "12", "15"
BENEFITS = (POINTS, COUPON, BENEFIT, DIFFERENCE)
TENDER_CODES: dict[str, str] = {
    "wechat": "03",
    "alipay": "04",
    Method.PAYMENT_CODE: "11",
    Method.QR_CODE: "11",
    Method.BANK_CARD: "02",
    Method.DEPOSIT: "11",
    Method.STORED_VALUE: "05",
    Method.RED_ENVELOPE: "13",
    Method.GIFT_CARD: "14",
    Method.VOUCHER: "08",
    Method.CASH: "01",
    Method.ON_ACCOUNT: "09",
}


def reference(key: str) -> str:
    """What we write into memos: our mark and the key of the change, 28 bytes."""
    return MARK + key


def row_memo(key: str, number: int) -> str:
    """The memo of the n-th tender row of a posting, at most 32 bytes."""
    memo = f"{reference(key)}/{number}"
    if len(memo) > MEMO_BYTES:
        raise ValueError("a posting has more tender rows than the memo can number")
    return memo


def key_of(memo: str) -> str:
    """The key of the change that wrote this memo, or ``""`` if it isn't ours."""
    key = memo[len(MARK) :].partition("/")[0]
    return key if memo.startswith(MARK) and len(key) == KEY_LENGTH else ""


@dataclass(frozen=True, slots=True)
class TenderRow:
    """One tender row to book. ``sold_amount`` is what a voucher was sold for: the part of it that is income."""

    bill_id: str
    pay_code: str
    amount: int
    memo: str
    voucher_code: str = ""
    sold_amount: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A tender or a benefit, before it is poured into the bills."""

    pay_code: str
    amount: int
    voucher_code: str = ""
    sold_amount: int = 0


def tender_code(tender: TenderLine, codes: Mapping[str, str]) -> str:
    """The till's code: by channel where it is known (WeChat, Alipay), else by method."""
    table = {**TENDER_CODES, **codes}
    channel = tender.channel.lower()
    for name in sorted(table, key=len, reverse=True):
        if channel and name in channel:
            return table[name]
    return table[tender.method]


def tender_parts(tenders: Iterable[TenderLine], codes: Mapping[str, str]) -> list[Part]:
    """The tenders that move anything, with the till's codes."""
    return [_tender_part(tender, codes) for tender in tenders if tender.amount]


def _tender_part(tender: TenderLine, codes: Mapping[str, str]) -> Part:
    code = tender_code(tender, codes)
    if tender.method is Method.VOUCHER:
        income = tender.amount if tender.income_amount is None else tender.income_amount
        return Part(code, tender.amount, (tender.ref or tender.tender_id)[:30], income)
    return Part(code, tender.amount)


def benefit_parts(request: OrderPost, left: int) -> list[Part]:
    """What lowered the price by ``left``: points, coupons, and the rest (member price, campaigns, fees, rounding)."""
    parts = []
    for code, amount in ((POINTS, request.points_amount), (COUPON, _coupon_amount(request)), (BENEFIT, left)):
        taken = min(amount, left)
        if taken > 0:
            parts.append(Part(code, taken))
            left -= taken
    return parts


def _coupon_amount(request: OrderPost) -> int:
    return sum(
        int(part.get("amount", 0)) for line in request.lines for part in line.discounts if part.get("kind") == "coupon"
    )


def pour(parts: Iterable[Part], key: str, dues: Mapping[str, int]) -> tuple[TenderRow, ...]:
    """Rows that settle the bills in order, each due covered before the next; what is over stands in the last row.

    ``dues`` is what each bill needs, in fen.
    """
    queue = list(parts)
    poured = [(bill_id, part) for bill_id, due in dues.items() for part in _take(queue, due)]
    over = sum(part.amount for part in queue)
    if over:
        bill_id, last = poured[-1]
        row = last if last.amount else queue[0]
        poured[-1] = (bill_id, replace(row, amount=last.amount + over))
    return tuple(
        TenderRow(bill_id, part.pay_code, part.amount, row_memo(key, number), part.voucher_code, part.sold_amount)
        for number, (bill_id, part) in enumerate(poured, start=1)
    )


def _take(queue: list[Part], due: int) -> list[Part]:
    """Take parts for ``due`` from the front of the queue, cutting the last one where it is too large.

    A bill that needs nothing is settled by a row of nothing.
    """
    taken: list[Part] = []
    while due > 0 and queue:
        part = queue.pop(0)
        amount = min(part.amount, due)
        sold = part.sold_amount * amount // part.amount
        taken.append(replace(part, amount=amount, sold_amount=sold))
        if amount < part.amount:
            queue.insert(0, replace(part, amount=part.amount - amount, sold_amount=part.sold_amount - sold))
        due -= amount
    return taken or [Part(DIFFERENCE, 0)]
