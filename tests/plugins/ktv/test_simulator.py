"""The simulated till's own quirks, over a real socket: what the adapter is built against must itself be right."""

import contextlib
import json
import random
import socket
import threading
import urllib.request

import pytest

from gateway.sdk.simulator import start
from plugins.ktv import protocol as p
from plugins.ktv import replies
from plugins.ktv.mapping import checked
from plugins.ktv.simulator import KtvSimulator
from plugins.ktv.simulator_state import Refused


def opened(shop, room="805", plan="H", minutes=120):
    return replies.read_number(shop.wire.ask("OP", room, plan, str(minutes), "4", "", ""))


def bill(shop, number):
    return replies.read_bill(shop.wire.ask("BL", number))


def room(shop, code):
    rows = replies.read_rooms(shop.wire.ask("RS", "*"))
    return next(row for row in rows if row.room == code)


def test_an_evening_across_two_price_slots_with_a_minimum_spend(open_shop):
    shop = open_shop(clock="14-03-06 16:30:00")
    number = opened(shop, "805", "H", 180)
    for code in ("D001", "D002", "D003", "D004"):
        shop.do("order", bill=number, code=code)
    found = bill(shop, number)
    assert found.room_fee == 7200 + 14700, "16:30–18:00 at 48.00 and 18:00–19:30 at 98.00, each rounded once"
    assert (found.counted, found.minimum, found.top_up) == (25400, 40000, 14600)
    assert found.drinks == 25400 + 2800, "cigarettes cost money but do not count"
    assert found.due == 64700


def test_numbers_carry_the_evenings_date_until_six_and_restart_then(open_shop):
    shop = open_shop(clock="14-03-09 01:15:00")
    assert opened(shop, "801") == "K1403080001"
    assert opened(shop, "802") == "K1403080002"
    shop.do("close_day")
    assert opened(shop, "803") == "K1403090001"


def test_seq_is_echoed_and_not_stored_so_a_command_sent_twice_acts_twice(shop):
    again = p.encode_request("OP", 5, ["801", "TC03", "180", "4", "", ""])
    first, second = shop.wire.exchange(again)[0], shop.wire.exchange(again)[0]
    assert first.seq == second.seq == 5
    numbers = {replies.read_number(first), replies.read_number(second)}
    assert len(numbers) == 2, "two bills for one room"
    pay = p.encode_request("PY", 6, [max(numbers), "RMB", "50.00", "REF"])
    shop.wire.exchange(pay)
    shop.wire.exchange(pay)
    assert shop.books()["money"]["taken"] == 10000


def test_the_room_is_closed_to_openings_once_the_song_system_has_confirmed(open_shop):
    shop = open_shop(clock="14-03-06 20:00:00", lazy_s="0")
    opened(shop, "801")
    assert shop.wire.ask("OP", "801", "H", "60", "2", "", "").ret == p.WRONG_STATE


def test_names_are_cut_at_ten_bytes_in_the_middle_of_a_character(shop):
    rows = replies.read_rooms(shop.wire.ask("RS", "*"))
    assert len(rows) == 12
    assert next(row.name for row in rows if row.room == "812") == "8楼银河大"
    assert replies.read_member(shop.wire.ask("MB", "86000003")).name == "A李思源同"


def test_text_holds_a_pipe_now_and_then(shop):
    tails = [shop.wire.ask("PL", "S", "14-03-06").tail for _ in range(4)]
    assert any(tail.startswith("成功|3号打印机缺纸|".encode("gbk")) for tail in tails)
    assert {replies.read_prices(p.Reply("PL", 1, 0, tail))[1][2].code for tail in tails} == {"TC03"}


def test_extension_only_while_time_is_bought_and_only_before_the_end(shop):
    number = opened(shop, "803", "TC01")
    ends, amount = replies.read_change(shop.wire.ask("EX", number, "60"))
    assert p.format_time(ends) == "14-03-07 00:00:00" and amount == 5800
    shop.do("forward", minutes=300)
    assert shop.wire.ask("EX", number, "60").ret == p.PAST_END
    shop.do("pay", bill=number, amount=6800 + 5800)
    shop.do("close", bill=number)
    assert shop.wire.ask("EX", number, "60").ret == p.BILL_CLOSED


