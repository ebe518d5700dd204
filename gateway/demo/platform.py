"""The platform of the story: it knows the gateway by its API alone."""

from __future__ import annotations

import time
import uuid
from typing import Any

import requests

#: How long the story waits for something to come to its end, in seconds.
PATIENCE_S = 30.0


class Refused(Exception):
    """The gateway answered with a problem."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('type')}: {problem.get('detail')} {problem.get('errors', '')}")
        self.status, self.problem = status, problem


class Platform:
    """A client of the API with one key."""

    def __init__(self, url: str, key: str, patience_s: float = PATIENCE_S) -> None:
        self.url, self.patience_s = url, patience_s
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {key}"

    def get(self, path: str, **query: Any) -> Any:
        reply = self._session.get(f"{self.url}/v1{path}", params=query, timeout=30)
        return self._read(reply)

    def post(self, path: str, body: dict[str, Any], key: str = "") -> Any:
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        reply = self._session.post(f"{self.url}/v1{path}", json=body, headers=headers, timeout=60)
        return self._read(reply)

    @staticmethod
    def _read(reply: requests.Response) -> Any:
        if reply.status_code >= 400:
            raise Refused(reply.status_code, reply.json())
        return reply.json()

    def finished(self, path: str, resource: dict[str, Any], *until: str) -> dict[str, Any]:
        """Read a resource until it has one of these statuses."""
        deadline = time.monotonic() + self.patience_s
        while resource["status"] not in until and time.monotonic() < deadline:
            time.sleep(0.3)
            resource = self.get(f"{path}/{resource['id']}")
        return resource
