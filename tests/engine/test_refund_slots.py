"""What a refund does with rooms, seats and appointments: a clinic's calendar and a house's desk on real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from marshmallow import fields

from gateway import sdk
from gateway.backoffice import evidence
from gateway.engine.problems import Problem
from gateway.engine.tasks import Tasks, Word
from gateway.engine.timeline import timeline
from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Call,
    RateSlot,
    Slot,
    SlotPackage,
    SlotsRequest,
    SlotState,
    StockReturn,
    Traits,
    hookimpl,
)
from tests.engine.branch import BranchAdapter, System, basket, branch, change_hook, query_hook
from tests.engine.kit import House

Json = dict[str, Any]
CHINA = timezone(timedelta(hours=8))
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
AHEAD, BEGUN, OVER = (NOW + timedelta(hours=hours) for hours in (24, -1, -50))
FREED, BOOKED, NOT_WANTED = ("returned",), ("booked", "begun"), ("booked", "not_wanted")


class Calendar(Adapter):
    """Knows which times are free, and holds none: the gateway's own ledger does."""

    name = "calendar"
    about = AdapterTraits(max_parallel=4, insecure_transport=True)
    traits = MappingProxyType(
        {hook: Traits(idempotent=True) for hook in ("stock_reserve", "stock_confirm", "stock_cancel", "stock_return")}
    )
    post: ClassVar[Any] = BranchAdapter.post
    change: ClassVar[Any] = BranchAdapter.change
    read: ClassVar[Any] = BranchAdapter.read

    class Settings(sdk.Settings):
        port = fields.Integer(required=True)

    @hookimpl
    def stock_slots(self, request: SlotsRequest) -> Any:
        room = request.resource_id or "R1"
        midnight = request.start.astimezone(CHINA).replace(hour=0, minute=0)
        rates = (RateSlot(start=midnight, end=midnight + timedelta(days=1), rate_amount=6000),)
        packages = (SlotPackage(sku="VISIT", name="visit", amount=8800, minutes=30),)
        return (
            Slot(
                resource_id=room,
                resource_class="room",
                store_id=request.store_id,
                state=SlotState.FREE,
                as_of=NOW,
                rates=rates,
                packages=packages,
            ),
        )


class Bookings(Calendar):
    """Books appointments, and cannot let one go again."""

    name = "bookings"
    stock_reserve = change_hook("stock_reserve")
    stock_confirm = change_hook("stock_confirm")
    stock_cancel = change_hook("stock_cancel")
    stock_query = query_hook("stock_query")


class Clinic(Bookings):
    """Books appointments, and lets them go by the number that the confirm gave them."""

    name = "clinic"

    @hookimpl
    def stock_return(self, request: StockReturn, call: Call) -> Any:
        assert request.confirmed is not None and not request.items
        slots = [[slot.resource_id, slot.start.isoformat()] for slot in request.slots]
        about = {"slots": slots, "hold": request.original.ref, "booking": request.confirmed.ref}
        return self.read(self.post("stock_return", call.key, about))


class Desk(BranchAdapter):
    """A till that runs sessions as well."""

    name = "desk"
    session_open = change_hook("session_open")
    session_extend = change_hook("session_extend")
    session_close = change_hook("session_close")


@contextmanager
def house(
    folder: Path, depot: type[Adapter] = Clinic, policy: str = "", till: type[Adapter] = BranchAdapter
) -> Iterator[tuple[House, Mapping[str, System]]]:
    with branch(folder, policy, others={"depot": depot, "till": till}) as opened:
        yield opened


def line(line_id: str = "visit", start: datetime = AHEAD, sku: str = "VISIT", room: str = "R1") -> Json:
    slot = {"resource_id": room, "from": start.isoformat(), "to": (start + timedelta(hours=1)).isoformat()}
    return {"line_id": line_id, "slot": slot, **({"sku": sku} if sku else {})}


def sold(house: House, *lines: Json, order_no: str = "O1") -> Json:
    reply, body = house.checkout(basket(order_no, lines=list(lines) or [line()]))
    assert reply.status == 201, body
    return body


