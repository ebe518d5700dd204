"""In-store bar codes of weighed goods: prefix, article, then the amount in fen or the weight in grams, or both.

Thirteen digits hold one of the two, eighteen hold both; the last digit checks the others, weighted 3, 1 from the
right (EAN).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.domain.money import QUANTITY_SCALE, gross_of, half_up

LAYOUTS: Final = {"plu5_amount5": 13, "plu5_weight5": 13, "plu5_amount5_weight5": 18}


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What a shop prints behind a prefix."""

    prefix: str
    layout: str
    sku_map: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Label:
    """What a label says: amount in fen or None, weight in grams (thousandths of a kilogram) or None."""

    plu: str
    sku: str
    amount: int | None
    weight: int | None


def check_digit(digits: str) -> int:
    """The digit that makes the whole a valid code."""
    total = sum(int(digit) * (3 if i % 2 == 0 else 1) for i, digit in enumerate(reversed(digits)))
    return -total % 10


def read_label(code: str, rules: tuple[LabelRule, ...]) -> Label:
    """Raises `ValueError` for a code that no rule reads, a wrong check digit, or an article that is not mapped."""
    if not (code.isascii() and code.isdigit()):
        raise ValueError("must be digits")
    rule = next((r for r in rules if code.startswith(r.prefix) and len(code) == LAYOUTS[r.layout]), None)
    if rule is None:
        raise ValueError("no label rule reads this code")
    expected = check_digit(code[:-1])
    if expected != int(code[-1]):
        raise ValueError(f"the check digit is {code[-1]} and should be {expected}")
    body = code[len(rule.prefix) : -1]
    plu, first, second = body[:5], body[5:10], body[10:15]
    if rule.sku_map and plu not in rule.sku_map:
        raise ValueError(f"article {plu} is not in the rule's sku_map")
    sku = rule.sku_map.get(plu, plu)
    if rule.layout == "plu5_amount5":
        return Label(plu, sku, int(first), None)
    if rule.layout == "plu5_weight5":
        return Label(plu, sku, None, _weight(first))
    return Label(plu, sku, int(first), _weight(second))


def _weight(digits: str) -> int:
    weight = int(digits)
    if weight == 0:
        raise ValueError("the weight on the label is 0")
    return weight


def label_price(label: Label, unit_amount: int | None) -> tuple[int, int, int]:
    """Quantity in thousandths, unit price and gross of a labelled line; the amount on the label is what counts.

    Raises `ValueError` for a weight without a price.
    """
    quantity = label.weight or QUANTITY_SCALE
    if label.amount is None:
        if unit_amount is None:
            raise ValueError("a label with a weight alone needs unit_amount")
        return quantity, unit_amount, gross_of(unit_amount, quantity)
    if label.weight is None:
        return quantity, label.amount, label.amount
    unit = half_up(label.amount * QUANTITY_SCALE, label.weight) if unit_amount is None else unit_amount
    return quantity, unit, label.amount
