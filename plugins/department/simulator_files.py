"""The nightly job of the simulated store: what each counter sold on a business date and is due, as ``JSmmdd.DAT``.

The rule of a concession: the counter bears its share of a promotion, the basis is net plus what the store bears, the
commission is the settle code's rate on it (half up, line by line), the acquirer's fee is taken once a payment and
spread over the lines.
"""

from __future__ import annotations

import os
import sqlite3
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path

from plugins.department.protocol import CounterDay, column_fen, day_file_name, encode_day_file, trim
from plugins.department.simulator_calc import half_up, spread

#: Tenders on which an acquirer takes its fee, in basis points.
ACQUIRED = frozenset({"CC", "AP", "WP", "UP"})
ACQUIRER_FEE_BP = 60
_CONCESSION = "3"
_SAME_SALE = "d.txdate = ? AND d.store = ? AND d.till = ? AND d.docno = ?"


def counter_days(connection: sqlite3.Connection, business_date: date, store: str) -> list[CounterDay]:
    """One row a counter of the store with sales or returns on that date, by counter."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 6)
    heads = connection.execute(
        "SELECT txdate, store, till, docno FROM XSHEAD WHERE txdate = ? AND trim(store) = ?",
        (f"{business_date:%Y%m%d}", store),
    ).fetchall()
    for head in heads:
        for counter, amounts in _sale_rows(connection, tuple(head)):
            sums[counter] = [a + b for a, b in zip(sums[counter], amounts, strict=True)]
    return [CounterDay(counter, *sums[counter]) for counter in sorted(sums)]


def _sale_rows(connection: sqlite3.Connection, key: tuple[str, ...]) -> list[tuple[str, list[int]]]:
    lines = connection.execute(
        "SELECT d.*, CK.htlx, CK.cdbl, JSM.kl FROM XSDETAIL d JOIN CK ON CK.ckno = d.ckno"  # noqa: S608 - constant text
        " LEFT JOIN JSM ON JSM.jscode = d.jscode AND JSM.spbm = d.spbm AND JSM.ckno = d.ckno"
        f" WHERE {_SAME_SALE} ORDER BY d.lineno",
        key,
    ).fetchall()
    pays = connection.execute(f"SELECT fkfs, je FROM XSPAY d WHERE {_SAME_SALE}", key).fetchall()  # noqa: S608
    fee = sum(half_up(Decimal(column_fen(p["je"]) * ACQUIRER_FEE_BP) / 10000) for p in pays if _acquired(p))
    nets = [column_fen(line["ysje"]) for line in lines]
    fees = spread(fee, [abs(net) for net in nets])
    return [(trim(line["ckno"]), _settle(line, share)) for line, share in zip(lines, fees, strict=True)]


def _acquired(pay: sqlite3.Row) -> bool:
    return trim(pay["fkfs"]) in ACQUIRED


def _settle(line: sqlite3.Row, fee: int) -> list[int]:
    net = column_fen(line["ysje"])
    promo = column_fen(line["cxzk"])
    gross = net + promo
    borne_by_counter = half_up(promo * Decimal(str(line["cdbl"])) / 100)
    basis = net + promo - borne_by_counter
    if trim(line["htlx"]) != _CONCESSION:
        return [gross, promo, 0, fee, 0, 0]
    commission = half_up(basis * Decimal(str(line["kl"] or 0)) / 100)
    return [gross, promo, commission, fee, basis - commission - fee, basis - commission]


def write_day_file(
    connection: sqlite3.Connection, folder: Path, business_date: date, store: str, missing: bool, torn: bool
) -> Path:
    """Write the file of one store; ``missing`` leaves its last counter out, ``torn`` stops in the middle of a line."""
    rows = counter_days(connection, business_date, store)
    content = encode_day_file(rows[:-1] if missing else rows)
    target = folder / store / day_file_name(business_date)
    target.parent.mkdir(parents=True, exist_ok=True)
    if torn:
        target.write_bytes(content[: max(len(content) - 40, 0)])
        return target
    whole = target.with_suffix(f".{os.getpid()}.tmp")
    whole.write_bytes(content)
    whole.replace(target)
    return target
