"""One redemption: prepare, verify, look at every result, and find out what an earlier attempt has done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from gateway.sdk import (
    Answer,
    Call,
    Change,
    CouponUse,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Site,
)
from plugins.groupbuy import mapping
from plugins.groupbuy.client import after_sending, parsed
from plugins.groupbuy.plan import Plan, Plans
from plugins.groupbuy.platform import Platform
from plugins.groupbuy.protocol import (
    NOT_PREPARED,
    OK,
    RESULT_OK,
    RESULT_USED,
    UNUSED,
    USED,
    VERIFY_TOKEN_INVALID,
    VERIFY_TOKEN_USED,
    Certificate,
    Reply,
    Result,
    Verified,
    read_results,
)

HOUR = timedelta(hours=1)


class OtherCertificates(InvalidReply):
    """An order's certificates are not those of the plan."""


class Redeemer:
    """Redeems, and finds out about redemptions, on one connection."""

    def __init__(self, platform: Platform, plans: Plans, packages: Mapping[str, str]) -> None:
        self.platform, self.plans, self.packages = platform, plans, packages

    def redeem(self, request: CouponUse, call: Call) -> Change:
        """Redeem ``count`` certificates, all or none, once under this key."""
        plan = self.plans.load(call.key)
        if plan is not None:
            with after_sending():  # by an earlier attempt, perhaps
                stands = self._resume(plan, request.site, call)
            if not isinstance(stands, NotFound):
                return stands
        if plan is None or plan.spent:
            chosen = self._choose(request, call)
            if isinstance(chosen, Declined):
                return chosen
            plan = chosen
        with call.step("verify", plan.verify_token):
            reply = self.platform.verify(plan, request.site, call)
        with after_sending():
            return self._judged(reply, plan, request.site, call)

    def find(self, plan: Plan, until: datetime) -> Answer:
        """Whether the certificates of a plan were redeemed, by this very redemption."""
        return self._standing(plan, self._certificates(plan, until))

    def _standing(self, plan: Plan, chosen: list[Certificate]) -> Answer:
        ours = _ours(chosen, plan.key)
        if len(ours) == len(chosen):
            return self._done(plan, _one({verified.verify_id for verified in ours.values()}), replayed=True)
        if ours:
            raise OutcomeUnknown("only some of the certificates are redeemed")
        if any(item.status == UNUSED for item in chosen):
            return NotFound(final=False)
        used = any(item.status == USED for item in chosen)
        words = "redeemed by somebody else" if used else "given back by the customer"
        return Declined(reason=DeclineReason.COUPON_EXHAUSTED, message=words)

    def _resume(self, plan: Plan, site: Site, call: Call) -> Answer:
        """What an earlier attempt came to; one that redeemed only a part is taken back.

        If the order does not have the plan's certificates, either this answer is wrong or the prepare's was: the same
        verify again tells, and can't act twice.
        """
        try:
            chosen = self._certificates(plan, call.deadline)
        except OtherCertificates:
            return NotFound()
        ours = _ours(chosen, plan.key)
        if ours and len(ours) < len(chosen):
            verify_id = _one({verified.verify_id for verified in ours.values()})
            self._take_back(verify_id, list(ours), site, call)
            self.plans.spend(plan)
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED, message="only a part could be redeemed")
        answer = self._standing(plan, chosen)
        gone_for_good = isinstance(answer, Declined) and plan.spent
        return NotFound() if gone_for_good else answer  # a spent plan's certificates do not bind a new attempt

    def _certificates(self, plan: Plan, until: datetime) -> list[Certificate]:
        order = self.platform.order(plan.order_id, until)
        chosen = [item for item in order if item.encrypted_code in plan.encrypted_codes]
        if len(chosen) != len(plan.encrypted_codes):
            raise OtherCertificates("the order does not have the certificates that were chosen")
        return chosen

    def _choose(self, request: CouponUse, call: Call) -> Plan | Declined:
        """Prepare, and choose ``count`` certificates, the one that was shown first."""
        try:
            prepared = self.platform.prepare(request.code, request.site.store_id, call.deadline)
        except OutcomeUnknown as error:
            raise NotSent(f"prepare changes nothing, and has failed: {error}") from None
        if isinstance(prepared, Declined):
            return prepared
        now = self.platform.clock()
        usable = [item for item in prepared.certificates if _usable(item, now)]
        if len(usable) < request.count:
            words = f"{len(usable)} of {request.count} are left"
            return Declined(reason=DeclineReason.COUPON_EXHAUSTED, message=words)
        poi = self.platform.poi(request.site.store_id)
        return self.plans.choose(call.key, prepared, usable[: request.count], poi, now)

    def _judged(self, reply: Reply, plan: Plan, site: Site, call: Call) -> Change:
        """Look at the call's code and at each certificate's own result."""
        if reply.code == NOT_PREPARED:
            self.plans.forget(plan.key)  # the prepare's answer was wrong, and so is every verify that was made of it
            raise OutcomeUnknown(f"the certificates are not of this prepare: {reply.message}")
        if reply.code == VERIFY_TOKEN_INVALID:
            self.plans.spend(plan)
            raise OutcomeUnknown("the platform does not know the prepare (any more)")
        if reply.code not in (OK, VERIFY_TOKEN_USED):
            raise OutcomeUnknown(f"{reply.code} {reply.message} (logid {reply.logid})")
        results = parsed(read_results, reply)
        if {result.encrypted_code for result in results} != set(plan.encrypted_codes):
            raise InvalidReply("the results are about other certificates")
        done = [result for result in results if result.result == RESULT_OK]
        if reply.code == OK and len(done) == len(results):
            return self._done(plan, _one({result.verify_id for result in done}), replayed=False)
        if reply.code == VERIFY_TOKEN_USED or any(result.result == RESULT_USED for result in results):
            return self._used_already(reply, results, plan, site, call)
        return self._partly(done, results, plan, site, call)

    def _used_already(self, reply: Reply, results: tuple[Result, ...], plan: Plan, site: Site, call: Call) -> Change:
        """1208 or result 2: by us (an earlier send of this very verify), or by somebody else."""
        answer = self._resume(plan, site, call)
        if not isinstance(answer, NotFound):
            return answer
        if reply.code == VERIFY_TOKEN_USED:
            return self._told_by_history(plan, call)
        done = [result for result in results if result.result == RESULT_OK]
        return self._partly(done, results, plan, site, call)

    def _partly(self, done: list[Result], results: tuple[Result, ...], plan: Plan, site: Site, call: Call) -> Change:
        """Some certificates were refused: what was redeemed is taken back, so that it is all or nothing."""
        refusal = mapping.not_redeemed(next(result for result in results if result.result != RESULT_OK))
        if done:
            verify_id = _one({result.verify_id for result in done})
            self._take_back(verify_id, [result.certificate_id for result in done], site, call)
        self.plans.spend(plan)
        return refusal

    def _take_back(self, verify_id: str, certificate_ids: list[str], site: Site, call: Call) -> None:
        with call.step("cancel", verify_id):
            reply = self.platform.cancel(verify_id, certificate_ids, f"{call.key}-UNDO", site, call)
        if reply.code != OK:
            raise OutcomeUnknown(f"partly redeemed as {verify_id}, and not taken back: {reply.code} {reply.message}")

    def _told_by_history(self, plan: Plan, call: Call) -> Change:
        """1208 says that the token was used once; only the history tells for what, and whether that still stands."""
        records = self.platform.history(plan.at - HOUR, self.platform.clock() + HOUR, [plan.poi_id], call.deadline)
        mine = [record for record in records if record.device == plan.key]
        standing = [record for record in mine if not record.cancel_time]
        if len(standing) == len(plan.certificate_ids):
            return self._done(plan, _one({record.verify_id for record in standing}), replayed=True)
        if standing:
            raise OutcomeUnknown("only some of the certificates are redeemed")
        if not mine:
            raise OutcomeUnknown("the platform says redeemed already, and its history does not show it yet")
        self.plans.spend(plan)
        return Declined(reason=DeclineReason.COUPON_EXHAUSTED, message="redeemed in part, and taken back again")

    def _done(self, plan: Plan, verify_id: str, *, replayed: bool) -> Done:
        if not verify_id:
            raise InvalidReply("a redemption without a number")
        return Done(ref=verify_id, facts=plan.facts(self.packages), replayed=replayed)


def _usable(certificate: Certificate, now: datetime) -> bool:
    return certificate.status == UNUSED and certificate.expire_time > now.timestamp()


def _ours(certificates: list[Certificate], key: str) -> dict[str, Verified]:
    """The certificates that were redeemed under our key, by their number."""
    return {
        item.certificate_id: item.verify
        for item in certificates
        if item.verify is not None and item.verify.device == key
    }


def _one(numbers: set[str]) -> str:
    if len(numbers) != 1:
        raise InvalidReply("the certificates of one redemption have several numbers")
    return next(iter(numbers))
