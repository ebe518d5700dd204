"""A gateway with its API in a test: two shops on the house and a wallet, a karaoke house on its till, real sockets."""

from __future__ import annotations

import itertools
import json
import random
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.api.keys import SCOPES, create_key
from gateway.api.openapi import document
from gateway.api.parts import Parts
from gateway.app import create_app
from gateway.backoffice.sync import sync_products
from gateway.sdk import Identity, IdentityType, Secret, Transaction
from gateway.sdk.simulator import Running, start
from plugins.alipay.simulator import AlipaySimulator
from plugins.house import coupons, members, stock
from plugins.house.adapter import insert_identity, insert_member
from plugins.ktv.simulator import KtvSimulator
from plugins.ktv.simulator_seed import MANAGER_CODE
from tests.api.contract import Contract

HERE = Path(__file__).parent
SHOPS = ("bun", "tea")
PHONE = "13800001001"
SKUS = {"bun": 300, "oden": 250, "milk": 1250, "rare": 900}


_codes = itertools.count(random.randrange(10**9))  # a code is single use


def payment_code(ending: str) -> str:
    """A new payment code of the wallet, whose last four digits say what becomes of it."""
    return f"28{next(_codes):012d}{ending}"


paid_code = partial(payment_code, "0001")
password_code = partial(payment_code, "9002")
declined_code = partial(payment_code, "9011")
unknown_code = partial(payment_code, "9014")


def gone_code() -> str:
    """A payment code of a wallet that cannot be reached, which the shop ``tea`` takes."""
    return f"99{next(_codes):016d}"


@dataclass
class Api:
    """A client with a key. Every reply is held against the OpenAPI document."""

    client: FlaskClient
    key: str
    merchant: str = "bun"
    contract: Contract = field(default_factory=lambda: Contract(document()))

    def headers(self, more: Mapping[str, str | None] | None = None) -> dict[str, str]:
        given: dict[str, str | None] = {"Authorization": f"Bearer {self.key}", **(more or {})}
        return {name: value for name, value in given.items() if value is not None}

    def path(self, path: str) -> str:
        return path.replace("…", f"/v1/merchants/{self.merchant}", 1)

    def get(self, path: str, headers: Mapping[str, str | None] | None = None) -> TestResponse:
        return self._seen("GET", self.client.get(self.path(path), headers=self.headers(headers)))

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str | None] | None = None,
        raw: bytes | None = None,
    ) -> TestResponse:
        """Post a body as JSON, under a new idempotency key unless one is given."""
        more = {"Idempotency-Key": key or uuid.uuid4().hex, "Content-Type": "application/json", **(headers or {})}
        data = raw if raw is not None else (b"" if body is None else json.dumps(body).encode())
        if body is None and raw is None:
            more["Content-Type"] = None
        return self._seen("POST", self.client.post(self.path(path), data=data, headers=self.headers(more)))

    def delete(self, path: str, headers: Mapping[str, str | None] | None = None) -> TestResponse:
        return self._seen("DELETE", self.client.delete(self.path(path), headers=self.headers(headers)))

    def _seen(self, method: str, response: TestResponse) -> TestResponse:
        path = response.request.path
        self.contract.check(method, path, response.status_code, response.content_type, response.get_data())
        return response

    def with_key(self, key: str, merchant: str | None = None) -> Api:
        return Api(self.client, key, merchant or self.merchant, self.contract)


@dataclass
class Gateway:
    """A gateway that runs in this process."""

    folder: Path
    app: Flask
    running: dict[str, Running]

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.extensions["gateway"]
        return parts

    @cached_property
    def contract(self) -> Contract:
        return Contract(document())

    def key(
        self, *merchants: str, stores: tuple[str, ...] = ("*",), scopes: tuple[str, ...] = SCOPES, name: str = "test"
    ) -> str:
        key, _ = create_key(self.parts.database, name=name, merchants=merchants, stores=stores, scopes=scopes)
        return key

    def api(self, *merchants: str, stores: tuple[str, ...] = ("*",), scopes: tuple[str, ...] = SCOPES) -> Api:
        """A client whose key is bound to these merchants; it talks about the first."""
        key = self.key(*merchants, stores=stores, scopes=scopes)
        return Api(self.app.test_client(), key, merchants[0], self.contract)

    def stop(self) -> None:
        self.parts.close()
        for running in self.running.values():
            running.stop()


