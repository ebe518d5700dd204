"""Every fault of the tills and their uploads: the right outcome class, and never a second bill."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.sdk import (
    Done,
    InvalidReply,
    NotSent,
    Pending,
)
from plugins.convenience.simulator import ConvenienceSimulator
from tests.plugins.convenience.conftest import (
    BRANCHES,
    ZFB_AND_WX,
    Shop,
    connect,
    done,
    sale,
    upload,
    wait_for,
)


@pytest.mark.parametrize("fault", ["drop_after", "latency", "slow", "late_success", "clock_skew"])
def test_a_till_that_acts_and_does_not_answer_is_found_in_the_table(shop: Shop, fault: str) -> None:
    shop.fault(fault, value=3600 if fault == "clock_skew" else 30)
    shop.post(1)
    assert isinstance(shop.query(1), Pending)
    wait_for(lambda: len(shop.rung(1)) == 1)
    upload(shop)
    assert isinstance(shop.query(1), Done)
    assert isinstance(shop.post(1, attempt=2), Done)
    assert len(shop.rung(1)) == 1


def test_a_till_that_claims_and_dies_stays_pending_and_is_not_sent_again(shop: Shop) -> None:
    """Nobody can tell from outside: a person restarts the till program, and then it is rung up once."""
    shop.fault("drop_before")
    shop.post(1)
    wait_for(lambda: bool(list(shop.simulator.drop.glob("*/*.ING"))))
    assert isinstance(shop.query(1), Pending)
    assert isinstance(shop.post(1, attempt=2), Pending)
    shop.do("unstick")
    done(shop, 1)


@pytest.mark.parametrize(
    "fault", ["garbage", "half_body", "bad_signature", "wrong_encoding", "wrong_id", "wrong_amount"]
)
def test_an_answer_that_does_not_fit_is_unknown_never_a_refusal(shop: Shop, fault: str) -> None:
    shop.fault(fault, value=100)
    shop.post(1)
    shop.answered(1)
    with pytest.raises(InvalidReply):
        shop.query(1)
    with pytest.raises(InvalidReply):
        shop.post(1, attempt=2)
    assert len(shop.simulator.books()["bills"]) == 1


@pytest.mark.parametrize("fault", ["garbage", "half_body", "bad_signature", "wrong_encoding"])
def test_the_uploaded_row_settles_what_a_broken_answer_left_open(shop: Shop, fault: str) -> None:
    shop.fault(fault)
    shop.post(1)
    done(shop, 1)


def test_a_bill_of_another_amount_is_never_taken_for_ours(shop: Shop) -> None:
    shop.fault("wrong_amount", value=-50)
    shop.post(1)
    shop.answered(1)
    upload(shop)
    with pytest.raises(InvalidReply, match=r"told 12\.00, rung up 11\.50"):
        shop.query(1)


def test_a_sale_under_somebody_elses_reference_is_not_ours(shop: Shop) -> None:
    shop.fault("wrong_id")
    shop.post(1)
    shop.answered(1)
    upload(shop)
    with pytest.raises(InvalidReply, match="about"):
        shop.query(1)
    shop.do("clean")
    assert isinstance(shop.query(1), Pending)


def test_a_till_that_rings_up_twice_is_done_and_says_so(shop: Shop) -> None:
    shop.fault("duplicate", "order")
    shop.post(1)
    shop.answered(1)
    upload(shop)
    answer = shop.query(1)
    assert isinstance(answer, Done)
    assert [answer.ref, *answer.facts["also_rung_up_as"]] == shop.rung(1)


def test_a_torn_upload_is_pending_until_the_rest_is_there(shop: Shop) -> None:
    shop.fault("torn_upload")
    shop.post(1, sale(tenders=ZFB_AND_WX))
    shop.answered(1)
    upload(shop)
    assert isinstance(shop.query(1), Pending)
    upload(shop)
    assert isinstance(shop.query(1), Done)


def test_the_same_rows_uploaded_twice_count_once(shop: Shop) -> None:
    shop.fault("duplicate", "upload")
    shop.post(1, sale(tenders=ZFB_AND_WX))
    done(shop, 1)


def test_a_bill_uploaded_again_with_one_more_tender_is_noticed(shop: Shop) -> None:
    shop.fault("extra_tender", "upload", value=300)
    shop.post(1)
    shop.answered(1)
    upload(shop)
    with pytest.raises(InvalidReply, match=r"tenders 15\.00"):
        shop.query(1)


def test_a_till_that_loses_its_memory_leaves_it_open_for_a_person(shop: Shop) -> None:
    shop.fault("lose_memory")
    shop.post(1)
    shop.answered(1)
    upload(shop)
    assert isinstance(shop.query(1), Pending)
    assert isinstance(shop.post(1, attempt=2), Pending)
    assert shop.simulator.books()["lost"] and not shop.rung(1)


def test_a_bill_that_head_office_deleted_is_open_again_and_not_sent_again(shop: Shop) -> None:
    shop.fault("deleted", "upload")
    shop.post(1)
    shop.answered(1)
    upload(shop)
    assert isinstance(shop.query(1), Pending)
    assert isinstance(shop.post(1, attempt=2), Pending)
    assert list(shop.simulator.drop.glob("*/*.ORD")) == []


def test_a_late_upload_is_waited_for(tmp_path: Path) -> None:
    simulator = ConvenienceSimulator(tmp_path / "legacy", {"upload_delay_s": "0.05", "poll_ms": "5"})
    simulator.start()
    try:
        late = Shop(simulator, connect(simulator, tmp_path))
        late.fault("late_upload", value=3600, times=None)
        late.post(1)
        late.answered(1)
        time.sleep(0.2)
        assert isinstance(late.query(1), Pending)
        simulator.faults.set([])
        wait_for(lambda: isinstance(late.query(1), Done))
    finally:
        simulator.stop()


def test_a_locked_database_is_not_waited_for_for_ever(shop: Shop, tmp_path: Path) -> None:
    """One try with a bounded wait, never a retry of a retry: the known uploader recursed until its stack was gone."""
    import threading

    hurried = connect(shop.simulator, tmp_path, lock_wait_s=0.05)
    shop.post(1)
    shop.answered(1)
    shop.fault("locked", "upload", value=600)
    thread = threading.Thread(target=upload, args=(shop,))
    thread.start()
    wait_for(lambda: not shop.simulator.faults.list())
    began = datetime.now(UTC)
    with pytest.raises(NotSent, match="locked"):
        hurried.check()
    assert datetime.now(UTC) - began < timedelta(seconds=0.5)
    thread.join(5)
    assert isinstance(shop.query(1), Done)


def test_a_full_disk_at_our_side_is_not_sent(shop: Shop, tmp_path: Path) -> None:
    settings = {"database": "none.db", "drop_folder": str(shop.simulator.drop), "branches": BRANCHES}
    code = f"""
