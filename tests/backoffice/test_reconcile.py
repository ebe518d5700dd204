"""Reconciliation with a real wallet and the house's books: what agrees is said so, every difference has its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from gateway.backoffice.report import print_reconciliation
from gateway.backoffice.result import Class
from gateway.engine.problems import Problem
from gateway.engine.service import Engine
from gateway.sdk.simulator import Fault
from gateway.testing.postgres import PostgresServer
from plugins.alipay.simulator_ledger import Trade
from tests.backoffice.conftest import (
    FOREIGN_KEY,
    charge_behind_our_back,
    classes,
    ledger,
    reconciled,
    today,
    wallet_result,
    wallet_result_when_up,
)
from tests.engine.conftest import everything
from tests.engine.kit import House

WALLET = 17_996


def paid(shop: House, order_no: str = "O1", code: str = "281234567890123456") -> dict[str, object]:
    reply, body = shop.checkout(everything(order_no, code))
    assert reply.status == 201, body
    return body


def plain(order_no: str, code: str) -> dict[str, object]:
    """One article, paid with the wallet."""
    return {
        "store_id": "s1",
        "order_no": order_no,
        "lines": [{"line_id": "A", "sku": "A", "quantity": "1"}],
        "tenders": [{"method": "payment_code", "auth_code": code}],
    }


def test_after_checkouts_and_refunds_every_book_agrees(shop: House) -> None:
    body = paid(shop)
    shop.refunds.create(shop.asked(), str(body["id"]), {"lines": [{"line_id": "B", "quantity": "1"}]})
    shop.checkout(plain("O2", "281234567890123457"))
    shop.refunds.create(shop.asked(), str(body["id"]), {})
    results = reconciled(shop)
    assert set(results) == {
        "house/points_statement",
        "house/value_statement",
        "house/coupon_statement",
        "house/order_statement",
        "alipay/payment_statement",
    }
    for name, result in results.items():
        assert result.reconciled, (name, result.to_json())
        assert result.our_amount == result.their_amount
        assert classes(result) == {Class.MATCHED: result.operations}
    wallet = results["alipay/payment_statement"]
    assert (wallet.operations, wallet.our_amount) == (4, 12_800)
    assert wallet.our_amount == shop.books("alipay")["money"]["net"]
    assert wallet.fee_amount == shop.books("alipay")["money"]["fees"] == 77
    assert results["house/order_statement"].our_amount == 12_800


def test_checkouts_that_failed_or_were_given_up_leave_nothing_to_explain(shop: House) -> None:
    shop.checkout(everything("O1", "281234567890129011"))  # declined
    split = {**everything("O2"), "on_decline": "await_tender"}
    split["tenders"] = [{"method": "payment_code", "auth_code": "281234567890123456", "amount": 10_000}]
    _, body = shop.checkout(split)
    shop.checkouts.cancel(shop.asked(), body["id"])  # the first payer's money goes back
    results = reconciled(shop)
    assert all(result.reconciled for result in results.values())
    wallet = results["alipay/payment_statement"]
    assert (wallet.rows, wallet.their_amount, classes(wallet)) == (2, 0, {Class.MATCHED: 1})


def test_a_bill_that_is_not_there_yet_is_not_reconciled(make_shop: Callable[..., House]) -> None:
    shop = make_shop(bill_ready="next_day")
    paid(shop)
    result = wallet_result(shop)
    assert not result.reconciled
    assert "there is no bill" in result.unavailable
    assert result.operations == 1 and result.our_amount > 0, "it says how much is waiting for that bill"
    shop.running["alipay"].simulator.control({"do": "make_bill", "date": today(shop).isoformat()})
    assert wallet_result(shop).reconciled


def test_a_charge_made_behind_our_back(shop: House) -> None:
    paid(shop)
    charge_behind_our_back(shop, 4_200)
    result = wallet_result(shop)
    assert classes(result) == {Class.MATCHED: 1, Class.MISSING_AT_OURS: 1}
    (found,) = result.differences
    assert (found.cls, found.key, found.ours, found.theirs) == (Class.MISSING_AT_OURS, FOREIGN_KEY, 0, 4_200)
    assert result.their_amount - result.our_amount == 4_200


def test_a_refund_made_behind_our_back(shop: House) -> None:
    """A shop gives money back in the wallet's own back office: the charge stands, and a row of nobody's."""
    body = paid(shop)
    trade = ledger(shop).all(Trade)[0]
    connection = shop.runtime.connection("m1", "alipay")
    from gateway.domain.call import Call
    from gateway.domain.common import Original, Site
    from gateway.domain.payments import PaymentRefund

    request = PaymentRefund(
        original=Original(key=trade.out_trade_no, ref=trade.trade_no),
        amount=1_000,
        charged_amount=WALLET,
        currency="CNY",
        reason="",
        site=Site(store_id="s1", business_date=today(shop)),
    )
    until = shop.engine.now() + timedelta(seconds=5)
    connection.change("payment_refund", request, Call(key=FOREIGN_KEY, deadline=until))
    result = wallet_result(shop)
    assert classes(result) == {Class.MATCHED: 1, Class.MISSING_AT_OURS: 1}
    assert result.differences[0].theirs == -1_000
    assert body["status"] == "completed"


def test_a_wrong_amount(shop: House) -> None:
    body = paid(shop)
    (trade,) = ledger(shop).all(Trade)
    trade.total, trade.receipt = 18_996, 18_996
    ledger(shop).save(trade)
    result = wallet_result(shop)
    assert classes(result) == {Class.AMOUNT_MISMATCH: 1}
    (found,) = result.differences
    assert (found.ours, found.theirs, found.order_no) == (WALLET, 18_996, "O1")
    assert found.saga_id == body["id"]


def test_a_fee_that_was_not_agreed_on(make_shop: Callable[..., House]) -> None:
    shop = make_shop(fee_bp="80")
    paid(shop)
    result = wallet_result(shop)
    assert classes(result) == {Class.FEE_MISMATCH: 1}
    (found,) = result.differences
    assert (found.ours, found.theirs) == (108, 144)  # 0.60 % and 0.80 % of 179.96, half up
    assert result.our_amount == result.their_amount == WALLET


def test_a_row_that_is_missing(shop: House) -> None:
    paid(shop)
    (trade,) = ledger(shop).all(Trade)
    trade.paid_at = 0
    ledger(shop).save(trade)
    result = wallet_result(shop)
    assert classes(result) == {Class.MISSING_IN_BILL: 1}
    assert (result.differences[0].key, result.differences[0].ours) == (trade.out_trade_no, WALLET)


def test_a_row_that_stands_there_twice(shop: House) -> None:
    paid(shop)
    shop.database.tx(
        lambda tx: tx.execute(
            "INSERT INTO house_ledger SELECT key, merchant, hook, account || '/again', amount, detail, original,"
            " business_date, at FROM house_ledger WHERE hook = 'points_earn'"
        )
    )
    result = reconciled(shop)["house/points_statement"]
    assert classes(result) == {Class.MATCHED: 1, Class.DUPLICATE_IN_BILL: 1}
    (found,) = result.differences
    assert (found.ours, found.theirs) == (229, 458)


def test_what_the_house_lost_is_missing_in_each_of_its_books(shop: House) -> None:
    paid(shop)
    lost = "hook IN ('points_confirm', 'value_confirm', 'coupon_confirm', 'order_post')"
    shop.database.tx(lambda tx: tx.execute(f"DELETE FROM house_ledger WHERE {lost}"))
    results = reconciled(shop)
    assert classes(results["house/points_statement"]) == {Class.MATCHED: 1, Class.MISSING_IN_BILL: 1}
    assert results["house/points_statement"].differences[0].ours == -500
    assert results["house/value_statement"].differences[0].ours == -5_000
    assert results["house/coupon_statement"].differences[0].ours == 3_000
    assert results["house/order_statement"].differences[0].ours == 22_996


def test_a_tender_too_many_in_the_till(shop: House) -> None:
    paid(shop)
    shop.database.tx(
        lambda tx: tx.execute(
            "INSERT INTO house_ledger SELECT key, merchant, hook, 'O1/t9', 700, detail, original, business_date, at"
            " FROM house_ledger WHERE hook = 'order_post' AND account = 'O1/t1'"
        )
    )
    result = reconciled(shop)["house/order_statement"]
    assert classes(result) == {Class.AMOUNT_MISMATCH: 1}
    assert (result.differences[0].ours, result.differences[0].theirs) == (22_996, 23_696)


def test_a_bill_that_decides_before_we_did_wakes_the_recovery(shop: House) -> None:
    """The charge's answer and every query are lost; the bill shows the money, recovery asks and completes."""
    shop.fault(
        "alipay",
        Fault("drop_after", "alipay.trade.pay"),
        Fault("drop_before", "alipay.trade.query"),
        Fault("drop_before", "alipay.trade.cancel"),
    )
    set_inline(shop.engine, 300)
    reply, body = shop.checkout(everything("O1"))
    assert (reply.status, body["status"]) == (202, "resolving")
    shop.database.tx(lambda tx: tx.execute("UPDATE sagas SET due_at = due_at + 3600000, lease_until = 0"))
    shop.database.tx(lambda tx: tx.execute("UPDATE ops SET next_at = next_at + 3600000"))
    result = wallet_result_when_up(shop)
    assert classes(result) == {Class.STATUS_RESOLVED: 1}
    assert (result.differences[0].theirs, result.differences[0].order_no) == (WALLET, "O1")
    unchanged = shop.checkouts.get("m1", body["id"])
    assert unchanged["status"] == "resolving", "the bill is evidence; the adapter's query is the judge"
    shop.fault("alipay")
    shop.settle(50)
    assert shop.checkouts.get("m1", body["id"])["status"] == "completed"
    assert wallet_result(shop).reconciled


