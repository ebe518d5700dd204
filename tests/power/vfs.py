"""SQLite's files on a :class:`~tests.power.disk.Disk`: a layer of apsw between SQLite and the operating system.

Locks and the shared memory of the WAL go straight to the system. A folder is synced where SQLite's own layer for Unix
does it: at the first sync of a journal or WAL that was opened to be made, and at a deletion that asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw

from tests.power.disk import Disk, Inode, PowerOff

_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
_NOTED = _JOURNALS | apsw.SQLITE_OPEN_MAIN_DB


class DiskVFS(apsw.VFS):
    """The layer under the name ``name``; ``unregister`` it when no connection is left."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.name, self.disk = name, disk
        super().__init__(name, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if name is None or not flags[0] & _NOTED:
            return apsw.VFSFile("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        if not flags[0] & apsw.SQLITE_OPEN_CREATE and not Path(path).exists():
            return apsw.VFSFile("unix", name, flags)  # which says that it is not there
        try:
            inode = self.disk.opened(Path(path).name)
        except PowerOff:
            raise apsw.CantOpenError("no power") from None
        return _File(name, flags, self.disk, Path(path).name, inode)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        _powered(self.disk.deleted, Path(filename).name, bool(syncdir))
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    """A database, a journal or a WAL."""

    def __init__(self, name: Any, flags: list[int], disk: Disk, short: str, inode: Inode) -> None:
        super().__init__("unix", name, flags)
        self._disk, self._name, self._inode = disk, short, inode
        self._new_entry = bool(flags[0] & _JOURNALS and flags[0] & apsw.SQLITE_OPEN_CREATE)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.before("read", self._name)
        return super().xRead(amount, offset)

    def xLock(self, level: int) -> None:
        self._disk.before("lock", self._name)
        if self._disk.off:  # nobody waits for a lock whose holder is without power
            raise apsw.IOError("no power")
        super().xLock(level)

    def xWrite(self, data: Any, offset: int) -> None:
        _powered(self._disk.changed, self._name, self._inode, (offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        _powered(self._disk.changed, self._name, self._inode, size)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        _powered(self._disk.synced, self._name, self._inode, self._new_entry)
        self._new_entry = False


def _powered(operation: Any, *values: Any) -> None:
    try:
        operation(*values)
    except PowerOff:
        raise apsw.IOError("no power") from None
