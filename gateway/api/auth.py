"""Who asks: a bearer key, looked up by its hash, remembered for a few seconds."""

from __future__ import annotations

import time
from threading import Lock

from gateway.api.keys import KEY, ApiKey, digest_of, find_key
from gateway.engine.problems import Problem
from gateway.store.port import Database

#: For how long a key is believed without asking the database, in seconds: a revocation takes no longer to be felt.
REMEMBERED_S = 2.0
#: How many keys are remembered; a flood of wrong ones empties the memory and does no more harm.
REMEMBERED_MOST = 4096


class Authenticator:
    """Finds the key of a request. Safe to share between threads."""

    def __init__(self, database: Database, remembered_s: float = REMEMBERED_S) -> None:
        self._database, self._remembered_s = database, remembered_s
        self._known: dict[str, tuple[ApiKey | None, float]] = {}
        self._lock = Lock()

    def __call__(self, authorization: str | None) -> ApiKey:
        """The key. Raises ``invalid-credentials`` or ``key-revoked``."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or KEY.match(key) is None:
            raise Problem("invalid-credentials", "send Authorization: Bearer with a key of this gateway")
        found = self._find(key)
        if found is None:
            raise Problem("invalid-credentials", "this key is not known here")
        if found.revoked is not None:
            raise Problem("key-revoked", "this key has been revoked; use the other one")
        return found

    def _find(self, key: str) -> ApiKey | None:
        digest, now = digest_of(key), time.monotonic()
        remembered = self._known.get(digest)
        if remembered is not None and now < remembered[1]:
            return remembered[0]
        found = find_key(self._database, key)
        with self._lock:
            if len(self._known) >= REMEMBERED_MOST:
                self._known.clear()
            self._known[digest] = (found, now + self._remembered_s)
        return found
