"""What happens to an order in the simulated channel: paid, reversed, closed, refunded. No wire in here."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from plugins.wechatpay.protocol import CHINA
from plugins.wechatpay.simulator_books import (
    CLOSED,
    MERCHANT,
    NOTPAY,
    PAYERROR,
    REFUND,
    REVOKED,
    SUCCESS,
    USERPAYING,
    Books,
    Code,
    Order,
    Refusal,
    Repayment,
)

DAY = 86_400.0
BUYERS = 50

#: What a code does that ends in these four digits; every other well-formed code pays at once.
BEHAVIOURS: dict[str, str] = {
    "9001": "asks",
    "9002": "asks_then_pays",
    "9003": "asks_then_fails",
    "9011": "poor",
    "9012": "fails",
    "9013": "expired",
    "9014": "unknown_paid",
    "9015": "unknown_unpaid",
    "9016": "platform_coupon",
    "9017": "merchant_coupon",
    "9018": "unknown_paid_later",
    "9019": "refund_abnormal",
    "9020": "refund_closed",
}
_PAYS = ("", "unknown_paid", "platform_coupon", "merchant_coupon", "refund_abnormal", "refund_closed")


@dataclass(frozen=True, slots=True)
class Rules:
    """The options of the simulation: amounts in fen, times in seconds, the fee in basis points."""

    fee_bp: int = 60
    buyer_balance: int = 10_000_000_00
    merchant_balance: int = 1_000_000_00
    password_after_s: float = 2.0
    code_life_s: float = 60.0
    wait_s: float = 300.0
    reverse_not_before_s: float = 15.0
    reverse_window_s: float = 7 * DAY
    close_not_before_s: float = 300.0
    refund_after_s: float = 1.0
    refund_window_s: float = 365 * DAY
    most_refunds: int = 50


def digest(auth_code: str) -> str:
    """A code's digest: the simulator keeps no code either."""
    return hashlib.sha256(auth_code.encode()).hexdigest()


