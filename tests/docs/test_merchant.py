"""The merchant's guide, run as written: from two files to the evening's reconciliation."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo.stage import free_port
from tests.docs.guides import run_guide


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_guide_for_merchants_runs_as_written(tmp_path: Path) -> None:
    """Only the ports are others: those of the page may be taken here."""
    run_guide("merchant.md", tmp_path, {}, {port: str(free_port()) for port in ("8080", "8081", "8090", "8091")})
