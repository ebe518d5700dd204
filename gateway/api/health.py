"""Health for load balancers and people: alive, ready, metrics. Nothing here names a merchant."""

from __future__ import annotations

from collections import Counter

from flask import Flask, Response

from gateway.api import metrics
from gateway.api.parts import Parts
from gateway.engine.model import Json
from gateway.runtime.health import RuntimeHealth, health
from gateway.store.journal import dump


def install(app: Flask, parts: Parts) -> None:
    """Give the app its health routes."""

    def healthz() -> Response:
        return _json({"status": "ok"}, 200)

    def readyz() -> Response:
        document = readiness(parts)
        return _json(document, 200 if document["ready"] else 503)

    def show_metrics() -> Response:
        body, content_type = metrics.exposition()
        return Response(body, content_type=content_type)

    app.add_url_rule("/healthz", "healthz", healthz)
    app.add_url_rule("/readyz", "readyz", readyz)
    app.add_url_rule("/metrics", "metrics", show_metrics)


def readiness(parts: Parts) -> Json:
    """Whether new work can be taken, and what is worth knowing. A legacy system that is down changes nothing."""
    database, runtime = parts.database.health(), health(parts.runtime)
    return {
        "ready": database.ok and not database.low,
        "recovery": parts.recovering,
        "database": {
            "ok": database.ok,
            "dialect": database.dialect,
            "version": database.version,
            "durable": database.durable,
            "low": database.low,
            "warnings": list(database.warnings),
            "error": database.error,
        },
        "clock": {"apart_ms": parts.clock.apart(), "warnings": list(parts.clock.warnings())},
        "plugins": {"loaded": list(runtime.plugins), "failed": sorted(runtime.failed)},
        "connections": _by_adapter(runtime),
    }


def _by_adapter(runtime: RuntimeHealth) -> dict[str, Json]:
    """How many connections of each adapter are in use, and how many of them let nothing through."""
    used = Counter(facts.adapter for facts in runtime.connections)
    down = Counter(facts.adapter for facts in runtime.down)
    return {adapter: {"used": count, "down": down[adapter]} for adapter, count in sorted(used.items())}


def _json(document: Json, status: int) -> Response:
    return Response(dump(document), status, content_type="application/json")
