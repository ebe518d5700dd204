"""Messages to customers, and callbacks from far systems."""

from __future__ import annotations

from gateway.domain.call import Call
from gateway.domain.messages import Message, Notice, NoticeFollow, NoticeRequest
from gateway.domain.outcomes import Change
from gateway.hookspecs.marker import hookspec


class MessageHooks:
    """Specs of the family ``messages``; the rules common to all hooks stand in ``gateway.hookspecs``."""

    @hookspec(firstresult=True)
    def message_send(self, request: Message, call: Call) -> Change:  # type: ignore[empty-body]
        """Send one message to one receiver, once.

        A receiver who withdrew, or whom a limit of the day keeps it from, is ``Declined``: nobody is written to twice
        or against their will. There is no query and no undo: a message that may have been sent is only sent again
        where the far system knows our number again (``idempotent``).
        """


class NoticeHooks:
    """Callbacks, for adapters of every family."""

    @hookspec(firstresult=True)
    def notice_read(self, request: NoticeRequest) -> Notice | None:
        """Verify a callback and say what it is about; ``None``: it is not genuine. Must not call out."""

    @hookspec(firstresult=True)
    def notice_follow(self, request: NoticeFollow) -> int:  # type: ignore[empty-body]
        """Do what notices have asked for that ``notice_read`` stored; how many things are still to be done.

        For systems that give us work, as an e-voucher platform that wants codes. Called soon after a notice was taken,
        at the start and about every minute, in any process and perhaps in two at once: what it sends may be repeated,
        and what fails stays stored for the next time.
        """