def test_a_settled_room_is_cleaned_and_then_turns_idle_by_itself(shop):
    number = opened(shop, "801", "TC03")
    assert shop.wire.ask("CL", number).ret == p.UNPAID
    shop.do("pay", bill=number, amount=16800)
    shop.wire.ask("CL", number)
    states = [room(shop, "801").state]
    for minutes in (1.1, 9.5, 0.6):
        shop.do("forward", minutes=minutes)
        states.append(room(shop, "801").state)
    assert states == [p.SETTLED, p.CLEANING, p.CLEANING, p.IDLE]


def test_too_much_money_is_taken_as_change(shop):
    number = opened(shop, "801", "TC03")
    shop.wire.ask("PY", number, "RMB", "200.00", "A" * 25)
    found = bill(shop, number)
    assert (found.paid, found.due, found.money[0].change) == (16800, 0, 3200)
    assert found.money[0].ref == "A" * 20, "a reference has room for twenty bytes"


def test_a_booking_blocks_the_room_only_half_an_hour_before(shop):
    shop.do("book", room="801", start="14-03-06 21:00:00")
    assert room(shop, "801").state == p.IDLE
    assert shop.wire.ask("BK", "801", "14-03-06 22:00:00", "60", "", "x").ret == p.ROOM_BOOKED
    shop.do("forward", minutes=31)
    assert room(shop, "801").state == p.BOOKED
    assert shop.wire.ask("OP", "801", "H", "60", "2", "", "").ret == p.ROOM_BOOKED
    booking = room(shop, "801").booking
    assert shop.wire.ask("OP", "801", "H", "60", "2", "", booking).ok


def test_bookings_by_class_can_overbook(shop):
    numbers = [shop.do("book", room="V", start="14-03-06 20:10:00")["booking"] for _ in range(3)]
    assert len(set(numbers)) == 3, "two rooms of that class, three bookings"
    shown = [row.booking for row in replies.read_rooms(shop.wire.ask("RS", "9F")) if row.booking]
    assert len(shown) == 2


def test_deposits_wait_at_the_room_move_to_the_bill_and_pay(shop):
    assert shop.wire.ask("YJ", "805", "300.00", "DEP").ok
    number = opened(shop, "805", "TC02")
    assert bill(shop, number).deposit == 30000
    assert shop.wire.ask("PY", number, "YJ", "300.01", "").ret == p.NO_DEPOSIT
    shop.wire.ask("PY", number, "YJ", "198.00", "P")
    shop.wire.ask("YJ", number, "-102.00", "BACK")
    found = bill(shop, number)
    assert (found.deposit, found.due) == (0, 0)
    assert [(row.kind, row.amount) for row in found.money] == [("Y", 30000), ("P", 19800), ("Y", -10200)]


def test_only_whole_refunds_of_settled_bills_and_only_by_the_managers_code(shop):
    number = opened(shop, "801", "TC03")
    assert shop.wire.ask("TD", number, "668899").ret == p.WRONG_STATE
    shop.do("pay", bill=number, amount=16800)
    shop.do("close", bill=number)
    assert shop.wire.ask("TD", number, "000000").ret == p.FORBIDDEN
    assert replies.read_refund(shop.wire.ask("TD", number, "668899")) == ("T1403060001", 16800)
    assert shop.wire.ask("TD", number, "668899").ret == p.WAS_REFUNDED
    assert shop.books()["money"] == {
        "taken_by_tender": {"RMB": 16800}, "taken": 16800, "change": 0, "refunded": 16800, "deposits_held": 0,
    }  # fmt: skip


def test_a_bill_moves_with_its_guests_and_merges(shop):
    number, other = opened(shop, "803"), opened(shop, "806")
    _, more = replies.read_change(shop.wire.ask("MV", number, "810"))
    assert more == 2 * (16800 - 5800)
    assert room(shop, "803").state == p.CLEANING and room(shop, "810").bill == number
    assert shop.wire.ask("MG", number, other).ok
    assert bill(shop, number).state == p.BILL_MERGED


