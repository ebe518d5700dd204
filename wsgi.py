"""The gateway for any WSGI server: ``wsgi:app``, configured by the file that ``GATEWAY_CONFIG`` names."""

from __future__ import annotations

from flask import Flask

from gateway.app import create_app

app: Flask = create_app()
