"""The engine's clock: one steady time for all processes of a machine, led to the right time without a jump.

Every wait of the engine ("not found" counts from then on, a lease is over, a payment is closed) is a difference of two
of its times. It therefore runs on the time since the machine was started, which nobody can turn, plus a distance that
lies in a small file in the data folder. Where the right time is told by somebody else (the machine's wall clock, or the
database server's where several machines share one), and how far ours is from it, is looked at every second:

- Less than 2 s apart: ours runs faster or slower by 1/20 until they agree.
- More: it is told (log, metric, ``/readyz``, ``gateway doctor``). While anything is under way in the journal ours is
  led there by 1/20 of the time that passes, which every wait has to spare; when nothing is, it is taken over whole.
- After a start of the machine ours begins at the right time, but never before the last time that was kept.

Within a machine all processes read the same file and so the same time; it never goes back while anything is under way.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client import Gauge

from gateway.engine.seams import Journal
from gateway.store.errors import StorageError
from gateway.store.port import Database, Tx

log = logging.getLogger("gateway.clock")

#: From how far apart on something is done, and from when on it is told (milliseconds).
BAND, FAR = 50, 2_000
#: Which part of the time that passes is gained or lost on the way to the right time.
PART = 20
#: How often the time is kept for the machine's next start, and the right time is asked for (milliseconds).
KEEP_EVERY, LOOK_EVERY, ASK_EVERY = 60_000, 1_000, 10_000
#: An answer about the time that took longer than this says nothing (milliseconds).
ASK_MOST = 1_000

APART = Gauge(
    "gateway_clock_apart_seconds",
    "How far the right time is ahead of the gateway's own",
    multiprocess_mode="mostrecent",
)

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SINCE_START = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: Whatever still waits for a time has a time to be looked at; what has ended and is not watched any more has none.
_UNDER_WAY = "SELECT id FROM sagas WHERE due_at IS NOT NULL LIMIT 1"
#: On PostgreSQL others write at the same time: this waits for them, and they for us. SQLite has one writer anyway.
_NOBODY_WRITES = "LOCK TABLE sagas IN SHARE MODE"
_DATABASE_SAYS = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now"


# --- the time as a line ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """Our time as a function of the time since the machine's start ``boot``; all times in milliseconds.

    At ``base`` it is ``time``. For ``span`` from there on it gains (``rate`` 1) or loses (-1) a twentieth.
    """

    boot: str
    base: int
    time: int
    rate: int = 0
    span: int = 0

    def at(self, up: int) -> int:
        """Our time so long after the machine's start."""
        passed = max(0, up - self.base)
        return self.time + passed + self.rate * (min(passed, self.span) // PART)

    def still_to_come(self, up: int) -> int:
        """What will yet be gained or lost."""
        passed = max(0, up - self.base)
        return self.rate * (self.span // PART - min(passed, self.span) // PART)


def begun(boot: str, up: int, right: int, kept: Line | None) -> Line:
    """The line after a start of the machine: the right time, never before the last time kept."""
    return Line(boot, up, max(right, kept.time if kept is not None else right))


def led(line: Line, up: int, right: int) -> Line:
    """The line led towards the right time by a twentieth; the same one if it is on its way there."""
    apart = right - line.at(up)
    if abs(apart - line.still_to_come(up)) < BAND and up - line.base < KEEP_EVERY:
        return line
    if abs(apart) < BAND:
        return Line(line.boot, up, line.at(up))
    return Line(line.boot, up, line.at(up), 1 if apart > 0 else -1, abs(apart) * PART)


# --- where it is kept ------------------------------------------------------------------------------------------------


class Kept:
    """The line in its file, for all processes of the machine."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def stamp(self) -> tuple[int, int]:
        """What changes with the file; zeros while there is none."""
        try:
            state = os.stat(self.file)  # noqa: PTH116 - asked for at every look at the clock: pathlib takes twice as long
        except OSError:
            return 0, 0
        return state.st_ino, state.st_mtime_ns

    def read(self) -> Line | None:
        """The line; ``None`` if there is no file, or one that is none of ours."""
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
            line = Line(str(found["boot"]), *(int(found[name]) for name in ("base", "time", "rate", "span")))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return line if line.rate in (-1, 0, 1) and line.span >= 0 and line.base >= 0 and line.time >= 0 else None

    def write(self, line: Line) -> None:
        """Whole or not at all. Raises ``OSError``."""
        temporary = self.file.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.file)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other process changes the line. Raises ``OSError``."""
        with self.file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


# --- what tells the time ---------------------------------------------------------------------------------------------


def up() -> int:
    """The time since the machine's start, also while it slept, in milliseconds."""
    return time.clock_gettime_ns(_SINCE_START) // 1_000_000


def wall() -> int:
    """The machine's wall clock in milliseconds since the epoch: it can be turned."""
    return time.time_ns() // 1_000_000


def boot() -> str:
    """What tells one start of the machine from another; nothing where the system does not say."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class DatabaseTime:
    """The database server's time: asked for now and then, counted on by the time since the machine's start."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._asked, self._ahead = -ASK_EVERY, 0
        self._known = False

    def __call__(self) -> int:
        """Milliseconds since the epoch; this machine's wall clock until the server has answered once."""
        if up() - self._asked >= ASK_EVERY:
            self._ask()
        return up() + self._ahead if self._known else wall()

    def _ask(self) -> None:
        began = self._asked = up()
        try:
            row = self._journal.read(lambda tx: tx.one(_DATABASE_SAYS))
        except StorageError:
            return
        ended = up()
        if row is not None and ended - began <= ASK_MOST:
            self._ahead, self._known = int(row["now"]) - (began + ended) // 2, True


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine says of the time: since its start, by the wall clock, which start it was; and the right time."""

    up: Callable[[], int] = up
    wall: Callable[[], int] = wall
    right: Callable[[], int] = wall
    boot: Callable[[], str] = boot


# --- the clock -------------------------------------------------------------------------------------------------------


class SteadyClock:
    """The engine's ``Clock``. Reads the file when it has changed; any process may lead it by ``look``."""

    def __init__(self, kept: Kept, journal: Journal | None = None, machine: Machine | None = None) -> None:
        """``journal`` tells whether anything is under way; without one nobody says that nothing is."""
        self._kept, self._journal, self._machine = kept, journal, machine or Machine()
        self._up = self._machine.up
        self._stamp, self._looked, self._told = (0, 0), -LOOK_EVERY, False
        self._looking = threading.Lock()
        self._line = self._begin()

    @classmethod
    def of(cls, folder: Path, database: Database) -> SteadyClock:
        """The clock of a gateway with this data folder; a database server tells the time of all its machines."""
        shared = database.dialect == "postgresql"
        machine = Machine(right=DatabaseTime(database)) if shared else Machine()
        return cls(Kept(folder / "clock.json"), database, machine)

    def now(self) -> int:
        """Milliseconds since the epoch."""
        if self._kept.stamp() != self._stamp:
            self._read()
        return self._line.at(self._up())

    def about(self) -> int:
        """The time without looking whether it has just been led elsewhere: for identifiers, which only sort by it."""
        return self._line.at(self._up())

    # --- the file ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Take over what another process has written; a file that is gone or spoilt is written again at a look."""
        stamp = self._kept.stamp()
        found = self._kept.read()
        if found is not None and found.boot == self._line.boot:
            self._line = found
        self._stamp = stamp

    def _begin(self) -> Line:
        try:
            with self._kept.alone():
                stamp, found = self._kept.stamp(), self._kept.read()
                if found is not None and found.boot == self._machine.boot() and found.base <= self._up():
                    self._stamp = stamp
                    return found
                line = begun(self._machine.boot(), self._up(), self._machine.right(), found)
                self._kept.write(line)
                self._stamp = self._kept.stamp()
                return line
        except OSError as error:
            log.warning("the clock's file cannot be written: processes may differ", extra={"error": error.strerror})
            return begun(self._machine.boot(), self._up(), self._machine.right(), self._kept.read())

    # --- leading it ----------------------------------------------------------------------------------------------

    def apart(self) -> int:
        """How far the right time is ahead of ours, in milliseconds."""
        return self._machine.right() - self.now()

    def look(self) -> None:
        """Compare with the right time and do what is to be done; at most once a second."""
        if not self._looking.acquire(blocking=False):
            return
        try:
            if self._up() - self._looked >= LOOK_EVERY:
                self._looked = self._up()
                self._look()
        finally:
            self._looking.release()

    def _look(self) -> None:
        apart = self.apart()
        self._tell(apart)
        APART.set(apart / 1000)
        if abs(apart) >= FAR and self._take_whole():
            log.warning("nothing is under way: the right time was taken over whole", extra={"ms": apart})
            return
        if led(self._line, self._up(), self._machine.right()) is self._line and self._stamp != (0, 0):
            return
        try:
            with self._kept.alone():
                self._read()
                self._put(led(self._line, self._up(), self._machine.right()))
        except OSError as error:
            log.warning("the clock's file cannot be written", extra={"error": error.strerror})

    def _put(self, line: Line) -> None:
        """Write first, then believe: no process may go by a line that the others don't have."""
        self._kept.write(line)
        self._line, self._stamp = line, self._kept.stamp()

    def _take_whole(self) -> bool:
        """Take the right time over if nothing is under way, while nobody can begin anything; whether it was done."""
        if self._journal is None:
            return False
        try:
            if self._journal.read(_busy):
                return False
            ahead = self._machine.right() - self._up()
            with self._kept.alone():
                return self._journal.tx(lambda tx: self._unit(tx, ahead))
        except (StorageError, OSError) as error:
            log.warning("whether anything is under way is not known", extra={"error": type(error).__name__})
            return False

    def _unit(self, tx: Tx, ahead: int) -> bool:
        # Who writes before this is seen by it; who writes after it has read the time before or after the change: its
        # calls are refused as too late in the one case, and all of its times are new ones in the other.
        if tx.dialect == "postgresql":
            tx.execute(_NOBODY_WRITES)
        if _busy(tx):
            return False
        at = self._up()
        self._put(Line(self._line.boot, at, at + ahead))
        return True

    # --- telling -------------------------------------------------------------------------------------------------

    def _tell(self, apart: int) -> None:
        far = abs(apart) >= FAR
        if far and not self._told:
            log.error(
                "the clock was turned: the gateway's own goes on", extra={"ms": apart, "right": self._machine.right()}
            )
        self._told = far

    def warnings(self) -> tuple[str, ...]:
        """What a person must know of the clocks: complete sentences, none if all is well."""
        found, apart, database = [], self.apart(), isinstance(self._machine.right, DatabaseTime)
        if abs(apart) >= FAR:
            whose = "database server's" if database else "machine's"
            found.append(
                f"the {whose} clock is {_spoken(apart)} of the gateway's own, which is led there by a twentieth of the"
                " time that passes, and at once when nothing is under way"
            )
        if database and abs(wrong := self._machine.wall() - self._machine.right()) >= FAR:
            found.append(f"this machine's clock is {_spoken(wrong)} of the database server's: see to its NTP")
        return tuple(found)


def _busy(tx: Tx) -> bool:
    return tx.one(_UNDER_WAY) is not None


def _spoken(apart: int) -> str:
    return f"{abs(apart) / 1000:.0f} s {'ahead' if apart > 0 else 'behind'}"


__all__ = ["APART", "FAR", "Kept", "Line", "Machine", "SteadyClock", "begun", "led", "wall"]
