"""What the conformance suite must know of a bank's host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from gateway.sdk import Method, Settle
from gateway.testing import Far, Profile, charge
from plugins.bankhost.adapter import BankHostAdapter
from plugins.bankhost.protocol import BillRow, codec, read_bill, read_details, read_tags, read_totals
from plugins.bankhost.simulator import HEADER, MASTER_KEY, MERCHANT, TERMINAL, TPDU, BankHostSimulator


class BankHostProfile(Profile):
    """Customers' codes are made by the simulator's lever."""

    remembers = ("payment_settle",)  # which batch it closes
    adapter = BankHostAdapter
    simulator = BankHostSimulator
    options: ClassVar[Mapping[str, str]] = {"day_cut": "24:00"}
    faults: ClassVar[Mapping[str, int]] = {
        "sign_on_expired": 0,
        "mac_refused": 0,
        "late_answer": 900,
        "timeout_code": 0,
    }

    def settings(self, far: Far) -> Mapping[str, Any]:
        host, port = far.address("host").split(":")
        return {
            "host": host,
            "port": int(port),
            "terminal": TERMINAL,
            "merchant": MERCHANT,
            "master_key": far.secret("master_key", MASTER_KEY),
            "files": far.direct["files"],
            "timeout_s": 2.0,
        }

    def prepare(self, far: Far) -> None:
        far.adapter.check()

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {
            "a terminal that the host does not know": {"terminal": "99999999"},
            "another merchant's number": {"merchant": "898310058129999"},
        }

    def payment_charge(self, far: Far) -> Any:
        return charge(far, auth_code=far.control("make_code")["auth_code"])

    def payment_settle(self, far: Far) -> Any:
        amount = far.do("payment_charge", self.payment_charge(far)).request.amount
        return Settle(site=far.site(), sale_count=1, sale_amount=amount, refund_count=0, refund_amount=0)

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "payment_charge":
            yield "insufficient_funds", charge(far, auth_code=far.control("make_code", balance=5)["auth_code"])
            yield "code_invalid", charge(far, auth_code="6200000000000000001")
            yield "code_expired", charge(far, auth_code=far.control("make_code", life_s=-1)["auth_code"])
            poor = far.control("make_token", balance=5)["auth_code"]
            yield "insufficient_funds", charge(far, method=Method.BANK_CARD, auth_code=poor)

    def parsers(self) -> Iterable[tuple[Any, bytes]]:
        wire = codec("bcd", TPDU, HEADER)
        yield wire.decode, wire.encode({"t": "0210", "3": "000000", "4": f"{1:012d}", "11": "000001", "39": "00"})
        yield read_bill, _ROW.line().encode()
        yield lambda raw: read_tags(raw.decode("latin-1")), b"A4003abcA5002xy"
        yield lambda raw: read_totals(raw.decode("latin-1")), b"0" * 30 + b"1"
        yield lambda raw: read_details(raw.decode("latin-1")), b"01" + b"0" * 40

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {"net": books["net"], "settled": sum(batch["closed"] for batch in books["batches"])}


def _sample() -> BillRow:
    from datetime import datetime

    at = datetime(2026, 11, 22, 12, 30)  # noqa: DTZ001 - the host's own time
    numbers = {"terminal": TERMINAL, "batch": "000001", "trace": "000007", "ref": "112200000007"}
    return BillRow(at=at, kind="sale", amount=1200, fee=5, original_ref="", reference="01K", **numbers)


_ROW = _sample()
