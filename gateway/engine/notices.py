"""Callbacks from far systems: verified by the adapter, taken as a hint, answered; then the system itself is asked."""

from __future__ import annotations

import hmac
import secrets

from gateway.domain.errors import AdapterError, NotSupported
from gateway.domain.messages import Notice, NoticeRequest
from gateway.engine.following import Following
from gateway.engine.problems import Problem
from gateway.engine.service import Engine
from gateway.runtime import Connection, UnknownConnection, UnknownMerchant
from gateway.store.port import Tx

_TAKE = """
INSERT INTO adapter_store (merchant, connection, key, value) VALUES (:merchant, :connection, 'callback-token', :value)
ON CONFLICT (merchant, connection, key) DO NOTHING
"""
_READ = (
    "SELECT value FROM adapter_store WHERE merchant = :merchant AND connection = :connection AND key = 'callback-token'"
)
_HURRY_OP = """
UPDATE ops SET next_at = :now
WHERE key = :key AND connection = :connection AND state IN ('pending', 'unknown') AND next_at > :now
  AND saga_id IN (SELECT id FROM sagas WHERE merchant = :merchant)
"""
_HURRY_SAGA = """
UPDATE sagas SET due_at = :now
WHERE due_at > :now AND merchant = :merchant
  AND id IN (SELECT saga_id FROM ops WHERE key = :key AND connection = :connection)
"""


class Notices:
    """Takes callbacks for one process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.following = Following(engine.runtime, engine.clock)
        self._tokens: dict[tuple[str, str], str] = {}

    def path(self, merchant_id: str, connection: str) -> str:
        """Where the far system behind a connection calls back; the same for ever. Raises ``not-found``."""
        self._connection(merchant_id, connection)
        return f"/v1/callbacks/{merchant_id}/{connection}/{self._token(merchant_id, connection)}"

    def _token(self, merchant_id: str, connection: str) -> str:
        """256 random bits, made at first use."""
        known = self._tokens.get((merchant_id, connection))
        if known is None:
            row = {"merchant": merchant_id, "connection": connection}
            fresh = {**row, "value": f'"{secrets.token_urlsafe(32)}"'}

            def unit(tx: Tx) -> str:
                tx.execute(_TAKE, fresh)
                found = tx.one(_READ, row)
                assert found is not None
                return str(found["value"]).strip('"')

            known = self._tokens[merchant_id, connection] = self.engine.journal.tx(unit)
        return known

    def take(self, merchant_id: str, connection: str, token: str, request: NoticeRequest) -> Notice:
        """Verify a callback and look sooner at what it speaks of. It changes nothing else, so a replay does no harm.

        Raises ``not-found`` for a wrong address, ``invalid-signature`` for a callback that is not genuine.
        """
        found = self._connection(merchant_id, connection)
        if not hmac.compare_digest(self._token(merchant_id, connection).encode(), token.encode()):
            raise Problem("not-found", "there is nothing at this address")
        notice = self._read(found, request)
        if notice is None:
            raise Problem("invalid-signature", "the callback is not genuine")
        row = {"merchant": merchant_id, "connection": connection, "key": notice.key, "now": self.engine.clock.now()}
        self.engine.journal.tx(lambda tx: (tx.execute(_HURRY_OP, row), tx.execute(_HURRY_SAGA, row)))
        self.following.hurry(merchant_id, connection)
        return notice

    def _read(self, connection: Connection, request: NoticeRequest) -> Notice | None:
        try:
            return connection.read_notice(request)
        except NotSupported:
            raise Problem("not-found", "there is nothing at this address") from None
        except AdapterError:
            raise Problem("adapter-unavailable", "the callback cannot be verified now", retry_after=30) from None

    def _connection(self, merchant_id: str, name: str) -> Connection:
        try:
            return self.engine.runtime.connection(merchant_id, name)
        except (UnknownMerchant, UnknownConnection):
            raise Problem("not-found", "there is nothing at this address") from None
