"""Reading the head office's tables: read-only, bound parameters, one short connection a read, bounded waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.sdk import NotSent

from .protocol import BRANCH_WIDTH, CARD_WIDTH, ITEM_WIDTH, MEMO_WIDTH, pad
from .sqlite_build import sqlite

PAY_COLUMNS = (
    "com_no, flow_id, flow_no, branch_no, sale_amount, pay_way, sell_way, card_no, vip_no, pay_amount, voucher_no,"
    " oper_date, memo"
)
ITEM_COLUMNS = (
    "item_no, barcode, item_name, item_ename, clsno, clsname, price, vip_price, unit_no, weigh_flag, plu_no,"
    " combine_flag, combine_item, combine_qnty, status"
)


class HeadOffice:
    """The tables, as lists of rows by column name. Every method raises ``NotSent`` if the file can't be read."""

    def __init__(self, path: Path, wait_s: float) -> None:
        self.path = path
        self._wait_s = wait_s

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """A connection of its own: nothing is shared between threads, nothing survives a fork."""
        connection = None
        try:
            connection = sqlite.connect(f"file:{_quoted(self.path)}?mode=ro", uri=True, timeout=self._wait_s)
            connection.row_factory = sqlite.Row
            connection.text_factory = _text
            yield connection
        except sqlite.Error as error:
            raise NotSent(f"head office database {self.path.name}: {error}") from error
        finally:
            if connection is not None:
                connection.close()

    def _rows(self, sql: str, *params: Any) -> list[Any]:
        with self._reading() as connection:
            return list(connection.execute(sql, params))

    def branches(self) -> list[Any]:
        return self._rows("SELECT branch_no, branch_name FROM branch ORDER BY branch_no")

    def newest(self) -> int:
        """The ``com_no`` of the payment row that arrived last; 0 if none has."""
        return int(self._rows("SELECT COALESCE(MAX(com_no), 0) AS newest FROM payflow")[0]["newest"])

    def payments_by_memo(self, memo: str, after: int) -> list[Any]:
        """Payment rows with this memo that arrived after ``after``, in the order of arrival. There is no index."""
        sql = f"SELECT {PAY_COLUMNS} FROM payflow WHERE com_no > ? AND memo = ? ORDER BY com_no"  # noqa: S608 - fixed
        return self._rows(sql, after, pad(memo, MEMO_WIDTH))

    def payments(self, after: int, limit: int) -> list[Any]:
        """The next payment rows in the order of arrival."""
        sql = f"SELECT {PAY_COLUMNS} FROM payflow WHERE com_no > ? ORDER BY com_no LIMIT ?"  # noqa: S608 - fixed
        return self._rows(sql, after, limit)

    def payment_keys(self, after: int, until: int) -> list[Any]:
        """What identifies the payment rows that arrived in between."""
        sql = "SELECT flow_no, flow_id, oper_date FROM payflow WHERE com_no > ? AND com_no <= ?"
        return self._rows(sql, after, until)

    def items(self, after: str, limit: int) -> list[Any]:
        sql = f"SELECT {ITEM_COLUMNS} FROM item WHERE item_no > ? ORDER BY item_no LIMIT ?"  # noqa: S608 - fixed
        return self._rows(sql, pad(after, ITEM_WIDTH), limit)

    def item_by_plu(self, plu: str) -> list[Any]:
        sql = f"SELECT {ITEM_COLUMNS} FROM item WHERE plu_no = ? AND status = '1'"  # noqa: S608 - fixed
        return self._rows(sql, pad(plu, 5))

    def shared_barcodes(self) -> set[str]:
        """Barcodes that more than one article carries, padded as they stand."""
        sql = "SELECT barcode FROM item WHERE barcode <> ? GROUP BY barcode HAVING COUNT(*) > 1"
        return {row["barcode"] for row in self._rows(sql, pad("", 20))}

    def plans(self, now: str) -> list[Any]:
        """Special prices in force now (``yyyy-mm-dd HH:MM:SS``)."""
        sql = "SELECT plan_no, item_no, plan_price FROM plan WHERE status = '1' AND begin_date <= ? AND end_date >= ?"
        return self._rows(sql, now, now)

    def vip(self, column: str, value: str) -> list[Any]:
        """A member by ``card_id`` or ``phone``."""
        if column not in ("card_id", "phone"):
            raise ValueError(f"members are not found by {column}")
        sql = f"SELECT card_id, vip_name, vip_level, discount, acc_num, acc_date FROM vip WHERE {column} = ?"  # noqa: S608
        return self._rows(sql, pad(value, CARD_WIDTH))

    def stock(self, branch: str, reread: int) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """One consistent look at a branch's stock: day-end rows, sales since (and ``reread`` before), sheets, cases."""
        padded = pad(branch, BRANCH_WIDTH)
        with self._reading() as connection:
            connection.execute("BEGIN")
            ends = connection.execute(
                "SELECT item_no, qnty, end_date, sale_com_no, sheet_com_no FROM dayend WHERE branch_no = ?", (padded,)
            ).fetchall()
            sale_mark = min((row["sale_com_no"] for row in ends), default=0)
            sheet_mark = min((row["sheet_com_no"] for row in ends), default=0)
            sales = connection.execute(
                "SELECT com_no, flow_no, flow_id, oper_date, item_no, sale_qnty, sell_way FROM saleflow"
                " WHERE com_no > ? AND branch_no = ? ORDER BY com_no",
                (sale_mark - reread, padded),
            ).fetchall()
            sheets = connection.execute(
                "SELECT com_no, item_no, qnty, oper_date FROM stocksheet WHERE com_no > ? AND branch_no = ?",
                (sheet_mark, padded),
            ).fetchall()
            cases = connection.execute(
                "SELECT item_no, combine_item, combine_qnty FROM item WHERE combine_flag = '1'"
            ).fetchall()
        return ends, sales, sheets, cases


def _quoted(path: Path) -> str:
    """A path inside an SQLite URI."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _text(raw: bytes) -> str:
    """Texts as they stand; bytes that are not in the file's encoding are GBK that somebody stored raw."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("gbk", "replace")
