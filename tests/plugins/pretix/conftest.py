"""The real ticket system, for the files named ``real_…``: ``make real-pretix`` runs them, the normal suite does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plugins.pretix.cinema import Cinema, open_cinema
from plugins.pretix.ground import Pretix
from tests.plugins.pretix.kit import House


@pytest.fixture(scope="session")
def pretix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pretix]:
    with Pretix(tmp_path_factory.mktemp("pretix")) as running:
        yield running


@pytest.fixture(scope="module")
def cinema(pretix: Pretix) -> Cinema:
    """A cinema of this module's own; each test takes showings of its own."""
    rooms = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return open_cinema(pretix.api, {**dict.fromkeys(rooms, 5), "last": 1, "last2": 1})


@pytest.fixture
def house(pretix: Pretix, cinema: Cinema, tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(cinema, tmp_path_factory.mktemp("house"))
