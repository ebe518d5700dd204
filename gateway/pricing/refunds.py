"""Giving back: from the snapshot of a sale and what was given back before, never from today's rules.

`prorata` gives a line's share of what was paid; `recompute` gives what was paid less the price of what is kept. The
last return takes exactly what is left, so that any order and any partition of the units adds up to what was paid.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.domain.money import format_quantity, largest_remainder
from gateway.pricing.aftermath import Aftermath
from gateway.pricing.errors import fail
from gateway.pricing.kept import Kept, Replay, Sale, kept_part, policy_of, read_sale
from gateway.pricing.parse_benefit import POLICIES
from gateway.pricing.reader import Notes, Reader
from gateway.pricing.returned import Returned, read_returned

_REQUEST: Final = frozenset(
    {"policy", "lines", "amount", "gift_returned", "vouchers_spent_amount", "tender_order", "at", "reason", "refund_no"}
)
_ITEM: Final = frozenset({"line_id", "quantity", "fee_id"})


def refund(
    snapshot: Mapping[str, Any], already: Sequence[Mapping[str, Any]], request: Mapping[str, Any]
) -> dict[str, Any]:
    """What a refund gives back, as the document's `refunds[]` item.

    `already` are the items of the earlier refunds of the same sale, in their order. Nothing is stored: a preview is
    the same call.
    Raises `PricingErrors` when the request is malformed or exceeds what is left.
    """
    sale = read_sale(snapshot)
    return Refund(sale, read_returned(sale, already), request).document()


class Refund:
    """One request against one sale."""

    def __init__(self, sale: Sale, before: Returned, request: Mapping[str, Any]) -> None:
        self.sale = sale
        self.before = before
        self.lines = sale.basket.lines
        self.due: list[int] = sale.snapshot["due"]
        self.notes = Notes()
        reader = Reader(request, "", self.notes, _REQUEST)
        self.reader = reader
        self.policy = reader.choice("policy", POLICIES) if reader.has("policy") else None
        self.gift_returned = reader.flag("gift_returned", False)
        self.spent = reader.integer("vouchers_spent_amount", 0)
        self.at = reader.moment("at")
        self.taken = [0] * len(self.lines)
        self.fees: set[int] = set()
        self._read_lines()
        self.notes.raise_any()
        self.returned = [a + b for a, b in zip(before.quantities, self.taken, strict=True)]
        self.money_only = reader.has("amount")

    def _read_lines(self) -> None:
        reader = self.reader
        if reader.has("amount") and reader.has("lines"):
            reader.note("amount", "does not go with lines")
        if reader.has("amount"):
            return
        if not reader.has("lines"):
            self.taken = [line.quantity - done for line, done in zip(self.lines, self.before.quantities, strict=True)]
            self.fees = {i for i in range(len(self.lines), len(self.due)) if i not in self.before.fees}
            return
        count = 0
        for item, pointer in reader.items("lines"):
            self._read_item(Reader(item, pointer, self.notes, _ITEM))
            count += 1
        if not count:
            reader.note("lines", "must name a line or a fee")

    def _read_item(self, item: Reader) -> None:
        if item.has("fee_id"):
            self._read_fee(item)
            return
        line_id = item.text("line_id")
        position = next((i for i, line in enumerate(self.lines) if line.line_id == line_id), None)
        if position is None:
            if line_id:
                item.note("line_id", "no such line")
            return
        left = self.lines[position].quantity - self.before.quantities[position] - self.taken[position]
        quantity = item.quantity("quantity") if item.has("quantity") else left
        if quantity > left or not left:
            item.note("quantity", f"only {format_quantity(left)} are left to return")
            return
        self.taken[position] += quantity

    def _read_fee(self, item: Reader) -> None:
        fee_id = item.text("fee_id")
        if item.has("line_id") or item.has("quantity"):
            item.note("fee_id", "stands alone")
        fees = self.sale.snapshot["fees"]
        position = next((len(self.lines) + i for i, fee in enumerate(fees) if fee[0] == fee_id), None)
        if position is None:
            item.note("fee_id", "no such fee")
        elif position in self.before.fees or position in self.fees:
            item.note("fee_id", "is returned already")
        else:
            self.fees.add(position)

    def document(self) -> dict[str, Any]:
        """The refund with all that follows from it."""
        kept = Replay(self.sale, self.returned, self.policy).run()
        values = self._money() if self.money_only else self._values(kept)
        after = Aftermath(self.sale, self.before, self, kept)
        deductions = [] if self.money_only else after.deductions(sum(values))
        values = _less(values, sum(deduction["amount"] for deduction in deductions))
        amount = sum(values)
        tenders = self._tenders(amount)
        return {
            "policy": self.policy or self._policy_word(),
            "amount": amount,
            "lines": self._line_items(values),
            "tenders": tenders,
            "accounts": _accounts(tenders),
            "coupons": after.coupons(tenders),
            "points": after.points(amount),
            "rewards": after.rewards(),
            "gifts": after.gifts(deductions),
            "deductions": deductions,
            "settlement": after.settlement(values, tenders),
            "commission": after.commission(values),
        }

    def _policy_word(self) -> str:
        words = {policy_of(step, None) for step in self.sale.steps if step.benefit is not None}
        return "recompute" if "recompute" in words else "prorata"

    def _money(self) -> list[int]:
        """A sum without goods, over what is left on every line and fee."""
        amount = self.reader.integer("amount", None, 1)
        self.notes.raise_any()
        left = self.before.refundable
        if amount > left:
            raise fail("/amount", f"only {left} fen are left to give back")
        open_amounts = [max(0, due - given) for due, given in zip(self.due, self.before.given, strict=True)]
        return largest_remainder(amount, open_amounts if sum(open_amounts) >= amount else self.due)

    def _values(self, kept: Kept) -> list[int]:
        """By line and fee, what the returned goods are worth now."""
        before = self.before
        values = [0] * len(self.due)
        for position in self.fees:
            values[position] = max(0, self.due[position] - before.given[position])
        fees_kept = sum(
            max(0, self.due[i] - before.given[i])
            for i in range(len(self.lines), len(self.due))
            if i not in before.fees and i not in self.fees
        )
        room = max(0, before.refundable - fees_kept - sum(values))
        shares = self._shares()
        total = min(room, self._worth(kept, shares, room))
        if all(done == line.quantity for done, line in zip(self.returned, self.lines, strict=True)):
            total = room
        if total != sum(shares):
            shares = self._respread(total, shares)
        return [a + b for a, b in zip(values, [*shares, *[0] * (len(values) - len(shares))], strict=True)]

    def _shares(self) -> list[int]:
        """Each returned line's share of what was paid for it, the last unit taking what is left of it."""
        shares = []
        for i, line in enumerate(self.lines):
            done, taken = self.before.quantities[i], self.taken[i]
            left = max(0, self.due[i] - self.before.given[i])
            if taken and done + taken == line.quantity:
                shares.append(left)
            else:
                part = self.due[i] * (done + taken) // line.quantity - self.due[i] * done // line.quantity
                shares.append(min(part, left))
        return shares

    def _recomputes(self) -> bool:
        return any(policy_of(step, self.policy) == "recompute" for step in self.sale.steps)

    def _worth(self, kept: Kept, shares: list[int], room: int) -> int:
        """What the returned lines come to: their shares, or what was paid less the price of what is kept."""
        if not self._recomputes():
            return sum(shares)
        price = 0
        for i, line in enumerate(self.lines):
            done = self.returned[i]
            if done == line.quantity:
                continue
            waived = self.sale.snapshot["points_by"][i] + self.sale.snapshot["rounding_by"][i] + self.before.money[i]
            price += max(0, kept.nets[i] - kept_part(waived, line.quantity, done))
        gross = sum(
            line.gross * self.returned[i] // line.quantity - line.gross * self.before.quantities[i] // line.quantity
            for i, line in enumerate(self.lines)
        )
        return max(0, min(room - price, gross))

    def _respread(self, total: int, shares: list[int]) -> list[int]:
        """The total over the returned lines by largest remainder on their shares, else on their gross."""
        weights = (
            shares
            if sum(shares)
            else [line.gross if taken else 0 for line, taken in zip(self.lines, self.taken, strict=True)]
        )
        if not sum(weights):
            weights = [1 if taken else 0 for taken in self.taken]
        return largest_remainder(total, weights) if sum(weights) else [0] * len(weights)

    def _tenders(self, amount: int) -> list[dict[str, Any]]:
        """Over the tenders, by what is still refundable on each, or in the order asked for."""
        tenders = self.sale.snapshot["tenders"]
        left = self.before.tenders_left
        if not tenders:
            return []
        if amount > sum(left):
            raise fail("/amount", f"only {sum(left)} fen were paid and are left to give back")
        parts = self._in_order(amount, left) if self.reader.has("tender_order") else largest_remainder(amount, left)
        return [self._tender(t, tender, part) for t, (tender, part) in enumerate(zip(tenders, parts, strict=True))]

    def _in_order(self, amount: int, left: list[int]) -> list[int]:
        """First the tenders named, in that order, then the others by largest remainder."""
        names = self.reader.data["tender_order"]
        tenders = self.sale.snapshot["tenders"]
        parts = [0] * len(left)
        rest = list(left)
        if not isinstance(names, list | tuple):
            raise fail("/tender_order", "must be a list of tenders' ids or methods")
        for i, name in enumerate(names):
            named = [t for t, tender in enumerate(tenders) if name in (tender["id"], tender["method"])]
            if not named:
                raise fail(f"/tender_order/{i}", "no such tender")
            for t in named:
                part = min(amount, rest[t])
                parts[t] += part
                amount -= part
                rest[t] = 0
        others = largest_remainder(amount, rest)
        return [a + b for a, b in zip(parts, others, strict=True)]

    def _tender(self, t: int, tender: Mapping[str, Any], part: int) -> dict[str, Any]:
        document: dict[str, Any] = {"id": tender["id"], "amount": part}
        if tender["buckets"] is not None:
            left = self.before.buckets_left[t]
            document["buckets"] = dict(zip(("real", "gift", "prepaid"), largest_remainder(part, left), strict=True))
        return document

    def _line_items(self, values: list[int]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for i, line in enumerate(self.lines):
            if self.taken[i]:
                items.append({"line_id": line.line_id, "quantity": format_quantity(self.taken[i]), "amount": values[i]})
            elif values[i]:
                items.append({"line_id": line.line_id, "amount": values[i]})
        for f, fee in enumerate(self.sale.snapshot["fees"]):
            position = len(self.lines) + f
            if position in self.fees or values[position]:
                item = {"fee_id": fee[0], "amount": values[position]}
                items.append(item if position in self.fees else {**item, "partial": True})
        return items


def _less(values: list[int], deducted: int) -> list[int]:
    """The values with a deduction taken off by largest remainder."""
    if not deducted:
        return values
    return [a - b for a, b in zip(values, largest_remainder(deducted, values), strict=True)]


def _accounts(tenders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    parts = [tender["buckets"] for tender in tenders if "buckets" in tender]
    if not parts:
        return {}
    return {"stored_value": {name: sum(part[name] for part in parts) for name in ("real", "gift", "prepaid")}}
