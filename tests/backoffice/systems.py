"""Merchants' files for the tests of the back office: a mall, a corner shop, a karaoke house, a restaurant."""

from __future__ import annotations

import json

from plugins.alipay.simulator import AlipaySimulator

WALLET = """
[connections.alipay]
adapter = "alipay"
insecure_transport = true
[connections.alipay.settings]
endpoint = "http://<alipay.gateway>/gateway.do"
app_id = "APP"
seller_id = "SELLER"
timeout_s = 1.0
app_private_key = "file:<alipay.data>/app_private_key.pem"
alipay_public_key = "file:<alipay.data>/alipay_public_key.pem"
"""
HOUSE = """
[connections.house]
adapter = "house"
"""
MALL = f"""
[merchant]
id = "m1"
name = "湖滨百货"
acquirer_fee_bp = 60
[[stores]]
id = "lakeside"
name = "湖滨店"
[[stores.counters]]
id = "K1"
name = "女鞋"
deduction_bp = 2500
promotion_share_bp = 6000
[[stores.counters]]
id = "K2"
name = "女装"
deduction_bp = 2800
promotion_share_bp = 5000
[[stores.counters]]
id = "K3"
name = "围巾"
deduction_bp = 3000
promotion_share_bp = 10000
[connections.mis]
adapter = "department"
insecure_transport = true
[connections.mis.settings]
soap_url = "http://<mis.soap>/sales.asmx"
user = "user"
password = "env:MIS_PASSWORD"
license = "env:MIS_LICENSE"
database = "<mis.database>"
stores = {{ lakeside = "S001" }}
till = "T901"
[connections.terminal]
adapter = "bank_terminal"
[connections.terminal.settings]
folder = "<terminal.folder>"
details = "<terminal.details>"
{WALLET}
[[routes]]
family = "payments"
connection = "terminal"
methods = ["bank_card"]
[[routes]]
family = "payments"
connection = "alipay"
[[routes]]
family = "orders"
connection = "mis"
[[routes]]
family = "stock"
connection = "mis"
[[pricing.campaigns]]
id = "CX0308"
version = 1
kind = "every_amount_off"
tiers = [{{ threshold_amount = 50000, off_amount = 10000 }}]
"""
CORNER = f"""
[merchant]
id = "m1"
name = "便民365"
acquirer_fee_bp = 60
[[stores]]
id = "wulin"
name = "武林店"
[connections.office]
adapter = "convenience"
[connections.office.settings]
database = "<office.database>"
drop_folder = "<office.drop>"
branches = {{ wulin = "0101" }}
{WALLET}
[[routes]]
family = "payments"
connection = "alipay"
[[routes]]
family = "orders"
connection = "office"
[[routes]]
family = "stock"
connection = "office"
"""
KARAOKE = f"""
[merchant]
id = "m1"
name = "星海KTV"
business_day_ends = "06:00"
acquirer_fee_bp = 60
[[stores]]
id = "s1"
name = "徐汇店"
[connections.till]
adapter = "ktv"
insecure_transport = true
[connections.till.settings]
host = "127.0.0.1"
port = TILL_PORT
store_id = "s1"
manager_code = "env:KTV_MANAGER"
[connections.groupbuy]
adapter = "groupbuy"
insecure_transport = true
[connections.groupbuy.settings]
base_url = "http://<groupbuy.platform>"
client_key = "tqt-merchant-001"
client_secret = "file:<groupbuy.data>/client_secret"
operator_account = "gateway-01"
operator_name = "网关"
business_day_starts = "06:00"
poi_ids = {{ s1 = "7100000000000000001" }}
packages = {{ TC03 = "TC03" }}
{WALLET}
[[routes]]
family = "payments"
connection = "alipay"
[[routes]]
family = "coupons"
connection = "groupbuy"
[[routes]]
family = "membership"
connection = "till"
[[routes]]
family = "orders"
connection = "till"
[[routes]]
family = "stock"
connection = "till"
"""
RESTAURANT = f"""
[merchant]
id = "m1"
name = "青禾里"
business_day_ends = "04:00"
acquirer_fee_bp = 60
[[stores]]
id = "sh-01"
name = "徐汇漕溪店"
{HOUSE}
[connections.house.settings]
tiers = {{ gold = 9000 }}
[connections.tills]
adapter = "restaurant"
insecure_transport = true
[connections.tills.settings]
till_url = "<restaurant.till>"
operator = "9001"
password = "env:TILL_PASSWORD"
office_url = "<restaurant.office>"
brand_id = "810001"
app_key = "qinghe-gateway"
app_secret = "env:OFFICE_SECRET"
shops = {{ sh-01 = {{ code = "SH01", service_basis = "net", rounding = "jiao" }} }}
{WALLET}
[[routes]]
family = "payments"
connection = "alipay"
[[routes]]
family = "membership"
connection = "house"
[[routes]]
family = "orders"
connection = "tills"
[[routes]]
family = "stock"
connection = "tills"
[pricing.points]
rule = {{ points = 100, amount = 100 }}
earn = {{ per_amount = 100, points = 1 }}
"""


def of_wallet(file: str, wallet: AlipaySimulator) -> str:
    """The merchant's file with what the wallet has given the merchant."""
    who = json.loads((wallet.data / "merchant.json").read_text())
    return file.replace('"APP"', f'"{who["app_id"]}"').replace("SELLER", who["seller_id"])
