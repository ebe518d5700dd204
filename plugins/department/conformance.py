"""What the conformance suite must know of the department store: its till, and the bank terminal beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from gateway.sdk import (
    Authorize,
    Bill,
    BillHold,
    BillLookup,
    BillPrice,
    BillRef,
    LevelsRequest,
    Method,
    OrderLine,
    OrderPost,
    Settle,
    Split,
    StockItem,
    StockReserve,
    TenderLine,
)
from gateway.testing import Far, Made, Profile, charge
from plugins.department.adapter import DepartmentAdapter
from plugins.department.protocol_bankall import BankResponse, decode_response, encode_response
from plugins.department.simulator import DepartmentSimulator
from plugins.department.terminal_adapter import BankTerminalAdapter
from plugins.department.terminal_simulator import BankTerminalSimulator

SHOES, COUNTER = "6901000000018", "K1"


class DepartmentProfile(Profile):
    """A counter issues a slip for a pair of shoes by the simulator's lever; it is held, paid, returned."""

    adapter = DepartmentAdapter
    simulator = DepartmentSimulator
    store_id = "lakeside"
    leaves: ClassVar[Mapping[str, tuple[str, ...]]] = {"order_post": ("open slips", "held", "locked")}
    traces: ClassVar[Mapping[str, tuple[str, ...]]] = {"order_post": ("locked",)}

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {
            "soap_url": f"http://{far.address('soap')}/sales.asmx",
            "user": "user",
            "password": far.secret("password", "password"),
            "license": far.secret("license", "license"),
            "database": far.address("database"),
            "stores": {"lakeside": "S001", "eastgate": "S002"},
            "till": "T901",
            "timeout_s": 2.0,
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {"a database that is not there": {"database": str(far.folder / "nothing.db")}}

    def bill_find(self, far: Far) -> Any:
        return BillLookup(store_id="lakeside", slip_nos=(_issued(far),))

    def bill_price(self, far: Far) -> Any:
        bill = _slip(far)
        tender = TenderLine(tender_id="t1", method=Method.BANK_CARD, amount=bill.due_amount)
        return BillPrice(site=far.site(), bills=(_ref(bill),), tenders=(tender,))

    def bill_hold(self, far: Far) -> Any:
        return BillHold(site=far.site(), bills=(_ref(_slip(far)),), order_no=far.number("WEB"))

    def stock_levels(self, far: Far) -> Any:
        return LevelsRequest(store_id="lakeside", skus=(SHOES,))

    def stock_reserve(self, far: Far) -> Any:
        return _reserve(far, 1)

    def order_post(self, far: Far) -> Any:
        bill = _slip(far)
        tender = TenderLine(tender_id="t1", method=Method.BANK_CARD, amount=bill.due_amount, ref="112300000001")
        lines = tuple(_line(line, bill.bill_id) for line in bill.lines)
        return OrderPost(
            order_no=far.number("WEB"),
            site=far.site(),
            currency="CNY",
            lines=lines,
            tenders=(tender,),
            splits=tuple(Split(line_id=line.line_id, tender_id="t1", amount=line.net_amount) for line in lines),
            gross_amount=bill.due_amount,
            discount_amount=0,
            payable_amount=bill.due_amount,
            sold_at=far.now(),
            bills=(_ref(bill),),
        )

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "stock_reserve":
            yield "out_of_stock", _reserve(far, 100_000)
        if hook == "bill_hold":
            held = self.bill_hold(far)
            yield "bill_changed", replace(held, bills=(replace(held.bills[0], version="older"),))

    def disturbances(self, far: Far, hook: str) -> Mapping[str, Callable[[], Any]]:
        return {"the database is locked": lambda: far.control("lock_database", ms=1500)}

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        shoes = [row for row in books["stock"] if row["item"] == SHOES]
        return {
            "net": books["net"],
            "locked": books["locked"],
            "open slips": sum(1 for slip in books["slips"].values() if slip["state"] == "0"),
            "on hand": sum(int(Decimal(row["on_hand"])) for row in shoes),
            "held": sum(int(Decimal(row["held"])) for row in shoes),
        }


def _issued(far: Far) -> str:
    return str(far.control("issue_slip", counter=COUNTER, lines=[{"item": SHOES}])["slip_no"])


def _slip(far: Far) -> Bill:
    found: tuple[Bill, ...] = far.read("bill_find", BillLookup(store_id="lakeside", slip_nos=(_issued(far),)))
    return found[0]


def _ref(bill: Bill) -> BillRef:
    return BillRef(bill_id=bill.bill_id, version=bill.version)


def _reserve(far: Far, quantity: int) -> StockReserve:
    items = (StockItem(sku=SHOES, quantity=Decimal(quantity)),)
    return StockReserve(
        store_id="lakeside", items=items, slots=(), order_no=far.number("WEB"), site=far.site(), ttl_s=600
    )


def _line(line: Any, bill_id: str) -> OrderLine:
    return OrderLine(
        line_id=f"{bill_id}-{line.line_id}",
        sku=line.sku,
        name=line.name,
        quantity=line.quantity,
        unit_amount=line.unit_amount,
        gross_amount=line.gross_amount,
        discount_amount=0,
        net_amount=line.gross_amount,
        counter_id=line.counter_id,
        bill_id=bill_id,
        facts=line.facts,
    )


class BankTerminalProfile(Profile):
    """Cards are presented at the terminal; a helper process speaks frames, so faults are those of the terminal."""

    adapter = BankTerminalAdapter
    simulator = BankTerminalSimulator
    store_id = "lakeside"
    patience_s = 1.5
    faults: ClassVar[Mapping[str, int]] = {"dll_hang": 2500, "dll_hang_before": 2500, "host_timeout": 0}

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {"folder": far.address("folder"), "pos": "T901", "timeout_s": 5.0}

    def prepare(self, far: Far) -> None:
        far.adapter.check()  # starts the helper process, which takes a while

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {"a helper that is not there": {"helper": ["/nowhere/helper"]}}

    def payment_charge(self, far: Far) -> Any:
        return charge(far, method=Method.BANK_CARD)

    def payment_authorize(self, far: Far) -> Any:
        return Authorize(
            amount=20000,
            currency="CNY",
            method=Method.BANK_CARD,
            order_no=far.number("WEB"),
            subject="押金",
            site=far.site(),
        )

    def payment_settle(self, far: Far) -> Any:
        made = far.do("payment_charge", self.payment_charge(far))
        return Settle(site=far.site(), sale_count=1, sale_amount=made.request.amount, refund_count=0, refund_amount=0)

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "payment_charge":
            far.control("customer", does="cancels")
            yield "declined", self.payment_charge(far)
            far.control("present_card", card="622202******0312")
            yield "insufficient_funds", charge(far, amount=145700, method=Method.BANK_CARD)

    def parsers(self) -> Iterable[tuple[Any, bytes]]:
        yield decode_response, encode_response(BankResponse(code="00", lrc="123", text="交易成功"))

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {
            "net": books["net"],
            "frozen": sum(card["frozen"] for card in books["cards"]),
            "batch": books["batch"],
        }


__all__ = ["BankTerminalProfile", "DepartmentProfile", "Made"]