class Orders:
    """The transitions. ``announce`` is told of every order and refund that changed, outside of any transaction."""

    def __init__(
        self, books: Books, rules: Rules, now: Callable[[], float], announce: Callable[[Order | Repayment], None]
    ) -> None:
        self.books, self.rules, self.now, self._announce = books, rules, now, announce
        self._timers: set[threading.Timer] = set()
        with books:
            if not books.opened(MERCHANT):
                books.set_balance(MERCHANT, rules.merchant_balance)

    def find(self, number: str) -> Order | None:
        """The order as it stands now: what was due has happened."""
        order = self.books.get(Order, number)
        if order is None:
            return None
        now = self.now()
        deed, _, at = order.plan.partition("@")
        if order.state in (NOTPAY, USERPAYING) and at and now >= float(at):
            order.plan = ""
            return self.pay(order) if deed == "pays" else self._change(order, state=PAYERROR, plan="")
        if order.state in (NOTPAY, USERPAYING) and now >= order.expires_at:
            closed = CLOSED if order.kind == "NATIVE" else PAYERROR
            return self._change(order, state=closed, closed_at=now, plan="")
        return order

    # -- a payment code ------------------------------------------------------------------------------------------

    def use_code(self, auth_code: str) -> Code:
        """Take a code: from now on it is used, whatever becomes of the payment."""
        key = digest(auth_code)
        with self.books:
            code = self.books.get(Code, key) or Code(
                digest=key, buyer=buyer_id(int(key, 16) % BUYERS), behaviour=BEHAVIOURS.get(auth_code[-4:], "")
            )
            if code.behaviour == "expired" or (code.expires_at and self.now() >= code.expires_at):
                raise Refusal(403, "AUTH_CODE_EXPIRE", "二维码已过期，请用户在微信上刷新后再试")
            if code.used_at:
                raise Refusal(400, "AUTH_CODE_INVALID", "付款码已被使用，请用户刷新后再试")
            code.used_at = self.now()
            self.books.save(code)
        return code

    def charge(self, order: Order, code: Code) -> Order:
        """Charge a new order by a code. Raises :class:`Refusal` for a decline and for an outcome nobody knows.

        A decline leaves the order unpaid, as the real system may: it must be reversed.
        """
        later = f"@{self.now() + self.rules.password_after_s}"
        waits = {"asks": "waits", "asks_then_pays": "pays" + later, "asks_then_fails": "fails" + later}
        order.buyer, order.code, order.behaviour = code.buyer, code.digest, code.behaviour
        order.expires_at = self.now() + self.rules.wait_s
        order.reversible_from = self.now() + self.rules.reverse_not_before_s
        with self.books:
            self.books.save(order)
            if code.behaviour == "poor":
                raise Refusal(403, "NOTENOUGH", "用户账号余额不足")
            if code.behaviour == "fails":
                self._change(order, state=PAYERROR, reversible_from=0)
                raise Refusal(403, "PAYERROR", "支付失败，请换一张卡支付")
            if code.behaviour in waits:
                return self._wait(order, waits[code.behaviour])
            if code.behaviour == "unknown_paid_later":
                self._wait(order, "pays" + later)
        if code.behaviour in _PAYS:
            order = self.pay(order)
        if code.behaviour.startswith("unknown"):
            raise Refusal(500, "SYSTEM_ERROR", "系统异常，请调用查询订单接口")
        return order

    def _wait(self, order: Order, plan: str) -> Order:
        if "@" in plan:
            timer = threading.Timer(self.rules.password_after_s + 0.02, lambda: self.find(order.number))
            timer.daemon = True
            self._timers = {old for old in self._timers if old.is_alive()} | {timer}
            timer.start()
        return self._change(order, state=USERPAYING, plan=plan)

    # -- money ---------------------------------------------------------------------------------------------------

    def pay(self, order: Order) -> Order:
        """Move the money of a waiting order. Raises :class:`Refusal` if the buyer has not enough."""
        with self.books:
            current = self.books.get(Order, order.number)
            if current is not None and current.state not in (NOTPAY, USERPAYING):
                return current
            givers = {"platform_coupon": ("wechatpay", 500), "merchant_coupon": ("merchant", 100)}
            order.giver, most = givers.get(order.behaviour, ("", 0))
            order.given = min(most, order.total - 1)
            order.cash = order.total - order.given
            received = order.total - (order.given if order.giver == "merchant" else 0)
            order.fee = (received * self.rules.fee_bp + 5000) // 10000
            if not self.books.opened(order.buyer):
                self.books.set_balance(order.buyer, self.rules.buyer_balance)
            if self.books.balance(order.buyer) < order.cash:
                raise Refusal(403, "NOTENOUGH", "用户账号余额不足")
            self.books.move(order.buyer, -order.cash)
            self.books.move(MERCHANT, received - order.fee)
            order = self._change(order, state=SUCCESS, paid_at=self.now(), plan="", transaction_id=self._id("42"))
        self._announce(order)
        return order

    def reverse(self, number: str) -> Order:
        """Reverse an order that was made by a payment code: close it if unpaid, else give everything back."""
        with self.books:
            order = self.find(number)
            if order is None:
                raise Refusal(404, "ORDER_NOT_EXIST", "订单不存在")
            if order.kind != "MICROPAY":
                raise Refusal(400, "TRADE_STATE_ERROR", "仅付款码支付的订单可以撤销")
            if order.state == REVOKED:
                return order
            if order.state in (SUCCESS, USERPAYING) and self.now() < order.reversible_from:
                raise Refusal(403, "REVERSE_TOO_EARLY", "支付后15秒内请勿撤销")
            if self.now() > order.created_at + self.rules.reverse_window_s:
                raise Refusal(403, "REVERSE_EXPIRE", "订单已超过7天的撤销有效期")
            if order.state == REFUND:
                raise Refusal(403, "TRADE_STATE_ERROR", "订单已转入退款")
            if order.state == SUCCESS:
                self._give(order, f"{number}*", order.total, "撤销", "", reversal=True)
            return self._change(order, state=REVOKED, closed_at=self.now(), plan="")

    def close(self, number: str) -> None:
        """Close an unpaid order that a customer was to scan."""
        with self.books:
            order = self.find(number)
            if order is None:
                raise Refusal(404, "ORDER_NOT_EXIST", "订单不存在")
            if order.state in (SUCCESS, REFUND):
                raise Refusal(400, "ORDERPAID", "订单已支付")
            if order.state == NOTPAY and self.now() < order.created_at + self.rules.close_not_before_s:
                raise Refusal(403, "CLOSE_TOO_EARLY", "订单生成后5分钟内请勿关单")
            if order.state in (NOTPAY, USERPAYING):
                self._change(order, state=CLOSED, closed_at=self.now(), plan="")

    def refund(self, number: str, refund_no: str, amount: int, total: int, reason: str, url: str) -> Repayment:
        """Give an amount back; the same number gives it once."""
        with self.books:
            known = self.repayment(refund_no)
            order = self.find(number)
            if order is None:
                raise Refusal(404, "RESOURCE_NOT_EXISTS", "订单不存在")
            if known is not None:
                if (known.order, known.amount) != (number, amount):
                    raise Refusal(400, "PARAM_ERROR", "订单金额或退款金额与之前请求不一致")
                return known
            made = sum(each.order == number for each in self.books.all(Repayment))
            if order.state not in (SUCCESS, REFUND):
                raise Refusal(400, "INVALID_REQUEST", "订单状态不可退款")
            if total != order.total or order.back + amount > order.total or made >= self.rules.most_refunds:
                raise Refusal(400, "INVALID_REQUEST", "退款金额或次数超限")
            if self.now() > order.paid_at + self.rules.refund_window_s:
                raise Refusal(403, "TRADE_OVERDUE", "订单已经超过可退款的最大期限")
            repayment = self._give(order, refund_no, amount, reason, url, reversal=False)
            self._change(order, state=REFUND)
        self._announce(repayment)
        return repayment

    def _give(self, order: Order, number: str, amount: int, reason: str, url: str, *, reversal: bool) -> Repayment:
        def share(part: int) -> int:
            """By sums so far, so that all refunds together give exactly the whole."""
            return part * (order.back + amount) // order.total - part * order.back // order.total

        received = share(order.total - (order.given if order.giver == "merchant" else 0))
        cash, fee, now = share(order.cash), share(order.fee), self.now()
        if self.books.balance(MERCHANT) < received - fee:
            raise Refusal(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
        ends = {"refund_abnormal": "ABNORMAL", "refund_closed": "CLOSED"}.get(order.behaviour, "SUCCESS")
        repayment = Repayment(
            number=number,
            order=order.number,
            refund_id=self._id("50"),
            amount=amount,
            cash=cash,
            fee=fee,
            state=SUCCESS if reversal else f"then {ends}",
            at=now,
            done_at=now + (0 if reversal else self.rules.refund_after_s),
            reason=reason,
            notify_url=url or order.notify_url,
            reversal=reversal,
        )
        self.books.move(MERCHANT, fee - received)
        order.back += amount
        order.fee -= fee
        self.books.move(order.buyer, cash)
        self.books.save(repayment)
        self.books.save(order)
        return repayment

    def repayment(self, refund_no: str) -> Repayment | None:
        """The refund as it stands now: accepted, then done, not possible, or given up."""
        with self.books:
            found = self.books.get(Repayment, refund_no)
            if found is None or not found.state.startswith("then ") or self.now() < found.done_at:
                return found
            found.state = found.state.removeprefix("then ")
            self.books.save(found)
            if found.state in ("ABNORMAL", "CLOSED"):
                self._not_given(found)
        self._announce(found)
        return found

    def _not_given(self, repayment: Repayment) -> None:
        """The customer got nothing; given up, the merchant has its money again."""
        order = self.books.get(Order, repayment.order)
        assert order is not None
        self.books.move(order.buyer, -repayment.cash)
        if repayment.state == "CLOSED":
            self.books.move(MERCHANT, repayment.amount - repayment.fee)
            order.back -= repayment.amount
            order.fee += repayment.fee
            self.books.save(order)

    def settle(self, refund_no: str, state: str) -> Repayment:
        """Let a refund come to its end now, in this state."""
        with self.books:
            found = self.books.get(Repayment, refund_no)
            if found is None:
                raise ValueError("no such refund")
            if found.state == "ABNORMAL" and state == "SUCCESS":
                order = self.books.get(Order, found.order)
                assert order is not None
                self.books.move(order.buyer, found.cash)
                found.state = state
            elif found.state.startswith("then "):
                found.state, found.done_at = f"then {state}", self.now()
            self.books.save(found)
        return self.repayment(refund_no) or found

    def _change(self, order: Order, **changes: object) -> Order:
        for name, value in changes.items():
            setattr(order, name, value)
        self.books.save(order)
        return order

    def _id(self, kind: str) -> str:
        """The channel's own number, 28 digits."""
        day = datetime.fromtimestamp(self.now(), UTC).astimezone(CHINA)
        return f"{kind}00{day:%Y%m%d}{self.books.number('id'):016d}"

    def stop(self) -> None:
        """Forget what would have happened later; it happens when the order is next looked at."""
        for timer in self._timers:
            timer.cancel()


def buyer_id(number: int) -> str:
    """The openid of a generated buyer."""
    return f"oUpF8uMuAJO_{number:04d}SimulatedBuyer"
