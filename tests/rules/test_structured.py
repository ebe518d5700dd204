"""The fields of a message signature, read to the letter: what two parties read differently is not signed at all."""

from __future__ import annotations

import re

import pytest

from gateway.api.structured import Covered, Malformed, byte_sequences, covered_lists


def test_what_a_signature_covers_is_read_with_its_parameters() -> None:
    """The text goes into the signature base as it was written: one blank more or less and nothing verifies."""
    text = '  sig1=("@method" "content-digest");created=1618884473;keyid="key_1";alg="ed25519", \t b=();x  '
    assert covered_lists(text) == {
        "sig1": Covered(
            ("@method", "content-digest"),
            {"created": 1618884473, "keyid": "key_1", "alg": "ed25519"},
            '("@method" "content-digest");created=1618884473;keyid="key_1";alg="ed25519"',
        ),
        "b": Covered((), {"x": True}, "();x"),
    }


def test_a_blank_before_the_end_of_the_list_is_read_and_kept() -> None:
    assert covered_lists('a=("x" );y')["a"] == Covered(("x",), {"y": True}, '("x" );y')


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"a b"', "a b"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ('""', ""),
        ("0", 0),
        ("-12", -12),
        ("999999999999999", 999_999_999_999_999),
        (":AAEC:", b"\x00\x01\x02"),
        ("::", b""),
        ("?1", True),
        ("?0", False),
        ("token/1:*", "token/1:*"),
        ("*x", "*x"),
        ("X", "X"),
    ],
)
def test_every_kind_of_value_is_read(written: str, read: object) -> None:
    (found,) = covered_lists(f"sig=();p={written}").values()
    assert found.params == {"p": read}
    assert type(found.params["p"]) is type(read)
    assert found.text == f"();p={written}"


def test_blanks_may_stand_after_a_semicolon() -> None:
    assert covered_lists("sig=();  a=1; b")["sig"].params == {"a": 1, "b": True}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "unexpected character at 0"),
        ("\tsig=()", "unexpected character at 0"),
        ("Sig=()", "unexpected character at 0"),
        ("sig", "sig stands twice or has no value"),
        ("sig=", "expected a list in parentheses"),
        ('sig="a"', "expected a list in parentheses"),
        ("sig=(", "unexpected character at 5"),
        ("sig=(a)", "unexpected character at 5"),
        ('sig=("a"', "components must be plain strings without parameters"),
        ('sig=("a";sf)', "components must be plain strings without parameters"),
        ('sig=("a""b")', "components must be plain strings without parameters"),
        ('sig=("a"  "b")', "unexpected character at 9"),
        ('sig=( "a")', "unexpected character at 5"),
        ('sig=("A")', "component names are lower case"),
        ('sig=("")', "component names are lower case"),
        ("sig=(),", "unexpected character at 7"),
        ("sig=() x=()", "unexpected character at 6"),
        ("sig=(),sig=()", "sig stands twice or has no value"),
        ("sig=();", "unexpected character at 7"),
        ("sig=();\ta", "unexpected character at 7"),
        ("sig=();a=1;a=2", "parameter a stands twice"),
        ("sig=();a=", "unexpected character at 9"),
        ("sig=();a=1.5", "unexpected character at 9"),
        ("sig=();a=1000000000000000", "unexpected character at 9"),
        ("sig=();a=?2", "unexpected character at 9"),
        ('sig=();a="ä"', "unexpected character at 9"),
        ("sig=();a=:A:", "a byte sequence is not base64"),
    ],
)
def test_what_the_standard_does_not_allow_is_refused_with_its_place(text: str, why: str) -> None:
    """Whoever integrates sees where; and a field that one reader repairs and another does not is never believed."""
    with pytest.raises(Malformed, match=f"^{re.escape(why)}$"):
        covered_lists(text)


def test_signatures_are_read_by_their_names() -> None:
    text = " sig1=:AAEC:;by=1,b=::\t,\tc=:/+8=: "
    assert byte_sequences(text) == {"sig1": b"\x00\x01\x02", "b": b"", "c": b"\xff\xef"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "unexpected character at 0"),
        ("a", "a stands twice or has no value"),
        ("a=1", "a is no byte sequence"),
        ('a="AAEC"', "a is no byte sequence"),
        ("a=X", "a is no byte sequence"),
        ("a=:AAEC:,a=:AAEC:", "a stands twice or has no value"),
        ("a=:AAEC", "unexpected character at 2"),
        ("a=:=:", "a byte sequence is not base64"),
        ("a=:AA C:", "unexpected character at 2"),
        ("a=:AAEC: b=::", "unexpected character at 8"),
        ("a=::,", "unexpected character at 5"),
        ("a=::\t", "unexpected character at 4"),
        ("X a=::", "unexpected character at 0"),
        ("a=::X", "unexpected character at 4"),
    ],
)
def test_what_is_no_signature_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(Malformed, match=f"^{re.escape(why)}$"):
        byte_sequences(text)
