"""What the simulated shop looks like on its first day: rooms, prices, packages, drinks, members. Amounts in fen."""

from __future__ import annotations

from typing import NamedTuple

STORE = ("星海KTV 徐汇店", "Xinghai KTV, Xuhui")


class RoomClass(NamedTuple):
    """A class of rooms: it sets hourly prices, the minimum spend when opened by the hour, and the gift on opening."""

    code: str
    name: str
    english: str
    capacity: int
    minimum: int
    hourly: tuple[int, int, int, int]  # 00–06, 06–13, 13–18, 18–24
    gift: str


CLASSES = {
    row.code: row
    for row in (
        RoomClass("S", "小包", "small room", 4, 0, (3800, 1800, 2800, 5800), "G001"),
        RoomClass("M", "中包", "middle room", 8, 40000, (6800, 2800, 4800, 9800), "G001"),
        RoomClass("L", "大包", "large room", 14, 60000, (10800, 4800, 8800, 16800), "G002"),
        RoomClass("V", "豪华包", "VIP room", 20, 128000, (19800, 9800, 15800, 29800), "G002"),
    )
}

#: The hourly slots of every class, as minutes after midnight.
HOURLY_SLOTS = ((0, 360), (360, 780), (780, 1080), (1080, 1440))

#: Friday to Sunday, 18:00 to 24:00: so much more an hour.
WEEKEND_SURCHARGE = 2000

#: code → name, English name, minutes, price by class. A package has no minimum spend.
PACKAGES: dict[str, tuple[str, str, int, dict[str, int]]] = {
    "TC01": ("欢乐下午场", "afternoon, 3 hours", 180, {"S": 6800, "M": 9800, "L": 15800, "V": 29800}),
    "TC02": ("黄金欢唱", "prime time, 3 hours", 180, {"S": 12800, "M": 19800, "L": 29800, "V": 59800}),
    "TC03": ("通宵欢唱", "overnight singing", 180, {"S": 16800, "M": 26800, "L": 36800, "V": 68800}),
    "TC05": ("尊享买断", "buy-out, 6 hours", 360, {"S": 26800, "M": 39800, "L": 59800, "V": 128800}),
    "TG01": ("团购欢唱3小时", "group-buy deal, 3 hours", 180, {"S": 8800, "M": 12800, "L": 19800, "V": 39800}),
}


class Drink(NamedTuple):
    """What can be ordered into a room; ``counted`` is False for what does not count towards the minimum (不计低消)."""

    code: str
    name: str
    english: str
    price: int
    counted: bool


DRINKS = {
    row.code: row
    for row in (
        Drink("D001", "时令果盘", "fruit platter", 6800, True),
        Drink("D002", "纯生啤酒半打", "draught beer, half a dozen", 12800, True),
        Drink("D003", "小食拼盘", "snack platter", 5800, True),
        Drink("D004", "香烟", "cigarettes", 2800, False),
        Drink("D005", "冰镇酸梅汤一扎", "plum juice, a jug", 3800, True),
        Drink("D006", "奶油爆米花", "popcorn", 1800, True),
        Drink("D007", "矿泉水", "mineral water", 800, True),
        Drink("D008", "红酒一支", "red wine, a bottle", 28800, True),
        Drink("D009", "话筒套", "microphone cover", 200, False),
        Drink("G001", "迎宾小食", "welcome snack (gift)", 0, False),
        Drink("G002", "迎宾果盘", "welcome fruit (gift)", 0, False),
    )
}

#: room → name, English name, class, area. The name of 812 is cut by the till in the middle of a character.
ROOMS: dict[str, tuple[str, str, str, str]] = {
    "801": ("星光801", "Starlight 801", "S", "8F"),
    "802": ("星光802", "Starlight 802", "S", "8F"),
    "803": ("星光803", "Starlight 803", "S", "8F"),
    "805": ("月影805", "Moonlight 805", "M", "8F"),
    "806": ("月影806", "Moonlight 806", "M", "8F"),
    "808": ("月影808", "Moonlight 808", "M", "8F"),
    "810": ("银河810", "Galaxy 810", "L", "8F"),
    "812": ("8楼银河大包", "Galaxy 812", "L", "8F"),
    "901": ("V1星海至尊", "Xinghai VIP 1", "V", "9F"),
    "902": ("V2帝王总统套房", "Royal VIP 2", "V", "9F"),
    "903": ("星光903", "Starlight 903", "S", "9F"),
    "905": ("月影905", "Moonlight 905", "M", "9F"),
}


class SeedMember(NamedTuple):
    """A member on the first day: stored value in fen, what was paid in and what was given on top."""

    card: str
    phone: str
    name: str
    level: str
    points: int
    real: int
    gift: int


MEMBERS = (
    SeedMember("86000001", "13900000001", "林晓燕", "金卡", 12800, 50000, 10000),
    SeedMember("86000002", "13900000002", "欧阳明月春", "银卡", 3600, 20000, 2000),
    SeedMember("86000003", "13900000003", "A李思源同学", "普通", 150, 0, 0),
    SeedMember("86000004", "13900000004", "王建国", "钻石卡", 98000, 300000, 60000),
)

#: tender code → name: how a bill can be paid.
TENDERS = {
    "RMB": "现金",
    "YHK": "银行卡",
    "WX": "微信",
    "ZFB": "支付宝",
    "CZK": "储值卡",
    "TGQ": "团购券",
    "HB": "红包",
    "LPK": "礼品卡",
    "YHQ": "优惠",
    "JF": "积分",
    "YJ": "押金",
    "GZ": "挂账",
    "PT": "平台",
}

MANAGER_CODE = "668899"
