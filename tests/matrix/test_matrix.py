"""Every fault on every leg of every kind of system: the end and the tasks are exactly those that the rules say."""

from __future__ import annotations

import random

import pytest

from tests.matrix.cells import PROFILES, Cell, cells, pairs, run
from tests.matrix.rules import RULES, expected, rule
from tests.matrix.run import wrong_pair
from tests.simulation.bugs import planted
from tests.simulation.store import Memory
from tests.simulation.troubles import Violation

CELLS = list(cells())


def test_the_matrix_is_whole() -> None:
    """12 faults, 9 legs, 5 profiles; every cell has exactly one rule, and no rule is about nothing."""
    assert len(CELLS) == 12 * 9 * 5
    assert {rule(cell) for cell in CELLS} == set(RULES)


@pytest.mark.parametrize("name", ["timeout-is-failure", "not-found-is-final", "any-amount", "repeats-all"])
def test_the_matrix_sees_what_is_broken_on_purpose(name: str) -> None:
    """A table that every engine passes would show nothing."""
    db = Memory(random.Random(0))
    with planted(name):
        assert any(_breaks(db, cell) for cell in CELLS if cell.profile in ("asked", "nothing"))


def _breaks(db: Memory, cell: Cell) -> bool:
    try:
        return bool(difference(db, cell))
    except (Violation, AssertionError):
        return True


@pytest.mark.parametrize("seed", range(3))
def test_two_faults_at_a_time(seed: int) -> None:
    """Some of the 25,200 pairs, others for each seed; ``make matrix`` does them all."""
    chosen = random.Random(seed).sample(list(pairs()), 40)
    wrong = [text for one, two in chosen if (text := wrong_pair(Memory(random.Random(0)), one, two))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_cell_ends_as_the_rules_say(profile: str) -> None:
    """One cell that ends otherwise is money, goods or a sale that nobody looks after."""
    db, wrong = Memory(random.Random(0)), []
    for cell in CELLS:
        if cell.profile == profile:
            wrong += difference(db, cell)
    assert not wrong, f"{len(wrong)} cells:\n" + "\n".join(wrong)


def difference(db: Memory, cell: Cell) -> list[str]:
    """What is otherwise in this cell, or nothing."""
    found, wanted = run(db, cell), expected(cell)
    return [] if found == wanted else [f"{cell}\n  wanted {wanted}\n  found  {found}"]
