"""Notices of the simulated Alipay: posted to the merchant's ``notify_url`` until it answers ``success``."""

from __future__ import annotations

import heapq
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from gateway.sdk.simulator import FaultPanel
from plugins.alipay.protocol import NOTICE_ACCEPTED, content_to_sign, sign, yuan
from plugins.alipay.simulator_keys import Identity
from plugins.alipay.simulator_ledger import WAIT, Trade
from plugins.alipay.simulator_methods import stamp

#: Pauses before the next try, in seconds: 4 and 10 minutes twice, then 1, 2, 6 and 15 hours.
PAUSES = (240, 600, 600, 3600, 7200, 21_600, 54_000)


class Notices:
    """A queue in memory and one thread that posts; what is queued is lost with the process, as is documented."""

    def __init__(self, who: Identity, faults: FaultPanel, now: Callable[[], float], scale: float) -> None:
        self._who, self._faults, self._now, self._scale = who, faults, now, scale
        self._queue: list[tuple[float, int, int, str, dict[str, str]]] = []
        self._wake = threading.Condition()
        self._running, self._ids = False, itertools.count(1)
        self.log: list[dict[str, Any]] = []

    def start(self) -> None:
        self._running = True
        threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        with self._wake:
            self._running = False
            self._wake.notify_all()

    def announce(self, trade: Trade) -> None:
        """Tell the merchant how a trade stands, if it asked to be told."""
        if not trade.notify_url or trade.status == WAIT or self._faults.take("notice_lost"):
            return
        fields = self._fields(trade)
        times = 2 if self._faults.take("notice_twice") else 1
        with self._wake:
            for _ in range(times):
                heapq.heappush(self._queue, (time.monotonic(), next(self._ids), 0, trade.notify_url, fields))
            self._wake.notify_all()

    def _fields(self, trade: Trade) -> dict[str, str]:
        other = self._faults.take("notice_other_seller")
        fields = {
            "notify_id": f"{int(self._now() * 1000)}{next(self._ids):010d}",
            "notify_time": stamp(self._now()),
            "notify_type": "trade_status_sync",
            "app_id": self._who.app_id,
            "charset": "utf-8",
            "version": "1.0",
            "sign_type": "RSA2",
            "trade_no": trade.trade_no,
            "out_trade_no": trade.out_trade_no,
            "trade_status": trade.status,
            "seller_id": "2088000000000000" if other else self._who.seller_id,
            "buyer_id": trade.buyer,
            "subject": trade.subject,
            "total_amount": yuan(trade.total),
            "receipt_amount": yuan(trade.receipt),
            "buyer_pay_amount": yuan(trade.buyer_pay),
            "gmt_create": stamp(trade.created_at),
            "fund_bill_list": json.dumps([{"amount": yuan(trade.buyer_pay), "fundChannel": "ALIPAYACCOUNT"}]),
        }
        fields |= {"gmt_payment": stamp(trade.paid_at)} if trade.paid_at else {}
        fields |= {"gmt_close": stamp(trade.closed_at)} if trade.closed_at else {}
        fields |= {"refund_fee": yuan(trade.refunded)} if trade.refunded else {}
        signature = sign(content_to_sign(fields, ("sign", "sign_type")), self._who.alipay_private_key)
        forged = self._faults.take("notice_forged")
        return fields | {"sign": signature[:-8] + "AAAAAA==" if forged else signature}

    def _work(self) -> None:
        while True:
            with self._wake:
                while self._running and not (self._queue and self._queue[0][0] <= time.monotonic()):
                    self._wake.wait(min(0.5, max(0.01, self._queue[0][0] - time.monotonic())) if self._queue else None)
                if not self._running:
                    return
                _, _, tries, url, fields = heapq.heappop(self._queue)
            self._post(tries, url, fields)

    def _post(self, tries: int, url: str, fields: dict[str, str]) -> None:
        request = Request(url, urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"})  # noqa: S310
        try:
            with urlopen(request, timeout=5) as reply:  # noqa: S310 - the merchant's own address, on loopback
                accepted = reply.read(64).strip() == NOTICE_ACCEPTED
        except (URLError, OSError, http.client.HTTPException, ValueError):
            accepted = False
        names = {name: fields[name] for name in ("out_trade_no", "trade_status", "notify_id")}
        self.log.append({**names, "try": tries + 1, "accepted": accepted})
        if not accepted and tries < len(PAUSES):
            with self._wake:
                due = time.monotonic() + PAUSES[tries] * self._scale
                heapq.heappush(self._queue, (due, next(self._ids), tries + 1, url, fields))
