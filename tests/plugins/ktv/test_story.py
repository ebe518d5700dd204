"""A karaoke evening through the gateway's own engine: till and wallet on real sockets, a real database."""

import json
import time
from datetime import datetime, timedelta, timezone

import pytest

from gateway.demo.stage import free_port
from gateway.engine.problems import Problem
from gateway.sdk.simulator import Fault
from plugins.alipay.simulator import AlipaySimulator
from plugins.groupbuy.simulator import GroupBuySimulator
from plugins.ktv.simulator import KtvSimulator
from tests.engine.kit import build

HOUSE = """
[merchant]
id = "m1"
name = "星海KTV"
industry = "ktv"
business_day_ends = "06:00"
[[stores]]
id = "s1"
name = "徐汇店"
[connections.house]
adapter = "house"
[connections.till]
adapter = "ktv"
insecure_transport = true
[connections.till.settings]
host = "127.0.0.1"
port = TILL_PORT
store_id = "s1"
manager_code = "env:KTV_MANAGER"
command_timeout_s = 0.5
[connections.alipay]
adapter = "alipay"
insecure_transport = true
[connections.alipay.settings]
endpoint = "http://<alipay.gateway>/gateway.do"
app_id = "APP"
seller_id = "SELLER"
timeout_s = 1.0
app_private_key = "file:<alipay.data>/app_private_key.pem"
alipay_public_key = "file:<alipay.data>/alipay_public_key.pem"
[connections.groupbuy]
adapter = "groupbuy"
insecure_transport = true
[connections.groupbuy.settings]
base_url = "http://<groupbuy.platform>"
client_key = "tqt-merchant-001"
client_secret = "file:<groupbuy.data>/client_secret"
operator_account = "gateway-01"
operator_name = "网关"
[connections.groupbuy.settings.poi_ids]
s1 = "7100000000000000001"
[connections.groupbuy.settings.packages]
TC03 = "TC03"
[[routes]]
family = "coupons"
connection = "groupbuy"
[[routes]]
family = "payments"
connection = "alipay"
[[routes]]
family = "membership"
connection = "till"
[[routes]]
family = "stock"
connection = "till"
[[routes]]
family = "orders"
connection = "till"
"""

