"""Messages to one receiver at a time, by an official account's templates and subscription notices.

Our key is a template message's ``client_msg_id``, so that repeating it within ten minutes sends nothing twice. A
subscription message carries no number: it is noted before it is sent, and never sent again once it may have been.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Call,
    Change,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    Message,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    Traits,
    hookimpl,
)
from plugins.messages import mapping
from plugins.messages.client import AccountClient
from plugins.messages.protocol import (
    SEND,
    SUBSCRIPTIONS,
    TEMPLATES,
    Answer,
    Letter,
    ParseError,
    dump_letter,
    is_openid,
    read_message_id,
    read_templates,
)
from plugins.messages.settings import OfficialAccountSettings

CHANNEL = "official_account"
#: For how long the account knows our number again, in seconds.
KNOWN_AGAIN_S = 600
MOST_NOTES = 500


class OfficialAccountAdapter(Adapter):
    """Messages of one official account; README.md says what is sent and what the account's interface cannot."""

    name = "official_account"
    Settings = OfficialAccountSettings
    about = AdapterTraits(max_parallel=8)
    traits: ClassVar[Mapping[str, Traits]] = {
        "message_send": Traits(idempotent=True, idempotent_for_s=KNOWN_AGAIN_S, max_in_flight_s=30),
    }

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        settings = context.settings
        self._templates: Mapping[str, Mapping[str, Mapping[str, Any]]] = settings["templates"]
        self._client = AccountClient(
            context.http,
            settings["endpoint"],
            settings["app_id"],
            settings["app_secret"].reveal(),
            context.clock,
            context.store,
            context.spool,
            settings["timeout_s"],
        )

    def check(self) -> None:
        """Get a token, and see that the account has every template of the settings. Sends nothing."""
        until = self.context.clock() + timedelta(seconds=float(self.context.settings["read_timeout_s"]))
        for kind, path in (("template", TEMPLATES), ("subscription", SUBSCRIPTIONS)):
            asked = [each for each in self._named() if each[1]["kind"] == kind]
            if not asked and kind == "subscription":
                continue
            there = self._listed(path, until)
            for name, template in asked:
                if template["id"] not in there:
                    raise Misconfigured(f"{name}.id: the account has no {kind} {template['id']}")

    def _named(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Every template by its path in the settings."""
        return [
            (f"templates.{name}.{language}", template)
            for name, by_language in self._templates.items()
            for language, template in by_language.items()
        ]

    def _listed(self, path: str, until: datetime) -> Mapping[str, str]:
        try:
            answer = self._client.call("GET", path, b"", until)
            if answer.code in mapping.ADVICE:
                raise Misconfigured(mapping.ADVICE[answer.code])
            return read_templates(answer)
        except ParseError as error:
            raise InvalidReply(f"{path}: {error}") from None
        except OutcomeUnknown as error:
            raise NotSent(f"no answer from {self.context.settings['endpoint']}: {error}") from None

    @hookimpl
    def message_send(self, request: Message, call: Call) -> Change:
        """Send by the template of this name, in the receiver's language or else the account's."""
        template = self._template(request)
        if not is_openid(request.receiver.reveal()):
            return Declined(reason=DeclineReason.MEMBER_UNKNOWN, code="openid", message="the receiver is no openid")
        kind = template["kind"]
        letter = mapping.letter(request, template, template["fields_"], kind, call.key)
        if kind == "subscription":
            return self._once(letter, call)
        return self._sent(kind, letter, call)

    def _template(self, request: Message) -> Mapping[str, Any]:
        by_language = self._templates.get(request.template)
        if request.channel != CHANNEL:
            raise Misconfigured(f"this connection sends {CHANNEL}, not {request.channel!r}")
        if by_language is None:
            raise Misconfigured(f"templates has no {request.template!r}")
        return by_language.get(request.language) or by_language[self.context.settings["language"]]

    def _sent(self, kind: str, letter: Letter, call: Call) -> Change:
        try:
            answer = self._client.call("POST", SEND[kind], dump_letter(letter), call.deadline)
        except Misconfigured as error:  # the token was refused: the message itself has not been sent
            raise NotSent(str(error)) from None
        return _read(answer)

    def _once(self, letter: Letter, call: Call) -> Change:
        """A subscription message: noted first, and not sent again but after an answer that says that nothing was."""
        store, note = self.context.store, f"once/{call.key}"
        told = store.get(note)
        if told is not None:
            if told == "":
                raise OutcomeUnknown("it may have been sent, carries no number, and is not sent again")
            return Done(ref=str(told).lstrip("#"), replayed=True)
        store.put(note, "")
        try:
            change = self._sent("subscription", letter, call)
        except NotSent:
            store.delete(note)
            raise
        if isinstance(change, Done):
            store.put(note, f"#{change.ref}")
        else:
            store.delete(note)
        for old in store.keys("once/")[:-MOST_NOTES]:
            store.delete(old)
        return change


def _read(answer: Answer) -> Change:
    """What an answer to a message says. A number that is not listed says nothing that can be relied on."""
    if answer.code == 0:
        try:
            return Done(ref=read_message_id(answer))
        except ParseError as error:
            raise InvalidReply(f"the answer to a message: {error}") from None
    refused = mapping.refusal(answer)
    if refused is None:
        raise OutcomeUnknown(f"the account answered {answer.code} {answer.text[:80]}")
    return refused
