"""What `gateway plugins new` writes: each family over each transport installs, is silver, and serves a checkout."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.stage import free_port
from gateway.sdk import Adapter, Transaction
from gateway.testing.scaffold import NoSuchPlugin, Wanted, sensible, write
from gateway.testing.scaffold.families import PARTS, TRANSPORTS
from plugins.house import stock
from tests.engine.kit import House, build
from tests.runtime.kit import plugin

ROOT = Path(__file__).resolve().parents[2]
EACH = [(family, transport) for transport in TRANSPORTS for family in sensible(transport)]
#: One of each transport, with another family each, and a few that are graded; ``SCAFFOLD_EVERYTHING=1`` sells through
#: every pair and grades all.
SOLD = [
    (families[number % len(families)], transport)
    for number, transport in enumerate(TRANSPORTS)
    if (families := sensible(transport))
]
GRADED = ["http", "files", "iso8583"]
if os.environ.get("SCAFFOLD_EVERYTHING"):
    SOLD, GRADED = EACH, list(TRANSPORTS)
_NUMBERS = count(1)
_SHOP = """
[merchant]
id = "m1"
name = "Shop"
[[stores]]
id = "s1"
name = "One"
[connections.it]
adapter = "{name}"
insecure_transport = true
[connections.it.settings]
{settings}
[connections.house]
adapter = "house"
{routes}
[pricing.points]
rule = {{ points = 100, amount = 100 }}
earn = {{ per_amount = 100, points = 1 }}
"""


def _run(*command: str, cwd: Path, **more: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **more}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _written(folder: Path, transport: str, *families: str, parts: tuple[str, ...] = ()) -> Wanted:
    wanted = Wanted(f"made{next(_NUMBERS)}-{transport}", families, transport, parts)
    write(wanted, folder)
    return wanted


def _parts(families: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for part, family in PARTS.items() if family in families)


def test_every_scaffold_is_tidy(tmp_path: Path) -> None:
    """An author who begins with untidy code can't tell his own mistakes from ours."""
    for family, transport in EACH:
        _written(tmp_path, transport, family)
    for transport in TRANSPORTS:
        _written(tmp_path, transport, *sensible(transport), parts=_parts(sensible(transport)))
    for part in PARTS:
        _written(tmp_path, "tcp", "membership", parts=(part,))
    config = ("--config", str(ROOT / "pyproject.toml"))
    _run(sys.executable, "-m", "ruff", "check", *config, "--ignore", "I001", ".", cwd=tmp_path)
    _run(sys.executable, "-m", "ruff", "format", "--check", *config, ".", cwd=tmp_path)


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    for name, families, transport, why in (
        ("json", ("orders",), "http", "installed already"),
        ("Shop 1", ("orders",), "http", "is no name"),
        ("shop", ("payments",), "files", "stock, orders"),
        ("shop", (), "http", "name a family"),
        ("shop", ("orders",), "telex", "http, xml, soap"),
    ):
        with pytest.raises(NoSuchPlugin, match=why):
            Wanted(name, families, transport)
    with pytest.raises(NoSuchPlugin, match=r"value \(of membership\)"):
        Wanted("shop", ("orders",), "http", ("value",))
    wanted = _written(tmp_path, "http", "orders")
    with pytest.raises(NoSuchPlugin, match="nothing was written"):
        write(wanted, tmp_path)


def test_the_command_asks_for_what_was_not_said(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from gateway.cli_plugins import plugins

    said = CliRunner().invoke(plugins, ["new", "asked-shop", "--to", str(tmp_path)], input="tcp\norders, stock\n")
    assert said.exit_code == 0, said.output
    text = (tmp_path / "asked-shop/src/asked_shop/adapter.py").read_text(encoding="utf-8")
    assert "def order_post" in text and "def stock_reserve" in text and "Line(" not in text


def test_the_charset_of_xml_is_asked_and_written(tmp_path: Path) -> None:
    """A system that declares GB18030 and is answered in UTF-8 shows its members rubbish, or refuses."""
    from click.testing import CliRunner

    from gateway.cli_plugins import plugins

    said = CliRunner().invoke(plugins, ["new", "asked-xml", "--to", str(tmp_path)], input="xml\nbig5\nstock\n")
    assert said.exit_code == 0, said.output
    text = (tmp_path / "asked-xml/src/asked_xml/protocol.py").read_text(encoding="utf-8")
    assert 'CHARSET = "big5"' in text
    write(Wanted("told-xml", ("stock",), "xml"), tmp_path)
    found: dict[str, Any] = {}
    exec((tmp_path / "told-xml/src/told_xml/protocol.py").read_text(encoding="utf-8"), found)
    raw = found["encode_request"]("hold", "T1", {"subject": "龍鬚糖 & €"})
    assert raw.startswith(b'<?xml version="1.0" encoding="gb18030"?>') and "龍鬚糖".encode("gb18030") in raw
    assert found["decode_request"](raw) == ("hold", "T1", {"subject": "龍鬚糖 & €"})
    for transport, charset in (("http", "gbk"), ("xml", "latin-1")):
        with pytest.raises(NoSuchPlugin, match="asked of xml only; there are: gb18030"):
            Wanted("shop", ("orders",), transport, (), charset)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("family", "transport"), SOLD)
