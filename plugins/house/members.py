"""Members, points and three-bucket stored value: guarded updates, so that nothing is spent twice or below zero."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gateway.sdk import (
    Change,
    Declined,
    DeclineReason,
    Done,
    Identity,
    Member,
    PointsEarn,
    PointsHeld,
    PointsReserve,
    PointsReturn,
    PointsRevoke,
    Transaction,
    Value,
    ValueHeld,
    ValueOrder,
    ValueReserve,
    ValueReturn,
)
from gateway.sdk.money import largest_remainder
from plugins.house.ledger import Book

BUCKETS = ("real", "gift", "prepaid")
_DRAWN = {ValueOrder.REAL_FIRST: ("real", "prepaid", "gift"), ValueOrder.GIFT_FIRST: ("gift", "prepaid", "real")}


def digest_of(identity: Identity, merchant: str) -> str:
    """Personal data is kept as a digest: enough to recognise, not to read."""
    return hashlib.sha256(f"{merchant}\x00{identity.type}\x00{identity.value.reveal()}".encode()).hexdigest()


def find(tx: Transaction, merchant: str, identity: Identity) -> Any:
    """The member's row, or ``None``; a merged member is the one it was merged into."""
    sql = (
        "SELECT m.* FROM house_identities i JOIN house_members m ON m.merchant = i.merchant AND m.ref = i.ref"
        " WHERE i.merchant = :merchant AND i.type = :type AND i.digest = :digest"
    )
    row = tx.one(sql, {"merchant": merchant, "type": identity.type.value, "digest": digest_of(identity, merchant)})
    return by_ref(tx, merchant, row["merged_into"]) if row is not None and row["merged_into"] else row


def by_ref(tx: Transaction, merchant: str, ref: str) -> Any:
    """The member's row, or ``None``."""
    sql = "SELECT * FROM house_members WHERE merchant = :merchant AND ref = :ref"
    return tx.one(sql, {"merchant": merchant, "ref": ref})


def member_of(row: Any, tiers: dict[str, int], order: ValueOrder) -> Member:
    """A row as the gateway knows members; ``tiers`` gives what each tier pays, in basis points."""
    return Member(
        ref=row["ref"],
        tier=row["tier"],
        display_name=row["display_name"],
        rate_bp=tiers.get(row["tier"]),
        first_order=row["orders"] == 0,
        points_available=row["points"],
        value=Value(real=row["real"], gift=row["gift"], prepaid=row["prepaid"]),
        value_order=order,
    )


