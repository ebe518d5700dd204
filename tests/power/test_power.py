"""The power goes at any moment: what was acknowledged is there, the file is whole, and everything comes to its end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.power.disk import Disk, Inode, PowerOff
from tests.power.run import CONTROLS
from tests.power.world import Machine, Tally, live, on_disk


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("journal", ["WAL", "TRUNCATE"])
def test_power_cuts(journal: str) -> None:
    """A hundred cuts a journal: the merchant's morning after must find every sale that was answered, once."""
    tally = Tally()
    for seed in range(10):
        with on_disk(seed, Machine(journal)) as world:
            world.checkouts = 1
            tally.add(world.live())
    assert (tally.violations, tally.first) == (0, "")
    assert tally.cuts == 100 and tally.acknowledged > 150, "hardly anything was acknowledged"


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_the_controls_lose(name: str) -> None:
    """Where syncs are left out acknowledged sales are lost: else the test above would show nothing."""
    assert any(live(seed, CONTROLS[name]).violations for seed in range(5))


def test_what_was_not_synced_may_be_gone(tmp_path: Path) -> None:
    """A disk that kept everything would let every program pass."""
    found = {_after_a_cut(tmp_path, seed) for seed in range(60)}
    assert {b"old", b"new"} <= found, "either nothing or everything was kept, always"
    assert len(found) > 2, "nothing was ever torn"
    assert all(len(content) == 3 for content in found)


def _after_a_cut(folder: Path, seed: int) -> bytes:
    disk = Disk(folder, random.Random(seed))
    file = disk.opened("file")
    disk.changed("file", file, (0, b"old"))
    disk.synced("file", file, with_entries=True)
    disk.changed("file", file, (0, b"new"))
    disk.cut()
    with pytest.raises(PowerOff):
        disk.changed("file", file, (0, b"too late"))
    assert disk.remains is not None
    return disk.remains["file"]


def test_an_entry_is_there_once_its_folder_was_synced(tmp_path: Path) -> None:
    """A file may have vanished with all that was synced in it, until its folder is synced."""
    for with_entries, there in ((False, {True, False}), (True, {True})):
        found = set()
        for seed in range(40):
            disk = Disk(tmp_path, random.Random(seed))
            file = disk.opened("file")
            disk.changed("file", file, (0, b"x"))
            disk.synced("file", file, with_entries)
            disk.cut()
            found.add("file" in (disk.remains or {}))
        assert found == there


def test_a_synced_file_is_as_it_was_written() -> None:
    inode = Inode(bytearray(b"12345"))
    inode.since = [(3, b"xyz"), 4, (6, b"!")]
    inode.synced()
    assert (bytes(inode.platter), inode.since) == (b"123x\0\0!", [])
