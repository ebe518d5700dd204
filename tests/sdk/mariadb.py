"""A real MariaDB: this machine's own, or Debian's packages unpacked by ``python -m tests.sdk.mariadb FOLDER``."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.sdk.kit import ROOT

PACKAGES = (
    "mariadb-server-core", "mariadb-common", "libaio1", "liburing2", "libnuma1", "libsnappy1v5", "liblz4-1", "libpmem1",
    "libndctl6", "libdaxctl1", "libfmt9", "libssl3", "libncurses6", "libpcre2-8-0",
)  # fmt: skip
UNPACKED = ROOT / "var" / "peers" / "mariadb"
SETUP = """
FLUSH PRIVILEGES;
CREATE USER o2o@'127.0.0.1' IDENTIFIED BY 'secret';
GRANT ALL ON pos.* TO o2o@'127.0.0.1';
CREATE DATABASE pos;
"""


def fetch(folder: Path) -> None:
    """Unpack Debian's packages below ``folder``; nothing is installed."""
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=packages, check=True, timeout=300)
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True, timeout=60)


def find() -> Path | None:
    """The folder whose ``usr/sbin/mariadbd`` or ``sbin/mariadbd`` is there."""
    for root in (UNPACKED, Path("/")):
        if (root / "usr/sbin/mariadbd").exists():
            return root
    return None


class MariaDb:
    """A server with an empty database ``pos``, for one session of tests."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._share = root / "usr/share/mysql"
        self._server = str(root / "usr/sbin/mariadbd")
        self._folder = folder
        libraries = str(root / "usr/lib/x86_64-linux-gnu")
        self._environment = os.environ | ({} if root == Path("/") else {"LD_LIBRARY_PATH": libraries})
        self.port = _free_port()
        self._data = folder / "data"
        self._options = [
            f"--datadir={self._data}",
            f"--lc-messages-dir={self._share / 'english'}",
            f"--character-sets-dir={self._share / 'charsets'}",
            "--character-set-server=utf8mb4",
            "--innodb-log-file-size=8M",
            "--innodb-buffer-pool-size=16M",
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]

    def __enter__(self) -> MariaDb:
        self._data.mkdir(parents=True)
        files = [self._share / name for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql")]
        text = "create database mysql;\nuse mysql;\n" + "".join(file.read_text() for file in files) + SETUP
        command = [self._server, "--no-defaults", "--bootstrap", *self._options]
        subprocess.run(command, input=text.encode(), env=self._environment, check=True, capture_output=True, timeout=60)
        self._log = (self._folder / "log").open("wb")
        network = ["--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self._folder / 's'}"]
        command = [self._server, "--no-defaults", *self._options, *network]
        self.process = subprocess.Popen(command, env=self._environment, stdout=self._log, stderr=self._log)
        self._wait()
        return self

    def _wait(self) -> None:
        for _ in range(200):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self._folder / "log").read_text()[-2000:])

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()
        shutil.rmtree(self._data, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


if __name__ == "__main__":
    fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else UNPACKED)
