"""Who prices: the gateway, the till, or both compared, with the department store's own promotion procedure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.problems import Problem
from gateway.sdk.simulator import Fault
from plugins.department.simulator import DepartmentSimulator
from plugins.department.terminal_simulator import BankTerminalSimulator
from tests.engine.kit import House, build

MALL = """
[merchant]
id = "m1"
name = "银座百货"
acquirer_fee_bp = 60
[[stores]]
id = "lakeside"
name = "湖滨店"
[[stores.counters]]
id = "K1"
name = "鞋"
deduction_bp = 2500
promotion_share_bp = 6000
[[stores.counters]]
id = "K2"
name = "女装"
deduction_bp = 2800
promotion_share_bp = 5000
[connections.mis]
adapter = "department"
insecure_transport = true
[connections.mis.settings]
soap_url = "http://<mis.soap>/sales.asmx"
user = "user"
password = "env:MIS_PASSWORD"
license = "env:MIS_LICENSE"
database = "<mis.database>"
stores = { lakeside = "S001" }
till = "T901"
timeout_s = 1.0
[connections.terminal]
adapter = "bank_terminal"
[connections.terminal.settings]
folder = "<terminal.folder>"
timeout_s = 2.0
[[routes]]
family = "payments"
connection = "terminal"
[[routes]]
family = "orders"
connection = "mis"
[[routes]]
family = "stock"
connection = "mis"
[pricing]
"""
OURS = """
[[pricing.campaigns]]
id = "CX0308"
version = 1
kind = "every_amount_off"
tiers = [{ threshold_amount = 50000, off_amount = 10000 }]
"""
#: Example E30: shoes 899.00, a dress 659.00, a scarf 199.00; every 500.00 less 100.00 at the till too.
GOODS = (("K1", "6901000000018"), ("K2", "6901000000117"), ("K3", "6901000000216"))
OFF = 300_00
THEIRS = 1457_00
Open = Callable[[str], House]


@pytest.fixture
def open_mall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the store with some settings of its pricing."""
    monkeypatch.setenv("MIS_PASSWORD", "password")
    monkeypatch.setenv("MIS_LICENSE", "license")
    houses: list[House] = []

    def opened(pricing: str) -> House:
        simulators = {
            "mis": DepartmentSimulator(tmp_path / "mis"),
            "terminal": BankTerminalSimulator(tmp_path / "bank"),
        }
        houses.append(build(tmp_path, MALL + pricing, simulators))
        return houses[-1]

    yield opened
    for house in houses:
        house.stop()


def basket(mall: House, **more: Any) -> dict[str, Any]:
    lever = mall.running["mis"].simulator.control
    slips = [lever({"do": "issue_slip", "counter": k, "lines": [{"item": i}]})["slip_no"] for k, i in GOODS]
    return {"store_id": "lakeside", "source": {"kind": "slips", "ids": slips}, **more}


def checkout(mall: House, request: dict[str, Any], *tenders: dict[str, Any]) -> dict[str, Any]:
    wanted = list(tenders) or [{"method": "cash", "amount": 45700}, {"method": "bank_card", "terminal_id": "T901"}]
    reply, body = mall.checkout({**request, "order_no": "PF0308", "tenders": wanted})
    assert (reply.status, body["status"]) == (201, "completed"), body
    adds_up(body["quote"], body["tenders"], body["splits"])
    return body


def adds_up(quote: dict[str, Any], tenders: list[dict[str, Any]], splits: list[dict[str, Any]]) -> None:
    """What holds of every price: shares, nets, fees, and the matrix both ways."""
    nets = [line["net_amount"] for line in quote["lines"]]
    assert min(nets) >= 0
    assert sum(nets) == quote["gross_amount"] - quote["discount_amount"]
    for line in quote["lines"]:
        shares = [part["amount"] for part in line["allocations"]]
        assert sum(shares) == line["discount_amount"]
        assert all(sum(f["amount"] for f in part["funding"]) == part["amount"] for part in line["allocations"])
    assert sum(item["amount"] for item in quote["applied"]) == quote["discount_amount"]
    assert sum(fee["amount"] for fee in quote["fees"]) == quote["fee_amount"]
    assert sum(nets) + quote["fee_amount"] - quote["rounding_amount"] == quote["payable_amount"]
    assert sum(tender["amount"] for tender in tenders) == quote["payable_amount"]
    for tender in tenders:
        assert sum(s["amount"] for s in splits if s["tender_id"] == tender["id"]) == tender["amount"]
    for line in quote["lines"]:
        assert sum(s["amount"] for s in splits if s.get("line_id") == line["line_id"]) == line["net_amount"]


