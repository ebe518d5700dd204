"""What a machine can't end: a task that says what to do, a person's word that is kept, and what settles by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.problems import Problem
from gateway.engine.replies import Reply
from gateway.engine.service import Asked
from gateway.engine.tasks import Tasks, Word
from gateway.sdk.simulator import Fault
from plugins.alipay.simulator import AlipaySimulator
from tests.engine.conftest import everything, seed, shop_file
from tests.engine.kit import House, build


@pytest.fixture(params=[""])
def poor(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    """A shop whose account at the wallet is empty: it takes money, and its refunds are refused.

    The parameter is a part of the merchant's file.
    """
    simulator = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"})
    house = build(tmp_path, shop_file(simulator) + request.param, {"alipay": simulator})
    house.database.tx(seed)
    yield house
    house.stop()


def refused_refund(shop: House) -> dict[str, Any]:
    """A refund that the wallet refuses: the money has gone to the bank already."""
    _, sold = shop.checkout(everything("O1"))
    shop.running["alipay"].simulator.control({"do": "set_balance", "amount": 0})
    reply = shop.refunds.create(shop.asked(), sold["id"], {})
    body: dict[str, Any] = json.loads(reply.body)
    assert (reply.status, body["status"]) == (202, "needs_attention"), body
    return body


def task(shop: House, task_id: str) -> dict[str, Any]:
    sql = "SELECT * FROM tasks WHERE id = :id"
    return dict(shop.database.read(lambda tx: tx.one(sql, {"id": task_id})) or {})


def test_a_person_settles_what_was_refused(poor: House) -> None:
    refund = refused_refund(poor)
    (case,) = refund["tasks"]
    asked = Asked("m1", "resolve-1", "fp")
    reply = Tasks(poor.engine).resolve(asked, case["id"], Word("done", "bank transfer 88-1", "till-manager"))
    assert (reply.status, json.loads(reply.body)["status"]) == (200, "resolved")
    assert poor.refunds.get("m1", refund["id"])["status"] == "succeeded"
    kept = task(poor, case["id"])
    assert kept["status"] == "resolved" and kept["resolved"]
    said = json.loads(kept["resolution"])
    assert (said["outcome"], said["evidence"], said["by"]) == ("done", "bank transfer 88-1", "till-manager")
    again = Tasks(poor.engine).resolve(asked, case["id"], Word("done", "bank transfer 88-1", "till-manager"))
    assert again.replayed and again.body == reply.body
    with pytest.raises(Problem) as refused:
        Tasks(poor.engine).resolve(Asked("m1", "other", "fp"), case["id"], Word("done", "again", "x"))
    assert refused.value.slug == "invalid-state"


def test_not_done_tries_again(poor: House) -> None:
    refund = refused_refund(poor)
    (case,) = refund["tasks"]
    poor.running["alipay"].simulator.control({"do": "set_balance", "amount": 1_000_000})
    reply = Tasks(poor.engine).resolve(
        Asked("m1", "r", "fp"), case["id"], Word("not_done", "account topped up", "boss")
    )
    assert (reply.status, json.loads(reply.body)["status"]) == (200, "resolved")
    assert poor.refunds.get("m1", refund["id"])["status"] == "succeeded"
    assert poor.books("alipay")["money"]["net"] == 0
    assert json.loads(task(poor, case["id"])["resolution"])["by"] == "boss"


def test_another_merchants_task_is_not_there(poor: House) -> None:
    (case,) = refused_refund(poor)["tasks"]
    with pytest.raises(Problem) as refused:
        Tasks(poor.engine).resolve(Asked("m2", "r", "fp"), case["id"], Word("done", "x", "y"))
    assert refused.value.slug == "not-found"


@pytest.mark.parametrize(("outcome", "evidence"), [("perhaps", "x"), ("done", " "), ("done", "x" * 2001)])
def test_a_word_without_ground_is_refused(poor: House, outcome: str, evidence: str) -> None:
    (case,) = refused_refund(poor)["tasks"]
    with pytest.raises(Problem) as refused:
        Tasks(poor.engine).resolve(Asked("m1", "r", "fp"), case["id"], Word(outcome, evidence, "y"))
    assert refused.value.status == 422
    assert task(poor, case["id"])["status"] == "open"


def test_a_task_that_settles_itself_is_closed(shop: House) -> None:
    """A refund that the wallet does not answer for long is a task; once it has answered, it is one no more."""
    _, sold = shop.checkout(everything("O1"))
    lost = ("alipay.trade.refund", "alipay.trade.fastpay.refund.query")
    shop.fault("alipay", *(Fault("drop_before", operation) for operation in lost))
    reply = shop.refunds.create(shop.asked(), sold["id"], {})
    body = json.loads(reply.body)
    assert (reply.status, body["status"]) == (202, "needs_attention")
    shop.fault("alipay")
    for _ in range(60):
        shop.settle(10)
        after = shop.refunds.get("m1", body["id"])
        if after["status"] == "succeeded":
            break
    assert (after["status"], after["tasks"]) == ("succeeded", [])
    closed = task(shop, body["tasks"][0]["id"])
    assert (closed["status"], json.loads(closed["resolution"])["by"]) == ("resolved", "gateway")


@pytest.mark.parametrize("poor", ["\n[policy]\ntwo_person_above_amount = 1\n"], indirect=True)
def test_above_the_limit_two_persons_have_to_say_the_same(poor: House) -> None:
    """One person cannot let money go by himself, nor by saying it twice; two who disagree settle nothing."""
    refund = refused_refund(poor)
    (case,) = refund["tasks"]

    def say(outcome: str, by: str, key: str) -> Reply:
        return Tasks(poor.engine).resolve(Asked("m1", key, "fp"), case["id"], Word(outcome, "slip 7", by))

    first = say("done", "anna", "k1")
    assert (first.status, json.loads(first.body)["status"]) == (202, "open")
    assert poor.refunds.get("m1", refund["id"])["status"] == "needs_attention"
    assert say("done", "anna", "k1").replayed
    with pytest.raises(Problem) as twice:
        say("done", "anna", "k2")
    assert twice.value.slug == "invalid-state"
    assert say("not_done", "berta", "k3").status == 202
    assert say("done", "carla", "k4").status == 200
    assert poor.refunds.get("m1", refund["id"])["status"] == "succeeded"
    kept = task(poor, case["id"])
    assert [(word["by"], word["outcome"]) for word in json.loads(kept["words"])] == [
        ("anna", "done"),
        ("berta", "not_done"),
        ("carla", "done"),
    ]
    assert json.loads(kept["resolution"])["by"] == "carla"
