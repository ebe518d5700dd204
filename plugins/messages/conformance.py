"""What the conformance suite must know of an official account."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from gateway.sdk import Message, Secret
from gateway.testing import Far, Profile
from plugins.messages.adapter import CHANNEL, OfficialAccountAdapter
from plugins.messages.protocol import Letter, dump_letter, read_answer, read_letter, read_templates, read_token
from plugins.messages.simulator import OfficialAccountSimulator
from plugins.messages.simulator_books import TEMPLATES

PAID, PAID_EN, BACK, READY = (each[0] for each in TEMPLATES)
_KEYWORDS = {"first": "title", "keyword1": "order_no", "keyword2": "amount"}
SETTINGS: Mapping[str, Any] = {
    "paid": {"zh": {"id": PAID, "fields": _KEYWORDS}, "en": {"id": PAID_EN, "fields": _KEYWORDS}},
    "refunded": {"zh": {"id": BACK, "fields": {"keyword1": "order_no", "keyword2": "amount"}}},
    "ready": {
        "zh": {"id": READY, "kind": "subscription", "fields": {"thing1": "title", "character_string2": "order_no"}}
    },
    "gone": {"zh": {"id": "TMPLNOTTHERE0001", "fields": {"keyword1": "order_no"}}},
}


def settings_for(far_url: str, data: Any, **changes: Any) -> dict[str, Any]:
    """A connection's settings for a simulator that runs, with the templates that it has."""
    who = json.loads((data / "account.json").read_text(encoding="utf-8"))
    there = {name: SETTINGS[name] for name in ("paid", "refunded", "ready")}
    return {
        "endpoint": far_url,
        "app_id": who["app_id"],
        "app_secret": f"file:{data / 'app_secret.txt'}",
        "templates": there,
        "timeout_s": 2.0,
        **changes,
    }


class OfficialAccountProfile(Profile):
    """Messages to followers; who has withdrawn is made so by the simulator's levers."""

    adapter = OfficialAccountAdapter
    simulator = OfficialAccountSimulator
    faults: ClassVar[Mapping[str, int]] = {"token_taken": 0, "token_expired": 0, "too_fast": 0, "unlisted": 0}

    def settings(self, far: Far) -> Mapping[str, Any]:
        return settings_for(f"http://{far.address('account')}", far.data)

    def prepare(self, far: Far) -> None:
        far.adapter.check()  # fetches the token that all calls use: fetching it again is among the faults

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {
            "an account that is not known": {"app_id": "wx0000000000000000"},
            "a template that the account has not": {"templates": {"gone": SETTINGS["gone"]}},
        }

    def message_send(self, far: Far) -> Any:
        return message(far.control("follower", follower=1)["openid"], order_no=far.number("W"))

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        gone = far.control("unfollow", follower=2)["openid"]
        yield "declined", message(gone)
        yield "member_unknown", message("o6_nobody_of_this_account")
        blocked = far.control("block", follower=3)["openid"]
        yield "declined", message(blocked)
        yield "declined", message(far.control("follower", follower=4)["openid"], template="ready")

    def disturbances(self, far: Far, hook: str) -> Mapping[str, Callable[[], Any]]:
        return {"another program fetched a token": lambda: far.control("fetch_token")}

    def parsers(self) -> Iterable[tuple[Callable[[bytes], Any], bytes]]:
        yield read_answer, b'{"errcode":0,"errmsg":"ok","msgid":200228332}'
        yield lambda raw: read_token(read_answer(raw)), b'{"access_token":"57_abcdefgh","expires_in":7200}'
        told = b'{"template_list":[{"template_id":"TMPL0001","title":"\xe9\x80\x9a\xe7\x9f\xa5"}]}'
        yield lambda raw: read_templates(read_answer(raw)), told
        yield read_letter, dump_letter(Letter("o6_somebody", PAID, {"first": "谢谢"}, "01K"))

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {"messages": len(books["messages"])}


def message(openid: str, template: str = "paid", language: str = "zh", **fields: str) -> Message:
    """A message as the gateway asks for it."""
    given = {"title": "谢谢光临", "order_no": "W000001", "amount": "¥12.00", **fields}
    return Message(channel=CHANNEL, template=template, receiver=Secret(openid), fields=given, language=language)
