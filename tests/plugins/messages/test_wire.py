"""Whatever bytes come, the readers say what is wrong with them or give what stands there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sdk.simulator import start
from plugins.messages.protocol import (
    Answer,
    Letter,
    ParseError,
    dump_letter,
    longest,
    read_answer,
    read_letter,
    read_message_id,
    read_object,
    read_templates,
    read_token,
)
from plugins.messages.simulator import OfficialAccountSimulator

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(
    inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4), max_leaves=12)  # fmt: skip
NAMES = st.sampled_from(["errcode", "errmsg", "access_token", "expires_in", "msgid", "template_list", "data", "touser"])
READERS: list[Callable[[bytes], Any]] = [
    read_letter,
    lambda raw: read_token(read_answer(raw)),
    lambda raw: read_message_id(read_answer(raw)),
    lambda raw: read_templates(read_answer(raw)),
]
WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.dictionaries(NAMES, JSON).map(lambda value: json.dumps(value).encode()))
def test_only_parse_errors_come_out_of_the_readers(raw: bytes) -> None:
    for read in READERS:
        try:
            read(raw)
        except ParseError:
            continue


@settings(deadline=None)
@given(WORD, WORD, st.dictionaries(WORD, WORD, max_size=5), WORD, WORD)
def test_a_message_is_read_as_it_was_written(who: str, template: str, values: Any, number: str, link: str) -> None:
    letter = Letter(who, template, values, number, link)
    assert read_letter(dump_letter(letter)) == letter


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b"{" * 100_000, b'{"a":NaN}', b'{"a":1', b"\xff", b"{}" + b" " * 2_000_000]
)
def test_deep_long_and_broken_answers_are_refused(raw: bytes) -> None:
    with pytest.raises(ParseError):
        read_object(raw)


@pytest.mark.parametrize(
    ("keyword", "most"), [("thing1", 20), ("character_string2", 32), ("phrase", 5), ("keyword1", 0), ("名", 0)]
)
def test_a_keyword_s_name_says_how_long_its_value_may_be(keyword: str, most: int) -> None:
    assert longest(keyword) == most


@pytest.mark.parametrize("fields", [{"msgid": "x"}, {"msgid": True}, {"msgid": -1}, {"msgid": 1.5}])
def test_a_number_that_is_none_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ParseError):
        read_message_id(Answer(0, "", fields))


def test_the_account_keeps_its_books_and_answers_garbage(tmp_path: Any) -> None:
    """Started again on its folder it knows its messages, its token and its secret; nonsense gets an error number."""
    running = start(OfficialAccountSimulator(tmp_path))
    url = f"http://{running.addresses['account']}"
    who = json.loads((tmp_path / "account.json").read_text())
    asked = {"grant_type": "client_credential", "appid": who["app_id"], "secret": who["app_secret"]}
    token = requests.get(f"{url}/cgi-bin/token", asked, timeout=5).json()["access_token"]
    for path, body in (("/cgi-bin/message/template/send", b"\xff{"), ("/nowhere", b""), ("/cgi-bin/token", b"")):
        told = requests.post(f"{url}{path}", data=body, params={"access_token": token}, timeout=5).json()
        assert told["errcode"] not in (0, -1)
    running.stop()
    again = start(OfficialAccountSimulator(tmp_path))
    url = f"http://{again.addresses['account']}/cgi-bin/template/get_all_private_template"
    assert len(requests.get(url, {"access_token": token}, timeout=5).json()["template_list"]) == 3
    again.stop()
