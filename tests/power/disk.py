"""A disk that forgets: what was written and not synced, of files and of directory entries, may be gone after a cut.

Below it lies a real folder, which shows what programs see while there is power. Beside it is kept what has reached the
platter for certain, and every change since. When the power is cut, each file draws from the seed which of its changes
have got there: none, all, some in order, some in any order, sectors of some, the last one torn in the middle; room that
was taken and not filled reads as nulls or as rubbish.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

SECTOR = 512
#: A write (offset, bytes), or a new length of the file.
Change = tuple[int, bytes] | int


class PowerOff(Exception):
    """There is no power: nothing works any more."""


@dataclass
class Inode:
    """A file: what is on the platter, and what was changed since it was last synced, in order."""

    platter: bytearray = field(default_factory=bytearray)
    since: list[Change] = field(default_factory=list)

    def synced(self) -> None:
        """All of it is on the platter now."""
        self.platter = _applied(self.platter, self.since, bytes)
        self.since = []


class Disk:
    """The files of one folder. Thread-safe.

    ``cut_at``: the power goes at this operation, counted from 1 (``None``: not by itself). ``lies``: a sync is
    acknowledged and not done, as cheap disks do. ``before`` is asked before each operation, by its kind and the file's
    name, and may raise.
    """

    def __init__(self, folder: Path, rng: random.Random, *, lies: bool = False) -> None:
        self.folder, self.rng, self.lies = folder, rng, lies
        self.cut_at: int | None = None
        self.done = 0
        self.before: Callable[[str, str], None] = lambda _kind, _name: None
        self.remains: dict[str, bytes] | None = None
        self._files = {path.name: Inode(bytearray(path.read_bytes())) for path in folder.iterdir() if path.is_file()}
        self._entries = dict(self._files)  # those that are on the platter
        self._entry_changes: list[tuple[str, Inode | None]] = []
        self._lock = threading.RLock()

    @property
    def off(self) -> bool:
        """Whether the power has been cut."""
        return self.remains is not None

    # --- what the file system is told --------------------------------------------------------------------------------

    def opened(self, name: str) -> Inode:
        """A file was opened, and made if it was not there."""
        with self._lock:
            self.before("open", name)
            if self.off:
                raise PowerOff
            found = self._files.get(name)
            if found is None:
                found = self._files[name] = Inode()
                self._entry_changes.append((name, found))
                self._count()
            return found

    def changed(self, name: str, inode: Inode, change: Change) -> None:
        """A file is written or cut to a length."""
        with self._lock:
            self.before("write" if isinstance(change, tuple) else "truncate", name)
            if not self.off:
                inode.since.append(change)
            self._count()

    def synced(self, name: str, inode: Inode, with_entries: bool) -> None:
        """A file is synced, and its folder with it if ``with_entries``."""
        with self._lock:
            self.before("sync", name)
            self._count()
            if self.lies:
                return
            inode.synced()
            if with_entries:
                self._entries_synced()

    def deleted(self, name: str, with_entries: bool) -> None:
        """A file is deleted, and its folder synced if ``with_entries``."""
        with self._lock:
            self.before("delete", name)
            if self._files.pop(name, None) is not None and not self.off:
                self._entry_changes.append((name, None))
            self._count()
            if with_entries and not self.lies:
                self._entries_synced()

    def _entries_synced(self) -> None:
        self._entries = _entries(self._entries, self._entry_changes)
        self._entry_changes = []

    def _count(self) -> None:
        if self.off:
            raise PowerOff
        self.done += 1
        if self.done == self.cut_at:
            self.cut()
            raise PowerOff

    # --- the cut -----------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Cut the power: what is left is in ``remains``, and everything else fails from now on."""
        with self._lock:
            if self.remains is None:
                entries = self._drawn_entries()
                self.remains = {name: _drawn(inode, self.rng) for name, inode in entries.items()}

    def kill(self) -> None:
        """Kill the program, not the power: all that was written is left, synced or not."""
        with self._lock:
            if self.remains is None:
                self.remains = {name: bytes(_applied(i.platter, i.since, bytes)) for name, i in self._files.items()}

    def _drawn_entries(self) -> dict[str, Inode]:
        keep = self.rng.randrange(len(self._entry_changes) + 1)  # a journalling file system keeps their order
        return _entries(self._entries, self._entry_changes[:keep])

    def restored(self, folder: Path) -> None:
        """Write what is left into another folder: the disk of the machine that is switched on again."""
        for name, content in (self.remains or {}).items():
            (folder / name).write_bytes(content)


def _entries(before: dict[str, Inode], changes: list[tuple[str, Inode | None]]) -> dict[str, Inode]:
    found: dict[str, Inode | None] = {**before}
    for name, inode in changes:
        found[name] = inode
    return {name: inode for name, inode in found.items() if inode is not None}


# --- what becomes of a file ------------------------------------------------------------------------------------------


def _drawn(inode: Inode, rng: random.Random) -> bytes:
    """One of the contents that the file may have after the cut."""
    if not inode.since:
        return bytes(inode.platter)
    fill: Callable[[int], bytes] = rng.choice((bytes, rng.randbytes))
    chosen = rng.choice(_WAYS)(inode.since, rng)
    content = _applied(inode.platter, chosen, fill)
    full = max([len(content), *(_end(change) for change in inode.since)])
    if full > len(content) and rng.random() < 0.5:  # its length has got there, its content has not
        content += fill(rng.randrange(full - len(content) + 1))
    return bytes(content)


def _end(change: Change) -> int:
    return change[0] + len(change[1]) if isinstance(change, tuple) else 0


def _applied(platter: bytearray, changes: list[Change], fill: Callable[[int], bytes]) -> bytearray:
    content = bytearray(platter)
    for change in changes:
        if isinstance(change, int):
            del content[change:]
            content += fill(max(0, change - len(content)))
            continue
        offset, data = change
        if offset > len(content):
            content += fill(offset - len(content))
        content[offset : offset + len(data)] = data
    return content


def _none(changes: list[Change], rng: random.Random) -> list[Change]:
    return []


def _all(changes: list[Change], rng: random.Random) -> list[Change]:
    return changes


def _first(changes: list[Change], rng: random.Random) -> list[Change]:
    """Those up to some moment, the last one torn in the middle."""
    keep = rng.randrange(len(changes))
    last = changes[keep]
    torn = [(last[0], last[1][: rng.randrange(len(last[1]) + 1)])] if isinstance(last, tuple) else []
    return [*changes[:keep], *torn]


def _reordered(changes: list[Change], rng: random.Random) -> list[Change]:
    """Any of them: a later one may have got there before an earlier one."""
    share = rng.choice((0.1, 0.5, 0.9))
    return [change for change in changes if rng.random() < share]


def _torn(changes: list[Change], rng: random.Random) -> list[Change]:
    """Any sectors of any of them, some torn in the middle."""
    share, found = rng.choice((0.2, 0.5, 0.9)), list[Change]()
    for change in changes:
        pieces: list[Change] = [change] if isinstance(change, int) else list(_sectors(*change))
        for piece in pieces:
            if rng.random() >= share:
                continue
            torn = isinstance(piece, tuple) and rng.random() < 0.05
            found.append((piece[0], piece[1][: rng.randrange(len(piece[1]))]) if torn else piece)  # type: ignore[index]
    return found


def _sectors(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    cuts = [0, *range(SECTOR - offset % SECTOR, len(data), SECTOR), len(data)]
    return [(offset + start, data[start:end]) for start, end in pairwise(cuts)]


_WAYS = (_none, _all, _first, _reordered, _torn)
