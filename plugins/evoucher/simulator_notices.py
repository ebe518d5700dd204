"""The simulated platform's notices: signed forms in GBK, kept until they are answered, sent by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import requests

from gateway.sdk.simulator import FaultPanel
from plugins.evoucher.protocol import CANCEL, CHINA, NOTICE_CHARSET, ORDER_MODIFY, TIME, sign_notice
from plugins.evoucher.simulator_book import ITEMS, Book

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded; charset=gbk"}
#: Notices that ask for nothing but to be taken.
_ONLY_TOLD = (CANCEL, ORDER_MODIFY)


class Notices:
    """Makes and delivers notices. ``pause_s`` is how long after a try the next one is made, ``most`` how many are."""

    def __init__(
        self,
        book: Book,
        faults: FaultPanel,
        now: Callable[[], float],
        who: Mapping[str, str],
        pause_s: float,
        most: int,
    ) -> None:
        self.book, self._faults, self._now, self._who = book, faults, now, who
        self.url, self._pause_s, self._most = "", pause_s, most
        self.delivered = 0
        self._wake, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)

    # -- making ------------------------------------------------------------------------------------------------------

    def tell(self, order_id: str, method: str, **more: str) -> bytes:
        """Write a notice down, to be delivered; its form."""
        body = self.form(order_id, method, **more)
        late = self._faults.take("notice_late", method)
        tries = self._most if self._faults.take("notice_lost", method) else 0
        self.book.run(
            "INSERT INTO notices (order_id, method, body, due, tries) VALUES (:order_id, :method, :body, :due, :tries)",
            order_id=order_id,
            method=method,
            body=body,
            due=time.time() + (late.value / 1000 if late else 0),
            tries=tries,
        )
        self._wake.set()
        return body

    def form(self, order_id: str, method: str, secret: str = "", **more: str) -> bytes:
        """A signed notice about an order as it stands now."""
        order = self.book.order(order_id)
        if order is None:
            raise ValueError("no such order")
        item = ITEMS[order["item"]]
        left = sum(code["left_num"] for code in self.book.codes(order_id)) or order["num"] - order["cancelled"]
        fields = {
            "method": method,
            "timestamp": _time(self._now()),
            "order_id": order_id,
            "token": order["token"],
            "mobile": order["mobile"],
            "num": str(order["num"]),
            "left_num": str(left),
            "taobao_sid": self._who["seller_id"],
            "seller_nick": self._who["seller_nick"],
            "item_title": item.title,
            "send_type": "0",
            "consume_type": str(item.consume_type),
            "sms_template": "您购买的$商品$，凭证码$码$",
            "valid_start": _time(order["valid_start"]),
            "valid_ends": _time(order["valid_end"]),
            "num_iid": "5" + str(sum(map(ord, item.outer_iid))),
            "outer_iid": item.outer_iid,
            "total_fee": str(item.price * order["num"]),
            **more,
        }
        fields["sign"] = sign_notice(fields, secret or self._who["app_secret"])
        return urlencode(fields, encoding=NOTICE_CHARSET).encode()

    def again(self, row: Mapping[str, Any]) -> None:
        """Send a notice again, as ``manage.notify`` asks for."""
        sql = "UPDATE notices SET tries = 0, answered = 0, due = :now WHERE number = :number"
        self.book.run(sql, now=time.time(), number=row["number"])
        self._wake.set()

    # -- delivering --------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._ended:
            waiting = self._round() if self.url else []
            pause = min((row["due"] for row in waiting), default=time.time() + 0.5) - time.time()
            self._wake.wait(min(max(pause, 0.01), 0.5))
            self._wake.clear()

    def _round(self) -> list[dict[str, Any]]:
        sql = "SELECT * FROM notices WHERE answered = 0 AND tries < :most ORDER BY due, number"
        waiting = self.book.rows(sql, most=self._most)
        for row in waiting:
            if row["due"] <= time.time() and not self._ended:
                self._deliver(row)
        return self.book.rows(sql, most=self._most)

    def _deliver(self, row: Mapping[str, Any]) -> None:
        if self._faults.take("notice_forged", row["method"]):
            self._post(self.form(row["order_id"], row["method"], secret="somebody-else-s"))  # noqa: S106 - a wrong one
        answered = self._post(row["body"])
        if self._faults.take("notice_twice", row["method"]):
            answered = self._post(row["body"]) and answered
        self.book.run(
            "UPDATE notices SET tries = tries + 1, answered = :answered, due = :due,"
            " called_back = CASE WHEN :done THEN 1 ELSE called_back END WHERE number = :number",
            answered=int(answered),
            done=int(answered and row["method"] in _ONLY_TOLD),
            due=time.time() + self._pause_s,
            number=row["number"],
        )

    def _post(self, body: bytes) -> bool:
        try:
            reply = requests.post(self.url, data=body, headers=_HEADERS, timeout=5, allow_redirects=False)
            self.delivered += 1
            return reply.status_code == 200 and reply.json().get("code") == 200
        except (requests.RequestException, ValueError, AttributeError):
            return False


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, CHINA).strftime(TIME)
