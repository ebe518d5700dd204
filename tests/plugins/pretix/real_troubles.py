"""What the real system lets happen that it should not, and what comes of it through the adapter.

Each quirk is shown at the system itself first: where a new version mends it, that test says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.sdk import AdapterError, Declined, DeclineReason, Done, NotFound, OutcomeUnknown
from plugins.pretix.cinema import Api, Cinema
from plugins.pretix.ground import Pretix
from plugins.pretix.protocol import order_code
from tests.plugins.pretix.kit import House, asked, call, key, line, sale, use, used


def together(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Let several act at once; what they raise is given back."""

    def one(number: int) -> Any:
        try:
            return act(number)
        except AdapterError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def another(api: Api) -> Api:
    """A client with a connection of its own."""
    return Api(api.base, api.token)


def redemption(cinema: Cinema, code: str, voucher: str, cart: str) -> dict[str, Any]:
    at = {"item": cinema.redemption, "variation": None, "subevent": cinema.redemption_date, "price": "0.00"}
    return {
        "code": code, "status": "p", "email": None, "locale": "en", "send_email": False, "consume_carts": [cart],
        "positions": [{**at, "voucher": voucher, "answers": []}],
    }  # fmt: skip


# -------------------------------------------------------------- quirks


def test_quirk_a_filter_that_is_not_known_is_ignored(house: House, cinema: Cinema) -> None:
    """A reader that trusts the filter takes anybody's cart, or anybody's customer, for the one asked for."""
    made = key()
    house.adapter.stock_reserve(house.reserve("seven"), call(made))
    found = cinema.api.get(cinema.path("cartpositions/?cart_id=nobody@api"))["results"]
    assert found, "the filter works by now"
    assert isinstance(house.adapter.stock_query(asked("stock_reserve", key(), house.reserve("seven"))), NotFound)


def test_quirk_more_is_refunded_than_was_paid_and_the_order_does_not_change(house: House, cinema: Cinema) -> None:
    order, posted = sale(line(cinema.sku("seven"), 1, 4500)), key()
    house.adapter.order_post(order, call(posted))
    path = cinema.path(f"orders/{order_code(posted)}/")
    before = cinema.api.get(path)["last_modified"]
    body = {"state": "done", "source": "admin", "amount": "500.00", "payment": 1, "provider": "manual", "comment": "x"}
    assert cinema.api.post(f"{path}refunds/", body)["amount"] == "500.00"
    assert cinema.api.get(path)["last_modified"] == before


def test_quirk_an_expired_gift_card_still_pays_and_the_adapter_refuses_it(house: House, cinema: Cinema) -> None:
    code = cinema.gift_card()
    number = cinema.api.get(f"giftcards/?secret={code}")["results"][0]["id"]
    cinema.api.patch(f"giftcards/{number}/", {"expires": "2020-01-01T00:00:00Z"})
    assert cinema.api.post(f"giftcards/{number}/transact/", {"value": "-1.00", "text": "late"})["value"] == "49.00"
    refused = house.adapter.coupon_reserve(use(code, 1000), call(key()))
    assert isinstance(refused, Declined) and refused.reason == DeclineReason.COUPON_EXPIRED
    assert cinema.balance(code) == "49.00"


def test_quirk_one_cart_serves_several_orders_and_its_voucher_too(cinema: Cinema) -> None:
    """At the system itself a voucher for one use is redeemed by several orders side by side; shown within ten tries."""
    for _ in range(10):
        code, cart = cinema.voucher(), f"{key()}@api"
        held = {"item": cinema.redemption, "variation": None, "subevent": cinema.redemption_date, "price": "0.00"}
        cinema.api.post(cinema.path("cartpositions/"), {**held, "cart_id": cart, "voucher": code})
        bodies = [redemption(cinema, order_code(key()), code, cart) for _ in range(4)]
        apis = [another(cinema.api) for _ in bodies]
        together(4, lambda n: apis[n].ask("POST", cinema.path("orders/"), bodies[n]))  # noqa: B023 - run at once
        if cinema.redeemed(code) > 1:
            return
    pytest.fail("the system redeems a voucher once by now")


# -------------------------------------------------------------- races


def test_the_last_seat_is_sold_to_one(house: House, cinema: Cinema) -> None:
    """Five checkouts want the last place: one has it, four are told so, nobody stands in front of a taken seat."""
    request = house.reserve("last")
    keys = [key() for _ in range(5)]
    answers = together(5, lambda n: house.adapter.stock_reserve(request, call(keys[n])))
    settled = [settle(house, keys[n], request) if isinstance(a, AdapterError) else a for n, a in enumerate(answers)]
    assert sum(isinstance(each, Done) for each in settled) == 1
    assert cinema.left("last") == 0


