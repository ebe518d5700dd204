"""A session at a Tryton server: log in, call, tell what an answer proves about the effect."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import Any

from gateway.sdk import Call, Change, Http, InvalidReply, Misconfigured, NotSent, OutcomeUnknown, Secret
from plugins.tryton import protocol

#: Waits between two looks while another transaction is in the way, in seconds.
BUSY_WAIT_S = 0.15
#: Statuses after which the server has rolled back, or has not begun: it could not serialise, or a table was locked.
BUSY_STATUSES = frozenset({429, 503})


#: The call that is being made: its looks, too, end with it.
_RUNNING: ContextVar[Call | None] = ContextVar("tryton_call", default=None)


@contextmanager
def within(call: Call) -> Iterator[None]:
    """Bind every look meanwhile to the call's time."""
    token = _RUNNING.set(call)
    try:
        yield
    finally:
        _RUNNING.reset(token)


class Refused(Exception):
    """The server rolled back on purpose and says why: nothing was changed by this call."""

    def __init__(self, failure: protocol.Failure) -> None:
        super().__init__(f"{failure.name}: {failure.message}")
        self.failure = failure


class Busy(Exception):
    """Somebody else was in the way: look again before anything is sent again."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose session it is."""

    url: str
    user: str
    password: Secret
    company: int
    timeout_s: float


class Far:
    """One database of one server. Safe to use from many threads."""

    def __init__(self, http: Http, account: Account) -> None:
        self._http = http
        self._account = account
        self._lock = threading.Lock()
        self._session = ""
        self._numbers = count(secrets.randbelow(1 << 30))  # an answer that was meant for another process is no answer

    # ---- reading
    def rows(
        self, model: str, domain: Sequence[Any], names: Sequence[str], *, limit: int | None = None, **context: Any
    ) -> list[dict[str, Any]]:
        """Records of a model that match a domain, oldest first."""
        found = self.ask(f"{model}.search_read", list(domain), 0, limit, [["id", "ASC"]], list(names), **context)
        if not isinstance(found, list):
            raise InvalidReply(f"{model} did not come as a list of records")
        try:
            return [protocol.checked(row, names) for row in found]
        except protocol.ParseError as error:
            raise InvalidReply(f"{model}: {error}") from None

    def row(self, model: str, domain: Sequence[Any], names: Sequence[str], **context: Any) -> dict[str, Any] | None:
        """The oldest record that matches, or ``None``."""
        found = self.rows(model, domain, names, limit=1, **context)
        return found[0] if found else None

    def ask(self, method: str, *args: Any, timeout: float | None = None, **context: Any) -> Any:
        """Call a method that changes nothing; one that met another transaction is asked again."""
        for last in (False, False, True):
            try:
                return self._send(method, args, context, timeout)
            except Refused as error:
                raise OutcomeUnknown(f"{method} was not answered: {error}") from None
            except Busy as error:
                if last:
                    raise OutcomeUnknown(f"{method} was not answered: {error}") from None
                time.sleep(BUSY_WAIT_S)
        raise AssertionError("unreachable")

    # ---- changing
    def change(self, call: Call, method: str, *args: Any, ref: str = "", **context: Any) -> Any:
        """Call a method that changes something: one journalled message. Raises ``Refused`` or ``Busy`` as well."""
        with call.step(method, ref):
            return self._send(method, args, context, call.remaining())

    def press(self, call: Call, model: str, button: str, record: int) -> None:
        """Press a button, and say yes to the one warning that is known: goods that leave without a sale of Tryton's."""
        try:
            self.change(call, f"{model}.{button}", [record], ref=str(record))
        except Refused as refused:
            name = refused.failure.message
            if refused.failure.name != "UserWarning" or not name.endswith(".done"):
                raise
            self.change(call, "res.user.warning.skip", name)
            self.change(call, f"{model}.{button}", [record], ref=str(record))

    # ---- the wire
    def _send(self, method: str, args: Sequence[Any], context: Mapping[str, Any], timeout: float | None) -> Any:
        params = [*args, {"company": self._account.company, "language": "en", **context}]
        number = next(self._numbers)
        body = protocol.encode(f"model.{method}", params, number)
        status, answer = self._post(body, self._header(), timeout)
        if status == 401:  # a session that ran out: the server looked at it before anything else
            status, answer = self._post(body, self._header(renew=True), timeout)
        return self._judged(method, status, answer, number)

    def _judged(self, method: str, status: int, body: bytes, number: int) -> Any:
        if status in BUSY_STATUSES:
            raise Busy(f"HTTP {status}")
        if status in (401, 403, 404):
            raise Misconfigured(f"{method}: HTTP {status}; check the database, the user and its groups")
        if status != 200:
            raise OutcomeUnknown(f"{method}: HTTP {status}")
        result = _decoded(body, number)
        if not isinstance(result, protocol.Failure):
            return result
        if result.name == "ConcurrencyException":
            raise Busy(result.name)
        if result.meant:
            raise Refused(result)
        raise OutcomeUnknown(f"{method}: the server failed with {result.name[:80]!r}")

    def _post(self, body: bytes, header: str, timeout: float | None) -> tuple[int, bytes]:
        # A long reply says that it is compressed, and is not where this is missing.
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip",
            **({"Authorization": header} if header else {}),
        }
        running = _RUNNING.get()
        left = running.remaining() if timeout is None and running is not None else timeout
        seconds = self._account.timeout_s if left is None else min(self._account.timeout_s, left)
        reply = self._http.send("POST", f"{self._account.url}/rpc/", data=body, headers=headers, timeout=seconds)
        return reply.status, reply.body

    def _header(self, *, renew: bool = False) -> str:
        with self._lock:
            if renew or not self._session:
                self._session = self._login()
            return self._session

    def _login(self) -> str:
        secret = {"password": self._account.password.reveal()}
        number = next(self._numbers)
        body = protocol.encode("common.db.login", [self._account.user, secret], number)
        status, answer = self._post(body, "", None)
        if status in (401, 404):
            raise Misconfigured(f"no session: HTTP {status}; check 'database', 'user' and 'password'")
        if status != 200:
            raise OutcomeUnknown(f"no session: HTTP {status}")
        opened = _decoded(answer, number)
        if not isinstance(opened, list) or len(opened) < 2 or not isinstance(opened[0], int):
            raise InvalidReply("the login was answered with something else than a session")
        return protocol.authorization(self._account.user, opened[0], str(opened[1]))


def _decoded(body: bytes, number: int) -> Any:
    try:
        return protocol.decode(body, number)
    except protocol.ParseError as error:
        raise InvalidReply(str(error)) from None


def steadily(call: Call, attempt: Callable[[], Change | None]) -> Change:
    """Look and act until it is decided: ``attempt`` looks first and returns ``None`` to be asked again.

    A first refusal may mean that somebody at a desk was faster: it is looked at again, and the second one counts.
    Raises ``OutcomeUnknown`` at the call's deadline, and where the server is gone after a first round: that one may
    have changed something.
    """
    refused = False
    for turn in count():
        decided = None
        try:
            decided = attempt()
            refused = False
        except Refused:
            if refused:
                raise
            refused = True
        except Busy:
            time.sleep(BUSY_WAIT_S)
        except NotSent as error:
            if not turn:
                raise
            raise OutcomeUnknown(f"the server went away half-way: {error}") from None
        if decided is not None:
            return decided
        if call.remaining() < BUSY_WAIT_S:
            break
    raise OutcomeUnknown("it was not decided in time")
