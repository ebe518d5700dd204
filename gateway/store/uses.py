"""How often campaigns were used and for how much: one row a checkout, and counters that a race cannot overrun.

A use is ``held``, then ``used`` or ``released``. The counters hold the sums over held and used rows: in total, by
member, by member and business date. Buyers who are not known count together as one member, with the empty name.
A limited coupon template is counted like a campaign, under a key of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.store.port import Tx

TOTAL, MEMBER, DAY = "total", "member", "day"

_INSERT_COUNTER = """
INSERT INTO campaign_counters (merchant, campaign, scope, member, business_date, times, amount)
VALUES (:merchant, :campaign, :scope, :member, :business_date, 0, 0)
ON CONFLICT DO NOTHING
"""
_ADD = """
UPDATE campaign_counters SET times = times + :times, amount = amount + :amount
WHERE merchant = :merchant AND campaign = :campaign AND scope = :scope AND member = :member
  AND business_date = :business_date AND times + :times <= :most_times AND amount + :amount <= :most_amount
"""
_INSERT_USE = """
INSERT INTO campaign_uses (merchant, campaign, saga_id, version, member, business_date, times, amount, state, updated)
VALUES (:merchant, :campaign, :saga_id, :version, :member, :business_date, :times, :amount, 'held', :now)
ON CONFLICT (merchant, campaign, saga_id) DO UPDATE SET times = :times, amount = :amount, state = 'held', updated = :now
WHERE campaign_uses.state = 'released'
"""
_USE = """
SELECT * FROM campaign_uses WHERE merchant = :merchant AND campaign = :campaign AND saga_id = :saga_id
"""
_CHANGE_USE = """
UPDATE campaign_uses SET times = :times, amount = :amount, state = :state, updated = :now
WHERE merchant = :merchant AND campaign = :campaign AND saga_id = :saga_id
"""
_USED = """
SELECT campaign, scope, times, amount FROM campaign_counters
WHERE merchant = :merchant AND (scope = 'total' OR (member = :member AND business_date IN ('', :business_date)))
"""
#: No limit: more than any number of times or amount.
_ENDLESS = 2**62


@dataclass(frozen=True, slots=True)
class Count:
    """How often a campaign was used: altogether, by the member, by the member on the day, and for how many fen."""

    total: int = 0
    member: int = 0
    member_today: int = 0
    budget_amount: int = 0


class Overrun(Exception):
    """A limit or the budget does not cover one more use; ``args[0]`` says which. Nothing of this use is counted."""


def counts(tx: Tx, merchant: str, campaigns: Sequence[str], member: str, business_date: str) -> dict[str, Count]:
    """What was used of some campaigns so far, by their keys; a campaign that nobody has used is left out."""
    row = {"merchant": merchant, "member": member, "business_date": business_date}
    if len(campaigns) == 1:
        rows = tx.all(_USED + " AND campaign = :campaign", {**row, "campaign": campaigns[0]})
    else:
        rows = tx.all(_USED, row)
    found: dict[str, dict[str, int]] = {}
    for item in rows:
        values = found.setdefault(item["campaign"], {})
        if item["scope"] == TOTAL:
            values |= {"total": item["times"], "budget_amount": item["amount"]}
        else:
            values["member" if item["scope"] == MEMBER else "member_today"] = item["times"]
    return {name: Count(**values) for name, values in found.items() if name in campaigns}


def hold(tx: Tx, use: Mapping[str, Any], limits: Mapping[str, int | None], now: int) -> None:
    """Count one checkout's use of a campaign, if its limits cover it. Holding it again changes nothing.

    ``use`` names merchant, campaign, saga_id, version, member, business_date, times and amount (fen); ``limits`` may
    have total, per_member, per_day and budget_amount. Raises ``Overrun``.
    """
    if tx.execute(_INSERT_USE, {**use, "now": now}) == 0:
        return
    most = (limits.get("total"), limits.get("per_member"), limits.get("per_day"))
    done: list[dict[str, Any]] = []
    for counter, times in zip(_counters(use), most, strict=True):
        budget = limits.get("budget_amount") if counter["scope"] == TOTAL else None
        tx.execute(_INSERT_COUNTER, {name: counter[name] for name in _COUNTER_KEY})
        if not _add(tx, counter, use["times"], use["amount"], times, budget):
            for earlier in done:
                _add(tx, earlier, -use["times"], -use["amount"])
            _change(tx, use, 0, 0, "released", now)
            raise Overrun(counter["scope"])
        done.append(counter)


def confirm(tx: Tx, merchant: str, campaign: str, saga_id: str, now: int) -> None:
    """A held use has become a sale."""
    row = _find(tx, merchant, campaign, saga_id)
    if row is not None and row["state"] == "held":
        _change(tx, row, row["times"], row["amount"], "used", now)


def give_back(
    tx: Tx, merchant: str, campaign: str, saga_id: str, now: int, *, amount: int = 0, whole: bool = True
) -> None:
    """Give a use back: the whole of it, or ``amount`` fen of its budget while the use itself stays counted."""
    row = _find(tx, merchant, campaign, saga_id)
    if row is None or row["state"] == "released":
        return
    times = row["times"] if whole else 0
    amount = row["amount"] if whole else min(amount, row["amount"])
    for counter in _counters(row):
        _add(tx, counter, -times, -amount)
    state = "released" if whole else row["state"]
    _change(tx, row, row["times"] - times, row["amount"] - amount, state, now)


def uses_of_saga(tx: Tx, saga_id: str) -> list[dict[str, Any]]:
    """Every use that a checkout has, or had."""
    return [dict(row) for row in tx.all("SELECT * FROM campaign_uses WHERE saga_id = :id", {"id": saga_id})]


def drift(tx: Tx) -> list[dict[str, Any]]:
    """Counters that are not the sum of the held and used rows; none, ever. For checks."""
    return [dict(row) for row in tx.all(_DRIFT)]


def orphans(tx: Tx) -> list[dict[str, Any]]:
    """Uses that are still counted though their checkout has failed, was cancelled, or is not there; none at rest."""
    return [dict(row) for row in tx.all(_ORPHANS)]


_ORPHANS = """
SELECT u.merchant, u.campaign, u.saga_id, u.state FROM campaign_uses u LEFT JOIN sagas s ON s.id = u.saga_id
WHERE u.state IN ('held', 'used') AND (s.id IS NULL OR s.state IN ('failed', 'cancelled'))
"""
_DRIFT = """
SELECT c.merchant, c.campaign, c.scope, c.member, c.business_date, c.times, c.amount,
  COALESCE(SUM(u.times), 0) AS rows_times, COALESCE(SUM(u.amount), 0) AS rows_amount
