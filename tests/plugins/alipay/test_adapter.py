"""Each hook of the Alipay adapter on real sockets: what it answers, and what the channel's books say afterwards."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from marshmallow import ValidationError

from gateway.sdk import (
    ActionType,
    Charge,
    Declined,
    DeclineReason,
    Done,
    Method,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    Original,
    OutcomeUnknown,
    Pending,
    Reverse,
    StatementRequest,
)
from gateway.testing.context import build, call
from plugins.alipay.adapter import AlipayAdapter
from plugins.alipay.client import CHINA
from tests.plugins.alipay.support import SITE, Shop, key, settings

REFUND = "payment_refund"


def today() -> date:
    return datetime.now(CHINA).date()


def test_a_code_is_charged(shop: Shop) -> None:
    done = shop.charge(1)
    assert isinstance(done, Done) and done.amount == 1200 and not done.replayed
    assert done.ref == shop.trade(1)["trade_no"]
    assert (shop.trade(1)["store_id"], shop.trade(1)["operator_id"], shop.trade(1)["terminal_id"]) == ("S1", "C1", "T1")
    asked = shop.ask(1)
    assert isinstance(asked, Done) and (asked.ref, asked.amount, asked.replayed) == (done.ref, 1200, True)


@pytest.mark.parametrize(("ending", "party", "received"), [("9016", "platform", 1200), ("9017", "merchant", 1100)])
def test_the_facts_say_who_bears_a_discount(shop: Shop, ending: str, party: str, received: int) -> None:
    done = shop.charge(1, ending)
    assert isinstance(done, Done) and done.amount == 1200  # what the order asked, not the customer's cash
    assert done.facts["merchant_received_amount"] == received
    given = 1200 - done.facts["customer_paid_amount"]
    assert done.facts["funding"] == [{"party": party, "amount": given}]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("9011", DeclineReason.INSUFFICIENT_FUNDS),
        ("9012", DeclineReason.DECLINED),
        ("9013", DeclineReason.CODE_INVALID),
    ],
)
def test_a_decline_is_a_value_and_is_closed_by_a_reverse(shop: Shop, ending: str, reason: DeclineReason) -> None:
    declined = shop.charge(1, ending)
    assert isinstance(declined, Declined) and declined.reason is reason
    reversed_ = shop.reverse(2, original=1)
    assert isinstance(reversed_, Done) and reversed_.facts["action"] == "close"
    assert not isinstance(shop.ask(1), Done) and shop.money()["received"] == 0


def test_a_refused_code_can_never_be_paid_any_more(shop: Shop) -> None:
    """No trade came to be, and the code is used up: not found is final, and nobody has to wait."""
    code = shop.code("9013")
    assert isinstance(shop.adapter.payment_charge(shop.request(code=code), call(key(1))), Declined)
    assert shop.ask(1) == NotFound(final=True)
    assert shop.ask(2) == NotFound(final=False)
    assert isinstance(shop.adapter.payment_charge(shop.request(code=code), call(key(1))), Declined)


def test_notes_of_declines_do_not_pile_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.alipay.adapter.MOST_NOTES", 3)
    for number in range(1, 6):
        shop.charge(number, "9013")
    assert shop.adapter.context.store.keys("declined/") == [f"declined/{key(number)}" for number in (3, 4, 5)]


def test_a_password_is_awaited(shop: Shop) -> None:
    pending = shop.charge(1, "9001")
    assert isinstance(pending, Pending) and pending.next_action is not None
    assert pending.next_action.type is ActionType.AWAIT_PASSWORD
    assert isinstance(shop.ask(1), Pending)
    shop.pull("type_password", out_trade_no=key(1))
    assert isinstance(shop.ask(1), Done)


def test_a_refused_password_is_a_decline(shop: Shop) -> None:
    shop.charge(1, "9001")
    shop.pull("refuse_password", out_trade_no=key(1))
    assert shop.ask(1) == Declined(reason=DeclineReason.CLOSED, code="TRADE_CLOSED", message="closed unpaid")


@pytest.mark.parametrize("paid", [True, False])
def test_an_unknown_outcome_is_settled_by_asking(shop: Shop, paid: bool) -> None:
    with pytest.raises(OutcomeUnknown):
        shop.charge(1, "9014" if paid else "9015")
    assert isinstance(shop.ask(1), Done if paid else Pending)


def test_a_charge_that_is_already_known_is_looked_up(shop: Shop) -> None:
    first = shop.charge(1)
    again = shop.charge(1)  # another code, the same key: the money was taken before
    assert isinstance(first, Done) and isinstance(again, Done) and again.replayed and again.ref == first.ref
    shop.reverse(2, original=1)
    closed = shop.charge(1)
    assert isinstance(closed, Declined) and closed.reason is DeclineReason.CLOSED
    assert shop.money()["received"] == 1200 and shop.money()["net"] == 0


def test_a_second_attempt_looks_before_it_sends(shop: Shop) -> None:
    shop.charge(1)
    sent = shop.sim.books()["requests"]["alipay.trade.pay"]
    again = shop.adapter.payment_charge(shop.request(), call(key(1), attempt=2))
    assert isinstance(again, Done) and again.replayed
    assert shop.sim.books()["requests"]["alipay.trade.pay"] == sent


@pytest.mark.parametrize(
    "change",
    [{"amount": 0}, {"amount": 10_000_000_001}, {"currency": "USD"}, {"method": Method.BANK_CARD}, {"auth_code": None}],
)
def test_what_the_channel_cannot_is_refused_before_a_byte_is_sent(shop: Shop, change: dict[str, object]) -> None:
    fields = {name: getattr(shop.request(), name) for name in Charge.__dataclass_fields__}
    with pytest.raises(NotSupported):
        shop.adapter.payment_charge(Charge(**(fields | change)), call(key(1)))  # type: ignore[arg-type]
    assert shop.sim.books()["requests"] == {}


def test_a_deadline_that_has_passed_sends_nothing(shop: Shop) -> None:
    with pytest.raises(NotSent):
        shop.charge(1, seconds=-1)
    assert shop.sim.books()["requests"] == {}


# -- undo ----------------------------------------------------------------------------------------------------------


def test_a_reverse_gives_a_paid_trade_back_and_says_so(shop: Shop) -> None:
    shop.charge(1)
    for attempt in (1, 2):
        done = shop.reverse(2, original=1, attempt=attempt)
        assert isinstance(done, Done) and done.facts["action"] == "refund"
    assert shop.money()["net"] == 0
    told = shop.ask(1)
    assert isinstance(told, Declined) and "given back" in told.message
    request = Reverse(original=Original(key=key(1)), amount=1200, currency="CNY", site=SITE)
    assert isinstance(shop.ask(2, "payment_reverse", request), Done)


def test_a_reverse_that_has_not_happened_is_not_found(shop: Shop) -> None:
    shop.charge(1)
    request = Reverse(original=Original(key=key(1)), amount=1200, currency="CNY", site=SITE)
    assert shop.ask(2, "payment_reverse", request) == NotFound(final=False)


def test_the_reverse_of_a_charge_that_never_came(shop: Shop) -> None:
    """Done as far as the channel tells; it has no tombstone, and the traits do not claim one."""
    done = shop.reverse(2, original=1)
    assert isinstance(done, Done) and done.facts == {"action": "close", "existed": False}
    assert shop.ask(1) == NotFound(final=False)
    assert not AlipayAdapter.traits["payment_reverse"].tombstone
    assert isinstance(shop.charge(1), Done)  # what the claim would have denied


def test_reverses_that_are_refused(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.charge(number)
    shop.refund(11, 1, 100)
    shop.pull("finish", out_trade_no=key(2))
    late = shop.sim.main.trades.find(key(3))
    late.created_at -= 86_401
    shop.sim.main.ledger.save(late)
    reasons = []
    for number in (1, 2, 3):
        refused = shop.reverse(20 + number, original=number)
        assert isinstance(refused, Declined)
        reasons.append(refused.reason)
    assert reasons == [DeclineReason.NOT_REFUNDABLE, DeclineReason.NOT_REFUNDABLE, DeclineReason.TOO_LATE]
    assert shop.money()["net"] == 3600 - 100


def test_the_reverse_of_a_trade_given_back_by_refunds_is_done(shop: Shop) -> None:
    shop.charge(1)
    shop.refund(11, 1, 1200)
    done = shop.reverse(2, original=1)
    assert isinstance(done, Done) and done.facts["action"] == "refund"
    assert shop.money() == {"received": 1200, "refunded": 1200, "net": 0, "fees": 0}


def test_refunds_part_by_part(shop: Shop) -> None:
    shop.charge(1, "9016")
    for number, amount in ((11, 333), (12, 500), (13, 367)):
        done = shop.refund(number, 1, amount)
        assert isinstance(done, Done) and (done.amount, done.replayed) == (amount, False)
    assert shop.sim.books()["trades"][key(1)]["status"] == "TRADE_CLOSED"
    assert shop.sim.books()["seller_balance"] == 1_000_000_00
    over = shop.refund(14, 1, 1)
    assert isinstance(over, Declined) and over.reason is DeclineReason.NOT_REFUNDABLE


@pytest.mark.parametrize("attempt", [1, 2])
def test_the_same_refund_is_one_refund(shop: Shop, attempt: int) -> None:
    shop.charge(1)
    shop.refund(11, 1, 500)
    again = shop.refund(11, 1, 500, attempt)
    assert isinstance(again, Done) and again.replayed and again.amount == 500
    assert shop.money()["refunded"] == 500
    assert isinstance(shop.ask(11, REFUND, shop.refund_request(1, 500)), Done)


def test_refunds_that_are_refused(shop: Shop) -> None:
    shop.charge(1)
    unknown = shop.refund(11, 9, 100)
    much = shop.refund(12, 1, 1201)
    shop.pull("set_balance", amount=0)
    poor = shop.refund(13, 1, 100)
    shop.pull("finish", out_trade_no=key(1))
    late = shop.refund(14, 1, 100)
    reasons = [answer.reason for answer in (unknown, much, poor, late) if isinstance(answer, Declined)]
    expected = [DeclineReason.NOT_FOUND, DeclineReason.LIMIT_EXCEEDED]
    assert reasons == [*expected, DeclineReason.INSUFFICIENT_FUNDS, DeclineReason.NOT_REFUNDABLE]
    assert shop.money()["refunded"] == 0
    for number in (12, 13, 14):
        assert shop.ask(number, REFUND, shop.refund_request(1, 100)) == NotFound(final=False)


def test_a_refund_that_moves_later_is_pending(shop: Shop) -> None:
    shop.charge(1)
    shop.once("refund_slow", value=150)
    assert isinstance(shop.refund(11, 1, 500), Pending)
    request = shop.refund_request(1, 500)
    assert shop.ask(11, REFUND, request) == NotFound(final=False)
    wait_for(lambda: isinstance(shop.ask(11, REFUND, request), Done))
    assert shop.money()["refunded"] == 500


def test_an_older_account_s_refund_query_has_no_status(shop: Shop) -> None:
    shop.charge(1)
    shop.refund(11, 1, 500)
    shop.once("old_refund_query")
    assert isinstance(shop.ask(11, REFUND, shop.refund_request(1, 500)), Done)


def wait_for(true: object, seconds: float = 3.0) -> None:
    import time

    until = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


# -- a shown QR code ------------------------------------------------------------------------------------------------


def test_a_shown_code_is_paid_by_the_customer(shop: Shop) -> None:
    pending = shop.show(1)
    assert isinstance(pending, Pending) and pending.next_action is not None
    assert pending.next_action.type is ActionType.SHOW_QR
    assert pending.next_action.fields["qr_code"].startswith("https://qr.alipay.com/")
    request = shop.request(500, Method.QR_CODE)
    waiting = shop.ask(1, request=request, facts=pending.facts)
    assert isinstance(waiting, Pending) and waiting.next_action == pending.next_action
    shop.pull("scan", out_trade_no=key(1), pays=False)
    opened = shop.ask(1, request=request, facts=pending.facts)
    assert isinstance(opened, Pending) and opened.next_action is not None
    assert opened.next_action.type is ActionType.AWAIT_PASSWORD
    shop.pull("type_password", out_trade_no=key(1))
    done = shop.ask(1, request=request, facts=pending.facts)
    assert isinstance(done, Done) and done.amount == 500


def test_a_shown_code_stays_payable_until_it_runs_out(shop: Shop, data: Path) -> None:
    """Nobody opened it, so there is no trade to close: a reverse is not done before the code is dead."""
    now = datetime.now(UTC)
    adapter = build(AlipayAdapter, settings(shop.sim.main.who, shop.address), data, clock=lambda: now)
    shop.adapter = adapter
    pending = shop.show(1)
    assert isinstance(pending, Pending)
    request = Reverse(original=Original(key=key(1)), amount=500, currency="CNY", site=SITE)
    assert isinstance(shop.reverse(2, original=1), Pending)
    assert isinstance(shop.ask(2, "payment_reverse", request), Pending)
    assert isinstance(shop.ask(1, request=shop.request(500, Method.QR_CODE), facts=pending.facts), Pending)
    now += timedelta(minutes=7)
    shop.sim.faults.set([])
    charge = shop.request(500, Method.QR_CODE)
    assert shop.ask(1, request=charge, facts=pending.facts) == NotFound(final=True)
    assert isinstance(shop.ask(2, "payment_reverse", request), Done)


def test_a_shown_code_s_life_is_what_we_asked_for(shop: Shop) -> None:
    shop.adapter = shop.build(wait_minutes=1)
    shop.show(1)
    now = shop.sim.now()
    shop.sim.now = lambda: now + 61  # type: ignore[method-assign]
    shop.sim.main.trades.now = shop.sim.now
    with pytest.raises(ValueError, match="no longer valid"):
        shop.pull("scan", out_trade_no=key(1))


def test_a_reverse_closes_an_opened_code(shop: Shop) -> None:
    shop.show(1)
    shop.pull("scan", out_trade_no=key(1), pays=False)
    done = shop.reverse(2, original=1)
    assert isinstance(done, Done) and done.facts["action"] == "close"
    with pytest.raises(ValueError, match="TRADE_CLOSED"):
        shop.pull("type_password", out_trade_no=key(1))


# -- the daily bill --------------------------------------------------------------------------------------------------


def test_the_bill_has_every_movement_under_our_keys(shop: Shop) -> None:
    shop.charge(1)
    shop.charge(2, "9016")
    shop.charge(3, "9011")
    shop.refund(12, 2, 333)
    shop.reverse(13, original=1)
    page = shop.adapter.payment_statement(StatementRequest(business_date=today()))
    rows = [(row.kind, row.key, row.amount, row.fee_amount, row.status) for row in page.items]
    assert rows == [
        ("charge", key(1), 1200, 7, "SUCCESS"),
        ("charge", key(2), 1200, 7, "SUCCESS"),
        ("refund", key(12), -333, -1, "SUCCESS"),
        ("refund", key(1), -1200, -7, "REVERSED"),
    ]
    money = shop.money()
    assert sum(row.amount for row in page.items) == money["net"]
    assert sum(row.fee_amount for row in page.items) == money["fees"]
    assert page.items[2].original_ref == page.items[1].ref
    assert page.items[1].facts["platform_discount_amount"] == 500
    assert page.next_cursor is None


def test_the_bill_comes_page_by_page_and_by_store(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.alipay.statement.PAGE", 2)
    for number in range(1, 6):
        shop.charge(number)
    cursor: str | None = ""
    keys = []
    while cursor is not None:
        page = shop.adapter.payment_statement(StatementRequest(business_date=today(), cursor=cursor))
        keys += [row.key for row in page.items]
        cursor = page.next_cursor
    assert keys == [key(number) for number in range(1, 6)]
    assert shop.sim.books()["requests"]["bill.download"] == 1
    other = shop.adapter.payment_statement(StatementRequest(business_date=today(), store_id="S9"))
    assert other.items == ()


@pytest.mark.parametrize("fault", ["garbage", "half_body"])
def test_a_broken_bill_is_refused_and_fetched_anew(shop: Shop, fault: str) -> None:
    shop.charge(1)
    shop.once(fault, "bill.download")
    with pytest.raises(OutcomeUnknown):
        shop.adapter.payment_statement(StatementRequest(business_date=today()))
    assert len(shop.adapter.payment_statement(StatementRequest(business_date=today())).items) == 1


class TestNextDay:
    """The real channel makes a day's bill in the next morning."""

    @pytest.fixture
    def options(self) -> dict[str, str]:
        return {}

    def test_a_bill_that_is_not_made_yet_can_be_asked_for_later(self, shop: Shop) -> None:
        shop.charge(1)
        with pytest.raises(NotSent, match="09:00"):
            shop.adapter.payment_statement(StatementRequest(business_date=today()))
        shop.pull("make_bill", date=today().isoformat())
        assert len(shop.adapter.payment_statement(StatementRequest(business_date=today())).items) == 1


