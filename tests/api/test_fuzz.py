"""A short run of generated requests; the long one is ``make schemathesis``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.fuzz import answered, run
from tests.api.server import serving


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_generated_requests_find_nothing(tmp_path: Path) -> None:
    """No 5xx, no reply that is not as documented, nothing accepted that the document forbids."""
    with serving(tmp_path) as server:
        status = run(server, tmp_path, 45, [])
        assert status == 0
        assert "'201'" in answered(server)