def set_inline(engine: Engine, milliseconds: int) -> None:
    from dataclasses import replace

    engine.timing = replace(engine.timing, inline=milliseconds)


def test_an_undecided_charge_that_the_bill_does_not_have_is_waited_for(shop: House) -> None:
    shop.fault("alipay", Fault("drop_before", "alipay.trade.pay"), Fault("drop_before", "alipay.trade.query"))
    set_inline(shop.engine, 300)
    _, body = shop.checkout(everything("O1"))
    assert body["status"] == "resolving"
    result = wallet_result_when_up(shop)
    assert (result.differences, len(result.pending), result.reconciled) == ([], 1, False)


def test_a_run_is_kept_and_told(shop: House) -> None:
    paid(shop)
    charge_behind_our_back(shop, 4_200)
    results = reconciled(shop)
    rows = shop.database.read(lambda tx: tx.all("SELECT * FROM reconciliations ORDER BY id"))
    assert len(rows) == len(results) == 5
    kept = {f"{row['connection']}/{row['family']}": row for row in rows}
    wallet = kept["alipay/payment_statement"]
    assert wallet["closed"] == 0
    assert json.loads(wallet["differences"])[0]["class"] == "MISSING_AT_OURS"
    assert json.loads(wallet["counts"])["counts"]["MATCHED"] == 1
    assert all(row["closed"] for name, row in kept.items() if name != "alipay/payment_statement")
    told = shop.database.read(lambda tx: tx.all("SELECT * FROM events WHERE type = 'reconciliation.closed'"))
    assert len(told) == 4, "a book that differs is not closed"


