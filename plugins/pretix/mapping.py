"""Theirs and ours: products on dates as SKUs, quotas as levels, vouchers and gift cards as coupons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.sdk import (
    Counts,
    Coupon,
    CouponKind,
    Level,
    Misconfigured,
    NotSupported,
    Product,
    RateSlot,
    Slot,
    SlotState,
)
from plugins.pretix.records import Card, Item, Quota, Showing, Variant, Voucher

#: Stands for "no limit": a quota without one.
ENDLESS = Decimal(999_999)


@dataclass(frozen=True)
class Sku:
    """A product, perhaps a variation of it, perhaps on a date: ``12``, ``12-3``, ``12@7``, ``12-3@7``."""

    item: int
    variation: int | None = None
    subevent: int | None = None

    def __str__(self) -> str:
        variation = "" if self.variation is None else f"-{self.variation}"
        return f"{self.item}{variation}" + ("" if self.subevent is None else f"@{self.subevent}")

    def under(self, quota: Quota) -> bool:
        """Whether this quota counts it."""
        if quota.subevent != self.subevent or self.item not in quota.items:
            return False
        return self.variation is None or self.variation in quota.variations


def parse_sku(text: str) -> Sku | None:
    """A SKU of this system; ``None`` for what is none."""
    product, at, subevent = text.partition("@")
    item, dash, variation = product.partition("-")
    parts = (item, *([variation] if dash else []), *([subevent] if at else []))
    if not all(part.isascii() and part.isdecimal() and len(part) < 12 for part in parts):
        return None
    return Sku(int(item), int(variation) if dash else None, int(subevent) if at else None)


def whole(quantity: Decimal) -> int:
    """A number of tickets. Raises ``NotSupported`` for a fraction."""
    if quantity != int(quantity) or quantity < 0:
        raise NotSupported("pretix sells whole pieces only")
    return int(quantity)


def words_of(name: Mapping[str, str], language: str = "zh") -> str:
    """A text in a language, or in whatever there is."""
    found = next((text for key, text in name.items() if key.startswith(language) and text), "")
    return found or next((text for text in name.values() if text), "")


def level_of(sku: Sku, quotas: Iterable[Quota], store_id: str, now: datetime) -> Level | None:
    """What is left of a SKU: the least that any quota leaves; one without a quota is not for sale at all."""
    ours = [quota for quota in quotas if sku.under(quota)]
    if not ours:
        return None
    left = min((_left(quota) for quota in ours), default=ENDLESS)
    sizes = [Decimal(quota.size) for quota in ours if quota.size is not None]
    return Level(
        sku=str(sku), store_id=store_id, on_hand=max(left, Decimal(0)), available=max(left, Decimal(0)), as_of=now,
        reserved=max(min(sizes) - left, Decimal(0)) if sizes else Decimal(0), source="pretix",
    )  # fmt: skip


def _left(quota: Quota) -> Decimal:
    if quota.left is not None:
        return Decimal(quota.left)
    return ENDLESS if quota.available else Decimal(0)


def skus_of(quotas: Iterable[Quota], items: Mapping[int, Item]) -> list[Sku]:
    """All that is sold: products by the dates of their quotas, in a fixed order."""
    found = {
        Sku(number, variant.id, quota.subevent)
        for quota in quotas
        for number in quota.items
        if number in items
        for variant in items[number].variants
        if variant.id is None or variant.id in quota.variations
    }
    return sorted(found, key=lambda sku: (sku.subevent or 0, sku.item, sku.variation or 0))


def product_of(sku: Sku, item: Item, showing: Showing | None) -> Product:
    """A product on a date as an article: its price is the date's where it has one."""
    variant = next((each for each in item.variants if each.id == sku.variation), item.variants[0])
    price = showing.prices.get(item.id, variant.price) if showing and sku.variation is None else variant.price
    gone = not (item.active and variant.active and (showing is None or showing.active))
    facts = {"subevent": sku.subevent, "from": showing.start.isoformat()} if showing else {}
    return Product(
        sku=str(sku), name=_title(item, variant, showing, "zh"), name_en=_title(item, variant, showing, "en"),
        unit_amount=price, category=item.category, unit="张", open_price=item.free_price, deleted=gone, facts=facts,
    )  # fmt: skip


