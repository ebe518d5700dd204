"""What the trials of claims share: what they raise, and what they hold an outcome and the books against."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.testing.bench import told
from gateway.testing.outcome import Outcome


class Refuted(Exception):
    """A claim is untrue; the text says what was seen."""


class NotShown(Exception):
    """A claim could not be tried; the text says why."""


def must_be(came: Outcome, *kinds: str, what: str) -> None:
    """Raises :class:`Refuted` for an outcome of another kind."""
    if came.kind not in kinds:
        raise Refuted(f"{what} came to {came}, expected {' or '.join(kinds)}")


def must_show(effect: Mapping[str, int], expected: Mapping[str, int], what: str) -> None:
    """Raises :class:`Refuted` if the books show another effect."""
    if dict(effect) != dict(expected):
        raise Refuted(f"{what}: the books show {told(effect)} instead of {told(expected)}")
