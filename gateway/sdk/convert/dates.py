"""Dates and times of old systems: without zone, without century, without year, in other calendars, as numbers.

Whatever has no zone is given one by :func:`local`; whatever has no century or year is completed from a date that the
caller knows (the run's date), never from the clock inside here.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal, InvalidOperation

from gateway.sdk.convert.text import narrow
from gateway.sdk.parsing import ParseError, shown

#: The dates that spreadsheets and OLE count from; day 60 of a spreadsheet never was, and no till is that old.
_SERIAL_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001 - it has no zone
_SERIAL_MOST = 2_958_465  # the last day of 9999
_ROC = 1911
_PARTS = re.compile(r"(\d{1,4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d{1,9})?)?", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)


def parse_date(text: str, *, today: date | None = None, roc: bool = False, pivot: int = 20) -> date:
    """A date of one of the usual forms. Raises ``ParseError``.

    - ``20140308``, ``2014-03-08``, ``2014/3/8``, ``2014年3月8日``: as they stand;
    - ``140308``, ``14-3-8``: the century is the one that makes it at most ``pivot`` years after ``today``;
    - ``0308``: the latest such day not after ``today`` (on 1 January a file of 31 December is last year's);
    - with ``roc``: ``1030308``, ``103/3/8`` count years from 1911, as in Taiwan.
    """
    value = narrow(text).strip()
    found = _PARTS.fullmatch(value)
    if found:
        year, month, day = found.groups()
    elif not _DIGITS.fullmatch(value):
        raise ParseError(f"not a date: {shown(text)}")
    elif len(value) == 4:
        return _latest(int(value[:2]), int(value[2:]), _needed(today, text), text)
    elif len(value) in ((6, 7) if roc else (6, 8)):
        year, month, day = value[:-4], value[-4:-2], value[-2:]
    else:
        raise ParseError(f"a date of {len(value)} digits: {shown(text)}")
    return _date(_year(year, roc, today, pivot, text), int(month), int(day), text)


def _year(digits: str, roc: bool, today: date | None, pivot: int, text: str) -> int:
    if roc:
        return int(digits) + _ROC
    if len(digits) == 4:
        return int(digits)
    if len(digits) == 2:
        newest = _needed(today, text).year + pivot
        return newest - (newest - int(digits)) % 100
    raise ParseError(f"a year of {len(digits)} digits: {shown(text)}")


def _needed(today: date | None, text: str) -> date:
    if today is None:
        raise ParseError(f"a date without its year, and no date to complete it from: {shown(text)}")
    return today


def _latest(month: int, day: int, today: date, text: str) -> date:
    for year in range(today.year, max(today.year - 9, 1), -1):  # 29 February may be eight years back
        try:
            found = date(year, month, day)
        except ValueError:
            continue
        if found <= today:
            return found
    raise ParseError(f"no such day: {shown(text)}")


def _date(year: int, month: int, day: int, text: str) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise ParseError(f"no such day: {shown(text)}") from error


def parse_time(text: str) -> time:
    """A time of day: ``23:30:00``, ``9:05``, ``233000``, ``2330``, full-width colons too. Fractions are dropped.

    Five digits are refused: ``90503`` is what a till writes that forgot a zero, and may be two different times.
    Raises ``ParseError``.
    """
    value = narrow(text).strip()
    found = _TIME.fullmatch(value)
    if found:
        hour, minute, second = (int(group or 0) for group in found.groups())
    elif _DIGITS.fullmatch(value) and len(value) in (4, 6):
        hour, minute, second = int(value[:2]), int(value[2:4]), int(value[4:] or 0)
    else:
        raise ParseError(f"not a time: {shown(text)}")
    try:
        return time(hour, minute, second)
    except ValueError as error:
        raise ParseError(f"no such time: {shown(text)}") from error


def local(day: date, clock: time, zone: tzinfo, *, skew: timedelta = timedelta()) -> datetime:
    """A time of the shop's clock as an aware one. ``skew`` is how much the far clock is ahead (−8 min: it is behind).

    Where clocks are set back the hour comes twice and the first is meant. Raises ``ParseError`` out of range.
    """
    try:
        return datetime.combine(day, clock, zone) - skew
    except OverflowError as error:
        raise ParseError("a time out of range") from error


NOON = time(12)


def business_date(moment: datetime, ends: time, zone: tzinfo) -> date:
    """The business date of a moment, in a shop whose day ends at ``ends`` of its own clock.

    A business day has the date on which most of it lies. With 06:00, Sunday 02:00 is Saturday's business, and 06:00
    itself begins the new day; with 23:00 (any time from noon on), Saturday 23:30 is Sunday's. Raises ``ValueError`` for
    a time without its zone: it would be read as this machine's.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without its zone has no business date")
    there = moment.astimezone(zone)
    # Where clocks are set back the day that has ended once does not come again.
    over = there.time() >= ends or moment >= datetime.combine(there.date(), ends, zone).astimezone(UTC)
    ended = there.date() if ends >= NOON else there.date() - timedelta(days=1)  # the day that ends at ``ends``
    return ended + timedelta(days=1) if over else ended


def from_serial(value: object) -> datetime:
    """A date as spreadsheets and OLE databases count: days since 1899-12-30, the time as a fraction; no zone.

    45000 → 2023-03-15; rounded to a second, which a float of this size still holds. Raises ``ParseError``.
    """
    try:
        days = Decimal(str(value).strip())
    except (InvalidOperation, ValueError) as error:
        raise ParseError(f"not a serial date: {shown(value)}") from error
    if not days.is_finite() or not 0 <= days < _SERIAL_MOST + 1:
        raise ParseError(f"a serial date out of range: {shown(value)}")
    try:
        return _SERIAL_ZERO + timedelta(seconds=int((days * 86_400).to_integral_value()))
    except OverflowError as error:
        raise ParseError(f"a serial date out of range: {shown(value)}") from error


def to_serial(moment: datetime) -> Decimal:
    """The inverse of :func:`from_serial`, for a time without zone. Raises ``ValueError`` for one with a zone."""
    if moment.tzinfo is not None:
        raise ValueError("a serial date has no zone: convert to the shop's time first")
    return Decimal(int((moment - _SERIAL_ZERO).total_seconds())) / 86_400


def format_compact(moment: datetime, zone: tzinfo) -> str:
    """``yyyyMMddHHmmss`` of the shop's clock, every part zero-filled."""
    there = moment.astimezone(zone)
    return f"{there.year:04d}{there:%m%d%H%M%S}"
