"""The two HTTP clients: a shop's till, which changes things, and the head office, which is only read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.sdk import AdapterError, Call, Http, InvalidReply, Misconfigured, NotSent, OutcomeUnknown, Secret
from plugins.restaurant.mapping import check_sums
from plugins.restaurant.protocol import (
    FORM_TYPE,
    ParseError,
    Reply,
    decode_reply,
    encode_form,
    sign_token_request,
)
from plugins.restaurant.protocol_bill import Bill, Page, parse_bill, parse_page

OK = 0
WRONG_PASSWORD, NO_SUCH_SHOP, NO_SUCH_BILL = 50401, 50002, 50004
ALREADY_SETTLED, PRE_BILLED, NOT_SETTLED, DAY_CLOSED = 50030, 50005, 50022, 50021
UNPAID, ALREADY_CLEARED = 50041, 50042
#: Codes that the till gives after having done nothing at all. Any other code proves nothing.
REFUSALS = {
    50001: "wrong parameter",
    50003: "table already open",
    NO_SUCH_BILL: "no such bill",
    PRE_BILLED: "the bill is pre-billed",
    50007: "no such table",
    50011: "sold out",
    50012: "no such dish",
    50013: "wrong line or quantity",
    DAY_CLOSED: "the business day is closed",
    NOT_SETTLED: "the bill is not settled",
    ALREADY_SETTLED: "the bill is settled",
    50032: "unknown tender code",
    50033: "wrong amount",
    UNPAID: "the bill is not fully paid",
    ALREADY_CLEARED: "the table is cleared",
}
TOKEN_EXPIRED, BAD_SIGNATURE, BAD_TIMESTAMP, BAD_KEY = 40001, 40002, 40003, 40005
#: A token is renewed this long before it ends.
TOKEN_MARGIN_S = 120


@dataclass(frozen=True, slots=True)
class TillAddress:
    """Where a shop's till is, and who asks."""

    url: str
    operator: str
    password: Secret


class Till:
    """One hook's talk with one shop's till: it knows whether a message that changes something may have arrived.

    Until then every trouble is ``NotSent``; from then on ``OutcomeUnknown``. An earlier attempt counts as arrived.
    """

    def __init__(self, http: Http, address: TillAddress, timeout_s: float, call: Call | None = None) -> None:
        self._http = http
        self._address = address
        self._timeout_s = timeout_s
        self._call = call
        self.acted = call is not None and (call.attempt > 1 or bool(call.steps))

    def look(self, *, bill_id: str = "", table: str = "", trial: str = "") -> Bill | None:
        """The bill by number or table, its figures checked; ``None`` if there is none. Changes nothing."""
        form = {"bsId": bill_id} if bill_id else {"table": table}
        reply = self.read("bill", {**form, "trial": trial} if trial else form)
        if reply.code in (NO_SUCH_BILL, 50007):
            return None
        self._expect_ok(reply, "bill")
        try:
            bill = parse_bill(reply.data.get("bill"))
        except ParseError as error:
            raise self._trouble(InvalidReply(f"till: {error}")) from None
        if bill_id and bill_id not in (bill.bs_id, bill.bs_code):
            raise self._trouble(InvalidReply("till: the answer is about another bill"))
        if table and bill.table != table:
            raise self._trouble(InvalidReply("till: the answer is about another table"))
        wrong = check_sums(bill)
        if wrong:
            raise self._trouble(InvalidReply(f"till: {wrong}"))
        return bill

    def need(self, bill_id: str) -> Bill:
        """The bill, which must be there."""
        bill = self.look(bill_id=bill_id)
        if bill is None:
            raise self._trouble(InvalidReply("till: a bill that was there has gone"))
        return bill

    def ask(self, command: str) -> Mapping[str, Any]:
        """The data of a command without fields that changes nothing."""
        reply = self.read(command, {})
        self._expect_ok(reply, command)
        return reply.data

    def read(self, command: str, form: Mapping[str, str]) -> Reply:
        """Send a command that changes nothing."""
        try:
            return self._send(command, form)
        except AdapterError as error:
            raise self._trouble(error) from None

    def change(
        self, command: str, form: Mapping[str, str], ref: str = "", seen: Callable[[], bool] | None = None
    ) -> Reply:
        """Send one command that changes something, journalled before its first byte.

        Returns a reply of code 0 or of ``REFUSALS``; a refusal has changed nothing. Where no trustworthy answer comes,
        ``seen`` looks for the effect: found, it counts as done. Raises for everything else.
        """
        if self._call is None:
            raise TypeError("a change needs a call")
        with self._call.step(command, ref):
            try:
                return self._change(command, form)
            except OutcomeUnknown:
                self.acted = True
                if seen is None or not _is_seen(seen):
                    raise
                return Reply(OK, "seen after its answer was lost", {})

    def _change(self, command: str, form: Mapping[str, str]) -> Reply:
        try:
            reply = self._send(command, form)
        except NotSent as error:
            raise self._trouble(error) from None
        if reply.code in REFUSALS:
            return reply
        if reply.code not in (WRONG_PASSWORD, NO_SUCH_SHOP):
            self.acted = True
        self._expect_ok(reply, command)
        return reply

    def _send(self, command: str, form: Mapping[str, str]) -> Reply:
        timeout = self._timeout_s
        if self._call is not None:
            timeout = min(timeout, self._call.remaining())
        if timeout <= 0:
            raise NotSent(f"till: no time left to send /{command}")
        who = {"opr": self._address.operator, "pwd": self._address.password.reveal()}
        try:
            body = encode_form({**who, **form})
        except ParseError as error:
            raise NotSent(f"till: {error}") from None
        answer = self._http.send(
            "POST", f"{self._address.url}/{command}", data=body, headers={"Content-Type": FORM_TYPE}, timeout=timeout
        )
        if answer.status != 200:
            raise OutcomeUnknown(f"till: HTTP status {answer.status} to /{command}")
        try:
            return decode_reply(answer.body)
        except ParseError as error:
            raise InvalidReply(f"till: {error}") from None

    def _expect_ok(self, reply: Reply, command: str) -> None:
        if reply.code == OK:
            return
        if reply.code == WRONG_PASSWORD:
            raise self._trouble(Misconfigured("the till refuses the operator: check 'operator' and 'password'"))
        if reply.code == NO_SUCH_SHOP:
            raise self._trouble(Misconfigured("the till does not know this shop: check 'shops' and 'till_url'"))
        raise self._trouble(OutcomeUnknown(f"till: code {reply.code} to /{command}"))

    def _trouble(self, error: AdapterError) -> AdapterError:
        """The error as it counts at this point: nothing that changes has gone out yet, or something may have."""
        if self._call is None:
            return error
        if self.acted:
            return error if isinstance(error, OutcomeUnknown) else OutcomeUnknown(str(error))
        # A plain NotSent, whatever the kind of trouble: bytes have left, but provably none that change anything.
        return error if type(error) is NotSent else NotSent(f"nothing was changed: {error}")