def entries(mall: House, subject: str) -> int:
    row = mall.database.read(
        lambda tx: tx.one("SELECT SUM(amount) AS amount FROM settlement_entries WHERE subject = :s", {"s": subject})
    )
    return int(row["amount"]) if row else 0


def give_back(mall: House, checkout_id: str, request: dict[str, Any]) -> dict[str, Any]:
    preview = mall.refunds.preview("m1", checkout_id, request)
    reply = mall.refunds.create(mall.asked(), checkout_id, request)
    body = dict(json.loads(reply.body))
    assert (reply.status, body["amount"]) == (201, preview["amount"]), body
    return body


def test_the_tills_sum_is_paid_where_the_till_prices(open_mall: Open) -> None:
    """No campaign of ours: the till's own 300.00 off, by line as the till tells, booked as its own."""
    mall = open_mall('mode = "till"')
    request = basket(mall)
    quote = mall.checkouts.quote("m1", request)
    assert (quote["payable_amount"], quote["discount_amount"]) == (THEIRS, OFF)
    assert [(item["kind"], item["id"], item["amount"]) for item in quote["applied"]] == [("till", "till", OFF)]
    body = checkout(mall, request)
    assert body["quote"]["payable_amount"] == THEIRS
    (sale,) = mall.books("mis")["sales"]
    assert [(line["counter"], line["net"], line["promotion"]) for line in sale["lines"]] == [
        ("K1", 74550, 15350),
        ("K2", 54648, 11252),
        ("K3", 16502, 3398),
    ]
    assert entries(mall, body["id"]) == THEIRS


def test_ours_stands_where_both_say_the_same(open_mall: Open) -> None:
    mall = open_mall('mode = "till"' + OURS)
    body = checkout(mall, basket(mall))
    assert [(item["kind"], item["id"], item["version"]) for item in body["quote"]["applied"]] == [
        ("campaign", "CX0308", 1)
    ]
    assert body["quote"]["payable_amount"] == THEIRS


@pytest.mark.parametrize("settings", ['mode = "till"', 'mode = "compare"\ntill_wins = true'])
@pytest.mark.parametrize("less", [1, 5, 700])
def test_a_till_that_asks_less_is_a_discount_of_its_own(open_mall: Open, settings: str, less: int) -> None:
    mall = open_mall(settings + OURS)
    mall.fault("mis", Fault("calc_off", "caldecmoney", value=-less))
    body = checkout(mall, basket(mall))
    quote = body["quote"]
    assert quote["payable_amount"] == THEIRS - less
    assert [(i["kind"], i["amount"]) for i in quote["applied"]] == [("campaign", OFF), ("till", less)]
    assert entries(mall, body["id"]) == THEIRS - less
    first = quote["lines"][0]
    back = give_back(mall, body["id"], {"lines": [{"line_id": first["line_id"], "quantity": "1"}]})
    assert back["amount"] == first["net_amount"]
    rest = give_back(mall, body["id"], {})
    assert back["amount"] + rest["amount"] == THEIRS - less
    assert mall.checkouts.get("m1", body["id"])["refundable_amount"] == 0