def build(folder: Path, database: str = "") -> Gateway:
    """Start the simulators, write the files with their addresses, make the app, fill the house.

    ``database`` is an address; without one it is SQLite in the folder.
    """
    running = {
        "alipay": start(AlipaySimulator(made_folder(folder / "alipay"), {"password_after_s": "0.3"})),
        "ktv": start(KtvSimulator(made_folder(folder / "ktv"), {"lazy_s": "0.1"})),
    }
    file = write_config(folder, running)
    if database:
        with file.open("a", encoding="utf-8") as config:
            config.write(f'\n[database]\nurl = "{database}"\n')
    app = create_app(file)
    gateway = Gateway(folder, app, running)
    for shop in SHOPS:
        stock_up(gateway.parts, shop)
    return gateway


def write_config(folder: Path, running: Mapping[str, Running], port: int = 18_080, scale: str = "0.05") -> Path:
    """``gateway.toml`` and the merchants' files; ``scale`` multiplies the times that adapters declare."""
    merchants = made_folder(folder / "merchants")
    shop = _filled((HERE / "shop.toml").read_text(encoding="utf-8"), running, folder)
    gone = _filled((HERE / "gone.toml").read_text(encoding="utf-8"), running, folder)
    for name in SHOPS:
        text = shop if name == "bun" else f"{shop}\n{gone}"
        (merchants / f"{name}.toml").write_text(text.replace("@name@", name), encoding="utf-8")
    song = _filled((HERE / "song.toml").read_text(encoding="utf-8"), running, folder)
    (merchants / "song.toml").write_text(song, encoding="utf-8")
    (folder / "manager").write_text(MANAGER_CODE, encoding="utf-8")
    (folder / "manager").chmod(0o600)
    file = folder / "gateway.toml"
    text = (HERE / "gateway.toml").read_text(encoding="utf-8").replace("18080", str(port))
    file.write_text(text.replace("scale = 0.05", f"scale = {scale}"), encoding="utf-8")
    return file


def _filled(text: str, running: Mapping[str, Running], folder: Path) -> str:
    for name, run in running.items():
        for role, address in run.addresses.items():
            host, _, port = address.rpartition(":")
            text = text.replace(f"@{name}.{role}.host@", host).replace(f"@{name}.{role}.port@", port)
            text = text.replace(f"@{name}.{role}@", address)
        text = text.replace(f"@{name}.data@", str(run.simulator.data))
    if (folder / "alipay" / "merchant.json").exists():
        who = json.loads((folder / "alipay" / "merchant.json").read_text(encoding="utf-8"))
        text = text.replace("@app_id@", who["app_id"]).replace("@seller_id@", who["seller_id"])
    left = re.search(r"@[a-z_.]+@", text.replace("@name@", "").replace("@folder@", ""))
    assert left is None, f"nothing gives {left}"
    return text.replace("@folder@", str(folder))


def made_folder(folder: Path) -> Path:
    """The folder, made if it was not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def stock_up(parts: Parts, shop: str) -> None:
    """Products, stock, a member with points and money, and coupons, by the house's own tables; then the mirror."""

    def fill(tx: Transaction) -> None:
        for sku, amount in SKUS.items():
            doc = {"name": f"{shop} {sku}", "unit_amount": amount, "barcodes": [f"69{len(sku)}{amount}{shop}"]}
            tx.execute(
                "INSERT INTO house_products (merchant, sku, doc) VALUES (:merchant, :sku, :doc)",
                {"merchant": shop, "sku": sku, "doc": json.dumps(doc)},
            )
            for store in ("s1", "s2"):
                stock.set_level(tx, shop, store, sku, 2_000 if sku == "rare" else 1_000_000_000)
        insert_member(tx, shop, "m1", "王小明", "gold", points=100_000, real=500_000, gift=0)
        identity = Identity(type=IdentityType.PHONE, value=Secret(PHONE))
        insert_identity(tx, shop, "m1", "phone", members.digest_of(identity, shop))
        coupon = {"kind": "cash", "title": "减1元", "terms": {"off_amount": 100}}
        for number in range(4):
            coupons.insert(tx, shop, f"OFF{number}", coupon, 1, "m1", 0)

    parts.database.tx(fill)
    sync_products(parts.engine, shop)
