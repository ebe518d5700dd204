"""What happens to a trade in the simulated Alipay: created, paid, closed, cancelled, refunded. No wire in here."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from plugins.alipay.simulator_ledger import CLOSED, FINISHED, PAID, WAIT, Code, Ledger, Order, Refund, Refusal, Trade

CHINA = timezone(timedelta(hours=8))
SELLER = "seller"
DAY = 86_400

#: What a code does that ends in these four digits; every other well-formed code pays at once.
BEHAVIOURS: dict[str, str] = {
    "9001": "asks",
    "9002": "asks_then_pays",
    "9003": "asks_then_refuses",
    "9011": "poor",
    "9012": "fails",
    "9013": "expired",
    "9014": "unknown_paid",
    "9015": "unknown_unpaid",
    "9016": "platform_envelope",
    "9017": "merchant_coupon",
    "9018": "unknown_paid_later",
}
_DECLINES = {
    "poor": ("ACQ.BUYER_BALANCE_NOT_ENOUGH", "买家余额不足"),
    "fails": ("ACQ.PAYMENT_FAIL", "支付失败"),
}
BUYERS = 50


@dataclass(frozen=True, slots=True)
class Rules:
    """The options of the simulation: amounts in fen, times in seconds, the fee in basis points."""

    fee_bp: int = 60
    buyer_balance: int = 10_000_000_00
    seller_balance: int = 1_000_000_00
    password_after_s: float = 2.0
    code_life_s: float = 120.0
    wait_s: float = 15 * 60.0
    qr_s: float = 7200.0
    cancel_window_s: float = float(DAY)
    finish_after_s: float = 90.0 * DAY
    cancel_voids_qr: bool = False


def digest(auth_code: str) -> str:
    """A code's digest: the simulator keeps no code either."""
    return hashlib.sha256(auth_code.encode()).hexdigest()


