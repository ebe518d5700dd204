"""The simulated channel answers as the real one does: codes, states, replays, refusals, and its own books."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest
import requests

from gateway.sdk import Done, Misconfigured, OutcomeUnknown, StatementRequest
from gateway.sdk.simulator import Panel
from gateway.testing.context import build, call
from plugins.alipay.adapter import AlipayAdapter
from plugins.alipay.client import CHINA
from plugins.alipay.simulator import AlipaySimulator
from tests.plugins.alipay.support import Shop, key, settings


def pay(shop: Shop, number: str, code: str, amount: str = "12.00") -> str:
    fields = {"out_trade_no": number, "auth_code": code, "subject": "豆浆", "scene": "bar_code", "total_amount": amount}
    reply = shop.raw("alipay.trade.pay", **fields)
    return reply.sub_code or reply.code


def status(shop: Shop, number: str) -> str:
    reply = shop.raw("alipay.trade.query", out_trade_no=number)
    return reply.sub_code or reply.text("trade_status")


def test_a_code_is_single_use_even_when_the_payment_fails(shop: Shop) -> None:
    poor, good = shop.code("9011"), shop.code()
    assert pay(shop, "A1", poor) == "ACQ.BUYER_BALANCE_NOT_ENOUGH"
    assert pay(shop, "A2", poor) == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    assert pay(shop, "A3", good) == "10000"
    assert pay(shop, "A4", good) == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    assert shop.money()["received"] == 1200


def test_a_declined_trade_is_left_waiting_and_can_be_closed(shop: Shop) -> None:
    pay(shop, "A1", shop.code("9011"))
    assert status(shop, "A1") == "WAIT_BUYER_PAY"
    assert shop.raw("alipay.trade.cancel", out_trade_no="A1").text("action") == "close"
    assert status(shop, "A1") == "TRADE_CLOSED"


def test_an_order_number_is_paid_once(shop: Shop) -> None:
    assert pay(shop, "A1", shop.code()) == "10000"
    assert pay(shop, "A1", shop.code()) == "ACQ.TRADE_HAS_SUCCESS"
    shop.raw("alipay.trade.cancel", out_trade_no="A1")
    assert pay(shop, "A1", shop.code()) == "ACQ.TRADE_HAS_CLOSE"


def test_a_password_is_awaited_then_typed_or_refused(shop: Shop) -> None:
    assert pay(shop, "A1", shop.code("9001")) == "10003"
    assert pay(shop, "A2", shop.code("9001")) == "10003"
    shop.pull("type_password", out_trade_no="A1")
    shop.pull("refuse_password", out_trade_no="A2")
    assert (status(shop, "A1"), status(shop, "A2")) == ("TRADE_SUCCESS", "TRADE_CLOSED")
    with pytest.raises(ValueError, match="TRADE_SUCCESS"):
        shop.pull("type_password", out_trade_no="A1")


@pytest.mark.parametrize(("ending", "there"), [("9014", "TRADE_SUCCESS"), ("9015", "WAIT_BUYER_PAY")])
def test_an_unknown_outcome_may_be_either(shop: Shop, ending: str, there: str) -> None:
    with pytest.raises(OutcomeUnknown, match="20000"):
        pay(shop, "A1", shop.code(ending))
    assert status(shop, "A1") == there


@pytest.mark.parametrize(
    ("ending", "cash", "received"), [("0000", 1200, 1200), ("9016", 700, 1200), ("9017", 1100, 1100)]
)
def test_who_bears_a_discount(shop: Shop, ending: str, cash: int, received: int) -> None:
    """The platform's red envelope does not lower what the merchant gets; the merchant's own coupon does."""
    pay(shop, "A1", shop.code(ending))
    reply = shop.raw("alipay.trade.query", out_trade_no="A1")
    assert (reply.fen("buyer_pay_amount"), reply.fen("receipt_amount")) == (cash, received)
    fee = (received * 60 + 5000) // 10000
    assert shop.sim.books()["seller_balance"] == 1_000_000_00 + received - fee


def test_the_cancel_of_a_trade_that_never_was_blocks_nothing(shop: Shop) -> None:
    """Success without an action: the channel has no tombstone, so a charge still under way goes through."""
    reply = shop.raw("alipay.trade.cancel", out_trade_no="A1")
    assert (reply.code, reply.text("action"), reply.text("retry_flag")) == ("10000", "", "N")
    assert pay(shop, "A1", shop.code()) == "10000"


def test_a_cancel_gives_everything_back_once(shop: Shop) -> None:
    pay(shop, "A1", shop.code())
    for _ in range(2):
        assert shop.raw("alipay.trade.cancel", out_trade_no="A1").text("action") == "refund"
    assert shop.money() == {"received": 1200, "refunded": 1200, "net": 0, "fees": 0}
    assert shop.sim.books()["seller_balance"] == 1_000_000_00


def test_what_a_cancel_refuses(shop: Shop) -> None:
    for number in ("A1", "A2", "A3"):
        pay(shop, number, shop.code())
    shop.raw("alipay.trade.refund", out_trade_no="A1", refund_amount="1.00", out_request_no="R1")
    shop.pull("finish", out_trade_no="A2")
    late = shop.sim.main.trades.find("A3")
    late.created_at -= 86_401
    shop.sim.main.ledger.save(late)
    refusals = [shop.raw("alipay.trade.cancel", out_trade_no=number).sub_code for number in ("A1", "A2", "A3")]
    assert refusals == ["ACQ.REASON_TRADE_REFUND_FEE_ERR", "ACQ.TRADE_HAS_FINISHED", "ACQ.TRADE_CANCEL_TIME_OUT"]


def test_refunds(shop: Shop) -> None:
    pay(shop, "A1", shop.code())
    ask = {"out_trade_no": "A1"}
    first = shop.raw("alipay.trade.refund", **ask, refund_amount="5.00", out_request_no="R1")
    again = shop.raw("alipay.trade.refund", **ask, refund_amount="5.00", out_request_no="R1")
    assert [first.text("fund_change"), again.text("fund_change")] == ["Y", "N"]
    other = shop.raw("alipay.trade.refund", **ask, refund_amount="4.00", out_request_no="R1")
    more = shop.raw("alipay.trade.refund", **ask, refund_amount="7.01", out_request_no="R2")
    assert [other.sub_code, more.sub_code] == ["ACQ.DISCORDANT_REPEAT_REQUEST", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"]
    unnumbered = shop.raw("alipay.trade.refund", **ask, refund_amount="1.00")
    assert unnumbered.sub_code == "ACQ.INVALID_PARAMETER"
    assert status(shop, "A1") == "TRADE_SUCCESS"  # a part refund leaves the trade a success
    last = shop.raw("alipay.trade.refund", **ask, refund_amount="7.00", out_request_no="R2")
    assert last.fen("refund_fee") == 1200  # of the trade so far
    assert status(shop, "A1") == "TRADE_CLOSED"
    assert shop.money() == {"received": 1200, "refunded": 1200, "net": 0, "fees": 0}


def test_a_refund_that_never_was_is_answered_by_success_without_its_fields(shop: Shop) -> None:
    pay(shop, "A1", shop.code())
    reply = shop.raw("alipay.trade.fastpay.refund.query", out_trade_no="A1", out_request_no="R9")
    assert (reply.code, reply.text("refund_amount"), reply.text("refund_status")) == ("10000", "", "")


def test_a_poor_seller_cannot_refund(shop: Shop) -> None:
    pay(shop, "A1", shop.code())
    shop.pull("set_balance", amount=100)
    reply = shop.raw("alipay.trade.refund", out_trade_no="A1", refund_amount="5.00", out_request_no="R1")
    assert reply.sub_code == "ACQ.SELLER_BALANCE_NOT_ENOUGH"


def test_a_shown_code_is_no_trade_until_it_is_opened(shop: Shop) -> None:
    shop.raw("alipay.trade.precreate", out_trade_no="Q1", subject="豆浆", total_amount="5.00")
    assert status(shop, "Q1") == "ACQ.TRADE_NOT_EXIST"
    assert shop.raw("alipay.trade.close", out_trade_no="Q1").sub_code == "ACQ.TRADE_NOT_EXIST"
    shop.pull("scan", out_trade_no="Q1", pays=False)
    assert status(shop, "Q1") == "WAIT_BUYER_PAY"
    shop.pull("type_password", out_trade_no="Q1")
    assert status(shop, "Q1") == "TRADE_SUCCESS"
    with pytest.raises(ValueError, match="no such QR code"):
        shop.pull("scan", out_trade_no="Q1")


def test_an_unpaid_trade_closes_when_its_time_is_over(shop: Shop) -> None:
    pay(shop, "A1", shop.code("9001"))
    trade = shop.sim.main.trades.find("A1")
    trade.expires_at = shop.sim.now() - 1
    shop.sim.main.ledger.save(trade)
    assert status(shop, "A1") == "TRADE_CLOSED"


def test_a_made_code_belongs_to_its_buyer_and_runs_out(shop: Shop) -> None:
    rich = shop.pull("make_code", buyer="2088111122223333", balance=1500)
    assert pay(shop, "A1", str(rich["auth_code"])) == "10000"
    assert shop.sim.books()["buyers"]["2088111122223333"] == 300
    poor = shop.pull("make_code", buyer="2088111122223333")
    assert pay(shop, "A2", str(poor["auth_code"])) == "ACQ.BUYER_BALANCE_NOT_ENOUGH"
    old = shop.pull("make_code", life_s=-1)
    assert pay(shop, "A3", str(old["auth_code"])) == "ACQ.PAYMENT_AUTH_CODE_INVALID"


@pytest.mark.parametrize(
    "wrong",
    [
        {"out_trade_no": "A-1"},
        {"out_trade_no": "A" * 65},
        {"total_amount": "0.00"},
        {"total_amount": "0.001"},
        {"total_amount": "100000000.01"},
        {"auth_code": "134567890123456789"},
        {"scene": "face"},
        {"subject": ""},
        {"timeout_express": "1.5h"},
    ],
)
def test_wrong_parameters_do_nothing(shop: Shop, wrong: dict[str, str]) -> None:
    fields = {
        "out_trade_no": "A1",
        "auth_code": shop.code(),
        "subject": "豆",
        "scene": "bar_code",
        "total_amount": "1.00",
    }
    assert shop.raw("alipay.trade.pay", **(fields | wrong)).sub_code == "ACQ.INVALID_PARAMETER"
    assert shop.sim.books()["trades"] == {}


def test_who_is_let_in(shop: Shop) -> None:
    shop.build().check()
    with pytest.raises(Misconfigured, match="app_id"):
        shop.build(app_id="2021000000000000").check()
    with pytest.raises(Misconfigured, match="app_private_key"):
        shop.build(app_private_key="file:alipay_private_key.pem").check()
    with pytest.raises(Misconfigured, match="alipay_public_key"):
        shop.build(alipay_public_key="file:app_public_key.pem").check()
    unknown = shop.raw("alipay.trade.magic")  # answered as error_response, signed
    assert (unknown.code, unknown.sub_code) == ("40002", "isv.invalid-method")


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"method=alipay.trade.pay", b"app_id=1&sign=%ff", b"a" * 5000])
def test_garbage_does_not_hurt_it(shop: Shop, body: bytes) -> None:
    url = f"http://{shop.address}/gateway.do"
    answer = requests.post(url, data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}, timeout=3)
    name = "alipay_trade_pay_response" if b"method" in body else "error_response"
    assert answer.status_code == 200 and answer.json()[name]["sub_code"].startswith("isv.")
    assert pay(shop, "A1", shop.code()) == "10000"


def test_concurrent_charges_of_one_order_take_the_money_once(shop: Shop) -> None:
    codes = [shop.code() for _ in range(8)]
    answers: list[str] = []
    threads = [threading.Thread(target=lambda code=code: answers.append(pay(shop, "A1", code))) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["10000"] + ["ACQ.TRADE_HAS_SUCCESS"] * 7
    assert shop.money()["received"] == 1200


def test_the_books_survive_a_restart(shop: Shop, data: Path) -> None:
    pay(shop, "A1", shop.code())
    pay(shop, "A2", shop.code("9002"))
    shop.sim.stop()
    time.sleep(0.25)
    shop.sim = AlipaySimulator(data, {"password_after_s": "0.2"})
    shop.sim.start()
    states = {number: trade["status"] for number, trade in shop.sim.books()["trades"].items()}
    assert states == {"A1": "TRADE_SUCCESS", "A2": "TRADE_SUCCESS"}  # the password was typed while it was down
    assert (data / "app_private_key.pem").stat().st_mode & 0o077 == 0


def test_the_panel_speaks_http(shop: Shop) -> None:
    panel = Panel(shop.sim, {"gateway": shop.address})
    try:
        told = requests.get(panel.url, timeout=3).json()
        assert told["name"] == "alipay" and "cancel_retry" in told["faults"]
        wrong_fault = {"faults": [{"name": "nonsense"}]}
        assert requests.put(f"{panel.url}/faults", json=wrong_fault, timeout=3).status_code == 400
        made = requests.post(f"{panel.url}/control", json={"do": "make_code"}, timeout=3).json()
        assert pay(shop, "A1", made["auth_code"]) == "10000"
        assert requests.get(f"{panel.url}/books", timeout=3).json()["money"]["received"] == 1200
        for wrong in ({"do": "nothing"}, {"do": "scan", "out_trade_no": "none"}, {"do": "finish"}):
            assert requests.post(f"{panel.url}/control", json=wrong, timeout=3).status_code == 400
    finally:
        panel.stop()


class TestMerchants:
    """Several merchants at one address, apart but for their customers."""

    @pytest.fixture
    def options(self) -> dict[str, str]:
        return {"merchants": "ktv,mall", "bill_ready": "at_once"}

    def test_each_has_keys_books_and_bills_of_its_own(self, shop: Shop, data: Path) -> None:
        ktv = data / "ktv"
        who = json.loads((ktv / "merchant.json").read_text())
        assert who["app_id"] != shop.sim.main.who.app_id and len(who["app_id"]) == 16
        theirs = build(AlipayAdapter, settings(shop.sim.merchants["ktv"].who, shop.address), ktv)
        ours = shop.adapter
        assert isinstance(shop.charge(1), Done)
        shop.adapter = theirs
        code = shop.code()
        done = theirs.payment_charge(shop.request(code=code, amount=700), call(key(1)))  # the same number as ours
        assert isinstance(done, Done)
        books = shop.sim.books()
        assert (books["money"]["received"], books["merchants"]["ktv"]["money"]["received"]) == (1200, 700)
        assert books["merchants"]["mall"]["trades"] == {}
        request = StatementRequest(business_date=datetime.now(CHINA).date())
        totals = [[row.amount for row in each.payment_statement(request).items] for each in (ours, theirs)]
        assert totals == [[1200], [700]]
        shop.adapter = ours
        assert pay(shop, "A9", code) == "ACQ.PAYMENT_AUTH_CODE_INVALID"  # used at the other merchant's

    def test_a_lever_finds_the_merchant_whose_order_it_is(self, shop: Shop, data: Path) -> None:
        theirs = build(AlipayAdapter, settings(shop.sim.merchants["mall"].who, shop.address), data / "mall")
        theirs.payment_charge(shop.request(code=shop.code("9001")), call(key(7)))
        assert shop.pull("type_password", out_trade_no=key(7))["status"] == "TRADE_SUCCESS"
        shop.pull("set_balance", amount=5, merchant="mall")
        assert shop.sim.books()["merchants"]["mall"]["seller_balance"] == 5
        with pytest.raises(ValueError, match="there are: ktv, mall"):
            shop.pull("make_code", merchant="none")
