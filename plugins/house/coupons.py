"""Coupons, gift cards and red envelopes of the house, by counts and balances."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from gateway.sdk import (
    Change,
    Counts,
    Coupon,
    CouponHeld,
    CouponIssue,
    CouponKind,
    CouponRestore,
    CouponUse,
    CouponVoid,
    Declined,
    DeclineReason,
    Done,
    RewardRevoke,
    RewardSend,
    Transaction,
)
from plugins.house.ledger import Book
from plugins.house.members import Refusal

#: Kinds that are spent by amount.
BALANCES = frozenset({CouponKind.GIFT_CARD, CouponKind.RED_ENVELOPE})


def row_of(tx: Transaction, merchant: str, code: str) -> Any:
    """A coupon's row, or ``None``."""
    sql = "SELECT * FROM house_coupons WHERE merchant = :merchant AND code = :code"
    return tx.one(sql, {"merchant": merchant, "code": code})


def coupon_of(row: Any, now: datetime) -> Coupon:
    """A row as the gateway knows coupons."""
    expires = datetime.fromtimestamp(row["expires"] / 1000, UTC) if row["expires"] else None
    kind = CouponKind(row["kind"])
    spent = row["balance"] == 0 if kind in BALANCES else row["available"] == 0
    return Coupon(
        code=row["code"],
        kind=kind,
        template=row["template"],
        title=row["title"],
        counts=Counts(initial=row["initial"], available=row["available"], held=row["held"], used=row["used"]),
        expires_at=expires,
        usable=not row["voided"] and not spent and (expires is None or now < expires),
        balance_amount=row["balance"],
        member_ref=row["member_ref"],
        terms=json.loads(row["terms"]),
    )


