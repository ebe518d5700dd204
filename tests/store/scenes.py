"""What can happen to a running server's storage and clock, played on a real one.

``python -m tests.store.scenes FOLDER`` in a mount namespace of its own (see ``play`` in ``test_server_faults``), so
that a small disk can be mounted that nobody else sees. With ``--kill`` a worker is killed in the middle of each scene.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.store.rescue import copies
from tests.store.theatre import Theatre, theatre

MIB = 1 << 20


# --- the scenes ------------------------------------------------------------------------------------------------------


def disk_fills_up(at: Theatre) -> None:
    """Below the low-water mark new work is refused; at the last byte the ballast lets what is under way go on."""
    filler = at.disk / "filler"
    with at.under_way():
        _fill(at.disk, filler, leave=30 * MIB)
        at.maybe_kill()
        at.refused("storage-full")
        at.not_ready("almost full")
    filler.unlink()
    at.sells_again()
    with at.under_way():
        _fill(at.disk, filler, leave=0)
        at.maybe_kill()
        at.refused("storage-full")
    filler.unlink()
    at.sells_again()
    at.ready()


def another_program_holds_the_lock(at: Theatre) -> None:
    """A tool that writes for longer than anybody waits: 503 with a time to come back, and then as before."""
    tool = sqlite3.connect(at.street.store, isolation_level=None)
    with at.under_way():
        tool.execute("BEGIN IMMEDIATE")
        at.maybe_kill()
        at.refused("storage-busy", 10)
        at.not_ready("cannot be written")
        tool.execute("ROLLBACK")
        tool.close()
    at.sells_again()
    at.ready()


def writes_fail(at: Theatre) -> None:
    """Every write beyond the first pages is refused by the system (a limit on the workers' files)."""
    with at.under_way():
        _limit(at, 8192)
        at.maybe_kill()
        if not at.kill:  # a new worker has no limit: it serves
            at.refused("storage-busy")
            at.not_ready("cannot be written")
        _limit(at, resource.RLIM_INFINITY)
    at.sells_again()
    at.ready()


def the_file_is_moved_away(at: Theatre) -> None:
    """Somebody renames the database under the running server, and puts it back."""
    elsewhere = at.disk / "elsewhere.db"
    with at.under_way():
        at.street.store.rename(elsewhere)
        at.refused("storage-busy")
        at.not_ready("removed or replaced")
        elsewhere.rename(at.street.store)
        at.maybe_kill()
    at.sells_again()
    at.ready()


def the_permission_is_lost(at: Theatre) -> None:
    """Somebody takes the write permission from the database and its folder: new work is refused by every worker.

    A worker that had the file open could go on, a new one could not: both say the same.
    """
    at.sell()
    files = [at.street.store.with_name(at.street.store.name + end) for end in ("", "-wal", "-shm")]
    _refuses_all_writes(at, lambda: _chmod(at.disk, files, 0o444, 0o555), lambda: _chmod(at.disk, files, 0o644, 0o755))


def the_files_take_no_writes(at: Theatre) -> None:
    """The system refuses every write, also into what is open: as when a disk with errors is made read-only.

    Needs real root and a file system with the attribute ``i``; see ``can_freeze``.
    """
    at.sell()
    files = [at.disk, at.street.store, at.street.store.with_name(at.street.store.name + "-wal")]
    _refuses_all_writes(at, lambda: _chattr("+i", files), lambda: _chattr("-i", files))


def _refuses_all_writes(at: Theatre, take: Callable[[], None], give_back: Callable[[], None]) -> None:
    before = at.street.workers_alive()
    with at.under_way():
        take()
        try:
            at.maybe_kill(everyone=True)
            at.refused("storage-busy", 15)
            at.not_ready("may not be written")
            at.reads_and_replays_go_on()
            at.doctor_tells("may not be written")
            assert at.kill or at.street.workers_alive() == before, "a worker died of it"
        finally:
            give_back()
    at.sells_again()
    at.ready()


def _chmod(folder: Path, files: list[Path], mode: int, folder_mode: int) -> None:
    for file in files:
        file.chmod(mode)
    folder.chmod(folder_mode)


def _chattr(change: str, files: list[Path]) -> None:
    subprocess.run(["chattr", change, *map(str, files)], check=True)


def can_freeze(folder: Path) -> bool:
    """Whether files of this folder can be made unwritable even for who has them open."""
    probe = folder / "probe"
    with probe.open("wb", buffering=0) as file:
        try:
            frozen = subprocess.run(["chattr", "+i", str(probe)], capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False
        try:
            file.write(b"x")
        except OSError:
            return frozen
        finally:
            if frozen:
                _chattr("-i", [probe])
    return False


def it_ends_without_its_files(at: Theatre) -> None:
    """Stopped after somebody deleted the WAL, and then the database: what was acknowledged is there at the next start.

    Where it is not in its place, the log and the exit status say so, and no empty database is begun in its stead.
    """
    store = at.street.store
    at.sell()
    at.maybe_kill()
    store.with_name(store.name + "-wal").unlink()
    status, log = at.end()
    assert status == 0 and "is in the database now" in log, (status, log)
    at.start()
    at.sells_again()
    for end in ("", "-wal", "-shm"):
        store.with_name(store.name + end).unlink()
    status, log = at.end()
    assert status == 1 and "all that was acknowledged is in" in log, (status, log)
    assert f"{store} is gone: rename" in at.refuses_to_start()
    [copy] = copies(store)
    copy.rename(store)
    at.start()
    at.sells_again()


def the_clock_is_turned(at: Theatre) -> None:
    """An hour forward, an hour back (that is two at once), and right again, with checkouts under way."""
    for wrong_by in (3600.0, -3600.0, 0.0):
        with at.under_way():
            (at.street.data / "clock").write_text(str(wrong_by))
            at.maybe_kill()
            time.sleep(0.2)
            at.sells_again()
        at.ready()


SCENES: dict[str, Callable[[Theatre], None]] = {
    "full": disk_fills_up,
    "locked": another_program_holds_the_lock,
    "broken": writes_fail,
    "moved": the_file_is_moved_away,
    "permission": the_permission_is_lost,
    "clock": the_clock_is_turned,
    "ended": it_ends_without_its_files,
}
#: Played on the disk as it is (``--plain``), by real root.
PLAIN: dict[str, Callable[[Theatre], None]] = {"frozen": the_files_take_no_writes}


def _fill(disk: Path, filler: Path, leave: int) -> None:
    """Take all room but so much; others may take some at the same time."""
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            state = os.statvfs(disk)
            over = state.f_bavail * state.f_frsize - leave
            if over <= 0 and leave:
                return
            file.write(bytes(min(max(over, 1), MIB)))


def _limit(at: Theatre, size: int) -> None:
    for worker in at.street.workers_alive():
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", default="")
    parser.add_argument("--plain", action="store_true", help="on the disk as it is, in no namespace")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--then-kill", default="", help="scenes to be played once more, with a kill")
    parser.add_argument("--times", type=int, default=1)
    asked = parser.parse_args()
    scenes = PLAIN if asked.plain else SCENES
    with theatre(asked.folder, asked.kill, asked.plain) as at:
        for name in (asked.scenes.split(",") if asked.scenes else list(scenes)) * asked.times:
            _play(at, name, scenes[name])
        at.kill = at.kill or bool(asked.then_kill)
        for name in filter(None, asked.then_kill.split(",")):
            _play(at, name, scenes[name])


def _play(at: Theatre, name: str, scene: Callable[[Theatre], None]) -> None:
    """One scene, what must hold after it, and a line that says so."""
    began = time.monotonic()
    scene(at)
    at.nothing_is_wrong()
    print(json.dumps({"scene": name, "kill": at.kill, "s": round(time.monotonic() - began, 1)}), flush=True)


if __name__ == "__main__":
    main()
