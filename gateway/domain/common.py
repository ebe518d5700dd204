"""Values shared by every family of hooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Secret:
    """A value that must not be printed, logged or stored: ``str`` and ``repr`` show ``***``; ``reveal()`` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def last4(self) -> str:
        """The last four characters, which may be shown."""
        return self._value[-4:]

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where and by whom a sale is made. ``business_date`` may differ from the calendar day (a KTV's day ends 06:00)."""

    store_id: str
    business_date: date
    till_id: str = ""
    cashier_id: str = ""
    terminal_id: str = ""
    device_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The change that an undo refers to: its key, the far system's number, what the adapter noted, and when.

    ``ref`` and ``facts`` are empty where its answer never came: look for it by ``key``.
    """

    key: str
    ref: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One changing message of a hook that sends several: journalled before its first byte, by ``call.step``."""

    name: str
    ref: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What became of an earlier change.

    ``hook`` and ``key`` name it; ``request`` is the request it was called with (a payment code is gone from it);
    ``steps`` are the messages journalled by ``call.step``; ``ref`` and ``facts`` what an earlier answer told.
    """

    hook: str
    key: str
    request: Any
    sent_at: datetime
    ref: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a listing; ``next_cursor`` is ``None`` at the end, else opaque to the caller."""

    items: tuple[T, ...] = ()
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRequest:
    """A business date's records of one connection, by cursor (``""`` starts)."""

    business_date: date
    cursor: str = ""
    store_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRow:
    """One record in the far system's books, for reconciliation.

    ``key`` is our key where the system kept it (else ``""``), ``ref`` its own number, ``original_ref`` what a refund or
    return refers to. Money is signed as the merchant sees it: taken +, given back −; so are coupons, in uses. Points
    and stored value are signed as the member's balance moves: spent −, earned or paid in +. ``fee_amount`` is the
    channel's fee, positive.
    """

    kind: str
    ref: str
    amount: int
    key: str = ""
    original_ref: str = ""
    fee_amount: int = 0
    at: datetime | None = None
    status: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
