"""Protects the plugin as a whole: what it offers, traits it claims, secrets, tenants, kills, cost in messages."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import (
    BillHold,
    BillLookup,
    BillRelease,
    Declined,
    Done,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Step,
)
from gateway.sdk.simulator import COMMON_FAULTS, Fault
from gateway.testing.context import build
from plugins import restaurant
from plugins.restaurant.adapter import RestaurantAdapter
from plugins.restaurant.members import RestaurantMembersAdapter
from plugins.restaurant.simulator_seed import APP_SECRET, OPERATOR_PASSWORD
from tests.plugins.restaurant.support import SITE, Chain, original, ref_of, settings, tender

ROOT = Path(__file__).parents[3]


def test_the_plugin_offers_its_adapter() -> None:
    assert restaurant.o2o_adapters() == (RestaurantAdapter, RestaurantMembersAdapter)
    assert RestaurantAdapter.name == "restaurant"


def test_a_repeated_hold_or_release_acts_once(chain: Chain) -> None:
    bill, key, undo = chain.seat(), chain.key(), chain.key()
    request = BillHold(site=SITE, bills=(ref_of(bill),), order_no="ON1")
    for _ in range(3):
        assert isinstance(chain.adapter.bill_hold(request, chain.call(key)), Done)
    release = BillRelease(original=original(key), site=SITE, bills=(ref_of(bill),))
    for _ in range(3):
        assert isinstance(chain.adapter.bill_release(release, chain.call(undo)), Done)
    chain.pull("prebill", bill=bill.bill_id)
    assert isinstance(chain.adapter.bill_release(release, chain.call(undo)), Done)
    assert chain.books(bill.bill_id)["settle_state"] == -2


FAULTS = sorted(set(COMMON_FAULTS) - {"bad_signature", "clock_skew"} | {"disk_full", "other_reply"})


@pytest.mark.parametrize("command", ["bill", "pay", "clear"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_its_outcome_class(chain: Chain, fault: str, command: str) -> None:
    """Whatever happens to one message, a sale ends booked once, and never as declined."""
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill, tenders=(tender("t1", 1000), tender("t2", bill.due_amount - 1000, channel="alipay")))
    chain.fault(fault, command, value=20)
    outcome: Any = None
    for attempt in (1, 2, 3):
        try:
            outcome = chain.adapter.order_post(request, chain.call(key, attempt=attempt))
            break
        except (NotSent, OutcomeUnknown):
            for timer in chain.simulator._timers:
                timer.join(5)
            answer = chain.ask("order_post", key, request)
            assert isinstance(answer, (Done, NotFound))
    assert isinstance(outcome, Done)
    rows = [row for row in chain.books(bill.bill_id)["tenders"] if row["state"] == 1]
    assert [(row["code"], row["amount"]) for row in rows] == [("03", 1000), ("04", bill.due_amount - 1000)]


def test_no_secret_is_logged_raised_or_journalled(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    bill, key = chain.seat(), chain.key()
    journal: list[Step] = []
    texts: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for fault in ("error", "garbage", "half_body", "drop_after"):
            for command in ("bill", "pay", "clear", "office.bills", "office.accesstoken"):
                chain.fault(fault, command)
                try:
                    texts.append(repr(chain.adapter.order_post(chain.sale(bill), chain.call(key, journal=journal))))
                    chain.adapter.check()
                except Exception as error:
                    texts.append(f"{error!r} {error.__cause__!r} {error.__context__!r}")
    seen = caplog.text + "".join(texts) + repr(journal) + repr(chain.adapter.context) + repr(vars(chain.adapter))
    assert OPERATOR_PASSWORD not in seen
    assert APP_SECRET not in seen


def test_two_merchants_share_nothing(chain: Chain, secrets: None, tmp_path: Path) -> None:
    shops = {"only": {"code": "BJ01"}}
    other = build(RestaurantAdapter, {**settings(chain.addresses), "shops": shops}, tmp_path / "b", merchant="b")
    chain.adapter.check()
    assert other._office._token == ""
    bill = chain.seat()
    assert other.bill_find(BillLookup(store_id="only", bill_ids=(bill.bill_id,))) == ()


def test_a_sale_of_one_tender_costs_four_messages(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    bill, key, sent = chain.seat(), chain.key(), []
    send = chain.adapter.context.http.send

    def count(method: str, url: str, **kwargs: Any) -> Any:
        sent.append(url.rsplit("/", 1)[-1])
        return send(method, url, **kwargs)

    monkeypatch.setattr(chain.adapter.context.http, "send", count)
    chain.adapter.order_post(chain.sale(bill), chain.call(key))
    assert sent == ["bill", "pay", "bill", "clear"]


# ---- killed senders

SENDER = """
import json, os, sys, signal, pathlib
from dataclasses import replace
from gateway.sdk import BillLookup
from gateway.testing.context import build, call
from plugins.restaurant.adapter import RestaurantAdapter
from tests.plugins.restaurant.support import Chain, tender
spec = json.loads(sys.stdin.read())
adapter = build(RestaurantAdapter, spec["settings"], pathlib.Path(spec["folder"]))
(bill,) = adapter.bill_find(BillLookup(store_id="sh-01", bill_ids=(spec["bill"],)))
request = Chain(None, {}, adapter).sale(
    bill, tenders=(tender("t1", 1000), tender("t2", bill.due_amount - 1000, channel="alipay")))
sends = [0]
send = adapter.context.http.send
def deadly(*args, **kwargs):
    sends[0] += 1
    if sends[0] == spec["before"]:
        os.kill(os.getpid(), signal.SIGKILL)
    answer = send(*args, **kwargs)
    if sends[0] == spec["after"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
adapter.context.http.send = deadly
adapter.order_post(request, call(spec["key"]))
"""


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 2), (3, 0), (0, 3), (0, 4)])
def test_a_sender_killed_at_any_message_leaves_one_sale(chain: Chain, tmp_path: Path, before: int, after: int) -> None:
    bill, key = chain.seat(), chain.key()
    spec = {
        "settings": settings(chain.addresses),
        "folder": str(tmp_path / "sender"),
        "bill": bill.bill_id,
        "key": key,
        "before": before,
        "after": after,
    }
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SENDER], input=json.dumps(spec), text=True, cwd=ROOT, env=env, timeout=30, check=False
    )
    assert done.returncode == -signal.SIGKILL
    request = chain.sale(bill, tenders=(tender("t1", 1000), tender("t2", bill.due_amount - 1000, channel="alipay")))
    whole = (before, after) in ((0, 3), (0, 4))
    assert isinstance(chain.ask("order_post", key, request), Done if whole else NotFound)
    assert isinstance(chain.adapter.order_post(request, chain.call(key, attempt=2)), Done)
    rows = [row for row in chain.books(bill.bill_id)["tenders"] if row["state"] == 1]
    assert [row["amount"] for row in rows] == [1000, bill.due_amount - 1000]


def test_a_doubled_hold_of_two_checkouts_lets_one_through(chain: Chain) -> None:
    bill = chain.seat()
    outcomes = [chain.hold(bill) for _ in range(4)]
    assert [type(outcome) for outcome in outcomes] == [Done, Declined, Declined, Declined]


def test_clock_skew_changes_no_sale(chain: Chain, rebuild: Callable[..., RestaurantAdapter]) -> None:
    chain.simulator.faults.set([Fault("clock_skew", "*", None, -480)])
    bill, key = chain.seat(), chain.key()
    done = chain.adapter.order_post(replace(chain.sale(bill), order_no="ON2"), chain.call(key))
    assert isinstance(done, Done)
