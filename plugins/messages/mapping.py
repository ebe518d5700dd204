"""Theirs ↔ ours: refusals with their reasons, what other numbers mean, and the values of a message."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.sdk import Declined, DeclineReason, Message
from plugins.messages.protocol import MOST_NUMBER, Answer, Letter, longest

#: The token is void, or was never one.
VOID_TOKEN = frozenset({40001, 40014, 41001, 42001})
#: Nothing was done, and it may be tried again in a while: the limit of a minute, or two messages at once.
LATER = frozenset({45011, 43108})
#: Refusals of a message, for good.
DECLINES: Mapping[int, DeclineReason] = {
    40003: DeclineReason.MEMBER_UNKNOWN,  # no openid of this account
    43004: DeclineReason.DECLINED,  # does not follow the account
    43019: DeclineReason.DECLINED,  # on the account's black list
    43101: DeclineReason.DECLINED,  # never subscribed, used it up, or withdrew
    43107: DeclineReason.DECLINED,  # the account or the template may not send any more
    40037: DeclineReason.NOT_FOUND,  # no such template
    40038: DeclineReason.LIMIT_EXCEEDED,  # this template's messages of the day
    45009: DeclineReason.LIMIT_EXCEEDED,  # the account's messages of the day
    47003: DeclineReason.DECLINED,  # a value is missing, empty, too long or of another form
    45168: DeclineReason.DECLINED,  # words that must not be sent
    48001: DeclineReason.DECLINED,  # the account has no right to this interface
}
#: What to do about what is set up wrongly, by number; the settings are named.
ADVICE: Mapping[int, str] = {
    40013: "app_id is not known",
    40125: "app_secret does not belong to app_id; a new one makes the old one void",
    40164: "this machine's address is not on the white list of app_id",
    41002: "app_id is not known",
    41004: "app_secret is missing",
    48001: "app_id has no right to this interface: add it to the account",
    50002: "app_id is restricted",
}


def refusal(answer: Answer) -> Declined | None:
    """A listed refusal; ``None``: nobody knows what this number means for the message."""
    reason = DECLINES.get(answer.code)
    return None if reason is None else Declined(reason=reason, code=str(answer.code), message=answer.text[:80])


def letter(request: Message, template: Mapping[str, str], fields: Mapping[str, str], kind: str, key: str) -> Letter:
    """The message for a template. A keyword whose field is not given is sent as a dash: an empty one is refused."""
    values = {keyword: request.fields.get(name, "") or "-" for keyword, name in fields.items()}
    if kind == "subscription":
        values = {keyword: shortened(value, longest(keyword)) for keyword, value in values.items()}
    return Letter(
        receiver=request.receiver.reveal(),
        template=template["id"],
        values=values,
        number=key[:MOST_NUMBER] if kind == "template" else "",
        link=template["link"] if kind == "template" else "",
    )


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters (0: any), with a mark where something was left out."""
    return text if not most or len(text) <= most else f"{text[: most - 1]}…"
