"""What a merchant has said about systems that are down and things that go wrong after the money: done as said."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.problems import Problem
from gateway.engine.tasks import Tasks, Word
from gateway.runtime import ConfigError
from tests.engine.branch import MEMBER, System, basket, branch
from tests.engine.kit import House

Json = dict[str, Any]


def wait_until(true: Callable[[], bool], seconds: float = 6.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def settled(house: House) -> bool:
    """Let recovery work a little."""
    house.settle(3)
    return True


def nothing_was_sent(systems: dict[str, System]) -> bool:
    return not any(system.done for system in systems.values())


# --- when a system is down -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("system", "more"), [("club", MEMBER), ("codes", {"coupons": ["C1"]}), ("depot", {})])
def test_by_default_a_part_that_is_down_blocks_and_nothing_is_held(tmp_path: Path, system: str, more: Json) -> None:
    """The platform may try again with the same key: the number is not taken, no other system was asked for anything."""
    with branch(tmp_path) as (house, systems):
        systems[system].down()
        with pytest.raises(Problem) as caught:
            house.checkout(basket(**more))
        assert caught.value.slug == "adapter-unavailable" and caught.value.retry_after
        assert nothing_was_sent(systems)
        systems[system].up()
        wait_until(lambda: not house.runtime.connection("m1", system).down)
        assert house.checkout(basket(**more))[0].status == 201
        systems[system].down()


def test_a_payment_that_is_known_to_be_down_blocks_before_anything_is_held(tmp_path: Path) -> None:
    """Holding stock and points for a sale that cannot be paid would take them from the next customer."""
    with branch(tmp_path, breaker_open_s=30) as (house, systems):
        systems["wallet"].down()
        for number in range(2):
            assert house.checkout(basket(f"O{number}"))[0].status == 409  # found out on the way, and undone
        held = systems["depot"].did("stock_reserve")
        with pytest.raises(Problem) as caught:
            house.checkout(basket("O9"))
        assert caught.value.slug == "adapter-unavailable" and caught.value.extra["leg"] == "tender:t1"
        assert systems["depot"].did("stock_reserve") == held
        systems["wallet"].up()


def test_without_the_member_the_price_is_a_strangers_and_says_so(tmp_path: Path) -> None:
    with branch(tmp_path, 'when_down = { member = "without" }') as (house, systems):
        known = house.checkouts.quote("m1", basket(**MEMBER))
        systems["club"].down()
        stranger = house.checkouts.quote("m1", basket(**MEMBER))
        assert (known["payable_amount"], stranger["payable_amount"]) == (11_520, 12_800)
        assert stranger["left_out"] == [{"part": "member", "id": ""}] and "left_out" not in known
        reply, checkout = house.checkout(basket(**MEMBER))
        assert reply.status == 201 and checkout["left_out"] == stranger["left_out"]
        with pytest.raises(Problem) as caught:  # points still block: nothing was said of them
            house.checkout(basket("O2", **MEMBER, points=100))
        assert caught.value.slug == "adapter-unavailable"
        systems["club"].up()


def test_a_platform_that_expects_a_price_is_never_charged_another(tmp_path: Path) -> None:
    """Going on without a benefit makes it dearer: whoever said what it expects is asked first."""
    with branch(tmp_path, 'when_down = { member = "without" }') as (house, systems):
        systems["club"].down()
        with pytest.raises(Problem) as caught:
            house.checkout(basket(**MEMBER, expected_payable_amount=11_520))
        assert caught.value.slug == "price-changed" and caught.value.extra["quote"]["left_out"]
        assert nothing_was_sent(systems)
        systems["club"].up()


def test_without_a_coupon_that_nobody_can_look_up(tmp_path: Path) -> None:
    with branch(tmp_path, 'when_down = { coupons = "without" }') as (house, systems):
        systems["codes"].down()
        reply, checkout = house.checkout(basket(coupons=["C1"]))
        assert reply.status == 201 and checkout["quote"]["payable_amount"] == 12_800
        assert checkout["left_out"] == [{"part": "coupons", "id": "C1"}]
        systems["codes"].up()


def test_points_whose_system_goes_down_between_price_and_hold_are_left_out(tmp_path: Path) -> None:
    """The member was found, then the system went away: priced anew without points, under the same number."""
    said = 'when_down = { points = "without", member = "without", stock = "without" }'
    with branch(tmp_path, said) as (house, systems):
        systems["depot"].down()  # so that nothing else is held yet, which would have to be undone
        club = house.runtime.connection("m1", "club")
        found = club.find_member

        def then_down(request: Any) -> Any:
            member = found(request)
            systems["club"].down()
            return member

        club.find_member = then_down  # type: ignore[method-assign]
        reply, checkout = house.checkout(basket(**MEMBER, points=500))
        assert reply.status == 201 and checkout["quote"]["payable_amount"] == 12_800
        assert {item["part"] for item in checkout["left_out"]} == {"member", "points", "stock"}
        systems["club"].up()
        systems["depot"].up()


def test_goods_are_sold_unheld_where_the_merchant_says_so(tmp_path: Path) -> None:
    """A shop whose customers hold the goods in their hands need not close when the stock system does."""
    with branch(tmp_path, 'when_down = { stock = "without" }') as (house, systems):
        systems["depot"].down()
        reply, checkout = house.checkout(basket())
        assert reply.status == 201 and checkout["left_out"] == [{"part": "stock", "id": ""}]
        assert systems["wallet"].did("payment_charge") == 1 and systems["till"].did("order_post") == 1
        systems["depot"].up()


def test_a_sale_is_booked_later_and_marked(tmp_path: Path) -> None:
    """By default: the customer does not wait for a till that is down, and the sale gets there in the end."""
    with branch(tmp_path) as (house, systems):
        systems["till"].down()
        reply, checkout = house.checkout(basket())
        assert reply.status == 201 and checkout["deferred"] == ["order"]
        systems["till"].up()
        wait_until(lambda: settled(house) and systems["till"].did("order_post") == 1)
        house.settle()
        assert "deferred" not in house.checkouts.get("m1", checkout["id"])


def test_a_till_that_blocks_is_asked_for_before_the_money(tmp_path: Path) -> None:
    with branch(tmp_path, 'when_down = { order_post = "block" }', breaker_open_s=30) as (house, systems):
        systems["till"].down()
        house.checkout(basket("O1"))  # nobody knows yet: it is found out after the money, and deferred
        with pytest.raises(Problem) as caught:
            for number in range(2, 9):
                house.settle(2)
                house.checkout(basket(f"O{number}"))
        assert caught.value.slug == "adapter-unavailable" and caught.value.extra["leg"] == "order"
        systems["till"].up()


def test_earned_points_can_be_left_out_or_come_later(tmp_path: Path) -> None:
    for said, name in (("without", "a"), ("defer", "b")):
        (tmp_path / name).mkdir()
        with branch(tmp_path / name, f'when_down = {{ earn = "{said}" }}') as (house, systems):
            order = systems["till"]
            whole = order.answer

            def then_down(hook: str, key: str, about: Json, whole: Any = whole, systems: Any = systems) -> Json:
                if hook == "order_post":
                    systems["club"].down()
                answer: Json = whole(hook, key, about)
                return answer

            order.answer = then_down  # type: ignore[method-assign]
            reply, checkout = house.checkout(basket(**MEMBER))
            assert reply.status == 201
            assert checkout.get("deferred") == (["earn"] if said == "defer" else None)
            assert checkout.get("left_out") == ([{"part": "earn", "id": ""}] if said == "without" else None)
            systems["club"].up()
            house.settle(60)
            house.settle(60)
            assert systems["club"].did("points_earn") == (said == "defer")


@pytest.mark.parametrize(
    ("part", "choice", "why"),
    [
        ("payments", "defer", "what is not paid is not sold"),
        ("stored_value", "without", "what is not paid is not sold"),
        ("order_post", "without", "every sale must be booked"),
        ("slots", "without", "sold twice"),
        ("coupons", "defer", "before the price"),
        ("rewards", "perhaps", "expected one of: defer, block, without"),
        ("weather", "block", "there is no such part"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place_and_reason(
    tmp_path: Path, part: str, choice: str, why: str
) -> None:
    with (
        pytest.raises(ConfigError, match=rf"policy\.when_down\.{part}.*{why}"),
        branch(tmp_path, f'when_down = {{ {part} = "{choice}" }}'),
    ):
        raise AssertionError("it was accepted")


def test_a_payment_is_not_awaited_longer_than_what_it_pays_is_held(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"policy\.close_after_s.*reserve_ttl_s"),
        branch(tmp_path, "close_after_s = 1000"),
    ):
        raise AssertionError("it was accepted")


# --- after the money -------------------------------------------------------------------------------------------------


def test_a_payment_is_closed_when_the_merchant_says(tmp_path: Path) -> None:
    """The adapter would wait four seconds (scaled: 0.2); this merchant's customers get one more."""
    with branch(tmp_path, "close_after_s = 1.2") as (house, systems):
        systems["wallet"].pends.add("payment_charge")
        began = time.monotonic()
        reply, _ = house.checkout(basket())
        assert reply.status == 409
        assert 1.1 < time.monotonic() - began < 4