import resource, signal
from pathlib import Path
from gateway.sdk import NotSent
from gateway.testing.context import build, call
from plugins.convenience.adapter import ConvenienceAdapter
from tests.plugins.convenience.conftest import key, sale
adapter = build(ConvenienceAdapter, {settings!r}, Path({str(tmp_path)!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    adapter.order_post(request=sale(), call=call(key(1)))
except NotSent as error:
    print("not sent:", error)
"""
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=30)
    assert "not sent: order file not written" in run.stdout, run.stderr
    assert list(shop.simulator.drop.glob("*/*")) == []


def test_references_with_quotes_cannot_break_a_search(shop: Shop) -> None:
    """The known uploader pasted values into its SQL: everything here is a bound parameter."""
    for nasty in ("' OR 1=1 --", "O'Neil", "%", "\x00"):
        assert shop.adapter._head_office.payments_by_memo(nasty, 0) == []


@pytest.mark.parametrize("delay_ms", [0, 2, 8])
def test_a_sender_killed_at_any_moment_leaves_one_bill_or_none(shop: Shop, tmp_path: Path, delay_ms: int) -> None:
    """kill -9 around the drop: the folder holds a whole file or nothing, and a second attempt makes it exactly one."""
    settings = {
        "database": str(shop.simulator.head_office.path),
        "drop_folder": str(shop.simulator.drop),
        "branches": BRANCHES,
    }
    code = f"""
import sys
import time
from pathlib import Path
from gateway.testing.context import build, call
from plugins.convenience.adapter import ConvenienceAdapter
from tests.plugins.convenience.conftest import key, sale
adapter = build(ConvenienceAdapter, {settings!r}, Path({str(tmp_path)!r}))
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
adapter.order_post(request=sale(), call=call(key(1)))
sys.stdin.readline()
"""
    sender = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with sender:
        assert sender.stdout and sender.stdout.readline() == b"ready\n" and sender.stdin
        sender.stdin.write(b"go\n")
        sender.stdin.flush()
        time.sleep(delay_ms / 1000)
        sender.kill()
    shop.post(1, attempt=2)
    shop.answered(1)
    assert len(shop.rung(1)) == 1
    assert not list(shop.simulator.drop.glob("*/*.ERR"))
