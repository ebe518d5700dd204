"""Typed methods over the reading hooks, so that the core never touches pluggy's ``hook``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

from gateway.domain.common import Page, StatementRequest, StatementRow
from gateway.domain.coupons import Coupon, CouponList, CouponLookup
from gateway.domain.membership import Member, MemberLookup, MemberPageRequest
from gateway.domain.messages import Notice, NoticeFollow, NoticeRequest
from gateway.domain.orders import Bill, BillLookup, BillPrice, BillTotal
from gateway.domain.stock import CatalogueRequest, Level, LevelsRequest, Product, Slot, SlotsRequest

STATEMENTS = ("payment_statement", "points_statement", "value_statement", "coupon_statement", "order_statement")


class Readings(ABC):
    """The reading hooks by what they return. All raise subclasses of ``AdapterError`` and nothing else."""

    @abstractmethod
    def has(self, hook: str) -> bool:
        """Whether the adapter implements a hook."""

    @abstractmethod
    def read(self, hook: str, request: Any, *, timeout_s: float | None = None) -> Any:
        """Call a reading hook."""

    def find_member(self, request: MemberLookup) -> Member | None:
        """The member with this identity, or ``None``."""
        return cast("Member | None", self.read("member_find", request))

    def members(self, request: MemberPageRequest) -> Page[Member]:
        """One page of all members."""
        return cast("Page[Member]", self.read("member_page", request))

    def find_coupon(self, request: CouponLookup) -> Coupon | None:
        """The coupon with this code, or ``None``."""
        return cast("Coupon | None", self.read("coupon_find", request))

    def list_coupons(self, request: CouponList) -> tuple[Coupon, ...]:
        """A member's usable coupons."""
        return cast("tuple[Coupon, ...]", self.read("coupon_list", request))

    def levels(self, request: LevelsRequest) -> tuple[Level, ...]:
        """Stock by SKU."""
        return cast("tuple[Level, ...]", self.read("stock_levels", request))

    def slots(self, request: SlotsRequest) -> tuple[Slot, ...]:
        """Rooms, tables or seats over a window."""
        return cast("tuple[Slot, ...]", self.read("stock_slots", request))

    def catalogue(self, request: CatalogueRequest) -> Page[Product]:
        """One page of the product library."""
        return cast("Page[Product]", self.read("catalogue_page", request))

    def bills(self, request: BillLookup) -> tuple[Bill, ...]:
        """What is open in the till."""
        return cast("tuple[Bill, ...]", self.read("bill_find", request))

    def bill_price(self, request: BillPrice) -> BillTotal:
        """The till's own sum."""
        return cast("BillTotal", self.read("bill_price", request))

    def statements(self) -> tuple[str, ...]:
        """The statement hooks that the adapter implements."""
        return tuple(hook for hook in STATEMENTS if self.has(hook))

    def statement(self, hook: str, request: StatementRequest) -> Page[StatementRow]:
        """One page of a business date's records; ``hook`` is one of :data:`STATEMENTS`."""
        return cast("Page[StatementRow]", self.read(hook, request))

    def read_notice(self, request: NoticeRequest) -> Notice | None:
        """A verified callback, or ``None`` if it is not genuine."""
        return cast("Notice | None", self.read("notice_read", request))

    def follow_notices(self, request: NoticeFollow, timeout_s: float) -> int:
        """How much of what notices have asked for is still to be done."""
        return cast("int", self.read("notice_follow", request, timeout_s=timeout_s))
