"""Merchants, stores, products, stock, rooms, bills, members, tasks, events: what is told of what there is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.api.places import distance_m, open_at, to_wgs84
from gateway.engine.model import Kind
from gateway.store import journal
from gateway.store.listings import checkouts_sql
from gateway.store.migrate import Migration, migrate
from gateway.store.port import open_database
from gateway.store.schema import MIGRATIONS
from tests.api.kit import PHONE, SKUS, Api, Gateway, paid_code
from tests.api.test_checkouts import order, settled
from tests.api.test_requests import slug

NOW = 1_790_000_000_000


def test_a_merchant_says_what_its_systems_can_do(song: Api) -> None:
    merchant = song.get("…").json
    till = next(found for found in merchant["capabilities"] if found["connection"] == "till")
    assert {"stock", "orders"} <= set(till["families"])
    assert "bill_find" in till["hooks"]
    assert merchant["business_day_ends"] == "06:00"


def test_stores_are_paged(api: Api) -> None:
    first = api.get("…/stores?limit=1").json
    assert ([store["id"] for store in first["data"]], first["has_more"]) == (["s1"], True)
    second = api.get(f"…/stores?limit=1&cursor={first['next_cursor']}").json
    assert ([store["id"] for store in second["data"]], second["next_cursor"]) == (["s2"], None)


def test_stores_nearby_are_told_nearest_first(gateway: Gateway) -> None:
    api = gateway.api("*")
    near = api.get("/v1/stores/nearby?latitude=31.2235&longitude=121.4453&radius_m=20000").json["data"]
    distances = [store["distance_m"] for store in near]
    assert distances == sorted(distances)
    assert {store["merchant"] for store in near} == {"bun", "tea", "song"}
    assert near[0]["distance_m"] == 0
    few = api.get("/v1/stores/nearby?latitude=31.2235&longitude=121.4453&radius_m=500&industry=convenience").json[
        "data"
    ]
    assert {store["id"] for store in few} == {"s2"}
    assert api.get("/v1/stores/nearby?latitude=0&longitude=0").json["data"] == []


@pytest.mark.parametrize(
    "query", ["latitude=91&longitude=0", "latitude=1", "latitude=nan&longitude=0", "latitude=90&longitude=0"]
)
def test_a_point_that_is_none_is_refused(api: Api, query: str) -> None:
    assert slug(api.get(f"/v1/stores/nearby?{query}")) == "validation-error"


def test_distances_and_chinas_coordinates() -> None:
    assert distance_m((31.2304, 121.4737), (39.9042, 116.4074)) == pytest.approx(1_067_000, rel=0.005)
    # Tiananmen: 39.90733, 116.39105 by GPS is 39.908735, 116.397289 on a Chinese map.
    assert distance_m(to_wgs84(39.908735, 116.397289, "GCJ-02"), (39.907333, 116.391050)) < 10
    assert distance_m(to_wgs84(39.915119, 116.403963, "BD-09"), (39.907333, 116.391050)) < 60
    assert to_wgs84(48.8566, 2.3522, "GCJ-02") == (48.8566, 2.3522)


@pytest.mark.parametrize(("hour", "expected"), [("05:59", False), ("06:00", True), ("06:01", False)])
def test_opening_hours_are_local(gateway: Gateway, hour: str, expected: bool) -> None:
    merchant = gateway.parts.runtime.merchants["bun"]
    at = datetime.fromisoformat(f"2026-03-01T{hour}:00+08:00")
    assert open_at(merchant, merchant.stores["s2"], at) is expected


def test_products_are_mirrored_searched_and_paged(api: Api) -> None:
    first = api.get("…/products?limit=3").json
    assert [product["sku"] for product in first["data"]] == sorted(SKUS)[:3]
    second = api.get(f"…/products?limit=3&cursor={first['next_cursor']}").json
    assert [product["sku"] for product in second["data"]] == sorted(SKUS)[3:]
    assert [product["sku"] for product in api.get("…/products?q=ode").json["data"]] == ["oden"]
    assert api.get("…/products?q=%25").json["data"] == []
    assert first["data"][0]["unit_amount"] == 300


def test_stock_is_told_by_store_with_what_is_held_taken_off(api: Api, number: Callable[[], str]) -> None:
    before = api.get("…/stock?sku=milk,none&store_id=s1").json["data"]
    assert [level["sku"] for level in before] == ["milk"]
    body = {**order(number(), {"method": "cash", "amount": 1}, on_decline="await_tender")}
    body["lines"] = [{"sku": "milk", "quantity": "3"}]
    held = api.post("…/checkouts", body)
    assert held.status_code == 202
    after = api.get("…/stock?sku=milk&store_id=s1").json["data"][0]
    assert int(after["available"]) == int(before[0]["available"]) - 3
    assert len(api.get("…/stock?sku=milk").json["data"]) == 2
    assert api.post(f"{held.headers['Location']}/cancel").status_code == 200


def test_the_last_ones_are_not_sold_twice(api: Api, number: Callable[[], str]) -> None:
    body = {**order(number()), "lines": [{"sku": "rare", "quantity": "3"}]}
    response = api.post("…/checkouts", body)
    assert (response.status_code, slug(response)) == (409, "out-of-stock")


def test_a_member_is_found_by_what_it_shows(api: Api) -> None:
    member = api.post("…/members/lookup", {"type": "phone", "value": PHONE}).json
    assert (member["id"], member["tier"], member["rate_bp"]) == ("m1", "gold", 9000)
    nobody = api.post("…/members/lookup", {"type": "phone", "value": "13900000000"})
    assert (nobody.status_code, slug(nobody)) == (404, "not-found")


def test_rooms_are_told_with_their_prices_and_our_own_holds(song: Api, gateway: Gateway) -> None:
    start = datetime.now().astimezone().replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    window = f"from={_encoded(start)}&to={_encoded(start + timedelta(hours=2))}"
    rooms = song.get(f"…/slots?store_id=xuhui&{window}").json["data"]
    assert {"free"} <= {room["state"] for room in rooms}
    assert any(room["rates"] for room in rooms)
    free = next(room for room in rooms if room["state"] == "free")
    one = song.get(f"…/slots?store_id=xuhui&resource_id={free['resource_id']}&{window}").json["data"]
    assert [room["resource_id"] for room in one] == [free["resource_id"]]
    backwards = song.get(f"…/slots?store_id=xuhui&from={_encoded(start)}&to={_encoded(start)}")
    assert slug(backwards) == "validation-error"


def _encoded(moment: datetime) -> str:
    return moment.isoformat().replace("+", "%2B")


def test_what_is_open_in_the_till_is_told(song: Api) -> None:
    nothing = song.get("…/bills?store_id=xuhui&bill_id=999999").json
    assert (nothing["data"], nothing["version"]) == ([], "")
    both = song.get("…/bills?store_id=xuhui&bill_id=1&resource=K01")
    assert slug(both) == "validation-error"


def test_a_shop_without_rooms_or_bills_says_so(api: Api) -> None:
    window = "from=2026-12-01T00:00:00Z&to=2026-12-02T00:00:00Z"
    assert slug(api.get(f"…/slots?store_id=s1&{window}")) == "not-found"
    assert slug(api.get("…/bills?store_id=s1&resource=1")) == "not-found"


def test_tasks_are_listed_and_read(gateway: Gateway, api: Api, number: Callable[[], str]) -> None:
    made = api.post("…/checkouts", order(number())).json["id"]
    ids = [gateway.parts.engine.ids.new() for _ in range(2)]
    for index, new in enumerate(ids):
        row = {"id": f"tsk_{new}", "merchant": "bun", "subject": made, "leg": f"leg{index}", "kind": "undo-failed"}
        row |= {"owner": "merchant", "detail": "give it back by hand", "opened": NOW, "deadline": NOW + 1}
        row["amount"] = 300
        gateway.parts.database.tx(lambda tx, row=row: journal.open_task(tx, row))
    listed = api.get(f"…/tasks?subject={made}").json["data"]
    assert [task["id"] for task in listed] == [f"tsk_{new}" for new in reversed(ids)]
    assert api.get(f"…/tasks/{listed[0]['id']}").json == listed[0]
    assert api.get(f"…/tasks?subject={made}&status=resolved").json["data"] == []
    first = api.get(f"…/tasks?subject={made}&limit=1").json
    second = api.get(f"…/tasks?subject={made}&limit=1&cursor={first['next_cursor']}").json
    assert (second["data"][0]["id"], second["has_more"]) == (listed[1]["id"], False)
    bound = gateway.api("bun", stores=("s2",))
    assert bound.get("…/tasks").json["data"] == []
    assert slug(bound.get(f"…/tasks/{listed[0]['id']}")) == "not-found"


def feed(api: Api, until_subject: str) -> list[dict[str, Any]]:
    """All events, read page by page until this subject has come to its end; a second late on PostgreSQL."""
    events: list[dict[str, Any]] = []
    until = time.monotonic() + 10
    while time.monotonic() < until:
        after = f"&after={events[-1]['id']}" if events else ""
        events += api.get(f"/v1/events?limit=7&wait=1{after}").json["data"]
        if any(event["subject"] == until_subject and event["type"] == "checkout.completed" for event in events):
            return events
    raise AssertionError(f"no end of {until_subject} in {len(events)} events")


def test_events_are_told_in_order_without_gaps(api: Api, number: Callable[[], str]) -> None:
    made = api.post("…/checkouts", order(number())).json["id"]
    events = feed(api, made)
    mine = [event for event in events if event["subject"] == made]
    assert [event["type"] for event in mine] == ["checkout.accepted", "checkout.completed"]
    assert [event["seq"] for event in mine] == [0, 1]
    assert len({event["id"] for event in events}) == len(events)


def test_a_waiting_feed_answers_as_soon_as_there_is_an_event(gateway: Gateway, number: Callable[[], str]) -> None:
    api = gateway.api("tea")
    last = feed(api, api.post("…/checkouts", order(number())).json["id"])[-1]["id"]
    started = time.monotonic()
    assert api.get(f"/v1/events?after={last}&wait=1").json["data"] == []
    assert 0.9 < time.monotonic() - started < 3
    other = gateway.api("tea")
    threading.Timer(0.3, lambda: other.post("…/checkouts", order(number()))).start()
    started = time.monotonic()
    assert api.get(f"/v1/events?after={last}&wait=10").json["data"]
    assert time.monotonic() - started < 5


def test_a_saga_of_another_kind_is_not_found(api: Api, number: Callable[[], str]) -> None:
    made = api.post("…/checkouts", order(number(), {"method": "payment_code", "auth_code": paid_code()}))
    done = settled(api, made.headers["Location"])
    for kind in (Kind.REFUND, Kind.DEPOSIT):
        assert slug(api.get(f"…/{kind}s/{done['id']}")) == "not-found"


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"number": "x"}, "merchant=? AND kind=? AND number=?"),
        ({}, "merchant=? AND kind=?"),
        ({"after": "chk_x"}, "merchant=? AND kind=? AND id<?"),
        ({"start": 1, "from_id": "chk_0", "end": 2, "to_id": "chk_1"}, "merchant=? AND kind=? AND id>? AND id<?"),
    ],
)
def test_lists_of_checkouts_go_by_an_index(asked: dict[str, Any], index: str, tmp_path: Path) -> None:
    """Among ten million rows a scan takes seconds; a list in the order of its index does not."""
    database = open_database(f"sqlite:///{tmp_path / 'plan.db'}")
    migrate(database, [Migration(*pair) for pair in MIGRATIONS])
    statement, values = checkouts_sql({"merchant": "m", "limit": 2, **asked}, None, None)
    plan = database.read(lambda tx: [row["detail"] for row in tx.all(f"EXPLAIN QUERY PLAN {statement}", values)])
    database.close()
    assert any(index in step for step in plan), plan
    assert asked.get("number") or not any("TEMP B-TREE" in step for step in plan), plan


def test_a_window_holds_what_was_accepted_in_it(api: Api, number: Callable[[], str]) -> None:
    order_no = number()
    made = api.post("…/checkouts", order(order_no)).json
    at = datetime.fromisoformat(made["created_at"])
    for start, end, held in ((-1, 1, True), (-2, -1, False), (1, 2, False), (-9_000_000, 9_000_000, True)):
        begins, ends = (_encoded(at + timedelta(seconds=shift)) for shift in (start, end))
        found = api.get(f"…/checkouts?from={begins}&to={ends}&limit=200").json["data"]
        assert (made["id"] in {item["id"] for item in found}) is held, (start, end)
