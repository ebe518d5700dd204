"""Whether every system's own books add up with the gateway's, to the fen."""

from __future__ import annotations

import json
from typing import Any

from gateway.api.parts import Parts
from gateway.demo.stage import Stage
from gateway.demo.telling import Story
from gateway.store.port import Tx

_MOVED = """
SELECT o.hook AS hook, o.connection AS connection, o.outcome AS outcome
FROM ops o JOIN sagas s ON s.id = o.saga_id
WHERE o.state = 'ok' AND (o.hook = 'payment_charge' OR (o.hook = 'payment_refund' AND s.kind IN ('refund', 'release')))
"""


def agree(stage: Stage, parts: Parts, story: Story) -> None:
    """Compare the money of each channel, net: a charge that was reversed stands in neither sum."""

    def unit(tx: Tx) -> dict[str, int]:
        sums: dict[str, int] = {}
        for row in tx.all(_MOVED):
            amount = json.loads(row["outcome"]).get("amount") or 0
            sign = 1 if row["hook"] == "payment_charge" else -1
            sums[row["connection"]] = sums.get(row["connection"], 0) + sign * amount
        return sums

    ours = parts.database.read(unit)
    accounts = stage.systems["alipay"].books()["merchants"].values()
    wallet = sum(each["money"]["received"] - each["money"]["refunded"] for each in accounts)
    story.check("the wallet holds what the journal says, to the fen", ours.get("alipay", 0), wallet)
    bank = _bank(stage.systems["bank-terminal"].books())
    story.check("so does the bank terminal", ours.get("terminal", 0), bank)


def _bank(books: dict[str, Any]) -> int:
    """What the terminal took less what it gave back, in fen; 00 is a sale, 01 a void, 02 a return."""
    taken = sum(int(each["amount"]) for each in books["transactions"] if each["kind"] == "00")
    return taken - sum(int(each["amount"]) for each in books["transactions"] if each["kind"] in ("01", "02"))
