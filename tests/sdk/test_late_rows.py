"""A till that uploads yesterday, and a transaction that commits after its successor: no row is lost, none twice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk.parsing import ParseError
from gateway.sdk.transports import sql_drivers
from gateway.sdk.transports.late_rows import LateRows
from gateway.sdk.transports.sql import Database


def reader(table: list[dict[str, Any]], window: int = 10) -> LateRows:
    def fetch(after: int, limit: int) -> Sequence[dict[str, Any]]:
        return sorted((row for row in table if row["no"] > after), key=lambda row: int(row["no"]))[:limit]

    return LateRows(fetch, number="no", key=("bill", "line"), window=window)


def row(no: int, amount: int = 1) -> dict[str, Any]:
    return {"no": no, "bill": f"b{no}", "line": 1, "amount": amount}


def stored(position: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from where it was stored."""
    found: dict[str, Any] = json.loads(json.dumps(position))
    return found


@given(st.permutations(range(1, 13)), st.lists(st.integers(1, 4), min_size=12, max_size=12), st.integers(1, 5))
def test_rows_in_any_order_within_the_window_come_once(order: list[int], steps: list[int], limit: int) -> None:
    table: list[dict[str, Any]] = []
    late, position, given_rows = reader(table, window=12), None, []
    arriving = iter(order)
    for step in [*steps, 12, 12]:
        table.extend(row(no) for _, no in zip(range(step), arriving, strict=False))
        more = True
        while more:
            found = late.next(position, limit=limit)
            given_rows += [each["no"] for each in found.rows]
            position, more = stored(found.position), found.more
    assert sorted(given_rows) == list(range(1, 13))


def test_a_row_that_changed_is_given_again() -> None:
    """The same bill is uploaded once more, with one more tender."""
    table = [row(1), row(2)]
    late = reader(table)
    first = late.next(None)
    table[1] = row(2, amount=5)
    second = late.next(stored(first.position))
    assert [each["amount"] for each in second.rows] == [5]
    assert late.next(stored(second.position)).rows == ()


def test_a_crash_before_the_position_is_stored_loses_nothing() -> None:
    late = reader([row(1), row(2)])
    assert late.next(None).rows == late.next(None).rows


def test_many_rows_of_one_number_do_not_stop_it() -> None:
    """A batch upload gives hundreds of rows the same number; a page may end in the middle of them."""
    table = [{"no": 1, "bill": "b", "line": line} for line in range(50)] + [row(2)]
    late, position, lines = reader(table, window=1), None, []
    for _ in range(20):
        found = late.next(position, limit=7)
        lines += [(each["no"], each["line"]) for each in found.rows]
        position = stored(found.position)
        if not found.more:
            break
    assert len(lines) == len(set(lines)) == 51


def test_what_it_remembers_is_bounded_by_the_window() -> None:
    late, position = reader([row(no) for no in range(1, 2001)], window=20), None
    for _ in range(10):
        position = late.next(position, limit=300).position
    assert len(position["seen"]) == 20


def test_positions_and_rows_that_are_none() -> None:
    late = reader([row(1)])
    for position in ({}, {"high": "x", "seen": {}}, {"high": 1, "seen": [1]}, {"high": 1, "seen": {"a": 1}}):
        with pytest.raises(ParseError):
            late.next(position)
    with pytest.raises(ParseError, match="without its number"):
        LateRows(lambda after, limit: [{"no": None}], number="no", key=("no",), window=1).next(None)
    with pytest.raises(ValueError, match="at least 1"):
        reader([], window=0)


def test_over_a_real_table(tmp_path: Path) -> None:
    """Two writers: the one that drew the lower number commits last, after we have read past it."""
    path = tmp_path / "pos.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE payflow (com_no INTEGER, flow_no TEXT, pay INTEGER)")
        connection.execute("INSERT INTO payflow VALUES (1, 'a', 100), (3, 'c', 300)")
        database = Database(sql_drivers.sqlite(path))

        def fetch(after: int, limit: int) -> Sequence[Any]:
            with database.read(1) as session:
                return session.all(
                    "SELECT * FROM payflow WHERE com_no > :after ORDER BY com_no LIMIT :limit", after=after, limit=limit
                )

        late = LateRows(fetch, number="com_no", key=("flow_no",), window=50)
        first = late.next(None)
        connection.execute("INSERT INTO payflow VALUES (2, 'b', 200)")
        assert [each["flow_no"] for each in late.next(stored(first.position)).rows] == ["b"]
