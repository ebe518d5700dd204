"""One code, however it is spelled: a till's scanner gives capitals, a customer types small letters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.problems import Problem
from gateway.sdk import hookimpl
from tests.engine.branch import BranchAdapter, basket, branch


class Capitals(BranchAdapter):
    """A system that knows its codes in capitals, and finds them in any letters."""

    name = "capitals"

    @hookimpl
    def coupon_find(self, request: Any) -> Any:
        return super().coupon_find(replace(request, code=request.code.upper()))


VOUCHER = {"method": "voucher", "code": "v-1"}
CASH = {"method": "cash", "amount": 10_800}


def test_a_voucher_pays_under_the_code_that_its_system_knows(tmp_path: Path) -> None:
    """It was an internal error; and a lock under the other spelling would let the code be used twice."""
    with branch(tmp_path, others={"codes": Capitals}) as (house, systems):
        reply, checkout = house.checkout(basket(tenders=[VOUCHER, CASH]))
        assert (reply.status, checkout["status"]) == (201, "completed"), checkout
        assert systems["codes"].did("coupon_redeem") == 1
        locked = house.database.read(lambda tx: tx.all("SELECT item FROM holds WHERE kind = 'coupon'"))
        assert [row["item"] for row in locked] == ["V-1"]


def test_one_coupon_spelled_twice_is_one(tmp_path: Path) -> None:
    with branch(tmp_path, others={"codes": Capitals}) as (house, systems):
        _, checkout = house.checkout(basket(coupons=["c-1", "C-1"]))
        assert [each["id"] for each in checkout["quote"]["applied"] if each["kind"] == "coupon"] == ["C-1"]
        assert systems["codes"].did("coupon_redeem") == 1
        twice = {"method": "voucher", "code": "V-1"}
        with pytest.raises(Problem) as caught:
            house.checkout(basket("O2", tenders=[VOUCHER, twice, CASH]))
        assert caught.value.status == 422


def test_a_voucher_that_is_brought_later_too(tmp_path: Path) -> None:
    with branch(tmp_path, others={"codes": Capitals}) as (house, _):
        _, waiting = house.checkout(basket(tenders=[CASH], on_decline="await_tender"))
        assert waiting["next_action"]["type"] == "add_tender", waiting
        reply = house.checkouts.add_tender(house.asked(), waiting["id"], {**VOUCHER})
        body = json.loads(reply.body)
        assert body["status"] == "completed", body
