"""Finding one of our sales among the payment rows that tills have uploaded: by memo, whole, and of the right amount."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.sdk import InvalidReply

from .mapping import row_key, signed_amount
from .protocol import decode_numeric, fen_to_yuan, unpad, yuan_to_fen


@dataclass(frozen=True, slots=True)
class UploadedBill:
    """A bill as far as it has been uploaded: its total, and what its tenders add up to, both in fen and positive."""

    flow_no: str
    at: str
    total: int
    paid: int

    @property
    def whole(self) -> bool:
        """Whether all its payment rows are here: a torn upload brings the lines and some tenders first."""
        return self.paid >= self.total


def bills(rows: Iterable[Any]) -> list[UploadedBill]:
    """Payment rows of one memo as bills, in the order of arrival.

    Tenders are added up, never de-duplicated by code or amount (a bill may be paid by two codes of one kind); only the
    very same row, uploaded twice, counts once.
    """
    seen: set[tuple[Any, Any, Any]] = set()
    paid: dict[tuple[str, str], int] = {}
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        key = row_key(row)
        if key in seen:
            continue
        seen.add(key)
        bill = (unpad(row["flow_no"]), unpad(row["oper_date"]))
        paid[bill] = paid.get(bill, 0) + signed_amount(row)
        totals.setdefault(bill, yuan_to_fen(decode_numeric(row["sale_amount"])))
    return [UploadedBill(flow_no, at, totals[flow_no, at], abs(paid[flow_no, at])) for flow_no, at in paid]


def check_amount(bill: UploadedBill, expected: int) -> None:
    """Raises ``InvalidReply`` if the till rang up another amount than it was told, or holds other tenders."""
    if bill.total != expected or bill.paid != expected:
        told, rung, paid = fen_to_yuan(expected), fen_to_yuan(bill.total), fen_to_yuan(bill.paid)
        raise InvalidReply(f"bill {bill.flow_no}: told {told}, rung up {rung}, tenders {paid}")