def test_a_till_that_refuses_a_paid_sale_is_a_persons_case_by_default(tmp_path: Path) -> None:
    with branch(tmp_path) as (house, systems):
        systems["till"].refuses["order_post"] = "declined"
        reply, checkout = house.checkout(basket())
        assert reply.status == 201 and [task["kind"] for task in checkout["tasks"]] == ["post-refused"]


def test_a_till_that_refuses_a_paid_sale_gives_the_money_back_where_said(tmp_path: Path) -> None:
    with branch(tmp_path, 'on_order_post_failure = "refund"') as (house, systems):
        systems["till"].refuses["order_post"] = "declined"
        reply, problem = house.checkout(basket(**MEMBER))
        assert reply.status == 409 and problem["leg"] == "order"
        assert systems["wallet"].did("payment_reverse") == 1 and systems["depot"].did("stock_return") == 1
        assert systems["club"].did("points_earn") == 0
        found = house.checkouts.get("m1", problem["checkout_id"])
        assert found["status"] == "failed" and not found["tasks"]


def spent(systems: dict[str, System]) -> None:
    systems["codes"].refuses["coupon_redeem"] = "coupon_exhausted"


def test_a_coupon_spent_elsewhere_gives_all_back_by_default(tmp_path: Path) -> None:
    with branch(tmp_path) as (house, systems):
        spent(systems)
        reply, _ = house.checkout(basket(coupons=["C1"]))
        assert reply.status == 409 and systems["wallet"].did("payment_reverse") == 1


