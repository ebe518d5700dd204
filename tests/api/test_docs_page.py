"""The documentation's page in a real browser: it works under its own policy and asks no other host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from werkzeug.serving import make_server

from tests.api.kit import Gateway

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def address(gateway: Gateway) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, gateway.app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no chromium")
def test_the_docs_page_shows_every_operation_and_asks_no_other_host(address: str) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(f"{address}/docs")
        page.wait_for_selector(".opblock", timeout=30_000)
        shown = page.locator(".opblock").count()
        page.locator("#operations-checkouts-create_checkout .opblock-summary-control").click()
        page.wait_for_selector("#operations-checkouts-create_checkout .opblock-body", timeout=30_000)
        text = page.locator("#operations-checkouts-create_checkout").inner_text()
        browser.close()
    assert shown > 20
    assert "Idempotency-Key" in text
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert complaints == []
