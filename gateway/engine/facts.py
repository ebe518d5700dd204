"""What the end of a saga adds to the books, in the transaction that ends it: settlement entries by party."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.engine.model import Kind, State
from gateway.engine.retender import quote_in_force
from gateway.engine.seams import Ids
from gateway.store.port import Tx

if TYPE_CHECKING:
    from gateway.engine.driver import Work

INSERT = """
INSERT INTO settlement_entries (id, merchant, business_date, subject, party, kind, basis_amount, amount, created)
VALUES (:id, :merchant, :business_date, :subject, :party, :kind, :basis_amount, :amount, :created)
"""


def completion_facts(tx: Tx, work: Work, ids: Ids, now: int) -> None:
    """Write the settlement entries of a completed checkout or refund; Σ of a checkout's entries = what was paid."""
    saga = work.saga
    if saga.state is not State.COMPLETED or saga.kind not in (Kind.CHECKOUT, Kind.REFUND):
        return
    source = quote_in_force(saga) if saga.kind is Kind.CHECKOUT else saga.doc["gives_back"]
    # "due" is each party's total, not an entry of its own.
    entries = [entry for entry in source.get("settlement", ()) if entry["kind"] != "due"]
    rows = [
        {
            "id": f"stl_{ids.new()}",
            "merchant": saga.merchant,
            "business_date": saga.doc["site"]["business_date"],
            "subject": saga.id,
            "party": entry["party"],
            "kind": entry["kind"],
            "basis_amount": entry.get("basis_amount", 0),
            "amount": entry["amount"],
            "created": now,
        }
        for entry in entries
    ]
    if rows:
        tx.execute_many(INSERT, rows)
