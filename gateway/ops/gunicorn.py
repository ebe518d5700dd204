"""gunicorn's own log lines, among the gateway's."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from gateway.ops import logs


class GunicornLog(Logger):  # type: ignore[misc]
    """What ``logger_class`` of ``config/gunicorn.conf.py`` names."""

    def setup(self, cfg: Any) -> None:
        """Take over gunicorn's loggers; called at the start and at each reload."""
        super().setup(cfg)
        logs.set_up()
        self.error_log.setLevel(self.loglevel)

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """As it is; but what follows "signal:" would be taken for a signature, and masked."""
        super().info(msg.replace("signal: ", "signal "), *args, **kwargs)
