"""The bank's side of the simulated terminal: cards, transactions, batches, in one SQLite file of the data folder.

Voucher numbers count up on the terminal. Only approved transactions leave a record. No card number exists here: a card
is known by its masked form, six digits and four.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from plugins.department.protocol_bankall import BankRequest, BankResponse, Kind
from plugins.department.protocol_detail import DetailRow, detail_file_name, encode_detail

BOOKS = "terminal.db"
DETAILS = "MX"
MERCHANT, TERMINAL = "898370153110001", "37010086"
SHOP_TIME = ZoneInfo("Asia/Shanghai")

#: What the terminal's window and the bank answer, beside "00".
TEXTS = {
    "00": "交易成功",
    "25": "无此交易",
    "51": "余额不足",
    "55": "密码错误",
    "61": "超出金额限制",
    "96": "系统故障,请与银行联系确认交易是否成功",
    "98": "发卡行无应答,请核对交易是否成功",
    "N1": "请先签到",
    "X1": "终端正忙",
    "X2": "持卡人取消交易",
    "X3": "原交易已撤销",
    "X4": "原交易已结算或已退货,请做退货",
    "X5": "退货金额超限",
    "X6": "不支持的交易类型",
}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS card(masked TEXT PRIMARY KEY, bank TEXT, balance INT, frozen INT DEFAULT 0);
CREATE TABLE IF NOT EXISTS state(name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS txn(voucher INTEGER PRIMARY KEY AUTOINCREMENT, batch INT, kind TEXT, amount INT, card TEXT,
    bank TEXT, ref TEXT, auth TEXT, stamp TEXT, pos TEXT, cashier TEXT, industry TEXT, original INT,
    status TEXT DEFAULT 'ok');
"""
_CARDS = (
    ("621700******1688", "0105", 5_000_000),
    ("622202******0312", "0102", 80_000),
    ("622848******7719", "0103", 2_000_000),
)
_START = {"batch": "1", "signed_on": "1", "card": _CARDS[0][0], "customer": "pays"}


