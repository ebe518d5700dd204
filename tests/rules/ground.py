"""A real database with the core's schema, made once a process and copied for each test; a master key; API keys."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from gateway.domain.common import Secret
from gateway.runtime.master_key import MasterKey
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database
from gateway.store.schema import MIGRATIONS

#: No more is written to a disk that the tests share than what they need.
SMALL = {"low_water_bytes": 0, "ballast_bytes": 0}


@functools.cache
def template() -> Path:
    """A database file that nothing was written to but its schema."""
    folder = Path(tempfile.mkdtemp(prefix="rules-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = open_database(f"sqlite:///{folder / 'empty.db'}", **SMALL)
    migrate(database, [Migration(*pair) for pair in MIGRATIONS])
    database.close()
    return folder / "empty.db"


def fresh(folder: Path) -> Database:
    """A database of one's own."""
    shutil.copyfile(template(), folder / "gateway.db")
    return open_database(f"sqlite:///{folder / 'gateway.db'}", **SMALL)


def master(text: str = "m" * 40) -> MasterKey:
    return MasterKey(Path("never read"), Secret(text))
