"""File drops on shares that several machines see: poll, claim, trust only what is whole, archive, acknowledge.

    drops = DropFolder(settings["folder"], spool=context.spool)
    for found in drops.poll("JS*.DAT", complete=lambda data: data.endswith(TRAILER)):
        book(found.data)          # idempotent by found.name: after a crash the file comes once more
        found.done(ack=".OK")

A network share tells nobody of a new file, so it is looked for. A file is taken when its trailer is there, or, where it
has none, when two looks apart saw the same size and time. It is claimed by a rename, which one of two readers wins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.errors import Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.transports import wire
from gateway.sdk.transports.files import claim, read_whole, sync_folder, write_atomically

MOST_BYTES = 64 << 20
_UNFINISHED = (".tmp", ".part", ".writing")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A file that is ours alone: its name, its bytes, and where it lies now."""

    name: str
    data: bytes
    path: Path
    inbox: Path
    archive: Path

    def done(self, *, ack: str = "") -> Path:
        """Move it to the archive, under a name of its own; then, with ``ack``, lay an empty ``NAME.ack`` in the inbox.

        Raises ``OSError``: it is then found again by the next poll.
        """
        return self._leave(self.archive, ack, b"")

    def reject(self, reason: str, *, ack: str = "") -> Path:
        """Move it aside, to ``rejected`` in the archive, with the reason beside it; ``ack`` as in :meth:`done`."""
        target = self._leave(self.archive / "rejected", ack, reason.encode())
        write_atomically(target.with_name(f"{target.name}.reason"), reason.encode())
        return target

    def _leave(self, folder: Path, ack: str, text: bytes) -> Path:
        if ack:
            write_atomically(self.inbox / f"{Path(self.name).stem}{ack}", text)
        folder.mkdir(parents=True, exist_ok=True)
        target = _free_name(folder, self.name)
        self.path.replace(target)
        sync_folder(folder)
        return target


class DropFolder:
    """One inbox. What is claimed lies in ``spool/claimed``, what is done in ``spool/archive``.

    ``settle_s``: how long a file without a trailer must have been left alone, by our own clock, since a share's clock
    is another machine's. The spool must be on the inbox's file system for the claim to be a rename; if it is not,
    ``claimed`` is a folder of the inbox.
    """

    def __init__(self, inbox: Path, spool: Path, *, settle_s: float = 10.0) -> None:
        self._inbox, self._settle_s = inbox, settle_s
        same = inbox.is_dir() and spool.is_dir() and inbox.stat().st_dev == spool.stat().st_dev
        base = spool if same else inbox / ".o2o"
        self._claimed, self._archive = base / "claimed", base / "archive"
        self._seen: dict[str, tuple[int, int, float]] = {}

    def poll(
        self, pattern: str, complete: Callable[[bytes], bool] | None = None, *, limit: int = 100
    ) -> Iterator[Claimed]:
        """The whole files of a pattern, by name; first those that an earlier run claimed and did not end.

        ``complete`` says of a file's bytes whether its trailer is there. Raises ``Misconfigured`` if the folder is not
        there (a share that is not mounted looks so), ``NotSent`` if it can't be read.
        """
        try:
            yield from self._poll(pattern, complete, limit)
        except OSError as error:
            raise NotSent(f"the folder {self._inbox} cannot be read: {error.strerror or error}") from None

    def _poll(self, pattern: str, complete: Callable[[bytes], bool] | None, limit: int) -> Iterator[Claimed]:
        if not self._inbox.is_dir():
            raise Misconfigured(f"{self._inbox} is not a folder; is the share mounted?")
        left = [path for path in _files(self._claimed, pattern) if path.is_file()]
        new = (path for path in _files(self._inbox, pattern) if self._is_whole(path, complete))
        for path in [*left, *new][:limit]:
            mine = path if path.parent == self._claimed else claim(path, self._claimed)
            if mine is None:
                continue
            data = mine.read_bytes()
            if complete is not None and not complete(data):
                mine.replace(self._inbox / mine.name)  # its writer had it open still, and began anew
                continue
            wire.record(wire.RECEIVED, data, f"file {mine.name}")
            yield Claimed(mine.name, data, mine, self._inbox, self._archive)

    def _is_whole(self, path: Path, complete: Callable[[bytes], bool] | None) -> bool:
        try:
            if complete is not None:
                return read_whole(path, complete, MOST_BYTES) is not None
            state = path.stat()
        except FileNotFoundError:
            return False  # another reader was faster
        size, changed, since = self._seen.get(path.name, (-1, -1, 0.0))
        if (state.st_size, state.st_mtime_ns) != (size, changed):
            self._seen[path.name] = (state.st_size, state.st_mtime_ns, time.monotonic())
            return False
        if state.st_size > MOST_BYTES or time.monotonic() - since < self._settle_s:
            return False
        del self._seen[path.name]
        return True


def _files(folder: Path, pattern: str) -> list[Path]:
    found = folder.glob(pattern) if folder.is_dir() else ()
    return sorted(path for path in found if not path.name.startswith(".") and path.suffix.lower() not in _UNFINISHED)


def _free_name(folder: Path, name: str) -> Path:
    """A name that is not taken: the file of the same day next year must not replace this one."""
    target, number = folder / name, 1
    while target.exists():
        target, number = folder / f"{name}.{number}", number + 1
    return target


def drop(path: Path, data: bytes) -> None:
    """Lay a file into a folder, whole or not at all; the same bytes lying there already are as good.

    Idempotent by name. Raises ``Misconfigured`` if the folder is not there, ``NotSent`` if nothing was laid there or
    other bytes lie under this name, ``OutcomeUnknown`` if it may lie there.
    """
    if not path.parent.is_dir():
        raise Misconfigured(f"{path.parent} is not a folder; is the share mounted?")
    try:
        if path.exists():
            if path.read_bytes() == data:
                return
            raise NotSent(f"{path.name} lies there already, with other content")
        wire.left()
        write_atomically(path, data)
    except OSError as error:
        kind = OutcomeUnknown if path.exists() else NotSent
        raise kind(f"{path.name} cannot be laid into its folder: {error.strerror or error}") from None