START = datetime.now(timezone(timedelta(hours=8))).replace(second=0, microsecond=0)
END = START + timedelta(hours=3)


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setenv("KTV_MANAGER", "668899")
    wallet, port = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"}), free_port()
    who = json.loads((tmp_path / "alipay" / "merchant.json").read_text())
    config = HOUSE.replace("APP", who["app_id"], 1).replace("SELLER", who["seller_id"])
    till = KtvSimulator(tmp_path / "ktv", {"port": str(port), "idle_s": "0.3"})
    systems = {"alipay": wallet, "ktv": till, "groupbuy": GroupBuySimulator(tmp_path / "groupbuy")}
    running = build(tmp_path, config.replace("TILL_PORT", str(port)), systems)
    # Rooms are opened at START, however long ago that was: a quarter of an hour more may have another price.
    passed = datetime.now(START.tzinfo) - START
    till.control({"do": "forward", "minutes": -(passed.total_seconds() // 60)})
    yield running
    running.stop()


def pay(last):
    return [{"method": "payment_code", "auth_code": f"28123456789012345{last}"}]


def evening(order_no="K-1", room="801", tenders=None, **more):
    slot = {"resource_class": "S", "resource_id": room, "from": START.isoformat(), "to": END.isoformat()}
    line = {"line_id": "room", "sku": "TC03", "slot": slot}
    return {"store_id": "s1", "order_no": order_no, "lines": [line], "tenders": tenders or pay(1), **more}


def bills(house):
    return house.books("ktv")["bills"]


def legs(body):
    return {leg["name"]: leg["status"] for leg in body["legs"]}


def test_an_evening_with_a_deposit_an_hour_more_and_drinks_is_paid_to_the_fen(house):
    tender = pay(9)[0]
    deposit = house.deposits.create(
        house.asked(), {"store_id": "s1", "amount": 30000, "resource_id": "801", "tender": tender}
    )
    assert deposit.status == 201 and house.books("ktv")["money"]["deposits_held"] == 30000
    drawn = {"method": "deposit", "amount": 10000, "deposit_id": json.loads(deposit.body)["id"]}
    member = {"type": "phone", "value": "13900000001"}
    reply, first = house.checkout(evening(tenders=[drawn, *pay(1)], member=member))
    session = first["session_id"]
    assert (reply.status, first["status"], first["tasks"]) == (201, "completed", []) and session in bills(house)
    slot = {"extends": session, "from": END.isoformat(), "to": (END + timedelta(hours=1)).isoformat()}
    more = {"store_id": "s1", "order_no": "K-2", "lines": [{"line_id": "more", "slot": slot}], "tenders": pay(2)}
    reply, second = house.checkout(more)
    assert second["tasks"] == [] and bills(house)[session]["minutes"] == 180
    house.running["ktv"].simulator.control({"do": "order", "bill": session, "code": "D001"})
    source = {"kind": "session", "ids": [session]}
    reply, third = house.checkout({"store_id": "s1", "order_no": "K-3", "source": source, "tenders": pay(3)})
    assert third["quote"]["payable_amount"] == 6800, "what was paid before is not asked for again"
    bill = bills(house)[session]
    assert bill["state"] == 1 and bill["paid"] == bill["total"] == house.books("ktv")["money"]["taken"]
    released = house.deposits.release(house.asked(), json.loads(deposit.body)["id"])
    assert released.status == 201 and house.books("ktv")["money"]["deposits_held"] == 0
    assert house.books("alipay")["money"]["net"] == bill["total"]
    assert house.books("ktv")["money"]["taken_by_tender"] == {"YJ": 10000, "ZFB": bill["total"] - 10000}


def test_a_group_buy_voucher_opens_the_room_and_stands_on_its_bill(house):
    code = house.running["groupbuy"].simulator.control({"do": "buy", "deal": "TC03"})["codes"][0]
    reply, body = house.checkout(evening(tenders=[{"method": "voucher", "code": code, "count": 1}]))
    assert (reply.status, body["tasks"]) == (201, []), body
    (bill,) = bills(house).values()
    assert bill["paid"] == bill["total"] == 16800
    assert house.books("ktv")["money"]["taken_by_tender"] == {"TGQ": 16800}


def settled(house, seconds=12):
    """Let recovery work until the checkout has come to its end; its state."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        house.engine.worker.recover(house.engine.finish, patience=500)
        row = house.database.read(lambda tx: tx.one("SELECT state FROM sagas"))
        if row["state"] in ("completed", "failed"):
            return row["state"]
        time.sleep(0.02)
    raise AssertionError(f"still {row['state']}")


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "command"), [("drop_after", "OP"), ("drop_before", "OP"), ("half_body", "PY")])
def test_a_lost_answer_of_the_till_charges_opens_and_books_once(house, fault, command):
    house.fault("ktv", Fault(fault, command, 1))
    house.checkout(evening())
    assert settled(house) == "completed"
    (bill,) = bills(house).values()
    assert bill["paid"] == 16800 and house.books("ktv")["money"]["change"] == 0
    assert house.books("alipay")["money"]["net"] == 16800


def test_a_room_taken_at_the_desk_after_the_payment_gives_the_money_back(house):
    house.fault("ktv", Fault("state_jump", "PL", 1, 801))
    reply, body = house.checkout(evening())
    assert settled(house) == "failed" and reply.status in (202, 409), body
    assert house.books("alipay")["money"]["net"] == 0
    assert [bill["plan"] for bill in bills(house).values()] == ["H"], "only the guests at the desk"


def test_when_one_of_two_rooms_is_lost_the_other_is_closed_and_costs_nothing(house):
    house.fault("ktv", Fault("state_jump", "OP", 1, 802))
    both = evening()
    both["lines"].append({**evening(room="802")["lines"][0], "line_id": "other"})
    house.checkout(both)
    assert settled(house) == "failed"
    assert house.books("alipay")["money"]["net"] == 0
    ours = [bill for bill in bills(house).values() if bill["plan"] == "TC03"]
    assert [(bill["room"], bill["state"]) for bill in ours] == [("801", 1)], "opened, waived and closed"
    assert house.books("ktv")["money"]["taken_by_tender"] == {"YHQ": 16800}


def test_two_customers_want_the_last_room(house):
    first = house.checkout(evening("K-1", "801"))[0]
    with pytest.raises(Problem) as caught:
        house.checkout(evening("K-2", "801", pay(2)))
    assert caught.value.slug == "slot-taken"
    assert first.status == 201 and len(bills(house)) == 1
    assert house.books("alipay")["money"]["net"] == 16800


def test_a_whole_refund_goes_back_through_the_till_and_the_wallet(house):
    _, body = house.checkout(evening())
    reply = house.refunds.create(house.asked(), body["id"], {})
    assert reply.status == 201, reply.body
    (bill,) = bills(house).values()
    assert bill["state"] == 2 and house.books("ktv")["money"]["refunded"] == 16800
    assert house.books("alipay")["money"]["net"] == 0


def test_a_booking_that_is_refunded_is_cancelled_at_the_till_and_its_room_sold_again(house):
    """The desk would keep the room for guests who have their money back."""
    day = timedelta(days=1)
    start, end = (START + day).isoformat(), (END + day).isoformat()
    slot = {"resource_class": "S", "resource_id": "801", "from": start, "to": end}
    tomorrow = {**evening(), "lines": [{"line_id": "room", "sku": "TC03", "slot": slot}]}
    _, body = house.checkout(tomorrow)
    reply = house.refunds.create(house.asked(), body["id"], {})
    assert reply.status == 201, reply.body
    assert [each["status"] for each in json.loads(reply.body)["slots"]] == ["returned"]
    again, other = house.checkout({**tomorrow, "order_no": "K-2", "tenders": pay(2)})
    states = {number: booking["state"] for number, booking in house.books("ktv")["bookings"].items()}
    assert again.status == 201 and states == {body["session_id"]: "cancelled", other["session_id"]: "booked"}


def test_an_evening_that_has_begun_ends_with_its_refund_only_if_that_is_asked_for(house):
    """The lights would go out over guests who were given their money back for a broken microphone."""
    _, kept = house.checkout(evening())
    refund = json.loads(house.refunds.create(house.asked(), kept["id"], {"amount": 100}).body)
    assert refund["slots"] == [] and bills(house)[kept["session_id"]]["state"] == 0
    _, body = house.checkout(evening("K-2", "802", pay(2)))
    reply = house.refunds.create(house.asked(), body["id"], {"return_stock": True})
    assert [each["status"] for each in json.loads(reply.body)["slots"]] == ["returned"], reply.body
    assert bills(house)[body["session_id"]]["state"] == 2