class Points:
    """Points of one merchant within one transaction."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def _move(self, ref: str, points: int, held: int, orders: int = 0) -> bool:
        sql = (
            "UPDATE house_members SET points = points + :points, points_held = points_held + :held,"
            " orders = orders + :orders WHERE merchant = :merchant AND ref = :ref AND points + :points >= 0"
            " AND points_held + :held >= 0"
        )
        row = {"merchant": self.book.merchant, "ref": ref, "points": points, "held": held, "orders": orders}
        return self.book.tx.execute(sql, row) == 1

    def reserve(self, request: PointsReserve, call: Any) -> Change:
        if not self.book.write(call, "points_reserve", request.member_ref, request.points, request.site):
            return Done(ref=call.key, amount=request.points, replayed=True)
        if not self._move(request.member_ref, -request.points, request.points):
            raise Refusal(DeclineReason.INSUFFICIENT_POINTS)
        return Done(ref=call.key, amount=request.points)

    def confirm(self, request: PointsHeld, call: Any) -> Change:
        if self.book.write(
            call, "points_confirm", request.member_ref, request.points, request.site, request.original.key
        ):
            self._move(request.member_ref, 0, -request.points)
        return Done(ref=call.key, amount=request.points)

    def cancel(self, request: PointsHeld, call: Any) -> Change:
        held = self.book.entry(request.original.key, "points_reserve")
        fresh = self.book.write(
            call, "points_cancel", request.member_ref, request.points, request.site, request.original.key
        )
        if held is not None and fresh:
            self._move(request.member_ref, request.points, -request.points)
        return Done(ref=call.key, amount=request.points)

    def give_back(self, request: PointsReturn, call: Any) -> Change:
        if self.book.write(
            call, "points_return", request.member_ref, request.points, request.site, request.original.key
        ):
            self._move(request.member_ref, request.points, 0)
        return Done(ref=call.key, amount=request.points)

    def earn(self, request: PointsEarn, call: Any) -> Change:
        if self.book.write(call, "points_earn", request.member_ref, request.points, request.site):
            self._move(request.member_ref, request.points, 0, orders=1)
        return Done(ref=call.key, amount=request.points)

    def revoke(self, request: PointsRevoke, call: Any) -> Change:
        """Take earned points back, as many as are left."""
        row = by_ref(self.book.tx, self.book.merchant, request.member_ref)
        points = min(request.points, row["points"]) if row is not None else 0
        if not self.book.write(call, "points_revoke", request.member_ref, points, request.site, request.original.key):
            points = int(self.book.entry(call.key, "points_revoke")["amount"])
        elif points:
            self._move(request.member_ref, -points, 0)
        return Done(ref=call.key, amount=points)


class StoredValue:
    """Stored value of one merchant within one transaction."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def _move(self, ref: str, value: dict[str, int], sign: int) -> bool:
        sql = (
            "UPDATE house_members SET real = real + :real, gift = gift + :gift, prepaid = prepaid + :prepaid"
            " WHERE merchant = :merchant AND ref = :ref AND real + :real >= 0 AND gift + :gift >= 0"
            " AND prepaid + :prepaid >= 0"
        )
        row = {name: sign * value.get(name, 0) for name in BUCKETS}
        return self.book.tx.execute(sql, {**row, "merchant": self.book.merchant, "ref": ref}) == 1

    def reserve(self, request: ValueReserve, call: Any) -> Change:
        row = by_ref(self.book.tx, self.book.merchant, request.account)
        if row is None or sum(row[name] for name in BUCKETS) < request.amount:
            return self._taken_before(request, call) or Declined(reason=DeclineReason.INSUFFICIENT_VALUE)
        taken = draw({name: row[name] for name in BUCKETS}, request.amount, request.order)
        if not self.book.write(call, "value_reserve", request.account, request.amount, request.site, "", **taken):
            return self._taken_before(request, call) or self._held(call, request.amount, taken)
        if not self._move(request.account, taken, -1):
            raise Refusal(DeclineReason.INSUFFICIENT_VALUE)
        return self._held(call, request.amount, taken)

    def _taken_before(self, request: ValueReserve, call: Any) -> Change | None:
        """What the same change did when it was made before."""
        known = self.book.entry(call.key, "value_reserve")
        return self._held(call, request.amount, json.loads(known["detail"]), replayed=True) if known else None

    @staticmethod
    def _held(call: Any, amount: int, buckets: dict[str, int], replayed: bool = False) -> Done:
        return Done(ref=call.key, amount=amount, facts={"buckets": buckets}, replayed=replayed)

    def confirm(self, request: ValueHeld, call: Any) -> Change:
        self.book.write(call, "value_confirm", request.account, request.amount, request.site, request.original.key)
        return Done(ref=call.key, amount=request.amount)

    def cancel(self, request: ValueHeld, call: Any) -> Change:
        held = self.book.entry(request.original.key, "value_reserve")
        fresh = self.book.write(
            call, "value_cancel", request.account, request.amount, request.site, request.original.key
        )
        if held is not None and fresh:
            self._move(request.account, json.loads(held["detail"]), +1)
        return Done(ref=call.key, amount=request.amount)

    def give_back(self, request: ValueReturn, call: Any) -> Change:
        buckets = {name: getattr(request.buckets, name) for name in BUCKETS}
        if self.book.write(
            call, "value_return", request.account, request.amount, request.site, request.original.key, **buckets
        ):
            self._move(request.account, buckets, +1)
        return Done(ref=call.key, amount=request.amount)

    def pay_in(self, account: str, value: Value, call: Any, site: Any, sign: int, original: str = "") -> Change:
        """Top up, or take a top-up back."""
        buckets = {name: getattr(value, name) for name in BUCKETS}
        hook = "value_topup" if sign > 0 else "value_untopup"
        if self.book.write(call, hook, account, value.total, site, original, **buckets) and not self._move(
            account, buckets, sign
        ):
            raise Refusal(DeclineReason.INSUFFICIENT_VALUE if sign < 0 else DeclineReason.MEMBER_UNKNOWN)
        return Done(ref=call.key, amount=value.total)


def draw(left: dict[str, int], amount: int, order: ValueOrder) -> dict[str, int]:
    """Take an amount from the buckets in their order; ``percent`` takes from all by largest remainder."""
    if order is ValueOrder.PERCENT:
        return dict(zip(BUCKETS, largest_remainder(amount, [left[name] for name in BUCKETS]), strict=True))
    taken = dict.fromkeys(BUCKETS, 0)
    for name in _DRAWN[order]:
        taken[name] = min(amount, left[name])
        amount -= taken[name]
    return taken


class Refusal(Exception):
    """Refused after something was written: the adapter takes it back and declines."""

    def __init__(self, reason: DeclineReason) -> None:
        super().__init__(reason)
        self.reason = reason
