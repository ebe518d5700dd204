"""Walks of hypothesis through the engine: whatever happens in whatever order, the books are those of the model.

The systems can do everything (act once a key, be asked, take back), so that no trouble may be seen from outside: only a
charge that never arrived may, and then as a checkout that is not paid.
"""

from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from tests.model.shop import LIVES, ShopWorld
from tests.model.spec import Sale, Spec
from tests.simulation.store import Memory

HOOKS = ("stock_reserve", "stock_confirm", "payment_charge", "payment_reverse", "payment_refund", "order_post")
KINDS = ("refused", "lost_request", "late", "duplicate", "lost_reply")
TROUBLE = st.one_of(st.none(), st.tuples(st.sampled_from(HOOKS), st.sampled_from(KINDS)))
DIES = st.one_of(st.just(0), st.integers(1, 8))
AMOUNT = st.integers(1, 500)
CODES = st.sampled_from(("", "", "C1", "C2", "C3"))

_memory: list[Memory] = []


def memory() -> Memory:
    """One database a process: it is emptied for each walk."""
    if not _memory:
        _memory.append(Memory(random.Random(0)))
    return _memory[0]


class Machine(RuleBasedStateMachine):
    """One walk."""

    sales: Bundle[str] = Bundle("sales")

    @initialize(stock=st.integers(0, 6), funds=st.integers(0, 3000))
    def open_shop(self, stock: int, funds: int) -> None:
        self.world, self.spec = ShopWorld(memory(), stock, funds), Spec(stock, funds)
        self.count = 0

    def _under(self, trouble: tuple[str, str] | None, dies: int = 0) -> None:
        """Put trouble into the next step."""
        self.world.trouble = dict([trouble]) if trouble else {}
        self.world.dies = dies
        self.may_be_lost = bool(dies) or trouble == ("payment_charge", "lost_request")
        self.charges = len(self.world.wallet.charges)

    def _lost(self) -> bool:
        """Whether the step's charge never arrived, where that may be: a worker died, or the network lost it."""
        return self.may_be_lost and len(self.world.wallet.charges) == self.charges

    def _number(self) -> str:
        self.count += 1
        return f"N{self.count}"

    @rule(target=sales, amount=AMOUNT, part=st.integers(1, 100), stock=st.booleans(), code=CODES, t=TROUBLE, d=DIES)
    def sell(self, amount: int, part: int, stock: bool, code: str, t: tuple[str, str] | None, d: int) -> str:
        """One checkout, all of it paid now or a part. One whose worker dies before the money may fail: no harm."""
        self._under(t, d)
        number = self._number()
        first = max(1, amount * part // 100)
        self.world.wish(number, amount, first, stock, code)
        self.world.rest()
        if self._lost() and d and self.world.state(number) == "failed":
            self.spec.sales[number] = Sale(amount, stock, code, patient=False, state="failed")
        else:
            self.spec.sell(number, amount, first, stock, code, self._lost())
        return number

    @rule(target=sales, count=st.integers(2, 5), amount=AMOUNT)
    def rush(self, count: int, amount: int) -> MultipleResults[str]:
        """Several at once for the last goods: exactly as many get them as there are."""
        self._under(None)
        numbers = [self._number() for _ in range(count)]
        for number in numbers:
            self.world.wish(number, amount, amount, True, "")
        self.world.rest()
        for number in sorted(numbers, key=self.world.state):  # completed before failed: any of them may be the winner
            self.spec.sell(number, amount, amount, True, "")
        return multiple(*numbers)

    @rule(number=sales, t=TROUBLE, d=DIES)
    def ask_again(self, number: str, t: tuple[str, str] | None, d: int) -> None:
        """The same request under the same key changes nothing."""
        self._under(t, d)
        if self.world.saga(number) is not None:
            self.world.submit(number)
            self.world.rest()

    @rule(number=sales, t=TROUBLE)
    def next_payer(self, number: str, t: tuple[str, str] | None) -> None:
        self._under(t)
        sale = self.spec.sales[number]
        self.world.add_tender(number)
        self.world.rest()
        if sale.state == "awaiting_tender":
            self.spec.pay(number, sale.amount - sale.paid, self._lost())

    @rule(number=sales, t=TROUBLE)
    def cancel(self, number: str, t: tuple[str, str] | None) -> None:
        self._under(t)
        self.world.cancel(number)
        self.world.rest()
        self.spec.give_up(number, "cancelled")

    @rule(number=sales, amount=AMOUNT, t=TROUBLE)
    def refund(self, number: str, amount: int, t: tuple[str, str] | None) -> None:
        """Money back, as often as one likes and never more than was paid."""
        self._under(t)
        if self.spec.sales[number].patient:
            return  # paid by two: its own tests say which of them gets what
        accepted = self.world.give_back(number, amount)
        self.world.rest()
        assert accepted == self.spec.refund(number, min(amount, self.spec.sales[number].amount))

    @rule()
    def time_passes(self) -> None:
        """Who waits for a payer waits until its time is over."""
        self._under(None)
        self.world.rest(LIVES)
        for number in self.spec.sales:
            self.spec.give_up(number, "failed")

    @invariant()
    def the_books_are_the_models(self) -> None:
        if not hasattr(self, "spec"):
            return
        world, spec = self.world, self.spec
        assert {number: world.state(number) for number in spec.sales} == {n: s.state for n, s in spec.sales.items()}
        assert world.wallet.balance() == spec.wallet, "the wallet"
        assert world.systems["stock"].free == spec.stock, "the goods"
        assert world.posted() == spec.posted, "the till"
        assert world.codes() == spec.used, "the codes"


__all__ = ["Machine"]
