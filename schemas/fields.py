"""The fields of the wire format: strict, because a value that is nearly right is refused and never guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, ClassVar

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate, validates_schema

from schemas.cards import holds_card_number

#: The highest amount in minor units: twelve digits, the amount field of the bank's and the tills' protocols.
AMOUNT_MOST = 999_999_999_999
CARD_DATA = "must hold no card data"
UNKNOWN = "Unknown field."

#: What nobody sees, so that two texts look the same: controls, Unicode's format characters (Cf), line separators.
_UNSEEN = (
    r"\u0080-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
)
_UNSEEN_FAR = (
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0001\U000e0020-\U000e007f"
)
#: Matches a text without control characters and halves of surrogate pairs; joiners of emoji may be in it.
plain_text = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*\Z").match
#: Matches such a text in which everything can be seen, as names of things must be.
seen_text = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff{_UNSEEN}{_UNSEEN_FAR}]*\Z").match
#: Much the same in the words of JSON Schema.
PLAIN, SEEN = r"^[^\u0000-\u001f\u007f]*$", rf"^[^\u0000-\u001f\u007f{_UNSEEN}]*$"
#: A number of the platform's neither begins nor ends with a space, and has no other space than the usual one.
_SPACES = r"\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_INNER, _OUTER = (rf"[^\x00-{end}\x7f\ud800-\udfff{_UNSEEN}{_UNSEEN_FAR}{_SPACES}]" for end in (r"\x1f", r"\x20"))
number_text = re.compile(rf"(?:{_OUTER}(?:{_INNER}*{_OUTER})?)?\Z").match
_INNER, _OUTER = (rf"[^\u0000-{end}\u007f{_UNSEEN}{_SPACES}]" for end in (r"\u001f", r"\u0020"))
NUMBER = rf"^{_OUTER}({_INNER}*{_OUTER})?$"
_QUANTITY = re.compile(r"(?!0+(\.0+)?\Z)(0|[1-9][0-9]{0,5})(\.[0-9]{1,3})?\Z")
_MOMENT = re.compile(
    r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-][01][0-9]:[0-5][0-9])\Z"
)
_DAY = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]\Z")
_DIGITS = re.compile(r"-?[0-9]{1,18}\Z")


class Request(Schema):
    """What is sent to us: a field that does not exist is refused. ``example`` is shown in the document."""

    example: ClassVar[dict[str, Any] | None] = None

    class Meta:
        unknown = RAISE

    def across(self, data: dict[str, Any]) -> None:
        """Check what no field can by itself, once each field is right. Raises ``ValidationError``."""

    @validates_schema
    def check_across(self, data: dict[str, Any], **kwargs: Any) -> None:
        """See ``across``."""
        self.across(data)


class Resource(Schema):
    """What we send: it may grow, so a reader must pass over what it does not know."""

    class Meta:
        unknown = EXCLUDE


def pattern_of(pattern: re.Pattern[str]) -> str:
    """A pattern as JSON Schema has it."""
    return f"^{pattern.pattern.removesuffix(chr(92) + 'Z')}$"


class Whole(fields.Integer):
    """A whole number: neither ``"5"`` nor ``5.0`` nor ``true``."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(low, high, error="must be {min} to {max}"), **kwargs)

    def _validated(self, value: Any) -> int:
        if type(value) is not int:
            raise ValidationError("must be a whole number")
        return value


class Amount(Whole):
    """Money in minor units (fen)."""

    def __init__(self, low: int = 0, high: int = AMOUNT_MOST, **kwargs: Any) -> None:
        super().__init__(low, high, **kwargs)


