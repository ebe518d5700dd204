"""What a sale was paid with beside money, and how much of that comes back with a refund's lines and fees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from gateway.engine.model import Json


class BesideMoney:
    """Points and rounding, as the sale's price spread them over its lines and fees: the part that comes back now.

    A line's part follows its units, earlier refunds counted in, so that the last unit brings what is left; a fee's
    comes with the whole fee. Money that is given back without goods brings none. Amounts in fen.
    """

    def __init__(self, quote: Json, earlier: Iterable[Json], result: Json) -> None:
        self._sold = {line["line_id"]: Decimal(line["quantity"]) for line in quote["lines"]}
        self._before = _units(item for refund in earlier for item in refund["gives_back"]["lines"])
        self._now = _units(result["lines"])
        self._fees = [fee["fee_id"] for fee in quote["fees"]]
        self._fees_now = {item["fee_id"] for item in result["lines"] if "fee_id" in item and not item.get("partial")}
        snapshot = quote["snapshot"]
        points, rounding = self._back(snapshot["points_by"]), self._back(snapshot["rounding_by"])
        self.points_amount, self.rounding_amount = sum(points), sum(rounding)
        self._by_line = {name: a + b for name, a, b in zip(self._sold, points, rounding, strict=False)}

    def of(self, line_id: str) -> int:
        """Of one line, points and rounding together."""
        return self._by_line.get(line_id, 0)

    def _back(self, shares: Sequence[int]) -> list[int]:
        """By line, then by fee."""
        lines = [self._of_line(name, share) for name, share in zip(self._sold, shares, strict=False)]
        return lines + [
            share if name in self._fees_now else 0 for name, share in zip(self._fees, shares[len(lines) :], strict=True)
        ]

    def _of_line(self, name: str, share: int) -> int:
        sold, before = self._sold[name], self._before[name]
        return int(share * (before + self._now[name]) // sold) - int(share * before // sold)


def _units(items: Iterable[Json]) -> defaultdict[str, Decimal]:
    """Units by line; what came without goods counts none."""
    units: defaultdict[str, Decimal] = defaultdict(Decimal)
    for item in items:
        if "line_id" in item:
            units[item["line_id"]] += Decimal(item.get("quantity") or 0)
    return units
