"""The units of a scope in descending price, as runs of equal ones, so that a thousand pieces cost no more than one."""

from bisect import bisect_right
from collections.abc import Callable

from gateway.pricing.model import Line


class Units:
    """Units dearest first; equal prices by line. A line's money is split as in `split_units`: at most two prices a
    line."""

    __slots__ = ("counts", "ends", "places", "prices", "sums", "total")

    def __init__(self, positions: tuple[int, ...], nets: list[int], lines: tuple[Line, ...]) -> None:
        runs = []
        for i in positions:
            pieces = lines[i].pieces
            low, dearer = divmod(nets[i], pieces)
            if dearer:
                runs.append((-low - 1, i, dearer))
            runs.append((-low, i, pieces - dearer))
        runs.sort()
        self.prices = [-negative for negative, _, _ in runs]
        self.places = [i for _, i, _ in runs]
        self.counts = [count for _, _, count in runs]
        self.ends: list[int] = []
        self.sums = [0]
        self.total = 0
        for price, count in zip(self.prices, self.counts, strict=True):
            self.total += count
            self.ends.append(self.total)
            self.sums.append(self.sums[-1] + price * count)

    def price_of(self, index: int) -> int:
        """The price of the unit at a place in the descending order, from 0."""
        return self.prices[bisect_right(self.ends, index)]

    def sum_of(self, count: int) -> int:
        """What the first `count` units cost together."""
        if count >= self.total:
            return self.sums[-1]
        run = bisect_right(self.ends, count)
        before = self.ends[run - 1] if run else 0
        return self.sums[run] + (count - before) * self.prices[run]

    def weights(self, count: int) -> dict[int, int]:
        """What the first `count` units cost, by line in the order of the lines."""
        found: dict[int, int] = {}
        start = 0
        for price, place, end in zip(self.prices, self.places, self.ends, strict=True):
            taken = min(end, count) - start
            if taken <= 0:
                break
            found[place] = found.get(place, 0) + price * taken
            start = end
        return dict(sorted(found.items()))

    def last_of_groups(self, size: int, groups: int, off: Callable[[int], int]) -> tuple[int, int]:
        """The discount on the last unit of each group, and how many groups have one; dearer units have no less."""
        amount = used = start = 0
        for price, end in zip(self.prices, self.ends, strict=True):
            inside = min(end // size, groups) - min(start // size, groups)
            each = off(price) if inside else 0
            if each > 0:
                amount += each * inside
                used += inside
            start = end
        return amount, used

    def groups_above(self, size: int, groups: int, price: int) -> int:
        """How many groups cost more than a price; they are the first ones."""
        low, high = 0, groups
        while low < high:
            middle = (low + high + 1) // 2
            if self.sum_of(middle * size) - self.sum_of((middle - 1) * size) > price:
                low = middle
            else:
                high = middle - 1
        return low

    def above(self, count: int, price: int) -> tuple[dict[int, int], int]:
        """By line, what the first `count` units cost beyond a price each, and how many of them do."""
        off: dict[int, int] = {}
        units = start = 0
        for each, place, end in zip(self.prices, self.places, self.ends, strict=True):
            taken = min(end, count) - start
            if taken <= 0 or each <= price:
                break
            off[place] = off.get(place, 0) + (each - price) * taken
            units += taken
            start = end
        return dict(sorted(off.items())), units
