"""Each hook of the WeChat Pay adapter on real sockets: what it answers, and what the channel's books say afterwards."""

from __future__ import annotations

import logging
from datetime import datetime

import pytest
from marshmallow import ValidationError

from gateway.sdk import (
    ActionType,
    Charge,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    Method,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    Pending,
    StatementRequest,
    StatementRow,
)
from gateway.sdk.simulator import Fault
from gateway.testing.context import call
from plugins.wechatpay.protocol import CHINA, is_order_number
from tests.plugins.wechatpay.support import Shop, key


def rows(shop: Shop) -> list[StatementRow]:
    today = shop.clock().astimezone(CHINA).date()
    return list(shop.adapter.payment_statement(StatementRequest(business_date=today)).items)


def test_a_code_is_charged_under_our_key(shop: Shop) -> None:
    done = shop.charge(1)
    assert isinstance(done, Done) and done.amount == 1200 and not done.replayed
    assert (done.ref, shop.order(1)["store"], shop.order(1)["device"]) == (shop.order(1)["transaction_id"], "S1", "T1")
    asked = shop.ask(1)
    assert isinstance(asked, Done) and (asked.ref, asked.amount, asked.replayed) == (done.ref, 1200, True)
    assert is_order_number(key(1)) and len(key(1)) <= 32


@pytest.mark.parametrize(("ending", "party", "received"), [("9016", "platform", 1200), ("9017", "merchant", 1100)])
def test_the_facts_say_who_bears_a_discount(shop: Shop, ending: str, party: str, received: int) -> None:
    done = shop.charge(1, ending)
    assert isinstance(done, Done) and done.amount == 1200  # what the order asked, not the customer's cash
    given = 1200 - done.facts["customer_paid_amount"]
    assert done.facts["merchant_received_amount"] == received
    assert done.facts["funding"] == [{"party": party, "amount": given}]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("9011", DeclineReason.INSUFFICIENT_FUNDS),
        ("9012", DeclineReason.DECLINED),
        ("9013", DeclineReason.CODE_EXPIRED),
    ],
)
def test_a_decline_is_a_value_and_is_closed_by_a_reverse(shop: Shop, ending: str, reason: DeclineReason) -> None:
    declined = shop.charge(1, ending)
    assert isinstance(declined, Declined) and declined.reason is reason and declined.code
    reversed_ = shop.reverse(2, original=1)
    assert isinstance(reversed_, Done) and reversed_.facts["action"] == "close"
    assert not isinstance(shop.ask(1), Done) and shop.money()["received"] == 0


def test_a_refused_code_can_never_be_paid_any_more(shop: Shop) -> None:
    """No order came to be, and the code is used up: not found is final, and no cashier has to wait."""
    shop.charge(1, "9013")
    assert shop.ask(1) == NotFound(final=True)
    assert shop.ask(2) == NotFound(final=False)


@pytest.mark.parametrize("form", ["code", "state"])
def test_a_password_is_awaited_however_the_channel_says_it(shop: Shop, form: str) -> None:
    shop.sim.methods._waits_by_code = form == "code"
    pending = shop.charge(1, "9001")
    assert isinstance(pending, Pending) and pending.next_action is not None
    assert pending.next_action.type is ActionType.AWAIT_PASSWORD
    assert isinstance(shop.ask(1), Pending)
    shop.pull("type_password", out_trade_no=key(1))
    assert isinstance(shop.ask(1), Done)


def test_a_password_that_is_refused_fails_the_payment(shop: Shop) -> None:
    shop.charge(1, "9001")
    shop.pull("refuse_password", out_trade_no=key(1))
    failed = shop.ask(1)
    assert isinstance(failed, Declined) and failed.code == "PAYERROR"


@pytest.mark.parametrize("paid", [True, False])
def test_a_system_error_is_settled_by_asking(shop: Shop, paid: bool) -> None:
    with pytest.raises(OutcomeUnknown):
        shop.charge(1, "9014" if paid else "9015")
    assert isinstance(shop.ask(1), Done if paid else Pending)


def test_a_charge_that_is_already_known_is_looked_up(shop: Shop) -> None:
    first, again = shop.charge(1), shop.charge(1)  # another code, the same key: the money was taken before
    assert isinstance(first, Done) and isinstance(again, Done) and again.replayed and again.ref == first.ref
    shop.reverse(2, original=1)
    closed = shop.charge(1)
    assert isinstance(closed, Declined) and closed.reason is DeclineReason.CLOSED
    assert shop.money()["net"] == 0


