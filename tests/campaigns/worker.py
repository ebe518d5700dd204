"""A process that uses one campaign as often as it can: ``python -m tests.campaigns.worker URL NAME LIMITS TIMES``."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from gateway.store import uses
from gateway.store.port import Database, open_database


def use_of(saga_id: str, member: str, amount: int) -> dict[str, Any]:
    """One checkout's use of the campaign ``first``."""
    return {
        "merchant": "m1",
        "campaign": "first",
        "saga_id": saga_id,
        "version": "1",
        "member": member,
        "business_date": "2026-03-08",
        "times": 1,
        "amount": amount,
    }


def try_it(database: Database, saga_id: str, member: str, limits: dict[str, Any]) -> bool:
    """Hold one use; whether it was won."""
    try:
        database.tx(lambda tx: uses.hold(tx, use_of(saga_id, member, 300), limits, 1))
    except uses.Overrun:
        return False
    return True


def main(url: str, name: str, limits: dict[str, Any], times: int) -> None:
    database = open_database(url)
    won: list[bool] = []

    def work(thread: int) -> None:
        won.extend(try_it(database, f"{name}-{thread}-{turn}", f"mem{turn % 2}", limits) for turn in range(times))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    print(sum(won), len(won))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]))
