"""Reads that need care: a day of bills whose pages shift while they are read, and a file that may be half written."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from gateway.sdk import AdapterError, Confidence, Context, InvalidReply, OutcomeUnknown
from gateway.sdk.transports.files import write_atomically
from plugins.restaurant.client import Office, Till
from plugins.restaurant.mapping import quantity
from plugins.restaurant.protocol import MAX_REPLY_BYTES, ParseError, parse_sold_out
from plugins.restaurant.protocol_bill import Bill, Dish, Page, parse_bill, parse_dish, parse_left

#: The head office gives no more on a page.
PAGE_MOST = 50

#: How often a listing that moves while it is read is read again.
SWEEPS = 5
#: The sold-out file is written every five minutes; one of twice that age has missed a turn.
FRESH_FOR = timedelta(minutes=10)
DISHES_PATH = "/api/datatransfer/getdishs"
DAY_PATH = "/api/datatransfer/getserialdata"


def read_day(office: Office, day: date, shop: str) -> list[Bill]:
    """All bills of one shop's business date as the head office has them now, each once.

    A bill that arrives while pages are read moves to the front and shifts the others, so that one may be missed: the
    first page is read again at the end, and everything once more if it has changed.
    """
    for _ in range(SWEEPS):
        first = _page(office, day, shop, 1)
        found = _merge({}, first)
        for number in range(2, first.pages + 1):
            found = _merge(found, _page(office, day, shop, number))
        if first.pages == 1 or _front(_page(office, day, shop, 1)) == _front(first):
            return sorted(found.values(), key=lambda bill: bill.bs_id)
    raise OutcomeUnknown("head office: its pages shift faster than they can be read; ask again later")


def _page(office: Office, day: date, shop: str, number: int) -> Page:
    query = {"settleBizDate": day.isoformat(), "shopCode": shop, "pageNo": str(number)}
    return office.page(DAY_PATH, query, "billList")


def _front(page: Page) -> tuple[int, list[tuple[object, object]]]:
    return page.total, [(row.get("bsId"), row.get("uploadTime")) for row in page.rows]


def _merge(found: Mapping[str, Bill], page: Page) -> dict[str, Bill]:
    """Add a page's bills; of one seen twice the later upload counts."""
    merged = dict(found)
    for row in page.rows:
        try:
            bill = parse_bill(row)
        except ParseError as error:
            raise InvalidReply(f"head office: {error}") from None
        known = merged.get(bill.bs_id)
        if known is None or bill.upload_time >= known.upload_time:
            merged[bill.bs_id] = bill
    return merged


class DishCodes:
    """The codes of all dishes, read from the head office and kept for ten minutes."""

    def __init__(self, office: Office, clock: Callable[[], datetime]) -> None:
        self._office = office
        self._clock = clock
        self._codes: frozenset[str] = frozenset()
        self._good_until: datetime | None = None
        self._lock = threading.Lock()

    def known(self) -> frozenset[str] | None:
        """The codes; old ones while the head office can't be asked, ``None`` if there are none yet."""
        with self._lock:
            if self._good_until is None or self._clock() >= self._good_until:
                self._renew()
            return self._codes or None

    def _renew(self) -> None:
        with contextlib.suppress(AdapterError):
            self._codes = frozenset(dish.code for dish in read_dishes(self._office))
        # Also after a failure: a head office that is down is not asked at every look at a shelf.
        self._good_until = self._clock() + (FRESH_FOR if self._codes else timedelta(seconds=30))


def read_dishes(office: Office) -> Iterator[Dish]:
    """All dishes of the head office."""
    number = pages = 1
    while number <= pages:
        page, dishes = dish_page(office, number)
        yield from dishes
        number, pages = number + 1, page.pages


def dish_page(office: Office, number: int, limit: int = PAGE_MOST) -> tuple[Page, list[Dish]]:
    """One page of the dishes, ``limit`` of them but never more than fifty."""
    size = {"pageSize": str(limit)} if limit < PAGE_MOST else {}
    page = office.page(DISHES_PATH, {"pageNo": str(number), **size}, "dishList")
    try:
        return page, [parse_dish(row) for row in page.rows]
    except ParseError as error:
        raise InvalidReply(f"head office: {error}") from None


@dataclass(frozen=True, slots=True)
class Listing:
    """Portions left of a shop's limited dishes, and how far to trust that."""

    left: Mapping[str, Decimal]
    as_of: datetime
    confidence: Confidence
    source: str


class LeftReader:
    """Asks the till, and takes the sold-out file where the till can't be asked."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._folder: Path | None = context.settings.get("sold_out_folder")

    def read(self, till: Till, shop: str) -> Listing:
        """The shop's listing. Raises the till's trouble if there is no usable file either."""
        try:
            return self._from_till(till)
        except AdapterError as error:
            listing = self._from_file(shop)
            if listing is None:
                raise
            self._context.log.warning("the till can't be asked what is sold out, taking the file: %s", error)
            return listing

    def _from_till(self, till: Till) -> Listing:
        try:
            left = parse_left(till.ask("soldout"))
        except ParseError as error:
            raise InvalidReply(f"till: {error}") from None
        portions = {dish: quantity(max(0, count)) for dish, count in left.items()}
        return Listing(portions, self._context.clock(), Confidence.RECENT, "till")

    def _from_file(self, shop: str) -> Listing | None:
        path = self._newest()
        for candidate in (path, self._copy):
            content = _whole(candidate) if candidate else None
            if candidate and content is not None:
                if candidate is path:
                    self._keep(path, content)
                return self._listing(content, candidate, shop)
        return None

    def _listing(self, content: bytes, path: Path, shop: str) -> Listing:
        rows = [row for row in parse_sold_out(content) if row.shop == shop]
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        stale = self._context.clock() - written > FRESH_FOR
        left = {row.dish: quantity(max(0, row.left)) for row in rows}
        return Listing(left, written, Confidence.STALE if stale else Confidence.RECENT, "sold-out file")

    @property
    def _copy(self) -> Path:
        return self._context.spool / "sold_out.last"

    def _newest(self) -> Path | None:
        if self._folder is None:
            return None
        return max(self._folder.glob("GQ*.TXT"), key=lambda path: path.name, default=None)

    def _keep(self, path: Path, content: bytes) -> None:
        """Keep the last whole file, with its age: the next one may be half written just when we need it."""
        modified = path.stat().st_mtime
        write_atomically(self._copy, content)
        os.utime(self._copy, (modified, modified))


def _whole(path: Path) -> bytes | None:
    """The file's bytes if it is there and written to its trailer."""
    try:
        if path.stat().st_size > MAX_REPLY_BYTES:
            return None
        content = path.read_bytes()
        parse_sold_out(content)
    except (OSError, ParseError):
        return None
    return content
