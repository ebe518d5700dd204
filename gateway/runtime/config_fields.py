"""The fields and checks that configuration files are made of; strict, because TOML has types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

ID = validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", error="expected letters, digits, '.', '_' or '-'")
NOT_EMPTY = validate.Length(min=1, error="must not be empty")
BASIS_POINTS = validate.Range(0, 10000, error="expected basis points, 0 to 10000")
AT_LEAST_0 = validate.Range(min=0, error="must not be negative")
ABOVE_0 = validate.Range(min=0, min_inclusive=False, error="must be above 0")
PORT = validate.Range(0, 65535, error="expected a port, 0 to 65535")
PUBLIC_URL = validate.Regexp(
    r"(https?://[A-Za-z0-9.:\[\]-]+)?\Z", error="expected an address without a path, as https://gateway.example"
)
TIME_OF_DAY = validate.Regexp(r"([01]\d|2[0-3]):[0-5]\d\Z", error="expected a time of day, HH:MM")
HOURS = validate.Regexp(
    r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)\Z", error="expected opening hours, HH:MM-HH:MM"
)


class Whole(fields.Integer):
    """A whole number as TOML writes it: neither ``"5"`` nor ``5.0`` nor ``true``."""

    def _validated(self, value: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid")
        return value


class Seconds(fields.Float):
    """A duration in seconds, whole or not."""

    def _validated(self, value: Any) -> float:
        if type(value) not in (int, float):
            raise self.make_error("invalid")
        return float(super()._validated(value) or 0.0)


class Flag(fields.Boolean):
    """``true`` or ``false``, not ``1`` or ``"yes"``."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return value


class Zone(fields.Field[ZoneInfo]):
    """A time zone by its name."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> ZoneInfo:
        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise ValidationError("expected a time zone, such as Asia/Shanghai") from None


class CodePattern(fields.Field["re.Pattern[str]"]):
    """A regular expression for codes."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> re.Pattern[str]:
        try:
            return re.compile(value)
        except (re.error, TypeError) as error:
            raise ValidationError(f"expected a regular expression: {error}") from None


class Texts(fields.List[str]):
    """A list of texts, made a tuple."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.String(validate=NOT_EMPTY), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        return tuple(super()._deserialize(value, attr, data, **kwargs))


class Tables(fields.List[dict[str, Any]]):
    """A list of tables, made a tuple; what is in them is the pricing engine's business."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Dict(keys=fields.String()), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        return tuple(super()._deserialize(value, attr, data, **kwargs))


class Form(Schema):
    """A table: unknown keys are refused; what is absent takes the default of the value that ``makes`` names."""

    makes: ClassVar[type | None] = None

    class Meta:
        unknown: ClassVar[str] = RAISE

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Any:
        return data if self.makes is None else self.makes(**data)
