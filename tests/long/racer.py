"""A process that races: the whole gateway without a server in front, asked by many threads at one moment.

It is told by lines of JSON on its standard input what to ask and when, and answers each with a line: what every thread
was told. Several of them on one database are what several workers, or several nodes, are.

``python -m tests.long.racer CONFIG KEY THREADS``
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from gateway.app import create_app

Json = dict[str, Any]
#: A client that is told to come again later does, this often at most.
TRIES = 30


class Racer:
    """The gateway of this process, and a client a thread."""

    def __init__(self, config: Path, key: str) -> None:
        self.app: Flask = create_app(config)
        self.app.extensions["gateway"].start_recovery()
        self.key = key
        self._clients = threading.local()

    def ask(self, asked: Json, at: float) -> Json:
        """One request at that moment; its status and body."""
        client, url = self._client(), f"/v1/merchants/{asked['merchant']}{asked['path']}"
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": asked["key"]}
        time.sleep(max(0.0, at - time.time()))
        for _ in range(TRIES):
            response = client.post(url, json=asked["body"], headers=headers)
            if response.status_code != 429:  # on a machine that is slow a merchant's share of the threads runs out
                break
            time.sleep(float(response.headers["Retry-After"]))
        replayed = response.headers.get("Idempotency-Replayed") == "true"
        body = base64.b64encode(response.get_data()).decode()
        return {"id": asked["id"], "status": response.status_code, "body": body, "replayed": replayed}

    def _client(self) -> FlaskClient:
        if not hasattr(self._clients, "one"):
            self._clients.one = self.app.test_client()
        found: FlaskClient = self._clients.one
        return found


def main() -> None:
    config, key, threads = sys.argv[1:]
    racer = Racer(Path(config), key)
    print("ready", flush=True)
    with ThreadPoolExecutor(int(threads)) as pool:
        for line in sys.stdin:
            told = json.loads(line)
            futures = [pool.submit(racer.ask, asked, told["at"]) for asked in told["asks"]]
            print(json.dumps([future.result() for future in futures]), flush=True)
    racer.app.extensions["gateway"].close()


if __name__ == "__main__":
    main()
