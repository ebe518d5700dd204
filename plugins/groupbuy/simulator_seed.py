"""Shops and deals of the simulated platform: prices in fen."""

from __future__ import annotations

from plugins.groupbuy.simulator_book import Product

KTV, RESTAURANT, DEPARTMENT, CONVENIENCE = (f"710000000000000000{number}" for number in (1, 2, 3, 4))

#: The shops that the account may redeem for: poi → name.
POIS: dict[str, str] = {
    KTV: "星海KTV（人民路店） / Xinghai Karaoke, Renmin Road",
    RESTAURANT: "食通天下（解放路店） / Shitong Restaurant, Jiefang Road",
    DEPARTMENT: "银座百货（中山店） / Yinzuo Department Store, Zhongshan",
    CONVENIENCE: "便民365（和平里店） / Bianmin 365, Hepingli",
    "7100000000000000005": "食通天下（滨江店） / Shitong Restaurant, Binjiang",
}

_DEALS = (
    ("TC03", "欢唱3小时·中包（含果盘）", "3 hours in a middle room with fruit", 1, 26800, 12800, 0, 1, 90, (KTV,)),
    (
        "TC05",
        "通宵欢唱·中包（含啤酒12听）",
        "All night in a medium room with 12 beers",
        1,
        59800,
        26800,
        1000,
        1,
        90,
        (KTV,),
    ),
    ("SET4", "四人聚餐套餐", "Dinner for four", 1, 38800, 25800, 0, 1, 60, (RESTAURANT, "7100000000000000005")),
    ("V100", "100元代金券（不找零）", "Voucher of 100 yuan, no change", 2, 10000, 8800, 300, 1, 180, (RESTAURANT,)),
    ("V500", "500元购物代金券", "Shopping voucher of 500 yuan", 2, 50000, 45000, 0, 1, 180, (DEPARTMENT,)),
    ("ODEN5", "关东煮5串+豆浆", "Five oden skewers and soy milk", 1, 1500, 990, 0, 1, 30, (CONVENIENCE,)),
    ("BUN10", "鲜肉包10次卡", "Ten pork buns, one at a time", 3, 300, 200, 0, 10, 365, (CONVENIENCE,)),
)

#: The deals by the platform's number, which begins 17 and counts up.
PRODUCTS: dict[str, Product] = {
    f"17{number:015d}": Product(
        sku_id=f"17{number:015d}",
        third_sku_id=third,
        title=title,
        english=english,
        kind=kind,
        original=original,
        sold=sold,
        platform_ticket=ticket,
        pieces=pieces,
        days=days,
        pois=pois,
    )
    for number, (third, title, english, kind, original, sold, ticket, pieces, days, pois) in enumerate(_DEALS, 1)
}
