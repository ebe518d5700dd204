"""E-vouchers of the platform 凭证通, for which the merchant makes the codes: notices, use by count, reversal, the log.

The platform's notices are stored when they are read, and worked off by ``notice_follow``: each time the order itself is
asked what it needs. A use carries our key as its serial number, which acts once for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from datetime import time as clock_time
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    Change,
    Context,
    Coupon,
    CouponLookup,
    CouponRestore,
    CouponUse,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    Misconfigured,
    NotFound,
    Notice,
    NoticeFollow,
    NoticeRequest,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    Page,
    Query,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)
from plugins.evoucher import mapping
from plugins.evoucher.following import Follower
from plugins.evoucher.ledger import Ledger
from plugins.evoucher.platform import Platform, after_sending, before_sending, parsed
from plugins.evoucher.protocol import (
    ACKNOWLEDGED,
    ALREADY_REVERSED,
    CONSUMED,
    REVERSED,
    SERIAL_USED,
    Operation,
    ParseError,
    is_code,
    read_echo,
    read_notice,
)
from plugins.evoucher.settings import EVoucherSettings

_WITHIN = Traits(idempotent=True, max_in_flight_s=60, poll_every_s=5, partial=False)


class EVoucherAdapter(Adapter):
    """Codes with counts; README.md says what each hook sends and what the platform cannot."""

    name = "evoucher"
    Settings = EVoucherSettings
    about = AdapterTraits(max_parallel=8)
    traits: ClassVar[Mapping[str, Traits]] = {"coupon_redeem": _WITHIN, "coupon_restore": _WITHIN}

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._platform = Platform(context)
        self._ledger = Ledger(context.store, context.settings["code_key"])
        self._follower = Follower(context, self._platform, self._ledger)

    def check(self) -> None:
        """See that the credentials are good, and that the session is this merchant's."""
        try:
            seller = self._platform.seller(self._platform.within("read_timeout_s"))
        except OutcomeUnknown as error:
            raise NotSent(f"base_url: the platform did not answer as it should: {error}") from None
        if seller != self.context.settings["seller_nick"]:
            raise Misconfigured(f"seller_nick: the session belongs to {seller!r}")

    # -- codes -------------------------------------------------------------------------------------------------------

    @hookimpl
    def coupon_find(self, request: CouponLookup) -> Coupon | None:
        code = request.code.strip()
        order = self._platform.by_code(code, self._platform.within("read_timeout_s")) if is_code(code) else None
        if order is None:
            return None
        item = self.context.settings["items"].get(order.item)
        if item is None:
            self.context.log.warning("items.%s is missing: a code of it was shown", order.item)
            return None
        known = bool(self._ledger.token(order.order_id))
        if not known:
            self._ledger.want(order.order_id)
        return mapping.coupon(order, item, self.context.clock(), known=known)

    @hookimpl
    def coupon_redeem(self, request: CouponUse, call: Call) -> Change:
        code = request.code.strip()
        with before_sending(call):
            order_id = self._order_of(code, call.deadline)
            if not order_id:
                return Declined(reason=DeclineReason.COUPON_UNKNOWN, message="there is no such code")
            if call.attempt > 1:
                earlier = self._used(order_id, call.key, request.count, call.deadline)
                if not isinstance(earlier, NotFound):
                    return earlier
            token = self._token(order_id)
        reply = self._platform.consume(order_id, token, code, request.count, mapping.posid(request.site), call)
        if reply.error == SERIAL_USED:
            with after_sending():
                answer = self._used(order_id, call.key, request.count, call.deadline)
            if isinstance(answer, NotFound):
                raise OutcomeUnknown("the serial number was used, and the log does not show it yet")
            return answer
        if reply.error:
            return mapping.refused(reply, mapping.CONSUME_DECLINES)
        _check_echo(parsed(read_echo, reply), order_id, call.key, request.count)
        return _done(order_id, call.key, request.count)

    @hookimpl
    def coupon_restore(self, request: CouponRestore, call: Call) -> Change:
        serial = request.original.ref or request.original.key
        with before_sending(call):
            order_id = self._order_of_use(request, call.deadline)
            if not order_id:
                return Declined(reason=DeclineReason.NOT_FOUND, message="no use is known under this number")
            if call.attempt > 1:
                earlier = self._taken_back(order_id, serial, call.key, call.deadline)
                if not isinstance(earlier, NotFound):
                    return earlier
            token = self._token(order_id)
        reply = self._platform.reverse(order_id, token, serial, request.count, call)
        if reply.error == ALREADY_REVERSED:
            with after_sending():
                answer = self._taken_back(order_id, serial, call.key, call.deadline)
            if isinstance(answer, NotFound):
                raise OutcomeUnknown("the use was taken back, and the log does not show by whom yet")
            return answer
        if reply.error:
            return mapping.refused(reply, mapping.REVERSE_DECLINES)
        _check_echo(parsed(read_echo, reply), order_id, serial, request.count)
        return Done(ref=serial, facts={"order_id": order_id})

    @hookimpl
    def coupon_query(self, request: Query) -> Answer:
        until = self._platform.within("query_timeout_s")
        asked: Any = request.request
        if request.hook == "coupon_redeem":
            order_id = self._order_of(asked.code.strip(), until)
            return self._used(order_id, request.key, asked.count, until) if order_id else NotFound()
        if request.hook == "coupon_restore":
            order_id = self._order_of_use(asked, until)
            serial = asked.original.ref or asked.original.key
            return self._taken_back(order_id, serial, request.key, until) if order_id else NotFound()
        raise NotSupported(f"the platform can't be asked about {request.hook}")

    @hookimpl
    def coupon_statement(self, request: StatementRequest) -> Page[StatementRow]:
        starts = clock_time.fromisoformat(self.context.settings["business_day_starts"])
        begin = datetime.combine(request.business_date, starts, self.context.timezone)
        until = self._platform.within("page_timeout_s")
        log = self._platform.log(until, start=begin, end=begin + timedelta(days=1))
        return Page(items=mapping.statement_rows(log))

    # -- notices -----------------------------------------------------------------------------------------------------

    @hookimpl
    def notice_read(self, request: NoticeRequest) -> Notice | None:
        """Genuine is what the platform signed for this seller. What it asks for is stored before it is answered."""
        try:
            notice = read_notice(request.body, self.context.settings["app_secret"].reveal())
        except ParseError as error:
            self.context.log.warning("notice refused: %s", error)
            return None
        if notice.seller != self.context.settings["seller_nick"] or not self._ledger.take(notice):
            self.context.log.warning("notice refused: it is another seller's, or its order has another token")
            return None
        return Notice(
            key="", kind=f"evoucher.{notice.method}", reply=ACKNOWLEDGED, reply_content_type="application/json",
            facts={"order_id": notice.order_id},
        )  # fmt: skip

    @hookimpl
    def notice_follow(self, request: NoticeFollow) -> int:
        return self._follower.follow(request.deadline)

    # -- finding out -------------------------------------------------------------------------------------------------

    def _order_of(self, code: str, until: datetime) -> str:
        """The order of a code: as it was made here, else as the platform knows it."""
        if not is_code(code):
            return ""
        known = self._ledger.order_of(code)
        if known:
            return known
        try:
            order = self._platform.by_code(code, until)
        except OutcomeUnknown as error:
            raise NotSent(f"looking at the code changes nothing, and has failed: {error}") from None
        return order.order_id if order else ""

    def _order_of_use(self, request: CouponRestore, until: datetime) -> str:
        known = str(request.original.facts.get("order_id", ""))
        return known or self._order_of(request.code.strip(), until)

    def _token(self, order_id: str) -> str:
        token = self._ledger.token(order_id)
        if not token:
            self._ledger.want(order_id)
            raise NotSent("the order's token is not known here; its notices are asked for again")
        return token

    def _used(self, order_id: str, serial: str, count: int, until: datetime) -> Answer:
        """Whether a use stands under our key."""
        lines = [line for line in self._platform.log(until, order_id) if line.serial_num == serial]
        used = _only(lines, CONSUMED)
        if used is None:
            return NotFound(final=False)
        if used.num != count:
            raise InvalidReply("another count was used under our number")
        if _only(lines, REVERSED) is not None:
            return Declined(reason=DeclineReason.CLOSED, message="it was used, and taken back")
        return _done(order_id, serial, count, replayed=True)

    def _taken_back(self, order_id: str, serial: str, key: str, until: datetime) -> Answer:
        """Whether a use was taken back, and by this very reversal: our key stands in the log as its place."""
        lines = [line for line in self._platform.log(until, order_id) if line.serial_num == serial]
        back = _only(lines, REVERSED)
        if back is None:
            return NotFound(final=False)
        if back.posid != key:
            return Declined(reason=DeclineReason.CLOSED, message="the use was taken back by another reversal")
        return Done(ref=serial, facts={"order_id": order_id}, replayed=True)


def _only(lines: list[Operation], kind: int) -> Operation | None:
    found = [line for line in lines if line.kind == kind]
    if len(found) > 1:
        raise InvalidReply("the log shows one serial number twice")
    return found[0] if found else None


def _done(order_id: str, serial: str, count: int, *, replayed: bool = False) -> Done:
    return Done(ref=serial, facts={"order_id": order_id, "count": count}, replayed=replayed)


def _check_echo(echo: tuple[str, str, int], *asked: str | int) -> None:
    if echo != asked:
        raise InvalidReply("the reply is about another use")
