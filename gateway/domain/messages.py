"""Requests of the messages family, and callbacks from far systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.domain.common import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one receiver who consented to it, in the receiver's ``language`` (``zh``, ``en``) if known.

    ``channel`` is the name of the connection's adapter, ``template`` the merchant's own name of a template.
    """

    channel: str
    template: str
    receiver: Secret
    fields: Mapping[str, str] = field(default_factory=dict)
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRequest:
    """A callback as it came in: nothing in it is trusted yet. Header names are lower case."""

    method: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A verified callback: which change it speaks of (our key), what it says, and the bytes to answer with.

    A notice is a hint: the gateway answers, then asks the far system itself, sooner than it would have. ``key`` is
    empty for a genuine one about what is none of ours; ``kind`` is free text.
    """

    key: str
    kind: str
    reply: bytes
    reply_content_type: str = "text/plain"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFollow:
    """Do what stored notices ask for; begin nothing that can't be done by ``deadline``."""

    deadline: datetime
