"""The legacy system's own quirks, so that what the adapter is tested against is what its profile says."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from plugins.department.protocol import parse_day_file
from plugins.department.protocol_sales import encode_call, parse_call
from plugins.department.simulator import DepartmentSimulator

SHOES, SCARF = "6901000000018", "6901000000216"
HEADER = {"username": "user", "password": "password", "licensekey": "license"}


def ask(store: Any, operation: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    url = f"http://{store.running.addresses['soap']}/sales.asmx"
    body = encode_call(operation, {"astr_request": {"header": HEADER, **(request or {})}})
    reply = requests.post(url, body, timeout=5)
    _, fields = parse_call(reply.content)
    return dict(fields[f"{operation}Result"])


def code(answer: dict[str, Any]) -> tuple[str, str]:
    return answer["header"]["responsecode"], answer["header"]["responsemessage"]


def sale(document: str, net: str = "199.00", **total: str) -> dict[str, Any]:
    head = {"txdate_yyyymmdd": "20140308", "storecode": "S001", "tillid": "T9", "txdocno": document}
    head |= {"txtime_hhmmss": "120000", "salestype": "SA", "netamount": net, "paidamount": net, **total}
    item = {"lineno": "1", "storecode": "K3", "itemcode": SCARF, "plucode": "J3001", "qty": "1", "netamount": net}
    tender = {"lineno": "1", "tendercode": "CH", "payamount": net}
    return {"salestotal": head, "salesitems": {"salesitem": item}, "salestenders": {"salestender": tender}}


def test_the_same_receipt_number_is_refused_the_second_time(store: Any) -> None:
    assert code(ask(store, "postsalescreate", sale("1"))) == ("0", "")
    assert code(ask(store, "postsalescreate", sale("1"))) == ("-1", "单号重复")
    assert [one["net"] for one in store.books["sales"]] == [19900]


def test_sums_that_do_not_add_up_are_refused_and_nothing_is_booked(store: Any) -> None:
    wrong = sale("1")
    wrong["salestenders"]["salestender"]["payamount"] = "198.99"
    assert code(ask(store, "postsalescreate", wrong)) == ("-1", "付款金额不平")
    split = {"goods_line_no": "1", "payment_line_no": "1", "split_amount": "1.00"}
    assert code(ask(store, "postsalescreate", {**sale("2"), "splitpromotions": {"splitpromotion": split}}))[0] == "-1"
    assert store.books["sales"] == []


def test_wrong_credentials_and_garbage_are_answered_never_a_crash(store: Any) -> None:
    url = f"http://{store.running.addresses['soap']}/sales.asmx"
    body = encode_call("postsalescreate", {"astr_request": {"header": {"username": "x"}}})
    assert "用户名或密码错误" in requests.post(url, body, timeout=5).text
    for junk in (b"", b"\xff\xfe", b"<x/>", encode_call("dropall", {}), encode_call("postsalescreate", {})):
        assert requests.post(url, junk, timeout=5).status_code in (200, 500)
    odd = {"salestotal": {"txdocno": {"a": "b"}}, "slips": "x", "payrows": "y"}
    for operation in ("postsalescreate", "caldecmoney", "postdailysalessummary"):
        assert code(ask(store, operation, odd))[0] in ("-1", "-100")


def test_the_promotion_counts_every_full_500_without_the_gift_card(store: Any) -> None:
    """Example E30, and the base of 每满减 without the gift-card row."""
    slips = store.three_slips()
    answer = ask(store, "caldecmoney", {"slips": {"slipno": slips}})
    assert (answer["originalamount"], answer["totalless"], answer["netamount"]) == ("1757.00", "300.00", "1457.00")
    assert [row["promotionless"] for row in answer["calclines"]["calcline"]] == ["153.50", "112.52", "33.98"]
    gift = {"payrow": {"paycode": "GC", "payamount": "300.00"}}
    assert ask(store, "caldecmoney", {"slips": {"slipno": slips}, "payrows": gift})["totalless"] == "200.00"
    member = ask(store, "caldecmoney", {"slips": {"slipno": slips}, "vipcode": "V880001"})
    assert [row["memberless"] for row in member["calclines"]["calcline"]] == ["44.95", "32.95", "9.95"]


def test_sixteen_tills_upload_at_once_and_each_number_is_booked_once(store: Any) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: code(ask(store, "postsalescreate", sale(str(number % 40)))), range(80)))
    assert answers.count(("0", "")) == 40
    assert answers.count(("-1", "单号重复")) == 40
    assert store.books["net"] == 40 * 19900


def test_a_slip_holds_its_goods_and_the_night_job_voids_it(store: Any) -> None:
    slip = store.slip("K1", SHOES, quantity="2")
    assert store.stock("K1", SHOES) == ("12.000", "2.000")
    assert store.do("void_unpaid") == {"voided": [slip]}
    assert store.stock("K1", SHOES) == ("12.000", "0.000")
    assert store.books["slips"][slip]["state"] == "9"


def test_the_leak_fault_leaves_the_goods_of_a_voided_slip_held(store: Any) -> None:
    slip = store.slip("K1", SHOES)
    store.fault("zysl_leak")
    store.do("void_slip", slip_no=slip)
    assert store.stock("K1", SHOES) == ("12.000", "1.000")


def test_goods_leave_the_stock_when_they_are_picked_up(store: Any) -> None:
    slip = store.slip("K1", SHOES)
    with pytest.raises(ValueError, match="not paid"):
        store.do("pick_up", slip_no=slip)
    store.do("till_sale", slip_nos=[slip])
    store.do("pick_up", slip_no=slip)
    assert store.stock("K1", SHOES) == ("11.000", "0.000")


def test_offline_receipts_come_from_a_range_of_their_own(store: Any) -> None:
    numbers = [
        store.do("till_sale", slip_nos=[store.slip("K1", SHOES)], offline=offline)["document"]
        for offline in (False, True, False, True)
    ]
    assert numbers == ["000001", "900001", "000002", "900002"]


def test_char_columns_are_padded_in_bytes(store: Any) -> None:
    with sqlite3.connect(store.running.addresses["database"]) as connection:
        name, counter = connection.execute("SELECT mc, ckno FROM CK WHERE ckno = 'K1    '").fetchone()
    connection.close()
    assert len(name.encode("gb18030")) == 40
    assert counter == "K1    "


def test_an_invoice_is_made_once_a_receipt(store: Any) -> None:
    ask(store, "postsalescreate", sale("1"))
    store.do("invoice", document="1", till="T9", txdate="20140308")
    with pytest.raises(ValueError, match="already"):
        store.do("invoice", document="1", till="T9", txdate="20140308")


def test_the_day_total_call_tells_a_difference_as_text_only(store: Any) -> None:
    ask(store, "postsalescreate", sale("1"))
    day = {"txdate_yyyymmdd": "20140308", "storecode": "S001", "tillid": "T9", "totalcount": "1"}
    assert code(ask(store, "postdailysalessummary", {**day, "totalamount": "199.00"})) == ("0", "核对一致")
    assert code(ask(store, "postdailysalessummary", {**day, "totalamount": "198.00"})) == (
        "-1",
        "日结不符: 商场199.00元/1笔, 上传198.00元/1笔",
    )


def test_the_nightly_file_may_lack_a_counter_or_be_torn(store: Any, today: date) -> None:
    store.do("till_sale", slip_nos=store.three_slips(), tender="CC")

    def files() -> bytes:
        return Path(store.do("nightly", business_date=today.isoformat())["files"][0]).read_bytes()

    whole = files()
    assert [row.counter for row in parse_day_file(whole)] == ["K1", "K2", "K3"]
    store.fault("day_file_missing_counter")
    assert [row.counter for row in parse_day_file(files())] == ["K1", "K2"]
    store.fault("day_file_torn")
    assert files() == whole[:-40]
    store.fault("disk_full", "nightly")
    assert store.do("nightly") == {"files": []}


def test_a_restart_keeps_the_books(store: Any) -> None:
    ask(store, "postsalescreate", sale("1"))
    before = store.books
    again = DepartmentSimulator(store.simulator.data)
    assert again.books() == before


def test_latency_and_levers_that_do_not_exist(store: Any) -> None:
    with pytest.raises(ValueError, match="no lever"):
        store.do("dance")
    with pytest.raises(ValueError, match="unknown fault"):
        store.fault("dance")
    reply = requests.post(f"{store.running.panel.url}/control", json={"do": "issue_slip"}, timeout=5)
    assert reply.status_code == 400


def test_rebate_coupons_come_from_another_server_a_minute_later(store: Any) -> None:
    big = sale("1", "1280.00")
    assert code(ask(store, "postsalescreate", big))[0] == "0"
    assert store.books["rebates"] == []
    store.fault("clock_skew", times=None, value=61)
    assert [row["amount"] for row in store.books["rebates"]] == [5000]
