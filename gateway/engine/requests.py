"""Builds the request of any hook from a saga's own record, so that a crash loses nothing that can be built again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from gateway.domain import coupons, membership, orders, payments, stock
from gateway.domain.common import Original, Query, Site, Step
from gateway.engine.model import Json, Leg, Op, OpState, Phase, Saga
from gateway.engine.retender import quote_in_force
from gateway.engine.seams import Secrets


class SecretGone(Exception):
    """The payment code was held in memory by a worker that is gone; it is never stored."""


@lru_cache(1024)
def moment(milliseconds: int) -> datetime:
    """A time of the journal as a datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def site_from(data: Json) -> Site:
    """A site as it is kept in a record."""
    return _site(tuple(data.items()))


@lru_cache(1024)
def _site(items: tuple[tuple[str, str], ...]) -> Site:
    """One record for all requests of a till on one day."""
    data: dict[str, Any] = dict(items)
    return Site(**{**data, "business_date": date.fromisoformat(data["business_date"])})


def site_of(saga: Saga) -> Site:
    return site_from(saga.doc["site"])


def tenders_of(saga: Saga) -> list[Json]:
    """The tenders that stand: those asked for, those added, less those declined."""
    declined = set(saga.progress.get("declined", ()))
    tenders = [*saga.doc.get("tenders", ()), *saga.progress.get("tenders", ())]
    return [tender for tender in tenders if not tender["leg"] or tender["leg"] not in declined]


def expected_amount(saga: Saga, leg: Leg, hook: str) -> int | None:
    """What a change of this leg must come back with, in minor units, where it moves money or value."""
    amount = leg.params.get("amount")
    return int(amount) if amount is not None else None


def build_query(saga: Saga, leg: Leg, op: Op, ops: Sequence[Op], now: int) -> Query:
    """Ask about an operation: with the request it was sent with, but for a payment code."""
    return Query(
        hook=op.hook,
        key=op.key,
        request=_Build(saga, leg, ops, None, now).request(op.hook),
        sent_at=moment(op.first_sent),
        ref=op.ref,
        facts=op.facts,
        steps=tuple(Step(name=s["name"], ref=s["ref"], done=s["done"]) for s in op.steps),
    )


def build_request(saga: Saga, leg: Leg, hook: str, ops: Sequence[Op], secrets: Secrets, now: int) -> Any:
    """The request of a change. Raises ``SecretGone`` for a payment code that nobody has any more."""
    return _Build(saga, leg, ops, secrets, now).request(hook)


