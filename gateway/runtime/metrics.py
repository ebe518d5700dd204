"""Counters of the calls to far systems, by adapter, hook and outcome; merchants are left out to keep them few."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

CALLS = Counter("gateway_adapter_calls", "Calls of adapter hooks by outcome", ("adapter", "hook", "outcome"))
SECONDS = Histogram(
    "gateway_adapter_call_seconds",
    "How long calls of adapter hooks took",
    ("adapter", "hook"),
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
OPENED = Counter("gateway_adapter_breaker_opened", "How often a breaker opened", ("adapter",))
LATE = Counter(
    "gateway_adapter_late", "Calls given up on at their deadline, the thread left behind", ("adapter", "hook")
)


@cache
def calls(adapter: str, hook: str, outcome: str) -> Counter:
    """The counter of one outcome of one hook."""
    return CALLS.labels(adapter, hook, outcome)


@cache
def seconds(adapter: str, hook: str) -> Histogram:
    """The histogram of one hook's duration."""
    return SECONDS.labels(adapter, hook)
