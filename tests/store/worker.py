"""Processes of their own for the tests of the store: ``python -m tests.store.worker HOW_MANY COMMAND URL …``.

They are forked before anything is opened, so that what they share is loaded once; ``{n}`` in a word becomes the number.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gateway.store.errors import StorageError, StorageFull, StorageReadOnly
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, Tx
from tests.store.shop import open_shop, sell

SLOW = [
    Migration(f"step {n}", f"CREATE TABLE t{n} (x INTEGER NOT NULL) STRICT; INSERT INTO t{n} VALUES ({n});")
    for n in range(20)
]


def say(*words: object) -> None:
    """One line to the test that listens, in one write: threads and a kill must not tear it."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def buy(database: Database, sku: str, buyer: str) -> None:
    """Buy from four threads until it is sold out; say how many were had."""
    had: list[bool] = []

    def work(thread: int) -> None:
        turn = 0
        while database.tx(sell(sku, f"{buyer}-{thread}-{turn}")):
            had.append(True)
            turn += 1

    _threads(4, work)
    say(len(had))


def append(database: Database, name: str) -> None:
    """Sell apples from four threads for ever; say each buyer as soon as the sale is durable."""

    def work(thread: int) -> None:
        turn = 0
        while True:
            buyer = f"{name}-{thread}-{turn}"
            say(buyer) if database.tx(sell("apple", buyer)) else time.sleep(0.01)
            turn += 1

    _threads(4, work)


def hammer(database: Database, seconds: str) -> None:
    """Write from four threads for so long; say how many writes and the longest wait in milliseconds."""
    waits: list[float] = []
    until = time.monotonic() + float(seconds)

    def work(_: int) -> None:
        while (started := time.monotonic()) < until:
            database.tx(lambda tx: tx.execute("UPDATE stock SET free = free + 1 WHERE sku = 'apple'"))
            waits.append(time.monotonic() - started)

    _threads(4, work)
    say(len(waits), int(max(waits) * 1000))


def upgrade(database: Database) -> None:
    """Run the migrations; say which ones this process has run."""
    say(len(migrate(database, SLOW)))


def fill(database: Database, filler: str) -> None:
    """Write until the ballast is thrown off, then until the disk is full, then make room and go on; say each stage."""
    with open(filler, "wb") as file:  # noqa: PTH123
        file.write(bytes(4_000_000))
    database.tx(lambda tx: tx.execute("CREATE TABLE pile (n INTEGER NOT NULL, x BLOB) STRICT"))
    say("begin: ballast", database.health().ballast)
    stand = 0
    while database.health().ballast:
        stand += database.tx(_put(stand))
    say("thrown: low", database.storage_low())
    try:
        while True:
            stand += database.tx(_put(stand))
    except StorageFull as error:
        say("full:", type(error).__name__)
    found = database.read(lambda tx: tx.one("SELECT count(*) AS n FROM pile"))
    assert found is not None
    say("lost", stand - found["n"], "ok", database.health().ok, "low", database.storage_low())
    os.unlink(filler)  # noqa: PTH108
    say("goes on", database.tx(_put(stand)))


def small_files(database: Database, limit: str) -> None:
    """Hit the limit of a file's size in the middle of writing; lift it; go on."""
    database.tx(lambda tx: tx.execute("CREATE TABLE pile (n INTEGER NOT NULL, x BLOB) STRICT"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    stand: list[int] = []
    failed: list[StorageError] = []

    def work(thread: int) -> None:
        for turn in range(thread * 1000, thread * 1000 + 50):
            try:
                database.tx(_put(turn))
                stand.append(turn)
            except StorageError as error:
                failed.append(error)

    _threads(4, work)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    database.tx(_put(-1))
    rows = database.read(lambda tx: tx.all("SELECT n FROM pile"))
    lost = set(stand) - {row["n"] for row in rows}
    say("failed", bool(failed), "lost", len(lost), "twice", len(rows) - len({row["n"] for row in rows}))


def _put(number: int) -> Callable[[Tx], int]:
    return lambda tx: tx.execute("INSERT INTO pile VALUES (:n, :x)", {"n": number, "x": bytes(20_000)})


def read_only(database: Database, uid: str) -> None:
    """Without the right to write: say what a unit is told, and what health is."""
    if os.geteuid() == 0:
        os.setgid(int(uid))
        os.setuid(int(uid))
    try:
        database.tx(sell("apple", "ann"))
    except StorageReadOnly as error:
        say(type(error).__name__)
    say("ok", database.health().ok)


def heals(database: Database, uid: str, folder: str) -> None:
    """Open while nothing may be written, read at all times; say whether a write is refused, and then with the right."""
    if os.geteuid() == 0:
        os.setgid(int(uid))
        os.setuid(int(uid))
    stopping = threading.Event()

    def read() -> None:
        while not stopping.is_set():
            database.read(lambda tx: (tx.all("SELECT * FROM stock"), time.sleep(0.02)))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    refused = sum(_is_refused(database) for _ in range(40))
    Path(folder).chmod(0o755)
    for file in Path(folder).glob("gateway.db*"):
        file.chmod(0o644)
    say("refused", refused, "then", _is_refused(database))
    stopping.set()
    for reader in readers:
        reader.join()


def _is_refused(database: Database) -> bool:
    try:
        database.tx(lambda tx: tx.execute("UPDATE stock SET free = free - 1"))
    except StorageReadOnly:
        return True
    return False


def _threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


_COMMANDS: dict[str, Callable[..., None]] = {
    "buy": buy,
    "append": append,
    "hammer": hammer,
    "upgrade": upgrade,
    "fill": fill,
    "small_files": small_files,
    "read_only": read_only,
    "heals": heals,
}
_SETTINGS = {"fill": {"low_water_bytes": 1_000_000, "ballast_bytes": 4_000_000}}


def _run(name: str, url: str, *rest: str) -> None:
    _COMMANDS[name](open_shop(url, **_SETTINGS.get(name, {})), *rest)


def _fork(count: int, words: list[str]) -> int:
    """Run the command in so many processes; 0 if all ended well."""
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            _run(*(word.replace("{n}", str(number)) for word in words))
            sys.exit(0)
        children.append(child)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)


if __name__ == "__main__":
    how_many, *words = sys.argv[1:]
    if how_many == "1":
        _run(*words)
    else:
        sys.exit(_fork(int(how_many), words))