def test_a_second_attempt_looks_before_it_sends(shop: Shop) -> None:
    shop.charge(1)
    again = shop.adapter.payment_charge(shop.request(), call(key(1), attempt=2))
    assert isinstance(again, Done) and again.replayed and shop.sim.requests["codepay"] == 1


@pytest.mark.parametrize(
    "change",
    [{"amount": 0}, {"amount": 10_000_000_001}, {"currency": "USD"}, {"method": Method.BANK_CARD}, {"auth_code": None}],
)
def test_what_the_channel_cannot_is_refused_before_a_byte_is_sent(shop: Shop, change: dict[str, object]) -> None:
    fields = {name: getattr(shop.request(), name) for name in Charge.__dataclass_fields__}
    with pytest.raises(NotSupported):
        shop.adapter.payment_charge(Charge(**(fields | change)), call(key(1)))
    with pytest.raises(NotSent):
        shop.charge(1, seconds=-1)
    foreign = shop.adapter.payment_charge(shop.request(code="281234567890123456"), call(key(1)))
    assert isinstance(foreign, Declined) and foreign.reason is DeclineReason.CODE_INVALID
    assert not shop.sim.requests


# -- a shown code ----------------------------------------------------------------------------------------------------


def test_a_shown_code_is_scanned_and_paid(shop: Shop) -> None:
    shown = shop.show(1)
    assert isinstance(shown, Pending) and shown.next_action is not None
    assert shown.next_action.type is ActionType.SHOW_QR
    assert shown.facts["qr_code"].startswith("weixin://wxpay/bizpayurl")
    still = shop.ask(1, amount=500, facts=shown.facts)
    assert isinstance(still, Pending) and still.next_action == shown.next_action
    shop.pull("scan", code_url=shown.facts["qr_code"])
    assert isinstance(shop.ask(1, amount=500), Done)


def test_a_shown_code_is_closed_only_after_five_minutes(shop: Shop) -> None:
    """The channel refuses to close a young order: until then the reverse is pending, and nothing is sent in vain."""
    shop.show(1)
    early = shop.reverse(2, original=1)
    assert isinstance(early, Pending) and datetime.fromisoformat(early.facts["closable_from"]) > shop.clock()
    assert isinstance(shop.ask_reverse(2, 1), Pending) and shop.sim.requests["close"] == 0
    shop.later(299)
    assert isinstance(shop.reverse(2, original=1, attempt=2), Pending)
    shop.later(301)
    shop.pull("ripen", out_trade_no=key(1))
    closed = shop.reverse(2, original=1, attempt=2)
    assert isinstance(closed, Done) and closed.facts["action"] == "close"
    assert isinstance(shop.ask(1), Declined)


def test_a_young_order_is_closed_by_its_own_end_or_by_us(shop: Shop) -> None:
    shop.adapter = shop.build(wait_minutes=30)
    shop.show(1)
    shop.later(400)
    closed = shop.reverse(2, original=1)
    assert isinstance(closed, Done) and closed.facts["action"] == "close" and shop.sim.requests["close"] == 1
    assert shop.order(1)["state"] == "CLOSED"


def test_a_shown_code_that_was_paid_meanwhile_is_given_back_once(shop: Shop) -> None:
    shop.show(1)
    shop.pull("scan", out_trade_no=key(1))
    first = shop.reverse(2, original=1)
    again = shop.reverse(3, original=1, attempt=2)
    assert isinstance(first, Done) and isinstance(again, Done) and first.facts["action"] == "refund"
    assert shop.money() == {"received": 500, "refunded": 500, "net": 0, "fees": 0}
    assert isinstance(shop.ask(1, amount=500), Declined) and len(shop.sim.books()["refunds"]) == 1


def test_a_shown_code_needs_a_notify_url_and_says_so(shop: Shop) -> None:
    shop.adapter = shop.build(notify_url=None)
    with pytest.raises(Misconfigured, match="notify_url"):
        shop.show(1)
    assert not shop.sim.requests


# -- undo --------------------------------------------------------------------------------------------------------------


def test_a_reverse_gives_a_paid_order_back_and_says_so(shop: Shop) -> None:
    shop.charge(1)
    for attempt in (1, 2):
        done = shop.reverse(2, original=1, attempt=attempt)
        assert isinstance(done, Done) and done.facts["action"] == "refund"
    assert shop.money()["net"] == 0 and isinstance(shop.ask_reverse(2, 1), Done)
    told = shop.ask(1)
    assert isinstance(told, Declined) and told.code == "REVOKED" and "given back" in told.message


