"""Every fault of every legacy system, each in its three ways, through a real server: the long form of
``tests/engine/test_faults.py``. One life is the whole set, about three hundred checkouts."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ["FAULTS_EVERYTHING"] = "1"

from gateway.demo.stage import SYSTEMS
from tests.engine.street import Street
from tests.engine.test_faults import every_cell
from tests.long import runs

#: The whole set comes to at least so many checkouts.
SET = 250


def life(seed: int, count: int) -> runs.Found:
    """The whole set, once."""
    folder = Path(tempfile.mkdtemp(prefix="systems-"))
    merchants = ("convenience", "ktv", "restaurant", "department")
    with Street(folder, names=tuple(SYSTEMS), merchants=merchants) as street:
        with street.opened() as database:
            database.tx(lambda tx: tx.execute("UPDATE house_stock SET on_hand = 10000000"))
        cells = every_cell(street)
        tasks = street.rows("SELECT kind, count(*) AS n FROM tasks GROUP BY kind")
    wrong = [f"{cell.system} {cell.fault} {cell.order_no}: {'; '.join(cell.wrong)}" for cell in cells if cell.wrong]
    figures = {
        "systems": dict(Counter(cell.system for cell in cells)),
        "http": {str(status): n for status, n in Counter(cell.status for cell in cells).items()},
        "tasks": {row["kind"]: row["n"] for row in tasks},
    }
    return runs.Found(len(cells), wrong, figures)


def main() -> int:
    args = runs.parser(__doc__, total=SET).parse_args()
    seconds = args.minutes * 60
    plan = runs.Plan(
        "faults-systems", "checkouts", args.total, args.total, args.jobs, seconds, args.seed, "make faults-systems"
    )
    return runs.run(plan, life)


if __name__ == "__main__":
    sys.exit(main())
