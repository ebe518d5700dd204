"""A second implementation, written from the rules alone, must come to the same fen."""

import pytest

from tests.pricing.compare import difference

pytestmark = pytest.mark.slow


def test_two_implementations_agree() -> None:
    found = [text for seed in range(1_000_000, 1_002_500) if (text := difference(seed))]
    assert found == []
