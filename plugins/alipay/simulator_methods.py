"""The methods of the simulated gateway: ``biz_content`` in, the fields of the response node out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from plugins.alipay.protocol import MAX_FEN, SUCCESS, WAITING, ParseError, fen, is_payment_code, yuan
from plugins.alipay.simulator_ledger import CLOSED, PAID, WAIT, Order, Refund, Refusal, Trade
from plugins.alipay.simulator_trades import CHINA, Trades, digest

Fields = dict[str, Any]
_OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_]{1,64}", re.ASCII)
_TIMEOUT = re.compile(r"([1-9][0-9]{0,4})([mhd])|1c", re.ASCII)
_UNIT = {"m": 60, "h": 3600, "d": 86_400}
_ZERO = dict.fromkeys(("buyer_pay_amount", "invoice_amount", "point_amount", "receipt_amount"), "0.00")


def stamp(at: float) -> str:
    """A time as the wire has it: China's, without a zone."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone(CHINA):%Y-%m-%d %H:%M:%S}"


class Methods:
    """One method each; a refusal is raised as :class:`Refusal`."""

    def __init__(self, trades: Trades) -> None:
        self.trades = trades
        self.by_name: dict[str, Callable[[Mapping[str, Any], str], Fields]] = {
            "alipay.trade.pay": self.pay,
            "alipay.trade.query": self.query,
            "alipay.trade.cancel": self.cancel,
            "alipay.trade.close": self.close,
            "alipay.trade.refund": self.refund,
            "alipay.trade.fastpay.refund.query": self.refund_query,
            "alipay.trade.precreate": self.precreate,
        }

    def pay(self, biz: Mapping[str, Any], notify_url: str) -> Fields:
        """Charge a payment code: 10000 paid, 10003 a password is awaited."""
        number, total, auth_code = self._number(biz), self._amount(biz, "total_amount"), str(biz.get("auth_code", ""))
        if (
            biz.get("scene") not in ("bar_code", "wave_code")
            or not biz.get("subject")
            or not is_payment_code(auth_code)
        ):
            raise Refusal("ACQ.INVALID_PARAMETER", "参数无效", **_ZERO)
        with self.trades.ledger as ledger:
            known = self.trades.peek(number)
            if known is None:
                if ledger.get(Order, out_trade_no=number):
                    raise Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改", **_ZERO)
                code = self.trades.use_code(auth_code)
                trade = self._new_trade(biz, number, total, notify_url)
                trade.buyer, trade.code_digest = code.buyer, code.digest
                known = self.trades.charge(trade, code)
            else:
                self._repeated(known, total, auth_code)
        return self._paid(known) if known.status == PAID else self._waiting(known)

    def _repeated(self, known: Trade, total: int, auth_code: str) -> None:
        if known.status == CLOSED:
            raise Refusal("ACQ.TRADE_HAS_CLOSE", "交易已经关闭", **_ZERO)
        if known.status != WAIT:
            raise Refusal("ACQ.TRADE_HAS_SUCCESS", "交易已被支付", **_ZERO)
        if known.total != total or known.code_digest != digest(auth_code):
            raise Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改", **_ZERO)

    def _new_trade(self, biz: Mapping[str, Any], number: str, total: int, notify_url: str) -> Trade:
        now = self.trades.now()
        return Trade(
            out_trade_no=number,
            trade_no=self.trades.new_trade_no(),
            status=WAIT,
            buyer="",
            total=total,
            subject=str(biz.get("subject", "")),
            created_at=now,
            expires_at=now + self._timeout(biz, "timeout_express", self.trades.rules.wait_s),
            notify_url=notify_url,
            **self._site(biz),
        )

    def query(self, biz: Mapping[str, Any], _notify_url: str) -> Fields:
        """How a trade stands."""
        trade = self._find(biz)
        fields = self._paid(trade) if trade.status != WAIT else self._waiting(trade)
        fields |= {"trade_status": trade.status, "code": SUCCESS, "msg": "Success"}
        fields |= {"send_pay_date": fields.pop("gmt_payment")} if "gmt_payment" in fields else {}
        return fields

    def cancel(self, biz: Mapping[str, Any], _notify_url: str) -> Fields:
        """Undo a trade. For one that never was the answer is success without an ``action``, and blocks nothing."""
        with self.trades.ledger as ledger:
            try:
                trade = self._find(biz)
            except Refusal as refusal:
                if refusal.sub_code != "ACQ.TRADE_NOT_EXIST":
                    raise
                number = self._number(biz)
                order = ledger.get(Order, out_trade_no=number)
                if order is not None and self.trades.rules.cancel_voids_qr:
                    order.void = 1
                    ledger.save(order)
                return {"out_trade_no": number, "retry_flag": "N"}
            trade = self.trades.cancel(trade)
        names = {"out_trade_no": trade.out_trade_no, "trade_no": trade.trade_no}
        return names | {"retry_flag": "N", "action": trade.cancelled or "close"}

    def close(self, biz: Mapping[str, Any], _notify_url: str) -> Fields:
        """Close an unpaid trade."""
        trade = self._find(biz)
        if trade.status != WAIT:
            raise Refusal("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态异常")
        trade = self.trades.close(trade)
        return {"out_trade_no": trade.out_trade_no, "trade_no": trade.trade_no}

    def refund(self, biz: Mapping[str, Any], _notify_url: str) -> Fields:
        """Give money back; the same ``out_request_no`` gives it once, and says so by ``fund_change``."""
        trade, amount = self._find(biz), self._amount(biz, "refund_amount")
        number = str(biz.get("out_request_no") or "")
        if not number and amount != trade.total:
            raise Refusal("ACQ.INVALID_PARAMETER", "部分退款时退款请求号不能为空")
        reason, operator = str(biz.get("refund_reason", "")), str(biz.get("operator_id", ""))
        trade, refund, moved = self.trades.refund(trade, number or trade.out_trade_no, amount, reason, operator)
        return {
            "out_trade_no": trade.out_trade_no,
            "trade_no": trade.trade_no,
            **self._buyer(trade),
            "fund_change": "Y" if moved else "N",
            "refund_fee": yuan(trade.refunded),  # of the trade so far, not of this request
            "send_back_fee": yuan(refund.cash if moved else 0),
            "gmt_refund_pay": stamp(refund.at),
            **self._split(refund),
        }

    def refund_query(self, biz: Mapping[str, Any], _notify_url: str) -> Fields:
        """How a refund stands; for one that never was the answer is success without the refund's fields."""
        trade = self._find(biz)
        number = str(biz.get("out_request_no") or "")
        if not number:
            raise Refusal("ACQ.INVALID_PARAMETER", "参数无效")
        fields = {"out_trade_no": trade.out_trade_no, "trade_no": trade.trade_no}
        refund = self.trades.ledger.get(Refund, out_trade_no=trade.out_trade_no, out_request_no=number)
        if refund is None:
            return fields
        fields |= {"out_request_no": number, "refund_status": "REFUND_SUCCESS", "refund_amount": yuan(refund.amount)}
        return fields | {"total_amount": yuan(trade.total), "gmt_refund_pay": stamp(refund.at)} | self._split(refund)

    def precreate(self, biz: Mapping[str, Any], notify_url: str) -> Fields:
        """A QR code to show. No trade exists until a customer opens it."""
        number, total = self._number(biz), self._amount(biz, "total_amount")
        if not biz.get("subject"):
            raise Refusal("ACQ.INVALID_PARAMETER", "参数无效")
        with self.trades.ledger as ledger:
            trade = self.trades.peek(number)
            if trade is not None and trade.status != WAIT:
                closed = trade.status == CLOSED
                raise Refusal(
                    *(("ACQ.TRADE_HAS_CLOSE", "交易已经关闭") if closed else ("ACQ.TRADE_HAS_SUCCESS", "交易已被支付"))
                )
            order = ledger.get(Order, out_trade_no=number)
            if (trade or order) and (trade or order).total != total:  # type: ignore[union-attr]
                raise Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
            if trade is not None:
                raise Refusal("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
            order = order or self._new_order(biz, number, total, notify_url)
            ledger.save(order)
        return {"out_trade_no": number, "qr_code": order.qr_code}

    def _new_order(self, biz: Mapping[str, Any], number: str, total: int, notify_url: str) -> Order:
        now = self.trades.now()
        return Order(
            out_trade_no=number,
            qr_code=f"https://qr.alipay.com/bax{secrets.token_hex(11)}",
            total=total,
            subject=str(biz["subject"]),
            created_at=now,
            expires_at=now + self._timeout(biz, "qr_code_timeout_express", self.trades.rules.qr_s),
            timeout_s=self._timeout(biz, "timeout_express", self.trades.rules.wait_s),
            notify_url=notify_url,
            **self._site(biz),
        )

    # -- reading what came, writing what goes -------------------------------------------------------------------

    def _find(self, biz: Mapping[str, Any]) -> Trade:
        number, trade_no = str(biz.get("out_trade_no") or ""), str(biz.get("trade_no") or "")
        if not number and not trade_no:
            raise Refusal("ACQ.INVALID_PARAMETER", "参数无效")
        return self.trades.find(number, trade_no)

    def _number(self, biz: Mapping[str, Any]) -> str:
        number = str(biz.get("out_trade_no") or "")
        if not _OUT_TRADE_NO.fullmatch(number):
            raise Refusal("ACQ.INVALID_PARAMETER", "参数无效")
        return number

    def _amount(self, biz: Mapping[str, Any], name: str) -> int:
        try:
            amount = fen(str(biz.get(name, "")))
        except ParseError:
            amount = 0
        if not 1 <= amount <= MAX_FEN:
            raise Refusal("ACQ.INVALID_PARAMETER", "参数无效")
        return amount

    def _timeout(self, biz: Mapping[str, Any], name: str, default: float) -> float:
        text = str(biz.get(name) or "")
        if not text:
            return default
        found = _TIMEOUT.fullmatch(text)
        if found is None:
            raise Refusal("ACQ.INVALID_PARAMETER", "参数无效")
        if text == "1c":
            now = datetime.fromtimestamp(self.trades.now(), UTC).astimezone(CHINA)
            return 86_400.0 - (now.hour * 3600 + now.minute * 60 + now.second)
        return float(min(int(found[1]) * _UNIT[found[2]], 15 * 86_400))

    def _site(self, biz: Mapping[str, Any]) -> dict[str, Any]:
        return {name: str(biz.get(name) or "")[:32] for name in ("store_id", "operator_id", "terminal_id")}

    def _buyer(self, trade: Trade) -> dict[str, str]:
        return {"buyer_user_id": trade.buyer, "buyer_logon_id": f"{trade.buyer[-3:]}***@sandbox.example"}

    def _waiting(self, trade: Trade) -> Fields:
        names = {"out_trade_no": trade.out_trade_no, "trade_no": trade.trade_no, "total_amount": yuan(trade.total)}
        return {"code": WAITING, "msg": "order success pay inprocess"} | names | self._buyer(trade) | _ZERO

    def _paid(self, trade: Trade) -> Fields:
        fields = {"out_trade_no": trade.out_trade_no, "trade_no": trade.trade_no, **self._buyer(trade)}
        fields |= {"total_amount": yuan(trade.total), "buyer_pay_amount": yuan(trade.buyer_pay)}
        fields |= {"receipt_amount": yuan(trade.receipt), "invoice_amount": yuan(trade.buyer_pay)}
        fields |= {"point_amount": "0.00", "discount_amount": yuan(trade.discount)}
        fields |= {"mdiscount_amount": yuan(trade.mdiscount)}
        if trade.paid_at:
            fields["gmt_payment"] = stamp(trade.paid_at)
        funds = [("ALIPAYACCOUNT", trade.buyer_pay), ("COUPON", trade.discount), ("MCOUPON", trade.mdiscount)]
        fields_out: Fields = dict(fields)
        fields_out["fund_bill_list"] = [{"fund_channel": name, "amount": yuan(part)} for name, part in funds if part]
        if trade.discount or trade.mdiscount:
            fields_out["voucher_detail_list"] = [self._voucher(trade)]
        return fields_out

    def _voucher(self, trade: Trade) -> dict[str, str]:
        platform = bool(trade.discount)
        return {
            "id": f"20{trade.trade_no[-20:]}",
            "name": "支付宝红包" if platform else "商家优惠券",
            "type": "ALIPAY_COMMON_ITEM_VOUCHER" if platform else "ALIPAY_FIX_VOUCHER",
            "amount": yuan(trade.discount or trade.mdiscount),
            "merchant_contribute": yuan(trade.mdiscount),
            "other_contribute": yuan(trade.discount),
        }

    def _split(self, refund: Refund) -> dict[str, str]:
        return {
            "present_refund_buyer_amount": yuan(refund.cash),
            "present_refund_discount_amount": yuan(refund.receipt - refund.cash),
            "present_refund_mdiscount_amount": yuan(refund.amount - refund.receipt),
        }