def test_a_coupon_spent_elsewhere_is_honoured_where_said_but_no_voucher(tmp_path: Path) -> None:
    """The merchant bears a discount; a voucher is money that would never come."""
    with branch(tmp_path, 'spent_elsewhere = "honour"') as (house, systems):
        spent(systems)
        reply, checkout = house.checkout(basket(coupons=["C1"]))
        assert reply.status == 201 and checkout["quote"]["payable_amount"] == 11_800
        assert next(leg for leg in checkout["legs"] if "coupon_redeem" in leg["name"])["status"] == "declined"
        assert systems["till"].did("order_post") == 1
        reply, _ = house.checkout(basket("O2", tenders=VOUCHER))
        assert reply.status == 409 and systems["wallet"].did("payment_reverse") == 1


VOUCHER = [
    {"method": "voucher", "code": "V1", "count": 1},
    {"method": "payment_code", "auth_code": "281234567890123456"},
]


def test_a_voucher_that_fails_after_the_money_can_be_replaced_by_another_tender(tmp_path: Path) -> None:
    """The customer pays the difference at the counter; what was charged stays, and nothing is charged twice."""
    with branch(tmp_path, 'on_redemption_failure = "await_tender"') as (house, systems):
        spent(systems)
        reply, checkout = house.checkout(basket(tenders=VOUCHER))
        assert reply.status == 202 and checkout["status"] == "awaiting_customer"
        assert checkout["next_action"]["type"] == "add_tender" and checkout["next_action"]["amount"] == 2_000
        assert systems["wallet"].did("payment_reverse") == 0
        reply = house.checkouts.add_tender(house.asked(), checkout["id"], {"method": "cash"})
        done = json.loads(reply.body)
        assert reply.status == 201 and done["status"] == "completed"
        assert systems["wallet"].did("payment_charge") == 1 and systems["till"].did("order_post") == 1
        assert locks(house) == 0


