"""gunicorn's worker with threads, with a limit to how long a request may take to arrive."""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from gateway.api.arrivals import ARRIVALS


class Worker(ThreadWorker):  # type: ignore[misc]
    """The worker that ``config/gunicorn.conf.py`` names."""

    def handle(self, conn: Any) -> Any:
        """One turn of a connection."""
        ARRIVALS.begin(conn.sock)
        try:
            return super().handle(conn)
        finally:
            ARRIVALS.done(conn.sock)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """The headers are here; a request without a body is here altogether."""
        if not any(name in ("CONTENT-LENGTH", "TRANSFER-ENCODING") for name, _ in req.headers):
            ARRIVALS.done(conn.sock)
        return super().handle_request(req, conn)
