"""A gateway process killed at each journalled moment of a change: what was begun is ended once by another process."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import BillHold, BillLookup, Charge, Done, Method, NotFound, Query, Site, Step

CHILD = """
import os, pickle, signal, sys
from gateway.testing.context import build, call
with open(sys.argv[1], "rb") as file:
    plan = pickle.load(file)
module, name = plan["adapter"]
adapter = build(getattr(__import__(module, fromlist=[name]), name), plan["settings"], plan["folder"])
seen = []
def journal(step):
    seen.append(step)
    if len(seen) == plan["kill_at"]:
        with open(plan["steps"], "wb") as file:
            pickle.dump(seen, file)
        os.kill(os.getpid(), signal.SIGKILL)
made = call(plan["key"], seconds=5)
object.__setattr__(made, "journal", journal)
getattr(adapter, plan["hook"])(request=plan["request"], call=made)
"""


def killed_at(tmp_path: Path, kill_at: int, **plan: Any) -> tuple[Step, ...]:
    """Run one hook in a process that kills itself at its nth journal entry; return what it had journalled."""
    folder = tmp_path / f"child{kill_at}"
    folder.mkdir()
    script = {**plan, "folder": folder, "kill_at": kill_at, "steps": folder / "steps"}
    (folder / "plan").write_bytes(pickle.dumps(script))
    child = subprocess.run([sys.executable, "-c", CHILD, str(folder / "plan")], timeout=30, check=False)
    assert child.returncode == -signal.SIGKILL
    return tuple(pickle.loads((folder / "steps").read_bytes()))


def raw_settings(store: Any) -> dict[str, Any]:
    return {
        "soap_url": f"http://{store.running.addresses['soap']}/sales.asmx",
        "user": "user",
        "password": "env:MIS_PASSWORD",
        "license": "env:MIS_LICENSE",
        "database": store.running.addresses["database"],
        "stores": {"lakeside": "S001"},
        "till": "T901",
    }


ADAPTER = ("plugins.department.adapter", "DepartmentAdapter")


@pytest.mark.parametrize("kill_at", [1, 2, 3, 4])
def test_a_sale_is_booked_once_and_its_slips_are_paid(
    store: Any, adapter: Any, desk: Any, tmp_path: Path, kill_at: int
) -> None:
    lookup = BillLookup(store_id="lakeside", slip_nos=tuple(store.three_slips()))
    order = desk.order(adapter.bill_find(request=lookup), [74550, 54648, 16502])
    plan = {"adapter": ADAPTER, "settings": raw_settings(store), "hook": "order_post", "request": order}
    steps = killed_at(tmp_path, kill_at, key=desk.key("p"), **plan)
    asked = Query(hook="order_post", key=desk.key("p"), request=order, sent_at=datetime.now(UTC), steps=steps)
    before = adapter.order_query(request=asked)
    assert isinstance(before, Done if kill_at == 4 else NotFound)
    done = adapter.order_post(request=order, call=desk.call("p", attempt=2, journal=list(steps)))
    assert isinstance(done, Done)
    assert [sale["document"] for sale in store.books["sales"]] == [done.ref]
    assert {slip["state"] for slip in store.books["slips"].values()} == {"1"}
    assert isinstance(adapter.order_query(request=asked), Done)


@pytest.mark.parametrize("kill_at", [1, 4])
def test_slips_half_locked_are_all_locked_by_the_next_attempt(
    store: Any, adapter: Any, desk: Any, site: Site, tmp_path: Path, kill_at: int
) -> None:
    bills = adapter.bill_find(request=BillLookup(store_id="lakeside", slip_nos=tuple(store.three_slips())))
    request = BillHold(site=site, bills=desk.refs(bills), order_no="PF1")
    plan = {"adapter": ADAPTER, "settings": raw_settings(store), "hook": "bill_hold", "request": request}
    steps = killed_at(tmp_path, kill_at, key=desk.key("h"), **plan)
    asked = Query(hook="bill_hold", key=desk.key("h"), request=request, sent_at=datetime.now(UTC), steps=steps)
    assert adapter.order_query(request=asked) == NotFound()
    assert isinstance(adapter.bill_hold(request=request, call=desk.call("h", attempt=2)), Done)
    assert isinstance(adapter.order_query(request=asked), Done)


@pytest.mark.parametrize("kill_at", [1, 2])
def test_a_card_is_charged_at_most_once(terminal: Any, desk: Any, site: Site, tmp_path: Path, kill_at: int) -> None:
    """The dead process had the only memory of the charge: the journalled step is enough to find it."""
    charge = Charge(amount=9900, currency="CNY", method=Method.BANK_CARD, order_no="PF1", subject="x", site=site)
    adapter = ("plugins.department.terminal_adapter", "BankTerminalAdapter")
    plan = {"adapter": adapter, "settings": {"folder": str(terminal.folder)}, "hook": "payment_charge"}
    steps = killed_at(tmp_path, kill_at, key=desk.key("c"), request=charge, **plan)
    asked = Query(hook="payment_charge", key=desk.key("c"), request=charge, sent_at=datetime.now(UTC), steps=steps)
    found = terminal.adapter().payment_query(request=asked)
    assert isinstance(found, NotFound if kill_at == 1 else Done)
    assert len(terminal.kinds()) == kill_at - 1
