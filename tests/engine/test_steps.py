"""A change that takes several messages and stops half-way, over sockets; and what a platform is told of a decline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marshmallow import fields

from gateway import sdk
from gateway.sdk import Adapter, AdapterTraits, Call, Done, NotSent, hookimpl
from tests.engine.branch import BranchAdapter, basket, branch


class TwoParts(Adapter):
    """A till that opens a bill and then books it, and can neither be asked nor told twice."""

    name = "two_parts"
    about = AdapterTraits(insecure_transport=True)

    class Settings(sdk.Settings):
        port = fields.Integer(required=True)

    @hookimpl
    def order_post(self, request: Any, call: Call) -> Any:
        with call.step("open", "1"):
            BranchAdapter.post(self, "order_open", f"{call.key}-{call.attempt}", {})  # type: ignore[arg-type]
        with call.step("book", "2"):
            raise NotSent("connection refused")
        return Done()


def test_a_bill_is_not_opened_twice_because_its_second_message_never_left(tmp_path: Path) -> None:
    """The till would have two open bills of one sale; somebody has to look at it, and is told so."""
    with branch(tmp_path, others={"till": TwoParts}) as (house, systems):
        reply, checkout = house.checkout(basket())
        house.settle(5)
        checkout = house.checkouts.get("m1", checkout["id"])
        assert reply.status == 201 and [task["kind"] for task in checkout["tasks"]] == ["post-unknown"]
        assert systems["till"].did("order_open") == 1


def test_a_platform_that_is_asked_for_another_tender_hears_why_the_first_was_declined(tmp_path: Path) -> None:
    """The cashier must be able to say "over your limit" and not only "another card, please"."""
    with branch(tmp_path) as (house, systems):
        systems["wallet"].refuses["payment_charge"] = "limit_exceeded"
        reply, checkout = house.checkout(basket(on_decline="await_tender"))
        assert (reply.status, checkout["next_action"]["type"]) == (202, "add_tender")
        words = {"reason": "limit_exceeded", "code": "no", "message": "refused by the test"}
        assert [(tender["status"], tender["decline"]) for tender in checkout["tenders"]] == [("declined", words)]
        systems["wallet"].refuses.clear()
        second = {"method": "payment_code", "auth_code": "281234567890123457"}
        house.checkouts.add_tender(house.asked(), checkout["id"], second)
        first, paid = house.checkouts.get("m1", checkout["id"])["tenders"]
        assert first["decline"] == words and "decline" not in paid and paid["status"] == "paid"