class Coupons:
    """Coupons of one merchant within one transaction."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def _row(self, code: str) -> Any:
        return row_of(self.book.tx, self.book.merchant, code)

    def _count(self, code: str, available: int, held: int, used: int) -> bool:
        """Move uses; what is held or used may always come to its end, also of a coupon that is void or over by now."""
        sql = (
            "UPDATE house_coupons SET available = available + :available, held = held + :held, used = used + :used"
            " WHERE merchant = :merchant AND code = :code AND available + :available >= 0"
            " AND (:available >= 0 OR (voided = 0 AND (expires IS NULL OR expires > :now)))"
        )
        row = {"available": available, "held": held, "used": used, "now": self.book.now}
        return self.book.tx.execute(sql, {**row, "merchant": self.book.merchant, "code": code}) == 1

    def _balance(self, code: str, amount: int, *, spends: bool = False) -> bool:
        """Move money on a card. Only spending needs a card that is good: a refund reaches one that is void or over."""
        sql = (
            "UPDATE house_coupons SET balance = balance + :amount WHERE merchant = :merchant AND code = :code"
            " AND balance + :amount >= 0"
        )
        row: dict[str, Any] = {"amount": amount, "merchant": self.book.merchant, "code": code}
        if spends:
            sql += " AND voided = 0 AND (expires IS NULL OR expires > :now)"
            row["now"] = self.book.now
        return self.book.tx.execute(sql, row) == 1

    def _by_balance(self, code: str) -> bool | None:
        row = self._row(code)
        return None if row is None else CouponKind(row["kind"]) in BALANCES

    def reserve(self, request: CouponUse, call: Any) -> Change:
        by_balance = self._by_balance(request.code)
        if by_balance is None:
            return Declined(reason=DeclineReason.COUPON_UNKNOWN)
        if not self.book.write(call, "coupon_reserve", request.code, request.amount, request.site, count=request.count):
            return Done(ref=call.key, amount=request.amount, replayed=True)
        taken = (
            self._balance(request.code, -request.amount, spends=True)
            if by_balance
            else self._count(request.code, -request.count, request.count, 0)
        )
        if not taken:
            raise Refusal(DeclineReason.COUPON_EXHAUSTED)
        return Done(ref=call.key, amount=request.amount)

    def confirm(self, request: CouponHeld, call: Any) -> Change:
        fresh = self.book.write(
            call,
            "coupon_confirm",
            request.code,
            request.amount,
            request.site,
            request.original.key,
            count=request.count,
        )
        if fresh and not self._by_balance(request.code):
            self._count(request.code, 0, -request.count, request.count)
        return Done(ref=call.key, amount=request.amount)

    def cancel(self, request: CouponHeld, call: Any) -> Change:
        held = self.book.entry(request.original.key, "coupon_reserve")
        fresh = self.book.write(call, "coupon_cancel", request.code, request.amount, request.site, request.original.key)
        if held is not None and fresh:
            if self._by_balance(request.code):
                self._balance(request.code, request.amount)
            else:
                self._count(request.code, request.count, -request.count, 0)
        return Done(ref=call.key)

    def restore(self, request: CouponRestore, call: Any) -> Change:
        """Give uses or balance back; never more than this redemption took."""
        taken = self.book.entry(request.original.key, "coupon_reserve")
        if taken is None:
            return Declined(reason=DeclineReason.NOT_FOUND)
        if self.book.entry(call.key, "coupon_restore") is not None:
            return Done(ref=call.key, amount=request.amount, replayed=True)
        if self.book.undone(request.original.key, "coupon_restore") + request.amount > taken["amount"]:
            return Declined(reason=DeclineReason.AMOUNT_MISMATCH)
        self.book.write(call, "coupon_restore", request.code, request.amount, request.site, request.original.key)
        if self._by_balance(request.code):
            self._balance(request.code, request.amount)
        else:
            self._count(request.code, request.count, 0, -request.count)
        return Done(ref=call.key, amount=request.amount)

    def issue(self, request: CouponIssue, call: Any, template: dict[str, Any]) -> Change:
        code = request.code or f"C{call.key[-12:]}"
        if self.book.write(call, "coupon_issue", code, request.count, None):
            insert(self.book.tx, self.book.merchant, code, template, request.count, request.member_ref, self.book.now)
        return Done(ref=code)

    def void(self, request: CouponVoid, call: Any) -> Change:
        sql = "UPDATE house_coupons SET voided = 1 WHERE merchant = :merchant AND code = :code"
        self.book.tx.execute(sql, {"merchant": self.book.merchant, "code": request.code})
        return Done(ref=request.code)

    def send_reward(self, request: RewardSend, call: Any) -> Change:
        """A red envelope with a balance of its own, for the member or for whoever paid."""
        code = f"R{call.key[-15:]}"
        if self.book.write(call, "reward_send", code, request.amount, request.site):
            template = {
                "kind": "red_envelope",
                "template": request.template,
                "title": "红包",
                "balance": request.amount,
            }
            insert(self.book.tx, self.book.merchant, code, template, 1, request.member_ref, self.book.now)
        return Done(ref=code, amount=request.amount)

    def revoke_reward(self, request: RewardRevoke, call: Any) -> Change:
        """Take back what of a reward has not been spent."""
        code = request.original.ref
        row = self._row(code)
        amount = min(request.amount, row["balance"]) if row is not None else 0
        if not self.book.write(call, "reward_revoke", code, amount, request.site, request.original.key):
            amount = int(self.book.entry(call.key, "reward_revoke")["amount"])
        elif amount:
            self._balance(code, -amount)
        return Done(ref=code, amount=amount)


def insert(
    tx: Transaction, merchant: str, code: str, template: dict[str, Any], count: int, member_ref: str, now: int
) -> None:
    """Put a coupon into the store; ``template`` has kind, title, terms, validity in days, balance."""
    days = template.get("valid_days")
    tx.execute(
        "INSERT INTO house_coupons (merchant, code, kind, template, title, member_ref, terms, expires, initial,"
        " available, balance) VALUES (:merchant, :code, :kind, :template, :title, :member_ref, :terms, :expires,"
        " :count, :count, :balance) ON CONFLICT DO NOTHING",
        {
            "merchant": merchant,
            "code": code,
            "kind": template["kind"],
            "template": template.get("template", ""),
            "title": template.get("title", ""),
            "member_ref": member_ref,
            "terms": json.dumps(template.get("terms", {}), ensure_ascii=False),
            "expires": now + days * 86_400_000 if days else None,
            "count": count,
            "balance": template.get("balance", 0),
        },
    )
