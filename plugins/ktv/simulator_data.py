"""The simulated till's records, and the file that keeps them over a restart."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Line:
    """A line of a bill. ``kind``: L drink or food, X extension (minutes as quantity), G gift."""

    kind: str
    number: int
    code: str
    name: str
    quantity: int
    price: int
    counted: bool

    @property
    def amount(self) -> int:
        """Fen; an extension's price is for the whole of it."""
        return self.price if self.kind == "X" else self.quantity * self.price


@dataclass
class Money:
    """Money on a bill or room: P payment, Y deposit (negative when given back), T refund; ``at`` in epoch seconds."""

    kind: str
    number: str
    tender: str
    amount: int
    change: int
    ref: str
    at: float


@dataclass
class Bill:
    """A bill; times in epoch seconds, amounts in fen."""

    number: str
    room: str
    room_class: str
    opened: float
    ends: float
    plan: str
    minutes: int
    guests: int
    booking: str
    room_fee: int
    minimum: int
    state: int = 0
    closed: float = 0.0
    lines: list[Line] = field(default_factory=list)
    money: list[Money] = field(default_factory=list)

    @property
    def extensions(self) -> int:
        return sum(line.amount for line in self.lines if line.kind == "X")

    @property
    def drinks(self) -> int:
        return sum(line.amount for line in self.lines if line.kind != "X")

    @property
    def counted(self) -> int:
        return sum(line.amount for line in self.lines if line.kind != "X" and line.counted)

    @property
    def top_up(self) -> int:
        """低消差额: what is missing to the minimum spend."""
        return max(0, self.minimum - self.counted)

    @property
    def total(self) -> int:
        return self.room_fee + self.extensions + self.drinks + self.top_up

    @property
    def paid(self) -> int:
        return sum(row.amount - row.change for row in self.money if row.kind == "P")

    @property
    def deposit(self) -> int:
        """Deposit still held: taken, less given back, less used to pay."""
        held = sum(row.amount for row in self.money if row.kind == "Y")
        return held - sum(row.amount for row in self.money if row.kind == "P" and row.tender == "YJ")


@dataclass
class Room:
    """A room; ``since`` is when its state began, ``deposits`` what was taken before a bill was opened."""

    code: str
    name: str
    room_class: str
    area: str
    state: int = 0
    bill: str = ""
    booking: str = ""
    since: float = 0.0
    deposits: list[Money] = field(default_factory=list)


@dataclass
class Booking:
    """A booking of a room, or of any room of a class (``room`` empty until one is found)."""

    number: str
    room: str
    room_class: str
    start: float
    minutes: int
    phone: str
    name: str
    state: str = "booked"  # booked · opened · cancelled


class Archive:
    """Documents in one SQLite file, written as they change; the till itself works in memory."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA journal_mode=MEMORY")
        self._db.execute("CREATE TABLE IF NOT EXISTS doc (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id))")

    def put(self, kind: str, name: str, value: Any) -> None:
        """Store one document."""
        body = value if isinstance(value, dict) else asdict(value)
        text = json.dumps(body, ensure_ascii=False)
        self._db.execute("INSERT OR REPLACE INTO doc VALUES (?, ?, ?)", (kind, name, text))

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """All documents of a kind by name."""
        rows = self._db.execute("SELECT id, body FROM doc WHERE kind = ? ORDER BY id", (kind,))
        return {name: json.loads(body) for name, body in rows}

    def close(self) -> None:
        self._db.close()


def load_bill(body: dict[str, Any]) -> Bill:
    """A bill as it was stored."""
    lines = [Line(**row) for row in body.pop("lines")]
    money = [Money(**row) for row in body.pop("money")]
    return Bill(**body, lines=lines, money=money)


def load_room(body: dict[str, Any]) -> Room:
    """A room as it was stored."""
    deposits = [Money(**row) for row in body.pop("deposits")]
    return Room(**body, deposits=deposits)
