"""Writing into a legacy database once: each of our changes leaves its number there, in the same transaction.

A table of our own stands beside theirs (:data:`TABLE`; have their administrator create it). ``once`` writes the number
and the change together, so a repeated change does nothing, and a commit whose answer was lost is looked up by its
number. ``close`` makes sure that a number that did nothing never will: after it, "not found" is final.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.domain.errors import InvalidReply, NotSent, OutcomeUnknown
from gateway.sdk.transports.sql import Database, Duplicate, Session

#: What to create; ``claim_key`` holds a call's key, with a suffix where one call writes several times.
TABLE = """CREATE TABLE o2o_claim (
    claim_key VARCHAR(64) NOT NULL PRIMARY KEY,
    state CHAR(1) NOT NULL,
    content VARCHAR(4000) NOT NULL,
    written_at VARCHAR(32) NOT NULL
)"""

DONE, CLOSED = "1", "9"


@dataclass(frozen=True, slots=True)
class Claim:
    """What stands under a number. ``content`` is what the change returned; ``again``: it was there before."""

    content: Any
    again: bool = False


class Closed(NotSent):
    """This number was closed before it acted, and never will act."""


class Claims:
    """The claims in one database. ``table`` is a name that its administrator chose."""

    def __init__(self, database: Database, table: str = "o2o_claim") -> None:
        if not table.replace("_", "").replace(".", "").isalnum():
            raise ValueError(f"not a table's name: {table!r}")
        self._database, self._table = database, table

    def once(self, key: str, change: Callable[[Session], Any], *, seconds: float) -> Claim:
        """Run ``change`` in a transaction with its number; what it returns (JSON) is kept and returned.

        Idempotent by ``key``: done before, it is not run, and the kept content comes back with ``again``. If the
        commit's answer is lost it is looked for once. Raises :class:`Closed`, ``NotSent``, ``OutcomeUnknown``.
        """
        try:
            with self._database.write(seconds) as session:
                self._insert(session, key, DONE, "null")
                content = change(session)
                text = json.dumps(content, ensure_ascii=True)
                session.execute(
                    f"UPDATE {self._table} SET content = :content WHERE claim_key = :key",  # noqa: S608 - checked
                    content=text,
                    key=key,
                )
        except Duplicate:
            found = self._look(key, seconds)
            if found is None:
                raise  # another number than ours was taken: the change itself is refused
            return found
        except OutcomeUnknown as error:
            return self._after(key, error, seconds)
        return Claim(json.loads(text))

    def find(self, key: str, *, seconds: float) -> Claim | None:
        """What was done under a number; ``None``: nothing yet, though a commit may still be under way.

        Raises :class:`Closed` for a number that was closed.
        """
        return self._look(key, seconds)

    def close(self, key: str, *, seconds: float) -> Claim | None:
        """Make sure that this number never acts; ``None`` if it has not. It waits for a commit that is under way.

        Returns what was done, if it was: then nothing is closed. Idempotent.
        """
        try:
            with self._database.write(seconds) as session:
                self._insert(session, key, CLOSED, "null")
        except Duplicate:
            try:
                return self._look(key, seconds)
            except Closed:
                return None
        return None

    def _insert(self, session: Session, key: str, state: str, content: str) -> None:
        session.execute(
            f"INSERT INTO {self._table} (claim_key, state, content, written_at)"  # noqa: S608 - checked
            " VALUES (:key, :state, :content, :at)",
            key=key,
            state=state,
            content=content,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _look(self, key: str, seconds: float) -> Claim | None:
        with self._database.read(seconds) as session:
            sql = f"SELECT state, content FROM {self._table} WHERE claim_key = :key"  # noqa: S608 - checked
            row = session.one(sql, key=key)
        if row is None:
            return None
        if str(row["state"]) == CLOSED:
            raise Closed(f"number {key} was closed")
        try:
            return Claim(json.loads(row["content"]), again=True)
        except (TypeError, ValueError):
            raise InvalidReply("a claim's content is not what was written") from None

    def _after(self, key: str, error: OutcomeUnknown, seconds: float) -> Claim:
        """Look once after a lost answer: found is done; not found proves nothing, for it may be on its way."""
        try:
            found = self._look(key, seconds)
        except NotSent:
            raise error from None
        if found is None:
            raise error
        return Claim(found.content)
