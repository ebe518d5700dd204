"""A plugin-based merchant integration gateway: one API over merchants' legacy systems."""

__version__ = "0.1.0"
