"""The real ticket system: pretix in an environment of its own, on a PostgreSQL of its own, on loopback alone.

It is installed and migrated once; the migrated database is kept as a dump below ``var/real/pretix``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from gateway.testing.postgres import PostgresServer
from plugins.pretix.cinema import ORGANIZER, Api

VERSION = "2026.8.0"
HOME = Path(__file__).parents[2] / "var" / "real" / "pretix"
INSTALL_S, MIGRATE_S, START_S = 900, 1800, 300
#: Run by pretix's own shell: what its API cannot make, an organizer and a token with all rights.
FIRST = f"""
from django_scopes import scopes_disabled
from pretix.base.models import Organizer, Team
with scopes_disabled():
    organizer = Organizer.objects.create(name="Silver Screen", slug="{ORGANIZER}")
    organizer.settings.customer_accounts = True
    team = Team.objects.create(
        organizer=organizer, name="gateway", all_events=True, all_event_permissions=True, all_organizer_permissions=True
    )
    print("TOKEN=" + team.tokens.create(name="gateway").token)
"""


class GroundError(RuntimeError):
    """The real system could not be set up; the text says what to do."""


def install() -> Path:
    """The environment's Python, with pretix in it."""
    python = HOME / "venv" / "bin" / "python"
    mark = HOME / "venv" / f".pretix-{VERSION}-gunicorn"
    if mark.exists():
        return python
    shutil.rmtree(HOME / "venv", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(HOME / "venv")], check=True, timeout=120)  # noqa: S603 - our own command
    uv = Path(sys.executable).parent / "uv"
    pip = ("-m", "pip", "install", "--quiet")
    command = [str(uv), "pip", "install", "--quiet", "--python", str(python)] if uv.exists() else [str(python), *pip]
    words = [*command, f"pretix=={VERSION}", "gunicorn"]
    done = subprocess.run(words, timeout=INSTALL_S, capture_output=True, text=True)  # noqa: S603 - our own command
    if done.returncode:
        said = done.stderr.strip()[-800:]
        raise GroundError(f"pretix {VERSION} cannot be installed; is the package registry reached?\n{said}")
    mark.touch()
    return python


@dataclass
class Pretix:
    """The running system; a context manager. ``kill`` ends it as a power cut would, ``start`` starts it again."""

    folder: Path
    workers: int = 3
    port: int = 0
    token: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _postgres: PostgresServer = field(default_factory=PostgresServer)

    def __enter__(self) -> Self:
        try:
            self._python = install()
            self._postgres.__enter__()
            self._database = self._postgres.new_database()
            self._configure()
            self._fill()
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> str:
        """The address of its database, for psycopg."""
        return self._database

    @property
    def api(self) -> Api:
        return Api(self.url, self.token)

    def start(self) -> None:
        """Start the web server and wait until it answers."""
        options = ("-b", f"127.0.0.1:{self.port}", "-t", "300", "--preload", "-w", str(self.workers))
        with (self.folder / "pretix.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [self._python, "-m", "gunicorn", *options, "pretix.wsgi"],
                env=self._environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(requests.RequestException):
                if requests.get(f"{self.url}/healthcheck/", timeout=10).status_code in (200, 503):
                    return
            time.sleep(0.2)
        raise GroundError(f"pretix did not start; see {self.folder / 'pretix.log'}")

    def kill(self) -> None:
        """``kill -9`` of the server with all its workers."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its own session: nothing but what was started above
            self._process.wait(timeout=20)
            self._process = None
            self._until_refused()

    def _until_refused(self) -> None:
        """A killed worker may hold the socket for a moment longer."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", self.port)):
                    return
            time.sleep(0.05)

    def freeze(self, stopped: bool) -> None:
        """Stop all its processes, so that requests wait; or let them go on."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGSTOP if stopped else signal.SIGCONT)

    def _end(self) -> None:
        self.kill()
        self._postgres.close()

    # -------------------------------------------------------------- setting up

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        return kept | {"PRETIX_CONFIG_FILE": str(self.folder / "pretix.cfg"), "PYTHONWARNINGS": "ignore"}

    def _configure(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        place = self._postgres.url("x").partition("host=")[2].replace("%2F", "/")
        name = self._database.partition("/?")[0].rpartition("/")[2].partition("?")[0]
        self._name = name
        self._place = place
        (self.folder / "pretix.cfg").write_text(
            f"[pretix]\ninstance_name=cinema\nurl={self.url}\ndatadir={data}\nallow_http_to_private_networks=on\n"
            f"[django]\nsecret={secrets.token_hex(32)}\n"
            f"[database]\nbackend=postgresql\nname={name}\nuser=postgres\nhost={place}\n"
            "[mail]\nfrom=nobody@example.org\nhost=127.0.0.1\nport=9\n",
            encoding="utf-8",
        )

    def _fill(self) -> None:
        """The migrated database: from the dump, or made now and dumped."""
        dump, note = HOME / f"pretix-{VERSION}.dump", HOME / f"pretix-{VERSION}.json"
        if dump.exists() and note.exists():
            self._tool("pg_restore", "--no-owner", "-d", self._name, str(dump))
        else:
            self._run("-m", "pretix", "migrate", "--verbosity", "0")
            told = self._run("-m", "pretix", "shell", "-c", FIRST)
            token = next(line[6:] for line in told.splitlines() if line.startswith("TOKEN="))
            note.write_text(json.dumps({"token": token}), encoding="utf-8")
            note.chmod(0o600)
            part = dump.with_suffix(".part")
            self._tool("pg_dump", "-Fc", "-f", str(part), self._name)
            part.rename(dump)
        self.token = str(json.loads(note.read_text(encoding="utf-8"))["token"])

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own command
            [self._python, *arguments], env=self._environment, cwd=self.folder, timeout=MIGRATE_S,
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise GroundError(f"pretix {' '.join(arguments[1:3])}: {done.stderr[-800:]}")
        return done.stdout

    def _tool(self, name: str, *arguments: str) -> None:
        tool: Any = self._postgres._bin / name
        done = subprocess.run(  # noqa: S603 - our own command
            [tool, "-h", self._place, "-U", "postgres", *arguments], timeout=MIGRATE_S, capture_output=True, text=True
        )
        if done.returncode:
            raise GroundError(f"{name}: {done.stderr[-800:]}")


def main() -> None:
    """Install and migrate, so that no test has to wait for it."""
    with tempfile.TemporaryDirectory() as folder, Pretix(Path(folder)) as running:
        sys.stdout.write(f"pretix {VERSION} answers at {running.url}; it is stopped again\n")


if __name__ == "__main__":
    try:
        main()
    except (GroundError, subprocess.TimeoutExpired) as trouble:
        sys.exit(str(trouble))
