"""Against a real Tryton: coupons' numbers and gift cards, which its own users can spend twice."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial

import pytest
import requests

from gateway.sdk import CouponKind, CouponLookup, Declined, DeclineReason, Done
from plugins.tryton.adapter import TrytonAdapter
from plugins.tryton.real.desk import Desk
from plugins.tryton.real.server import TrytonServer
from tests.plugins.tryton.support import asked, at_once, call, key, restored, use, used


def carriers(desk: Desk, code: str) -> list[str]:
    rows = desk.rows("sale.sale", [["coupons.number", "=", code]], "state")
    return [row["state"] for row in rows]


def balance(adapter: TrytonAdapter, code: str) -> int:
    found = adapter.coupon_find(CouponLookup(code=code))
    assert found is not None
    return found.balance_amount


def new_card(desk: Desk, value: str) -> str:
    number = f"G{key()[:10]}"
    desk.gift_card(number, int(value) * 100)
    return number


def new_code(desk: Desk) -> str:
    number = f"C{key()[:10]}"
    desk.coupon(number)
    return number


def draft(desk: Desk) -> int:
    party = desk.rows("party.party", [["code", "=", "WALKIN"]], "addresses")[0]
    return desk.create(
        "sale.sale",
        party=party["id"],
        invoice_address=party["addresses"][0],
        currency=desk.rows("currency.currency", [["code", "=", "CNY"]], "code")[0]["id"],
    )


# ---- what Tryton does, which nothing of its documentation says


def test_tryton_itself_lets_two_sales_use_one_code(desk: Desk) -> None:
    """Why every taking of a code is made conditional here. If this fails, Tryton has learnt it."""
    code = new_code(desk)
    number = desk.rows("sale.promotion.coupon.number", [["number", "=", code]], "number")[0]["id"]
    for _ in range(2):
        desk("sale.sale.write", [draft(desk)], {"coupons": [["add", [number]]]})
    assert carriers(desk, code) == ["draft", "draft"]


def test_tryton_itself_gives_a_card_to_the_last_sale_that_asks(desk: Desk) -> None:
    """Why a card is taken off a sale only by the one that put it there."""
    number = new_card(desk, "10")
    card = desk.rows("sale.gift_card", [["number", "=", number]], "value")[0]["id"]
    first, second = draft(desk), draft(desk)
    for sale in (first, second):
        desk("sale.sale.write", [sale], {"gift_cards": [["add", [card]]]})
    assert desk.rows("sale.gift_card", [["id", "=", card]], "spent_on")[0]["spent_on"] == f"sale.sale,{second}"


def test_tryton_itself_keeps_a_card_spent_on_a_cancelled_sale(desk: Desk) -> None:
    """Why cards are taken off before a sale is cancelled: else the customer's money is lost."""
    number = new_card(desk, "10")
    card = desk.rows("sale.gift_card", [["number", "=", number]], "value")[0]["id"]
    sale = draft(desk)
    desk("sale.sale.write", [sale], {"gift_cards": [["add", [card]]]})
    desk("sale.sale.cancel", [sale])
    assert desk.rows("sale.gift_card", [["id", "=", card]], "spent_on")[0]["spent_on"] == f"sale.sale,{sale}"


def test_tryton_itself_ignores_a_condition_over_rest_and_keeps_it_over_json_rpc(
    desk: Desk, server: TrytonServer
) -> None:
    """Why the adapter speaks JSON-RPC: over REST two checkouts that read the same card would both write it."""
    admin = desk.rows("res.user", [["login", "=", "admin"]], "login")[0]["id"]
    made = desk.create("res.user.application", application="rest", user=admin)
    bearer = desk.rows("res.user.application", [["id", "=", made]], "key")[0]["key"]
    number = new_card(desk, "10")
    card = desk.rows("sale.gift_card", [["number", "=", number]], "_timestamp")[0]
    desk("sale.gift_card.write", [card["id"]], {"value": Decimal(11)})
    stamp = {f"sale.gift_card,{card['id']}": card["_timestamp"]}
    with pytest.raises(RuntimeError, match="ConcurrencyException"):
        desk("sale.gift_card.write", [card["id"]], {"value": Decimal(12)}, _timestamp=stamp)
    context = urlsafe_b64encode(json.dumps({"company": 1, "_timestamp": stamp}).encode()).decode()
    reply = requests.put(
        f"{server.url}/{server.database}/rest/model/sale.gift_card/{card['id']}",
        json={"value": {"__class__": "Decimal", "decimal": "13"}},
        headers={"Authorization": f"Bearer {bearer}", "X-Tryton-Context": context},
        timeout=20,
    )
    assert reply.status_code == 200, reply.text[:200]
    assert desk.rows("sale.gift_card", [["id", "=", card["id"]]], "value")[0]["value"] == 13


def test_tryton_itself_calls_a_number_active_that_begins_next_year(adapter: TrytonAdapter, desk: Desk) -> None:
    """Why its first day is looked at here, and its promotion's days."""
    number = f"C{key()[:10]}"
    desk.coupon(number, start_date=date(2090, 1, 1))
    assert desk.rows("sale.promotion.coupon.number", [["number", "=", number]], "active")[0]["active"]
    found = adapter.coupon_find(CouponLookup(code=number))
    assert found is not None
    assert not found.usable
    answer = adapter.coupon_reserve(use(number, 100), call())
    assert isinstance(answer, Declined)
    assert answer.reason is DeclineReason.COUPON_NOT_APPLICABLE


