"""Refunds of sales that the till has not booked yet, over sockets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.sdk import OrderReturn, hookimpl
from tests.engine.branch import BranchAdapter, System, basket, branch
from tests.engine.kit import House


class Ledger(BranchAdapter):
    """A till that books a return only of a sale that it has, by the sale's number."""

    name = "ledger"

    @hookimpl
    def order_return(self, request: OrderReturn, call: Any) -> Any:
        return self.read(self.post("order_return", call.key, {"sale": request.original.ref, "amount": request.amount}))


def returns(till: System) -> list[tuple[str, int]]:
    return sorted((about["sale"], about["amount"]) for hook, about in till.done.values() if hook == "order_return")


def refund(house: House, checkout: dict[str, Any], **request: Any) -> dict[str, Any]:
    reply = house.refunds.create(house.asked(), checkout["id"], request)
    body: dict[str, Any] = json.loads(reply.body)
    assert (reply.status, body["status"]) == (201, "succeeded"), body
    return body


def test_the_till_hears_of_a_refund_that_was_made_while_it_was_down(tmp_path: Path) -> None:
    """It would book the sale when it is up again, and never the return: the drawer is short by what was given back."""
    with branch(tmp_path, others={"till": Ledger}) as (house, systems):
        till = systems["till"]
        till.down()
        _, first = house.checkout(basket("O1"))
        _, second = house.checkout(basket("O2"))
        back = refund(house, first, amount=800)
        assert back["deferred"] == ["order"] and back["tasks"] == []
        refund(house, first)
        till.up()
        for _ in range(100):
            house.settle(3)
            if till.did("order_post") == 2 and till.did("order_return") == 2:
                break
        sale = next(leg["detail"] for leg in house.checkouts.get("m1", first["id"])["legs"] if "post" in leg["name"])
        assert "deferred" not in house.refunds.get("m1", back["id"])
        assert returns(till) == [(sale, 800), (sale, 12_000)]
        refund(house, second, amount=100)
        assert till.did("order_return") == 3, "once the sale is booked its return goes out at once"