def refunded(house: House, checkout: Json, **request: Any) -> Json:
    previewed = house.refunds.preview("m1", checkout["id"], request)
    reply = house.refunds.create(house.asked(), checkout["id"], request)
    body: Json = json.loads(reply.body)
    assert (reply.status, body["status"]) == (201, "succeeded"), body
    assert previewed["amount"] == body["amount"]
    kinds = {slot["line_id"]: slot["status"] == "booked" for slot in previewed["slots"]}
    assert all(booked <= (slot["status"] == "booked") for slot in body["slots"] for booked in [kinds[slot["line_id"]]])
    return body


def became(body: Json) -> list[tuple[str, ...]]:
    return [tuple(slot[name] for name in ("status", "reason") if name in slot) for slot in body["slots"]]


def asked_of(system: System, hook: str) -> list[Json]:
    return [about for done, about in system.done.values() if done == hook]


def test_an_appointment_that_is_still_to_come_is_free_again_after_its_refund(tmp_path: Path) -> None:
    """The clinic would turn patients away from a time that nobody comes to."""
    with house(tmp_path) as (gateway, systems):
        checkout = sold(gateway)
        back = refunded(gateway, checkout)
        assert became(back) == [("returned",)] and back["tasks"] == []
        [told] = asked_of(systems["depot"], "stock_return")
        assert told == {"slots": [["R1", AHEAD.isoformat()]], "hold": "R1", "booking": "R2"}
        found = timeline(gateway.engine.journal, None, "m1", checkout["id"])
        assert found["parts"][1]["slots"] == back["slots"]
        [line_of_it] = [text for text in evidence.told(found, ZoneInfo("UTC"), "en") if text.startswith("  slot visit")]
        assert line_of_it.endswith("free again")
        assert gateway.refunds.get("m1", back["id"])["slots"] == back["slots"]


def test_only_the_slots_of_the_lines_that_come_back_are_freed(tmp_path: Path) -> None:
    """A family cancels one of its two appointments: the other child still comes."""
    with house(tmp_path) as (gateway, systems):
        later = AHEAD + timedelta(hours=2)
        checkout = sold(gateway, line("first"), line("second", later))
        back = refunded(gateway, checkout, lines=[{"line_id": "second"}])
        assert (back["amount"], [slot["line_id"] for slot in back["slots"]]) == (8800, ["second"])
        assert [told["slots"] for told in asked_of(systems["depot"], "stock_return")] == [[["R1", later.isoformat()]]]
        money = refunded(gateway, checkout, amount=100)
        assert money["slots"] == [], "a sum given back for bad service is no cancelled appointment"


@pytest.mark.parametrize(
    ("policy", "cases"),
    [
        ("future", [(OVER, None, BOOKED), (BEGUN, None, BOOKED), (OVER, True, FREED), (AHEAD, False, NOT_WANTED)]),
        ("always", [(OVER, None, FREED)]),
        ("never", [(AHEAD, None, NOT_WANTED), (AHEAD, True, FREED)]),
    ],
)
def test_what_is_freed_is_what_the_platform_or_else_the_merchant_says(
    tmp_path: Path, policy: str, cases: list[tuple[datetime, bool | None, tuple[str, ...]]]
) -> None:
    """By default guests are not put out of a room that they sit in, and an evening that was used stays used."""
    said_so = "" if policy == "future" else f'return_slots = "{policy}"'
    with house(tmp_path, policy=said_so) as (gateway, systems):
        for number, (start, said, status) in enumerate(cases):
            before = systems["depot"].did("stock_return")
            wanted = {} if said is None else {"return_stock": said}
            back = refunded(gateway, sold(gateway, line(start=start), order_no=f"O{number}"), **wanted)
            assert became(back) == [status], (start, said)
            assert systems["depot"].did("stock_return") == before + (status == FREED)


def test_goods_that_nobody_can_sell_again_are_not_put_back(tmp_path: Path) -> None:
    with branch(tmp_path) as (gateway, systems):
        for number, said, times in (("O1", False, 0), ("O2", True, 1), ("O3", None, 2)):
            wanted = {} if said is None else {"return_stock": said}
            _, checkout = gateway.checkout(basket(number))
            refunded(gateway, checkout, **wanted)
            assert systems["depot"].did("stock_return") == times


