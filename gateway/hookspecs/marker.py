"""The project's name to pluggy."""

from __future__ import annotations

import pluggy

PROJECT = "o2o_gateway"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
