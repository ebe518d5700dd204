"""Storage that fails anywhere and heals: nothing acknowledged is lost, and the same program goes on selling."""

from __future__ import annotations

import pytest

from tests.power.faults import FAULTS, draw, faulty


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2 * len(FAULTS)), ids=lambda seed: "-".join(map(str, draw(seed))))
def test_storage_that_fails_and_heals(seed: int) -> None:
    """Full, broken, locked, read-only at the k-th operation, and the program killed there or not."""
    kind, kill, journal = draw(seed)
    with faulty(seed, kind, kill=kill, journal=journal) as world:
        tally = world.live(2)
        assert (tally.violations, tally.first) == (0, "")
        assert world.hits, "the fault did not happen"
        assert set(world.customers.problems) <= _TOLD | {"payment-declined"}, dict(world.customers.problems)


#: What a caller may be told of the storage: a reason to come back, never a bug of ours.
_TOLD = {"storage-full", "storage-busy", "request-in-progress", "StorageDown", "StorageBusy", "StorageUnknown"}
