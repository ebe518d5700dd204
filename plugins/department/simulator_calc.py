"""The promotion procedure of the simulated store: what the slips come to, once the tenders are known.

Member rate by line (rounded half up), then every full step of the campaign off, counted on what is left **without the
gift-card rows**, then the coupon; campaign and coupon are spread over the lines by largest remainder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from plugins.department.protocol import column_fen, pad, trim

GIFT_CARD = "GC"


@dataclass(frozen=True, slots=True)
class CalcLine:
    """One slip line with what the procedure takes off, in fen."""

    slip: str
    line: int
    gross: int
    member_less: int = 0
    promotion_less: int = 0
    coupon_less: int = 0

    @property
    def net(self) -> int:
        """What is left to pay."""
        return self.gross - self.member_less - self.promotion_less - self.coupon_less


def calculate(
    connection: sqlite3.Connection,
    slips: Sequence[str],
    tenders: Sequence[tuple[str, int]],
    member: str,
    coupon: str,
) -> list[CalcLine]:
    """Price open slips for these tenders (code, fen). Raises ``LookupError`` for a slip that is not open."""
    lines = [line for slip in slips for line in _open_lines(connection, slip)]
    lines = [replace(line, member_less=line.gross - _member_price(connection, member, line.gross)) for line in lines]
    excluded = sum(amount for code, amount in tenders if code == GIFT_CARD)
    less = _campaign(connection, sum(line.net for line in lines) - excluded)
    shares = _spread(less, [line.net for line in lines])
    lines = [replace(line, promotion_less=share) for line, share in zip(lines, shares, strict=True)]
    less = _coupon(connection, coupon, sum(line.net for line in lines))
    shares = _spread(less, [line.net for line in lines])
    return [replace(line, coupon_less=share) for line, share in zip(lines, shares, strict=True)]


def _open_lines(connection: sqlite3.Connection, slip: str) -> list[CalcLine]:
    rows = connection.execute(
        "SELECT lineno, ysje FROM SLIP WHERE slipno = ? AND zt = '0' ORDER BY lineno", (pad(slip, 12),)
    ).fetchall()
    if not rows:
        raise LookupError(slip)
    return [CalcLine(slip, row["lineno"], column_fen(row["ysje"])) for row in rows]


def _member_price(connection: sqlite3.Connection, member: str, gross: int) -> int:
    row = connection.execute("SELECT zk FROM HY WHERE hykh = ?", (pad(member, 20),)).fetchone() if member else None
    return gross if row is None else half_up(gross * Decimal(str(row["zk"])) / 100)


def _campaign(connection: sqlite3.Connection, base: int) -> int:
    best = 0
    for row in connection.execute("SELECT mje, jje FROM CX WHERE trim(lx) = 'MMJ'"):
        best = max(best, max(base, 0) // column_fen(row["mje"]) * column_fen(row["jje"]))
    return best


def _coupon(connection: sqlite3.Connection, code: str, base: int) -> int:
    row = connection.execute("SELECT mje, je FROM QUAN WHERE qh = ?", (pad(code, 20),)).fetchone() if code else None
    if row is None or base < column_fen(row["mje"]):
        return 0
    return min(column_fen(row["je"]), base)


def _spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Largest remainder: floors, then a fen each by larger fraction, larger weight, lower position."""
    total = sum(weights)
    if not amount or not total:
        return [0] * len(weights)
    shares = [amount * weight // total for weight in weights]
    order = sorted(range(len(weights)), key=lambda at: (-(amount * weights[at] % total), -weights[at], at))
    for at in order[: amount - sum(shares)]:
        shares[at] += 1
    return shares


def half_up(value: Decimal) -> int:
    """The nearest whole number, halves away from zero."""
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """An amount of either sign over weights by largest remainder."""
    return [-share for share in _spread(-amount, weights)] if amount < 0 else _spread(amount, weights)


def members(connection: sqlite3.Connection) -> list[str]:
    """The cards on file."""
    return [trim(row["hykh"]) for row in connection.execute("SELECT hykh FROM HY ORDER BY hykh")]
