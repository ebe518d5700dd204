"""What the gateway is measured beside: a bare Flask JSON route, and a proxy in six lines."""

from __future__ import annotations

import os

import requests
from flask import Flask, jsonify, request

json_app = Flask("json")


@json_app.post("/echo")
def echo():  # type: ignore[no-untyped-def]
    body = request.get_json()
    return jsonify({"id": body["order_no"], "lines": len(body["lines"])})


proxy_app = Flask("proxy")
session = requests.Session()


@proxy_app.post("/pass")
def forward():  # type: ignore[no-untyped-def]
    reply = session.post(os.environ["UPSTREAM"], json=request.get_json())
    return jsonify(reply.json())
