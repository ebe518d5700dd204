"""Every fault on every leg under every profile, and two faults at a time, over real sockets, a real database and real
time, scaled down.

The checkout, the profiles, the faults and the table of what must come of each cell are those of the matrix in virtual
time (``tests/matrix``); here the far systems are a server on plain HTTP, a refused connection is refused, a timeout is
waited for, half a body is half a body, and the gateway's own adapters, guard, caller, worker and recovery carry it all.

A life is a town of merchants, one a cell, side by side. A cell that ends otherwise than the table says is done again
with times twice and four times as long, for a machine that is busy with others; it is wrong if it differs every time.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.engine import invariants
from gateway.engine.caller import RuntimeCaller
from gateway.engine.model import Timing, scaled
from gateway.engine.seams import Secrets, SystemClock, TimeOrderedIds
from gateway.engine.service import Asked, Engine
from gateway.engine.worker import Recovery
from gateway.runtime import Runtime, discover, load_config, migrations
from gateway.runtime.discovery import DISTRIBUTION, Found
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, Tx, open_database
from gateway.store.schema import MIGRATIONS
from tests.long import runs
from tests.long.wire import FarWorld, merchant_file, plugin
from tests.matrix.cells import ROLES, Cell, End, Fixed, cells, pairs
from tests.matrix.faults import Fault
from tests.matrix.rules import BOOKS, Trace, expected, trace

#: Real time for virtual time; cells in one life; the seconds after which a life is judged however it stands.
SCALE, PORTION, PATIENCE_S = 0.2, 45, 20.0
#: Times of the tries of a cell that does not end as it must.
SLOWER = (1, 2, 4)
#: Checkouts begin so long after one another, in virtual seconds.
APART_S = 0.15
RECOVERIES = 4


def timing(scale: float) -> Timing:
    """The engine's own times, scaled; a closed payment is watched for less long."""
    return replace(scaled(replace(Timing(), watch=120_000), scale), inline=int(60_000 * scale), recovery_every=50)


@dataclass
class Shop:
    """One merchant: the cells that are put upon it, and its checkout."""

    name: str
    cells: tuple[Cell, ...]
    saga_id: str = ""


