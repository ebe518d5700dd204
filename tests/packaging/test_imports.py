"""What the command loads before it knows what is asked of it."""

from __future__ import annotations

import subprocess
import sys

from tests.packaging.installed import ROOT

#: Whole families of libraries that only some commands need; each costs a tenth of a second or more.
HEAVY = ("cryptography", "flask", "gunicorn", "lxml", "numpy", "psycopg", "requests", "sqlite_utils", "zeep")


def test_the_command_line_is_quick() -> None:
    """``gateway --help``, and every simulator started by it, does not wait for libraries that it does not use."""
    code = f"import sys, gateway.cli; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
