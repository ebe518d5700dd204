"""Money of old systems as integer fen, and back. Never a float; a digit too many is an error and not rounded.

| theirs | reader | writer |
|---|---|---|
| yuan as text, ``268.00``, ``1,268.5``, ``￥-3.00``, ``3.00-`` | ``parse_yuan`` | ``format_yuan`` |
| fen with the point implied, zero filled, ``000000026800``, ``00000000050-`` | ``parse_implied`` | ``format_implied`` |
| a number column that the driver hands over as ``Decimal``, ``int``, ``float`` or text | ``fen_of_column`` | |
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from gateway.sdk.convert.text import narrow
from gateway.sdk.parsing import ParseError, shown

_YUAN = re.compile(
    r"(?P<lead>[+-]?)(?P<whole>\d{1,3}(?:,\d{3}){1,4}|\d{1,13})(?:\.(?P<cents>\d{1,4}))?(?P<trail>[+-]?)"
)
_DIGITS = re.compile(rb"\d{1,18}")


def parse_yuan(text: str, *, places: tuple[int, ...] = (0, 1, 2)) -> int:
    """Yuan as text in fen: ``"268.00"`` → 26800.

    Blanks around it, a currency sign, thousands' commas, full-width digits and a sign at either end are understood.
    ``places`` are the numbers of decimals that may stand there: a till that always writes two has lost a digit when
    there is one, so give ``(2,)``. A third and fourth decimal, where allowed, must be 0. Raises ``ParseError``.
    """
    value = narrow(text).strip().lstrip("¥$").strip().removesuffix("元").strip() if len(text) <= 64 else ""
    sign, value = ("-", value[1:].lstrip("¥$")) if value.startswith("-") else ("", value)
    found = _YUAN.fullmatch(sign + value)
    if not found or not value.isascii():
        raise ParseError(f"not an amount in yuan: {shown(text)}")
    cents = found["cents"] or ""
    if len(cents) not in places:
        raise ParseError(f"an amount with {len(cents)} decimals: {shown(text)}")
    if found["lead"] and found["trail"]:
        raise ParseError(f"an amount with two signs: {shown(text)}")
    if cents[2:].strip("0"):
        raise ParseError(f"an amount finer than a fen: {shown(text)}")
    fen = int(found["whole"].replace(",", "")) * 100 + int(cents[:2].ljust(2, "0"))
    return -fen if "-" in (found["lead"], found["trail"]) else fen


def format_yuan(fen: int, *, trailing_sign: bool = False) -> str:
    """Fen as yuan with two decimals: ``-5`` → ``"-0.05"``, or ``"0.05-"`` with ``trailing_sign``."""
    text = f"{abs(fen) // 100}.{abs(fen) % 100:02d}"
    if fen >= 0:
        return text
    return f"{text}-" if trailing_sign else f"-{text}"


def parse_implied(raw: bytes, *, decimals: int = 2) -> int:
    """Zero- or blank-filled digits with an implied point in fen: ``b"00000000050-"`` → -50.

    The sign stands at either end, or nowhere; blanks alone are 0. ``decimals`` are the places that are implied (3 for
    a system that counts li, where the last must be 0). Raises ``ParseError``.
    """
    value = raw.strip(b" ")
    if not value:
        return 0
    negative = value[:1] == b"-" or value[-1:] == b"-"
    digits = value[1:] if value[:1] in (b"-", b"+") else value[:-1] if value[-1:] in (b"-", b"+") else value
    if not _DIGITS.fullmatch(digits):
        raise ParseError(f"not digits: {shown(raw)}")
    number = int(digits)
    fen, rest = divmod(number * 100, int("1" + "0" * decimals))
    if rest:
        raise ParseError(f"an amount finer than a fen: {shown(raw)}")
    return -fen if negative else fen


def format_implied(fen: int, width: int) -> bytes:
    """Fen as zero-filled digits of this width in bytes, a minus at the end: ``-50`` → ``b"00000000050-"``.

    Raises ``ParseError`` when it does not fit.
    """
    text = f"{fen:0{width}d}" if fen >= 0 else f"{-fen:0{width - 1}d}-"
    if len(text) > width:
        raise ParseError(f"{fen} does not fit {width} bytes")
    return text.encode()


def parse_digits(raw: bytes, what: str = "field") -> int:
    """A number in a field of digits; blanks alone are 0. Raises ``ParseError`` that names the field."""
    value = raw.strip(b" ")
    if not value:
        return 0
    if not _DIGITS.fullmatch(value):
        raise ParseError(f"{what} is not digits: {shown(raw)}")
    return int(value)


def fen_of_column(value: object, *, unit: str = "yuan") -> int:
    """Fen of a number column, whatever the driver makes of it, rounded half up to a fen.

    A ``float`` is read by its shortest decimal form, so that 0.29 is 29 and not 28. ``unit`` is ``yuan`` or ``fen``.
    Raises ``ParseError`` for NULL, text that is no number, infinities.
    """
    if value is None or isinstance(value, bool):
        raise ParseError(f"not an amount in a column: {shown(value)}")
    try:
        number = Decimal(value.decode("ascii") if isinstance(value, bytes) else str(value).strip())
    except (InvalidOperation, UnicodeDecodeError, ValueError) as error:
        raise ParseError(f"not an amount in a column: {shown(value)}") from error
    if not number.is_finite() or abs(number) >= 10**13:
        raise ParseError(f"an amount out of range in a column: {shown(value)}")
    return int((number * (100 if unit == "yuan" else 1)).quantize(Decimal(1), ROUND_HALF_UP))
