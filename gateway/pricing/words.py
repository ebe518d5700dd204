"""The words of the tables for people, in Chinese; what is not listed stays as it is, names and ids included."""

from collections.abc import Callable, Mapping
from typing import Final

Say = Callable[[str], str]
LANGUAGES: Final = ("en", "zh")

_TABLES: Final = {
    "Lines": "商品行",
    "Benefits, in the order of application": "优惠（按使用顺序）",
    "Refused": "未使用的优惠",
    "Given beside": "赠送",
    "Sum": "合计",
    "Paid by": "支付分摊",
    "Settlement": "结算",
    "Refund": "退款",
    "line": "行",
    "quantity": "数量",
    "unit": "单价",
    "gross": "原价",
    "taken off": "优惠",
    "net": "净额",
    "kind": "种类",
    "on lines": "分摊到行",
    "borne by": "承担方",
    "amount": "金额",
    "reason": "原因",
    "what": "内容",
    "worth": "价值",
    "party": "各方",
    "basis": "基数",
    "{} more would do": "还差 {}",
}
_ROWS: Final = {
    "discount": "优惠",
    "points": "积分",
    "({} points earned)": "(获得 {} 积分)",
    "points returned": "退回积分",
    "points revoked": "收回积分",
    "rounded off": "抹零",
    "payable": "应付",
    "forfeited": "作废金额",
    "all": "合计",
    "altogether": "合计",
    "to": "退至",
    "kept for": "扣下",
    "cancelled": "作废",
    "clawed back": "追回",
    "guide": "导购",
    "commission": "提成",
    "prorata": "按比例",
    "recompute": "重新计算",
    "available": "可用",
    "redeemed": "已核销",
    "expired": "已过期",
    "returned": "已退回",
    "deducted": "已扣款",
    "sale": "销售",
    "promo_cost": "促销承担",
    "deduction": "扣点",
    "acquirer_fee": "手续费",
    "due": "应得",
    "mall": "商场",
    "merchant": "商户",
    "acquirer": "收单方",
}
_KINDS: Final = {
    "member": "会员",
    "campaign": "活动",
    "coupon": "券",
    "member_rate": "会员价",
    "amount_off": "满减",
    "every_amount_off": "每满减",
    "percent_off": "满折",
    "nth_unit": "第几件优惠",
    "buy_n_cheapest": "买几免一",
    "fixed_price": "一口价",
    "gift": "赠品",
    "add_on": "换购",
    "rebate_voucher": "满返",
    "reward": "奖励",
    "cash": "代金券",
    "percent": "折扣券",
    "exchange": "兑换券",
    "count_pass": "次卡",
    "group_buy": "团购券",
    "service_charge": "服务费",
    "minimum_spend": "低消差额",
    "time": "计时费",
}
_REASONS: Final = {
    "threshold": "未达门槛",
    "scope": "不在范围内",
    "time": "不在时间内",
    "member": "会员条件不符",
    "excluded": "互斥",
    "limit": "次数已满",
    "budget": "预算不足",
    "expired": "已过期",
    "not_best": "非最优",
}
_CHINESE: Final[Mapping[str, str]] = {**_TABLES, **_ROWS, **_KINDS}


def words(language: str) -> tuple[Say, Say]:
    """How the tables' words and the reasons of a refusal are said in `en` or `zh`."""
    if language != "zh":
        return str, str
    return (lambda word: _CHINESE.get(word, word)), (lambda reason: _REASONS.get(reason, reason))
