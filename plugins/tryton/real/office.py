"""Tryton behind the conformance suite's proxy: one server, a database for each merchant, its books read by SQL."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from gateway.testing import ForeignSystem, Place
from plugins.tryton.real.desk import Desk
from plugins.tryton.real.server import TrytonServer

#: Every gift card of the suite holds so much, and is spent on so much at a time, in fen.
CARD, SPENT = 10_000, 3_000
#: How many databases there are: some are in use side by side, one more is needed after each refutation.
_PLACES = 8

#: What a use of a code has come to: the carrier's state, its codes, its cards, and what was issued from its lines.
_USES = """
SELECT s.state, s.reference AS key,
       (SELECT count(*) FROM "sale_sale-sale_promotion_coupon_number" n WHERE n.sale = s.id) AS codes,
       (SELECT coalesce(sum(c.value), 0) FROM sale_gift_card c WHERE c.spent_on = 'sale.sale,' || s.id) AS cards,
       (SELECT coalesce(sum(c.value), 0) FROM sale_gift_card c JOIN sale_line l ON c.origin = 'sale.line,' || l.id
         WHERE l.sale = s.id) AS issued,
       (SELECT coalesce(sum(l.quantity::numeric * l.unit_price), 0) FROM sale_line l WHERE l.sale = s.id) AS total
  FROM sale_sale s WHERE s.description LIKE 'code of %'
"""
#: Goods that are promised, and goods that are gone: sent to customers and not come back.
_GOODS = """
SELECT coalesce(sum(m.quantity) FILTER (WHERE m.state = 'assigned'), 0) AS held,
       coalesce(sum(CASE WHEN t.type = 'customer' THEN m.quantity ELSE -m.quantity END)
         FILTER (WHERE m.state = 'done' AND 'customer' IN (f.type, t.type)), 0) AS gone
  FROM stock_move m JOIN stock_location f ON f.id = m.from_location JOIN stock_location t ON t.id = m.to_location
"""
_SALES = """
SELECT coalesce(sum(round(l.quantity::numeric * l.unit_price, 2)), 0) AS takings
  FROM sale_sale s JOIN sale_line l ON l.sale = s.id
 WHERE s.state IN ('confirmed', 'processing', 'done')
"""
_MONEY = """
SELECT coalesce(sum(value) FILTER (WHERE spent_on IS NULL), 0) AS open,
       coalesce(sum(value) FILTER (WHERE origin IS NULL), 0) AS sold
  FROM sale_gift_card
"""


class TrytonOffice(ForeignSystem):
    """One PostgreSQL and one ``trytond``; a place is a copy of the seeded database."""

    side_by_side = 3

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = TrytonServer(_PLACES)
        self._left: list[str] = []
        self._connections: dict[str, Any] = {}
        self._sql = threading.Lock()

    def start(self) -> None:
        self.server.__enter__()
        self._left = list(self.server.copies)

    def place(self) -> Place:
        address = f"127.0.0.1:{self.server.port}"
        database, desk = self._opened(address)
        desk.receive("TB2", 9_000, "EAST-STO")
        facts = {
            "database": database,
            "desk": desk,
            "password": self.server.password,
            "aged": partial(self._aged, database),
        }
        return Place({"office": address}, facts)

    def _aged(self, database: str, number: str) -> None:
        """A coupon's number as it is some years after it was made: Tryton makes none that is over already."""
        sql = "UPDATE sale_promotion_coupon_number SET start_date = %s, end_date = %s WHERE number = %s"
        with self._sql:
            done = self._connection(database).execute(sql, (date(2020, 1, 1), date(2020, 1, 2), number))
        if done.rowcount != 1:
            raise RuntimeError(f"there is no coupon number {number!r}")

    def _opened(self, address: str) -> tuple[str, Desk]:
        """The next database that the server has open: of several that it starts with, it may open one twice."""
        while self._left:
            database = self._left.pop()
            with suppress(RuntimeError):
                return database, Desk(f"http://{address}/{database}", "admin", self.server.password)
        raise RuntimeError(f"more than {_PLACES} databases were wanted")

    def books(self, place: Place) -> Mapping[str, Any]:
        """What stands in the tables: goods, takings, parties, gift cards, and each use of a code."""
        with self._sql:
            found = self._connection(place.facts["database"])
            goods, sales, money = (found.execute(sql).fetchone() for sql in (_GOODS, _SALES, _MONEY))
            uses = found.execute(_USES).fetchall()
            parties = found.execute("SELECT count(*) AS parties FROM party_party").fetchone()
        return {**goods, **sales, **money, **parties, "uses": uses}

    def _connection(self, database: str) -> Any:
        import psycopg
        from psycopg.rows import dict_row

        if database not in self._connections:
            url = self.server.postgres.url(database)
            self._connections[database] = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        return self._connections[database]

    def stop(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self.server.close()


def tally(books: Mapping[str, Any]) -> dict[str, int]:
    """The books as few numbers. A use counts once all of it is there: a card's only when its rest is issued."""
    uses = [_kind(use) for use in books["uses"]]
    spent = uses.count("card used") - uses.count("card back")
    in_hand = _fen(books["open"]) + CARD * uses.count("card held")
    made = in_hand + SPENT * spent - _fen(books["sold"])
    return {
        "goods held": int(books["held"]),
        "goods gone": int(books["gone"]),
        "takings": _fen(books["takings"]),
        "parties": books["parties"],
        "codes held": sum(kind.endswith(" held") for kind in uses),
        "codes used": uses.count("code used") + spent,
        "money out of nothing": max(made, 0),
    }


def _kind(use: Mapping[str, Any]) -> str:
    """What one carrier stands for."""
    cards, issued = _fen(use["cards"]), _fen(use["issued"])
    if use["state"] == "cancelled":
        return "code lost" if use["codes"] or cards else "nothing"
    if use["state"] == "draft":
        if _fen(use["total"]):
            return "card back" if issued == cards + SPENT else "nothing"
        return "code held" if use["codes"] else "card held" if cards else "nothing"
    if use["codes"]:
        return "code used"
    return "card used" if cards and cards - issued == SPENT else "half used"


def _fen(value: Any) -> int:
    return round(Decimal(value) * 100)
