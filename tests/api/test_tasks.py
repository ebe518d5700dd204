"""Tasks through the API and the command line: two persons settle what is above the merchant's limit."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.kit import Api, Gateway, paid_code
from tests.api.test_requests import slug


@pytest.fixture
def refused(gateway: Gateway, api: Api, number: Callable[[], str]) -> Iterator[dict[str, Any]]:
    """A refund of 12.50 that the wallet refuses, because the merchant's account there is empty."""
    order = {"store_id": "s1", "order_no": number(), "lines": [{"sku": "milk"}]}
    sold = api.post("…/checkouts", {**order, "tenders": [{"method": "payment_code", "auth_code": paid_code()}]}).json
    wallet = gateway.running["alipay"].simulator
    wallet.control({"do": "set_balance", "amount": 0})
    refund = api.post(f"…/checkouts/{sold['id']}/refunds", {"refund_no": number()})
    wallet.control({"do": "set_balance", "amount": 10**9})
    assert (refund.status_code, refund.json["status"]) == (202, "needs_attention")
    yield refund.json


def say(api: Api, task_id: str, outcome: str = "done", **more: Any) -> Any:
    return api.post(f"…/tasks/{task_id}/resolve", {"outcome": outcome, "evidence": "transfer 88-1"}, **more)


def command(gateway: Gateway, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line beside the running gateway, on the same database."""
    args = [sys.executable, "-m", "gateway.cli", *words, "--config", str(gateway.folder / "gateway.toml")]
    return subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)


def test_two_keys_settle_what_one_may_not(gateway: Gateway, api: Api, refused: dict[str, Any]) -> None:
    """The first word is kept and has no effect; the same key's second is refused; another's settles the refund."""
    task_id, key = refused["tasks"][0]["id"], uuid.uuid4().hex
    first = say(api, task_id, key=key)
    assert (first.status_code, first.json["status"], first.json["amount"]) == (202, "open", 1250)
    assert say(api, task_id, key=key).get_data() == first.get_data()
    assert slug(say(api, task_id)) == "invalid-state"
    assert api.get(f"…/refunds/{refused['id']}").json["status"] == "needs_attention"
    second = say(gateway.api("bun"), task_id)
    assert (second.status_code, second.json["status"], len(second.json["words"])) == (200, "resolved", 2)
    assert second.json["resolution"]["evidence"] == "transfer 88-1"
    assert api.get(f"…/refunds/{refused['id']}").json["status"] == "succeeded"
    assert slug(say(gateway.api("bun"), task_id)) == "invalid-state"


def test_the_command_line_is_one_of_the_two(gateway: Gateway, api: Api, refused: dict[str, Any]) -> None:
    task_id = refused["tasks"][0]["id"]
    assert task_id in command(gateway, "tasks", "list", "--merchant", "bun").stdout
    words = ("--outcome", "not_done", "--evidence", "the account was empty; it is filled now")
    said = command(gateway, "tasks", "resolve", task_id, *words)
    assert (said.returncode, "a second person" in said.stderr) == (3, True), said
    again = command(gateway, "tasks", "resolve", task_id, *words)
    assert (again.returncode, "you have said this before" in again.stderr) == (1, True), again
    assert say(api, task_id, "not_done").status_code == 200
    shown = json.loads(command(gateway, "tasks", "show", task_id).stdout)
    assert [word["by"].split()[0] for word in shown["words"]] == ["account", "key"]
    assert api.get(f"…/refunds/{refused['id']}").json["status"] == "succeeded"


def test_anothers_task_is_not_there_and_a_word_needs_a_ground(gateway: Gateway, refused: dict[str, Any]) -> None:
    task_id = refused["tasks"][0]["id"]
    assert slug(say(gateway.api("tea"), task_id)) == "not-found"
    assert slug(say(gateway.api("bun", stores=("s2",)), task_id)) == "not-found"
    body: dict[str, Any]
    for body in ({"outcome": "perhaps", "evidence": "x"}, {"outcome": "done"}, {"outcome": "done", "evidence": ""}):
        assert slug(gateway.api("bun").post(f"…/tasks/{task_id}/resolve", body)) == "validation-error"
