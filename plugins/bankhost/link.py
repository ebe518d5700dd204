"""The line to the host: sign-in, MAC, trace and batch numbers. One message, one answer that is about it, or an error.

The working key is kept as the host sent it, under the master key, so that every process of the gateway can use it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.sdk import (
    AdapterError,
    Context,
    InvalidReply,
    LengthPrefixed,
    Line,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    ParseError,
    tcp,
)
from gateway.sdk.formats.iso8583 import Fields
from gateway.sdk.signers.mac import ecb
from plugins.bankhost.keys import unwrap
from plugins.bankhost.protocol import APPROVED, MAC_WRONG, SIGN_IN, codec

_NEEDS_SIGN_IN = (SIGN_IN, MAC_WRONG)
_UNKNOWN_TERMINAL = {"03": "merchant is not known to the host", "97": "terminal is not known to the host"}
_LAST_TRACE = 999_999


class HostLink:
    """One terminal's line. Callers take turns (``Terminal.turn``); it does not lock by itself."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._store, self._settings = context.store, settings
        self._codec = codec(settings["packing"], settings["tpdu"], settings["header"])
        address = f"{settings['host']}:{settings['port']}"
        self._line = Line(tcp(settings["host"], settings["port"]), LengthPrefixed(2), keep=True)
        self._where = f"host {address}, terminal {settings['terminal']}"
        master = settings["master_key"]
        if settings["mac"] and master is None:
            raise Misconfigured("master_key is needed, unless mac is false")
        self._master = bytes.fromhex(master.reveal()) if master is not None else b""

    def close(self) -> None:
        self._line.close()

    # -- what is counted ---------------------------------------------------------------------------------------------

    def batch(self) -> str:
        """The number of the batch that is open, six digits."""
        return str((self._store.get("session") or {}).get("batch") or "000001")

    def next_batch(self, batch: str) -> None:
        """The host has closed the batch before this one."""
        self._store.put("session", {**(self._store.get("session") or {}), "batch": batch})

    def next_trace(self) -> str:
        """A trace number: six digits, never twice in a batch."""
        number = int(self._store.get("trace") or 0) % _LAST_TRACE + 1
        self._store.put("trace", number)
        return f"{number:06d}"

    # -- sending -----------------------------------------------------------------------------------------------------

    def ready(self, seconds: float) -> None:
        """Sign in, unless that was done. Raises ``NotSent`` or ``Misconfigured``."""
        if self._settings["mac"] and not (self._store.get("session") or {}).get("key"):
            self.sign_in(seconds)

    def exchange(self, fields: Fields, seconds: float) -> dict[str, str]:
        """Send a message with its MAC and give the answer, whatever its code.

        A host that has forgotten the session refuses everything unread: then we sign in and send the same message
        again, which its trace number makes safe. Raises ``NotSent`` or ``OutcomeUnknown``.
        """
        until = time.monotonic() + seconds
        reply = self._ask(fields, seconds)
        if reply.get("39") not in _NEEDS_SIGN_IN:
            return reply
        try:
            self.sign_in(until - time.monotonic())
            reply = self._ask(fields, until - time.monotonic())
        except AdapterError as error:
            raise OutcomeUnknown(f"the host wants a sign-in, and that fails: {error}") from None
        if reply.get("39") in _NEEDS_SIGN_IN:
            raise OutcomeUnknown(f"the host answers {reply['39']} after a sign-in too")
        return reply

    def sign_in(self, seconds: float) -> None:
        """Fetch working keys and the batch number. Raises ``NotSent``, or ``Misconfigured`` with what to do."""
        asked = self._message({"t": "0800", "11": self.next_trace(), "60": f"00{self.batch()}003", "63": "01 "})
        try:
            reply = self._decoded(self._line.ask(self._codec.encode(asked), timeout=seconds, matches=self._of(asked)))
        except (OutcomeUnknown, InvalidReply) as error:
            raise NotSent(f"no sign-in at {self._where}: {error}") from None
        code = reply.get("39", "")
        if code in _UNKNOWN_TERMINAL:
            raise Misconfigured(f"{_UNKNOWN_TERMINAL[code]} ({code}): {self._where}")
        if code != APPROVED:
            raise NotSent(f"no sign-in at {self._where}: the host answers {code}")
        self._note_session(reply)

    def _note_session(self, reply: Mapping[str, str]) -> None:
        session: dict[str, Any] = {"batch": reply.get("60", "")[2:8] or self.batch()}
        if self._settings["mac"]:
            given = reply.get("62", "").encode("latin-1")
            try:
                unwrap(self._master, given)
            except ParseError as error:
                raise Misconfigured(f"master_key is not the one that the host has: {error}") from None
            session["key"] = given.hex()
        self._store.put("session", session)

    def _ask(self, fields: Fields, seconds: float) -> dict[str, str]:
        if seconds <= 0:
            raise NotSent("no time left")
        asked = self._message(fields)
        if not self._settings["mac"]:
            raw = self._line.ask(self._codec.encode(asked), timeout=seconds, matches=self._of(asked))
            return self._decoded(raw)
        session = self._store.get("session") or {}
        mac = partial(ecb, unwrap(self._master, bytes.fromhex(session.get("key", ""))))
        raw = self._line.ask(self._codec.sign(asked, mac), timeout=seconds, matches=self._of(asked))
        reply = self._decoded(raw)
        if reply.get("39") in _NEEDS_SIGN_IN:
            return reply
        try:
            return self._codec.check(raw, mac)
        except ParseError as error:
            raise InvalidReply(f"the host's answer: {error}") from None

    def _message(self, fields: Fields) -> dict[str, str]:
        return {**fields, "41": self._settings["terminal"], "42": self._settings["merchant"]}

    def _of(self, asked: Fields) -> Any:
        return self._codec.answers(asked)

    def _decoded(self, raw: bytes) -> dict[str, str]:
        try:
            return self._codec.decode(raw)
        except ParseError as error:
            raise InvalidReply(f"the host's answer: {error}") from None
