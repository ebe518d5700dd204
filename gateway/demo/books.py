"""Whether every system's own books add up with the gateway's, to the fen."""

from __future__ import annotations

import json
from typing import Any

from gateway.api.parts import Parts
from gateway.demo.stage import Stage
from gateway.demo.telling import Story
from gateway.store.port import Tx

_TAKEN = """
SELECT s.kind AS kind, o.hook AS hook, o.connection AS connection, o.outcome AS outcome, s.merchant AS merchant
FROM ops o JOIN sagas s ON s.id = o.saga_id WHERE o.state = 'ok' AND o.hook LIKE 'payment_%'
"""


def agree(stage: Stage, parts: Parts, story: Story) -> None:
    """Compare money by channel, and what the vouchers' platform redeemed."""

    def unit(tx: Tx) -> dict[tuple[str, str], int]:
        sums: dict[tuple[str, str], int] = {}
        for row in tx.all(_TAKEN):
            amount = json.loads(row["outcome"]).get("amount") or 0
            key = (row["connection"], "refund" if row["hook"] != "payment_charge" else "charge")
            sums[key] = sums.get(key, 0) + amount
        return sums

    ours = parts.database.read(unit)
    accounts = stage.systems["alipay"].books()["merchants"].values()
    wallet = {name: sum(each["money"][name] for each in accounts) for name in ("received", "refunded")}
    story.check(
        "the wallet took and gave back what the journal says",
        (ours.get(("alipay", "charge"), 0), ours.get(("alipay", "refund"), 0)),
        (wallet["received"], wallet["refunded"]),
    )
    bank = _bank(stage.systems["bank-terminal"].books())
    story.check(
        "so did the bank terminal",
        (ours.get(("terminal", "charge"), 0), ours.get(("terminal", "refund"), 0)),
        bank,
    )


def _bank(books: dict[str, Any]) -> tuple[int, int]:
    """What the terminal took and gave back, in fen; 00 is a sale, 01 a void, 02 a return."""
    taken = sum(int(each["amount"]) for each in books["transactions"] if each["kind"] == "00")
    back = sum(int(each["amount"]) for each in books["transactions"] if each["kind"] in ("01", "02"))
    return taken, back
