"""The merchant's web pages: one page so far, the day's checkouts with what every system did. Read only, on loopback."""

from gateway.console.pages import console, create_console
from gateway.console.server import Served, run_console

__all__ = ["Served", "console", "create_console", "run_console"]
