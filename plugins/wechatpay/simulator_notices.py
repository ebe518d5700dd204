"""Notices of the simulated channel: signed, encrypted, and posted until the merchant answers 200 or 204."""

from __future__ import annotations

import heapq
import http.client
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from gateway.sdk.signers.wechat_v3 import encrypt
from gateway.sdk.simulator import FaultPanel
from plugins.wechatpay.protocol import dump
from plugins.wechatpay.simulator_keys import Identity

#: Pauses before the next try, in seconds: 15 s twice, 30 s, 3, 10, 20 and 30 minutes, then hours.
PAUSES = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600)

#: Signs a body: gives the headers for it, signed ``age`` seconds ago.
Signer = Callable[[bytes, float], Mapping[str, str]]


class Notices:
    """A queue in memory and one thread that posts; what is queued is lost with the process, as is documented."""

    def __init__(self, who: Identity, faults: FaultPanel, sign: Signer, scale: float) -> None:
        self._who, self._faults, self._sign, self._scale = who, faults, sign, scale
        self._queue: list[tuple[float, int, int, str, bytes, float]] = []
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

    def announce(self, url: str, event: str, kind: str, resource: Mapping[str, Any], created: str) -> None:
        """Tell the merchant, if it asked to be told."""
        if not url or self._faults.take("notice_lost"):
            return
        if self._faults.take("notice_other_merchant"):
            resource = {**resource, "mchid": "1900000000"}
        body = self.body(event, kind, resource, created)
        times = 2 if self._faults.take("notice_twice") else 1
        age = 400.0 if self._faults.take("notice_old") else 0.0
        with self._wake:
            for _ in range(times):
                heapq.heappush(self._queue, (time.monotonic(), next(self._ids), 0, url, body, age))
            self._wake.notify_all()

    def body(self, event: str, kind: str, resource: Mapping[str, Any], created: str) -> bytes:
        """A notice's body: what it is about is encrypted under the merchant's APIv3 key."""
        nonce = secrets.token_hex(6)
        sealed = {"algorithm": "AEAD_AES_256_GCM", "original_type": kind, "associated_data": kind, "nonce": nonce}
        sealed["ciphertext"] = encrypt(self._who.api_v3_key, nonce, dump(resource), kind)
        head = {"id": secrets.token_hex(16), "create_time": created, "resource_type": "encrypt-resource"}
        return dump(head | {"event_type": event, "summary": "支付成功", "resource": sealed})

    def _work(self) -> None:
        while True:
            with self._wake:
                while self._running and not (self._queue and self._queue[0][0] <= time.monotonic()):
                    self._wake.wait(min(0.5, max(0.01, self._queue[0][0] - time.monotonic())) if self._queue else None)
                if not self._running:
                    return
                _, _, tries, url, body, age = heapq.heappop(self._queue)
            self._post(tries, url, body, age)

    def _post(self, tries: int, url: str, body: bytes, age: float) -> None:
        """Each try is signed anew, with its own time."""
        headers = {"Content-Type": "application/json", **self._sign(body, age)}
        if self._faults.take("notice_forged"):
            headers["Wechatpay-Signature"] = headers["Wechatpay-Signature"][:-8] + "AAAAAA=="
        request = Request(url, body, headers)  # noqa: S310 - the merchant's own address, on loopback
        try:
            with urlopen(request, timeout=5) as reply:  # noqa: S310
                accepted = reply.status in (200, 204)
        except (URLError, OSError, http.client.HTTPException, ValueError):
            accepted = False
        self.log.append({"try": tries + 1, "accepted": accepted})
        if not accepted and tries < len(PAUSES):
            with self._wake:
                due = time.monotonic() + PAUSES[tries] * self._scale
                heapq.heappush(self._queue, (due, next(self._ids), tries + 1, url, body, age))