def test_books_survive_a_restart_and_room_states_only_without_the_fault(open_shop):
    shop = open_shop(clock="14-03-06 20:00:00")
    number = opened(shop, "801")
    shop.simulator.stop()
    again = open_shop(clock="14-03-06 20:05:00")
    assert room(again, "801").bill == number
    again.fault("lose_memory")
    again.do("restart")
    assert room(again, "801").state == p.IDLE and bill(again, number).state == p.BILL_OPEN


def test_one_connection_at_a_time_and_the_others_wait_with_their_bytes(shop):
    with socket.create_connection(shop.wire.address, timeout=3) as first:
        results = []
        thread = threading.Thread(target=lambda: results.append(shop.wire.ask("RS", "8F").ok))
        thread.start()
        thread.join(0.1)
        assert not results, "the second client waits while the first one is connected"
        first.sendall(p.encode_request("RS", 1, ["9F"]))
        assert shop.wire.frames(first, 1)[0].ok
    thread.join(3)
    assert results == [True]


def test_a_request_left_behind_by_a_client_that_gave_up_still_acts(shop):
    with socket.create_connection(shop.wire.address):
        waiting = socket.create_connection(shop.wire.address)
        waiting.sendall(p.encode_request("OP", 1, ["801", "H", "60", "2", "", ""]))
        waiting.close()
    assert room(shop, "801").state == p.OPEN


@pytest.mark.parametrize("junk", [b"", b"hello there", b"0000", b"9999", b"0003a|b", b"\xff" * 50, b"0005RS|x|"])
def test_garbage_never_takes_the_till_down(shop, junk):
    with socket.create_connection(shop.wire.address, timeout=3) as peer:
        peer.sendall(junk)
    assert shop.wire.ask("RS", "*").ok


@pytest.mark.parametrize("fields", [("801",), ("801", "H", "x", "4", "", ""), ("801", "H", "-5", "4", "", "")])
def test_bad_fields_are_refused_without_acting(shop, fields):
    assert shop.wire.ask("OP", *fields).ret == p.BAD_FIELDS
    assert shop.books()["bills"] == {}


