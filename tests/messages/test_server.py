"""The real server, with a plugin that hangs on every event: no sale is slower for it, and each is told to its member
once, also when the process that sends dies in the middle of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import Identity, IdentityType, Secret
from plugins.house import members
from plugins.house.adapter import insert_identity
from plugins.messages.simulator_books import openid_of
from tests.engine.street import Street, simple
from tests.messages.conftest import PAID, SHOP

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

#: A plugin that tells where it was called, and never comes back.
HANGING = """
import pathlib, time
from gateway.sdk import hookimpl

@hookimpl
def o2o_event(event):
    with (pathlib.Path(__file__).parent / "told").open("a") as file:
        file.write(event["id"] + "\\n")
    time.sleep(3600)
"""
#: How long a sale may take that nobody holds up; the plugin's deadline and the account's silence are far longer.
SALE_S, SILENT_S = 4.0, 8


class MessageStreet(Street):
    """The shop of the street, with an official account, members who follow it, and the plugin that hangs."""

    @property
    def site(self) -> Path:
        return self.data / "site"

    def set_up(self, tell: Any = None) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.systems["messages"] = self._start_system("messages", {})
        super().set_up(tell)

    def _write_config(self) -> None:
        super()._write_config()
        app_id = json.loads((self.systems["messages"].data / "account.json").read_text())["app_id"]
        account = SHOP[SHOP.index("[connections.account]") : SHOP.index("[[routes]]")].replace('"APP"', f'"{app_id}"')
        account = account.replace("<messages.account>", self.systems["messages"].addresses["account"])
        account = account.replace("<messages.data>", str(self.systems["messages"].data))
        route = '[[routes]]\nfamily = "messages"\nconnection = "account"\n'
        with (self.config_file.parent / "merchants" / "m1.toml").open("a", encoding="utf-8") as file:
            file.write(account + route + PAID)
        self._install()
        with self.config_file.open("a", encoding="utf-8") as file:
            file.write('[plugins]\nallow = ["first-party", "acme"]\nevent_timeout_s = 30\n[webhooks]\nevery_s = 0.1\n')

    def _install(self) -> None:
        """What pip does with a plugin of somebody else's."""
        info = self.site / "acme_listener-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-listener\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[o2o_gateway.plugins]\nacme = acme_listener\n")
        (self.site / "acme_listener.py").write_text(HANGING)
        os.environ["PYTHONPATH"] = str(self.site)

    def _seed(self) -> None:
        super()._seed()
        identity = Identity(type=IdentityType.OPENID, value=Secret(openid_of(1)))
        digest = members.digest_of(identity, "m1")
        with self.opened() as database:
            database.tx(lambda tx: insert_identity(tx, "m1", "mem1", "openid", digest))
            database.tx(lambda tx: tx.execute("UPDATE house_stock SET on_hand = 10000000"))

    def sell(self, order_no: str) -> float:
        """A sale for cash to the member; how long it took, in seconds."""
        member = {"type": "openid", "value": openid_of(1)}
        order = {**simple(order_no, ""), "tenders": [{"method": "cash"}], "member": member}
        began = time.monotonic()
        reply = self.post("/checkouts", order, order_no)
        assert reply is not None and reply.status_code == 201, reply and reply.text
        return time.monotonic() - began

    def told(self, order_no: str) -> list[dict[str, Any]]:
        """The account's messages about an order."""
        found = self.systems["messages"].books()["messages"]
        return [each for each in found if each["data"].get("keyword1") == order_no]

    def ended_messages(self, count: int, seconds: float = 60.0) -> list[str]:
        """How messages stand, once so many have ended."""
        deadline = time.monotonic() + seconds
        while True:
            rows = [row["status"] for row in self.rows("SELECT status FROM messages")]
            if len([row for row in rows if row != "open"]) >= count or time.monotonic() > deadline:
                return rows
            time.sleep(0.1)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def street(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MessageStreet]:
    before = os.environ.get("PYTHONPATH")
    url = request.getfixturevalue("postgres_server").new_database() if request.param == "postgresql" else ""
    made = MessageStreet(tmp_path_factory.mktemp("street"), database_url=url)
    with made:
        yield made
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def test_a_member_is_told_of_each_sale_and_a_plugin_that_hangs_slows_none(street: MessageStreet) -> None:
    took = [street.sell(f"A-{number}") for number in range(8)]
    assert street.ended_messages(8) == ["sent"] * 8
    (message,) = street.told("A-3")
    assert message["touser"] == openid_of(1) and message["data"]["keyword2"].startswith("¥")
    assert message["data"]["first"].startswith("谢谢光临便民超市武林店，20")
    assert (street.site / "told").read_text().count("evt_") >= 1, "the plugin was not told anything"
    assert max(took) < SALE_S


@pytest.mark.parametrize("point", ["before-send:message_send", "after-send:message_send"])
def test_the_member_is_told_once_when_the_process_dies_that_tells(street: MessageStreet, point: str) -> None:
    before = len(street.ended_messages(0))
    street.die_at(point)
    order_no = f"B-{point}"
    street.sell(order_no)
    assert street.ended_messages(before + 1) == ["sent"] * (before + 1)
    assert street.died(point)
    assert len(street.told(order_no)) == 1


def test_an_account_that_is_silent_slows_no_sale(street: MessageStreet) -> None:
    before = len(street.ended_messages(0))
    street.systems["messages"].faults({"name": "latency", "match": "template", "value": SILENT_S * 1000, "times": 6})
    took = [street.sell(f"C-{number}") for number in range(6)]
    assert max(took) < SALE_S
    street.systems["messages"].faults()
    assert street.ended_messages(before + 6) == ["sent"] * (before + 6)
    assert all(len(street.told(f"C-{number}")) == 1 for number in range(6))
