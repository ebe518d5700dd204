from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.runtime import Connection, Discovery, Runtime
from tests.runtime.kit import found, running, write_config


@pytest.fixture(scope="session")
def discovery() -> Discovery:
    return found()


@pytest.fixture
def runtime(tmp_path: Path, discovery: Discovery) -> Iterator[Runtime]:
    """Two merchants with the same adapters."""
    with running(write_config(tmp_path, "m1", "m2"), discovery) as made:
        yield made


@pytest.fixture
def pay(runtime: Runtime) -> Connection:
    return runtime.connection("m1", "pay")