class TerminalBooks:
    """The books of one terminal. Each call opens a connection of its own; the helper may be restarted at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / BOOKS
        with self.write() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            _seed(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end, undone when the block raises."""
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.close()

    def set_state(self, name: str, value: str) -> None:
        """Set one of ``batch signed_on card customer``."""
        with self.write() as connection:
            connection.execute("UPDATE state SET value = ? WHERE name = ?", (value, name))

    def add_card(self, masked: str, bank: str, balance: int) -> None:
        """Put a card into the bank's file, or set its balance (fen)."""
        with self.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO card(masked, bank, balance) VALUES(?,?,?)", (masked, bank, balance)
            )

    def reset(self) -> None:
        """Forget all transactions; cards and state are as at the first start."""
        with self.write() as connection:
            for table in ("txn", "card", "state", "sqlite_sequence"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of this module
            _seed(connection)
        for path in (self.folder / DETAILS).glob("MX*.TXT"):
            path.unlink()

    def act(self, request: BankRequest, now: float) -> BankResponse:
        """Do one transaction and answer, as the DLL does."""
        when = datetime.fromtimestamp(now, SHOP_TIME)
        with self.write() as connection:
            answer = _Bank(connection, request, when).answer()
        if answer.code == "00" and request.kind in _BOOKED:
            self._append_detail(request, answer, when)
        return replace(answer, lrc=request.lrc)

    def _append_detail(self, request: BankRequest, answer: BankResponse, when: datetime) -> None:
        row = DetailRow(
            stamp=f"{when:%Y%m%d%H%M%S}",
            kind=request.kind,
            voucher=answer.voucher,
            amount=answer.amount,
            card=answer.card,
            ref=answer.ref,
            original_ref=request.original_ref,
            batch=answer.batch,
        )
        folder = self.folder / DETAILS
        folder.mkdir(exist_ok=True)
        with (folder / detail_file_name(when.date())).open("ab") as file:
            file.write(encode_detail(row))

    def books(self) -> dict[str, Any]:
        """Transactions, net money taken (fen), cards and batch."""
        with self.write() as connection:
            transactions = [dict(row) for row in connection.execute("SELECT * FROM txn ORDER BY voucher")]
            cards = [dict(row) for row in connection.execute("SELECT * FROM card ORDER BY masked")]
            batch = _state(connection, "batch")
        signs = {Kind.SALE: 1, Kind.COMPLETION: 1, Kind.VOID: -1, Kind.RETURN: -1, Kind.COMPLETION_VOID: -1}
        net = sum(signs.get(Kind(row["kind"]), 0) * row["amount"] for row in transactions)
        return {"transactions": transactions, "net": net, "cards": cards, "batch": int(batch)}


#: A sale can be given back by its reference for so long.
_RETURNABLE = timedelta(days=30)
_BOOKED = (Kind.SALE, Kind.VOID, Kind.RETURN, Kind.PREAUTH, Kind.PREAUTH_VOID, Kind.COMPLETION, Kind.COMPLETION_VOID)


def _seed(connection: sqlite3.Connection) -> None:
    connection.executemany("INSERT OR IGNORE INTO card(masked, bank, balance) VALUES(?,?,?)", _CARDS)
    connection.executemany("INSERT OR IGNORE INTO state VALUES(?,?)", _START.items())


def _state(connection: sqlite3.Connection, name: str) -> str:
    row = connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
    return str(row["value"])


class _Bank:
    """One request being answered inside the books' transaction."""

    def __init__(self, connection: sqlite3.Connection, request: BankRequest, when: datetime) -> None:
        self.connection, self.request, self.when = connection, request, when
        self.batch = int(_state(connection, "batch"))

    def answer(self) -> BankResponse:
        kinds: dict[str, Callable[[], BankResponse]] = {
            Kind.SALE: lambda: self._take(Kind.SALE, "balance = balance - :fen"),
            Kind.PREAUTH: lambda: self._take(Kind.PREAUTH, "balance = balance - :fen, frozen = frozen + :fen"),
            Kind.VOID: lambda: self._undo(Kind.SALE, "balance = balance + :fen"),
            Kind.PREAUTH_VOID: lambda: self._undo(Kind.PREAUTH, "balance = balance + :fen, frozen = frozen - :fen"),
            Kind.COMPLETION: self._complete,
            Kind.COMPLETION_VOID: lambda: self._undo(Kind.COMPLETION, "balance = balance + :fen"),
            Kind.RETURN: self._return,
            Kind.REPRINT: self._reprint,
            Kind.BALANCE: self._balance,
            Kind.SIGN_ON: self._sign_on,
            Kind.SETTLE: self._settle,
        }
        act = kinds.get(self.request.kind)
        if act is None:
            return self._refuse("X6")
        if self.request.kind not in (Kind.SIGN_ON, Kind.REPRINT) and _state(self.connection, "signed_on") != "1":
            return self._refuse("N1")
        return act()

    def _refuse(self, code: str) -> BankResponse:
        date, time = f"{self.when:%m%d}", f"{self.when:%H%M%S}"
        return BankResponse(code, "000", text=TEXTS[code], terminal=TERMINAL, merchant=MERCHANT, date=date, time=time)

    def _customer(self) -> str:
        """What the customer does at the PIN pad: the code, "00" if he pays. A whim lasts for one transaction."""
        whim = _state(self.connection, "customer")
        self.connection.execute("UPDATE state SET value = 'pays' WHERE name = 'customer'")
        return {"cancels": "X2", "wrong_pin": "55"}.get(whim, "00")

    def _take(self, kind: Kind, change: str) -> BankResponse:
        card = self._card()
        code = self._customer()
        if code != "00":
            return self._refuse(code)
        if card["balance"] < self.request.amount:
            return self._refuse("51")
        self._move(card["masked"], change, self.request.amount)
        return self._book(kind, self.request.amount, card["masked"], card["bank"], 0)

    def _card(self) -> sqlite3.Row:
        masked = _state(self.connection, "card")
        row: sqlite3.Row = self.connection.execute("SELECT * FROM card WHERE masked = ?", (masked,)).fetchone()
        return row

    def _move(self, masked: str, change: str, fen: int) -> None:
        statement = f"UPDATE card SET {change} WHERE masked = :card"  # noqa: S608 - constant text of this module
        self.connection.execute(statement, {"card": masked, "fen": fen})

    def _book(self, kind: Kind, amount: int, card: str, bank: str, original: int) -> BankResponse:
        request = self.request
        stamp = f"{self.when:%Y%m%d%H%M%S}"
        row = (
            self.batch,
            kind,
            amount,
            card,
            bank,
            "",
            "",
            stamp,
            request.pos,
            request.cashier,
            request.industry,
            original,
        )
        cursor = self.connection.execute(
            "INSERT INTO txn(batch, kind, amount, card, bank, ref, auth, stamp, pos, cashier, industry, original)"
            " VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
            row,
        )
        voucher = int(cursor.lastrowid or 0)
        numbers = (f"{self.when:%m%d}{voucher:08d}", f"{voucher:06d}", voucher)
        self.connection.execute("UPDATE txn SET ref = ?, auth = ? WHERE voucher = ?", numbers)
        return self._print(voucher)

    def _print(self, voucher: int) -> BankResponse:
        row = self._txn(voucher)
        if row is None:
            return self._refuse("25")
        stamp = row["stamp"]
        return BankResponse(
            code="00",
            lrc="000",
            bank=row["bank"],
            card=row["card"],
            voucher=row["voucher"],
            amount=row["amount"],
            text=TEXTS["00"],
            merchant=MERCHANT,
            terminal=TERMINAL,
            batch=row["batch"],
            date=stamp[4:8],
            time=stamp[8:14],
            ref=row["ref"],
            auth=row["auth"],
            settle_date=stamp[4:8],
        )

    def _txn(self, voucher: int) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.connection.execute("SELECT * FROM txn WHERE voucher = ?", (voucher,)).fetchone()
        return row

    def _undo(self, kind: Kind, change: str) -> BankResponse:
        """Void a transaction of this batch, whole, by its voucher."""
        row = self._txn(self.request.original_voucher)
        if row is None or row["kind"] != kind or row["amount"] != self.request.amount:
            return self._refuse("25")
        if row["status"] != "ok":
            return self._refuse("X3")
        if row["batch"] != self.batch or self._given_back(row["voucher"]):
            return self._refuse("X4")
        self.connection.execute("UPDATE txn SET status = 'void' WHERE voucher = ?", (row["voucher"],))
        self._move(row["card"], change, row["amount"])
        return self._book(Kind(self.request.kind), row["amount"], row["card"], row["bank"], row["voucher"])

    def _complete(self) -> BankResponse:
        """Take part or all of a pre-authorisation; the rest is let go."""
        row = self._txn(self.request.original_voucher)
        if row is None or row["kind"] != Kind.PREAUTH or row["status"] != "ok":
            return self._refuse("25")
        if self.request.amount > row["amount"]:
            return self._refuse("61")
        self.connection.execute("UPDATE txn SET status = 'completed' WHERE voucher = ?", (row["voucher"],))
        self._move(row["card"], "balance = balance + :fen, frozen = frozen - :fen", row["amount"])
        self._move(row["card"], "balance = balance - :fen", self.request.amount)
        return self._book(Kind.COMPLETION, self.request.amount, row["card"], row["bank"], row["voucher"])

    def _return(self) -> BankResponse:
        """Give part or all of a sale back, by its date and reference number, in this batch or later."""
        row = self.connection.execute(
            "SELECT * FROM txn WHERE ref = ? AND substr(stamp, 1, 8) = ? AND kind IN ('00', '23')",
            (self.request.original_ref, self.request.original_date),
        ).fetchone()
        if row is None or row["status"] != "ok":
            return self._refuse("25" if row is None else "X3")
        if self.when - datetime.strptime(row["stamp"], "%Y%m%d%H%M%S").replace(tzinfo=self.when.tzinfo) > _RETURNABLE:
            return self._refuse("X4")
        if self._given_back(row["voucher"]) + self.request.amount > row["amount"]:
            return self._refuse("X5")
        self._move(row["card"], "balance = balance + :fen", self.request.amount)
        return self._book(Kind.RETURN, self.request.amount, row["card"], row["bank"], row["voucher"])

    def _given_back(self, voucher: int) -> int:
        returned = "SELECT COALESCE(SUM(amount), 0) AS n FROM txn WHERE kind = '02' AND original = ?"
        return int(self.connection.execute(returned, (voucher,)).fetchone()["n"])

    def _reprint(self) -> BankResponse:
        last = self.connection.execute("SELECT COALESCE(MAX(voucher), 0) AS n FROM txn").fetchone()["n"]
        return self._print(self.request.original_voucher or int(last))

    def _balance(self) -> BankResponse:
        card = self._card()
        return replace(self._refuse("00"), card=card["masked"], bank=card["bank"], amount=card["balance"])

    def _sign_on(self) -> BankResponse:
        self.connection.execute("UPDATE state SET value = '1' WHERE name = 'signed_on'")
        return replace(self._refuse("00"), batch=self.batch)

    def _settle(self) -> BankResponse:
        """Close the batch; the answer's amount is its net, its text the counts."""
        rows = self.connection.execute(
            "SELECT kind, COUNT(*) AS n, SUM(amount) AS fen FROM txn WHERE batch = ? GROUP BY kind", (self.batch,)
        ).fetchall()
        taken = {row["kind"]: (row["n"], row["fen"]) for row in rows}
        sales = [taken.get(kind, (0, 0)) for kind in (Kind.SALE, Kind.COMPLETION)]
        backs = [taken.get(kind, (0, 0)) for kind in (Kind.VOID, Kind.RETURN, Kind.COMPLETION_VOID)]
        net = sum(fen for _, fen in sales) - sum(fen for _, fen in backs)
        text = f"消费{sum(n for n, _ in sales)}笔 退{sum(n for n, _ in backs)}笔"
        self.connection.execute("UPDATE state SET value = ? WHERE name = 'batch'", (str(self.batch + 1),))
        return replace(self._refuse("00"), batch=self.batch, amount=max(net, 0), text=text)
