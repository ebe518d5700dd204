"""A shop whose members are written to by an official account that runs on a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.backoffice.messages.sending import Sending
from gateway.backoffice.messages.taking import OUTCOMES, RECEIVER, Taking
from gateway.engine.addresses import Addresses
from gateway.engine.sealed import Box
from gateway.runtime.gateway_config import Webhooks
from gateway.runtime.master_key import MasterKey
from gateway.sdk import Identity, IdentityType, Secret, Transaction
from gateway.store import messages
from gateway.testing.postgres import PostgresServer
from gateway.webhooks.relay import Relay
from plugins.house import members, stock
from plugins.house.adapter import insert_identity, insert_member
from plugins.messages.simulator import OfficialAccountSimulator
from plugins.messages.simulator_books import openid_of
from tests.engine.kit import FAST, House, build

SHOP = """
[merchant]
id = "m1"
name = "便民超市"
name_en = "Corner Shop"
[[stores]]
id = "s1"
name = "武林店"
name_en = "Wulin"
[connections.house]
adapter = "house"
[connections.account]
adapter = "official_account"
breaker_open_s = 0.05
[connections.account.settings]
endpoint = "http://<messages.account>"
app_id = "APP"
app_secret = "file:<messages.data>/app_secret.txt"
timeout_s = 0.5
[connections.account.settings.templates.paid.zh]
id = "TMPLPAIDZH0001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
fields = { first = "title", keyword1 = "order_no", keyword2 = "amount" }
[connections.account.settings.templates.paid.en]
id = "TMPLPAIDEN0001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
fields = { first = "title", keyword1 = "order_no", keyword2 = "amount" }
[connections.account.settings.templates.refunded.zh]
id = "TMPLBACKZH0001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
fields = { keyword1 = "number", keyword2 = "amount" }
[connections.account.settings.templates.ready.zh]
id = "SUBSREADYZH001xyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
kind = "subscription"
fields = { thing1 = "store", character_string2 = "order_no" }
[[routes]]
family = "membership"
connection = "house"
[[routes]]
family = "stock"
connection = "house"
[[routes]]
family = "orders"
connection = "house"
[[routes]]
family = "messages"
connection = "account"
"""
PAID = """
[messages]
expire_s = 60
[[messages.on]]
event = "checkout.completed"
template = "paid"
[messages.on.texts]
zh = { title = "谢谢光临{merchant}{store}，{time}" }
en = { title = "Thank you for your visit to {merchant} {store}, {time}" }
"""
REFUNDED = """
[[messages.on]]
event = "refund.succeeded"
template = "refunded"
"""
READY = """
[messages]
expire_s = 60
[[messages.on]]
event = "checkout.completed"
template = "ready"
"""


def seed(tx: Transaction) -> None:
    """A member known by an openid and one known by a phone alone, and plenty of one article."""
    for ref, kind, value in (("mem1", "openid", openid_of(1)), ("mem2", "phone", "13800001002")):
        insert_member(tx, "m1", ref, "王小姐", "gold", points=0, real=0, gift=0)
        identity = Identity(type=IdentityType(kind), value=Secret(value))
        insert_identity(tx, "m1", ref, kind, members.digest_of(identity, "m1"))
    stock.set_level(tx, "m1", "s1", "B", 10_000_000)
    doc = json.dumps({"sku": "B", "name": "包子", "unit_amount": 1_280})
    tx.execute("INSERT INTO products (merchant, sku, name, doc, as_of) VALUES ('m1', 'B', 'B', :doc, 0)", {"doc": doc})


def shop_file(simulator: OfficialAccountSimulator, rules: str) -> str:
    """The shop's file with the account's own number, and what its members are told."""
    return SHOP.replace('"APP"', f'"{simulator.who["app_id"]}"') + rules


@dataclass
class Post:
    """A house with what sends its messages; time is the machine's."""

    house: House
    relay: Relay
    sending: Sending
    count: int = 0
    skipped: float = field(default_factory=lambda: _skipped())

    def sell(self, member: dict[str, str] | None = None) -> dict[str, Any]:
        """One bun for cash, by the member who is known by an openid or by another."""
        self.count += 1
        member = {"type": "openid", "value": openid_of(1)} if member is None else member
        request = {
            "store_id": "s1",
            "order_no": f"M-{self.count}",
            "lines": [{"line_id": "A", "sku": "B", "quantity": "2"}],
            "tenders": [{"method": "cash"}],
            **({"member": member} if member else {}),
        }
        reply, body = self.house.checkout(request)
        assert reply.status == 201, body
        return body

    def go(self, sending: Sending | None = None) -> int:
        """Take what has happened, send what is due now; how many messages were tried."""
        carrier = sending or self.sending
        self.relay.take_events()
        jobs = carrier.claim(100)
        for job in jobs:
            carrier.note(job, carrier.send(job))
        return len(jobs)

    def rows(self) -> list[dict[str, Any]]:
        sql = "SELECT * FROM messages ORDER BY key"
        return [dict(row) for row in self.house.database.read(lambda tx: tx.all(sql))]

    def statuses(self) -> list[str]:
        return [row["status"] for row in self.rows()]

    def again(self) -> Sending:
        """The same in another process of the gateway."""
        return Sending(self.house.engine, 30)

    def tasks(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.house.database.read(lambda tx: tx.all("SELECT * FROM tasks"))]

    def counts(self) -> list[tuple[str, str, int]]:
        rows = self.house.database.read(lambda tx: messages.counts(tx, "m1"))
        return [(row["template"], row["status"], row["n"]) for row in rows]

    def sent(self) -> list[dict[str, Any]]:
        """The account's own record."""
        return list(self.house.books("messages")["messages"])

    @property
    def newly_skipped(self) -> float:
        return _skipped() - self.skipped


def _skipped() -> float:
    return float(OUTCOMES.labels("skipped")._value.get())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind; ``""`` is a file in the test's own folder."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def rules(request: pytest.FixtureRequest) -> str:
    """What the shop's members are told."""
    return str(getattr(request, "param", PAID + REFUNDED))


@pytest.fixture
def post(tmp_path: Path, database_url: str, rules: str) -> Iterator[Post]:
    simulator = OfficialAccountSimulator(tmp_path / "messages")
    # The account knows a number again for ten minutes; where the test waits for their end they are a second.
    timing = replace(FAST, scale=0.002) if rules == READY else FAST
    house = build(tmp_path, shop_file(simulator, rules), {"messages": simulator}, url=database_url, timing=timing)
    house.database.tx(seed)
    engine, master = house.engine, MasterKey(tmp_path / "master.key")
    engine.addresses = Addresses(Box(lambda: master.derive("members-addresses")))
    engine.sealer.use(lambda: master.derive("audit-chain"))
    relay = Relay(house.database, engine.clock, engine.ids, master, Webhooks())
    relay.sealer = engine.sealer
    relay.inside[RECEIVER] = Taking(engine)
    relay.take_events()
    yield Post(house, relay, Sending(engine, 30))
    house.stop()
