"""What docs/profile.md says of a profile's attributes is true: each example is a profile that the suite would take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from docs.reference_profile import Attribute, attributes
from gateway.testing import ForeignSystem, Profile
from tests.testing.wallet import WalletAdapter, WalletSimulator

ALL = list(attributes())
NAMES = {"BakeryAdapter": WalletAdapter, "BakerySimulator": WalletSimulator, "Office": ForeignSystem}
KINDS: Mapping[str, type | tuple[type, ...]] = {"seconds": float, "names of hooks": tuple, "a class": type}


def test_no_attribute_is_left_out() -> None:
    """An author finds every switch on the page, and no other."""
    there = {name for name in Profile.__annotations__ if not name.startswith("_")}
    assert {each.name for each in ALL} == there and len(ALL) >= 14


@pytest.mark.parametrize("attribute", ALL, ids=lambda each: each.name)
def test_an_example_is_a_profile_and_its_unit_is_right(attribute: Attribute) -> None:
    """An example that is copied and does not run is worse than none."""
    found: dict[str, Any] = {"Profile": Profile, **NAMES}
    exec(f"class Mine(Profile):\n    {attribute.example}", found)
    value = getattr(found["Mine"], attribute.name)
    default = getattr(Profile, attribute.name, None)
    assert value != default, "the example says the default"
    if default is not None:
        assert isinstance(value, type(default)) and repr(default) == attribute.default.replace('"', "'")
    kind = next((kind for unit, kind in KINDS.items() if attribute.unit.startswith(unit)), object)
    assert isinstance(value, kind)
