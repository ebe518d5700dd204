"""The messages' parts and the daily file: what is written is read again, and garbage raises ``ParseError`` only."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import ParseError
from plugins.bankhost.conformance import _ROW
from plugins.bankhost.keys import unwrap, wrap
from plugins.bankhost.protocol import (
    Totals,
    codec,
    read_bill,
    read_details,
    read_tags,
    read_totals,
    write_details,
    write_tags,
)

SALE = {"t": "0200", "3": "000000", "4": "000000001200", "11": "000007", "22": "030", "25": "00", "41": "10000001"}


def test_a_sale_looks_as_the_banks_book_says() -> None:
    """One byte off and a bank refuses everything."""
    raw = codec("bcd", "6000060000", "603100000000").encode(SALE)
    assert raw.hex() == (
        "6000060000603100000000" + "0200" + "3020048000800000" + "000000" + "000000001200" + "000007" + "0300" + "00"
        "3130303030303031"
    )


def test_digits_as_text() -> None:
    """The other packing: the bitmap stays binary."""
    raw = codec("ascii", "", "").encode({**SALE, "60": "22000001000"})
    assert raw == b"0200" + bytes.fromhex("3020048000800010") + b"00000000000000120000000703000" + b"10000001" + (
        b"01122000001000"
    )
    assert codec("ascii", "", "").decode(raw)["60"] == "22000001000"


@given(
    st.dictionaries(st.text("ABC123", min_size=2, max_size=2), st.text(st.characters(max_codepoint=255), max_size=40))
)
def test_tags_round_trip(tags: dict[str, str]) -> None:
    assert read_tags(write_tags(tags)) == tags


@given(st.lists(st.tuples(st.integers(0, 999_999).map("{:06d}".format), st.integers(0, 10**12 - 1)), max_size=8))
def test_details_round_trip(rows: list[tuple[str, int]]) -> None:
    assert read_details(write_details(rows)) == rows


def test_totals_and_file_round_trip() -> None:
    totals = Totals(sale_amount=123456, sale_count=7, refund_amount=99, refund_count=1)
    assert read_totals(totals.text() + "2") == (totals, "2")
    assert list(read_bill(_ROW.line().encode() + b"2026")) == [_ROW]  # the torn line is still being written
    assert _ROW.at == datetime(2026, 11, 22, 12, 30)


@given(st.binary(max_size=200), st.text(max_size=60))
def test_garbage_raises_parse_errors_only(raw: bytes, text: str) -> None:
    """Anything else would look like a bug of the plugin's, and stop a terminal."""
    for read in (codec("bcd", "", "").decode, codec("ascii", "", "").decode, read_bill):
        with suppress(ParseError):
            read(raw + b"\r\n")
    for parse in (read_tags, read_totals, read_details):
        with suppress(ParseError):
            parse(text)


def test_a_working_key_under_another_master_key_is_refused() -> None:
    """Else every message of the day would carry a wrong MAC."""
    master, key = bytes(range(16)), bytes(range(16, 32))
    assert unwrap(master, wrap(master, key)) == key
    with pytest.raises(ParseError):
        unwrap(key, wrap(master, key))
