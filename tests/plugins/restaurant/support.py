"""Short ways to ask a running restaurant chain for things, and requests as the engine makes them."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from gateway.sdk import (
    Bill,
    BillHold,
    BillLookup,
    BillRef,
    Call,
    Method,
    OrderLine,
    OrderPost,
    Original,
    Query,
    Site,
    Step,
    TenderLine,
)
from gateway.sdk.simulator import Fault
from gateway.testing.context import call
from plugins.restaurant.adapter import RestaurantAdapter
from plugins.restaurant.protocol import Reply, decode_reply, encode_form
from plugins.restaurant.simulator import RestaurantSimulator
from plugins.restaurant.simulator_seed import (
    APP_KEY,
    BRAND_ID,
    OPERATOR,
    OPERATOR_PASSWORD,
)

TODAY = date(2026, 3, 8)


@dataclass
class Chain:
    """A running simulator with an adapter on it. ``key`` numbers the changes."""

    simulator: RestaurantSimulator
    addresses: dict[str, str]
    adapter: RestaurantAdapter
    number: int = 0

    def pull(self, do: str, **fields: Any) -> dict[str, Any]:
        return self.simulator.control({"do": do, "shop": "SH01", **fields})

    def fault(self, name: str, match: str = "*", times: int | None = 1, value: int = 0) -> None:
        self.simulator.faults.set([Fault(name, match, times, value)])

    def till(self, command: str, shop: str = "SH01", **form: str) -> Reply:
        """Ask a till as a program in the shop's network does."""
        url = f"{self.addresses['till']}/{shop}/{command}"
        body = encode_form({"opr": OPERATOR, "pwd": OPERATOR_PASSWORD, **form})
        with urllib.request.urlopen(url, body, timeout=5) as answer:
            return decode_reply(answer.read())

    def books(self, bill_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.simulator.books()["bills"][bill_id]
        return found

    def key(self) -> str:
        self.number += 1
        return f"01K0RESTAURANT{self.number:012d}"

    def call(self, key: str = "", **kwargs: Any) -> Call:
        return call(key or self.key(), **kwargs)

    def seat(self, **fields: Any) -> Bill:
        """Guests sit down and order; the bill as the adapter finds it."""
        opened = self.pull("seat", **fields)
        return self.find(str(opened["bsId"]))

    def find(self, bill_id: str) -> Bill:
        (found,) = self.adapter.bill_find(BillLookup(store_id="sh-01", bill_ids=(bill_id,)))
        return found

    def hold(self, bill: Bill, key: str = "") -> Any:
        request = BillHold(site=SITE, bills=(ref_of(bill),), order_no="ON1")
        return self.adapter.bill_hold(request, self.call(key))

    def sale(self, *bills: Bill, tenders: tuple[TenderLine, ...] = (), **fields: Any) -> OrderPost:
        """A sale of whole bills; by default one WeChat tender pays what is due."""
        due = sum(bill.due_amount for bill in bills)
        rows = tenders or (tender("t1", due),)
        payable = sum(row.amount for row in rows)
        lines = tuple(order_line(line, bill.bill_id) for bill in bills for line in bill.lines)
        return OrderPost(
            order_no="ON1",
            site=SITE,
            currency="CNY",
            lines=lines,
            tenders=rows,
            splits=(),
            gross_amount=due,
            discount_amount=due - payable,
            payable_amount=payable,
            sold_at=datetime.now(UTC),
            bills=tuple(ref_of(bill) for bill in bills),
            **fields,
        )

    def ask(self, hook: str, key: str, request: Any, steps: tuple[Step, ...] = ()) -> Any:
        query = Query(hook=hook, key=key, request=request, sent_at=datetime.now(UTC), steps=steps)
        return self.adapter.order_query(query)


SITE = Site(store_id="sh-01", business_date=TODAY)


def ref_of(bill: Bill) -> BillRef:
    return BillRef(bill_id=bill.bill_id, version=bill.version)


def tender(tender_id: str, amount: int, method: Method = Method.PAYMENT_CODE, **fields: Any) -> TenderLine:
    return TenderLine(tender_id=tender_id, method=method, amount=amount, **{"channel": "wechat", **fields})


def order_line(line: Any, bill_id: str) -> OrderLine:
    return OrderLine(
        line_id=line.line_id,
        sku=line.sku,
        name=line.name,
        quantity=line.quantity,
        unit_amount=line.unit_amount,
        gross_amount=line.gross_amount,
        discount_amount=0,
        net_amount=line.gross_amount,
        bill_id=bill_id,
    )


def original(key: str, **fields: Any) -> Original:
    return Original(key=key, **fields)


def settings(addresses: dict[str, str]) -> dict[str, Any]:
    """Settings as they would stand in a merchant's file."""
    return {
        "till_url": addresses["till"],
        "operator": OPERATOR,
        "password": "env:TEST_TILL_PASSWORD",
        "office_url": addresses["office"],
        "brand_id": BRAND_ID,
        "app_key": APP_KEY,
        "app_secret": "env:TEST_OFFICE_SECRET",
        "shops": {
            "sh-01": {"code": "SH01", "service_basis": "net", "rounding": "jiao"},
            "sh-02": {"code": "SH02"},
            "sh-03": {"code": "SH03", "service_basis": "gross", "rounding": "yuan"},
        },
        "sold_out_folder": addresses["sold"],
        "timeout_s": 2.0,
    }
