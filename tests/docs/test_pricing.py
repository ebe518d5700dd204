"""The settings that docs/pricing.md shows are settings that a merchant's file may have."""

from __future__ import annotations

import re
import tomllib

from gateway.runtime.config_schema import MerchantFile
from tests.docs.guides import ROOT


def test_the_points_of_a_merchants_file_are_read() -> None:
    """A key that is misspelt on the page would be refused in a shop."""
    text = (ROOT / "docs" / "pricing.md").read_text(encoding="utf-8")
    (listing,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    found = MerchantFile().load({"merchant": {"id": "m1", "name": "Shop"}, **tomllib.loads(listing)})
    assert found["pricing"].points["rule"]["limit_bp"] == 5000
    assert found["pricing"].points["earn"]["rate_by_tier"] == {"gold": 15000}
