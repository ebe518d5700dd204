"""Protects the simulated tills: the quirks and refusals that the adapter has to live with are really there."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.sdk.simulator import Fault, start
from plugins.restaurant.protocol import encode_form, parse_sold_out
from plugins.restaurant.protocol_bill import parse_bill
from plugins.restaurant.simulator import RestaurantSimulator
from plugins.restaurant.simulator_seed import load_dishes, load_shops
from tests.plugins.restaurant.support import Chain


def test_there_are_34_shops_in_four_cities_and_packages_name_known_dishes() -> None:
    shops, dishes = load_shops(), load_dishes()
    assert len(shops) == 34
    assert {shop.city for shop in shops.values()} == {"上海", "北京", "杭州", "深圳"}
    assert len({shop.name for shop in shops.values()}) == 34
    assert all(part in dishes for dish in dishes.values() for part, _ in dish.components)


def test_the_till_says_utf8_and_sends_gbk_over_http_1_0(chain: Chain) -> None:
    url = urlsplit(chain.addresses["till"])
    body = encode_form({"opr": "9001", "pwd": "wrong", "table": "A01"})
    head = f"POST /till/SH01/bill HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
        connection.sendall(head + body)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.0 200 ")
    assert b"charset=utf-8" in answer
    assert "操作员或密码错误".encode("gbk") in answer


def test_an_error_is_http_200_with_a_code(chain: Chain) -> None:
    assert chain.till("open", table="A01").code == 0
    again = chain.till("open", table="A01")
    assert (again.code, again.msg) == (50003, "请勿重复开台")
    assert chain.till("open", table="Z99").code == 50007
    assert chain.till("dance").code == 50001
    assert chain.till("bill", shop="XX99", table="A01").code == 50002


def test_order_knows_its_serial_until_the_till_restarts(chain: Chain) -> None:
    bill = str(chain.till("open", table="A01").data["bsId"])
    for _ in range(2):
        assert chain.till("order", bsId=bill, items="D0101,1", serial="S1").code == 0
    assert chain.books(bill)["lines"] == 1
    chain.pull("restart")
    chain.till("order", bsId=bill, items="D0101,1", serial="S1")
    assert chain.books(bill)["lines"] == 2


def test_order_forgets_its_serial_after_ten_minutes(chain: Chain) -> None:
    bill = str(chain.till("open", table="A01").data["bsId"])
    chain.till("order", bsId=bill, items="D0101,1", serial="S1")
    chain.fault("clock_skew", times=None, value=601)
    chain.till("order", bsId=bill, items="D0101,1", serial="S1")
    assert chain.books(bill)["lines"] == 2


def test_a_second_pay_takes_the_money_twice(chain: Chain) -> None:
    bill = chain.seat()
    for _ in range(2):
        chain.till("pay", bsId=bill.bill_id, payCode="03", money="10.00", memo="same")
    assert chain.books(bill.bill_id)["paid_amount"] == 2000


def test_cash_over_the_due_amount_is_change_and_anything_else_is_kept(chain: Chain) -> None:
    cash, wechat = chain.seat(), chain.seat()
    chain.till("pay", bsId=cash.bill_id, payCode="01", money="500.00")
    chain.till("pay", bsId=wechat.bill_id, payCode="03", money="500.00")
    assert chain.books(cash.bill_id)["paid_amount"] == cash.due_amount
    assert chain.books(wechat.bill_id)["paid_amount"] == 50_000


def test_the_worked_bill_with_member_price_and_service_charge(chain: Chain) -> None:
    # Dishes 88.00, 128.55, 46.00, 38.00 at 9折, drinks 36.00 and 50.00, 10 % service, 抹零 to jiao.
    items: list[dict[str, object]] = [{"dish": code} for code in ("D0101", "D0102", "D0104", "D0106", "D0502")]
    items.append({"dish": "D0506", "qty": 2})
    for shop, service, wipe, total in (("SH01", 3565, 5, 39210), ("SH04", 3866, 6, 39510)):
        opened = chain.pull("seat", shop=shop, items=items)
        reply = chain.till("bill", shop=shop, bsId=str(opened["bsId"]), trial="1")
        bill = parse_bill(reply.data["bill"])
        assert (bill.service_amount, bill.wipe_amount, bill.total_amount) == (service, wipe, total)


def test_member_price_and_campaign_price_exclude_each_other(chain: Chain) -> None:
    opened = chain.pull("seat", items=[{"dish": "D0107"}, {"dish": "D0101"}])
    bill = parse_bill(chain.till("bill", bsId=str(opened["bsId"]), trial="1").data["bill"])
    assert [(row.discount_flag, row.last_amount) for row in bill.lines] == [("P", 7800), ("M", 7920)]


def test_a_package_head_is_priced_and_its_components_cost_nothing(chain: Chain) -> None:
    opened = chain.pull("seat", shop="SH02", items=[{"dish": "P0001", "qty": "2"}])
    bill = parse_bill(chain.till("bill", shop="SH02", bsId=str(opened["bsId"])).data["bill"])
    assert bill.total_amount == 2 * 19800
    assert [row.package for row in bill.lines] == [1, 2, 2, 2, 2, 2]
    assert {row.last_amount for row in bill.lines[1:]} == {0}
    assert bill.lines[4].quantity == 4000


@pytest.mark.parametrize(("quantity", "difference"), [("0.204", 1), ("0.320", -1)])
def test_the_total_may_differ_from_its_printed_lines_by_a_fen(chain: Chain, quantity: str, difference: int) -> None:
    # 118.55 × 0.204 = 24.1842 and × 0.320 = 37.9360: three times the cut-off part is a fen.
    opened = chain.pull("seat", shop="SH02", items=[{"dish": "D0202", "qty": quantity}] * 3)
    bill = parse_bill(chain.till("bill", shop="SH02", bsId=str(opened["bsId"])).data["bill"])
    assert bill.total_amount - sum(row.last_amount for row in bill.lines) == difference


def test_a_pre_billed_bill_takes_no_dish_until_it_is_taken_back(chain: Chain) -> None:
    bill = chain.seat()
    assert chain.till("prebill", bsId=bill.bill_id, memo="x").code == 0
    assert chain.till("order", bsId=bill.bill_id, items="D0101,1").code == 50005
    assert chain.till("prebill", bsId=bill.bill_id).code == 50005
    assert chain.till("reopen", bsId=bill.bill_id).code == 0
    assert chain.till("order", bsId=bill.bill_id, items="D0101,1").code == 0


def test_a_table_is_not_cleared_while_it_is_unpaid(chain: Chain) -> None:
    bill = chain.seat(table="A05")
    assert chain.till("clear", table="A05").code == 50041
    chain.till("pay", bsId=bill.bill_id, payCode="03", money=f"{bill.due_amount / 100:.2f}")
    assert chain.till("clear", table="A05").code == 0
    assert chain.till("clear", bsId=bill.bill_id).code == 50042
    assert chain.till("open", table="A05").code == 0


def test_reopen_takes_back_every_row_and_ends_with_the_business_day(chain: Chain) -> None:
    bill = chain.seat()
    money = f"{bill.due_amount / 100:.2f}"
    chain.till("pay", bsId=bill.bill_id, payCode="03", money=money)
    assert chain.till("reopen", bsId=bill.bill_id).code == 0
    assert chain.books(bill.bill_id)["paid_amount"] == 0
    chain.till("pay", bsId=bill.bill_id, payCode="03", money=money)
    assert chain.books(bill.bill_id)["settle_state"] == -1
    chain.pull("close_day")
    assert chain.till("reopen", bsId=bill.bill_id).code == 50021


def test_tables_move_and_bills_merge(chain: Chain) -> None:
    one, two = chain.seat(table="A01"), chain.seat(table="A02")
    assert chain.till("move", bsId=one.bill_id, to="A02").code == 50003
    assert chain.till("move", bsId=one.bill_id, to="V01").code == 0
    assert chain.till("merge", bsId=two.bill_id, into=one.bill_id).code == 0
    assert chain.books(one.bill_id)["lines"] == 6
    assert chain.till("open", table="A02").code == 0


def test_a_sold_out_dish_is_refused_and_nothing_can_be_held(chain: Chain) -> None:
    bill = chain.seat()
    assert chain.till("order", bsId=bill.bill_id, items="D0110,1").code == 50011
    chain.pull("set_soldout", dish="D0118", left=2)
    assert chain.till("order", bsId=bill.bill_id, items="D0118,2|D0101,1").code == 0
    assert chain.till("order", bsId=bill.bill_id, items="D0118,1").code == 50011


def test_returned_dishes_leave_the_bill_and_give_their_portions_back(chain: Chain) -> None:
    bill = chain.seat(items=[{"dish": "D0118", "qty": "2"}, {"dish": "D0101"}])
    assert chain.till("return", bsId=bill.bill_id, lineNo="1", qty="1", reason="x").code == 0
    assert chain.simulator.books()["left"]["SH01"]["D0118"] == 7.0
    assert chain.till("return", bsId=bill.bill_id, lineNo="1", qty="5").code == 50013


def test_the_sold_out_file_is_written_with_its_trailer(chain: Chain) -> None:
    path = Path(chain.pull("write_soldout")["path"])
    rows = parse_sold_out(path.read_bytes())
    assert len(rows) == 34 * 4
    assert ("SH01", "D0203", 20_500) in {(row.shop, row.dish, row.left) for row in rows}


def test_the_books_survive_a_restart(tmp_path: Path) -> None:
    first = start(RestaurantSimulator(tmp_path, {"soldout_every_s": "0"}))
    bill = str(first.simulator.control({"do": "seat", "shop": "SH01"})["bsId"])
    first.simulator.control({"do": "set_soldout", "shop": "SH01", "dish": "D0118", "left": 3})
    first.stop()
    second = start(RestaurantSimulator(tmp_path, {"soldout_every_s": "0"}))
    books = second.simulator.books()
    second.stop()
    assert bill in books["bills"]
    assert books["left"]["SH01"]["D0118"] == 3.0


def test_many_clients_at_once_lose_nothing(chain: Chain) -> None:
    bill = chain.seat()

    def pay() -> None:
        for _ in range(10):
            chain.till("pay", bsId=bill.bill_id, payCode="03", money="0.01")

    threads = [threading.Thread(target=pay) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    rows = chain.books(bill.bill_id)["tenders"]
    assert [row["ts_id"] for row in rows] == list(range(1, 81))


@pytest.mark.parametrize("payload", [b"\x00\xff\xfe", b"GET / HTTP/9\r\n\r\n", b"POST /till/SH01/pay HTTP/1.0\r\n\r\n"])
def test_garbage_does_not_stop_the_till(chain: Chain, payload: bytes) -> None:
    url = urlsplit(chain.addresses["till"])
    with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
        connection.sendall(payload)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(100)
    assert chain.till("tables").code == 0


def test_a_signature_fault_is_not_offered_and_unknown_faults_are_refused(chain: Chain) -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        chain.simulator.faults.set([Fault("bad_signature")])
