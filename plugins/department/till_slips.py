"""Counters' slips in the till's database: read, lock while they are paid, mark as paid.

A till locks each slip it has on its screen (``SLIPSD``), one by one: the system cannot lock slips of several counters
in one transaction. A lock keeps other tills and the 22:30 voiding job away and is stale after fifteen minutes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from gateway.sdk import BillRef, Declined, DeclineReason
from plugins.department.mapping import STAMP, slip_version
from plugins.department.protocol import fits, pad, trim
from plugins.department.till_database import DONE, UNDONE, Entry, TillDatabase, close_key, note, open_entries

LOCK_LIFE = timedelta(minutes=15)
OPEN, PAID, PICKED_UP, VOID = "0", "1", "2", "9"

_SLIP = """SELECT SLIP.*, CK.store, SP.mc, SP.lb, JSM.kl FROM SLIP JOIN CK ON CK.ckno = SLIP.ckno
    LEFT JOIN SP ON SP.spbm = SLIP.spbm
    LEFT JOIN JSM ON JSM.jscode = SLIP.jscode AND JSM.spbm = SLIP.spbm AND JSM.ckno = SLIP.ckno
    WHERE SLIP.slipno = ? ORDER BY SLIP.lineno"""


def slip_rows(connection: sqlite3.Connection, slip: str) -> list[sqlite3.Row]:
    """The lines of a slip, with their store, name, category and deduction rate; none if it can be no slip's number."""
    if not fits(slip, 12):
        return []
    return connection.execute(_SLIP, (pad(slip, 12),)).fetchall()


def is_open(rows: Sequence[sqlite3.Row]) -> bool:
    """Whether there is such a slip and all of it is still to be paid."""
    return bool(rows) and all(trim(row["zt"]) == OPEN for row in rows)


