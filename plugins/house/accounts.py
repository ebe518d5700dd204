"""What customers owe the house (挂账): an account has a limit, and nothing is put on one beyond it.

A customer without an account owes nothing and may not begin to. A limit that was lowered below what is owed takes
nothing back; it only lets nothing more be put on the account.
"""

from __future__ import annotations

from typing import Any

from gateway.sdk import Change, DeclineReason, Done, Transaction, ValueReserve, ValueReturn
from plugins.house.members import Refusal, StoredValue

#: The engine draws on accounts by the hooks of stored value; this is how theirs are named: the member's ref follows.
PREFIX = "account/"

MIGRATION = (
    "house-accounts-0001",
    """
CREATE TABLE house_accounts (
  merchant TEXT NOT NULL, ref TEXT NOT NULL, limit_amount INTEGER NOT NULL CHECK (limit_amount >= 0),
  owed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (merchant, ref)
) STRICT;
""",
)

_OWE = """
UPDATE house_accounts SET owed = owed + :amount
WHERE merchant = :merchant AND ref = :ref AND (:amount <= 0 OR owed + :amount <= limit_amount)
"""
#: What stands on each account by the ledger: what was put on it, less what was taken off.
_BY_LEDGER = """
SELECT account, SUM(CASE WHEN hook IN ('value_reserve', 'value_untopup') THEN amount ELSE -amount END) AS owed
FROM house_ledger WHERE merchant = :merchant AND substr(account, 1, 8) = 'account/'
  AND hook IN ('value_reserve', 'value_untopup', 'value_cancel', 'value_return', 'value_topup')
GROUP BY account
"""


class Accounts(StoredValue):
    """Accounts of one merchant within one transaction: value is drawn by owing it, and comes back by owing less."""

    def reserve(self, request: ValueReserve, call: Any) -> Change:
        """Put an amount on the account. Raises ``Refusal`` where the limit, or a missing account, forbids it."""
        site, amount = request.site, request.amount
        if not self.book.write(call, "value_reserve", request.account, amount, site, "", real=amount):
            return self._held(call, amount, {"real": amount}, replayed=True)
        if not self._move(request.account, {"real": amount}, -1):
            raise Refusal(DeclineReason.LIMIT_EXCEEDED)
        return self._held(call, amount, {"real": amount})

    def give_back(self, request: ValueReturn, call: Any) -> Change:
        """Owe less by what was returned: an account has one bucket, so the amount says it all."""
        original = request.original.key
        if self.book.write(call, "value_return", request.account, request.amount, request.site, original):
            self._move(request.account, {"real": request.amount}, +1)
        return Done(ref=call.key, amount=request.amount)

    def _move(self, ref: str, value: dict[str, int], sign: int) -> bool:
        row = {"merchant": self.book.merchant, "ref": ref.removeprefix(PREFIX), "amount": -sign * sum(value.values())}
        return self.book.tx.execute(_OWE, row) == 1


def insert_account(tx: Transaction, merchant: str, ref: str, limit_amount: int) -> None:
    """Let a member put so much on account; of one that has an account only the limit changes."""
    tx.execute(
        "INSERT INTO house_accounts (merchant, ref, limit_amount) VALUES (:merchant, :ref, :limit)"
        " ON CONFLICT (merchant, ref) DO UPDATE SET limit_amount = excluded.limit_amount",
        {"merchant": merchant, "ref": ref, "limit": limit_amount},
    )


def owed(tx: Transaction, merchant: str, ref: str) -> int:
    """What a member owes, in minor units; 0 without an account."""
    sql = "SELECT owed FROM house_accounts WHERE merchant = :merchant AND ref = :ref"
    row = tx.one(sql, {"merchant": merchant, "ref": ref})
    return int(row["owed"]) if row else 0


def discrepancies(tx: Transaction, merchant: str) -> list[str]:
    """P1: accounts that are not what the ledger says."""
    told = {row["account"]: row["owed"] for row in tx.all(_BY_LEDGER, {"merchant": merchant})}
    rows = tx.all("SELECT ref, owed FROM house_accounts WHERE merchant = :merchant", {"merchant": merchant})
    return [
        f"P1: the account of {row['ref']} says {row['owed']} owed, the ledger {told.get(PREFIX + row['ref'], 0)}"
        for row in rows
        if told.get(PREFIX + row["ref"], 0) != row["owed"]
    ]
