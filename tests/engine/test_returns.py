"""What the till is told of a return adds up: lines, points and tenders, for a till that books them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.engine.branch import MEMBER, Json, basket, branch
from tests.engine.kit import House


def give_back(house: House, checkout: Json, **request: Any) -> None:
    house.refunds.create(house.asked(), checkout["id"], request)
    house.settle()


def test_a_whole_return_undoes_the_sale_as_it_was_posted(tmp_path: Path) -> None:
    """A till that booked points as a tender would stay off by them, return after return."""
    with branch(tmp_path) as (house, systems):
        _, checkout = house.checkout(basket(**MEMBER, points=300))
        give_back(house, checkout)
        told = dict(systems["till"].done.values())
        sale, back = told["order_post"], told["order_return"]
        assert sale["points_amount"] == back["points_amount"] == back["points"] == 300
        assert sum(sale["nets"]) - sale["points_amount"] == sum(sale["tenders"])
        assert {name: back[name] for name in ("nets", "grosses", "tenders")} == {
            name: sale[name] for name in ("nets", "grosses", "tenders")
        }


def test_points_come_back_with_their_lines_and_never_with_money_alone(tmp_path: Path) -> None:
    """Something for a complaint, then one of two, then the rest: each point once."""
    with branch(tmp_path) as (house, systems):
        two = [{"line_id": "A", "sku": "A", "quantity": "2"}]
        _, checkout = house.checkout(basket(**MEMBER, points=300, lines=two))
        give_back(house, checkout, amount=100)
        give_back(house, checkout, lines=[{"line_id": "A", "quantity": "1"}])
        give_back(house, checkout)
        backs = [about for hook, about in systems["till"].done.values() if hook == "order_return"]
        assert [back["points"] for back in backs] == [back["points_amount"] for back in backs] == [0, 150, 150]
        assert all(sum(back["nets"]) - back["points_amount"] == sum(back["tenders"]) for back in backs)
        assert [back["grosses"] for back in backs] == [[100], [12_800], [12_800]], "the price of what comes back"
        assert all(
            gross - off == net
            for back in backs
            for gross, off, net in zip(back["grosses"], back["discounts"], back["nets"], strict=True)
        )
