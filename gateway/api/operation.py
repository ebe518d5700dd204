"""One record an operation: it feeds validation, the permission check, the OpenAPI document and the tests.

@operation("POST", "/quotes", body=QuoteRequest, returns={200: Quote}, scopes=("checkout:read",))
def quote(ask: Ask) -> Json: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from marshmallow import Schema

from gateway.api.keys import ApiKey
from gateway.api.parts import Parts
from gateway.engine.model import Json
from gateway.engine.problems import Problem, invalid
from gateway.engine.replies import Reply
from gateway.engine.service import Asked
from gateway.runtime import Merchant
from gateway.store import journal as sql
from gateway.webhooks.endpoints import Who
from schemas.fast import Prover, prover
from schemas.fields import Request

#: Where everything that belongs to one merchant lives.
TENANT = "/v1/merchants/<merchant>"


@dataclass(slots=True)
class Ask:
    """One request, checked: whose key it is, the path's ids, the query and the body as the schemas loaded them."""

    parts: Parts
    key: ApiKey
    ids: Mapping[str, str]
    query: Json
    body: Json = field(default_factory=dict)
    asked: Asked | None = None

    @property
    def merchant_id(self) -> str:
        """The tenant, which the key is known to see."""
        return self.ids["merchant"]

    @property
    def merchant(self) -> Merchant:
        return self.parts.engine.merchant(self.merchant_id)

    @property
    def who(self) -> Who:
        """The merchants and stores that the key sees."""
        return Who(self.key.merchants, self.key.stores)

    @property
    def change(self) -> Asked:
        """The merchant, key and fingerprint of a change."""
        assert self.asked is not None
        return self.asked

    def sees(self, merchant_id: str) -> bool:
        """Whether this key sees a merchant that is configured."""
        return self.key.sees(merchant_id) and merchant_id in self.parts.runtime.merchants

    def may(self, scope: str) -> bool:
        return scope in self.key.scopes

    def need_store(self, store_id: str, pointer: str) -> None:
        """Refuse a store that the merchant or the key does not have, both alike."""
        if store_id not in self.merchant.stores or not self.key.sees_store(store_id):
            raise invalid(pointer, "this merchant has no such store")

    def terminal(self, tender: Json) -> None:
        """Take a card tender's terminal as the operator's."""
        terminal = tender.pop("terminal_id", None)
        if terminal is not None:
            operator = self.body.get("operator", {})
            self.body["operator"] = {"till_id": "", "cashier_id": "", **operator, "terminal_id": terminal}

    def need_room(self) -> None:
        """Refuse new work while the disk is nearly full or takes no writes; recovery and replays go on."""
        database = self.parts.database
        low = database.storage_low()
        if not (low or database.unwritable()) or self._known():
            return
        if low:
            raise Problem("storage-full", "no room on the gateway's disk: nothing was accepted", retry_after=60)
        raise Problem("storage-busy", _UNWRITABLE, retry_after=10)

    def _known(self) -> bool:
        """Whether something is stored under the key of this request: it is no new work."""
        asked = self.asked
        if asked is None:
            return False
        return self.parts.database.read(lambda tx: sql.key(tx, asked.merchant, asked.key)) is not None


_UNWRITABLE = (
    "the gateway may not write its database: nothing was accepted, reading goes on. Try again with the same key, and"
    " tell the operator: /readyz and `gateway doctor` say what has lost its permission"
)
View = Callable[[Ask], Json | Reply]


@dataclass(frozen=True)
class Operation:
    """What one route takes and gives. ``guess``: what could be found by trying, so that misses are counted."""

    method: str
    path: str
    view: View
    returns: Mapping[int, type[Schema]]
    body: type[Request] | None
    query: type[Schema] | None
    scopes: tuple[str, ...]
    idempotent: bool
    problems: tuple[str, ...]
    guess: str = ""

    @property
    def id(self) -> str:
        """The operation's name in the document."""
        return self.view.__name__

    @property
    def tenant(self) -> bool:
        """Whether it is about one merchant."""
        return "<merchant>" in self.path

    @cached_property
    def far(self) -> bool:
        """Whether it may wait for a merchant's systems."""
        return self.tenant and (self.method != "GET" or "adapter-unavailable" in self.problems)

    @cached_property
    def body_schema(self) -> Request | None:
        return self.body() if self.body else None

    @cached_property
    def prove(self) -> Prover:
        """Proves a body right; see ``schemas.fast``."""
        assert self.body_schema is not None
        return prover(self.body_schema)

    @cached_property
    def query_schema(self) -> Schema | None:
        return self.query() if self.query else None


#: Every operation of the API, in the order of the document.
OPERATIONS: list[Operation] = []


def operation(
    method: str,
    path: str,
    *,
    returns: Mapping[int, type[Schema]],
    body: type[Request] | None = None,
    query: type[Schema] | None = None,
    scopes: tuple[str, ...] = (),
    idempotent: bool = False,
    problems: tuple[str, ...] = (),
    guess: str = "",
) -> Callable[[View], View]:
    """Register a view. A path that begins with ``…`` is below the merchant; the docstring is the description.

    ``returns`` are the statuses of success with their schemas; ``problems`` are the slugs of this operation's own.
    ``guess`` names what somebody could find by trying: a coupon, a member.
    """

    def register(view: View) -> View:
        full = path.replace("…", TENANT, 1)
        found = Operation(method, full, view, returns, body, query, scopes, idempotent, problems, guess)
        OPERATIONS.append(found)
        return view

    return register
