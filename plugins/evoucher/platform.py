"""The platform's calls with this connection's credentials and deadlines; typed answers, outcome classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import TypeVar

from gateway.sdk import Call, Context, InvalidReply, Misconfigured, NotSent, OutcomeUnknown
from plugins.evoucher.protocol import (
    BAD_KEY,
    BAD_SESSION,
    BAD_SIGNATURE,
    CHINA,
    LOG_PAGE,
    TIME,
    Operation,
    Order,
    ParseError,
    Reply,
    call_body,
    read_log,
    read_order,
    read_order_id,
    read_reply,
    read_seller,
    read_tasks,
    write_verify_codes,
)

T = TypeVar("T")
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
MOST_PAGES = 2000


def parsed(read: Callable[[Reply], T], reply: Reply) -> T:
    """What a parser of the protocol gives; what it can't read is an ``InvalidReply``."""
    try:
        return read(reply)
    except ParseError as error:
        raise InvalidReply(str(error)) from None


@contextmanager
def after_sending() -> Iterator[None]:
    """A look after a change was sent: whatever goes wrong now, the change is no longer 'not sent'."""
    try:
        yield
    except NotSent as error:
        raise OutcomeUnknown(f"the change was sent, and can't be asked about now: {error}") from None


def before_sending(call: Call) -> AbstractContextManager[None]:
    """A look before this attempt sends anything: an earlier one may have sent all the same."""
    return after_sending() if call.attempt > 1 else nullcontext()


class Platform:
    """One connection's view of the platform. ``until`` is when the caller stops waiting. Thread-safe."""

    def __init__(self, context: Context) -> None:
        self.settings, self.clock, self._http = context.settings, context.clock, context.http
        self._url = f"{self.settings['base_url'].rstrip('/')}/router/rest"

    def within(self, setting: str) -> datetime:
        """The deadline of a hook that is given none."""
        return self.clock() + timedelta(seconds=float(self.settings[setting]))

    def call(self, method: str, fields: Mapping[str, str], until: datetime) -> Reply:
        """One message; the reply's ``error`` is ``""`` or a refusal (``isv.``).

        Raises ``NotSent`` if nothing left us, ``Misconfigured`` for refused credentials, ``InvalidReply`` for an answer
        that does not parse, ``OutcomeUnknown`` for all else.
        """
        timeout = min(float(self.settings["timeout_s"]), (until - self.clock()).total_seconds())
        if timeout <= 0:
            raise NotSent("the deadline has passed")
        secret, session = self.settings["app_secret"].reveal(), self.settings["session"].reveal()
        body = call_body(method, fields, self.settings["app_key"], session, secret, self.clock())
        answer = self._http.send("POST", self._url, data=body, headers=_HEADERS, timeout=timeout)
        if answer.status != 200:
            raise OutcomeUnknown(f"HTTP status {answer.status}")
        try:
            reply = read_reply(answer.body, method)
        except ParseError as error:
            raise InvalidReply(str(error)) from None
        if reply.error in (BAD_KEY, BAD_SESSION, BAD_SIGNATURE):
            raise Misconfigured(f"app_key, app_secret or session is refused: {reply.error} {reply.message}")
        if reply.error and not reply.error.startswith("isv."):
            raise OutcomeUnknown(f"the platform has trouble: {reply.error} {reply.message}")
        return reply

    # -- what may be asked -------------------------------------------------------------------------------------------

    def seller(self, until: datetime) -> str:
        """Whose session it is."""
        return parsed(read_seller, _good(self.call("seller.get", {}, until)))

    def order(self, order_id: str, token: str, until: datetime) -> Order:
        """How an order stands."""
        reply = _good(self.call("order.get", {"order_id": order_id, "token": token}, until))
        order = parsed(read_order, reply)
        if order.order_id != order_id:
            raise InvalidReply("the reply is about another order")
        return order

    def by_code(self, code: str, until: datetime) -> Order | None:
        """The order that a code belongs to, with this code alone; ``None`` if there is no such code."""
        reply = self.call("code.get", {"verify_code": code}, until)
        if reply.error:
            return None if reply.error == "isv.code-not-exist" else parsed(read_order, _good(reply))
        order = parsed(read_order, reply)
        if [each.code for each in order.codes] != [code]:
            raise InvalidReply("the reply is about another code")
        return order

    def log(self, until: datetime, order_id: str = "", start: datetime | None = None, end: datetime | None = None) -> list[Operation]:  # noqa: E501 # fmt: skip
        """The uses and reversals of an order, or of a window of time; the oldest first."""
        asked = {"order_id": order_id}
        asked |= {name: _text(at) for name, at in (("start_time", start), ("end_time", end)) if at is not None}
        lines: list[Operation] = []
        for page in range(1, MOST_PAGES):
            reply = _good(self.call("oplogs.get", asked | {"page_no": str(page)}, until))
            found, total = parsed(read_log, reply)
            lines += found
            if page * LOG_PAGE >= total:
                break
        if order_id and any(line.order_id != order_id for line in lines):
            raise InvalidReply("the log is about another order")
        return lines

    def unfinished(self, kind: int, until: datetime) -> tuple[str, ...]:
        """Orders of which a notice failed (1), or was taken and never called back (2)."""
        return parsed(read_tasks, _good(self.call("tasks.get", {"type": str(kind)}, until)))

    # -- what changes something --------------------------------------------------------------------------------------

    def notify(self, order_id: str, until: datetime) -> None:
        """Have the notices about an order sent again."""
        _about(order_id, _good(self.call("manage.notify", {"order_id": order_id}, until)))

    def text(self, method: str, order_id: str, token: str, codes: Mapping[str, int], until: datetime) -> str:
        """Have codes texted to the customer (``send``, ``resend``); the refusal's code, or ``""``."""
        fields = {"order_id": order_id, "token": token, "verify_codes": write_verify_codes(codes)}
        reply = self.call(method, fields, until)
        if not reply.error:
            _about(order_id, reply)
        return reply.error

    def fail(self, order_id: str, token: str, reason: str, until: datetime) -> str:
        """Say that no codes will be made for an order; the refusal's code, or ``""``."""
        return self.call("failsend", {"order_id": order_id, "token": token, "reason": reason}, until).error

    def consume(self, order_id: str, token: str, code: str, num: int, posid: str, call: Call) -> Reply:
        """Use up ``num`` of a code under our key as the serial number."""
        fields = {"order_id": order_id, "token": token, "verify_code": code, "consume_num": str(num)}
        with call.step("consume", call.key):
            return self.call("consume", fields | {"serial_num": call.key, "posid": posid}, call.deadline)

    def reverse(self, order_id: str, token: str, serial: str, num: int, call: Call) -> Reply:
        """Take a use back by its serial number and count; our key is kept in the log as the place."""
        fields = {"order_id": order_id, "token": token, "serial_num": serial, "reverse_num": str(num)}
        with call.step("reverse", serial):
            return self.call("reverse", fields | {"posid": call.key}, call.deadline)


def _good(reply: Reply) -> Reply:
    """The reply to a question; a refusal of one is nothing that can be acted on."""
    if reply.error:
        raise OutcomeUnknown(f"the question is refused: {reply.error} {reply.message}")
    return reply


def _about(order_id: str, reply: Reply) -> None:
    if parsed(read_order_id, reply) != order_id:
        raise InvalidReply("the reply is about another order")


def _text(at: datetime) -> str:
    return at.astimezone(CHINA).strftime(TIME)