def drawn(draw, till, now):
    """A command of the right shape about things that are there, or were."""
    bill = draw.choice(list(till.bills)[-8:] or ["K1403060001"])
    room, booking = draw.choice(list(till.rooms)), draw.choice(list(till.bookings) or ["Y1403060001"])
    due = till.bills[bill].total - till.bills[bill].paid if bill in till.bills else 1
    minutes, amount = draw.choice(["30", "180"]), draw.choice(["1.00", "168.00", p.format_money(max(1, due))])
    start = p.format_time(p.local_time(now + draw.randrange(-3600, 7200)))
    return draw.choice([
        ("OP", room, draw.choice(["H", "TC03"]), minutes, "4", "", draw.choice(["", booking])),
        ("EX", bill, minutes), ("MV", bill, room), ("MG", bill, draw.choice(list(till.bills) or [bill])),
        ("DK", bill, draw.choice(["D001", "D004"]), "2", "58.00"),
        ("PY", bill, draw.choice(["RMB", "YJ"]), amount, "R"), ("CL", bill), ("TD", bill, "668899"),
        ("YJ", draw.choice([bill, room]), draw.choice(["", "-"]) + amount, "R"),
        ("BK", draw.choice([room, "S"]), start, minutes, "1", "n"), ("BC", booking),
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_whatever_people_do_the_till_stands_and_every_bill_adds_up(shop, seed):
    draw, till = random.Random(seed), shop.simulator.till
    for _ in range(400):
        command, *fields = drawn(draw, till, shop.simulator.now())
        with contextlib.suppress(Refused):
            till.run(command, tuple(fields))
        if draw.random() < 0.1:
            shop.do("forward", minutes=draw.choice([1, 10, 45, 300]))
    assert till.bills and len(replies.read_rooms(shop.wire.ask("RS", "*"))) == 12
    for number in till.bills:
        checked(bill(shop, number), number)


def test_forty_clients_at_once_all_get_their_answers(shop):
    results = []

    def client():
        results.append(shop.wire.exchange(p.encode_request("RS", 1, ["*"]), timeout=10)[0].ok)

    threads = [threading.Thread(target=client) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [True] * 40


def request(shop, command="OP", *fields):
    return shop.wire.exchange(p.encode_request(command, 9, fields or ("801", "TC03", "180", "4", "", "")))


def test_faults_before_acting_leave_no_bill(shop):
    for name in ("refuse", "drop_before"):
        shop.fault(name)
        with contextlib.suppress(ConnectionError):
            assert request(shop) == []
    for name in ("error", "disk_full"):
        shop.fault(name, "OP")
        assert request(shop)[0].ret == p.BUSY
    assert shop.books()["bills"] == {}


@pytest.mark.parametrize("name", ["drop_after", "half_body"])
def test_faults_after_acting_leave_a_bill_and_no_whole_answer(shop, name):
    shop.fault(name, "OP")
    assert request(shop) == []
    assert len(shop.books()["bills"]) == 1


def test_garbage_after_acting(shop):
    shop.fault("garbage", "OP")
    with pytest.raises(p.ParseError):
        request(shop)
    assert len(shop.books()["bills"]) == 1


def test_duplicate_and_late_success_act(shop):
    shop.fault("duplicate", "OP")
    request(shop)
    assert len(shop.books()["bills"]) == 2
    shop.fault("late_success", "OP", value=50)
    assert request(shop, "OP", "802", "TC03", "180", "4", "", "") == []
    shop.simulator.calm()
    assert len(shop.books()["bills"]) == 3


def test_another_clients_reply_comes_first_or_instead(shop):
    with socket.create_connection(shop.wire.address, timeout=3) as peer:
        shop.fault("other_reply", "RS")
        peer.sendall(p.encode_request("RS", 9, ["*"]))
        assert [each.seq for each in shop.wire.frames(peer, 2)] == [16, 9]
    shop.fault("other_reply", "RS", value=1)
    assert [each.seq for each in request(shop, "RS", "*")] == [16]


def test_spoilt_answers(shop):
    shop.fault("wrong_id", "OP")
    assert replies.read_number(request(shop)[0]) not in shop.books()["bills"]
    number = opened(shop, "802", "TC03")
    shop.fault("wrong_amount", "BL", value=5)
    assert bill(shop, number).room_fee == 16805
    shop.fault("wrong_encoding", "BL")
    assert "成功".encode() in shop.wire.ask("BL", number).tail
    shop.fault("half_char", "BL")
    assert bill(shop, number).number == number, "half a character before a separator is survived"
    shop.fault("clock_skew", times=None, value=-480)
    assert opened(shop, "803") and room(shop, "803").opened.strftime("%H:%M") == "19:52"


def test_somebody_at_the_desk_takes_the_room_that_was_just_seen_idle(shop):
    shop.fault("state_jump", "RS", value=805)
    assert room(shop, "805").state == p.IDLE
    assert shop.wire.ask("OP", "805", "H", "60", "2", "", "").ret == p.WRONG_STATE


def test_the_panel_shows_books_and_pulls_levers(tmp_path):
    running = start(KtvSimulator(tmp_path, {"clock": "14-03-06 20:00:00"}))

    def call(method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(running.panel.url + path, data, method=method)
        with urllib.request.urlopen(asked, timeout=3) as answer:
            return json.load(answer)

    try:
        number = call("POST", "/control", {"do": "open_room", "room": "801"})["bill"]
        assert call("GET", "/books")["bills"][number]["total"] == 11600
        assert call("PUT", "/faults", {"faults": [{"name": "half_char"}]})["faults"][0]["name"] == "half_char"
        with pytest.raises(urllib.error.HTTPError):
            call("POST", "/control", {"do": "dance"})
    finally:
        running.stop()
