"""Strict reading of one JSON object: unknown members, missing ones and wrong types are noted with their path, never
guessed."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from gateway.domain.money import FULL_RATE_BP, MAX_AMOUNT, parse_quantity
from gateway.pricing.errors import PricingError, PricingErrors
from gateway.pricing.model import EMPTY

TEXT_LENGTH: Final = 128
_HOUR: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def escape(name: str) -> str:
    """A member's name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


class Notes:
    """The errors found so far."""

    __slots__ = ("errors",)

    def __init__(self) -> None:
        self.errors: list[PricingError] = []

    def add(self, pointer: str, detail: str) -> None:
        self.errors.append({"pointer": pointer, "detail": detail})

    def raise_any(self) -> None:
        """Raises `PricingErrors` if anything was noted."""
        if self.errors:
            raise PricingErrors(self.errors)


class Reader:
    """Reads the members of one object; every reading method notes an error and answers a harmless value."""

    __slots__ = ("data", "notes", "pointer")

    def __init__(self, data: object, pointer: str, notes: Notes, allowed: frozenset[str]) -> None:
        self.pointer = pointer
        self.notes = notes
        self.data: Mapping[str, Any] = {}
        if not isinstance(data, Mapping):
            notes.add(pointer, "must be an object")
            return
        self.data = data
        unknown = data.keys() - allowed
        if unknown:
            for name in sorted(map(str, unknown)):
                notes.add(f"{pointer}/{escape(name)}", "is not a field that is known here")

    def note(self, name: str, detail: str) -> None:
        self.notes.add(f"{self.pointer}/{name}", detail)

    def has(self, name: str) -> bool:
        return self.data.get(name) is not None

    def integer(self, name: str, default: int | None = None, low: int = 0, high: int = MAX_AMOUNT) -> int:
        """A whole number within its bounds; required when there is no default."""
        value = self.data.get(name)
        if type(value) is int and low <= value <= high:
            return value
        if value is None and default is not None:
            return default
        if value is None:
            self.note(name, "is required")
        elif type(value) is not int:
            self.note(name, "must be a whole number")
        else:
            self.note(name, f"must be between {low} and {high}")
        return low

    def maybe_integer(self, name: str, low: int = 0, high: int = MAX_AMOUNT) -> int | None:
        return None if self.data.get(name) is None else self.integer(name, None, low, high)

    def rate(self, name: str, default: int | None = None) -> int:
        return self.integer(name, default, 0, FULL_RATE_BP)

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self.maybe_text(name)
        if value is None:
            if self.data.get(name) is None:
                self.note(name, "is required")
            return ""
        return value

    def maybe_text(self, name: str) -> str | None:
        value = self.data.get(name)
        if value is None:
            return None
        if type(value) is str and 0 < len(value) <= TEXT_LENGTH:
            return value
        self.note(name, f"must be a string of 1 to {TEXT_LENGTH} characters")
        return None

    def flag(self, name: str, default: bool) -> bool:
        value = self.data.get(name)
        if value is None:
            return default
        if type(value) is not bool:
            self.note(name, "must be true or false")
            return default
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        value = self.data.get(name)
        if value is None and default is not None:
            return default
        if type(value) is str and value in choices:
            return value
        self.note(name, "is required" if value is None else f"must be one of {', '.join(choices)}")
        return choices[0]

    def quantity(self, name: str, whole_number: bool = False) -> int:
        """A decimal string in thousandths; 0 when it is wrong. `whole_number` also takes a JSON integer."""
        value = self.data.get(name)
        if whole_number and type(value) is int:
            value = str(value)
        if type(value) is not str:
            self.note(name, "is required" if value is None else 'must be a decimal string such as "1" or "0.625"')
            return 0
        try:
            return parse_quantity(value)
        except ValueError as error:
            self.note(name, str(error))
            return 0

    def names(self, name: str) -> frozenset[str]:
        """A list of strings, as a set."""
        value = self.data.get(name)
        if not value and (value is None or value == []):
            return EMPTY
        if not isinstance(value, list | tuple):
            self.note(name, "must be a list of strings")
            return EMPTY
        for i, item in enumerate(value):
            if type(item) is not str or not 0 < len(item) <= TEXT_LENGTH:
                self.note(f"{name}/{i}", f"must be a string of 1 to {TEXT_LENGTH} characters")
                return EMPTY
        return frozenset(value)

    def items(self, name: str) -> Iterator[tuple[object, str]]:
        """The members of a list with their pointers; nothing when it is absent."""
        value = self.data.get(name)
        if value is None:
            return
        if not isinstance(value, list | tuple):
            self.note(name, "must be a list")
            return
        for i, item in enumerate(value):
            yield item, f"{self.pointer}/{name}/{i}"

    def day(self, name: str) -> date | None:
        value = self.data.get(name)
        if value is None:
            return None
        if type(value) is str and _DATE.fullmatch(value):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        self.note(name, "must be a date such as 2014-03-08")
        return None

    def moment(self, name: str) -> datetime | None:
        value = self.data.get(name)
        if value is None:
            return None
        if type(value) is str and _TIME.fullmatch(value):
            try:
                return datetime.fromisoformat(value.upper())
            except ValueError:
                pass
        self.note(name, "must be a time with offset such as 2014-03-08T12:00:00+08:00")
        return None

    def moment_or_day(self, name: str) -> datetime | date | None:
        value = self.data.get(name)
        if type(value) is str and _DATE.fullmatch(value):
            return self.day(name)
        return self.moment(name)

    def moment_or_clock(self, name: str, midnight: datetime) -> datetime | None:
        """A moment, or a time of day counted from a day's beginning."""
        value = self.data.get(name)
        if type(value) is str and _HOUR.fullmatch(value):
            return midnight + timedelta(minutes=self.clock(name))
        return self.moment(name)

    def clock(self, name: str) -> int:
        """A time of day in minutes from midnight."""
        return clock_minutes(self.data.get(name), f"{self.pointer}/{name}", self.notes)


def clock_minutes(value: object, pointer: str, notes: Notes) -> int:
    """`"HH:MM"` up to `"24:00"` in minutes."""
    if type(value) is str and _HOUR.fullmatch(value):
        return int(value[:2]) * 60 + int(value[3:])
    notes.add(pointer, "must be a time of day such as 18:00, at most 24:00")
    return 0
