"""Exact arithmetic on money, for adapters."""

from gateway.domain.money import half_up, largest_remainder, part_of, price_at

__all__ = ["half_up", "largest_remainder", "part_of", "price_at"]
