"""The plugin as the gateway sees it: its hooks, its locks' life, and that no secret leaks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import plugins.department
from gateway.runtime.hookcheck import DOMAIN_SPECS, PROCESS_SPECS, hook_problems, implemented_hooks
from gateway.sdk import BillHold, BillLookup, Declined, Done, Misconfigured, OutcomeUnknown
from gateway.testing.context import build
from plugins.department.adapter import DepartmentAdapter


def test_the_plugin_offers_two_adapters_whose_hooks_are_right() -> None:
    assert list(hook_problems(plugins.department, PROCESS_SPECS, "department")) == []
    adapters = {adapter.name: adapter for adapter in plugins.department.o2o_adapters()}
    assert list(adapters) == ["department", "bank_terminal"]
    for name, adapter in adapters.items():
        assert list(hook_problems(adapter, DOMAIN_SPECS, name)) == []
        assert set(adapter.traits) <= implemented_hooks(adapter)


def test_a_lock_is_stale_after_its_time_and_is_renewed_when_asked_again(
    store: Any, make_adapter: Callable[..., DepartmentAdapter], desk: Any, site: Any, tmp_path: Path
) -> None:
    ahead = timedelta(0)
    template = make_adapter()
    settings = {
        "soap_url": template.context.settings["soap_url"],
        "user": "user",
        "password": "env:MIS_PASSWORD",
        "license": "env:MIS_LICENSE",
        "database": str(template.context.settings["database"]),
        "stores": {"lakeside": "S001"},
        "till": "T901",
    }
    adapter = build(DepartmentAdapter, settings, tmp_path, clock=lambda: datetime.now(UTC) + ahead)
    bills = adapter.bill_find(request=BillLookup(store_id="lakeside", slip_nos=(store.slip("K1", "6901000000018"),)))
    first = BillHold(site=site, bills=desk.refs(bills), order_no="PF1")
    other = BillHold(site=site, bills=desk.refs(bills), order_no="PF2")
    assert isinstance(adapter.bill_hold(request=first, call=desk.call("h")), Done)
    ahead = timedelta(minutes=10)
    assert isinstance(adapter.bill_hold(request=first, call=desk.call("h", attempt=2)), Done)
    ahead = timedelta(minutes=20)
    assert isinstance(adapter.bill_hold(request=other, call=desk.call("o")), Declined)
    ahead = timedelta(minutes=26)
    assert isinstance(adapter.bill_hold(request=other, call=desk.call("o2")), Done)


def test_no_secret_reaches_the_database_the_log_or_an_error(
    store: Any,
    make_adapter: Callable[..., DepartmentAdapter],
    desk: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    canary = "CANARY-7f3a91"
    store.simulator.options["password"] = canary
    adapter = make_adapter()
    monkeypatch.setenv("MIS_PASSWORD", canary)
    trusted = make_adapter()
    bills = adapter.bill_find(request=BillLookup(store_id="lakeside", slip_nos=tuple(store.three_slips())))
    order = desk.order(bills, [74550, 54648, 16502])
    texts = []
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(Misconfigured) as refused:
            adapter.order_post(request=order, call=desk.call("p"))
        texts.append(repr(refused.value))
        store.fault("drop_before", "postsalescreate")
        with pytest.raises(OutcomeUnknown) as unknown:
            trusted.order_post(request=order, call=desk.call("p", attempt=2))
        texts.append(repr(unknown.value))
        assert isinstance(trusted.order_post(request=order, call=desk.call("p", attempt=3)), Done)
    texts += [caplog.text, Path(store.running.addresses["database"]).read_bytes().decode("latin1")]
    assert not [text for text in texts if canary in text]