FROM campaign_counters c
LEFT JOIN campaign_uses u ON u.merchant = c.merchant AND u.campaign = c.campaign AND u.state IN ('held', 'used')
  AND (c.scope = 'total' OR u.member = c.member) AND (c.scope <> 'day' OR u.business_date = c.business_date)
GROUP BY c.merchant, c.campaign, c.scope, c.member, c.business_date, c.times, c.amount
HAVING c.times <> COALESCE(SUM(u.times), 0) OR c.amount <> COALESCE(SUM(u.amount), 0)
"""
_COUNTER_KEY = ("merchant", "campaign", "scope", "member", "business_date")


def _counters(use: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The three counters of a use, always in this order, so that two checkouts never wait crosswise."""
    of = {"merchant": use["merchant"], "campaign": use["campaign"]}
    return [
        {**of, "scope": TOTAL, "member": "", "business_date": ""},
        {**of, "scope": MEMBER, "member": use["member"], "business_date": ""},
        {**of, "scope": DAY, "member": use["member"], "business_date": use["business_date"]},
    ]


def _add(
    tx: Tx,
    counter: Mapping[str, Any],
    times: int,
    amount: int,
    most_times: int | None = None,
    most_amount: int | None = None,
) -> bool:
    """Add to a counter unless it would go beyond what is allowed."""
    most = {
        "most_times": _ENDLESS if most_times is None else most_times,
        "most_amount": _ENDLESS if most_amount is None else most_amount,
    }
    return tx.execute(_ADD, {**counter, "times": times, "amount": amount, **most}) == 1


def _find(tx: Tx, merchant: str, campaign: str, saga_id: str) -> dict[str, Any] | None:
    row = tx.one(_USE, {"merchant": merchant, "campaign": campaign, "saga_id": saga_id})
    return None if row is None else {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row is no dict


def _change(tx: Tx, use: Mapping[str, Any], times: int, amount: int, state: str, now: int) -> None:
    key = {name: use[name] for name in ("merchant", "campaign", "saga_id")}
    tx.execute(_CHANGE_USE, {**key, "times": times, "amount": amount, "state": state, "now": now})
