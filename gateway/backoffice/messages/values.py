"""What a message says: the facts of a checkout, a refund or a deposit, as texts in the member's language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from gateway.domain.money import format_yuan
from gateway.engine.model import Kind, Saga
from gateway.runtime import Merchant
from gateway.runtime.messages import MessageRule

TIME_FORM = "%Y-%m-%d %H:%M"


def fields_of(
    rule: MessageRule, merchant: Merchant, saga: Saga, order: Saga, occurred: int, language: str
) -> dict[str, str]:
    """Every fact under its own name, and the rule's texts in this language, or else in the merchant's.

    ``order`` is what a refund or a release is of, else the saga itself; ``occurred`` is in milliseconds.
    """
    facts = facts_of(merchant, saga, order, occurred, language)
    texts = rule.texts.get(language) or rule.texts.get(merchant.messages.language) or {}
    return {**facts, **{name: text.format_map(facts) for name, text in texts.items()}}


def facts_of(merchant: Merchant, saga: Saga, order: Saga, occurred: int, language: str) -> Mapping[str, str]:
    """The facts by name: those of :data:`gateway.runtime.messages.FACTS`."""
    store = merchant.stores.get(saga.store_id or order.store_id)
    english = language == "en"
    at = datetime.fromtimestamp(occurred / 1000, UTC).astimezone(merchant.timezone)
    return {
        "order_no": order.number,
        # The number of a release is the gateway's own: the customer knows the deposit's.
        "number": order.number if saga.kind is Kind.RELEASE else saga.number,
        "amount": amount_text(saga.amount, merchant.currency),
        "store": ((store.name_en if english else "") or store.name) if store is not None else saga.store_id,
        "merchant": (merchant.name_en if english else "") or merchant.name,
        "time": at.strftime(TIME_FORM),
    }


def amount_text(amount: int, currency: str) -> str:
    """An amount in minor units as people read it: ``¥12.80``, ``USD 12.80``."""
    return f"¥{format_yuan(amount)}" if currency == "CNY" else f"{currency} {format_yuan(amount)}"
