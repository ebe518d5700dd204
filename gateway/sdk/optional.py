"""Libraries that only some adapters need: imported when first used, with a message that says how to get them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gateway.domain.errors import Misconfigured


def load(module: str, extra: str) -> Any:
    """The module. Raises ``Misconfigured`` that names the extra to install if its library is not there."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise  # the library is there, and something of its own is not
        raise Misconfigured(
            f"the library {module.split('.')[0]!r} is not installed: pip install 'o2o-gateway[{extra}]'"
        ) from None
