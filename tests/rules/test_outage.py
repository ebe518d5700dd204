"""What a loop says of a database that is away."""

from __future__ import annotations

import logging

import pytest

from gateway.engine.outage import Outage


def test_an_outage_is_told_when_it_begins_once_a_minute_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each look fills the disk and hides what else went wrong; no line at the end leaves people guessing."""
    at = 0.0
    outage = Outage(logging.getLogger("a loop"), "the loop", lambda: at)
    outage.worked()
    for second in range(0, 1300, 5):
        at = second / 10
        outage.failed(OSError("away"))
    outage.worked()
    outage.worked()
    outage.failed(OSError("away again"))
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "the loop could not read or write",
        "the loop still cannot read or write: 60 s, 121 looks failed",
        "the loop still cannot read or write: 120 s, 241 looks failed",
        "the loop can read and write again: 129 s, 260 looks failed",
        "the loop could not read or write",
    ]
