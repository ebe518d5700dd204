"""Every listing of docs/sdk.md runs, from top to bottom, against real hosts, files and a database."""

from __future__ import annotations

import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.sdk import Http
from tests.sdk.cardhost import card_host
from tests.sdk.kit import ROOT, serving

LISTING = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Store:
    """An adapter's own store, as the runtime gives one."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        self._values[key] = value


def web(client: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def till(client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"0014BL|16|0|100.00" + b"0014BL|17|0|268.00")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[SimpleNamespace]:
    for name in ("inbox", "spool"):
        (tmp_path / name).mkdir()
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.executescript(
            "CREATE TABLE item (no INTEGER, name TEXT, stock INTEGER); INSERT INTO item VALUES (1, '茶', 5);"
            "CREATE TABLE payflow (com_no INTEGER, flow_no TEXT); INSERT INTO payflow VALUES (1, 'A'), (3, 'C');"
        )
    with serving(web) as web_port, serving(till) as till_port, card_host() as card:
        http = Http()
        settings = {
            "url": f"http://127.0.0.1:{web_port}/",
            "port": till_port,
            "session_port": card.port,
            "wsdl": ROOT / "tests" / "sdk" / "data" / "points.wsdl",
            "database": tmp_path / "shop.db",
            "inbox": tmp_path / "inbox",
        }
        yield SimpleNamespace(http=http, settings=settings, spool=tmp_path / "spool", store=Store())
        http.close()


def test_every_listing_runs(context: SimpleNamespace) -> None:
    pytest.importorskip("zeep")
    pytest.importorskip("iso8583")
    text = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    listings = LISTING.findall(text)
    assert len(listings) == text.count("```python") > 8
    names: dict[str, Any] = {"context": context}
    for listing in listings:
        exec(compile(listing, "docs/sdk.md", "exec"), names)
    with closing(sqlite3.connect(context.settings["database"])) as connection:
        assert connection.execute("SELECT stock FROM item").fetchone() == (4,)
