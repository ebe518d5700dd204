"""One exchange with pretix, and what each trouble means.

A look that fails is ``NotSent`` as long as nothing of the hook was sent. A change that is refused with 400 or 404 was
not made. 409 means that a lock was busy, that a request with this idempotency key is under way (or its process died:
then for ever), or that a gift card has too little: only the last is a refusal. All else is unknown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from gateway.sdk import (
    AdapterError,
    Call,
    Context,
    HttpReply,
    InvalidReply,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
)
from plugins.pretix.protocol import ParseError, read_json, read_page, words

T = TypeVar("T")
#: Rows a page of a list has, and the most pages that are turned.
PAGE = 50
PAGES_MOST = 40
#: An event that is not there is answered like one that the token has no right to.
_RIGHTS = "token, organizer or event: pretix answers {}; does the token's team have rights on this event?"


class Refused(Exception):
    """pretix looked and did nothing; ``body`` is what it says about it."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {words(body)}")
        self.status = status
        self.body = body

    @property
    def text(self) -> str:
        """Its own words, shortened."""
        return words(self.body)


class Talk:
    """The exchanges of one hook call, within its time: what is sent decides what a later failure means."""

    def __init__(self, context: Context, seconds: float, call: Call | None = None) -> None:
        settings = context.settings
        self._http = context.http
        self._base = f"{settings['base_url'].rstrip('/')}/api/v1/organizers/{settings['organizer']}/"
        self._event = f"events/{settings['event']}/"
        self._token = settings["token"]
        self._end = time.monotonic() + seconds
        self._call = call
        self._sent = call is not None and (call.attempt > 1 or bool(call.steps))

    # -------------------------------------------------------------- looking

    def look(self, path: str, read: Callable[[Any], T], **query: Any) -> T | None:
        """One record; ``None``: there is none."""
        reply = self._ask(self._path(path, query))
        return None if reply.status == 404 else self._read(reply, lambda body: read(read_json(body)))

    def page(self, path: str, number: int, **query: Any) -> tuple[tuple[Any, ...], bool]:
        """A page of a list, and whether there is another; a page beyond the end is empty."""
        reply = self._ask(self._path(path, {**query, "page": number, "page_size": PAGE}))
        if reply.status == 404 and number > 1:
            return (), False
        page = self._read(reply, read_page)
        return page.rows, page.more

    def rows(self, path: str, read: Callable[[Any], T], most: int = PAGES_MOST, **query: Any) -> Iterator[T]:
        """All records of a list. A filter that pretix does not know is ignored by it: look at what comes."""
        for number in range(1, most + 1):
            found, more = self.page(path, number, **query)
            for row in found:
                yield self.parsed(read, row)
            if not more:
                return
        raise self._classed(InvalidReply(f"{path} has more than {most} pages"))

    # -------------------------------------------------------------- changing

    def change(self, method: str, path: str, body: Any, read: Callable[[bytes], T], *, dry: bool = False) -> T:
        """Send a change, once. Raises :class:`Refused` where pretix did nothing, else what the module's text says.

        The idempotency key is the attempt's: one that a died process has locked would be refused for ever.
        ``dry``: nothing is changed by it.
        """
        headers = {"Content-Type": "application/json"}
        if self._call is not None and not dry:
            headers["X-Idempotency-Key"] = f"{self._call.key}.{self._call.attempt}.{method}.{path}"[:255]
        data = json.dumps(body, ensure_ascii=False).encode() if body is not None else b""
        before, self._sent = self._sent, self._sent or not dry
        try:
            reply = self._send(method, self._path(path, {}), data, headers)
        except NotSent:
            self._sent = before
            raise self._classed(NotSent("pretix cannot be reached")) from None
        if 200 <= reply.status < 300:
            return self.parsed(read, reply.body)
        self._refuse(reply, before)
        raise OutcomeUnknown(f"pretix answers {reply.status}")

    def _refuse(self, reply: HttpReply, before: bool) -> None:
        """Raise for an answer that says that nothing was done."""
        if reply.status in (401, 403):
            self._sent = before
            raise self._classed(Misconfigured(_RIGHTS.format(reply.status)))
        body = self.parsed(read_json, reply.body) if reply.status in (400, 404, 409) else None
        busy = reply.status == 409 and not (isinstance(body, dict) and "value" in body)
        if body is not None and not busy:
            self._sent = before
            raise Refused(reply.status, body)

    # -------------------------------------------------------------- the line

    def _path(self, path: str, query: Mapping[str, Any]) -> str:
        place = path.removeprefix("/") if path.startswith("/") else self._event + path
        return f"{self._base}{place}" + (f"?{urlencode(query)}" if query else "")

    def _ask(self, url: str) -> HttpReply:
        try:
            reply = self._send("GET", url, b"", {})
        except AdapterError as error:
            raise self._classed(error) from None
        if reply.status in (401, 403):
            raise self._classed(Misconfigured(_RIGHTS.format(reply.status)))
        if reply.status not in (200, 404):
            raise self._classed(OutcomeUnknown(f"pretix answers {reply.status}"))
        return reply

    def _send(self, method: str, url: str, data: bytes, headers: Mapping[str, str]) -> HttpReply:
        left = self._end - time.monotonic()
        if left <= 0:
            raise NotSent("no time is left")
        who = {"Authorization": f"Token {self._token.reveal()}"}
        return self._http.send(method, url, data=data, headers={**headers, **who}, timeout=left)

    def _read(self, reply: HttpReply, read: Callable[[bytes], T]) -> T:
        if reply.status != 200:
            raise self._classed(OutcomeUnknown(f"pretix answers {reply.status}"))
        return self.parsed(read, reply.body)

    def parsed(self, read: Callable[[Any], T], value: Any) -> T:
        """Read a part of an answer; what cannot be read makes the answer an untrustworthy one."""
        try:
            return read(value)
        except ParseError as error:
            raise self._classed(InvalidReply(str(error))) from None

    def _classed(self, error: AdapterError) -> AdapterError:
        """The class that holds for the whole hook: what was only looked at changed nothing."""
        if self._sent:
            return error if isinstance(error, OutcomeUnknown) else OutcomeUnknown(str(error))
        if self._call is None or isinstance(error, NotSent):
            return error
        return NotSent(f"only looked, nothing changed: {error}")


def plain(text: str) -> str:
    """A part of a path, whatever is in it."""
    return quote(text, safe="")
