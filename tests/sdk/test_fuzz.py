"""Whatever comes over a wire: only ``ParseError``, at most a second and 64 MiB, and what is understood comes back.

A few seconds of it in each run of the suite; ``make fuzz MINUTES=60`` goes on for as long as it is told.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.sdk.wires import WIRES, Wire, examine


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@st.composite
def mutated(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """An example with parts cut out, repeated, or replaced."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 8)))
        middle = draw(st.one_of(st.binary(max_size=6), st.just(data[start:end] * 2), st.sampled_from(BITS)))
        data = data[:start] + middle + data[end:]
    return data


#: What has broken readers before.
BITS = (
    b"-",
    b".",
    b"9" * 20,
    b"1e999",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b"\xff",
    b"\0",
    b"|",
    b"^",
    b"\r\n",
    b"\xe9\xba",
)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_reader_survives(wire: Wire) -> None:
    @settings(
        max_examples=25, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(st.one_of(mutated(wire.seeds), mutated(wire.seeds), st.binary(max_size=200)))
    def survives(data: bytes) -> None:
        examine(wire, data)

    survives()


@pytest.mark.parametrize("data", [b"3", b"-0.5", b"null", b"true", b"[]", b"[3]", b'"x"', b"{}", b'{"rows":3}', b""])
def test_readers_survive_a_message_of_another_kind(data: bytes) -> None:
    """A number or a list where an object should be is what a proxy or a broken system answers first of all."""
    for wire in WIRES:
        examine(wire, data)


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_readers_survive_what_is_large_or_deep() -> None:
    """A reply without end must cost the gateway a second at most, and not its memory."""
    large = [b"9" * 30_000, b"[" * 30_000, b'{"a":' * 6000, b"<a>" * 10_000, b"|^" * 15_000, b"\x81" * 30_001]
    for wire in WIRES:
        for data in (*large, wire.seeds[0] * (wire.most // max(1, len(wire.seeds[0])))):
            examine(wire, data[: wire.most])
