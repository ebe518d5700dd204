"""What people do at the simulated channel, and its books as they are shown."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from plugins.wechatpay.simulator_books import MERCHANT, NOTPAY, PAYERROR, USERPAYING, Code, Order, Refusal, Repayment
from plugins.wechatpay.simulator_orders import buyer_id, digest

if TYPE_CHECKING:
    from plugins.wechatpay.simulator import WechatPaySimulator


class Levers:
    """The levers of one simulator; each is ``POST /control {"do": NAME, …}``."""

    def __init__(self, simulator: WechatPaySimulator) -> None:
        self._sim, self._orders, self._books = simulator, simulator.orders, simulator.books_

    def pull(self, command: Mapping[str, Any]) -> dict[str, Any] | None:
        """Pull a lever; ``None`` if there is none of this name. Raises ``ValueError`` for what can't be done."""
        lever = getattr(self, f"_do_{command.get('do')}", None)
        if lever is None:
            return None
        try:
            result: dict[str, Any] = lever(**{name: value for name, value in command.items() if name != "do"})
        except Refusal as refusal:
            raise ValueError(f"{refusal.code} {refusal.message}") from None
        return result

    def books(self) -> dict[str, Any]:
        """Money, orders and refunds; amounts in fen. ``refunded`` counts what left the merchant."""
        for each in self._books.all(Repayment):
            self._orders.repayment(each.number)
        orders = [self._orders.find(order.number) or order for order in self._books.all(Order)]
        paid = [order for order in orders if order.paid_at]
        received, refunded = sum(order.total for order in paid), sum(order.back for order in paid)
        fees = sum(order.fee for order in paid)
        return {
            "money": {"received": received, "refunded": refunded, "net": received - refunded, "fees": fees},
            "merchant_balance": self._books.balance(MERCHANT),
            "orders": {order.number: _shown(order) for order in orders},
            "refunds": [asdict(each) for each in self._books.all(Repayment)],
            "codes_used": sum(1 for code in self._books.all(Code) if code.used_at),
        }

    def _do_make_code(
        self, buyer: str = "", balance: int | None = None, behaviour: str = "", life_s: float = 0
    ) -> dict[str, Any]:
        """A fresh payment code of a buyer; ``balance`` (fen) opens or sets the account."""
        buyer = buyer or buyer_id(secrets.randbelow(50))
        if balance is not None:
            self._books.set_balance(buyer, balance)
        auth_code = f"13{secrets.randbelow(10**12):012d}0000"
        until = self._orders.now() + (life_s or self._orders.rules.code_life_s)
        self._books.save(Code(digest=digest(auth_code), buyer=buyer, behaviour=behaviour, expires_at=until))
        return {"auth_code": auth_code, "buyer": buyer, "expires_at": until}

    def _do_type_password(self, out_trade_no: str) -> dict[str, Any]:
        """The customer types the password: a waiting order is paid."""
        return _shown(self._orders.pay(self._waiting(out_trade_no)))

    def _do_refuse_password(self, out_trade_no: str) -> dict[str, Any]:
        """The customer gives up: the payment has failed."""
        order = self._waiting(out_trade_no)
        order.state, order.plan = PAYERROR, ""
        self._books.save(order)
        return _shown(order)

    def _do_scan(self, out_trade_no: str = "", code_url: str = "", buyer: str = "") -> dict[str, Any]:
        """A customer scans a shown code (named by it or by the order number) and pays."""
        orders = [order for order in self._books.all(Order) if order.code_url]
        found = next((each for each in orders if each.code_url == code_url or each.number == out_trade_no), None)
        order = self._orders.find(found.number) if found else None
        if order is None or order.state != NOTPAY:
            raise ValueError("no such code can be paid")
        order.buyer = buyer or buyer_id(0)
        return _shown(self._orders.pay(order))

    def _do_ripen(self, out_trade_no: str) -> dict[str, Any]:
        """So much time has passed that an order can be reversed or closed."""
        order = self._orders.find(out_trade_no)
        if order is None:
            return {}
        order.reversible_from = 0
        order.created_at -= self._orders.rules.close_not_before_s if order.kind == "NATIVE" else 0
        self._books.save(order)
        return _shown(order)

    def _do_settle_refund(self, out_refund_no: str, state: str = "SUCCESS") -> dict[str, Any]:
        """A refund comes to its end now: SUCCESS, ABNORMAL, CLOSED; an abnormal one finds another way."""
        if state not in ("SUCCESS", "ABNORMAL", "CLOSED"):
            raise ValueError("a refund ends as SUCCESS, ABNORMAL or CLOSED")
        return asdict(self._orders.settle(out_refund_no, state))

    def _do_rotate(self) -> dict[str, Any]:
        """The channel exchanges its key."""
        return {"serial_no": self._sim.rotate()}

    def _do_make_bill(self, date: str) -> dict[str, Any]:
        """Make the bill of a day (``yyyy-mm-dd``) available now."""
        self._sim.bills.make(date)
        return {"date": date}

    def _do_set_balance(self, amount: int, account: str = MERCHANT) -> dict[str, Any]:
        """Set the balance (fen) of the merchant or of a buyer."""
        self._books.set_balance(account, amount)
        return {"account": account, "balance": amount}

    def _do_send_notice(self, out_trade_no: str = "", out_refund_no: str = "", notify_url: str = "") -> dict[str, Any]:
        """Post the notice of a paid order or of a refund again, or for the first time to an address given here."""
        found: Order | Repayment | None = (
            self._orders.repayment(out_refund_no) if out_refund_no else self._orders.find(out_trade_no)
        )
        if found is None:
            raise ValueError("there is nothing to tell of")
        self._sim.announce(found, notify_url)
        return {"notify_url": notify_url or found.notify_url}

    def _waiting(self, out_trade_no: str) -> Order:
        order = self._orders.find(out_trade_no)
        if order is None or order.state != USERPAYING:
            raise ValueError(f"the order is {order.state if order else 'not there'}")
        return order


def _shown(order: Order) -> dict[str, Any]:
    """An order as the books show it: no digest of a code, no address."""
    shown = asdict(order)
    for name in ("code", "notify_url", "plan"):
        del shown[name]
    return shown
