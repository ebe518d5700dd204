"""Stock: goods by count, time slots of rooms and tables, the product library."""

from __future__ import annotations

from gateway.domain.call import Call
from gateway.domain.common import Page, Query
from gateway.domain.outcomes import Answer, Change
from gateway.domain.stock import (
    CatalogueRequest,
    Level,
    LevelsRequest,
    Product,
    Slot,
    SlotsRequest,
    StockHeld,
    StockMove,
    StockReserve,
    StockReturn,
)
from gateway.hookspecs.marker import hookspec


class StockHooks:
    """Specs of the family ``stock``; the rules common to all hooks stand in ``gateway.hookspecs``.

    An adapter without ``stock_reserve`` is covered by the gateway's own soft holds over ``stock_levels`` and
    ``stock_slots``.
    """

    @hookspec(firstresult=True)
    def stock_levels(self, request: LevelsRequest) -> tuple[Level, ...]:  # type: ignore[empty-body]
        """Levels of the SKUs asked for; one that the system does not know is left out. Each carries its ``as_of``."""

    @hookspec(firstresult=True)
    def stock_slots(self, request: SlotsRequest) -> tuple[Slot, ...]:  # type: ignore[empty-body]
        """Resources over a window, with their state and price plan."""

    @hookspec(firstresult=True)
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:  # type: ignore[empty-body]
        """The product library, by cursor; a withdrawn article comes with ``deleted``."""

    @hookspec(firstresult=True)
    def stock_reserve(self, request: StockReserve, call: Call) -> Change:  # type: ignore[empty-body]
        """Hold all goods, or all slots, of a request: ``Declined(OUT_OF_STOCK)`` or ``Declined(SLOT_TAKEN)``.

        A checkout with both makes two holds of their own; a request never carries both.
        """

    @hookspec(firstresult=True)
    def stock_confirm(self, request: StockHeld, call: Call) -> Change:  # type: ignore[empty-body]
        """The held goods are sold."""

    @hookspec(firstresult=True)
    def stock_cancel(self, request: StockHeld, call: Call) -> Change:  # type: ignore[empty-body]
        """Let a hold go; a hold that never came to be is ``Done``."""

    @hookspec(firstresult=True)
    def stock_return(self, request: StockReturn, call: Call) -> Change:  # type: ignore[empty-body]
        """Put sold goods back on hand, or free the slots of a confirmed hold; ``original`` is the hold.

        Asked for by a refund, of the goods that come back or of one line's slot, and when a checkout is undone, of all
        that the hold had. A slot that cannot be freed any more (the guests are in the room) is ``Declined``.
        """

    @hookspec(firstresult=True)
    def stock_move(self, request: StockMove, call: Call) -> Change:  # type: ignore[empty-body]
        """Move goods between stores."""

    @hookspec(firstresult=True)
    def stock_query(self, request: Query) -> Answer:  # type: ignore[empty-body]
        """What became of a change of this family."""
