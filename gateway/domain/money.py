"""Exact arithmetic on money: whole fen, basis points, quantities in thousandths. No float, no hidden rounding.

Money is a signed `int` in minor units (fen). A rate is an `int` in basis points of what is paid (9500 = 95 %).
A quantity travels as a decimal string with at most three places and is computed with as whole thousandths.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

FULL_RATE_BP: Final = 10_000
QUANTITY_SCALE: Final = 1_000
MAX_AMOUNT: Final = 999_999_999_999  # twelve digits: the amount field of the bank's and the tills' protocols
MAX_QUANTITY: Final = 999_999_999  # in thousandths


def half_up(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest whole number, halves away from zero, so that a refund mirrors its sale.

    Raises `ZeroDivisionError` for a zero denominator.
    """
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def price_at(net: int, rate_bp: int) -> int:
    """What is paid for `net` fen at `rate_bp` basis points; the discount is the difference."""
    return half_up(net * rate_bp, FULL_RATE_BP)


def gross_of(unit_amount: int, quantity: int) -> int:
    """Unit price in fen times a quantity in thousandths, rounded once."""
    if quantity % QUANTITY_SCALE == 0:
        return unit_amount * (quantity // QUANTITY_SCALE)
    return half_up(unit_amount * quantity, QUANTITY_SCALE)


def largest_remainder(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` fen in proportion to `weights`, exactly.

    Each share is floored; the fen left over go one each to the larger fraction, then the larger weight, then the
    lower position. The shares add up to the amount, and none is above its weight while the amount is not above
    the weights' sum.

    Raises `ValueError` for a negative weight, and when there is something to split and nothing to split it on.
    """
    if amount < 0:
        return [-share for share in largest_remainder(-amount, weights)]
    total = sum(weights)
    if len(weights) == 1 and total > 0:
        return [amount]
    if weights and min(weights) < 0:
        raise ValueError("a weight is negative")
    if total == 0:
        if amount:
            raise ValueError(f"{amount} fen cannot be split over weights that are all zero")
        return [0] * len(weights)
    shares = [amount * weight // total for weight in weights]
    left = amount - sum(shares)
    if left:
        order = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), -weights[i], i))
        for position in order[:left]:
            shares[position] += 1
    return shares


def part_of(net: int, whole: int, done: int, taken: int) -> int:
    """What `taken` of `whole` units are worth when `done` were taken before: the last unit takes the rest.

    `whole`, `done` and `taken` are in one unit, pieces or thousandths. All takings together add up to `net`.
    Raises `ValueError` when more is taken than there is.
    """
    if whole <= 0 or done < 0 or taken < 0 or done + taken > whole:
        raise ValueError(f"{taken} of {whole} units cannot be taken after {done}")
    return net * (done + taken) // whole - net * done // whole


def split_units(net: int, count: int) -> list[int]:
    """`net` fen over `count` equal units: 4 over 3 gives 1, 1, 2."""
    marks = [net * done // count for done in range(count + 1)]
    return [after - before for before, after in pairwise(marks)]


def parse_quantity(text: str) -> int:
    """A decimal string such as `"2"` or `"0.625"` in thousandths.

    Raises `ValueError` for any other form, for more than three places, for zero and for more than `MAX_QUANTITY`.
    """
    whole, point, places = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or len(whole) > 6:
        raise ValueError("must be a decimal string of at most 6 digits and 3 places")
    if point and not (places.isascii() and places.isdigit() and len(places) <= 3):
        raise ValueError("must be a decimal string of at most 6 digits and 3 places")
    quantity = int(whole) * QUANTITY_SCALE + int(places.ljust(3, "0") if places else 0)
    if quantity <= 0:
        raise ValueError("must be above 0")
    return quantity


def format_quantity(quantity: int) -> str:
    """Thousandths as the shortest decimal string: 2000 is `"2"`, 625 is `"0.625"`."""
    whole, rest = divmod(quantity, QUANTITY_SCALE)
    return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)


def format_yuan(amount: int) -> str:
    """Fen for people: 12345 is `"123.45"`."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"
