"""The stage: simulators of the legacy systems as processes, the merchants' files with their addresses, the gateway."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

import requests

from gateway.api.keys import create_key
from gateway.app import build_parts
from gateway.backoffice.sync import sync_products
from gateway.demo.seed import seed_house
from gateway.folders import config_folder

#: The merchants of the story; each has an account of its own with the wallet.
MERCHANTS = ("yinhu", "qinghe", "hubin", "bianmin")
#: The legacy systems of the story and their options.
SYSTEMS: dict[str, dict[str, str]] = {
    "alipay": {"bill_ready": "at_once", "merchants": ",".join(MERCHANTS)},
    "ktv": {},
    "restaurant": {},
    "department": {"password": "demo-mis-password", "license": "demo-mis-license"},
    "bank-terminal": {},
    "convenience": {"upload_delay_s": "1"},
    "groupbuy": {},
}
#: What the merchants' files refer to as ``env:``; the simulators know the same words.
SECRETS = {
    "DEMO_KTV_MANAGER": "668899",
    "DEMO_TILL_PASSWORD": "demo-till-9001",
    "DEMO_OFFICE_SECRET": "demo-secret-of-qinghe",
    "DEMO_MIS_PASSWORD": "demo-mis-password",
    "DEMO_MIS_LICENSE": "demo-mis-license",
}
START_WAIT_S = 60.0
_PLACE = re.compile(r"@([a-z-]+)\.([a-z_]+)(?:\.(host|port))?@")


class StageError(Exception):
    """The stage could not be set up; the text says what to do."""


@dataclass
class System:
    """One simulator that runs: its process, addresses, and control panel."""

    name: str
    process: subprocess.Popen[str]
    addresses: dict[str, str]
    panel: str
    data: Path

    def control(self, **command: Any) -> dict[str, Any]:
        """Pull a lever: what a cashier, a waiter or a customer does at that system."""
        reply = requests.post(f"{self.panel}/control", json=command, timeout=30)
        if reply.status_code != 200:
            raise StageError(f"{self.name}: {command.get('do')}: {reply.text}")
        return dict(reply.json())

    def books(self) -> dict[str, Any]:
        """The system's own record."""
        return dict(requests.get(f"{self.panel}/books", timeout=30).json())

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Switch faults on, and all others off."""
        requests.put(f"{self.panel}/faults", json={"faults": list(faults)}, timeout=30).raise_for_status()


@dataclass
class Stage:
    """Everything that the story plays on; a context manager that stops what it started."""

    data: Path
    port: int = 0
    console_port: int = 0
    #: How long the story waits for something to end; shorter where a leg is broken on purpose.
    patience_s: float = 30.0
    systems: dict[str, System] = field(default_factory=dict)
    gateway: subprocess.Popen[bytes] | None = None
    key: str = ""
    log: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config_file(self) -> Path:
        return self.data / "config" / "gateway.toml"

    def set_up(self, tell: Any = print) -> None:
        """Start everything. Raises ``StageError`` that says what did not start, and where its log is."""
        self.data.mkdir(parents=True, exist_ok=True)
        os.environ.update(SECRETS)
        for name, options in SYSTEMS.items():
            self.systems[name] = self._start_system(name, options)
            tell(f"  {name:<14} {', '.join(f'{k} {v}' for k, v in self.systems[name].addresses.items())}")
        self._write_config()
        self._prepare_database(tell)
        self._start_gateway()
        tell(f"  {'gateway':<14} {self.url}")

    # --- simulators --------------------------------------------------------------------------------------------------

    def _start_system(self, name: str, options: Mapping[str, str]) -> System:
        folder = self.data / "systems" / name
        command = [sys.executable, "-m", "gateway.cli", "simulate", name, "--data", str(folder)]
        for key, value in options.items():
            command += ["--set", f"{key}={value}"]
        with self._log(name) as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603 - our own
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise StageError(f"the simulator {name} did not start; see {log.name}")
        told = json.loads(line)
        return System(name, process, told["addresses"], told["panel"], folder)

    def _log(self, name: str) -> TextIO:
        folder = self.data / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / f"{name}.log").open("w", encoding="utf-8")

    # --- configuration -----------------------------------------------------------------------------------------------

    def _write_config(self) -> None:
        folder = self.config_file.parent
        (folder / "merchants").mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self.console_port = free_port()
        for file in sorted((config_folder() / "demo").glob("*.toml")):
            text = self._with_addresses(file.read_text(encoding="utf-8"))
            (folder / "merchants" / file.name).write_text(text, encoding="utf-8")
        self.config_file.write_text(
            f'data = "../gateway"\nmerchants = ["merchants/*.toml"]\n\n[server]\nport = {self.port}\n'
            f"console_port = {self.console_port}\n"
            "[engine]\npost_patience_s = 6\nscale = 0.2\n",
            encoding="utf-8",
        )

    def _with_addresses(self, text: str) -> str:
        known = {f"{name}.{role}": address for name, s in self.systems.items() for role, address in s.addresses.items()}
        known |= {f"{name}.data": str(s.data) for name, s in self.systems.items()}
        for merchant in MERCHANTS:
            account = self.systems["alipay"].data / merchant / "merchant.json"
            who = json.loads(account.read_text(encoding="utf-8"))
            known |= {f"alipay.{merchant}_{name}": value for name, value in who.items()}
        known |= {"restaurant.stores": restaurant_stores(), "restaurant.shops": restaurant_shops()}
        soap = known["department.soap"]
        known["department.soap"] = soap if soap.startswith("http") else f"http://{soap}/sales.asmx"
        known["department.store"] = "S001"

        def put(found: re.Match[str]) -> str:
            value = known[f"{found[1]}.{found[2]}"]
            host, _, port = value.rpartition(":")
            return {"host": host, "port": port}.get(found[3] or "", value)

        return _PLACE.sub(put, text)

    # --- the gateway -------------------------------------------------------------------------------------------------

    def _prepare_database(self, tell: Any) -> None:
        parts = build_parts(self.config_file)
        try:
            seed_house(parts.database)
            for merchant in parts.runtime.merchants.values():
                read = sync_products(parts.engine, merchant.id).read
                tell(f"  {merchant.name}: {read} articles, {len(merchant.stores)} stores")
            self.key, _ = create_key(parts.database, name="demo")
        finally:
            parts.close()

    def _start_gateway(self) -> None:
        command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(self.config_file)]
        with self._log("gateway") as log:
            self.gateway = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own program
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline:
            if self.gateway.poll() is not None:
                break
            with suppress(requests.RequestException):
                if requests.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return
            time.sleep(0.1)
        raise StageError(f"the gateway did not start; see {log.name}")

    def stop(self) -> None:
        """End every process that was started."""
        started = [self.gateway, *(system.process for system in self.systems.values())]
        for process in started:
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in started:
            if process is not None:
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """A port on loopback that nobody listens on, and that no system gives to whoever asks for any.

    A server that is started again needs its port: one out of the range of outgoing connections may be taken meanwhile.
    """
    while True:
        port = random.randrange(12_000, 32_000)  # noqa: S311 - no secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _shops() -> list[dict[str, str]]:
    from plugins import restaurant

    file = Path(restaurant.__file__).parent / "seed" / "shops.csv"
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def restaurant_stores() -> str:
    """The 34 restaurants as stores of the merchant's file."""
    return "\n".join(
        f'[[stores]]\nid = "{s["code"]}"\nname = "{s["name"]}"\nname_en = "{s["name_en"]}"\ncity = "{s["city"]}"\n'
        f'address = "{s["address"]}"\nlatitude = {s["latitude"]}\nlongitude = {s["longitude"]}\nhours = ["10:30-22:00"]'
        for s in _shops()
    )


def restaurant_shops() -> str:
    """The 34 restaurants as the adapter's shop map."""
    rounding = {"jiao": "jiao", "yuan": "yuan"}
    return "\n".join(
        f'{s["code"]} = {{ code = "{s["code"]}", service_basis = "{s["service_basis"]}",'
        f' rounding = "{rounding.get(s["wipe"], "none")}" }}'
        for s in _shops()
    )