class _Build:
    """Builders, one a hook or for hooks of one shape."""

    def __init__(self, saga: Saga, leg: Leg, ops: Sequence[Op], secrets: Secrets | None, now: int) -> None:
        self.saga, self.leg, self.ops, self.secrets, self.now = saga, leg, ops, secrets, now
        self.params, self.site = leg.params, site_of(saga)
        self.currency = saga.doc["currency"]

    def request(self, hook: str) -> Any:
        return _BUILDERS[hook](self)

    # --- what came before --------------------------------------------------------------------------------------------

    def original(self, *phases: Phase) -> Original:
        """The change that this one confirms or undoes: of an earlier saga if the plan says so, else of this leg."""
        if (given := self.params.get("original")) is not None:
            at = moment(given["at"]) if given.get("at") else None
            return Original(key=given["key"], ref=given["ref"], facts=given["facts"], at=at)
        for phase in phases or (Phase.HOLD, Phase.SETTLE, Phase.PAY, Phase.POST):
            hook = self.leg.hook(phase)
            op = next((op for op in self.ops if op.leg == self.leg.name and op.hook == hook), None)
            if op is not None:
                return Original(key=op.key, ref=op.ref, facts=op.facts, at=moment(op.first_sent))
        raise LookupError(f"{self.leg.name}: nothing to refer to")

    def ttl_s(self) -> int:
        """How long a hold must live: until the checkout expires and its payments are closed."""
        return max(1, (self.saga.expires_at - self.now) // 1000) + int(self.saga.doc.get("hold_margin_s", 120))

    # --- payments ----------------------------------------------------------------------------------------------------

    def _auth_code(self) -> Any:
        if self.params["method"] != payments.Method.PAYMENT_CODE or self.secrets is None:
            return None
        code = self.secrets.codes.get(self.leg.name)
        if code is None:
            raise SecretGone("the payment code is not kept; ask the customer for a new one")
        return code

    def charge(self) -> payments.Charge:
        return payments.Charge(
            amount=self.params["amount"],
            currency=self.currency,
            method=payments.Method(self.params["method"]),
            order_no=self.saga.number,
            subject=self.saga.doc.get("subject", self.saga.number),
            site=self.site,
            auth_code=self._auth_code(),
            expires_at=moment(self.saga.expires_at),
        )

    def authorize(self) -> payments.Authorize:
        charge = self.charge()
        return payments.Authorize(
            amount=charge.amount,
            currency=charge.currency,
            method=charge.method,
            order_no=charge.order_no,
            subject=charge.subject,
            site=charge.site,
            auth_code=charge.auth_code,
        )

    def reverse(self) -> payments.Reverse:
        return payments.Reverse(
            original=self.original(Phase.PAY), amount=self.params["amount"], currency=self.currency, site=self.site
        )

    def refund(self) -> payments.PaymentRefund:
        return payments.PaymentRefund(
            original=self.original(Phase.PAY),
            amount=self.params["amount"],
            charged_amount=self.params["charged_amount"] if "charged_amount" in self.params else self.params["amount"],
            currency=self.currency,
            reason=self.saga.doc.get("reason", ""),
            site=self.site,
        )

    def capture(self) -> payments.Capture:
        return payments.Capture(
            original=self.original(),
            amount=self.params["amount"],
            held_amount=self.params["held_amount"],
            currency=self.currency,
            site=self.site,
        )

    def release(self) -> payments.Release:
        return payments.Release(
            original=self.original(Phase.PAY), amount=self.params["amount"], currency=self.currency, site=self.site
        )

    # --- membership --------------------------------------------------------------------------------------------------

    def points_reserve(self) -> membership.PointsReserve:
        return membership.PointsReserve(
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            amount=self.params["worth_amount"],
            order_no=self.saga.number,
            site=self.site,
            ttl_s=self.ttl_s(),
        )

    def points_held(self) -> membership.PointsHeld:
        return membership.PointsHeld(
            original=self.original(),
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            site=self.site,
        )

    def points_return(self) -> membership.PointsReturn:
        return membership.PointsReturn(
            original=self.original(),
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            site=self.site,
        )

    def points_earn(self) -> membership.PointsEarn:
        return membership.PointsEarn(
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            basis_amount=self.params["basis_amount"],
            order_no=self.saga.number,
            site=self.site,
        )

    def points_revoke(self) -> membership.PointsRevoke:
        return membership.PointsRevoke(
            original=self.original(),
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            site=self.site,
        )

    def value_reserve(self) -> membership.ValueReserve:
        return membership.ValueReserve(
            account=self.params["account"],
            amount=self.params["amount"],
            order=membership.ValueOrder(self.params.get("order", "real_first")),  # a deposit has one bucket
            order_no=self.saga.number,
            site=self.site,
            ttl_s=self.ttl_s(),
        )

    def value_held(self) -> membership.ValueHeld:
        return membership.ValueHeld(
            original=self.original(), account=self.params["account"], amount=self.params["amount"], site=self.site
        )

    def value_return(self) -> membership.ValueReturn:
        original = self.original()
        buckets = self.params.get("buckets") or original.facts.get("buckets") or {"real": self.params["amount"]}
        return membership.ValueReturn(
            original=original,
            account=self.params["account"],
            amount=self.params["amount"],
            buckets=membership.Value(**buckets),
            site=self.site,
        )

    # --- coupons -----------------------------------------------------------------------------------------------------

    def coupon_use(self) -> coupons.CouponUse:
        return coupons.CouponUse(
            code=self.params["code"],
            count=self.params["count"],
            amount=self.params["worth_amount"],
            order_no=self.saga.number,
            site=self.site,
            ttl_s=self.ttl_s(),
        )

    def coupon_held(self) -> coupons.CouponHeld:
        return coupons.CouponHeld(
            original=self.original(),
            code=self.params["code"],
            count=self.params["count"],
            amount=self.params["worth_amount"],
            site=self.site,
        )

    def coupon_restore(self) -> coupons.CouponRestore:
        return coupons.CouponRestore(
            original=self.original(),
            code=self.params["code"],
            count=self.params["count"],
            amount=self.params["worth_amount"],
            site=self.site,
        )

    def reward_send(self) -> coupons.RewardSend:
        payer = next(
            (op.facts.get("buyer", "") for op in self.ops if op.hook == "payment_charge" and op.state is OpState.OK), ""
        )
        return coupons.RewardSend(
            kind=self.params["kind"],
            amount=self.params["worth_amount"],
            order_no=self.saga.number,
            site=self.site,
            member_ref=self.params.get("member_ref", ""),
            payer_ref=payer,
            template=self.params.get("template", ""),
        )

    def reward_revoke(self) -> coupons.RewardRevoke:
        return coupons.RewardRevoke(original=self.original(), amount=self.params["worth_amount"], site=self.site)

    # --- stock -------------------------------------------------------------------------------------------------------

    def _items(self) -> tuple[stock.StockItem, ...]:
        return tuple(
            stock.StockItem(sku=item["sku"], quantity=Decimal(item["quantity"]), counter_id=item.get("counter_id", ""))
            for item in self.params.get("items", ())
        )

    def _slots(self) -> tuple[stock.SlotHold, ...]:
        return tuple(
            stock.SlotHold(
                resource_id=slot["resource_id"],
                resource_class=slot.get("resource_class", ""),
                start=datetime.fromisoformat(slot["from"]),
                end=datetime.fromisoformat(slot["to"]),
            )
            for slot in self.params.get("slots", ())
        )

    def stock_reserve(self) -> stock.StockReserve:
        return stock.StockReserve(
            store_id=self.saga.store_id,
            items=self._items(),
            slots=self._slots(),
            order_no=self.saga.number,
            site=self.site,
            ttl_s=self.ttl_s(),
        )

    def stock_held(self) -> stock.StockHeld:
        return stock.StockHeld(
            original=self.original(),
            store_id=self.saga.store_id,
            items=self._items(),
            slots=self._slots(),
            site=self.site,
        )

    def stock_return(self) -> stock.StockReturn:
        return stock.StockReturn(
            original=self.original(), store_id=self.saga.store_id, items=self._items(), site=self.site
        )

    # --- orders ------------------------------------------------------------------------------------------------------

    def _bills(self) -> tuple[orders.BillRef, ...]:
        return tuple(orders.BillRef(bill_id=b["bill_id"], version=b["version"]) for b in self.params.get("bills", ()))

    def bill_hold(self) -> orders.BillHold:
        return orders.BillHold(site=self.site, bills=self._bills(), order_no=self.saga.number)

    def bill_release(self) -> orders.BillRelease:
        return orders.BillRelease(original=self.original(Phase.HOLD), site=self.site, bills=self._bills())

    def _tender_lines(self) -> tuple[orders.TenderLine, ...]:
        by_leg = {op.leg: op for op in self.ops if op.state is OpState.OK and op.hook in _TENDER_HOOKS}
        return tuple(_tender_line(tender, by_leg.get(tender["leg"])) for tender in tenders_of(self.saga))

    def _session_id(self) -> str:
        opened = next((op.ref for op in self.ops if op.hook == "session_open" and op.state is OpState.OK), "")
        return opened or str(self.saga.doc.get("session_id", ""))

    def order_post(self) -> orders.OrderPost:
        doc, quote = self.saga.doc, quote_in_force(self.saga)
        points = quote.get("points") or {}
        splits = quote["splits"]
        return orders.OrderPost(
            order_no=self.saga.number,
            site=self.site,
            currency=self.currency,
            lines=tuple(order_line(line) for line in doc["lines"]),
            tenders=self._tender_lines(),
            splits=tuple(
                orders.Split(
                    line_id=s.get("line_id") or s.get("fee_id", ""), tender_id=s["tender_id"], amount=s["amount"]
                )
                for s in splits
            ),
            gross_amount=quote["gross_amount"],
            discount_amount=quote["discount_amount"],
            payable_amount=quote["payable_amount"],
            sold_at=moment(self.saga.created),
            fees=tuple(
                orders.Fee(fee_id=fee["fee_id"], kind=fee["kind"], amount=fee["amount"]) for fee in quote["fees"]
            ),
            points_used=points.get("used", 0),
            points_amount=points.get("amount", 0),
            rounding_amount=quote.get("rounding_amount", 0),
            bills=self._bills(),
            session_id=self._session_id(),
            member_ref=(doc.get("member") or {}).get("ref", ""),
        )

    def order_void(self) -> orders.OrderVoid:
        return orders.OrderVoid(
            original=self.original(Phase.POST),
            order_no=self.params.get("order_no", self.saga.number),
            site=self.site,
            amount=self.params.get("worth_amount", self.saga.amount),
        )

    def order_return(self) -> orders.OrderReturn:
        return orders.OrderReturn(
            original=self.original(),
            order_no=self.params["order_no"],
            refund_no=self.saga.number,
            site=self.site,
            lines=tuple(order_line(line) for line in self.params["lines"]),
            tenders=tuple(_tender_line(tender, None) for tender in self.params["tenders"]),
            amount=self.params["worth_amount"],
            whole=self.params["whole"],
            returned_at=moment(self.saga.created),
        )

    def deposit_post(self) -> orders.DepositPost:
        return orders.DepositPost(
            site=self.site,
            amount=self.params["worth_amount"],
            order_no=self.saga.number,
            session_id=self.params.get("session_id", ""),
            resource_id=self.params.get("resource_id", ""),
        )

    def deposit_void(self) -> orders.DepositVoid:
        return orders.DepositVoid(
            original=self.original(),
            site=self.site,
            amount=self.params["worth_amount"],
            used_amount=self.params.get("used_amount", 0),
            session_id=self.params.get("session_id", ""),
            resource_id=self.params.get("resource_id", ""),
        )

    def session_open(self) -> orders.SessionOpen:
        return orders.SessionOpen(
            site=self.site,
            resource_id=self.params["resource_id"],
            resource_class=self.params["resource_class"],
            start=datetime.fromisoformat(self.params["from"]),
            end=datetime.fromisoformat(self.params["to"]),
            order_no=self.saga.number,
            package_sku=self.params.get("package_sku", ""),
            guests=self.params.get("guests", 0),
            member_ref=(self.saga.doc.get("member") or {}).get("ref", ""),
        )

    def session_extend(self) -> orders.SessionExtend:
        return orders.SessionExtend(
            site=self.site,
            session_id=self.params["session_id"],
            start=datetime.fromisoformat(self.params["from"]),
            end=datetime.fromisoformat(self.params["to"]),
            order_no=self.saga.number,
        )

    def session_close(self) -> orders.SessionClose:
        original = self.original(Phase.SETTLE)
        return orders.SessionClose(site=self.site, session_id=original.ref, original=original)


def order_line(line: Json) -> orders.OrderLine:
    """A line of a saga's record as the till is given it."""
    return orders.OrderLine(
        line_id=line["line_id"],
        sku=line["sku"],
        name=line["name"],
        quantity=Decimal(line["quantity"]),
        unit_amount=line["unit_amount"],
        gross_amount=line["gross_amount"],
        discount_amount=line["discount_amount"],
        net_amount=line["net_amount"],
        category=line.get("category", ""),
        counter_id=line.get("counter_id", ""),
        guide_id=line.get("guide_id", ""),
        bill_id=line.get("bill_id", ""),
        discounts=tuple(line.get("allocations", ())),
        facts=line.get("facts", {}),
    )


def _tender_line(tender: Json, op: Op | None) -> orders.TenderLine:
    return orders.TenderLine(
        tender_id=tender["id"],
        method=payments.Method(tender["method"]),
        amount=tender["amount"],
        channel=tender.get("channel", ""),
        ref=op.ref if op else tender.get("ref", ""),
        income_amount=tender.get("income_amount"),
        facts=op.facts if op else {},
    )


#: Hooks whose reference is a tender's reference.
_TENDER_HOOKS = frozenset({"payment_charge", "payment_capture", "value_reserve", "coupon_reserve", "coupon_redeem"})

_BUILDERS: dict[str, Callable[[_Build], Any]] = {
    "payment_charge": _Build.charge,
    "payment_authorize": _Build.authorize,
    "payment_reverse": _Build.reverse,
    "payment_refund": _Build.refund,
    "payment_capture": _Build.capture,
    "payment_release": _Build.release,
    "points_reserve": _Build.points_reserve,
    "points_confirm": _Build.points_held,
    "points_cancel": _Build.points_held,
    "points_return": _Build.points_return,
    "points_earn": _Build.points_earn,
    "points_revoke": _Build.points_revoke,
    "value_reserve": _Build.value_reserve,
    "value_confirm": _Build.value_held,
    "value_cancel": _Build.value_held,
    "value_return": _Build.value_return,
    "coupon_reserve": _Build.coupon_use,
    "coupon_redeem": _Build.coupon_use,
    "coupon_confirm": _Build.coupon_held,
    "coupon_cancel": _Build.coupon_held,
    "coupon_restore": _Build.coupon_restore,
    "reward_send": _Build.reward_send,
    "reward_revoke": _Build.reward_revoke,
    "stock_reserve": _Build.stock_reserve,
    "stock_confirm": _Build.stock_held,
    "stock_cancel": _Build.stock_held,
    "stock_return": _Build.stock_return,
    "bill_hold": _Build.bill_hold,
    "bill_release": _Build.bill_release,
    "order_post": _Build.order_post,
    "order_void": _Build.order_void,
    "order_return": _Build.order_return,
    "deposit_post": _Build.deposit_post,
    "deposit_void": _Build.deposit_void,
    "session_open": _Build.session_open,
    "session_extend": _Build.session_extend,
    "session_close": _Build.session_close,
}