def test_the_reverse_of_a_charge_that_never_came(shop: Shop) -> None:
    """Done as far as the channel tells; it has no tombstone, and the traits do not claim one."""
    done = shop.reverse(2, original=1)
    assert isinstance(done, Done) and done.facts == {"action": "close", "existed": False}
    assert shop.ask(1) == NotFound(final=False)
    assert not shop.adapter.traits["payment_reverse"].tombstone


def test_a_reverse_that_comes_too_early_is_unknown_and_comes_again(shop: Shop) -> None:
    shop.charge(1)
    shop.once("too_early", "reverse")
    with pytest.raises(OutcomeUnknown, match="REVERSE_TOO_EARLY"):
        shop.reverse(2, original=1)
    assert shop.ask_reverse(2, 1) == NotFound(final=False)
    assert isinstance(shop.reverse(2, original=1, attempt=2), Done) and shop.money()["net"] == 0


def test_a_reverse_is_not_believed_without_the_query(shop: Shop) -> None:
    shop.charge(1)
    shop.once("reverse_again", "reverse")
    with pytest.raises(OutcomeUnknown, match="not closed"):
        shop.reverse(2, original=1)


def test_after_seven_days_only_a_refund_is_left(shop: Shop) -> None:
    shop.charge(1)
    shop.later(8 * 86_400)
    late = shop.reverse(2, original=1)
    assert isinstance(late, Declined) and late.reason is DeclineReason.TOO_LATE
    assert isinstance(shop.refund(3, 1, 1200), Done | Pending) and shop.money()["net"] == 0


def test_a_refund_is_accepted_then_done_and_only_once(shop: Shop) -> None:
    shop.charge(1)
    accepted = shop.refund(2, 1, 500)
    assert isinstance(accepted, Pending)
    done, again = shop.ask_refund(2, 1, 500), shop.refund(2, 1, 500)
    assert isinstance(done, Done) and done.amount == 500 and isinstance(again, Done)
    rest = shop.refund(3, 1, 700)
    assert isinstance(rest, Pending) and shop.money()["refunded"] == 1200


def test_part_of_an_order_given_back_leaves_it_paid_all_of_it_closes_it(shop: Shop) -> None:
    """The channel says REFUND to both, and never how much."""
    shop.charge(1)
    shop.refund(2, 1, 500)
    assert isinstance(shop.ask(1), Done)
    shop.refund(3, 1, 700)
    assert isinstance(shop.ask(1), Declined)


def test_a_refund_that_the_customers_account_cannot_take_stays_open(shop: Shop) -> None:
    shop.charge(1, "9019")
    shop.refund(2, 1, 500)
    stuck = shop.ask_refund(2, 1, 500)
    assert isinstance(stuck, Pending) and stuck.facts["status"] == "ABNORMAL" and "merchant platform" in str(stuck)
    shop.pull("settle_refund", out_refund_no=key(2))
    assert isinstance(shop.ask_refund(2, 1, 500), Done)


def test_a_refund_that_failed_is_a_decline_and_the_money_is_ours(shop: Shop) -> None:
    shop.charge(1, "9020")
    shop.refund(2, 1, 500)
    failed = shop.ask_refund(2, 1, 500)
    assert isinstance(failed, Declined) and failed.reason is DeclineReason.NOT_REFUNDABLE
    assert shop.money()["net"] == 1200 and isinstance(shop.ask(1), Done)


def test_refunds_that_are_refused(shop: Shop) -> None:
    shop.charge(1)
    assert isinstance(shop.refund(2, 1, 1201), Declined)
    never = shop.refund(3, 9, 100)
    assert isinstance(never, Declined) and never.reason is DeclineReason.NOT_FOUND
    shop.pull("set_balance", amount=0)
    poor = shop.refund(4, 1, 500)
    assert isinstance(poor, Declined) and poor.reason is DeclineReason.INSUFFICIENT_FUNDS
    shop.pull("set_balance", amount=100_000)
    assert isinstance(shop.refund(2, 1, 500), Pending)


def test_the_fifty_first_refund_is_refused(shop: Shop) -> None:
    shop.charge(1)
    for number in range(2, 52):
        shop.sim.orders.refund(key(1), key(number), 1, 1200, "", "")
    assert isinstance(shop.refund(52, 1, 1), Declined) and shop.money()["refunded"] == 50


