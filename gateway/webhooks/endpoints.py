"""What a platform does with its webhook endpoints: add, read, rotate the secret, remove."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway.engine.model import Json
from gateway.engine.problems import Problem, invalid
from gateway.engine.replies import Keys, KeyTaken, Reply
from gateway.engine.seams import Clock, Ids
from gateway.engine.service import Asked
from gateway.engine.views import moment
from gateway.runtime.gateway_config import Webhooks as Settings
from gateway.runtime.master_key import MasterKey
from gateway.store import webhooks as sql
from gateway.store.encoding import dump
from gateway.store.port import Database, Row, Tx
from gateway.webhooks import signing
from gateway.webhooks.addresses import Forbidden, Resolver, Unresolved, addresses_of, parse, system_resolver
from gateway.webhooks.cases import Cases

#: How long the answer to "add this endpoint" waits for its host's name, in seconds; every delivery asks again.
RESOLVE_S = 3.0
#: How many such answers may wait at once; beyond that the first delivery is the first to ask.
RESOLVING_MOST = 8
#: How many endpoints one set of merchants may have.
MOST = 50
#: In a stored reply the secret is only its generation; it is derived again when the reply is.
_HIDDEN = '"secret":"@'


@dataclass(frozen=True, slots=True)
class Who:
    """Whose endpoints: the merchants and stores that a key sees; ``None``: all."""

    merchants: frozenset[str] | None
    stores: frozenset[str] | None

    @property
    def tenant(self) -> str:
        """Whose idempotency keys these are."""
        return "*" if self.merchants is None else ",".join(sorted(self.merchants))

    def sees(self, row: Row) -> bool:
        """Whether all that an endpoint is told is what this key may see."""
        own = row["id"].startswith("whe_")
        return own and _within(row["merchants"], self.merchants) and _within(row["stores"], self.stores)


class Endpoints:
    """The endpoints of all platforms. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: Ids,
        master: MasterKey,
        settings: Settings,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._database, self._clock, self._ids, self._master = database, clock, ids, master
        self._settings, self._resolver = settings, resolver
        self._cases = Cases(clock, ids)
        self._resolving = threading.Semaphore(RESOLVING_MOST)

    def create(self, who: Who, asked: Asked, body: Json) -> Reply:
        """Add an endpoint; its secret is in this reply alone. Idempotent by the key.

        Raises ``webhook-url-forbidden`` for an address that is not https on a public host, ``validation-error`` where
        there are too many already.
        """
        return self._once(asked, lambda: self._check(body["url"]), lambda tx: self._insert(tx, who, body))

    def rotate(self, who: Who, asked: Asked, endpoint_id: str) -> Reply:
        """Give an endpoint a new secret; the old one signs too for a day. Idempotent by the key.

        Raises ``not-found``, also for another tenant's.
        """
        return self._once(asked, lambda: self.get(who, endpoint_id), lambda tx: self._rotate(tx, who, endpoint_id))

    def get(self, who: Who, endpoint_id: str) -> Json:
        """One endpoint, without its secret. Raises ``not-found``, also for another tenant's."""
        return _view(self._database.read(lambda tx: self._need(tx, who, endpoint_id)))

    def all(self, who: Who, after: str, limit: int) -> list[Json]:
        """Endpoints, newest first."""
        return [_view(row) for row in self._database.read(lambda tx: _seen(tx, who, after, limit))]

    def delete(self, who: Who, endpoint_id: str) -> None:
        """Remove an endpoint and what it has not been told. Raises ``not-found``, also for another tenant's."""

        def unit(tx: Tx) -> None:
            self._need(tx, who, endpoint_id)
            sql.delete_endpoint(tx, endpoint_id)
            self._cases.close(tx, endpoint_id, "the endpoint was removed")

        self._database.tx(unit)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _once(self, asked: Asked, check: Callable[[], Any], make: Callable[[Tx], tuple[str, Reply]]) -> Reply:
        """The reply kept for this key; else make it, and keep it without the secret."""

        def look(tx: Tx) -> Reply | None:
            return Keys.look(tx, asked.merchant, asked.key, asked.fingerprint)

        def unit(tx: Tx) -> Reply:
            found = look(tx)
            if found is not None:
                return found
            subject, made = make(tx)
            now = self._clock.now()
            Keys.take(tx, asked.merchant, asked.key, asked.fingerprint, subject, made.location, now, made)
            return made

        reply = self._database.read(look)
        if reply is None:
            check()
            try:
                reply = self._database.tx(unit)
            except KeyTaken:
                reply = self._database.tx(unit)
        return self._with_secret(reply)

    def _with_secret(self, reply: Reply) -> Reply:
        before, found, after = reply.body.partition(_HIDDEN)
        if not found:
            return reply
        generation, _, rest = after.partition('"')
        secret = signing.secret_of(self._master, json.loads(reply.body)["id"], int(generation))
        return replace(reply, body=f'{before}"secret":"{signing.shown(secret)}"{rest}')

    def _check(self, url: str) -> None:
        """Refuse an address that is not allowed; a host that has none just now is asked at each delivery."""
        try:
            target = parse(url, self._settings.allow_hosts)
        except Forbidden as error:
            raise invalid("/url", str(error), "webhook-url-forbidden") from None
        found: list[str] = []

        def resolve() -> None:
            try:
                addresses_of(target, self._resolver)
            except Forbidden as error:
                found.append(str(error))
            except Unresolved:
                pass
            finally:
                self._resolving.release()

        if self._resolving.acquire(blocking=False):
            thread = threading.Thread(target=resolve, name="webhook-resolve", daemon=True)
            thread.start()
            thread.join(RESOLVE_S)
        if found:
            raise invalid("/url", found[0], "webhook-url-forbidden")

    def _insert(self, tx: Tx, who: Who, body: Json) -> tuple[str, Reply]:
        if len(_seen(tx, who, "", MOST)) >= MOST:
            raise invalid("/url", f"there are {MOST} endpoints already; remove one first")
        merchants = body.get("merchants") or (["*"] if who.merchants is None else sorted(who.merchants))
        endpoint_id = f"whe_{self._ids.new()}"
        row = {
            "id": endpoint_id,
            "url": body["url"],
            "description": body.get("description", ""),
            "merchants": json.dumps(sorted(merchants)),
            "stores": json.dumps(["*"] if who.stores is None else sorted(who.stores)),
            "event_types": json.dumps(sorted(body.get("event_types", ()))),
            "master": self._master.fingerprint,
            "created": self._clock.now(),
        }
        sql.insert_endpoint(tx, row)
        return self._told(tx, endpoint_id, 1, 201)

    def _rotate(self, tx: Tx, who: Who, endpoint_id: str) -> tuple[str, Reply]:
        row = self._need(tx, who, endpoint_id)
        # The old secret of another master key is one that this gateway cannot make any more.
        same = row["master"] == self._master.fingerprint
        until = self._clock.now() + signing.OVERLAP if same else 0
        generation = sql.rotate(tx, endpoint_id, until, self._master.fingerprint)
        return self._told(tx, endpoint_id, generation or 1, 200)

    def _told(self, tx: Tx, endpoint_id: str, generation: int, status: int) -> tuple[str, Reply]:
        row = sql.endpoint(tx, endpoint_id)
        assert row is not None
        body = dump({**_view(row), "secret": f"@{generation}"})
        return endpoint_id, Reply(status, body, f"/v1/webhook-endpoints/{endpoint_id}")

    def _need(self, tx: Tx, who: Who, endpoint_id: str) -> Row:
        row = sql.endpoint(tx, endpoint_id)
        if row is None or not who.sees(row):
            raise Problem("not-found", "no such webhook endpoint")
        return row


def _seen(tx: Tx, who: Who, after: str, limit: int) -> list[Row]:
    """The newest endpoints that may be seen. Other tenants' are passed over a page at a time."""
    found: list[Row] = []
    while len(found) < limit:
        rows = sql.endpoints(tx, after, 200)
        found += [row for row in rows if who.sees(row)]
        if len(rows) < 200:
            break
        after = rows[-1]["id"]
    return found[:limit]


def _within(text: str, mine: frozenset[str] | None) -> bool:
    return mine is None or set(json.loads(text)) <= mine


def _view(row: Row) -> Json:
    merchants = json.loads(row["merchants"])
    view: Json = {
        "id": row["id"],
        "url": row["url"],
        "description": row["description"],
        "merchants": merchants,
        "event_types": json.loads(row["event_types"]),
        "status": row["state"],
        "reason": row["reason"],
        "pending_count": row["pending"],
        "dead_count": row["dead"],
        "created_at": moment(row["created"]),
    }
    if row["previous_until"]:
        view["previous_secret_until"] = moment(row["previous_until"])
    return view
