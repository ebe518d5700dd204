"""What the simulated head office starts with: branches, articles, members, plans. Deterministic, invented."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .protocol import check_digit


@dataclass(frozen=True, slots=True)
class Branch:
    """A shop: number, names, place."""

    number: str
    name: str
    english: str
    city: str
    address: str
    latitude: str
    longitude: str


BRANCHES = (
    Branch("0101", "便民365武林店", "Bianmin 365 Wulin", "杭州", "杭州市下城区武林路18号", "30.2741", "120.1612"),
    Branch("0102", "便民365文三店", "Bianmin 365 Wensan", "杭州", "杭州市西湖区文三路269号", "30.2790", "120.1280"),
    Branch("0201", "便民365静安店", "Bianmin 365 Jing'an", "上海", "上海市静安区愚园路68号", "31.2235", "121.4455"),
    Branch("0202", "便民365世纪店", "Bianmin 365 Century", "上海", "上海市浦东新区锦绣路99号", "31.2190", "121.5530"),
)

CLASSES = {"98": "鲜食", "01": "饮料", "02": "零食", "03": "主食速食", "04": "日用", "05": "生鲜称重", "06": "整箱"}


@dataclass(frozen=True, slots=True)
class Item:
    """An article: prices in yuan; ``plu`` for weighed goods; ``single``/``count`` for a case of another article."""

    number: str
    name: str
    english: str
    price: Decimal
    unit: str
    barcode: str = ""
    vip_price: Decimal | None = None
    weighed: bool = False
    plu: str = ""
    single: str = ""
    count: int = 0
    active: bool = True

    @property
    def item_class(self) -> str:
        return self.number[:2]


def _barcode(serial: int) -> str:
    body = f"6990365{serial:05d}"
    return f"{body}{check_digit(body)}"


def _counter(number: str, name: str, english: str, price: str, unit: str = "个") -> Item:
    """Fresh food from the counter: no barcode, class 98."""
    return Item(number, name, english, Decimal(price), unit)


def _packed(number: str, name: str, english: str, price: str, unit: str, serial: int = 0, vip: str = "") -> Item:
    """A packed article; ``serial`` makes its barcode and defaults to its number, so that two can share one."""
    barcode = _barcode(serial or int(number[:6]))
    return Item(number, name, english, Decimal(price), unit, barcode, Decimal(vip) if vip else None)


def _weighed(number: str, name: str, english: str, price: str, plu: str) -> Item:
    return Item(number, name, english, Decimal(price), "千克", weighed=True, plu=plu)


def _case(number: str, name: str, english: str, price: str, single: str, count: int) -> Item:
    barcode = _barcode(int(number[:6]))
    return Item(number, name, english, Decimal(price), "箱", barcode, single=single, count=count)


FRESH = (
    _counter("980001", "鲜肉包", "Meat bun", "3.00"),
    _counter("980002", "豆沙包", "Red-bean bun", "2.50"),
    _counter("980003", "香菇菜包", "Mushroom and greens bun", "2.50"),
    _counter("980004", "奶黄包", "Custard bun", "2.80"),
    _counter("980005", "茶叶蛋", "Tea egg", "1.80"),
    _counter("980006", "烤肠", "Grilled sausage", "4.50", "根"),
    _counter("980007", "玉米", "Corn on the cob", "4.00", "根"),
    _counter("980008", "热豆浆", "Hot soy milk", "3.50", "杯"),
    _counter("980009", "现磨美式咖啡", "Fresh Americano", "9.90", "杯"),
    _counter("980011", "关东煮萝卜", "Oden daikon", "2.00", "串"),
    _counter("980012", "关东煮鱼丸", "Oden fish balls", "2.50", "串"),
    _counter("980013", "关东煮海带结", "Oden kelp knots", "2.00", "串"),
    _counter("980014", "关东煮魔芋丝", "Oden konjac noodles", "2.50", "串"),
    _counter("980015", "关东煮北极翅", "Oden crab-flavour stick", "3.50", "串"),
    _counter("980016", "关东煮鱼豆腐", "Oden fish tofu", "3.00", "串"),
    _counter("980017", "关东煮福袋", "Oden lucky pouch", "3.90", "个"),
    _counter("980018", "散装鸡蛋", "Loose egg", "0.8333"),
)

DRINKS = (
    _packed("010001", "天然矿泉水550ml", "Natural mineral water 550 ml", "2.00", "瓶"),
    _packed("010002", "纯净水596ml", "Purified water 596 ml", "1.50", "瓶"),
    _packed("010003", "茉莉绿茶500ml", "Jasmine green tea 500 ml", "3.50", "瓶", vip="3.20"),
    _packed("010004", "茉莉绿茶500ml新包装", "Jasmine green tea 500 ml, new pack", "3.80", "瓶", serial=10003),
    _packed("010005", "冰红茶500ml", "Iced black tea 500 ml", "3.50", "瓶"),
    _packed("010006", "乌龙茶500ml", "Oolong tea 500 ml", "5.00", "瓶"),
    _packed("010007", "可乐330ml", "Cola 330 ml", "2.50", "罐"),
    _packed("010008", "柠檬汽水330ml", "Lemon soda 330 ml", "2.50", "罐"),
    _packed("010009", "橙汁300ml", "Orange juice 300 ml", "4.50", "瓶"),
    _packed("010010", "纯牛奶250ml", "Whole milk 250 ml", "3.60", "盒", vip="3.40"),
    _packed("010011", "原味酸奶200g", "Plain yoghurt 200 g", "5.80", "瓶", vip="5.50"),
    _packed("010012", "拿铁咖啡268ml", "Latte coffee 268 ml", "6.50", "瓶"),
    _packed("010013", "功能饮料250ml", "Energy drink 250 ml", "6.00", "罐"),
    _packed("010014", "淡爽啤酒500ml", "Light beer 500 ml", "4.00", "罐"),
)

SNACKS = (
    _packed("020001", "原味薯片70g", "Potato crisps, plain 70 g", "6.50", "袋"),
    _packed("020002", "黄瓜味薯片70g", "Potato crisps, cucumber 70 g", "6.50", "袋"),
    _packed("020003", "苏打饼干100g", "Soda crackers 100 g", "4.20", "袋"),
    _packed("020004", "夹心饼干97g", "Sandwich biscuits 97 g", "5.90", "盒"),
    _packed("020005", "牛奶巧克力43g", "Milk chocolate 43 g", "7.50", "块", vip="6.90"),
    _packed("020006", "薄荷口香糖", "Mint chewing gum", "3.00", "条"),
    _packed("020007", "五香瓜子160g", "Spiced sunflower seeds 160 g", "8.80", "袋"),
    _packed("020008", "海苔4g", "Seaweed snack 4 g", "4.90", "包"),
    _packed("020009", "牛肉干50g", "Beef jerky 50 g", "16.80", "袋"),
    _packed("020010", "话梅65g", "Preserved plums 65 g", "9.50", "袋"),
)

STAPLES = (
    _packed("030001", "红烧牛肉面桶装", "Braised-beef noodles, cup", "5.00", "桶"),
    _packed("030002", "酸菜牛肉面桶装", "Pickled-cabbage beef noodles, cup", "5.00", "桶"),
    _packed("030003", "金枪鱼饭团", "Tuna rice ball", "6.80", "个"),
    _packed("030004", "照烧鸡腿便当", "Teriyaki chicken bento", "18.80", "盒"),
    _packed("030005", "火腿三明治", "Ham sandwich", "9.80", "个"),
    _packed("030006", "吐司面包400g", "Sliced bread 400 g", "10.90", "袋"),
    _packed("030007", "玉米火腿肠", "Corn sausage", "2.50", "根"),
    _packed("030008", "螺蛳粉袋装", "River-snail rice noodles, pack", "12.50", "袋"),
)

HOUSEHOLD = (
    _packed("040001", "抽纸130抽", "Facial tissues, 130 pulls", "4.90", "包"),
    _packed("040002", "湿巾10片", "Wet wipes, 10", "3.50", "包"),
    _packed("040003", "一次性雨衣", "Disposable raincoat", "9.90", "件"),
    _packed("040004", "5号电池4粒", "AA batteries, 4", "12.80", "卡"),
    _packed("040005", "手机充电线", "Phone charging cable", "29.90", "根"),
    _packed("040006", "购物袋", "Carrier bag", "0.30", "个"),
    Item("040007", "停售打火机", "Lighter (withdrawn)", Decimal("2.00"), "个", _barcode(40007), active=False),
)

WEIGHED = (
    _weighed("050001", "酱牛肉", "Soy-braised beef", "100.20", "06013"),
    _weighed("050002", "红心火龙果", "Red dragon fruit", "25.80", "01234"),
    _weighed("050003", "阳光葡萄", "Shine grapes", "25.28", "12345"),
    _weighed("050004", "卤鸡爪", "Braised chicken feet", "68.00", "06020"),
)

CASES = (
    _case("060001", "矿泉水整箱24瓶", "Mineral water, case of 24", "42.00", "010001", 24),
    _case("060002", "纯牛奶整箱16盒", "Whole milk, case of 16", "52.80", "010010", 16),
)

ITEMS = FRESH + DRINKS + SNACKS + STAPLES + HOUSEHOLD + WEIGHED + CASES


@dataclass(frozen=True, slots=True)
class Vip:
    """A member: card, name, phone (invented), level, discount as the table keeps it, points at opening."""

    card: str
    name: str
    phone: str
    level: str
    discount: str
    points: int


VIPS = (
    Vip("8800000001", "王小明", "13800001001", "02", "0.9500", 1280),
    Vip("8800000002", "李晓红", "13800001002", "01", "1.0000", 86),
    Vip("8800000003", "陈建国", "13800001003", "03", "0.9000", 5632),
    Vip("8800000004", "张丽", "13800001004", "01", "1.0000", 0),
    Vip("8800000005", "刘芳", "13800001005", "02", "0.9500", 742),
    Vip("8800000006", "O'Neil 欧阳", "13800001006", "01", "1.0000", 15),
)

#: Special prices that run for years around any test: plan number, article, price in yuan.
PLANS = (("PL2601000001", "010012", "5.90"), ("PL2601000001", "020004", "4.90"))
