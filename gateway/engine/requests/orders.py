"""Requests of the till: bills, posts, deposits, sessions."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from gateway.domain import orders, payments
from gateway.domain.common import Original
from gateway.engine.model import Json, Op, OpState, Phase
from gateway.engine.requests.parts import Parts, moment, tenders_of
from gateway.engine.retender import quote_in_force

#: Hooks whose reference is a tender's reference.
_TENDER_HOOKS = frozenset({"payment_charge", "payment_capture", "value_reserve", "coupon_reserve", "coupon_redeem"})


class Orders(Parts):
    """Builders, one a hook or for hooks of one shape."""

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
            holds=self._holds(),
        )

    def _holds(self) -> tuple[Original, ...]:
        """What the till's own connection holds for the sale."""
        here = {leg.name for leg in self.saga.legs() if leg.connection == self.leg.connection}
        held = (op for op in self.ops if op.leg in here and op.hook == "stock_reserve" and op.state is OpState.OK)
        return tuple(self.as_original(op) for op in held)

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
            points_returned=self.params.get("points_returned", 0),
            points_amount=self.params.get("points_amount", 0),
            rounding_amount=self.params.get("rounding_amount", 0),
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
        facts=op.facts if op else tender.get("facts", {}),
    )