def test_the_lock_of_a_failed_voucher_is_let_go_and_giving_up_returns_all(tmp_path: Path) -> None:
    with branch(tmp_path, 'on_redemption_failure = "await_tender"') as (house, systems):
        spent(systems)
        _, checkout = house.checkout(basket(tenders=VOUCHER))
        assert locks(house) == 0
        reply = house.checkouts.cancel(house.asked(), checkout["id"])
        assert reply.status == 200 and systems["wallet"].did("payment_reverse") == 1
        assert systems["depot"].did("stock_return") == 1


def test_a_coupon_that_fails_has_no_difference_to_pay_and_gives_all_back(tmp_path: Path) -> None:
    with branch(tmp_path, 'on_redemption_failure = "await_tender"') as (house, systems):
        spent(systems)
        assert house.checkout(basket(coupons=["C1"]))[0].status == 409
        assert systems["wallet"].did("payment_reverse") == 1


@pytest.mark.parametrize("outcome", ["done", "not_done"])
def test_a_person_settles_a_redemption_that_failed(tmp_path: Path, outcome: str) -> None:
    with branch(tmp_path, 'on_redemption_failure = "task"') as (house, systems):
        spent(systems)
        reply, checkout = house.checkout(basket(coupons=["C1"]))
        assert reply.status == 202 and checkout["status"] == "needs_attention"
        task = next(task for task in checkout["tasks"] if task["kind"] == "redemption-refused")
        Tasks(house.engine).resolve(house.asked(), task["id"], Word(outcome, "seen at the counter", "key"))
        house.settle()
        found = house.checkouts.get("m1", checkout["id"])
        assert found["status"] == ("completed" if outcome == "done" else "failed") and not found["tasks"]
        assert systems["wallet"].did("payment_reverse") == (outcome == "not_done")


def locks(house: House) -> int:
    """How many codes are locked or used in the gateway's own ledger."""
    row = house.database.read(
        lambda tx: tx.one("SELECT count(*) AS n FROM holds WHERE kind = 'coupon' AND state IN ('held', 'used')")
    )
    assert row is not None
    return int(row["n"])


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_hold_that_gets_no_answer_is_asked_about_before_the_checkout_is_given_up(tmp_path: Path) -> None:
    """Half of the time for holds is for the call and half is left to ask: the hold happened, the sale goes on."""
    with branch(tmp_path) as (house, systems):
        depot, late = systems["depot"], threading.Event()
        whole = depot.answer

        def silent(hook: str, key: str, about: Json) -> Json:
            answer: Json = whole(hook, key, about)
            if hook == "stock_reserve" and not about.get("query") and not late.is_set():
                late.set()
                time.sleep(house.engine.timing.hold_call / 1000 + 0.8)
            return answer

        depot.answer = silent  # type: ignore[method-assign]
        reply, _ = house.checkout(basket())
        assert late.is_set() and reply.status == 201 and depot.did("stock_reserve") == 1