class Slips:
    """What the gateway's till does with slips."""

    def __init__(self, database: TillDatabase, till: str) -> None:
        self._database, self._till = database, till

    def lock(self, bill: BillRef, key: str, order_no: str, now: datetime, seconds: float) -> Declined | None:
        """Take the lock on one slip, or renew our own; ``None`` when we have it."""
        with self._database.write(seconds) as connection:
            open_entries(connection, key)
            rows = slip_rows(connection, bill.bill_id)
            refusal = self._changed(rows, bill) or self._taken(connection, bill.bill_id, key, now)
            if refusal is None:
                self._set_lock(connection, bill.bill_id, key, now)
                note(connection, key, Entry(bill.bill_id, order_no, DONE, "lock"), f"{now:{STAMP}}")
        return refusal

    def _changed(self, rows: Sequence[sqlite3.Row], bill: BillRef) -> Declined | None:
        if not rows:
            return Declined(reason=DeclineReason.NOT_FOUND, message=f"no slip {bill.bill_id}")
        if not is_open(rows):
            states = {PAID: "paid", PICKED_UP: "picked up", VOID: "void"}
            state = states.get(trim(rows[0]["zt"]), "closed")
            reason = DeclineReason.BILL_CLOSED
            return Declined(reason=reason, code=trim(rows[0]["zt"]), message=f"slip {bill.bill_id} is {state}")
        if bill.version and slip_version(rows) != bill.version:
            return Declined(reason=DeclineReason.BILL_CHANGED, message=f"slip {bill.bill_id} has changed")
        return None

    def _taken(self, connection: sqlite3.Connection, slip: str, key: str, now: datetime) -> Declined | None:
        lock = connection.execute("SELECT * FROM SLIPSD WHERE slipno = ?", (pad(slip, 12),)).fetchone()
        if lock is None or trim(lock["dh"]) == key or trim(lock["sdsj"]) < f"{now - LOCK_LIFE:{STAMP}}":
            return None
        message = f"slip {slip} is being rung up at till {trim(lock['till'])}"
        return Declined(reason=DeclineReason.BILL_CHANGED, code="locked", message=message)

    def _set_lock(self, connection: sqlite3.Connection, slip: str, key: str, now: datetime) -> None:
        row = (pad(slip, 12), pad(self._till, 6), f"{now:{STAMP}}", key)
        connection.execute("INSERT OR REPLACE INTO SLIPSD VALUES(?,?,?,?)", row)

    def unlock(self, key: str, now: datetime, seconds: float) -> None:
        """Give up every lock taken under this key, and let no late one be taken."""
        with self._database.write(seconds) as connection:
            drop_locks(connection, key)
            close_key(connection, key, f"{now:{STAMP}}")

    def unlock_some(self, slips: Sequence[str], key: str, now: datetime, seconds: float) -> None:
        """Give back the locks already taken when another slip of the same hold was refused."""
        with self._database.write(seconds) as connection:
            for slip in slips:
                connection.execute("DELETE FROM SLIPSD WHERE slipno = ? AND dh = ?", (pad(slip, 12), key))
                note(connection, key, Entry(slip, "", UNDONE, "lock"), f"{now:{STAMP}}")

    def locked(self, slips: Sequence[str], key: str) -> bool:
        """Whether all these slips are locked under this key."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT slipno FROM SLIPSD WHERE dh = ?", (key,)).fetchall()
        return set(slips) <= {trim(row["slipno"]) for row in rows}


def renew_for_sale(
    connection: sqlite3.Connection, till: str, slips: Sequence[str], key: str, order_no: str, now: datetime
) -> Declined | None:
    """Before a sale is uploaded: each slip is still open and no other till has it; our locks start anew.

    ``key`` is the sale's: slips that no hold of this order has locked are locked under it.
    """
    keys: dict[str, str] = {}
    for slip in slips:
        rows = slip_rows(connection, slip)
        if not is_open(rows):
            state = trim(rows[0]["zt"]) if rows else ""
            message = f"slip {slip} is not open any more"
            return Declined(reason=DeclineReason.BILL_CLOSED, code=state, message=message)
        lock = connection.execute("SELECT * FROM SLIPSD WHERE slipno = ?", (pad(slip, 12),)).fetchone()
        ours = lock is not None and (trim(lock["dh"]) == key or _for_order(connection, lock, order_no))
        if lock is not None and not ours and trim(lock["sdsj"]) >= f"{now - LOCK_LIFE:{STAMP}}":
            message = f"slip {slip} is being rung up at till {trim(lock['till'])}"
            return Declined(reason=DeclineReason.BILL_CHANGED, code="locked", message=message)
        keys[slip] = trim(lock["dh"]) if ours else key
    for slip, holder in keys.items():
        row = (pad(slip, 12), pad(till, 6), f"{now:{STAMP}}", holder)
        connection.execute("INSERT OR REPLACE INTO SLIPSD VALUES(?,?,?,?)", row)
    return None


def _for_order(connection: sqlite3.Connection, lock: sqlite3.Row, order_no: str) -> bool:
    about = "SELECT 1 FROM O2O_JL WHERE jlh = ? AND bz = ? AND lx = ?"
    return connection.execute(about, (trim(lock["dh"]), trim(lock["slipno"]), order_no)).fetchone() is not None


def drop_locks(connection: sqlite3.Connection, key: str) -> None:
    """Give back the locks taken under this key."""
    connection.execute("DELETE FROM SLIPSD WHERE dh = ?", (key,))


def mark_paid(connection: sqlite3.Connection, slips: Sequence[str]) -> list[str]:
    """Mark slips as paid (zt 1) and drop their locks; returns those that were open no more.

    A slip that the 22:30 job voided after the sale was uploaded is revived with its stock: the customer has paid.
    """
    odd = []
    for slip in slips:
        rows = slip_rows(connection, slip)
        if not is_open(rows):
            odd.append(slip)
        for row in rows:
            if trim(row["zt"]) == VOID:
                place = (row["sl"], row["store"], row["ckno"], row["spbm"])
                revive = "UPDATE KC SET zysl = ROUND(zysl + ?, 3) WHERE store = ? AND ckno = ? AND spbm = ?"
                connection.execute(revive, place)
        connection.execute("UPDATE SLIP SET zt = '1' WHERE slipno = ? AND zt IN ('0', '9')", (pad(slip, 12),))
        connection.execute("DELETE FROM SLIPSD WHERE slipno = ?", (pad(slip, 12),))
    return odd
