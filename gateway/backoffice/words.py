"""The back office's words for a shopkeeper, in Chinese and English."""

from __future__ import annotations

from gateway.backoffice.result import Class

#: (Chinese, English)
Words = tuple[str, str]

CLASSES: dict[Class, Words] = {
    Class.MATCHED: ("相符", "matched"),
    Class.AMOUNT_MISMATCH: ("金额不符", "amount differs"),
    Class.MISSING_IN_BILL: ("对方缺", "missing in their books"),
    Class.MISSING_AT_OURS: ("我方缺", "missing in ours"),
    Class.STATUS_RESOLVED: ("账单定案", "settled by the bill"),
    Class.DUPLICATE_IN_BILL: ("重复入账", "booked twice"),
    Class.FEE_MISMATCH: ("手续费不符", "fee differs"),
}
BOOKS: dict[str, Words] = {
    "payment_statement": ("收款", "payments"),
    "order_statement": ("收银", "till"),
    "points_statement": ("积分", "points"),
    "value_statement": ("储值", "stored value"),
    "coupon_statement": ("券", "coupons"),
}
KINDS: dict[str, Words] = {
    "sale": ("销售净额", "net sales"),
    "promo_cost": ("促销承担", "promotion"),
    "deduction": ("扣点", "deduction"),
    "acquirer_fee": ("手续费", "card fee"),
}
PARTIES: dict[str, Words] = {
    "mall": ("商户", "the house"),
    "merchant": ("商户", "the house"),
    "acquirer": ("收单机构", "acquirer"),
    "platform": ("平台", "platform"),
}


def both(words: Words) -> str:
    """Both languages side by side."""
    return f"{words[0]} {words[1]}"
