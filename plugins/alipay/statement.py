"""The daily bill as our statement: fetched with the first page, kept in the spool folder, read page by page."""

from __future__ import annotations

import io
from datetime import date, datetime
from pathlib import Path

from gateway.sdk import Context, InvalidReply, NotSent, Page, StatementRow
from gateway.sdk.transports.files import write_atomically
from plugins.alipay import mapping
from plugins.alipay.bill import read_page, unpack
from plugins.alipay.client import AlipayClient
from plugins.alipay.protocol import ParseError

PAGE = 500
KEPT = 7
READY = "from 09:00 of the next day"


class DailyBills:
    """The bills of one connection."""

    def __init__(self, client: AlipayClient, context: Context) -> None:
        self._client, self._context = client, context

    def page(self, day: date, cursor: str, store: str, until: datetime) -> Page[StatementRow]:
        """500 rows from ``cursor`` on; with Alipay's number of a store, those of them that are the store's.

        Raises ``NotSent`` while there is no bill, ``InvalidReply`` for one that can't be read: it is fetched anew.
        """
        path = self._context.spool / f"bill-{day.isoformat()}.csv"
        try:
            if not cursor or not path.exists():
                self._fetch(day, path, until)
            with path.open("rb") as table:
                rows, following = read_page(table, cursor, PAGE)
        except ParseError as error:
            path.unlink(missing_ok=True)
            raise InvalidReply(f"the bill of {day}: {error}") from None
        mapped = (mapping.statement_row(row) for row in rows if store in ("", row.store_id))
        return Page(items=tuple(row for row in mapped if row is not None), next_cursor=following or None)

    def _fetch(self, day: date, path: Path, until: datetime) -> None:
        """Fetch a day's bill, and keep its detail table; it has no more of a customer than a masked name."""
        table = io.BytesIO()
        unpack(self._download(day, until), table)
        write_atomically(path, table.getvalue())
        for old in sorted(path.parent.glob("bill-*.csv"))[:-KEPT]:
            old.unlink(missing_ok=True)

    def _download(self, day: date, until: datetime) -> bytes:
        asked = {"bill_type": "trade", "bill_date": day.isoformat()}
        method = "alipay.data.dataservice.bill.downloadurl.query"
        reply = self._client.call(method, asked, timeout=self._left(until))
        if reply.code != "10000":
            raise NotSent(f"there is no bill of {day} (yet): it is made {READY} ({reply.sub_code})")
        return self._client.download(mapping.text(reply, "bill_download_url"), timeout=self._left(until))

    def _left(self, until: datetime) -> float:
        return (until - self._context.clock()).total_seconds()
