"""The account's own books: followers, subscriptions, templates, messages and tokens, in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.messages.protocol import Letter

#: What an account has from its first day: id, kind, title, keywords.
TEMPLATES = (
    ("TMPLPAIDZH0001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "template", "消费成功通知", ("first", "keyword1", "keyword2")),
    ("TMPLPAIDEN0001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "template", "Purchase receipt", ("first", "keyword1", "keyword2")),
    ("TMPLBACKZH0001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "template", "退款到账通知", ("keyword1", "keyword2")),
    ("SUBSREADYZH001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "subscription", "取餐提醒", ("thing1", "character_string2")),
)
FOLLOWERS = 50
_TABLES = """
CREATE TABLE IF NOT EXISTS people (openid TEXT PRIMARY KEY, follows INTEGER NOT NULL, refuses INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS subscriptions (
  openid TEXT NOT NULL, template TEXT NOT NULL, allowed INTEGER NOT NULL, PRIMARY KEY (openid, template));
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, openid TEXT NOT NULL, template TEXT NOT NULL,
  content TEXT NOT NULL, number TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS messages_number ON messages (openid, number);
CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, at REAL NOT NULL, until REAL NOT NULL);
"""
#: The first number of a message: they are long.
_FIRST = 200_228_332


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody known to the account: whether they follow it, and whether they refuse its messages."""

    openid: str
    follows: bool
    refuses: bool


def openid_of(number: int) -> str:
    """The openid of one of the first followers."""
    return "o6_" + hashlib.sha256(f"follower {number}".encode()).hexdigest()[:25]


class Books:
    """Thread-safe; every change is written before it is answered."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._file = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._file.executescript(_TABLES)
        with self._lock:
            if not self._one("SELECT 1 FROM people"):
                rows = [(openid_of(number), 1, 0) for number in range(FOLLOWERS)]
                self._file.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _one(self, sql: str, *values: Any) -> Any:
        with self._lock:
            return self._file.execute(sql, values).fetchone()

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement; how many rows it touched."""
        with self._lock:
            return self._file.execute(sql, values).rowcount

    @property
    def lock(self) -> threading.RLock:
        """Held over a look and the change that follows from it."""
        return self._lock

    def person(self, openid: str) -> Person | None:
        row = self._one("SELECT follows, refuses FROM people WHERE openid = ?", openid)
        return Person(openid, bool(row[0]), bool(row[1])) if row else None

    def allowed(self, openid: str, template: str) -> int:
        """How many subscription messages this person still takes by a template; -1: any number."""
        row = self._one("SELECT allowed FROM subscriptions WHERE openid = ? AND template = ?", openid, template)
        return int(row[0]) if row else 0

    def allow(self, openid: str, template: str, count: int) -> None:
        sql = "INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?)"
        self.write(sql, openid, template, count)

    def sent_before(self, openid: str, number: str, since: float) -> int | None:
        """The message of this number to this person, if there is one that is not too old to be known."""
        sql = "SELECT id FROM messages WHERE openid = ? AND number = ? AND at >= ? ORDER BY id"
        row = self._one(sql, openid, number, since) if number else None
        return int(row[0]) + _FIRST if row else None

    def sent_since(self, since: float, kind: str) -> int:
        return int(self._one("SELECT count(*) FROM messages WHERE at >= ? AND kind = ?", since, kind)[0])

    def send(self, kind: str, letter: Letter, at: float) -> int:
        """Write a message down, with what it uses up; its number."""
        content = json.dumps(dict(letter.values), ensure_ascii=False)
        with self._lock, self._file:
            self._file.execute("BEGIN IMMEDIATE")
            found = self._file.execute(
                "INSERT INTO messages (kind, openid, template, content, number, at) VALUES (?, ?, ?, ?, ?, ?)",
                (kind, letter.receiver, letter.template, content, letter.number, at),
            )
            if kind == "subscription":
                self._file.execute(
                    "UPDATE subscriptions SET allowed = allowed - 1 WHERE openid = ? AND template = ? AND allowed > 0",
                    (letter.receiver, letter.template),
                )
            return int(found.lastrowid or 0) + _FIRST

    # -- tokens

    def issue(self, token: str, at: float, until: float) -> None:
        self.write("INSERT INTO tokens VALUES (?, ?, ?)", token, at, until)

    def tokens(self) -> list[tuple[str, float, float]]:
        """All tokens, the newest first."""
        with self._lock:
            return list(self._file.execute("SELECT token, at, until FROM tokens ORDER BY rowid DESC"))

    def shown(self) -> dict[str, Any]:
        """The books as they are told."""
        with self._lock:
            sent = self._file.execute("SELECT id, kind, openid, template, content, number FROM messages ORDER BY id")
            messages = [_message(*row) for row in sent]
            allowed = self._file.execute("SELECT openid, template, allowed FROM subscriptions").fetchall()
        return {
            "messages": messages,
            "subscriptions": [dict(zip(("openid", "template", "allowed"), row, strict=True)) for row in allowed],
            "tokens_issued": len(self.tokens()),
        }


def _message(row: int, kind: str, openid: str, template: str, content: str, number: str) -> Mapping[str, Any]:
    told = {"msgid": row + _FIRST, "kind": kind, "touser": openid, "template_id": template}
    return told | {"data": json.loads(content), "client_msg_id": number}
