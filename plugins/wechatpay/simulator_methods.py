"""The methods of the simulated channel: what a request asks, and the members of its answer."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from plugins.wechatpay.protocol import (
    MAX_FEN,
    is_order_number,
    is_payment_code,
    is_refund_number,
    member,
    number,
    rfc3339,
    text,
)
from plugins.wechatpay.simulator_books import NOTPAY, SUCCESS, USERPAYING, Order, Refusal, Repayment
from plugins.wechatpay.simulator_keys import Identity
from plugins.wechatpay.simulator_orders import Orders, digest

Fields = dict[str, Any]


def stamp(at: float) -> str:
    """A time as the wire has it."""
    return rfc3339(datetime.fromtimestamp(at, UTC))


class Methods:
    """One method each; a refusal is raised as :class:`Refusal`, a malformed request as ``ParseError``."""

    def __init__(self, orders: Orders, who: Identity, *, waits_by_code: bool) -> None:
        self.orders, self.who, self._waits_by_code = orders, who, waits_by_code

    def codepay(self, body: Mapping[str, Any]) -> Fields:
        """Charge a payment code."""
        asked = self._asked(body)
        code, scene = text(member(body, "payer"), "auth_code"), member(body, "scene_info")
        if not is_payment_code(code):
            raise Refusal(400, "AUTH_CODE_ERROR", "请扫描微信支付被扫条码/二维码")
        store = text(member(scene, "store_info"), "out_id") or text(member(scene, "store_info"), "id")
        if not store:
            raise Refusal(400, "PARAM_ERROR", "缺少门店信息")
        with self.orders.books as books:
            known = self.orders.find(asked.number)
            if known is not None:
                self._repeated(known, asked.total, code)
                return self.told(known)
            asked.store, asked.device = store, text(scene, "device_id")
            used = self.orders.use_code(code)
            assert books.get(Order, asked.number) is None
            order = self.orders.charge(asked, used)
        if order.state == USERPAYING and self._waits_by_code:
            raise Refusal(400, "USERPAYING", "需要用户输入支付密码")
        return self.told(order)

    def _repeated(self, known: Order, total: int, code: str) -> None:
        if known.state in ("SUCCESS", "REFUND"):
            raise Refusal(400, "ORDERPAID", "订单已支付")
        if known.state in ("CLOSED", "REVOKED"):
            raise Refusal(400, "ORDERREVERSED", "当前订单已经被撤销")
        if known.total != total or known.code != digest(code):
            raise Refusal(403, "OUT_TRADE_NO_USED", "商户订单号重复")
        if known.state == USERPAYING:
            raise Refusal(400, "USERPAYING", "需要用户输入支付密码")

    def native(self, body: Mapping[str, Any]) -> Fields:
        """An order that a customer is to scan: it exists at once, unpaid."""
        asked = self._asked(body)
        asked.kind, asked.notify_url = "NATIVE", text(body, "notify_url")
        if not asked.notify_url:
            raise Refusal(400, "PARAM_ERROR", "缺少notify_url")
        now = self.orders.now()
        asked.expires_at = now + 7200
        if until := text(body, "time_expire"):
            try:
                asked.expires_at = datetime.fromisoformat(until).timestamp()
            except (ValueError, OverflowError):
                raise Refusal(400, "PARAM_ERROR", "time_expire格式错误") from None
        with self.orders.books as books:
            known = self.orders.find(asked.number)
            if known is not None and known.state in ("SUCCESS", "REFUND"):
                raise Refusal(400, "ORDERPAID", "订单已支付")
            if known is not None and known.state != NOTPAY:
                raise Refusal(400, "ORDER_CLOSED", "订单已关闭")
            if known is not None and (known.total != asked.total or known.kind != "NATIVE"):
                raise Refusal(403, "OUT_TRADE_NO_USED", "商户订单号重复")
            if known is None:
                asked.code_url = f"weixin://wxpay/bizpayurl?pr={secrets.token_urlsafe(8)}"
                books.save(asked)
                known = asked
        return {"code_url": known.code_url}

    def query(self, out_trade_no: str, mchid: str) -> Fields:
        """How an order stands."""
        if mchid != self.who.mchid:
            raise Refusal(400, "PARAM_ERROR", "商户号不匹配")
        order = self.orders.find(out_trade_no)
        if order is None:
            raise Refusal(404, "ORDER_NOT_EXIST", "订单不存在")
        return self.told(order)

    def reverse(self, out_trade_no: str, body: Mapping[str, Any]) -> Fields:
        """Reverse a payment by code."""
        self._ours(body, appid=True)
        order = self.orders.reverse(out_trade_no)
        return {"appid": self.who.appid, "mchid": self.who.mchid, "out_trade_no": order.number}

    def close(self, out_trade_no: str, body: Mapping[str, Any]) -> Fields:
        """Close an order that was to be scanned; the answer is 204 without a body."""
        self._ours(body, appid=False)
        self.orders.close(out_trade_no)
        return {}

    def refund(self, body: Mapping[str, Any]) -> Fields:
        """Accept a refund."""
        order, refund_no, money = text(body, "out_trade_no"), text(body, "out_refund_no"), member(body, "amount")
        amount, total = number(money, "refund"), number(money, "total")
        right = is_refund_number(refund_no) and 1 <= amount <= total and text(money, "currency") == "CNY"
        if not right or len(text(body, "reason").encode()) > 80:
            raise Refusal(400, "PARAM_ERROR", "参数错误")
        url = text(body, "notify_url")
        return self.told_refund(self.orders.refund(order, refund_no, amount, total, text(body, "reason"), url))

    def refund_query(self, refund_no: str) -> Fields:
        """How a refund stands."""
        found = self.orders.repayment(refund_no)
        if found is None or found.reversal:
            raise Refusal(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return self.told_refund(found)

    # -- what goes out -------------------------------------------------------------------------------------------

    def told(self, order: Order) -> Fields:
        """An order as a query tells of it."""
        fields: Fields = {"appid": self.who.appid, "mchid": self.who.mchid, "out_trade_no": order.number}
        fields |= {"trade_type": order.kind, "trade_state": order.state, "trade_state_desc": order.state}
        fields["amount"] = {"total": order.total, "currency": "CNY"}
        if order.paid_at:
            fields |= {"transaction_id": order.transaction_id, "success_time": stamp(order.paid_at)}
            fields |= {"bank_type": "OTHERS", "payer": {"openid": order.buyer}}
            fields["amount"] |= {"payer_total": order.cash, "payer_currency": "CNY"}
        if order.paid_at and order.given:
            fields["promotion_detail"] = [_promotion(order)]
        return fields

    def told_refund(self, each: Repayment) -> Fields:
        """A refund as the channel tells of it: first only that it was accepted."""
        order = self.orders.books.get(Order, each.order)
        assert order is not None
        state = "PROCESSING" if each.state.startswith("then ") else each.state
        fields: Fields = {"refund_id": each.refund_id, "out_refund_no": each.number, "out_trade_no": each.order}
        fields |= {"transaction_id": order.transaction_id, "channel": "ORIGINAL", "status": state}
        fields |= {"user_received_account": "支付用户零钱", "create_time": stamp(each.at), "funds_account": "AVAILABLE"}
        fields |= {"success_time": stamp(each.done_at)} if state == SUCCESS else {}
        money = {"total": order.total, "refund": each.amount, "payer_total": order.cash, "payer_refund": each.cash}
        return fields | {"amount": money | {"currency": "CNY", "settlement_refund": each.amount}}

    # -- what came in --------------------------------------------------------------------------------------------

    def _asked(self, body: Mapping[str, Any]) -> Order:
        self._ours(body, appid=True)
        money, out_trade_no = member(body, "amount"), text(body, "out_trade_no")
        total = number(money, "total")
        if not is_order_number(out_trade_no) or not 1 <= total <= MAX_FEN or text(money, "currency") != "CNY":
            raise Refusal(400, "PARAM_ERROR", "参数错误")
        subject = text(body, "description")
        if not subject or len(subject.encode()) > 127:
            raise Refusal(400, "PARAM_ERROR", "商品描述不正确")
        now = self.orders.now()
        return Order(number=out_trade_no, kind="MICROPAY", state=NOTPAY, total=total, subject=subject, created_at=now)

    def _ours(self, body: Mapping[str, Any], *, appid: bool) -> None:
        if text(body, "mchid") != self.who.mchid:
            raise Refusal(400, "PARAM_ERROR", "商户号不匹配")
        if appid and text(body, "appid") != self.who.appid:
            raise Refusal(400, "APPID_MCHID_NOT_MATCH", "appid和mchid不匹配")


def _promotion(order: Order) -> Fields:
    platform = order.giver == "wechatpay"
    return {
        "coupon_id": order.transaction_id[-10:],
        "name": "微信支付立减" if platform else "商家代金券",
        "scope": "GLOBAL",
        "type": "CASH" if platform else "NOCASH",
        "amount": order.given,
        "wechatpay_contribute": order.given if platform else 0,
        "merchant_contribute": 0 if platform else order.given,
        "other_contribute": 0,
        "currency": "CNY",
    }