def settle(house: House, of: str, request: Any) -> Any:
    """What the engine does with an unknown hold: ask."""
    return house.adapter.stock_query(asked("stock_reserve", of, request))


def test_one_voucher_by_five_checkouts_is_redeemed_once(house: House, cinema: Cinema) -> None:
    code = cinema.voucher()
    request, keys = use(code, 1000), [key() for _ in range(5)]
    answers = together(5, lambda n: house.adapter.coupon_reserve(request, call(keys[n])))
    winners = [keys[n] for n, each in enumerate(answers) if isinstance(each, Done)]
    assert len(winners) <= 1
    for winner in winners:
        confirm = key()
        done = together(4, lambda _: house.adapter.coupon_confirm(used(request, winner), call(confirm)))  # noqa: B023
        assert any(isinstance(each, Done) for each in done)
    assert cinema.redeemed(code) == len(winners)


def test_one_gift_card_by_two_sales_pays_one(house: House, cinema: Cinema) -> None:
    code = cinema.gift_card("50.00")
    request, keys = use(code, 4000), [key() for _ in range(4)]
    answers = together(4, lambda n: house.adapter.coupon_reserve(request, call(keys[n])))
    assert sum(isinstance(each, Done) for each in answers) == 1
    assert cinema.balance(code) == "10.00"


def test_one_sale_sent_four_times_at_once_is_one_order(house: House, cinema: Cinema) -> None:
    """What a second worker, or the network, may do: the order's code is unique, also side by side."""
    order, posted = sale(line(cinema.sku("eight"), 1, 4500)), key()
    answers = together(4, lambda n: house.adapter.order_post(order, call(posted, attempt=n + 1)))
    assert any(isinstance(each, Done) for each in answers)
    assert cinema.left("eight") == 4


# -------------------------------------------------------------- kill -9


def test_killed_in_the_middle_of_a_sale_it_is_sold_once_or_not_at_all(
    pretix: Pretix, house: House, cinema: Cinema
) -> None:
    """The system dies while it works on a sale, at different moments. Asked afterwards, it was posted or it was not;
    sent again, it is there once, though the idempotency key of the died request stays locked."""
    for wait in (0.02, 0.15, 0.4):
        request, made, posted = house.reserve("nine"), key(), key()
        assert isinstance(house.adapter.stock_reserve(request, call(made)), Done)
        order = sale(line(cinema.sku("nine"), 1, 4500), order_no=request.order_no, held=made)
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(together, 1, lambda _: house.adapter.order_post(order, call(posted)))  # noqa: B023
            time.sleep(wait)
            pretix.kill()
            first = sent.result()[0]
        pretix.start()
        assert isinstance(first, Done | AdapterError)
        found = house.adapter.order_query(asked("order_post", posted, order))
        assert isinstance(found, Done) or not isinstance(first, Done)
        again = house.adapter.order_post(order, call(posted, attempt=2))
        assert isinstance(again, Done)
        assert len([row for row in cinema.orders() if row["api_meta"].get("key") == posted]) == 1
    assert cinema.left("nine") == 2


def test_a_gift_card_s_debit_whose_answer_is_lost_is_found_and_not_made_twice(
    pretix: Pretix, house: House, cinema: Cinema
) -> None:
    code, made = cinema.gift_card("50.00"), key()
    request = use(code, 2000)
    pretix.freeze(True)
    try:
        with pytest.raises(AdapterError):
            house.build(timeout_s=0.5).coupon_reserve(request, call(made))
    finally:
        pretix.freeze(False)
    time.sleep(1.0)
    again = house.adapter.coupon_reserve(request, call(made, attempt=2))
    assert isinstance(again, Done)
    assert cinema.balance(code) == "30.00"


def test_a_system_that_is_down_was_not_sent_anything(pretix: Pretix, house: House, cinema: Cinema) -> None:
    """A shop whose ticket system is off gets a refusal at once, and nothing to clear up."""
    pretix.kill()
    try:
        with pytest.raises(AdapterError) as caught:
            house.adapter.stock_reserve(house.reserve("ten"), call(key()))
        assert not isinstance(caught.value, OutcomeUnknown)
    finally:
        pretix.start()
    assert cinema.left("ten") == 5
