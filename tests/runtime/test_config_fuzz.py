"""Whatever stands in a file: a configuration, or an error that names the file. Nothing else ever comes out."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.runtime import ConfigError, Discovery
from gateway.runtime.config import load_merchant
from gateway.runtime.merchant import Merchant

VALID: dict[str, Any] = {
    "merchant": {"id": "m1", "name": "Shop", "currency": "CNY", "timezone": "Asia/Shanghai", "acquirer_fee_bp": 60},
    "stores": [{"id": "s1", "name": "One", "hours": ["10:00-22:00"], "counters": [{"id": "K1", "name": "Shoes"}]}],
    "connections": {"pay": {"adapter": "pay", "pool": 2, "settings": {"port": 1, "note": "x"}}},
    "routes": [{"family": "payments", "connection": "pay", "methods": ["qr_code"], "code_pattern": "^9"}],
    "pricing": {
        "mode": "gateway",
        "campaigns": [{"id": "c"}],
        "points": {"rule": {"points": 100, "amount": 100}},
        "stores": {"s1": {"mode": "till"}},
    },
    "policy": {"reserve_ttl_s": 5, "when_down": {"points": "without"}},
    "payment_codes": [
        {"prefix_from": "1", "prefix_to": "2", "length_min": 1, "length_max": 2, "channel": "x"},
    ],
}


def toml(value: Any) -> str:
    """A value as TOML, tables inline."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {toml(inner)}" for key, inner in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return (
        [at, *[path for key, below in inner for path in paths(below, (*at, key))]]
        if at
        else [path for key, below in inner for path in paths(below, (key,))]
    )


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
SCALARS = st.one_of(st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXT)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(paths(VALID)), VALUES), min_size=1, max_size=3))
def test_any_values_anywhere(tmp_path: Path, discovery: Discovery, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document: Any = VALID
    for path, new in changes:
        try:
            document = put(document, path, new)
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # an earlier change has taken the place away
    text = "\n".join(f"{key} = {toml(value)}" for key, value in document.items())
    file = tmp_path / "m.toml"
    file.write_text(text, encoding="utf-8")
    try:
        tomllib.loads(text)
        assert isinstance(load_merchant(file, discovery), Merchant)
    except ConfigError as error:
        assert error.problems and all(problem.text for problem in error.problems)
    except tomllib.TOMLDecodeError:
        pytest.fail("the test wrote no TOML")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | TEXT.map(str.encode))
def test_any_bytes(tmp_path: Path, discovery: Discovery, data: bytes) -> None:
    file = tmp_path / "m.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"m\.toml"):
        load_merchant(file, discovery)


def test_the_document_that_is_changed_is_right(tmp_path: Path, discovery: Discovery) -> None:
    """Else the others would only ever see errors."""
    file = tmp_path / "m.toml"
    file.write_text("\n".join(f"{key} = {toml(value)}" for key, value in VALID.items()), encoding="utf-8")
    assert load_merchant(file, discovery).connections["pay"].settings["note"] == "x"
