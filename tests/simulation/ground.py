"""What the parts of a simulated world stand on: its clock and heap, its systems, its database, its chances."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gateway.engine.driver import Driver
from gateway.engine.model import Op
from gateway.engine.own import OWN, OwnLedger
from gateway.engine.seams import Effect, Outcome
from gateway.store.port import Row, Tx
from gateway.store.sqlite_tx import SqliteTx
from tests.simulation import far as fars
from tests.simulation.clocks import Clocks
from tests.simulation.plans import Planner, Shop
from tests.simulation.store import Memory
from tests.simulation.troubles import CALL, NEVER, SLOW, START, TIMING, Ids, Mix, Standing, draw_mix, draw_policy


class Ground:
    """One seed's world, before anything lives in it: the five seams of the engine, and its systems."""

    def __init__(
        self,
        seed: int,
        db: Memory,
        checkouts: int = 4,
        without: frozenset[str] = frozenset(),
        mix: Mix | None = None,
        *,
        more: bool = False,
    ) -> None:
        """``more``: with deposits, bills that several pay, accounts that are counted, codes that others use too, and in
        some worlds systems that take seconds."""
        self.rng = rng = random.Random(seed)
        self.more, self.plain = random.Random(f"{seed} more"), not more
        self.slow = random.Random(f"{seed} how slow")
        slow_here = more and SLOW not in without and self.slow.random() < 0.2
        self.slowness = self.slow.choice((0.05, 0.2, 0.6)) if slow_here else 0.0
        self.db, self.count = db, checkouts
        self.now_ms = START
        self.clocks = Clocks(lambda: self.now_ms, db)
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.ties = itertools.count()
        self.mix = draw_mix(rng, without) if mix is None else mix
        db.clear()
        db.rng, db.busy, db.unsure, db.after = rng, self.mix["busy"], self.mix["unsure"], self._committed
        self.faults = db.faults = Counter[str]()
        self.systems: dict[str, fars.FarSystem] = {}
        self.shop = self._build_shop()
        self.planner = Planner(self.shop, rng, self.more)
        if more:
            self._open_more()
        self.ids = Ids()
        self.driver = Driver(db, self, self, self.ids, TIMING)
        self.own = OwnLedger()
        self.active = 0
        self.crashes = 0
        self.touched: set[str] = set()
        #: The refunds of each checkout: a sale that is booked late wakes them.
        self.refunds: dict[str, set[str]] = {}
        self.locks_moved = False
        self.standing: dict[str, Standing] = {}
        #: Sales whose money came when their goods had begun to go: the watch's business, not theirs.
        self.late_money: set[str] = set()
        self.ops: dict[str, tuple[Row, Op]] = {}
        self.next_look = NEVER
        self.fences: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self.healed = self.ended = False
        self.numbers: dict[str, str] = {}

    def _build_shop(self) -> Shop:
        rng = self.rng

        def system(role: str, name: str, profiles: Sequence[fars.Profile], free: int = 10**9) -> str:
            profile = rng.choice(profiles)
            built = fars.FarSystem(name, profile, fars.hooks_of(role, profile), rng, free)
            built.decline, built.patience, built.watch = self.mix["decline"], self.mix["patience"], self._seen
            built.faults = self.faults
            built.refusing = self.mix["use_refused"] if rng.random() < 0.3 else 0.0
            self.systems[name] = built
            return name

        scarce = rng.choice((1, 2, 3, 100, 100, 100, 100))
        return Shop(
            payments=tuple(system("payment", f"pay{index}", fars.PAYING) for index in range(2)),
            stock=system("stock", "stock", fars.HOLDING, scarce),
            coupon=system("coupon", "coupon", fars.HOLDING, rng.choice((1, 2, 100, 100))),
            voucher=system(
                "voucher", "voucher", (fars.FULL, fars.ASKED, fars.REPEATED), rng.choice((1, 100, 100, 100))
            ),
            points=system("points", "points", fars.HOLDING, rng.choice((1, 100, 100, 100))),
            value=system("value", "value", fars.HOLDING, rng.choice((1, 100, 100, 100))),
            till=system("till", "till", fars.POSTING),
            coupon_codes=3,
            expires_s=rng.choice((60, 300, 900)),
            policy=draw_policy(rng),
            without=frozenset(part for part in ("stock", "coupon", "points", "earn") if rng.random() < 0.2),
            uses_most=rng.choice((0, 0, 1, 2, 100)),
        )

    def _open_more(self) -> None:
        """Deposits, split bills, codes that others use too: each in some worlds, as often as this world says."""
        more, shop = self.more, self.shop
        drawing = more.choice((0.0, 0.3, 0.7))
        self.shop = self.planner.shop = replace(
            shop,
            drawing=drawing,
            deposits=more.choice((1, 2)) if drawing else 0,
            splitting=more.choice((0.0, 0.0, 0.4, 0.9)),
            codes=more.choice(((), ("C0", "C1", "C2"))),
            coupon_redeems=more.random() < 0.5,
        )
        self._hold_money()
        self._count_balances()
        if self.shop.codes:
            self._count_codes()
        elif self.shop.coupon_redeems:
            self._equip(shop.coupon, "voucher", fars.FOREIGN)

    def _equip(self, name: str, role: str, profiles: Sequence[fars.Profile], **more: Any) -> fars.FarSystem:
        """Give a system another profile and role."""
        system = self.systems[name]
        system.profile = self.more.choice(profiles)
        system.hooks = fars.hooks_of(role, system.profile, **more)
        return system

    def _hold_money(self) -> None:
        """Some channels hold money without taking it; the till of some worlds takes note of deposits."""
        for name in self.shop.payments:
            if self.more.random() < 0.6:
                system = self.systems[name]
                system.hooks = fars.hooks_of("payment", system.profile, authorises=True)
                system.completes = self.more.random() < 0.3
                if system.has("payment_authorize"):
                    self.planner.authorising.add(name)
        if self.more.random() < 0.5:
            self._equip(self.shop.till, "deposits", (self.systems[self.shop.till].profile,))
            self.planner.notes_deposits = True

    def _count_balances(self) -> None:
        """Points and stored value come from accounts: what opens there is known, and counted in what is asked for."""
        for name, balances in ((self.shop.points, (15, 500)), (self.shop.value, (3_000, 30_000, 10**6))):
            system = self.systems[name]
            system.counts, system.free = True, self.more.choice(balances)
            system.opening = system.free

    def _count_codes(self) -> None:
        """Codes are counted one by one, and others use them too, in some systems in spite of a lock of ours."""
        codes = self.shop.codes
        self._equip(self.shop.coupon, "voucher" if self.shop.coupon_redeems else "coupon", fars.FOREIGN)
        self._equip(self.shop.voucher, "voucher", fars.FOREIGN)
        for name, known in ((self.shop.coupon, codes), (self.shop.voucher, ("V0", "V1", "V2"))):
            system = self.systems[name]
            system.uses = {code: self.more.choice((1, 1, 2)) for code in known}
            system.free, system.soft = 10**9, self.more.random() < 0.5

    def now(self) -> int:
        return self.clocks.clock.now()

    def far(self, merchant: str, connection: str) -> Any:
        return self.own if connection == OWN else self.systems[connection]

    def embedded(self, merchant: str, effect: Effect, tx: Tx) -> Any:
        self.locks_moved = True
        return self.own.change(effect, tx, self.now())

    def run(self, effects: Sequence[Effect]) -> list[Outcome]:
        raise NotImplementedError

    def at(self, delay: int, fn: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (self.now_ms + max(0, delay), next(self.ties), fn))

    def chance(self, trouble: str) -> bool:
        rate = self.mix[trouble]
        happens = not self.healed and rate > 0 and self.rng.random() < rate
        if happens:
            self.faults[trouble] += 1
        return happens

    def travel(self) -> int:
        """How long a message takes (milliseconds): less than half a second, or in some worlds up to a call's time."""
        swift = self.rng.randrange(5, 400)
        if self.healed or not self.slowness or self.slow.random() >= self.slowness:
            return swift
        self.faults[SLOW] += 1
        return self.slow.randrange(400, CALL)

    def _tx(self) -> Any:
        return SqliteTx(self.db.connection)

    def _committed(self) -> None:
        raise NotImplementedError

    def _seen(self, saga_id: str, what: str) -> None:
        raise NotImplementedError
