"""A cinema's gateway: its settings, and the gateway as it runs in production, under gunicorn with its recovery."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from gateway.api.keys import create_key
from gateway.app import build_parts
from gateway.backoffice.sync import sync_products
from gateway.demo.stage import free_port
from gateway.sdk.simulator import Running
from plugins.pretix.cinema import ORGANIZER, Cinema
from tests.engine.street import ENDED
from tests.long.town import Node
from tests.plugins.pretix.kit import House, key

SHOP = """
[merchant]
id = "screen"
name = "银幕影城"
industry = "cinema"
[[stores]]
id = "screen-1"
name = "银幕影城 一号店"
[connections.tickets]
adapter = "pretix"
insecure_transport = true
[connections.tickets.settings]
base_url = "@base@"
token = "file:@token@"
organizer = "@organizer@"
event = "@event@"
store_id = "screen-1"
redemption_item = @item@
redemption_date = @date@
timeout_s = 30
read_timeout_s = 30
query_timeout_s = 30
member_rates = { @type@ = 9000 }
[connections.alipay]
adapter = "alipay"
insecure_transport = true
[connections.alipay.settings]
endpoint = "http://@alipay@/gateway.do"
app_id = "@app_id@"
seller_id = "@seller_id@"
app_private_key = "file:@data@/app_private_key.pem"
alipay_public_key = "file:@data@/alipay_public_key.pem"
[[routes]]
family = "payments"
connection = "alipay"
[[routes]]
family = "membership"
connection = "tickets"
[[routes]]
family = "coupons"
connection = "tickets"
[[routes]]
family = "stock"
connection = "tickets"
[[routes]]
family = "orders"
connection = "tickets"
"""


def write_shop(folder: Path, cinema: Cinema, wallet: Running, *, gold: int = 1, server: str = "") -> Path:
    """``gateway.toml`` of a gateway with this cinema, in a folder of its own; ``gold`` is a membership's type."""
    house = House(cinema, folder)
    data = wallet.simulator.data
    who = json.loads((data / "merchant.json").read_text(encoding="utf-8"))
    known = {
        "base": cinema.api.base, "token": house.folder / "token", "organizer": ORGANIZER, "event": cinema.event,
        "item": cinema.redemption, "date": cinema.redemption_date, "type": gold, "data": data,
        "alipay": wallet.addresses["gateway"], **who,
    }  # fmt: skip
    text = SHOP
    for name, value in known.items():
        text = text.replace(f"@{name}@", str(value))
    (folder / "screen.toml").write_text(text, encoding="utf-8")
    file = folder / "gateway.toml"
    file.write_text(f'data = "data"\nmerchants = ["screen.toml"]\n{server}', encoding="utf-8")
    return file


@dataclass
class Counter:
    """A gateway's processes, and a client with a key."""

    node: Node
    key: str
    #: Where pretix calls back.
    callback: str

    def post(self, path: str, body: Mapping[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key()}
        url = f"{self.node.url}/v1/merchants/screen{path}"
        return requests.post(url, json=dict(body), headers=headers, timeout=60)

    def ended(self, reply: requests.Response, seconds: float = 60.0) -> dict[str, Any]:
        """What became of a checkout, once it has come to its end."""
        found: dict[str, Any] = reply.json()
        if reply.status_code != 202:
            return found
        until = time.monotonic() + seconds
        headers = {"Authorization": f"Bearer {self.key}"}
        while found.get("status") not in ENDED and time.monotonic() < until:
            time.sleep(0.5)
            found = requests.get(f"{self.node.url}{reply.headers['Location']}", headers=headers, timeout=30).json()
        return found


@contextmanager
def counter(folder: Path, cinema: Cinema, wallet: Running) -> Iterator[Counter]:
    """A gateway of its own, with its own database, before the same ticket system."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = write_shop(
        folder, cinema, wallet, server=f"[server]\nport = {port}\nconsole_port = 0\nworkers = 1\n"
    )  # fmt: skip
    parts = build_parts(file)
    try:
        sync_products(parts.engine, "screen")
        secret, _ = create_key(parts.database, merchants=["screen"])
        path = parts.notices.path("screen", "tickets")
    finally:
        parts.close()
    node = Node(file, port, folder / "gateway.log")
    node.start()
    try:
        node.wait()
        yield Counter(node, secret, f"{node.url}{path}")
    finally:
        if node.process is not None:
            node.process.send_signal(signal.SIGTERM)
            node.process.wait(40)
