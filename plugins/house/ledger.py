"""The house's ledger: one row for each change, under the engine's key. A row that is there says that it was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.sdk import Call, Site, Transaction

_INSERT = """
INSERT INTO house_ledger (key, merchant, hook, account, amount, detail, original, business_date, at)
VALUES (:key, :merchant, :hook, :account, :amount, :detail, :original, :business_date, :at)
ON CONFLICT DO NOTHING
"""
#: Account, amount and detail of a part of a change.
Entry = tuple[str, int, Mapping[str, Any]]


@dataclass(slots=True)
class Book:
    """The ledger within one transaction."""

    merchant: str
    tx: Transaction
    now: int

    def write(
        self,
        call: Call,
        hook: str,
        account: str,
        amount: int,
        site: Site | None,
        original: str = "",
        **detail: Any,
    ) -> bool:
        """Write a change; False if it was written before: then nothing may be changed again."""
        return self.tx.execute(_INSERT, self._row(call, hook, account, amount, site, original, detail)) == 1

    def write_all(self, call: Call, hook: str, entries: Sequence[Entry], site: Site | None, original: str = "") -> bool:
        """Write the parts of one change together; False if they were written before. Raises if some of them were."""
        if not entries:
            return False
        if len(entries) == 1:
            account, amount, detail = entries[0]
            return self.write(call, hook, account, amount, site, original, **detail)
        rows = [self._row(call, hook, account, amount, site, original, detail) for account, amount, detail in entries]
        written = self.tx.execute_many(_INSERT, rows)
        if written not in (0, len(rows)):
            raise LookupError(f"{hook}: {written} of {len(rows)} parts were new")
        return written > 0

    def _row(
        self,
        call: Call,
        hook: str,
        account: str,
        amount: int,
        site: Site | None,
        original: str,
        detail: Mapping[str, Any],
    ) -> dict[str, Any]:
        return {
            "key": call.key,
            "merchant": self.merchant,
            "hook": hook,
            "account": account,
            "amount": amount,
            "detail": json.dumps(detail, ensure_ascii=False) if detail else "{}",
            "original": original,
            "business_date": site.business_date.isoformat() if site else "",
            "at": self.now,
        }

    def strike(self, call: Call) -> None:
        """Take out what a refused change has written."""
        sql = "DELETE FROM house_ledger WHERE merchant = :merchant AND key = :key"
        self.tx.execute(sql, {"merchant": self.merchant, "key": call.key})

    def entry(self, key: str, hook: str) -> Any:
        """The row of a change, or ``None``."""
        sql = "SELECT * FROM house_ledger WHERE merchant = :merchant AND key = :key AND hook = :hook"
        return self.tx.one(sql, {"merchant": self.merchant, "key": key, "hook": hook})

    def undone(self, original: str, hook: str) -> int:
        """How much of a change has been taken back by this hook so far."""
        sql = (
            "SELECT COALESCE(SUM(amount), 0) AS total FROM house_ledger"
            " WHERE merchant = :merchant AND original = :original AND original <> '' AND hook = :hook"
        )
        row = self.tx.one(sql, {"merchant": self.merchant, "original": original, "hook": hook})
        return int(row["total"])