# -- settings and secrets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("endpoint", "http://example.com/gateway.do"),
        ("app_id", "x"),
        ("seller_id", "123"),
        ("app_private_key", "file:merchant.json"),
        ("app_private_key", "-----BEGIN PRIVATE KEY-----"),
        ("alipay_public_key", "file:app_private_key.pem"),
        ("alipay_public_key", "file:missing.pem"),
        ("timeout_s", 0),
        ("surprise", 1),
    ],
)
def test_wrong_settings_are_named(shop: Shop, name: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        shop.build(**{name: value})
    assert list(error.value.messages_dict) == [name]
    assert "PRIVATE KEY" not in str(error.value)


def test_check_says_what_is_wrong(shop: Shop) -> None:
    shop.adapter.check()
    assert shop.sim.books()["trades"] == {}
    shop.once("bad_signature")
    with pytest.raises(Misconfigured, match="alipay_public_key"):
        shop.adapter.check()
    shop.once("error")
    with pytest.raises(NotSent):
        shop.adapter.check()


def test_no_code_and_no_key_is_kept_or_logged(shop: Shop, data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    codes = [f"28765432109876{ending}" for ending in ("0000", "9001", "9011", "9014")]
    for number, code in enumerate(codes):
        for fault in ("", "garbage"):
            if fault:
                shop.once(fault, "alipay.trade.query")
            try:
                shop.adapter.payment_charge(shop.request(code=code), call(key(number)))
                shop.ask(number)
            except OutcomeUnknown as error:
                assert code not in str(error) and code not in repr(error)
    private = (data / "app_private_key.pem").read_text().splitlines()[1]
    files = [path for path in data.rglob("*") if path.is_file() and "private" not in path.name]
    kept = b"".join(path.read_bytes() for path in files)
    store = str([shop.adapter.context.store.get(name) for name in shop.adapter.context.store.keys("")])
    for secret in (*codes, private):
        assert secret.encode() not in kept
        assert secret not in caplog.text and secret not in store