@pytest.mark.parametrize("more", [1, 999])
def test_a_till_that_asks_more_is_a_fee(open_mall: Open, more: int) -> None:
    mall = open_mall('mode = "till"' + OURS)
    mall.fault("mis", Fault("calc_off", "caldecmoney", value=more))
    body = checkout(mall, basket(mall))
    quote = body["quote"]
    assert (quote["payable_amount"], quote["fee_amount"]) == (THEIRS + more, more)
    assert [(fee["fee_id"], fee["kind"], fee["amount"]) for fee in quote["fees"]] == [("till", "till", more)]
    line = quote["lines"][2]
    back = give_back(mall, body["id"], {"lines": [{"line_id": line["line_id"], "quantity": "1"}]})
    assert back["amount"] == line["net_amount"]
    assert back["amount"] + give_back(mall, body["id"], {})["amount"] == THEIRS + more


def test_a_difference_stops_the_comparison(open_mall: Open) -> None:
    mall = open_mall('mode = "compare"' + OURS)
    mall.fault("mis", Fault("calc_off", "caldecmoney", value=-1))
    request = {**basket(mall), "order_no": "P1", "tenders": [{"method": "cash"}]}
    with pytest.raises(Problem) as refused:
        mall.checkout(request)
    assert refused.value.slug == "price-changed"
    assert (refused.value.extra["till_amount"], refused.value.extra["gateway_amount"]) == (THEIRS - 1, THEIRS)
    mall.fault("mis")
    assert mall.checkout(request)[0].status == 201, "nothing was sent and the number is free"


def test_tenders_that_fit_the_tills_sum_alone_are_taken(open_mall: Open) -> None:
    """The platform read 1457.05 on the till's screen; ours is 1457.00, which these tenders would exceed."""
    mall = open_mall('mode = "till"' + OURS)
    mall.fault("mis", Fault("calc_off", "caldecmoney", value=5))
    tenders = ({"method": "cash", "amount": 45705}, {"method": "bank_card", "terminal_id": "T901", "amount": 100000})
    assert checkout(mall, basket(mall), *tenders)["quote"]["payable_amount"] == THEIRS + 5
    with pytest.raises(Problem) as refused:
        mall.checkout({**basket(mall), "order_no": "P2", "tenders": [{"method": "cash", "amount": 999_999}]})
    assert refused.value.slug == "tenders-mismatch"


def test_a_quote_whose_till_asks_more_later_is_price_changed(open_mall: Open) -> None:
    mall = open_mall('mode = "till"')
    quote = mall.checkouts.quote("m1", basket(mall))
    mall.fault("mis", Fault("calc_off", "caldecmoney", value=1))
    with pytest.raises(Problem) as refused:
        mall.checkout({"quote_id": quote["quote_id"], "order_no": "P1", "tenders": [{"method": "cash"}]})
    assert (refused.value.slug, refused.value.extra["quote"]["payable_amount"]) == ("price-changed", THEIRS + 1)


def test_a_split_bill_keeps_the_tills_sum_when_payers_change(open_mall: Open) -> None:
    mall = open_mall('mode = "till"')
    mall.fault("mis", Fault("calc_off", "caldecmoney", value=-7))
    request = {**basket(mall), "order_no": "P1", "on_decline": "await_tender"}
    reply, body = mall.checkout({**request, "tenders": [{"method": "cash", "amount": 45700}]})
    assert (reply.status, body["next_action"]["amount"]) == (202, 100000 - 7)
    before = [line["net_amount"] for line in body["quote"]["lines"]]
    final = mall.checkouts.add_tender(mall.asked(), body["id"], {"method": "bank_card", "terminal_id": "T901"})
    done = json.loads(final.body)
    assert (done["status"], done["quote"]["payable_amount"]) == ("completed", THEIRS - 7)
    assert [line["net_amount"] for line in done["quote"]["lines"]] == before
    adds_up(done["quote"], done["tenders"], done["splits"])


def test_a_till_that_does_not_answer_is_503_and_nothing_was_sent(open_mall: Open) -> None:
    mall = open_mall('mode = "till"')
    request = {**basket(mall), "order_no": "P1", "tenders": [{"method": "cash"}]}
    mall.fault("mis", Fault("garbage", "caldecmoney"))
    with pytest.raises(Problem) as refused:
        mall.checkout(request)
    assert refused.value.slug == "adapter-unavailable"
    mall.fault("mis")
    assert mall.checkout(request)[0].status == 201
