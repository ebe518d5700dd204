"""The story: an evening of singing, a dinner for two, three counters, a corner shop, a lost answer, a return."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.demo.platform import Platform, Refused
from gateway.demo.stage import Stage
from gateway.demo.telling import Story, yuan

ZONE = ZoneInfo("Asia/Shanghai")

Json = dict[str, Any]


def wallet_code() -> str:
    """A fresh payment code of a customer with enough money."""
    return f"28{secrets.randbelow(10**12):012d}{secrets.randbelow(8999):04d}"


class Day:
    """One day of the story."""

    def __init__(self, stage: Stage, story: Story) -> None:
        self.stage, self.story = stage, story
        self.platform = Platform(stage.url, stage.key, stage.patience_s)
        self.run_no = secrets.token_hex(3).upper()
        self.kept: dict[str, Json] = {}

    def chapters(self) -> list[Callable[[], None]]:
        return [self.karaoke, self.restaurant, self.department, self.corner_shop, self.lost_answer, self.returned]

    def order_no(self, name: str) -> str:
        return f"{name}-{self.run_no}"

    def _checkout(self, merchant: str, name: str, request: Json, *until: str) -> Json:
        path = f"/merchants/{merchant}/checkouts"
        made = self.platform.post(path, {"order_no": self.order_no(name), **request})
        made = self.platform.finished(path, made, *(until or ("completed", "failed")))
        self.story.resource(made)
        self.kept[name] = made
        return dict(made)

    # --- an evening of karaoke ---------------------------------------------------------------------------------------

    def karaoke(self) -> None:
        """A deposit, a group-buy voucher at the door, an hour more from the deposit, the rest given back."""
        self.story.chapter("包厢欢唱", "An evening of karaoke")
        base, start = "/merchants/yinhu", datetime.now(ZONE).replace(second=0, microsecond=0)
        end = start + timedelta(hours=3)
        slots = self.platform.get(
            f"{base}/slots", store_id="xuhui", resource_class="M", **{"from": start.isoformat(), "to": end.isoformat()}
        )["data"]
        free = [slot for slot in slots if slot["state"] == "free"]
        self.story.check("a middle room is free for the evening", True, bool(free))
        tender = {"method": "payment_code", "auth_code": wallet_code()}
        room = free[0]["resource_id"]
        deposit = self.platform.post(
            f"{base}/deposits", {"store_id": "xuhui", "amount": 20_000, "tender": tender, "resource_id": room}
        )
        deposit = self.platform.finished(f"{base}/deposits", deposit, "held", "failed")
        self.story.resource({"order_no": "deposit 押金", **deposit})
        self.story.check(
            "a deposit of 200 is held and noted in the till",
            ("held", 20_000),
            (deposit["status"], deposit["held_amount"]),
        )
        code = self.stage.systems["groupbuy"].control(do="buy", deal="TC03")["codes"][0]
        slot = {"resource_id": room, "from": start.isoformat(), "to": end.isoformat()}
        sung = self._checkout(
            "yinhu",
            "KTV",
            {
                "store_id": "xuhui",
                "lines": [{"line_id": "room", "sku": "TC03", "slot": slot}],
                "tenders": [{"method": "voucher", "code": code, "count": 1}],
            },
        )
        self.story.check(
            "the group-buy voucher opens the room", ("completed", True), (sung["status"], bool(sung.get("session_id")))
        )
        later = end + timedelta(hours=1)
        session = sung.get("session_id", "")
        extension = {"from": end.isoformat(), "to": later.isoformat(), "extends": session}
        more = self._checkout(
            "yinhu",
            "KTV-1h",
            {
                "store_id": "xuhui",
                "lines": [{"line_id": "hour", "slot": extension}],
                "tenders": [{"method": "deposit", "id": deposit["id"]}],
            },
        )
        self.story.check("one hour more is paid from the deposit", "completed", more["status"])
        used = more["quote"]["payable_amount"]
        self.platform.post(f"{base}/deposits/{deposit['id']}/release", {})
        released = self.platform.finished(
            f"{base}/deposits", self.platform.get(f"{base}/deposits/{deposit['id']}"), "released"
        )
        self.story.check(
            f"the rest of the deposit, {yuan(20_000 - used)}, goes back to the wallet",
            (used, 20_000 - used),
            (released["captured_amount"], released["released_amount"]),
        )
        rooms = self.stage.systems["ktv"].books()["rooms"]
        self.story.tell(f"till: room {room} {rooms.get(room) if isinstance(rooms, dict) else ''}")

    # --- a dinner for two --------------------------------------------------------------------------------------------

    def restaurant(self) -> None:
        """One of 34 restaurants: the table's open bill, member price and points, split over two payers."""
        self.story.chapter("餐厅买单", "A table in one of 34 restaurants")
        shop, table = "HZ02", "A05"
        seated = self.stage.systems["restaurant"].control(do="seat", shop=shop, guests=2)
        table = seated.get("table", table)
        stores = self.platform.get("/merchants/qinghe/stores", limit=200)["data"]
        cities = {store["city"] for store in stores}
        self.story.check("34 restaurants in 4 cities", (34, 4), (len(stores), len(cities)))
        bills = self.platform.get("/merchants/qinghe/bills", store_id=shop, resource=table)["data"]
        self.story.check("the table's bill is open in the till", 1, len(bills))
        bill = bills[0]
        lines, due = len(bill["lines"]), yuan(bill["due_amount"])
        self.story.tell(f"bill {bill['bill_id']} of table {table}: {lines} lines, the till's sum {due}")
        basket = {
            "store_id": shop,
            "source": {"kind": "bill", "ids": [bill["bill_id"]], "version": bill["version"]},
            "member": {"type": "phone", "value": "13800138002"},
            "points": 1000,
        }
        quote = self.platform.post("/merchants/qinghe/quotes", basket)
        first = quote["payable_amount"] // 2
        waiting = self._checkout(
            "qinghe",
            "DINNER",
            {
                **basket,
                "on_decline": "await_tender",
                "tenders": [{"method": "payment_code", "auth_code": wallet_code(), "amount": first}],
            },
            "awaiting_customer",
            "failed",
        )
        self.story.check("the first of two has paid a half", "awaiting_customer", waiting["status"])
        path = f"/merchants/qinghe/checkouts/{waiting['id']}/tenders"
        done = self.platform.post(path, {"method": "payment_code", "auth_code": wallet_code()})
        done = self.platform.finished("/merchants/qinghe/checkouts", done, "completed", "failed")
        self.story.resource(done)
        paid = sum(tender["amount"] for tender in done["tenders"])
        self.story.check(
            "both have paid, the bill is settled and the table cleared",
            ("completed", quote["payable_amount"]),
            (done["status"], paid),
        )
        self.story.check("the till has the receipt", True, bool(done["receipt"]))

    # --- three counters ----------------------------------------------------------------------------------------------

    def department(self) -> None:
        """Three counters' slips at one cashier: every 500 less 100, member discount, coupon, card and wallet."""
        self.story.chapter("百货统一收银", "Three counters, one cashier")
        mis = self.stage.systems["department"]
        goods = (("K1", "6901000000018"), ("K2", "6901000000117"), ("K3", "6901000000216"))
        slips = [
            mis.control(do="issue_slip", counter=counter, lines=[{"item": item}])["slip_no"] for counter, item in goods
        ]
        bills = [
            self.platform.get("/merchants/hubin/bills", store_id="hangzhou", slip_no=slip)["data"] for slip in slips
        ]
        self.story.check("three counters have issued their slips", [1, 1, 1], [len(found) for found in bills])
        self.stage.systems["bank-terminal"].control(do="customer", does="pays")
        done = self._checkout(
            "hubin",
            "SPRING",
            {
                "store_id": "hangzhou",
                "source": {"kind": "slips", "ids": slips},
                "member": {"type": "phone", "value": "13800138003"},
                "coupons": ["SPRING50"],
                "operator": {"till_id": "G1", "cashier_id": "O2O"},
                "tenders": [
                    {"method": "stored_value", "amount": 20_000},
                    {"method": "bank_card", "amount": 50_000},
                    {"method": "payment_code", "auth_code": wallet_code()},
                ],
            },
        )
        self.story.check("one call settles slips, discount, coupon and three tenders", "completed", done["status"])
        quote = done["quote"]
        kinds = [applied["kind"] for applied in quote["applied"]]
        self.story.check("member rate, every 500 less 100, and the coupon", ["member", "campaign", "coupon"], kinds)
        matrix = sum(split["amount"] for split in done["splits"])
        self.story.check("the line × tender matrix adds up", quote["payable_amount"], matrix)

    # --- a corner shop -----------------------------------------------------------------------------------------------

    BASKET = (
        {"line_id": "bun", "sku": "980001", "quantity": "2"},
        {"line_id": "radish", "sku": "980011", "quantity": "2"},
        {"line_id": "kelp", "sku": "980013", "quantity": "1"},
    )

    def corner_shop(self) -> None:
        """Buns and oden for 12 yuan by bar code and payment code, five yuan back as a red envelope."""
        self.story.chapter("便利店", "Buns and oden at the corner")
        done = self._checkout(
            "bianmin",
            "BUNS",
            {
                "store_id": "wulin",
                "lines": list(self.BASKET),
                "tenders": [{"method": "payment_code", "auth_code": wallet_code()}],
            },
        )
        self.story.check(
            "12.00 is paid with a payment code", ("completed", 1200), (done["status"], done["quote"]["payable_amount"])
        )
        rewards = [leg for leg in done["legs"] if leg["name"].endswith("reward_send")]
        self.story.check("a red envelope of 5.00 comes back", ["ok"], [leg["status"] for leg in rewards])

    def lost_answer(self) -> None:
        """The wallet's answer is lost after the money moved: resolved by asking, not by charging again."""
        self.story.chapter("支付结果丢失", "An answer is lost")
        wallet = self.stage.systems["alipay"]
        before = wallet.books()["merchants"]["bianmin"]["money"]["received"]
        wallet.faults({"name": "drop_after", "match": "alipay.trade.pay", "times": 1})
        done = self._checkout(
            "bianmin",
            "LOST",
            {
                "store_id": "wensan",
                "lines": list(self.BASKET),
                "tenders": [{"method": "payment_code", "auth_code": wallet_code()}],
            },
        )
        wallet.faults()
        charge = next(leg for leg in done["legs"] if leg["name"].endswith("payment_charge"))
        self.story.check("the checkout completes", "completed", done["status"])
        self.story.check("the charge was sent once", 1, charge["attempts"])
        self.story.check(
            "the wallet took 12.00, once", 1200, wallet.books()["merchants"]["bianmin"]["money"]["received"] - before
        )

    # --- a return ----------------------------------------------------------------------------------------------------

    def returned(self) -> None:
        """The scarf goes back: over every tender, the stored value, the till."""
        self.story.chapter("部分退货", "The scarf goes back")
        sold = self.kept["SPRING"]
        line = sold["quote"]["lines"][-1]
        path = f"/merchants/hubin/checkouts/{sold['id']}/refunds"
        request = {
            "refund_no": self.order_no("BACK"),
            "lines": [{"line_id": line["line_id"], "quantity": "1"}],
            "reason": "不喜欢颜色",
        }
        preview = self.platform.post(f"{path}/preview", {"lines": request["lines"]})
        for tender in preview["gives_back"]["tenders"]:
            self.story.tell(f"preview: {tender['id']} gets {yuan(tender['amount'])} back")
        refund = self.platform.post(path, request)
        refund = self.platform.finished("/merchants/hubin/refunds", refund, "succeeded", "needs_attention")
        self.story.resource(refund)
        self.story.check(
            "what was previewed is given back", ("succeeded", preview["amount"]), (refund["status"], refund["amount"])
        )


def tell_day(stage: Stage, story: Story) -> None:
    """Play all chapters; one that breaks is told, and the others go on."""
    day = Day(stage, story)
    for chapter in day.chapters():
        try:
            chapter()
        except (Refused, KeyError, IndexError, StopIteration) as error:
            story.check(f"chapter {chapter.__name__}", "told to its end", f"{type(error).__name__}: {error}")
