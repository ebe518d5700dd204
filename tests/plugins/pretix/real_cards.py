"""Gift cards under the conformance suite, on the real system: vouchers, which share their hooks, earn the grade."""

from __future__ import annotations

from typing import Any, ClassVar

from gateway.sdk import CouponLookup
from gateway.testing.ladder import Verdict
from gateway.testing.suite import run
from plugins.pretix.adapter import PretixAdapter
from plugins.pretix.conformance import PretixProfile

COUPONS = ("coupon_reserve", "coupon_confirm", "coupon_cancel", "coupon_restore")


class CardsAdapter(PretixAdapter):
    """The adapter with the hooks of coupons alone."""

    traits: ClassVar[Any] = {hook: PretixAdapter.traits[hook] for hook in COUPONS}


#: What cards have no part in. ``real_adapter.py`` reads their statement: a confirm here makes no booking to be listed.
_OTHERS = ("stock", "catalogue", "member", "order", "notice", "coupon_statement")
for _name in [name for name in dir(PretixAdapter) if name.startswith(_OTHERS)]:
    setattr(CardsAdapter, _name, None)


class CardsProfile(PretixProfile):
    """All coupons are one gift card with plenty on it."""

    adapter = CardsAdapter

    def coupon_reserve(self, far: Any, code: str = "") -> Any:
        return super().coupon_reserve(far, code or far.place.facts["card"])

    def coupon_find(self, far: Any) -> Any:
        return CouponLookup(code=far.place.facts["card"])

    def declines(self, far: Any, hook: str) -> Any:
        if hook == "coupon_reserve":
            yield "coupon_exhausted", self.coupon_reserve(far, far.place.facts["cinema"].gift_card("5.00"))


def test_a_gift_card_is_debited_once_under_each_fault() -> None:
    report = run(CardsProfile, quick=True, only=("outcome_classes", "traits_proved", "declined_codes_listed"))
    tried = {f.hook for f in report.findings if f.rule == "outcome_classes" and f.verdict is Verdict.SHOWN}
    # a confirm moves nothing: the debit was made with the hold
    bad = [str(f) for f in report.refutations if not (f.rule == "hooks_pass" and f.hook == "coupon_confirm")]
    assert not bad, bad
    assert {"coupon_reserve", "coupon_cancel", "coupon_restore"} <= tried
