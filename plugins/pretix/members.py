"""Customers as members, their memberships as tiers.

pretix can look customers up by e-mail alone; other filters are ignored, so a phone is compared here, row by row. It
lets the same phone join twice; its e-mails are unique, so who joins through the gateway gets one made of the phone.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from gateway.sdk import (
    Answer,
    Call,
    Change,
    Context,
    Declined,
    DeclineReason,
    Done,
    Enrol,
    Identity,
    IdentityType,
    Member,
    MemberLookup,
    MemberPageRequest,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    Page,
    Query,
)
from plugins.pretix import records as r
from plugins.pretix.client import Refused, Talk, plain

#: No mail is ever sent there: the name is reserved for that (RFC 2606).
NOWHERE = "members.invalid"


class Members:
    """The customers of one organizer."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def find(self, talk: Talk, request: MemberLookup) -> Member | None:
        found = self._customer(talk, request.identity)
        return self._member(talk, found) if found and found.active else None

    def page(self, talk: Talk, request: MemberPageRequest) -> Page[Member]:
        number = int(request.cursor) if request.cursor.isdecimal() else 1
        rows, more = talk.page("/customers/", number)
        members = tuple(self._member(talk, talk.parsed(r.read_customer, row)) for row in rows)
        return Page(items=members, next_cursor=str(number + 1) if more else None)

    def enrol(self, talk: Talk, request: Enrol, call: Call) -> Change:
        for identity in request.identities:
            if found := self._customer(talk, identity):
                return Done(ref=found.identifier, replayed=True)
        phone = _phone_of(request)
        body = {
            "email": self._address(phone), "phone": _international(phone), "locale": "zh-hans", "send_email": False,
            "name_parts": {"_scheme": "full", "full_name": request.display_name},
            "external_identifier": _card_of(request), "is_active": True,
        }  # fmt: skip
        try:
            with call.step("join"):
                talk.change("POST", "/customers/", body, lambda body: None)
        except Refused as refusal:
            if "already registered" not in refusal.text:
                return Declined(reason=DeclineReason.DECLINED, code=str(refusal.status), message="not accepted")
        found = self._by_email(talk, self._address(phone))
        if found is None or _digits(found.phone) != _digits(_international(phone)):
            raise OutcomeUnknown("who has joined cannot be read back")
        return Done(ref=found.identifier)

    def query(self, talk: Talk, request: Query) -> Answer:
        asked: Enrol = request.request
        found = self._by_email(talk, self._address(_phone_of(asked)))
        return Done(ref=found.identifier, replayed=True) if found else NotFound()

    # -------------------------------------------------------------- the wire

    def _customer(self, talk: Talk, identity: Identity) -> r.Customer | None:
        value = identity.value.reveal()
        if identity.type == IdentityType.CODE:
            return talk.look(f"/customers/{plain(value)}/", r.read_customer)
        if identity.type == IdentityType.PHONE:
            wanted = _digits(_international(value))
            ours = self._by_email(talk, self._address(value))
            return ours or next((each for each in self._all(talk) if _digits(each.phone) == wanted), None)
        if identity.type == IdentityType.CARD:
            return next((each for each in self._all(talk) if each.external == value), None)
        return None

    def _all(self, talk: Talk) -> Iterator[r.Customer]:
        return talk.rows("/customers/", r.read_customer, most=self._context.settings["member_pages"])

    def _by_email(self, talk: Talk, email: str) -> r.Customer | None:
        found = talk.rows("/customers/", r.read_customer, email=email)
        return next((each for each in found if each.email.lower() == email), None)

    def _member(self, talk: Talk, customer: r.Customer) -> Member:
        now, rates = self._context.clock(), self._context.settings["member_rates"]
        held = [
            each
            for each in talk.rows("/memberships/", r.read_membership, customer=customer.identifier)
            if each.customer == customer.identifier and each.start <= now <= each.end
        ]
        known = sorted((rates[str(each.type)], str(each.type)) for each in held if str(each.type) in rates)
        rate, tier = known[0] if known else (None, str(held[0].type) if held else "")
        return Member(ref=customer.identifier, tier=tier, display_name=customer.name, rate_bp=rate)

    def _address(self, phone: str) -> str:
        """An address made of the phone, which does not tell it to who sees the address."""
        secret = self._context.settings["token"].reveal().encode()
        digest = hmac.new(secret, _digits(_international(phone)).encode(), hashlib.sha256).hexdigest()
        return f"m{digest[:32]}@{NOWHERE}"


def _phone_of(request: Enrol) -> str:
    found = next((each for each in request.identities if each.type == IdentityType.PHONE), None)
    if found is None:
        raise NotSupported("joining takes a phone")
    return found.value.reveal()


def _card_of(request: Enrol) -> str | None:
    found = next((each for each in request.identities if each.type == IdentityType.CARD), None)
    return found.value.reveal() if found else None


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isdigit())


def _international(phone: str) -> str:
    """A phone with its country: one of eleven digits is a mobile of China."""
    digits = _digits(phone)
    return f"+86{digits}" if len(digits) == 11 and digits.startswith("1") else f"+{digits}"
