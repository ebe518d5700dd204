"""The one SQLite library for the head office's file: two builds in one process would drop each other's file locks."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

#: pysqlite3 where it is there, as the gateway's own store chooses; else the interpreter's own.
sqlite: Any = importlib.import_module("pysqlite3.dbapi2" if importlib.util.find_spec("pysqlite3") else "sqlite3")