# ---- what the adapter makes of it


def test_a_code_is_held_used_and_given_back(adapter: TrytonAdapter, desk: Desk) -> None:
    """The coupon of a refunded sale must be usable again, and of a running one not."""
    code, name = new_code(desk), key()
    found = adapter.coupon_find(CouponLookup(code=code))
    assert found is not None
    assert (found.kind, found.terms["rate_bp"], found.usable) == (CouponKind.PERCENT, 9000, True)
    assert isinstance(adapter.coupon_reserve(use(code, 100), call(name)), Done)
    held = adapter.coupon_find(CouponLookup(code=code))
    assert held is not None
    assert (held.counts.held, held.counts.available, held.usable) == (1, 0, False)
    assert isinstance(adapter.coupon_confirm(used(name, code, 100), call()), Done)
    assert carriers(desk, code) == ["quotation"]
    late = adapter.coupon_cancel(used(name, code, 100), call())
    assert isinstance(late, Declined)
    assert isinstance(adapter.coupon_restore(restored(name, code, 100), call()), Done)
    again = adapter.coupon_find(CouponLookup(code=code))
    assert again is not None
    assert again.usable


def test_a_second_use_of_a_used_code_is_refused(adapter: TrytonAdapter, desk: Desk) -> None:
    """One code, one use."""
    code = new_code(desk)
    assert isinstance(adapter.coupon_reserve(use(code, 100), call()), Done)
    answer = adapter.coupon_reserve(use(code, 100), call())
    assert isinstance(answer, Declined)
    assert answer.reason is DeclineReason.COUPON_EXHAUSTED
    assert carriers(desk, code) == ["draft"]


def test_of_two_checkouts_with_one_code_exactly_one_gets_it(rebuild: Callable[..., TrytonAdapter], desk: Desk) -> None:
    """Two processes of the gateway, one code, the same moment."""
    first, second = rebuild(), rebuild()
    for _ in range(5):
        code = new_code(desk)
        answers = at_once(
            partial(first.coupon_reserve, use(code, 100), call()),
            partial(second.coupon_reserve, use(code, 100), call()),
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Declined", "Done"], answers
        assert carriers(desk, code) == ["draft"]


def test_of_two_checkouts_with_one_card_exactly_one_gets_it(rebuild: Callable[..., TrytonAdapter], desk: Desk) -> None:
    """The card's money is there once."""
    first, second = rebuild(), rebuild()
    for _ in range(5):
        card = new_card(desk, "50")
        answers = at_once(
            partial(first.coupon_reserve, use(card, 5000), call()),
            partial(second.coupon_reserve, use(card, 5000), call()),
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Declined", "Done"], answers


def test_what_is_left_on_a_card_stays_under_its_number(adapter: TrytonAdapter, desk: Desk) -> None:
    """Tryton spends whole cards only: the rest must not be lost, nor appear twice after a repeat."""
    card, name = new_card(desk, "100"), key()
    assert isinstance(adapter.coupon_reserve(use(card, 3000), call(name)), Done)
    assert balance(adapter, card) == 0
    for attempt in (1, 2):
        done = adapter.coupon_confirm(used(name, card, 3000), call(attempt=attempt))
        assert isinstance(done, Done)
        assert done.amount == 3000
    assert balance(adapter, card) == 7000
    back = key()
    for attempt in (1, 2):
        answer = adapter.coupon_restore(restored(name, card, 1000), call(back, attempt=attempt))
        assert isinstance(answer, Done)
    assert balance(adapter, card) == 8000
    open_cards = desk.rows("sale.gift_card", [["number", "=", card], ["spent_on", "=", None]], "value")
    assert [row["value"] for row in open_cards] == [Decimal(80)]


def test_a_card_that_was_held_is_whole_again_after_the_hold(adapter: TrytonAdapter, desk: Desk) -> None:
    """A checkout that is cancelled costs the customer nothing."""
    card, name = new_card(desk, "100"), key()
    adapter.coupon_reserve(use(card, 3000), call(name))
    assert isinstance(adapter.coupon_query(asked("coupon_reserve", name, use(card, 3000))), Done)
    assert isinstance(adapter.coupon_cancel(used(name, card, 3000), call()), Done)
    assert balance(adapter, card) == 10_000
    too_much = adapter.coupon_reserve(use(card, 10_001), call())
    assert isinstance(too_much, Declined)
    assert too_much.reason is DeclineReason.INSUFFICIENT_VALUE


def test_a_code_that_is_not_there_is_unknown(adapter: TrytonAdapter) -> None:
    """An answer, and no trouble."""
    assert adapter.coupon_find(CouponLookup(code="NOSUCH")) is None
    answer = adapter.coupon_reserve(use("NOSUCH", 100), call())
    assert isinstance(answer, Declined)
    assert answer.reason is DeclineReason.COUPON_UNKNOWN


def test_a_code_whose_effect_nobody_can_tell_is_not_offered(adapter: TrytonAdapter) -> None:
    """A formula of Tryton's that the gateway can't price needs its terms in the settings."""
    twenty = adapter.coupon_find(CouponLookup(code="TWENTY1"))
    assert twenty is not None
    assert (twenty.kind, twenty.terms, twenty.usable) == (CouponKind.CASH, {"off_amount": 2000}, True)