def test_another_day_has_nothing(shop: House) -> None:
    paid(shop)
    for result in reconciled(shop, today(shop) - timedelta(days=3)).values():
        assert (result.operations, result.rows, result.differences) == (0, 0, [])


def test_a_sale_booked_under_yesterday_is_found_in_the_wallets_bill_of_today(shop: House) -> None:
    """A business day and a wallet's natural day differ: the other day's bill is read before anything is missing."""
    yesterday = today(shop) - timedelta(days=1)
    reply, _ = shop.checkout({**everything("O1"), "business_date": yesterday.isoformat()})
    assert reply.status == 201
    before, after = reconciled(shop, yesterday), reconciled(shop)
    assert all(result.reconciled for result in (*before.values(), *after.values()))
    assert before["alipay/payment_statement"].operations == 0
    assert after["alipay/payment_statement"].our_amount == WALLET
    assert before["house/order_statement"].our_amount == 22_996
    assert after["house/order_statement"].operations == 0


def test_a_merchant_that_is_not_there(shop: House) -> None:
    from gateway.backoffice.reconcile import reconcile_day

    with pytest.raises(Problem) as refused:
        reconcile_day(shop.engine, "nobody", today(shop))
    assert refused.value.slug == "not-found"


def test_the_report_names_every_difference(shop: House) -> None:
    paid(shop)
    charge_behind_our_back(shop, 4_200)
    lines: list[str] = []
    print_reconciliation(reconciled(shop).values(), lines.append)
    text = "\n".join(lines)
    assert "MISSING_AT_OURS 1" in text
    assert "42.00" in text
    assert text.count("✓") == 4
    json.dumps([result.to_json() for result in reconciled(shop).values()])


@pytest.mark.postgres
def test_the_same_on_postgresql(make_shop: Callable[..., House]) -> None:
    with PostgresServer() as server:
        shop = make_shop(url=server.new_database())
        paid(shop)
        charge_behind_our_back(shop, 4_200)
        results = reconciled(shop)
        assert classes(results.pop("alipay/payment_statement")) == {Class.MATCHED: 1, Class.MISSING_AT_OURS: 1}
        assert all(result.reconciled for result in results.values())
