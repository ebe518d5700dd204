"""One simulated world: virtual time, a few checkouts, far systems with their own truth, workers that die and stall.

The engine's own driver and decision run on its own SQL; only clock, ids, the calls and the waiting are ours. A seed
says everything that happens. After a while everything is healed, and then all must come to an end.
"""

from __future__ import annotations

import heapq

from tests.simulation.clocks import TURNS
from tests.simulation.platform import Platform
from tests.simulation.troubles import (
    CALL,
    END_WITHIN,
    HEAL_AFTER,
    IN_FLIGHT,
    LOOKS,
    NEVER,
    START,
    TROUBLES,
    Mix,
    Violation,
)
from tests.simulation.watching import Watch


class World(Platform, Watch):
    """One seed's world, and its life."""

    def live(self) -> None:
        """From the first request to the end of all. Raises ``Violation``."""
        for index in range(self.count):
            number = f"N{index}"
            self.at(self.rng.randrange(0, 20_000), lambda n=number: self.submit(n))  # type: ignore[misc]
            if self.mix["cancel"]:
                for _ in range(3):
                    at = self.rng.randrange(0, 90_000)
                    self.at(at, lambda n=number: self._maybe_cancel(n))  # type: ignore[misc]
            for moment in (25_000, 60_000, 100_000):
                at = self.rng.randrange(moment, moment * 2)
                self.at(at, lambda n=number: self.add_tender(n))  # type: ignore[misc]
            if self.rng.random() < 0.4:
                for _ in range(self.rng.choice((1, 2))):
                    self.at(self.rng.randrange(30_000, 140_000), lambda n=number: self.refund(n))  # type: ignore[misc]
        self._more_happens()
        for process in range(2):
            self.at(500 * process, self._tick)
        if self.mix["jump"]:
            for _ in range(self.rng.choice((1, 2, 4))):
                self.at(self.rng.randrange(0, HEAL_AFTER), self._jump)
        self.at(HEAL_AFTER, self._heal)
        self.run_out()

    def _more_happens(self) -> None:
        """Deposits are left and asked back, payers press at the same moment, others use the codes that we know."""
        more = self.more
        for index in range(self.shop.deposits):
            number = f"D{index}"
            self.at(more.randrange(0, 4_000), lambda n=number: self.pay_deposit(n))  # type: ignore[misc]
            for moment in (15_000, 60_000, 160_000):
                at = more.randrange(moment, moment * 2)
                self.at(at, lambda n=number: self.release_deposit(n))  # type: ignore[misc]
        if self.shop.splitting:
            for index in range(self.count):
                for moment in (12_000, 40_000, 120_000):
                    at = more.randrange(moment, moment * 2)
                    self.at(at, lambda n=f"N{index}": self.payers(n))  # type: ignore[misc]
        if self.shop.codes:
            for _ in range(more.choice((1, 3, 6))):
                system = self.systems[more.choice((self.shop.coupon, self.shop.voucher))]
                code = more.choice(sorted(system.uses or ()))
                self.at(more.randrange(0, 60_000), lambda s=system, c=code: s.spend(c))  # type: ignore[misc]

    def run_out(self) -> None:
        """Let everything happen that is to happen, and look at what stands in the end."""
        while self.heap:
            at, _, fn = heapq.heappop(self.heap)
            self.now_ms = max(self.now_ms, at)
            fn()
        self._at_rest()

    def _maybe_cancel(self, number: str) -> None:
        if self.chance("cancel"):
            self.cancel(number)

    def _jump(self) -> None:
        """The wall clock is turned, back or forward, by seconds or by a day."""
        self.faults["jump"] += 1
        self.clocks.skew = self.rng.choice(TURNS)
        if self.clocks.skew < 0 and self.rng.random() < 0.3:
            self._start_again()

    def _start_again(self) -> None:
        """The machine falls over and is started again, with a clock that says what it said long ago."""
        self.faults["start"] += 1
        for worker in list(self.alive):
            worker.die()
        self.clocks.new_start()

    def _heal(self) -> None:
        self.healed = True
        self.db.busy = self.db.unsure = 0.0
        self.at(CALL + 2 * IN_FLIGHT + 90_000, self._right_clock)

    def _end(self) -> int:
        """By then all must have ended: a customer has until ``expires_s`` to bring another tender."""
        return START + max(HEAL_AFTER, 20_000 + self.shop.expires_s * 1000) + END_WITHIN

    def _right_clock(self) -> None:
        self.clocks.skew = 0

    def _tick(self) -> None:
        """A recovery thread looks, sleeps, looks again; where nothing can be due it may as well sleep on."""
        self.recover()
        pause = self.rng.randrange(500, 2500)
        if not self.healed:
            idle = self.next_look - self.now() if self.rng.random() < 0.8 else 0
            return self.at(max(pause, min(idle, 10_000)), self._tick)
        if self.active:
            return self.at(2_000, self._tick)
        due, end = self.next_look + self.now_ms - self.now(), self._end()
        if self.now_ms < end:
            return self.at(max(500, min(due, end) - self.now_ms), self._tick)
        if not self.ended:
            self.ended = True
            self._must_have_ended()
        if self.next_look is not NEVER and self.now_ms < end + LOOKS:
            self.at(max(60_000, due - self.now_ms), self._tick)
        return None


__all__ = ["TROUBLES", "Mix", "Violation", "World"]