@dataclass
class Town:
    """A gateway in this process with its recovery, and the far systems of its merchants on real sockets."""

    folder: Path
    shops: list[Shop]
    scale: float = SCALE
    far: FarWorld = field(default_factory=FarWorld)
    recoveries: list[Recovery] = field(default_factory=list)

    def __enter__(self) -> Town:
        self.far.scale = self.scale
        (self.folder / "merchants").mkdir()
        for shop in self.shops:
            self._add(shop)
        config_file = self.folder / "gateway.toml"
        config_file.write_text('data = "data"\nmerchants = ["merchants/*.toml"]\n', encoding="utf-8")
        module = plugin()
        sys.modules[module.__name__] = module
        discovery = discover(entry_points=[Found("wire", module.__name__, DISTRIBUTION)])
        config = load_config(config_file, discovery)
        self.database: Database = open_database(f"sqlite:///{self.folder / 'gateway.db'}")
        migrate(self.database, [Migration(*pair) for pair in (*MIGRATIONS, *migrations(discovery))])
        self.runtime, clock = Runtime(config, discovery, self.database), SystemClock()
        caller = RuntimeCaller(self.runtime, clock, threads=4 * len(self.shops))
        self.engine = Engine(self.runtime, self.database, caller, clock, TimeOrderedIds(), timing(self.scale))
        for _ in range(RECOVERIES):
            self.recoveries.append(Recovery(self.engine.worker, 50, self.engine.finish))
            self.recoveries[-1].start()
        return self

    def _add(self, shop: Shop) -> None:
        """A merchant whose systems are full but for those that a fault hits."""
        weak = {cell.place.system: cell.profile for cell in shop.cells}
        refused = {}
        for role, system in ROLES.items():
            self.far.add(shop.name, role, weak.get(system, "full"))
        for cell in shop.cells:
            if cell.fault is Fault.REFUSED:
                refused[cell.place.system] = (cell.place.hook, self.far.refuse(shop.name, cell.place.hook))
            else:
                self.far.faults[shop.name, cell.place.hook] = cell.fault
        text = merchant_file(shop.name, self.far.port, weak, refused)
        (self.folder / "merchants" / f"{shop.name}.toml").write_text(text, encoding="utf-8")

    def __exit__(self, *_: object) -> None:
        for recovery in self.recoveries:
            recovery.stop()
        self.engine.caller.close()  # type: ignore[attr-defined]
        self.runtime.close()
        self.database.close()
        self.far.stop()

    # --- the checkouts -----------------------------------------------------------------------------------------------

    def sell(self) -> None:
        """One checkout a merchant, all at once, and the doors that were shut are opened when somebody has knocked."""
        threads = [threading.Thread(target=self._sell, args=(shop,), daemon=True) for shop in self.shops]
        threading.Thread(target=self._open_doors, daemon=True).start()
        for thread in threads:
            thread.start()
            time.sleep(APART_S * self.scale)

    def _sell(self, shop: Shop) -> None:
        plan = Fixed(None, random.Random(0))  # type: ignore[arg-type]
        saga = plan.checkout(f"N-{shop.name}", f"chk_{self.engine.ids.new()}", self.engine.clock.now())
        saga.merchant, shop.saga_id = shop.name, saga.id
        try:
            self.engine.start(Asked(shop.name, f"k-{shop.name}", "f"), saga, Secrets())
        except Exception as error:  # a refusal is an answer; how it stands is judged from the journal
            if type(error).__name__ != "Problem":
                self.far.wrong.append(f"{shop.name}: {type(error).__name__}: {error}")

    def _open_doors(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        sql = "SELECT s.merchant, o.hook FROM ops o JOIN sagas s ON s.id = o.saga_id WHERE o.state = 'not_sent'"
        while self.far.closed and time.monotonic() < deadline:
            for row in self.database.read(lambda tx: tx.all(sql)):
                if (row["merchant"], row["hook"]) in self.far.closed:
                    self.far.open(row["merchant"], row["hook"])
            time.sleep(0.005)

    def end(self, shop: Shop) -> End:
        """How this merchant's checkout stands, and what the far systems have."""
        found = self.database.read(partial(_record, shop.saga_id))
        if found is None:
            return End("refused", frozenset(), self.far.books(shop.name))
        tasks = (f"{task['leg']}: {task['kind']}" for task in found.tasks if task["status"] == "open")
        return End(found.saga.state.value, frozenset(tasks), self.far.books(shop.name))

    def wrong(self, shop: Shop) -> str:
        """What is otherwise than the table says, or nothing."""
        end = self.end(shop)
        if len(shop.cells) == 1:
            wanted = expected(shop.cells[0])
            text = "" if end == wanted else f"{shop.cells[0]}: wanted {wanted}, found {end}"
        else:
            text = together(shop.cells[0], shop.cells[1], end)
        return text or "; ".join(self.database.read(partial(_violations, shop.saga_id)))

    def judged(self) -> dict[str, str]:
        """Wait until every cell has ended as it must, and nothing late can come any more; what is wrong by merchant."""
        began, late = time.monotonic(), 45.0 * self.scale
        while True:
            wrong = {shop.name: text for shop in self.shops if (text := self.wrong(shop))}
            waited = time.monotonic() - began
            if (not wrong and waited > late) or waited > late + PATIENCE_S * self.scale / SCALE:
                return wrong
            time.sleep(0.2)


def _record(saga_id: str, tx: Tx) -> invariants.Record | None:
    return invariants.record(tx, saga_id)


def _violations(saga_id: str, tx: Tx) -> list[str]:
    found = invariants.record(tx, saga_id)
    return invariants.violations(found) if found is not None else []


def together(one: Cell, two: Cell, end: End) -> str:
    """What two faults break together, or nothing: harmless ones stay harmless, what failed holds nothing, what is
    completed is whole, and what does not end is a person's case."""
    ends, doubled = [expected(one), expected(two)], Trace.TWICE in (trace(one), trace(two))
    tasks: frozenset[str] = frozenset().union(*(each.tasks for each in ends))
    name = f"{one} and {two}"
    if all(each.state == "completed" for each in ends) and (end.state, end.tasks) != ("completed", tasks):
        return f"{name}: each alone is harmless, together {end}"
    if end.state == "failed" and any(end.books.values()) and not doubled:
        return f"{name}: failed, and {end.books} stands"
    if end.state == "completed" and not end.tasks and not doubled and end.books != BOOKS["completed"]:
        return f"{name}: completed, and {end.books} stands"
    if end.state not in ("completed", "failed") and not end.tasks:
        return f"{name}: {end.state} without a task"
    return ""


# --- the run ---------------------------------------------------------------------------------------------------------


def run_cells(chosen: Sequence[tuple[Cell, ...]], scale: float = SCALE) -> tuple[list[str], int]:
    """Live these, one merchant each; what is wrong after every try, and how many were tried again."""
    shops, tried, texts = [Shop(f"c{number}", each) for number, each in enumerate(chosen)], 0, dict[str, str]()
    for factor in SLOWER:
        wrong = once(shops, scale * factor)
        shops, texts = [shop for shop, _ in wrong], {shop.name: text for shop, text in wrong}
        if not shops:
            break
        tried = tried or len(shops)
    return list(texts.values()), tried


def once(shops: list[Shop], scale: float) -> list[tuple[Shop, str]]:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        with Town(folder, shops, scale) as town:
            town.sell()
            wrong = town.judged()
            for text in town.far.wrong:
                wrong.setdefault(text.partition(" ")[0].rstrip(":"), text)
            return [(shop, wrong[shop.name]) for shop in shops if shop.name in wrong]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


#: Cells and pairs in the order in which they are done: the evidence's seeds are lives, in portions of this order.
def order() -> list[tuple[Cell, ...]]:
    """All 540 cells, then the pairs in an order that mixes them, so that a part of them is a fair part."""
    paired: list[tuple[Cell, ...]] = list(pairs())
    random.Random(1).shuffle(paired)
    return [*((cell,) for cell in cells()), *paired]


def life(seed: int, count: int) -> runs.Found:
    """One portion of the order; ``seed`` 1 is the first."""
    began = (seed - 1) * PORTION
    chosen = list(islice(order(), began, began + count))
    wrong, again = run_cells(chosen)
    figures: dict[str, Any] = {"single": sum(len(each) == 1 for each in chosen), "tried_again": again}
    figures["pairs"] = len(chosen) - figures["single"]
    return runs.Found(len(chosen), wrong, figures)


def main() -> int:
    asked = runs.parser(__doc__, total=540 + 3600)
    args = asked.parse_args()
    total = f"make faults N={args.total}"
    plan = runs.Plan("faults", "cells", args.total, PORTION, args.jobs, args.minutes * 60, args.seed, total)
    return runs.run(plan, life)


if __name__ == "__main__":
    sys.exit(main())