def _title(item: Item, variant: Variant, showing: Showing | None, language: str) -> str:
    names = (item.name, variant.name, showing.name if showing else {})
    return " · ".join(text for text in (words_of(name, language) for name in names) if text)


def slot_of(showing: Showing, quotas: Iterable[Quota], prices: Iterable[int], store_id: str, now: datetime) -> Slot:
    """A showing: free as long as any place is left. How many, and of what, stands in the facts."""
    ours = [quota for quota in quotas if quota.subevent == showing.id and quota.size is not None]
    left = max((int(_left(quota)) for quota in ours), default=0)
    end = showing.end or showing.start
    state = SlotState.FREE if left > 0 and showing.active else SlotState.RESERVED
    return Slot(
        resource_id=str(showing.id), resource_class="showing", store_id=store_id, state=state, as_of=now,
        name=words_of(showing.name), capacity=sum(quota.size or 0 for quota in ours), facts={"left": left},
        rates=tuple(RateSlot(start=showing.start, end=end, rate_amount=price, per="session") for price in prices),
    )  # fmt: skip


def coupon_of(voucher: Voucher, now: datetime, item: int | None, date: int | None) -> Coupon:
    """A voucher as a coupon. What carts hold of it is not told by pretix, so ``held`` is 0."""
    left = max(0, voucher.most - voucher.redeemed)
    fits = item is not None and voucher.item in (None, item) and voucher.quota is None and not voucher.seat
    bound = voucher.subevent not in (None, date)
    spent = voucher.budget is not None and voucher.budget_used >= voucher.budget
    late = voucher.valid_until is not None and voucher.valid_until < now
    return Coupon(
        code=voucher.code, kind=_kind(voucher), template=voucher.tag, title=voucher.tag or voucher.code,
        counts=Counts(initial=voucher.most, available=left, used=voucher.redeemed), expires_at=voucher.valid_until,
        usable=bool(left and fits and not (bound or spent or late)), terms=_terms(voucher),
        facts={"at_least": voucher.least} if voucher.least > 1 else {},
    )  # fmt: skip


def _kind(voucher: Voucher) -> CouponKind:
    kinds = {"subtract": CouponKind.CASH, "percent": CouponKind.PERCENT}
    return kinds.get(voucher.price_mode, CouponKind.EXCHANGE)


def _terms(voucher: Voucher) -> dict[str, Any]:
    """What pricing needs: an amount off, or the rate that is paid. A voucher that sets a price is the merchant's."""
    if voucher.price_mode == "subtract":
        return {"off_amount": voucher.value}
    if voucher.price_mode == "percent":
        return {"rate_bp": 10_000 - int(voucher.percent * 100)}
    return {}


def card_of(card: Card, now: datetime, currency: str) -> Coupon:
    """A gift card. pretix itself would let an expired one pay, and one of a test: they are not usable here."""
    return Coupon(
        code=card.secret, kind=CouponKind.GIFT_CARD, title="gift card", expires_at=card.expires,
        usable=not why_not(card, now, currency) and card.balance > 0, balance_amount=max(0, card.balance),
    )  # fmt: skip


def why_not(card: Card, now: datetime, currency: str) -> str:
    """Why a gift card must not pay, although pretix lets it; empty if it may."""
    if card.expires is not None and card.expires < now:
        return "expired"
    if card.testmode:
        return "of a test"
    return "" if card.currency == currency else f"in {card.currency[:3]}"


def sku_or_refuse(text: str) -> Sku:
    """A SKU of a request."""
    sku = parse_sku(text)
    if sku is None:
        raise Misconfigured(f"sku: expected ITEM[-VARIATION][@DATE], found {text[:40]!r}")
    return sku
