"""The trade bill as our statement: fetched with the first page, kept in the spool folder, read page by page."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from gateway.sdk import Context, InvalidReply, NotSent, Page, ParseError, StatementRow
from gateway.sdk.transports.files import write_atomically
from plugins.wechatpay import mapping
from plugins.wechatpay.bill import read_bill, unpack
from plugins.wechatpay.client import WechatPayClient
from plugins.wechatpay.protocol import text

PAGE = 500
KEPT = 7
NOT_THERE = ("NO_STATEMENT_EXIST", "STATEMENT_CREATING")


class DailyBills:
    """The bills of one connection."""

    def __init__(self, client: WechatPayClient, context: Context) -> None:
        self._client, self._context = client, context

    def page(self, day: date, cursor: str, until: datetime) -> Page[StatementRow]:
        """500 rows from ``cursor`` on. Raises ``NotSent`` while there is no bill, ``InvalidReply`` for one that can't
        be read or has another hash: it is fetched anew."""
        path = self._context.spool / f"bill-{day.isoformat()}.csv"
        try:
            begin = int(cursor or "0")
            if not cursor or not path.exists():
                self._fetch(day, path, until)
            rows = read_bill(path.read_bytes())
        except ValueError as error:  # a ParseError is one
            path.unlink(missing_ok=True)
            raise InvalidReply(f"the bill of {day}: {error}") from None
        mapped = (mapping.statement_row(row) for row in rows[begin : begin + PAGE])
        following = str(begin + PAGE) if begin + PAGE < len(rows) else None
        return Page(items=tuple(row for row in mapped if row is not None), next_cursor=following)

    def _fetch(self, day: date, path: Path, until: datetime) -> None:
        asked = f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL&tar_type=GZIP"
        reply = self._client.call("GET", asked, timeout=self._left(until))
        if reply.code in NOT_THERE:
            raise NotSent(f"there is no bill of {day} (yet): it is made from 09:00 of the next day ({reply.code})")
        if not reply.ok:
            raise InvalidReply(f"the bill of {day}: {reply.status} {reply.code}")
        if text(reply.fields, "hash_type") != "SHA1":
            raise ParseError("its hash is not a SHA-1")
        packed = self._client.download(text(reply.fields, "download_url"), timeout=self._left(until))
        write_atomically(path, unpack(packed, text(reply.fields, "hash_value")))
        for old in sorted(path.parent.glob("bill-*.csv"))[:-KEPT]:
            old.unlink(missing_ok=True)

    def _left(self, until: datetime) -> float:
        return (until - self._context.clock()).total_seconds()
