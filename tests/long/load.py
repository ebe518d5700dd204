"""A mixed load on a town, as a platform would make it: every family of assets, refunds, deposits, declines.

Every request that changes something is kept with its reply, byte for byte, so that it can be held against what the
gateway says later.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests

from gateway.demo.stage import StageError
from tests.engine.street import ENDED
from tests.long.town import COUPON, MEMBERS, Town, phone

#: The article of the shop, and the one of the corner shop with its real till.
SKU, CORNER_SKU = "B", "980001"
CORNERS = ("wulin", "wensan", "jingan", "shiji")
Json = dict[str, Any]


@dataclass
class Deed:
    """One request that changes something, and what was answered (``status`` 0: the server died first)."""

    merchant: str
    path: str
    body: Json
    key: str
    status: int = 0
    content: bytes = b""
    seconds: float = 0.0

    @property
    def final(self) -> bool:
        """Whether this reply has to stand for ever."""
        if self.status in (402, 409):  # a refusal before anything was accepted is not kept
            return b'"checkout_id"' in self.content and b"/problems/request-in-progress" not in self.content
        return self.status in (201, 202)


@dataclass
class Load:
    """Clients that do one deed after the other until they are stopped."""

    town: Town
    seed: int
    mix: tuple[str, ...] = ("simple", "whole", "whole", "corner", "qr", "deposit", "refund", "decline")
    deeds: list[Deed] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._sessions = threading.local()

    # --- clients -----------------------------------------------------------------------------------------------------

    def start(self, clients: int) -> None:
        self.stopping.clear()
        self.threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def stop(self, seconds: float = 60.0) -> None:
        """Let every client end what it is about."""
        self.stopping.set()
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self.threads):
            self.broken.append("a client still waits for an answer")

    def _client(self, number: int) -> None:
        rng = random.Random(f"{self.seed}/{number}/{len(self.deeds)}")
        while not self.stopping.is_set():
            try:
                getattr(self, f"_{rng.choice(self.mix)}")(rng)
            except Exception as error:
                self.broken.append(f"a client: {type(error).__name__}: {error}")
                return

    def answered(self) -> int:
        """How many deeds have had an answer."""
        return sum(deed.status != 0 for deed in self.deeds)

    # --- what they do ------------------------------------------------------------------------------------------------

    def _next(self) -> str:
        return f"P{self.seed}-{next(self._numbers)}"

    def code(self, rng: random.Random, ending: int | None = None) -> Json:
        """A payment code; its last four digits say what the customer does."""
        end = rng.randrange(1000, 9000) if ending is None else ending
        return {
            "method": "payment_code",
            "auth_code": f"28{next(self._numbers):08d}{rng.randrange(10**4):04d}{end:04d}",
        }

    def _goods(self, *tenders: Json, **more: Any) -> Json:
        lines = [{"line_id": "B", "sku": SKU, "quantity": "1"}]
        return {"store_id": "s1", "order_no": self._next(), "lines": lines, "tenders": list(tenders), **more}

    def _simple(self, rng: random.Random) -> Deed:
        return self.checkout(self._goods(self.code(rng)))

    def _whole(self, rng: random.Random) -> Deed:
        """Member price, coupon, points, stored value, and the rest from the wallet."""
        member = {"type": "phone", "value": phone(rng.randrange(MEMBERS))}
        tenders = ({"method": "stored_value", "amount": 200}, self.code(rng))
        return self.checkout(self._goods(*tenders, member=member, coupons=[COUPON], points=100))

    def _decline(self, rng: random.Random) -> Deed:
        """The customer is poor, types a password late, or the channel does not know what it did."""
        return self.checkout(self._goods(self.code(rng, rng.choice((9011, 9012, 9002, 9014, 9015)))))

    def _corner(self, rng: random.Random) -> Deed:
        """An article of the corner shop: the sale is booked in its own till."""
        lines = [{"line_id": "1", "sku": CORNER_SKU, "quantity": "1"}]
        store = rng.choice(CORNERS)
        body = {"store_id": store, "order_no": self._next(), "lines": lines, "tenders": [self.code(rng)]}
        return self.checkout(body, "bianmin")

    def _qr(self, rng: random.Random) -> None:
        """A code is shown; the customer scans it and pays."""
        deed = self.checkout(self._goods({"method": "qr_code", "channel": "alipay"}))
        if deed.status == 202:
            shown = _json(deed).get("next_action") or {}
            with suppress(StageError):
                self.town.systems["alipay"].control(do="scan", qr_code=shown.get("qr_code", ""))
            self._wait_for(f"/checkouts/{_json(deed)['id']}")

    def _deposit(self, rng: random.Random) -> None:
        """Money is held; a checkout draws on it, or it is given back, or both."""
        body = {"store_id": "s1", "amount": 15_000, "tender": self.code(rng), "deposit_no": self._next()}
        held = self.do("m1", "/deposits", body)
        if held.status != 201:
            return
        number = _json(held)["id"]
        if rng.random() < 0.7:
            self.checkout(self._goods({"method": "deposit", "id": number}))
        if rng.random() < 0.7:
            self.do("m1", f"/deposits/{number}/release", {})

    def _refund(self, rng: random.Random) -> None:
        """Sold, and given back: a part, and then the rest."""
        sold = self._whole(rng) if rng.random() < 0.7 else self._corner(rng)
        if sold.status != 201:
            return
        path = f"/checkouts/{_json(sold)['id']}/refunds"
        if rng.random() < 0.5:
            self.do(sold.merchant, path, {"refund_no": self._next(), "amount": 100})
        self.do(sold.merchant, path, {"refund_no": self._next()})

    # --- words -------------------------------------------------------------------------------------------------------

    def checkout(self, body: Json, merchant: str = "m1") -> Deed:
        return self.do(merchant, "/checkouts", body)

    def do(self, merchant: str, path: str, body: Json) -> Deed:
        """One request with a key of its own, sent once."""
        deed = Deed(merchant, path, body, f"k{self.seed}-{next(self._numbers)}")
        self.deeds.append(deed)
        self.send(deed)
        return deed

    def send(self, deed: Deed) -> requests.Response | None:
        """Send a deed to one of the nodes; what comes back is kept if nothing was before."""
        headers = {"Authorization": f"Bearer {self.town.key}", "Idempotency-Key": deed.key}
        nodes = list(self.town.nodes)
        if not nodes:
            return None
        url = f"{random.choice(nodes).url}/v1/merchants/{deed.merchant}{deed.path}"
        began = time.monotonic()
        try:
            response = self._session().post(url, json=deed.body, headers=headers, timeout=30)
        except requests.RequestException:
            time.sleep(0.05)
            return None
        if not deed.status:
            deed.status, deed.content, deed.seconds = response.status_code, response.content, time.monotonic() - began
        return response

    def _session(self) -> requests.Session:
        if not hasattr(self._sessions, "one"):
            self._sessions.one = requests.Session()
        found: requests.Session = self._sessions.one
        return found

    def _wait_for(self, path: str, seconds: float = 3.0) -> None:
        """Read a resource until it ends, or the client has something better to do."""
        deadline = time.monotonic() + seconds
        headers = {"Authorization": f"Bearer {self.town.key}"}
        while time.monotonic() < deadline and not self.stopping.is_set():
            with suppress(requests.RequestException, IndexError):
                url = f"{random.choice(self.town.nodes).url}/v1/merchants/m1{path}"
                if self._session().get(url, headers=headers, timeout=10).json().get("status") in ENDED:
                    return
            time.sleep(0.05)

    def scan_all(self) -> int:
        """Customers open every code that is shown, and pay."""
        wallet = self.town.systems["alipay"]
        shown = wallet.books()["unopened"]
        for number in shown:
            with suppress(StageError):  # another customer was faster
                wallet.control(do="scan", out_trade_no=number)
        return len(shown)


def _json(deed: Deed) -> Json:
    return dict(json.loads(deed.content))


def at_once(works: list[Callable[[], None]], threads: int = 8) -> None:
    """Run these side by side, so many at a time."""
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()