class Trades:
    """The transitions. ``announce`` is told of every trade whose status changed, outside of any transaction."""

    def __init__(
        self,
        ledger: Ledger,
        rules: Rules,
        now: Callable[[], float],
        announce: Callable[[Trade], None],
        customers: Ledger | None = None,
    ) -> None:
        """``customers`` has the buyers and their codes, if that is not this merchant's own ledger."""
        self.ledger, self.rules, self.now, self._announce = ledger, rules, now, announce
        self.customers = customers or ledger
        self._timers: set[threading.Timer] = set()
        self._seed()

    def _seed(self) -> None:
        with self.ledger:
            if self.ledger.balance(SELLER) is None:
                self.ledger.set_balance(SELLER, self.rules.seller_balance)
        with self.customers:
            if self.customers.balance(buyer_id(0)) is None:
                for number in range(BUYERS):
                    self.customers.set_balance(buyer_id(number), self.rules.buyer_balance)

    # -- looking up ----------------------------------------------------------------------------------------------

    def find(self, out_trade_no: str, trade_no: str = "") -> Trade:
        """The trade as it stands now (what was due has happened). Raises :class:`Refusal` if there is none."""
        by = {"trade_no": trade_no} if trade_no else {"out_trade_no": out_trade_no}
        trade = self.ledger.get(Trade, **by)
        if trade is None:
            raise Refusal("ACQ.TRADE_NOT_EXIST", "交易不存在")
        return self._due(trade)

    def peek(self, out_trade_no: str) -> Trade | None:
        """The trade as it stands now, or ``None``."""
        try:
            return self.find(out_trade_no)
        except Refusal:
            return None

    def _due(self, trade: Trade) -> Trade:
        """Let happen what time has brought: a password typed, an unpaid trade closed, a paid one finished."""
        now = self.now()
        deed, _, at = trade.password.partition("@")
        if trade.status == WAIT and at and now >= float(at):
            trade.password = ""
            return self._pay_if_able(trade) if deed == "pays" else self.close(trade)
        if trade.status == WAIT and now >= trade.expires_at:
            return self.close(trade)
        if trade.status == PAID and now >= trade.paid_at + self.rules.finish_after_s:
            return self._change(trade, status=FINISHED)
        return trade

    def _pay_if_able(self, trade: Trade) -> Trade:
        try:
            return self.pay(trade)
        except Refusal:
            return self._change(trade, password="")

    # -- a payment code ------------------------------------------------------------------------------------------

    def use_code(self, auth_code: str) -> Code:
        """Take a code: from now on it is used, whatever becomes of the payment."""
        key = digest(auth_code)
        with self.customers:
            code = self.customers.get(Code, digest=key) or self._generated(key, auth_code)
            expired = code.behaviour == "expired" or (code.expires_at and self.now() >= code.expires_at)
            if code.used_at or expired:
                raise Refusal(
                    "ACQ.PAYMENT_AUTH_CODE_INVALID", "支付失败，获取顾客账户信息失败，请顾客刷新付款码后重新收款"
                )
            code.used_at = self.now()
            self.customers.save(code)
        return code

    def _generated(self, key: str, auth_code: str) -> Code:
        """Any well-formed code belongs to one of the generated buyers."""
        return Code(digest=key, buyer=buyer_id(int(key, 16) % BUYERS), behaviour=BEHAVIOURS.get(auth_code[-4:], ""))

    def charge(self, trade: Trade, code: Code) -> Trade:
        """Charge a new trade by a code. Raises :class:`Refusal` for a decline and for the unknown outcome 20000.

        A decline leaves the trade waiting, as the real system may: it must be cancelled.
        """
        later = f"@{self.now() + self.rules.password_after_s}"
        waits = {"asks": "waits", "asks_then_pays": "pays" + later, "asks_then_refuses": "refuses" + later}
        with self.ledger:
            self.ledger.save(trade)
            behaviour = code.behaviour
            if behaviour in _DECLINES:
                raise Refusal(*_DECLINES[behaviour])
            if behaviour in waits:
                return self._wait(trade, waits[behaviour])
            if behaviour == "unknown_paid_later":
                self._wait(trade, "pays" + later)
        if behaviour == "platform_envelope":
            trade.discount = min(500, trade.total - 1)
        if behaviour == "merchant_coupon":
            trade.mdiscount = min(100, trade.total - 1)
        if behaviour in ("", "unknown_paid", "platform_envelope", "merchant_coupon"):
            trade = self.pay(trade)
        if behaviour.startswith("unknown"):
            raise Refusal("ACQ.SYSTEM_ERROR", "系统异常", code="20000")
        return trade

    def _wait(self, trade: Trade, password: str) -> Trade:
        trade.password = password
        self.ledger.save(trade)
        if "@" in password:
            self._later(trade.out_trade_no)
        return trade

    def _later(self, out_trade_no: str) -> None:
        timer = threading.Timer(self.rules.password_after_s + 0.02, lambda: self.peek(out_trade_no))
        timer.daemon = True
        self._timers = {old for old in self._timers if old.is_alive()} | {timer}
        timer.start()

    # -- money ---------------------------------------------------------------------------------------------------

    def pay(self, trade: Trade) -> Trade:
        """Move the money of a waiting trade. Raises :class:`Refusal` if the buyer has not enough."""
        with self.ledger:
            current = self.ledger.get(Trade, out_trade_no=trade.out_trade_no)
            if current is not None and current.status != WAIT:
                return current
            trade.buyer_pay = trade.total - trade.discount - trade.mdiscount
            trade.receipt = trade.total - trade.mdiscount
            trade.fee = (trade.receipt * self.rules.fee_bp + 5000) // 10000
            if (self.customers.balance(trade.buyer) or 0) < trade.buyer_pay:
                raise Refusal(*_DECLINES["poor"])
            self.customers.move(trade.buyer, -trade.buyer_pay)
            self.ledger.move(SELLER, trade.receipt - trade.fee)
            trade = self._change(trade, status=PAID, paid_at=self.now(), password="")
        self._announce(trade)
        return trade

    def close(self, trade: Trade, cancelled: str = "") -> Trade:
        """Close an unpaid trade."""
        with self.ledger:
            current = self.ledger.get(Trade, out_trade_no=trade.out_trade_no)
            if current is None or current.status != WAIT:
                return current or trade
            trade = self._change(current, status=CLOSED, closed_at=self.now(), password="", cancelled=cancelled)
        self._announce(trade)
        return trade

    def cancel(self, trade: Trade) -> Trade:
        """Close it if unpaid, give everything back if paid; ``cancelled`` of the result says which it was."""
        if trade.status == CLOSED:
            return trade
        if trade.status == FINISHED:
            raise Refusal("ACQ.TRADE_HAS_FINISHED", "交易已经完结")
        if trade.status == WAIT:
            return self.close(trade, cancelled="close")
        if self.now() > trade.created_at + self.rules.cancel_window_s:
            raise Refusal("ACQ.TRADE_CANCEL_TIME_OUT", "超过撤销时间范围")
        if trade.refunded:
            raise Refusal("ACQ.REASON_TRADE_REFUND_FEE_ERR", "退款金额无效")
        with self.ledger:
            self.refund(trade, trade.out_trade_no, trade.total, "撤销", quiet=True)
            found = self.find(trade.out_trade_no)
            trade = self._change(found, cancelled="refund")
        self._announce(trade)
        return trade

    def refund(
        self, trade: Trade, number: str, amount: int, reason: str, operator_id: str = "", *, quiet: bool = False
    ) -> tuple[Trade, Refund, bool]:
        """Give an amount back; the last of the result says whether money moved now (the same number moves it once)."""
        with self.ledger:
            known = self.ledger.get(Refund, out_trade_no=trade.out_trade_no, out_request_no=number)
            trade = self.find(trade.out_trade_no)
            if known is not None:
                if known.amount != amount:
                    raise Refusal("ACQ.DISCORDANT_REPEAT_REQUEST", "请求信息不一致")
                return trade, known, False
            self._refundable(trade, amount)
            refund = self._split(trade, number, amount, reason, operator_id)
            if (self.ledger.balance(SELLER) or 0) < refund.receipt - refund.fee:
                raise Refusal("ACQ.SELLER_BALANCE_NOT_ENOUGH", "卖家余额不足")
            self.ledger.move(SELLER, refund.fee - refund.receipt)
            self.customers.move(trade.buyer, refund.cash)
            self.ledger.save(refund)
            refunded = trade.refunded + amount
            whole = refunded == trade.total
            trade = self._change(
                trade,
                refunded=refunded,
                fee_refunded=trade.fee_refunded + refund.fee,
                status=CLOSED if whole else trade.status,
                closed_at=self.now() if whole else 0.0,
            )
        if not quiet:
            self._announce(trade)
        return trade, refund, True

    def _refundable(self, trade: Trade, amount: int) -> None:
        if trade.status == FINISHED:
            raise Refusal("ACQ.TRADE_HAS_FINISHED", "交易已完结")
        if trade.status != PAID:
            raise Refusal("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
        if trade.refunded + amount > trade.total:
            raise Refusal("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")

    def _split(self, trade: Trade, number: str, amount: int, reason: str, operator_id: str) -> Refund:
        """Shares of what is refunded, by sums so far, so that all refunds together give exactly the whole."""

        def share(part: int) -> int:
            before, after = trade.refunded, trade.refunded + amount
            return part * after // trade.total - part * before // trade.total

        return Refund(
            out_trade_no=trade.out_trade_no,
            out_request_no=number,
            amount=amount,
            cash=share(trade.buyer_pay),
            receipt=share(trade.receipt),
            fee=share(trade.fee),
            at=self.now(),
            reason=reason,
            operator_id=operator_id or trade.operator_id,
            store_id=trade.store_id,
        )

    def _change(self, trade: Trade, **changes: object) -> Trade:
        for name, value in changes.items():
            setattr(trade, name, value)
        self.ledger.save(trade)
        return trade

    # -- a shown QR code -----------------------------------------------------------------------------------------

    def open_order(self, order: Order, buyer: str) -> Trade:
        """A customer opens a shown QR code: only now the trade exists."""
        if order.void or self.now() >= order.expires_at:
            raise ValueError("the QR code is no longer valid")
        trade = Trade(
            out_trade_no=order.out_trade_no,
            trade_no=self.new_trade_no(),
            status=WAIT,
            buyer=buyer,
            total=order.total,
            subject=order.subject,
            created_at=self.now(),
            expires_at=self.now() + order.timeout_s,
            store_id=order.store_id,
            operator_id=order.operator_id,
            terminal_id=order.terminal_id,
            notify_url=order.notify_url,
        )
        with self.ledger:
            self.ledger.save(trade)
            self.ledger.delete_order(order.out_trade_no)
        return trade

    def new_trade_no(self) -> str:
        """Alipay's own number: the day, then a running number, 28 digits."""
        with self.customers:
            self.customers.move("_trade_no", 1)
            number = self.customers.balance("_trade_no") or 0
        return f"{datetime.fromtimestamp(self.now(), UTC).astimezone(CHINA):%Y%m%d}22001{number:015d}"

    def stop(self) -> None:
        """Forget what would have happened later; it happens when the trade is next looked at."""
        for timer in self._timers:
            timer.cancel()


def buyer_id(number: int) -> str:
    """The user id of a generated buyer."""
    return f"2088{102_146_000_000 + number * 7919:012d}"
