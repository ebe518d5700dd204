"""Group-buy vouchers of the platform 团券通: look, redeem by count, take back within the hour, ask, list.

A redemption is ``prepare`` (which gives a token for exactly one ``verify``) and then ``verify``. The token and the
certificates are kept under our key before the verify is sent: the same verify again is answered as done already, and
the key itself stands in the platform's history as the device that redeemed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from datetime import time as clock_time
from typing import ClassVar

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
from plugins.groupbuy import mapping
from plugins.groupbuy.client import after_sending, parsed
from plugins.groupbuy.plan import Plans
from plugins.groupbuy.platform import Platform
from plugins.groupbuy.protocol import ALREADY_CANCELLED, OK, read_cancelled
from plugins.groupbuy.redemption import HOUR, Redeemer
from plugins.groupbuy.settings import GroupBuySettings


class GroupBuyAdapter(Adapter):
    """Coupons of the kind ``group_buy``; README.md says what each hook sends and what the platform cannot."""

    name = "groupbuy"
    Settings = GroupBuySettings
    about = AdapterTraits(max_parallel=8)
    traits: ClassVar[Mapping[str, Traits]] = {
        "coupon_redeem": Traits(idempotent=True, max_in_flight_s=60, poll_every_s=5, partial=False),
        "coupon_restore": Traits(
            idempotent=True, max_in_flight_s=60, poll_every_s=5, reverse_window_s=3600, partial=False
        ),
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._platform = Platform(context)
        self._plans = Plans(context.store)
        self._redeemer = Redeemer(self._platform, self._plans, context.settings["packages"])

    def check(self) -> None:
        """See that the credentials are good and that the account may redeem for every shop of ``poi_ids``."""
        try:
            there = self._platform.shops(self._platform.within("read_timeout_s"))
        except OutcomeUnknown as error:
            raise NotSent(f"the platform did not answer as it should: {error}") from None
        for store, poi in self.context.settings["poi_ids"].items():
            if poi not in there:
                names = ", ".join(f"{poi} {name}" for poi, name in sorted(there.items()))
                raise Misconfigured(f"poi_ids.{store}: {poi} is no shop of this account; there are: {names or 'none'}")

    @hookimpl
    def coupon_find(self, request: CouponLookup) -> Coupon | None:
        until = self._platform.within("read_timeout_s")
        prepared = self._platform.prepare(request.code, request.store_id, until)
        if isinstance(prepared, Declined):
            hidden = (DeclineReason.COUPON_UNKNOWN, DeclineReason.COUPON_NOT_APPLICABLE)
            return None if prepared.reason in hidden else mapping.unusable(request.code, prepared.reason)
        certificates = self._platform.order(prepared.order_id, until)
        return mapping.coupon(request.code, certificates, self.context.clock(), self.context.settings["packages"])

    @hookimpl
    def coupon_redeem(self, request: CouponUse, call: Call) -> Change:
        return self._redeemer.redeem(request, call)

    @hookimpl
    def coupon_restore(self, request: CouponRestore, call: Call) -> Change:
        verify_id, certificate_ids = self._named(request, call.deadline)
        if not verify_id:
            return Declined(reason=DeclineReason.NOT_FOUND, message="no redemption is known under this key")
        if len(certificate_ids) != request.count:
            words = f"{len(certificate_ids)} were redeemed together, {request.count} are to be taken back"
            return Declined(reason=DeclineReason.AMOUNT_MISMATCH, message=words)
        if call.attempt > 1:
            earlier = self._taken_back(verify_id, call.key, request.original.at, call.deadline)
            if not isinstance(earlier, NotFound):
                return earlier
        reply = self._platform.cancel(verify_id, certificate_ids, call.key, request.site, call)
        if reply.code == ALREADY_CANCELLED:
            with after_sending():
                answer = self._taken_back(verify_id, call.key, request.original.at, call.deadline)
            return mapping.refused(reply, mapping.CANCEL_DECLINES) if isinstance(answer, NotFound) else answer
        if reply.code != OK:
            return mapping.refused(reply, mapping.CANCEL_DECLINES)
        if parsed(read_cancelled, reply) != verify_id:
            raise InvalidReply("the reply is about another redemption")
        self._plans.forget(request.original.key)
        return Done(ref=call.key, facts={"verify_id": verify_id}, replayed=reply.data.get("repeated") is True)

    def _named(self, request: CouponRestore, until: datetime) -> tuple[str, list[str]]:
        """The redemption's number and certificates: as its outcome told, else looked up under its key."""
        ids = [str(item) for item in request.original.facts.get("certificate_ids", ())]
        if request.original.ref and ids:
            return request.original.ref, ids
        plan = self._plans.load(request.original.key)
        answer = self._redeemer.find(plan, until) if plan else NotFound()
        return (answer.ref, list(plan.certificate_ids)) if plan and isinstance(answer, Done) else ("", [])

    def _taken_back(self, verify_id: str, token: str, at: datetime | None, until: datetime) -> Answer:
        """Whether a redemption was taken back, and by this very cancel."""
        now = self.context.clock()
        begin = (at or now - timedelta(days=1)) - HOUR
        end = min(now + HOUR, begin + timedelta(days=30))
        records = self._platform.history(begin, end, self._platform.pois(), until)
        found = [record for record in records if record.verify_id == verify_id]
        if found and all(record.cancel_token == token for record in found):
            return Done(ref=token, facts={"verify_id": verify_id}, replayed=True)
        if any(record.cancel_time for record in found):
            return Declined(reason=DeclineReason.CLOSED, message="the redemption was taken back by somebody else")
        return NotFound(final=False)

    @hookimpl
    def coupon_query(self, request: Query) -> Answer:
        until = self._platform.within("query_timeout_s")
        if request.hook == "coupon_redeem":
            plan = self._plans.load(request.key)
            if plan is None:
                return NotFound(final=not request.steps)  # what is chosen is kept before anything is sent
            return self._redeemer.find(plan, until)
        if request.hook == "coupon_restore":
            verify_id, _ = self._named(request.request, until)
            if not verify_id:
                return NotFound(final=False)
            return self._taken_back(verify_id, request.key, request.request.original.at, until)
        raise NotSupported(f"the platform can't be asked about {request.hook}")

    @hookimpl
    def coupon_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """A business date's redemptions in one page; one taken back after midnight stands with its redemption."""
        starts = clock_time.fromisoformat(self.context.settings["business_day_starts"])
        begin = datetime.combine(request.business_date, starts, self.context.timezone)
        pois = [self._platform.poi(request.store_id)] if request.store_id else self._platform.pois()
        records = self._platform.history(
            begin, begin + timedelta(days=1), pois, self._platform.within("page_timeout_s")
        )
        return Page(items=tuple(mapping.statement_rows(records)))
