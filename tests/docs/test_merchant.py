"""The merchant's guide, run as written: from two files to the evening's reconciliation."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.docs.guides import run_guide


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_guide_for_merchants_runs_as_written(tmp_path: Path) -> None:
    """Only the ports are others: those of the page may be taken here."""
    run_guide("merchant.md", tmp_path, {}, {port: free_port() for port in ("8080", "8081", "8090")})
