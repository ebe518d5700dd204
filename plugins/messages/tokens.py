"""The access token of an account: one is valid at a time, so all workers of a connection share it.

Whoever fetches a token makes the one before it void. So a worker that is told that its token is void looks first
whether another worker has put a newer one, and fetches only if not; workers of one machine wait for each other at a
file's lock. Between machines there is no lock: two that fetch at once leave one void token behind, which the next call
mends by the same rule. The token is kept sealed under a key that is made of the account's secret.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.sdk import KeyValue, NotSent

KEPT, LOCK = "token", "token.lock"
#: A token is not used in the last minutes of its life: clocks differ, and a message may be under way.
MARGIN = timedelta(minutes=5)
_PAUSE_S = 0.02

#: Asks the account for a new token, by a deadline: the token and its life in seconds.
Fetch = Callable[[datetime], tuple[str, int]]


class Tokens:
    """The one token of one account. Thread-safe, and safe between processes."""

    def __init__(
        self,
        fetch: Fetch,
        store: KeyValue,
        spool: Path,
        clock: Callable[[], datetime],
        account: str,
        secret: str,
    ) -> None:
        self._fetch, self._store, self._lock, self._clock = fetch, store, spool / LOCK, clock
        self._account = account.encode()
        self._seal = AESGCM(hashlib.sha256(b"access token\0" + secret.encode()).digest())

    def current(self, until: datetime) -> str:
        """The token in use, or a new one. Raises what fetching raises, ``NotSent`` if others hold the lock too long."""
        return self._kept() or self.instead_of("", until)

    def instead_of(self, void: str, until: datetime) -> str:
        """A token other than this, which was refused: what another worker has fetched meanwhile, or a new one."""
        with self._locked(until):
            kept = self._kept()
            if kept and kept != void:
                return kept
            token, seconds = self._fetch(until)
            self._keep(token, seconds)
            return token

    def _kept(self) -> str:
        row = self._store.get(KEPT)
        if not isinstance(row, dict) or self._clock() >= datetime.fromisoformat(row["until"]):
            return ""
        sealed = base64.b64decode(row["sealed"])
        try:
            return self._seal.decrypt(sealed[:12], sealed[12:], self._account).decode()
        except InvalidTag:  # of another account, or from before its secret was changed
            return ""

    def _keep(self, token: str, seconds: int) -> None:
        life = timedelta(seconds=seconds)
        until = self._clock() + max(life - MARGIN, life / 2)
        nonce = secrets.token_bytes(12)
        sealed = nonce + self._seal.encrypt(nonce, token.encode(), self._account)
        row: dict[str, Any] = {"sealed": base64.b64encode(sealed).decode(), "until": until.isoformat()}
        self._store.put(KEPT, row)

    @contextmanager
    def _locked(self, until: datetime) -> Iterator[None]:
        with self._lock.open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if self._clock() >= until:
                        raise NotSent("another worker was still fetching the access token") from None
                    time.sleep(_PAUSE_S)
            yield
