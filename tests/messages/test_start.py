"""A member is told of the very first sale after a start, however late the relay first looks around."""

from __future__ import annotations

from pathlib import Path

from gateway.api.parts import Parts
from gateway.app import create_app
from gateway.backoffice.messages.taking import RECEIVER
from tests.messages.conftest import PAID
from tests.messages.test_settings import written

#: Far longer than the test: the relay itself has not looked yet.
NEVER = "[webhooks]\nevery_s = 60\n"


def test_messages_have_their_place_in_the_feed_before_anybody_is_served(tmp_path: Path) -> None:
    written(tmp_path, PAID)
    file = tmp_path / "gateway.toml"
    file.write_text(f'data = "data"\nmerchants = ["m1.toml"]\n{NEVER}', encoding="utf-8")
    parts: Parts = create_app(file).extensions["gateway"]
    parts.start_recovery()
    try:
        rows = parts.database.read(lambda tx: tx.all("SELECT id, position FROM webhook_endpoints"))
        assert [(row["id"], row["position"]) for row in rows] == [(RECEIVER, 0)]
    finally:
        parts.close()
