"""Recognises card numbers in free text. Never used on payment codes and order numbers: one in ten would pass Luhn."""

from __future__ import annotations

import re

_CANDIDATE = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
#: First digits of the schemes' cards: Visa, Mastercard, American Express, JCB, Discover, UnionPay.
_ISSUERS = re.compile(r"4|5[1-5]|2[2-7]|3[47]|35|6011|64[4-9]|65|62|60|81")

#: Names under which card data is sent by mistake.
CARD_FIELDS = frozenset(
    [
        "pan",
        "card_number",
        "card_no",
        "cardnumber",
        "cvv",
        "cvc",
        "cvv2",
        "cvn2",
        "track1",
        "track2",
        "pin",
        "pin_block",
    ]
)


def holds_card_number(text: str) -> bool:
    """Whether some digits of the text begin like a card's, are as many, and pass the Luhn check."""
    return any(_is_card(re.sub("[ -]", "", found)) for found in _CANDIDATE.findall(text))


def _is_card(digits: str) -> bool:
    if _ISSUERS.match(digits) is None:
        return False
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