def _is_seen(seen: Callable[[], bool]) -> bool:
    try:
        return seen()
    except AdapterError:
        return False


@dataclass(slots=True)
class OfficeSettings:
    """How to reach the head office."""

    url: str
    brand_id: str
    app_key: str
    app_secret: Secret
    timeout_s: float


@dataclass(slots=True)
class Office:
    """The head office. Every call is a read, so a token that expires in between is renewed and the call repeated."""

    http: Http
    settings: OfficeSettings
    now: Callable[[], float] = time.time
    _token: str = ""
    _good_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def page(self, path: str, query: Mapping[str, str], rows: str) -> Page:
        """One page of a listing. Raises ``Misconfigured``, ``NotSent`` or ``OutcomeUnknown``."""
        reply = self.ask(path, query)
        expect_office_ok(reply)
        try:
            page = parse_page(reply.data, rows)
        except ParseError as error:
            raise InvalidReply(f"head office: {error}") from None
        if str(page.number) != query.get("pageNo", "1"):
            raise InvalidReply("head office: the answer is another page")
        return page

    def ask(self, path: str, fields: Mapping[str, str], timeout_s: float | None = None) -> Reply:
        """Send one request and return its reply, whatever its code.

        A token that has expired is renewed and the request sent again: it was refused before it was read.
        """
        timeout = self.settings.timeout_s if timeout_s is None else min(timeout_s, self.settings.timeout_s)
        for _ in range(3):
            token = self._token_first()
            reply = self._send(path, {**fields, "accessToken": token}, timeout)
            if reply.code != TOKEN_EXPIRED:
                break
            self._drop(token)
        return reply

    def _token_first(self) -> str:
        """A token; without one nothing of the request itself has left."""
        try:
            return self.token()
        except OutcomeUnknown as error:
            raise NotSent(f"no token: {error}") from None

    def token(self) -> str:
        """The token in force; a new one is asked for when there is none."""
        with self._lock:
            if not self._token or self.now() >= self._good_until:
                self._renew()
            return self._token

    def check(self) -> None:
        """Ask for a token of its own, whatever is in force. Raises ``Misconfigured`` or ``NotSent``."""
        with self._lock:
            try:
                self._renew()
            except OutcomeUnknown as error:
                raise NotSent(f"office_url: the head office gives no token: {error}") from None

    def _renew(self) -> None:
        at, own = int(self.now()), self.settings
        form = {
            "appKey": own.app_key,
            "brandId": own.brand_id,
            "timestamp": str(at),
            "version": "1.0",
            "sign": sign_token_request(own.app_key, own.brand_id, at, own.app_secret.reveal()),
        }
        reply = self._send("/api/auth/accesstoken", form, own.timeout_s)
        expect_office_ok(reply)
        token, life = reply.data.get("accessToken"), reply.data.get("expiresIn")
        if not isinstance(token, str) or not token or not isinstance(life, int):
            raise InvalidReply("head office: no token in the answer")
        self._token, self._good_until = token, self.now() + max(0, life - TOKEN_MARGIN_S)

    def _drop(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._token = ""

    def _send(self, path: str, fields: Mapping[str, str], timeout_s: float) -> Reply:
        # Always a form: a token in a URL would end up in somebody's log.
        answer = self.http.send(
            "POST",
            self.settings.url + path,
            data=encode_form(fields),
            headers={"Content-Type": FORM_TYPE},
            timeout=timeout_s,
        )
        if answer.status != 200:
            raise OutcomeUnknown(f"head office: HTTP status {answer.status}")
        try:
            return decode_reply(answer.body)
        except ParseError as error:
            raise InvalidReply(f"head office: {error}") from None


def expect_office_ok(reply: Reply) -> None:
    if reply.code == OK:
        return
    if reply.code in (BAD_SIGNATURE, BAD_KEY):
        raise Misconfigured("the head office refuses the signature: check 'app_key', 'app_secret' and 'brand_id'")
    if reply.code == BAD_TIMESTAMP:
        raise Misconfigured("the head office's clock is over 300 s off ours: set this machine's clock")
    raise OutcomeUnknown(f"head office: code {reply.code}")
