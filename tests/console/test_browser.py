"""The page in a real browser: it opens without a script, and the browser finds nothing to complain about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.console import run_console
from tests.console.conftest import Evening

pytestmark = pytest.mark.browser
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install -y chromium)")
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=found, args=[*FLAGS, "--disable-component-update"])
        yield started
        started.close()


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["desk", "phone"])
def test_a_reader_opens_a_checkout(evening: Evening, browser: Any, size: tuple[int, int]) -> None:
    served = run_console(evening.parts)
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, locale="zh-CN", java_script_enabled=False)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(served.url, timeout=15_000)
        row = page.locator(f'[id="{evening.ids["paid"]}"]')
        assert not row.locator("table").first.is_visible()
        row.locator("summary").click()
        assert row.locator("table").first.is_visible()
        assert page.locator("h1").inner_text() == "当日结账"
        page.get_by_label("状态").select_option("failed")
        page.get_by_role("button", name="查看").click()
        assert page.locator("summary .no").all_inner_texts() == ["O2"]
        width = page.locator("main").bounding_box()["width"]
        assert width <= size[0], "nothing sticks out at the side"
    finally:
        page.close()
        served.stop()
    assert not complaints
    assert all(url.startswith((served.url.removesuffix("/console/"), "data:")) for url in asked)
