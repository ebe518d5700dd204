"""Members: parties that are found by a telephone number or by their code. Tryton keeps no points."""

from __future__ import annotations

from typing import Any

from gateway.sdk import (
    Answer,
    Call,
    Change,
    Declined,
    DeclineReason,
    Done,
    Enrol,
    Identity,
    IdentityType,
    Member,
    NotFound,
    NotSupported,
    Query,
)
from plugins.tryton import mapping
from plugins.tryton.client import Far, Refused, steadily

PARTY = "party.party"
_NAMES = ("code", "name")
_PHONES = ["contact_mechanisms.type", "in", ["phone", "mobile"]]


class Members:
    """The membership hooks' work."""

    def __init__(self, far: Far) -> None:
        self._far = far

    def find(self, identity: Identity) -> Member | None:
        """The party with this identity; of several the oldest: Tryton lets two parties share a number."""
        row = self._row(identity)
        return mapping.member_of(row) if row else None

    def _row(self, identity: Identity) -> dict[str, Any] | None:
        value = identity.value.reveal()
        if identity.type in (IdentityType.CARD, IdentityType.CODE):
            return self._far.row(PARTY, [["code", "=", value]], _NAMES)
        if identity.type is IdentityType.PHONE:
            by_number = ["contact_mechanisms.value_compact", "=", value]
            return self._far.row(PARTY, [by_number, _PHONES], _NAMES)
        return None

    def enrol(self, request: Enrol, call: Call) -> Change:
        """Create the party under a code made of the key: Tryton keeps codes apart, so a second try is refused."""
        phones = [row.value.reveal() for row in request.identities if row.type is IdentityType.PHONE]
        if not phones:
            raise NotSupported("a member is enrolled there by a telephone number")
        code = _code(call.key)
        there = next((row for identity in request.identities if (row := self._row(identity))), None)
        if there is not None:
            return Done(ref=there["code"], replayed=True)

        def once() -> Change | None:
            made = self._far.row(PARTY, [["code", "=", code]], _NAMES)
            if made is not None:
                return Done(ref=made["code"])
            contacts = [{"type": "mobile", "value": phone} for phone in phones]
            values = {"code": code, "name": request.display_name or code, "addresses": [["create", [{}]]]}
            values["contact_mechanisms"] = [["create", contacts]]
            try:
                self._far.change(call, f"{PARTY}.create", [values], ref=code)
            except Refused as refused:
                if self._far.row(PARTY, [["code", "=", code]], _NAMES) is None:
                    return Declined(reason=DeclineReason.DECLINED, code=refused.failure.name)
            return None

        return steadily(call, once)

    def query(self, query: Query) -> Answer:
        """The party of the enrolment, by the code that was made of its key, else by whom it names."""
        rows = [self._far.row(PARTY, [["code", "=", _code(query.key)]], _NAMES)]
        rows += [self._row(identity) for identity in query.request.identities]
        found = next((row for row in rows if row), None)
        return Done(ref=found["code"]) if found else NotFound()


def _code(key: str) -> str:
    return f"M{key[-20:]}"
