"""Membership: members, points and three-bucket stored value."""

from __future__ import annotations

from gateway.domain.call import Call
from gateway.domain.common import Page, Query, StatementRequest, StatementRow
from gateway.domain.membership import (
    Enrol,
    Link,
    Member,
    MemberLookup,
    MemberPageRequest,
    Merge,
    PointsEarn,
    PointsHeld,
    PointsReserve,
    PointsReturn,
    PointsRevoke,
    Unmerge,
    ValueHeld,
    ValueReserve,
    ValueReturn,
    ValueTopup,
    ValueUntopup,
)
from gateway.domain.outcomes import Answer, Change
from gateway.hookspecs.marker import hookspec


class MembershipHooks:
    """Specs of the family ``membership``; the rules common to all hooks stand in ``gateway.hookspecs``."""

    @hookspec(firstresult=True)
    def member_find(self, request: MemberLookup) -> Member | None:
        """The member with this identity; ``None``: there is none. Answer within about a second.

        Where the system knows them, ``facts["openid"]`` is the member's address at the merchant's official account, and
        ``facts["language"]`` the language to write in, ``zh`` or ``en``.
        """

    @hookspec(firstresult=True)
    def member_page(self, request: MemberPageRequest) -> Page[Member]:  # type: ignore[empty-body]
        """All members, by cursor."""

    @hookspec(firstresult=True)
    def member_enrol(self, request: Enrol, call: Call) -> Change:  # type: ignore[empty-body]
        """Join. ``Done.ref`` is the member's number; one who is there already is ``Done(replayed=True)``."""

    @hookspec(firstresult=True)
    def member_link(self, request: Link, call: Call) -> Change:  # type: ignore[empty-body]
        """Add an identity to a member."""

    @hookspec(firstresult=True)
    def member_merge(self, request: Merge, call: Call) -> Change:  # type: ignore[empty-body]
        """Merge two records of one person."""

    @hookspec(firstresult=True)
    def member_unmerge(self, request: Unmerge, call: Call) -> Change:  # type: ignore[empty-body]
        """Take a merge back."""

    @hookspec(firstresult=True)
    def points_reserve(self, request: PointsReserve, call: Call) -> Change:  # type: ignore[empty-body]
        """Hold points until confirmed or cancelled; too few are ``Declined(INSUFFICIENT_POINTS)``.

        A system without holds deducts them here, and gives them back in ``points_cancel``.
        """

    @hookspec(firstresult=True)
    def points_confirm(self, request: PointsHeld, call: Call) -> Change:  # type: ignore[empty-body]
        """Spend held points for good; ``Done`` at once where a system without holds deducted them already."""

    @hookspec(firstresult=True)
    def points_cancel(self, request: PointsHeld, call: Call) -> Change:  # type: ignore[empty-body]
        """Let held points go; a hold that never came to be is ``Done``."""

    @hookspec(firstresult=True)
    def points_return(self, request: PointsReturn, call: Call) -> Change:  # type: ignore[empty-body]
        """Give spent points back; ``original`` is the hold, not its confirm."""

    @hookspec(firstresult=True)
    def points_earn(self, request: PointsEarn, call: Call) -> Change:  # type: ignore[empty-body]
        """Add points for a sale."""

    @hookspec(firstresult=True)
    def points_revoke(self, request: PointsRevoke, call: Call) -> Change:  # type: ignore[empty-body]
        """Take earned points back; ``Done.amount`` is how many there were to take."""

    @hookspec(firstresult=True)
    def value_reserve(self, request: ValueReserve, call: Call) -> Change:  # type: ignore[empty-body]
        """Hold stored value; ``facts["buckets"]`` is what is taken from ``real``, ``gift`` and ``prepaid``."""

    @hookspec(firstresult=True)
    def value_confirm(self, request: ValueHeld, call: Call) -> Change:  # type: ignore[empty-body]
        """Spend held value for good."""

    @hookspec(firstresult=True)
    def value_cancel(self, request: ValueHeld, call: Call) -> Change:  # type: ignore[empty-body]
        """Let held value go; a hold that never came to be is ``Done``."""

    @hookspec(firstresult=True)
    def value_return(self, request: ValueReturn, call: Call) -> Change:  # type: ignore[empty-body]
        """Give spent value back to its buckets; ``original`` is the hold. Gift value never turns into cash."""

    @hookspec(firstresult=True)
    def value_topup(self, request: ValueTopup, call: Call) -> Change:  # type: ignore[empty-body]
        """Pay in."""

    @hookspec(firstresult=True)
    def value_untopup(self, request: ValueUntopup, call: Call) -> Change:  # type: ignore[empty-body]
        """Take a payment in back."""

    @hookspec(firstresult=True)
    def member_query(self, request: Query) -> Answer:  # type: ignore[empty-body]
        """What became of a change of this family (members, points and value alike)."""

    @hookspec(firstresult=True)
    def points_statement(self, request: StatementRequest) -> Page[StatementRow]:  # type: ignore[empty-body]
        """Points moved on a business date; kinds ``spend``, ``return``, ``earn``, ``revoke``.

        A ``spend`` carries its confirm's key; ``""`` and the confirm's number if the system kept only the hold's key.
        """

    @hookspec(firstresult=True)
    def value_statement(self, request: StatementRequest) -> Page[StatementRow]:  # type: ignore[empty-body]
        """Stored value moved on a business date; kinds ``spend``, ``return``, ``topup``, ``untopup``.

        A ``spend`` carries its confirm's key; ``""`` and the confirm's number if the system kept only the hold's key.
        """
