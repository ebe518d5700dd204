"""The console's words, in Chinese and English."""

from __future__ import annotations

LANGUAGES = ("zh", "en")

#: word → (Chinese, English)
_WORDS: dict[str, tuple[str, str]] = {
    "title": ("当日结账", "Checkouts of the day"),
    "subtitle": ("只读页面，时间为门店当地时间", "Read only; times are local to the shop"),
    "merchant": ("商户", "Merchant"),
    "all_merchants": ("全部商户", "All merchants"),
    "date": ("营业日", "Business date"),
    "status": ("状态", "Status"),
    "all_statuses": ("全部状态", "All"),
    "show": ("查看", "Show"),
    "today": ("今天", "Today"),
    "time": ("时间", "Time"),
    "store": ("门店", "Store"),
    "order": ("订单号", "Order"),
    "payable": ("应付", "Payable"),
    "tenders": ("支付方式", "Tenders"),
    "count": ("笔数", "Checkouts"),
    "taken": ("实收", "Taken"),
    "refunded": ("已退", "Refunded"),
    "open": ("处理中", "Under way"),
    "tasks": ("待办", "Tasks"),
    "none": ("这一天没有结账", "No checkout on this day"),
    "none_fits": ("没有符合条件的结账", "No checkout fits"),
    "lines": ("明细", "Lines"),
    "gross": ("原价", "Gross"),
    "discount": ("优惠", "Discount"),
    "fees": ("费用", "Fees"),
    "points_paid": ("积分抵扣", "Points"),
    "rounding": ("抹零", "Rounding"),
    "timeline": ("时间线与证据", "Timeline and evidence"),
    "receipt": ("小票", "Receipt"),
    "member": ("会员", "Member"),
    "session": ("包厢单", "Session"),
    "legs": ("各系统步骤", "What each system did"),
    "leg": ("步骤", "Step"),
    "system": ("系统", "System"),
    "attempts": ("次数", "Tries"),
    "started": ("开始", "Start"),
    "duration": ("用时", "Took"),
    "detail": ("说明", "Detail"),
    "refund": ("退款", "Refund"),
    "task": ("待办", "Task"),
    "failure": ("失败原因", "Failed because"),
    "older": ("更早", "Older"),
    "newer": ("更近", "Newer"),
    "too_many": ("当天超过 {n} 笔，只列出最近的", "More than {n} checkouts: only the newest are listed"),
    "bad_date": ("日期应为 年-月-日", "A date is year-month-day"),
    "bad_merchant": ("没有这个商户", "There is no such merchant"),
    # statuses of checkouts
    "processing": ("处理中", "Processing"),
    "awaiting_customer": ("等待顾客", "Awaiting customer"),
    "resolving": ("核实中", "Resolving"),
    "completed": ("已完成", "Completed"),
    "failed": ("失败", "Failed"),
    "cancelled": ("已取消", "Cancelled"),
    "needs_attention": ("需人工", "Needs attention"),
    "succeeded": ("已退", "Refunded"),
    # states of operations
    "op_intent": ("发送中", "sending"),
    "op_ok": ("成功", "done"),
    "op_pending": ("等待中", "pending"),
    "op_declined": ("被拒", "declined"),
    "op_not_sent": ("未发出", "not sent"),
    "op_unknown": ("结果未知", "unknown"),
    "op_gone": ("未发生", "never happened"),
    "op_task": ("转人工", "a person's case"),
    # tenders
    "payment_code": ("付款码", "Payment code"),
    "qr_code": ("扫码", "QR code"),
    "bank_card": ("银行卡", "Bank card"),
    "deposit": ("押金", "Deposit"),
    "stored_value": ("储值", "Stored value"),
    "red_envelope": ("红包", "Red envelope"),
    "gift_card": ("礼品卡", "Gift card"),
    "voucher": ("团购券", "Voucher"),
    "cash": ("现金", "Cash"),
    "on_account": ("挂账", "On account"),
    "alipay": ("支付宝", "Alipay"),
    "wechat": ("微信支付", "WeChat Pay"),
    "unionpay": ("云闪付", "UnionPay"),
    # changes
    "payment_charge": ("收款", "Charge"),
    "payment_reverse": ("撤销收款", "Reverse the charge"),
    "payment_refund": ("退款", "Refund"),
    "payment_authorize": ("预授权", "Authorise"),
    "payment_capture": ("预授权完成", "Capture"),
    "payment_release": ("释放预授权", "Release"),
    "points_reserve": ("冻结积分", "Hold points"),
    "points_confirm": ("扣积分", "Spend points"),
    "points_cancel": ("解冻积分", "Release points"),
    "points_return": ("退回积分", "Give points back"),
    "points_earn": ("赠积分", "Points earned"),
    "points_revoke": ("收回积分", "Take points back"),
    "value_reserve": ("冻结储值", "Hold value"),
    "value_confirm": ("扣储值", "Spend value"),
    "value_cancel": ("解冻储值", "Release value"),
    "value_return": ("退回储值", "Give value back"),
    "coupon_reserve": ("锁券", "Hold the coupon"),
    "coupon_confirm": ("用券", "Use the coupon"),
    "coupon_redeem": ("核销", "Redeem"),
    "coupon_cancel": ("解锁券", "Release the coupon"),
    "coupon_restore": ("退券", "Restore the coupon"),
    "reward_send": ("发红包", "Send the reward"),
    "reward_revoke": ("收回红包", "Take the reward back"),
    "stock_reserve": ("锁库存", "Hold goods or room"),
    "stock_confirm": ("扣库存", "Take goods or room"),
    "stock_cancel": ("释放库存", "Release goods or room"),
    "stock_return": ("退回库存", "Goods back"),
    "bill_hold": ("锁单", "Freeze the bill"),
    "bill_release": ("解锁账单", "Release the bill"),
    "order_post": ("入账收银机", "Book in the till"),
    "order_void": ("收银机冲销", "Void in the till"),
    "order_return": ("收银机退货", "Return in the till"),
    "deposit_post": ("押金入账", "Book the deposit"),
    "deposit_void": ("押金冲销", "Void the deposit"),
    "session_open": ("开房", "Open the room"),
    "session_extend": ("续钟", "Extend the session"),
    "session_close": ("关房", "Close the room"),
    "gateway": ("网关", "gateway"),
}


class Words:
    """Words of one language; an unknown one stands for itself."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else LANGUAGES[0]
        self._index = LANGUAGES.index(self.language)

    def __call__(self, word: str, **values: object) -> str:
        found = _WORDS.get(word)
        text = found[self._index] if found else word
        return text.format(**values) if values else text

    def name(self, thing: object) -> str:
        """A merchant's or store's name in this language, where it has one."""
        own = getattr(thing, "name_en", "") if self.language == "en" else ""
        return str(own or getattr(thing, "name", ""))