def test_a_scaffold_serves_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, transport: str
) -> None:
    """What is written works in a gateway before a line was changed."""
    _check_out(_written(tmp_path, transport, family), tmp_path, monkeypatch)


@pytest.mark.timeout(60)
def test_a_scaffold_takes_points_and_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever needs holds of points and stored value gets them written, not only earned points."""
    wanted = _written(tmp_path, "tcp", "membership", parts=("points-holds", "value"))
    tenders = [{"method": "stored_value", "amount": 300}, {"method": "cash"}]
    _check_out(wanted, tmp_path, monkeypatch, ("earn", "points_spend", "value_spend"), points=100, tenders=tenders)


@pytest.mark.slow
@pytest.mark.timeout(250)
@pytest.mark.parametrize("transport", GRADED)
def test_a_scaffold_of_all_families_installs_and_is_silver(tmp_path: Path, transport: str) -> None:
    """Its own tests are green and say what is left; the suite finds the grade that it claims."""
    wanted = _written(tmp_path, transport, *sensible(transport), parts=_parts(sensible(transport)))
    package, site = tmp_path / wanted.name, tmp_path / "site"
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    _run(sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(package), cwd=tmp_path)
    found = {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    tests = _run(
        sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", str(package), cwd=package, **found
    )
    assert "FILL IN" in tests, "it does not say what is left"
    said = _run(sys.executable, "-m", "gateway.cli", "plugins", "check", "--quick", wanted.name, cwd=tmp_path, **found)
    assert f"{wanted.name}: silver" in said or f"{wanted.name}: gold" in said


def _check_out(
    wanted: Wanted, folder: Path, monkeypatch: pytest.MonkeyPatch, also: tuple[str, ...] = (), **more: Any
) -> None:
    """One article is sold through it; what it serves stands in its system's books."""
    monkeypatch.syspath_prepend(str(folder / wanted.name / "src"))
    monkeypatch.setenv("SCAFFOLD_PASSWORD", f"{wanted.name}-password")
    simulator = getattr(importlib.import_module(f"{wanted.module}.simulator"), f"{wanted.class_name}Simulator")
    adapter: type[Adapter] = getattr(importlib.import_module(f"{wanted.module}.adapter"), f"{wanted.class_name}Adapter")
    port = free_port()
    house = _open(wanted, folder, port, simulator(folder / "system", {"port": str(port)}), adapter)
    house.database.tx(_seed)
    try:
        reply, said = house.checkout({**_basket(wanted.families[0]), **more})
        assert reply.status in (201, 202), said
        house.settle()
        done = house.books("it")["entries"]
        expected = {"payments": "charge", "membership": "earn", "coupons": "redeem", "stock": "sell", "orders": "post"}
        wants = expected.get(wanted.families[0], "")
        if wanted.transport != "files" or wants == "post":
            assert not wants or wants in [row["op"] for row in done], (said, done)
        assert set(also) <= {row["op"] for row in done}, (said, done)
    finally:
        house.stop()


def _open(wanted: Wanted, folder: Path, port: int, simulator: Any, adapter: type[Adapter]) -> House:
    served = wanted.families[0]
    families = dict.fromkeys(("membership", "coupons", "stock", "orders"), "")
    routes = {family: "it" if family == served else "house" for family in {**families, served: ""}}
    text = "".join(f'[[routes]]\nfamily = "{family}"\nconnection = "{to}"\n' for family, to in routes.items())
    shop = _SHOP.format(name=wanted.name, settings=_settings(wanted, port), routes=text)
    return build(folder, shop, {"it": simulator}, plugins=[plugin(wanted.module, adapter)])


def _settings(wanted: Wanted, port: int) -> str:
    match wanted.transport:
        case "http" | "soap" | "xml":
            return 'url = "http://<it.system>"\npassword = "env:SCAFFOLD_PASSWORD"'
        case "files":
            return 'inbox = "<it.inbox>"\noutbox = "<it.outbox>"'
        case "database":
            return 'database = "<it.system>"'
        case "tcp":
            return f'host = "127.0.0.1"\nport = {port}\npassword = "env:SCAFFOLD_PASSWORD"'
    return f'host = "127.0.0.1"\nport = {port}\nterminal = "10000001"'


def _seed(tx: Transaction) -> None:
    """The article in the product library, and with the house; the rest is the scaffold's."""
    stock.set_level(tx, "m1", "s1", "A1", 10_000)
    doc = json.dumps({"sku": "A1", "name": "Bun", "unit_amount": 300})
    sql = "INSERT INTO products (merchant, sku, name, doc, as_of) VALUES ('m1', 'A1', 'Bun', :doc, 0)"
    tx.execute(sql, {"doc": doc})


def _basket(family: str) -> dict[str, Any]:
    basket: dict[str, Any] = {
        "store_id": "s1",
        "order_no": "W1",
        "lines": [{"line_id": "1", "sku": "A1", "quantity": "2"}],
        "tenders": [{"method": "qr_code" if family == "payments" else "cash"}],
    }
    if family == "membership":
        basket["member"] = {"type": "phone", "value": "13800001111"}
    if family == "coupons":
        basket["coupons"] = ["C100"]
    return basket
