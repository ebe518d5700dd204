"""One merchant of the simulated channel: its identity, its books, its bills, and the levers of its customers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.sdk.simulator import FaultPanel
from plugins.alipay.simulator_bill import Bills
from plugins.alipay.simulator_keys import load_or_make
from plugins.alipay.simulator_ledger import PAID, WAIT, Code, Ledger, Order, Refund, Refusal, Trade
from plugins.alipay.simulator_methods import Methods
from plugins.alipay.simulator_notices import Notices
from plugins.alipay.simulator_trades import SELLER, Rules, Trades, buyer_id, digest


class Merchant:
    """A merchant with a folder of its own. Customers, and their codes and balances, are shared by all merchants."""

    def __init__(
        self,
        folder: Path,
        name: str,
        options: Mapping[str, str],
        faults: FaultPanel,
        now: Callable[[], float],
        customers: Ledger | None = None,
    ) -> None:
        self.now = now
        self.who = load_or_make(folder, name)
        self.ledger = Ledger(folder / "alipay.db")
        self.notices = Notices(self.who, faults, now, float(options.get("notice_scale", "1")))
        self.trades = Trades(self.ledger, _rules(options), now, self.notices.announce, customers)
        self.methods = Methods(self.trades)
        at_once = options.get("bill_ready", "next_day") == "at_once"
        self.bills = Bills(self.trades, self.who.seller_id, at_once=at_once)

    def stop(self) -> None:
        """Stop posting notices, forget what was to happen later, close the books."""
        self.notices.stop()
        self.trades.stop()
        self.ledger.close()

    def knows(self, command: Mapping[str, Any]) -> bool:
        """Whether a lever's order number or QR code is this merchant's."""
        number, qr_code = str(command.get("out_trade_no") or ""), str(command.get("qr_code") or "")
        by = {"qr_code": qr_code} if qr_code else {"out_trade_no": number}
        order = self.ledger.get(Order, **by) is not None
        return order or (bool(number) and self.ledger.get(Trade, out_trade_no=number) is not None)

    def pull(self, command: Mapping[str, Any]) -> dict[str, Any] | None:
        """Pull a lever; ``None`` if there is none of this name. Raises ``ValueError`` for what can't be done."""
        lever = getattr(self, f"_do_{command.get('do')}", None)
        if lever is None:
            return None
        try:
            result: dict[str, Any] = lever(**{name: value for name, value in command.items() if name != "do"})
        except Refusal as refusal:
            raise ValueError(f"{refusal.sub_code} {refusal.message}") from None
        return result

    def books(self) -> dict[str, Any]:
        """Money, trades, refunds and notices of this merchant; amounts in fen."""
        trades, refunds = self.ledger.all(Trade), self.ledger.all(Refund)
        trades = [self.trades.peek(trade.out_trade_no) or trade for trade in trades]
        paid = [trade for trade in trades if trade.paid_at]
        received, refunded = sum(trade.receipt for trade in paid), sum(refund.receipt for refund in refunds)
        fees = sum(trade.fee - trade.fee_refunded for trade in paid)
        customers = self.trades.customers.balances()
        return {
            "money": {"received": received, "refunded": refunded, "net": received - refunded, "fees": fees},
            "seller_balance": self.ledger.balance(SELLER),
            "buyers": {name: balance for name, balance in customers.items() if name.startswith("2088")},
            "trades": {trade.out_trade_no: _shown(trade) for trade in trades},
            "refunds": [asdict(refund) for refund in refunds],
            "unopened": [order.out_trade_no for order in self.ledger.all(Order)],
            "codes_used": sum(1 for code in self.trades.customers.all(Code) if code.used_at),
            "notices": list(self.notices.log),
        }

    def _do_make_code(
        self, buyer: str = "", balance: int | None = None, behaviour: str = "", life_s: float = 0
    ) -> dict[str, Any]:
        """A fresh payment code of a buyer; ``balance`` (fen) opens or sets the account."""
        customers = self.trades.customers
        buyer = buyer or buyer_id(secrets.randbelow(50))
        if balance is not None or customers.balance(buyer) is None:
            customers.set_balance(buyer, self.trades.rules.buyer_balance if balance is None else balance)
        auth_code = f"28{secrets.randbelow(10**12):012d}0000"
        until = self.now() + (life_s or self.trades.rules.code_life_s)
        customers.save(Code(digest=digest(auth_code), buyer=buyer, behaviour=behaviour, expires_at=until))
        return {"auth_code": auth_code, "buyer": buyer, "expires_at": until}

    def _do_type_password(self, out_trade_no: str) -> dict[str, Any]:
        """The customer types the password: a waiting trade is paid."""
        trade = self.trades.find(out_trade_no)
        if trade.status != WAIT:
            raise ValueError(f"the trade is {trade.status}")
        return _shown(self.trades.pay(trade))

    def _do_refuse_password(self, out_trade_no: str) -> dict[str, Any]:
        """The customer refuses: the trade is closed."""
        return _shown(self.trades.close(self.trades.find(out_trade_no)))

    def _do_scan(self, out_trade_no: str = "", qr_code: str = "", buyer: str = "", pays: bool = True) -> dict[str, Any]:
        """A customer opens a shown QR code (named by it or by the order number), and pays unless ``pays`` is false."""
        by = {"qr_code": qr_code} if qr_code else {"out_trade_no": out_trade_no}
        order = self.ledger.get(Order, **by)
        if order is None:
            raise ValueError("no such QR code is shown")
        trade = self.trades.open_order(order, buyer or buyer_id(0))
        return _shown(self.trades.pay(trade) if pays else trade)

    def _do_finish(self, out_trade_no: str) -> dict[str, Any]:
        """The refund period ends: the trade is TRADE_FINISHED."""
        trade = self.trades.find(out_trade_no)
        if trade.status != PAID:
            raise ValueError(f"the trade is {trade.status}")
        trade.paid_at = self.now() - self.trades.rules.finish_after_s
        self.ledger.save(trade)
        return _shown(self.trades.find(out_trade_no))

    def _do_expire(self, out_trade_no: str) -> dict[str, Any]:
        """An unpaid trade's time is over."""
        return _shown(self.trades.close(self.trades.find(out_trade_no)))

    def _do_make_bill(self, date: str) -> dict[str, Any]:
        """Make the bill of a day (``yyyy-mm-dd``) available now."""
        self.bills.make(date)
        return {"date": date}

    def _do_set_balance(self, amount: int, account: str = SELLER) -> dict[str, Any]:
        """Set the balance (fen) of the seller or of a buyer."""
        (self.ledger if account == SELLER else self.trades.customers).set_balance(account, amount)
        return {"account": account, "balance": amount}

    def _do_send_notice(self, out_trade_no: str, notify_url: str = "") -> dict[str, Any]:
        """Post a trade's notice again, or for the first time to an address given here."""
        trade = self.trades.find(out_trade_no)
        trade.notify_url = notify_url or trade.notify_url
        self.notices.announce(trade)
        return {"notify_url": trade.notify_url}


def _rules(options: Mapping[str, str]) -> Rules:
    """The rules with what the options say of them; raises ``ValueError`` for what is not a number."""
    given: dict[str, Any] = {}
    for name, default in asdict(Rules()).items():
        if name in options:
            given[name] = options[name] in ("1", "true") if isinstance(default, bool) else type(default)(options[name])
    return Rules(**given)


def _shown(trade: Trade) -> dict[str, Any]:
    """A trade as the books show it: no digest of a code, no address."""
    shown = asdict(trade)
    for name in ("code_digest", "notify_url", "password"):
        del shown[name]
    return shown
