"""What an adapter does not use it does not load, and what is missing is said with what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.sdk import Misconfigured
from gateway.sdk.optional import load
from tests.sdk.kit import ROOT

OPTIONAL = (
    "cryptography",
    "dbf",
    "dbfread",
    "iso8583",
    "lxml",
    "paramiko",
    "psycopg",
    "pymysql",
    "pytds",
    "serial",
    "zeep",
)
MODULES = (
    "gateway.sdk",
    "gateway.sdk.convert",
    *(f"gateway.sdk.formats.{name}" for name in ("dbf", "fixed", "iso8583", "separated", "xml")),
    *(
        f"gateway.sdk.transports.{name}"
        for name in ("claims", "late_rows", "serial_port", "sftp", "soap", "sql", "sql_drivers")
    ),
)


def test_no_optional_library_is_loaded_before_it_is_used() -> None:
    """A shop's small machine starts each simulator and command with what that needs alone."""
    code = f"import sys, {', '.join(MODULES)}; print(*[name for name in {OPTIONAL} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(Misconfigured, match=r"pip install 'o2o-gateway\[sftp\]'"):
        load("paramiko", "sftp")
    with pytest.raises(Misconfigured, match="no_such_library"):
        load("no_such_library.part", "soap")


def test_a_library_that_is_broken_is_not_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_installed.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load("half_installed", "soap")