class Text(fields.String):
    """A text of ``low`` to ``high`` characters without control characters and others that nobody sees."""

    _allowed, _shown, _wrong = (
        staticmethod(seen_text),
        SEEN,
        "must hold no control characters and none that nobody sees",
    )

    def __init__(self, low: int = 1, high: int = 64, pattern: re.Pattern[str] | None = None, **kwargs: Any) -> None:
        self.pattern = pattern
        metadata: dict[str, Any] = kwargs.pop("metadata", {})
        if "enum" not in metadata:
            metadata = {"pattern": pattern_of(pattern) if pattern else self._shown} | metadata
        self.low, self.high = low, high
        limits = validate.Length(low, high, error="must have {min} to {max} characters")
        super().__init__(validate=limits, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if type(value) is not str:
            raise ValidationError("must be a text")
        if self._allowed(value) is None:
            raise ValidationError(self._wrong)
        if self.pattern is not None and self.pattern.match(value) is None:
            raise ValidationError(self.metadata.get("expected", f"must match {pattern_of(self.pattern)}"))
        return value


class FreeText(Text):
    """Words of a person; card numbers are refused."""

    _allowed, _shown, _wrong = staticmethod(plain_text), PLAIN, "must hold no control characters"

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if holds_card_number(text):
            raise ValidationError(CARD_DATA)
        return text


class OwnNumber(Text):
    """A number that the platform gives: two that look the same are the same, or a repeat would be another sale."""

    _allowed, _shown, _wrong = (
        staticmethod(number_text),
        NUMBER,
        "must hold no control characters, none that nobody sees, and no space at its begin or end or but the usual one",
    )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not unicodedata.is_normalized("NFC", text):
            raise ValidationError("must be composed (Unicode NFC)")
        return text


class Quantity(Text):
    """A quantity above 0 as a decimal text with at most 3 places."""

    def __init__(self, **kwargs: Any) -> None:
        expected = 'must be a decimal text above 0 with at most 3 places, such as "1" or "0.325"'
        metadata = {"expected": expected, "examples": ["1"]} | kwargs.pop("metadata", {})
        super().__init__(1, 10, _QUANTITY, metadata=metadata, **kwargs)


class Moment(Text):
    """A time in RFC 3339 with its offset; it stays the text that was sent."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"format": "date-time", "expected": "must be a time with its offset (RFC 3339)"}
        super().__init__(17, 40, _MOMENT, metadata=metadata | kwargs.pop("metadata", {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ValidationError("is no time that exists") from None
        return text


class Day(Text):
    """A date without a time, as a text."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"format": "date", "expected": "must be a date, YYYY-MM-DD"} | kwargs.pop("metadata", {})
        super().__init__(10, 10, _DAY, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            date.fromisoformat(text)
        except ValueError:
            raise ValidationError("is no date that exists") from None
        return text


class Word(Text):
    """One of a few words."""

    def __init__(self, *words: str, **kwargs: Any) -> None:
        self.words = frozenset(words)
        metadata = {"enum": sorted(words)} | kwargs.pop("metadata", {})
        super().__init__(1, 64, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if type(value) is not str or value not in self.words:
            raise ValidationError(f"must be one of: {', '.join(sorted(self.words))}")
        return value


class Flag(fields.Boolean):
    """``true`` or ``false``; in a query the words."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if value is True or value == "true":
            return True
        if value is False or value == "false":
            return False
        raise ValidationError("must be true or false")


class Listed(fields.List[Any]):
    """A JSON list of limited length."""

    def __init__(self, inner: fields.Field[Any], low: int = 0, high: int = 200, **kwargs: Any) -> None:
        self.low, self.high = low, high
        limits = validate.Length(low, high, error="must have {min} to {max} items")
        super().__init__(inner, validate=limits, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> list[Any]:
        if type(value) is not list:
            raise ValidationError("must be a list")
        if len(value) > self.high:  # before each item of far too many is looked at
            raise ValidationError(f"must have {self.low} to {self.high} items")
        return super()._deserialize(value, attr, data, **kwargs)


class QueryWhole(Whole):
    """A whole number in a query."""

    def _validated(self, value: Any) -> int:
        if type(value) is not str or _DIGITS.match(value) is None:
            raise ValidationError("must be a whole number")
        return int(value)


class QueryDegrees(fields.Float):
    """A place's degrees in a query."""

    def __init__(self, most: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(-most, most, error="must be {min} to {max}"), **kwargs)

    def _validated(self, value: Any) -> float:
        if re.match(r"-?[0-9]{1,3}(\.[0-9]{1,12})?\Z", str(value)) is None:
            raise ValidationError("must be degrees, such as 31.2304")
        return float(value)


class Codes(Text):
    """Codes in a query, with commas between them."""

    def __init__(self, most: int, **kwargs: Any) -> None:
        self.most = most
        super().__init__(1, 2000, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        codes = list(dict.fromkeys(text.split(",")))
        if not all(0 < len(code) <= 64 for code in codes) or len(codes) > self.most:
            raise ValidationError(f"must be 1 to {self.most} codes of 1 to 64 characters, with commas between them")
        return codes
