"""What a shop's books must say, as the shortest program that knows: no journal, no recovery, no unknown outcome."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Sale:
    """A checkout as the platform sees it. ``patient``: what is not paid is waited for."""

    amount: int
    stock: bool
    code: str
    patient: bool
    state: str = "awaiting_tender"
    paid: int = 0
    refunded: int = 0


@dataclass
class Spec:
    """One shop: goods, codes that can be used once, and one wallet that pays for everything."""

    stock: int
    wallet: int
    used: set[str] = field(default_factory=set)
    sales: dict[str, Sale] = field(default_factory=dict)
    posted: int = 0

    def sell(self, number: str, amount: int, first: int, stock: bool, code: str, lost: bool = False) -> None:
        """A checkout of which ``first`` is charged now. ``lost``: the charge never arrives."""
        sale = self.sales[number] = Sale(amount, stock, code, patient=first < amount)
        if (stock and self.stock < 1) or code in self.used:
            sale.state = "failed"
            return
        self.stock -= stock
        self.used |= {code} if code else set()
        self.pay(number, first, lost)

    def pay(self, number: str, amount: int, lost: bool = False) -> None:
        """A payer pays, if the wallet has it; else the checkout goes on waiting, or ends."""
        sale = self.sales[number]
        if lost or amount > self.wallet:
            return None if sale.patient else self.give_up(number, "failed")
        sale.paid += amount
        self.wallet -= amount
        if sale.paid == sale.amount:
            sale.state = "completed"
            self.posted += 1
        return None

    def give_up(self, number: str, state: str) -> None:
        """A cancel, or the end of its time: what waits is undone; what is over stays as it is."""
        sale = self.sales[number]
        if sale.state == "awaiting_tender":
            self.wallet += sale.paid
            self.stock += sale.stock
            self.used -= {sale.code}
            sale.state, sale.paid = state, 0

    def refund(self, number: str, amount: int) -> bool:
        """Part of the money back, never more than was paid."""
        sale = self.sales[number]
        fits = sale.state == "completed" and sale.refunded + amount <= sale.paid
        if fits:
            sale.refunded += amount
            self.wallet += amount
        return fits