@pytest.mark.parametrize(
    ("depot", "refuses", "reason"), [(Bookings, "", "unsupported"), (Clinic, "too_late", "refused")]
)
def test_a_slot_that_cannot_be_freed_stays_booked_and_the_refund_goes_on(
    tmp_path: Path, depot: type[Adapter], refuses: str, reason: str
) -> None:
    """The customer has a right to the money; a person is troubled only where the platform wanted the slot free."""
    with house(tmp_path, depot) as (gateway, systems):
        systems["depot"].refuses = {"stock_return": refuses} if refuses else {}
        back = refunded(gateway, sold(gateway))
        assert (became(back), back["tasks"]) == ([("booked", reason)], [])
        back = refunded(gateway, sold(gateway, order_no="O2"), return_stock=True)
        assert became(back) == [("booked", reason)]
        assert [(task["leg"], task["kind"]) for task in back["tasks"]] == [("slot:visit", "slot-not-returned")]
        word = Word("done", "freed at the desk", "anna")
        Tasks(gateway.engine).resolve(gateway.asked(), back["tasks"][0]["id"], word)
        settled = gateway.refunds.get("m1", back["id"])
        assert (became(settled), settled["tasks"]) == ([("returned",)], [])


def test_a_calendar_that_is_down_does_not_keep_the_money_and_hears_of_it_later(tmp_path: Path) -> None:
    with house(tmp_path) as (gateway, systems):
        checkout = sold(gateway)
        systems["depot"].down()
        back = refunded(gateway, checkout)
        assert became(back) == [("returning",)]
        systems["depot"].up()
        for _ in range(100):
            gateway.settle(3)
            if became(gateway.refunds.get("m1", back["id"])) == [("returned",)]:
                break
        assert systems["depot"].did("stock_return") == 1 and systems["wallet"].did("payment_refund") == 1


def test_a_room_that_the_gateway_holds_itself_can_be_sold_again(tmp_path: Path) -> None:
    """Its own ledger would show the room as taken for ever, and the legacy system as free."""
    with house(tmp_path, Calendar) as (gateway, _):
        kept = sold(gateway, line("a", room="R7"), line("b", room="R8"))
        refunded(gateway, kept, lines=[{"line_id": "b"}])
        sold(gateway, line(room="R8"), order_no="O2")
        with pytest.raises(Problem, match="no such room"):
            sold(gateway, line(room="R7"), order_no="O3")


def test_a_room_by_the_hour_comes_back_with_what_its_time_cost(tmp_path: Path) -> None:
    """Its line costs nothing, its time does: a refund of the line that gave back nothing would free it for nothing."""
    with house(tmp_path) as (gateway, _):
        checkout = sold(gateway, line("hour", sku=""), line("visit", AHEAD + timedelta(hours=3)))
        assert checkout["quote"]["payable_amount"] == 6000 + 8800
        back = refunded(gateway, checkout, lines=[{"line_id": "hour"}])
        assert (back["amount"], became(back)) == (6000, [("returned",)])
        assert refunded(gateway, checkout)["amount"] == 8800


def test_a_session_is_closed_before_its_room_is_given_to_others(tmp_path: Path) -> None:
    """The next guests would stand before a room with the first ones' session running in it."""
    with house(tmp_path, till=Desk) as (gateway, systems):
        back = refunded(gateway, sold(gateway))
        assert became(back) == [("returned",)]
        assert systems["till"].did("session_close") == 1 and systems["depot"].did("stock_return") == 1
        systems["till"].refuses["session_close"] = "session_state"
        back = refunded(gateway, sold(gateway, order_no="O2"))
        assert (became(back), back["tasks"]) == ([("booked", "refused")], [])
        assert systems["depot"].did("stock_return") == 1, "the room is still in use"
        back = refunded(gateway, sold(gateway, order_no="O3"), return_stock=True)
        assert [(task["leg"], task["kind"]) for task in back["tasks"]] == [("session:visit", "slot-not-returned")]
        systems["till"].refuses.clear()
        again = Word("not_done", "the guests have left now: try again", "anna")
        Tasks(gateway.engine).resolve(gateway.asked(), back["tasks"][0]["id"], again)
        gateway.settle(5)
        settled = gateway.refunds.get("m1", back["id"])
        assert (became(settled), settled["tasks"]) == ([("returned",)], [])
