"""Scale labels and in-store codes: what the digits of a printed label mean is each shop's own choice.

A rule says: labels of this length with this prefix hold a PLU of so many digits, then an amount in fen, then a weight
in grams, each of so many digits or absent, and an EAN check digit (weights 3, 1 from the right, modulo 10). The three
layouts in use are ``21`` + PLU 5 + amount 5, ``22`` + PLU 5 + grams 5 (13 digits), and ``26`` + PLU 5 + amount 5 +
grams 5 (18 digits). A shop may use ``21`` for weights: nothing is guessed from the prefix alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.sdk.parsing import ParseError


def check_digit(digits: str) -> int:
    """The EAN check digit of ``digits`` (without one): weights 3, 1, 3, … from the right, modulo 10."""
    if not re.fullmatch(r"\d{1,64}", digits, re.ASCII):
        raise ParseError("not 1 to 64 digits")
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits)))
    return -total % 10


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How a shop lays out one kind of label; numbers of digits, 0 where the label does not carry the figure."""

    prefix: str
    length: int
    plu: int = 5
    amount: int = 0
    weight: int = 0

    def __post_init__(self) -> None:
        if not (self.prefix.isascii() and self.prefix.isdigit()):
            raise ValueError(f"prefix {self.prefix!r} is not digits")
        if min(self.plu, self.amount, self.weight) < 0 or self.plu == 0:
            raise ValueError("a label needs a PLU, and no field may be shorter than 0")
        if len(self.prefix) + self.plu + self.amount + self.weight + 1 != self.length:
            raise ValueError(f"prefix {self.prefix}: fields and check digit do not add up to {self.length} digits")


#: The layouts most shops use.
DEFAULT_RULES = (
    LabelRule("21", 13, amount=5),
    LabelRule("22", 13, weight=5),
    LabelRule("26", 18, amount=5, weight=5),
)


@dataclass(frozen=True, slots=True)
class Label:
    """What a label says: PLU, ``amount`` in fen or ``None``, ``grams`` or ``None``."""

    plu: str
    amount: int | None
    grams: int | None


def is_scale_label(text: str, rules: Sequence[LabelRule]) -> bool:
    """Whether some rule of the shop claims this code (its check digit may still be wrong)."""
    return any(len(text) == rule.length and text.startswith(rule.prefix) for rule in rules)


def parse_label(text: str, rules: Sequence[LabelRule] = DEFAULT_RULES) -> Label:
    """Read a label by the shop's rules; the longest prefix wins. Raises :class:`ParseError`."""
    if not (text.isascii() and text.isdigit()) or len(text) > 64:
        raise ParseError("label: not digits")
    matching = [rule for rule in rules if len(text) == rule.length and text.startswith(rule.prefix)]
    if not matching:
        raise ParseError("label: no rule of this shop claims it")
    if check_digit(text[:-1]) != int(text[-1]):
        raise ParseError("label: check digit does not agree")
    rule = max(matching, key=lambda candidate: len(candidate.prefix))
    start = len(rule.prefix)
    plu, rest = text[start : start + rule.plu], text[start + rule.plu : -1]
    amount = int(rest[: rule.amount]) if rule.amount else None
    grams = int(rest[rule.amount :]) if rule.weight else None
    return Label(plu, amount, grams)


def encode_label(label: Label, rule: LabelRule) -> str:
    """Print a label by one rule. Raises ``ValueError`` when a figure is missing or does not fit its digits."""
    body = rule.prefix
    for name, value, digits in (
        ("plu", label.plu, rule.plu),
        ("amount", label.amount, rule.amount),
        ("weight", label.grams, rule.weight),
    ):
        if not digits:
            continue
        text = "" if value is None else str(value).rjust(digits, "0")
        if len(text) != digits or not text.isdigit():
            raise ValueError(f"label: {name} {value!r} does not fit {digits} digits")
        body += text
    return body + str(check_digit(body))
