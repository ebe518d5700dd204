"""Counters of the API for Prometheus, by operation and status; ids are never labels."""

from __future__ import annotations

import os
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

REQUESTS = Counter("gateway_http_requests", "Requests by operation and status", ("operation", "status"))
PROBLEMS = Counter("gateway_http_problems", "Problems by slug", ("slug",))
SECONDS = Histogram(
    "gateway_http_request_seconds",
    "How long requests took",
    ("operation",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)


@cache
def requests(operation: str, status: int) -> Counter:
    """The counter of one operation's replies of one status."""
    return REQUESTS.labels(operation, str(status))


def exposition() -> tuple[bytes, str]:
    """All metrics as Prometheus reads them, over all worker processes; and the content type."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
