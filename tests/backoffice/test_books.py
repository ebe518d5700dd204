"""What the back office reads by time: ids sort by the time they were made, and that is used to find them."""

from __future__ import annotations

import time

from gateway.engine.seams import TimeOrderedIds
from gateway.store.books import first_id


def test_ids_of_a_time_are_found_by_their_beginning() -> None:
    ids = TimeOrderedIds()
    for _ in range(200):
        before = time.time_ns() // 1_000_000
        made = ids.new()
        after = time.time_ns() // 1_000_000
        assert first_id(before) <= made < first_id(after + 1)


def test_times_before_the_epoch_are_the_first() -> None:
    assert first_id(-1) == first_id(0) == "0" * 26