# -- the bill, settings, secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["27", "24"])
def test_the_bill_agrees_with_what_we_did(shop: Shop, columns: str) -> None:
    shop.sim.bills._columns = shop.sim.bills._columns[: int(columns)]
    shop.charge(1)
    shop.charge(2)
    shop.charge(3, "9011")
    shop.refund(4, 1, 500)
    shop.ask_refund(4, 1, 500)
    shop.reverse(5, original=2)
    told = sorted((row.kind, row.key, row.amount, row.status) for row in rows(shop))
    assert told == [
        ("charge", key(1), 1200, "SUCCESS"),
        ("charge", key(2), 1200, "SUCCESS"),
        ("refund", key(2), -1200, "REVERSED"),
        ("refund", key(4), -500, "SUCCESS"),
    ]
    assert sum(row.fee_amount for row in rows(shop)) == shop.money()["fees"]


def test_a_bill_that_is_not_there_or_has_another_hash(shop: Shop) -> None:
    shop.sim.bills._at_once = False
    with pytest.raises(NotSent, match="09:00"):
        rows(shop)
    shop.pull("make_bill", date=shop.clock().astimezone(CHINA).date().isoformat())
    assert rows(shop) == []
    for fault in ("wrong_hash", "half_body", "garbage"):
        shop.once(fault, "*" if fault == "wrong_hash" else "bill.download")
        with pytest.raises(OutcomeUnknown):
            rows(shop)


def test_check_says_which_setting_is_wrong(shop: Shop) -> None:
    shop.adapter.check()
    for wrong, named in (({"mchid": "1900000001"}, "mchid"), ({"serial_no": "AB" * 20}, "serial_no")):
        with pytest.raises(Misconfigured, match=named):
            shop.build(**wrong).check()
    (shop.folder / "other.txt").write_text("0" * 32)
    (shop.folder / "other.txt").chmod(0o600)
    with pytest.raises(Misconfigured, match="api_v3_key"):
        shop.build(api_v3_key="file:other.txt").check()
    shop.faults(Fault("stale_signature"))
    with pytest.raises(Misconfigured, match="clock"):
        shop.adapter.check()


@pytest.mark.parametrize(
    "wrong",
    [
        {"mchid": "abc"},
        {"appid": "8888"},
        {"serial_no": "xyz"},
        {"endpoint": "http://pay.example.com"},
        {"api_v3_key": "file:private_key.pem"},
        {"private_key": "file:api_v3_key.txt"},
        {"wait_minutes": 4},
        {"public_key_id": "PUB_KEY_ID_01"},
    ],
)
def test_settings_are_refused_by_their_path(shop: Shop, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refused:
        shop.build(**wrong)
    assert next(iter(wrong)) in refused.value.messages_dict


def test_no_code_and_no_key_is_kept_or_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code = shop.code("9014")
    with pytest.raises(OutcomeUnknown) as unknown:
        shop.adapter.payment_charge(shop.request(code=code), call(key(1)))
    store = shop.adapter.context.store
    kept = [str(store.get(name)) for name in store.keys("")]
    everything = " ".join([caplog.text, str(unknown.value), *kept, str(shop.sim.books())])
    assert code not in everything and shop.sim.who.api_v3_key.decode() not in everything


# -- keys --------------------------------------------------------------------------------------------------------------


def test_an_exchange_of_keys_in_the_middle_loses_no_outcome(shop: Shop) -> None:
    """The charge's answer is signed with a key that we have never seen: it is fetched, and the answer believed."""
    shop.charge(1)
    shop.once("rotate", "codepay")
    assert isinstance(shop.charge(2), Done) and shop.money()["received"] == 2400
    fetched = shop.sim.requests["certificates"]
    assert isinstance(shop.charge(3), Done) and shop.sim.requests["certificates"] == fetched


def test_a_key_that_cannot_be_fetched_leaves_the_outcome_unknown(shop: Shop) -> None:
    shop.charge(1)
    shop.faults(Fault("rotate", match="codepay", times=1), Fault("error", match="certificates", times=1))
    with pytest.raises(OutcomeUnknown):
        shop.charge(2)
    assert isinstance(shop.ask(2), Done)


def test_the_public_key_serves_where_a_merchant_has_one(shop: Shop) -> None:
    shop.adapter = shop.build(public_key_id=shop.sim.who.public_key_id, public_key="file:public_key.pem")
    assert isinstance(shop.charge(1), Done) and shop.sim.requests["certificates"] == 0
    shop.adapter.check()


def test_a_foreign_certificate_is_not_believed(shop: Shop) -> None:
    """Certificates count only if our own APIv3 key opens them and they fit their reply."""
    shop.once("bad_signature", "certificates")
    with pytest.raises(InvalidReply):
        shop.adapter._client.certificates(timeout=2)
    assert not shop.adapter.context.store.get("certificates")
