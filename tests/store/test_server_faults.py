"""A real server whose disk fills up, whose file is locked, moved, deleted, forbidden, whose clock is turned."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.play import play
from tests.store.scenes import SCENES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(260)]
#: Those that a worker is killed in too; the others are, with a kill, in ``make storage``.
KILLED = ["permission", "full", "clock"]


def test_a_server_lives_through_it(tmp_path: Path) -> None:
    """Nobody gets a 500, what was acknowledged stands, what is under way ends, and it sells again by itself.

    Then the same with a worker killed in the middle: its sale is finished by another.
    """
    done = play(tmp_path / "street", "--then-kill", ",".join(KILLED))
    assert [each["scene"] for each in done] == [*SCENES, *KILLED]
