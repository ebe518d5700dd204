"""The till's database of the simulated department store: one SQLite file with the legacy schema, and its first data.

CHAR columns are padded with blanks to their width in GBK bytes, NUMERIC columns come back as int or float, times are
``yyyymmddhhmmss`` in the shop's own clock. ``zt`` of a slip: 0 open, 1 paid, 2 picked up, 9 void. ``zysl`` is what
slips hold of the stock ``sl``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plugins.department.protocol import pad

DATABASE = "mis.db"

SCHEMA = """
CREATE TABLE IF NOT EXISTS MD(store CHAR(4) PRIMARY KEY, mc CHAR(40), ywmc CHAR(40), jd TEXT, wd TEXT);
CREATE TABLE IF NOT EXISTS CK(ckno CHAR(6) PRIMARY KEY, store CHAR(4), mc CHAR(40), ywmc CHAR(40),
    htlx CHAR(1), cdbl NUMERIC(5,2), bdje NUMERIC(12,2));
CREATE TABLE IF NOT EXISTS SP(spbm CHAR(13) PRIMARY KEY, mc CHAR(40), ywmc CHAR(40), kh CHAR(16), tm CHAR(13),
    lb CHAR(12));
CREATE TABLE IF NOT EXISTS JSM(jscode CHAR(8), spbm CHAR(13), ckno CHAR(6), lsj NUMERIC(12,2), kl NUMERIC(5,2),
    mr CHAR(1), PRIMARY KEY(jscode, spbm, ckno));
CREATE TABLE IF NOT EXISTS KC(store CHAR(4), ckno CHAR(6), spbm CHAR(13), sl NUMERIC(10,3), zysl NUMERIC(10,3),
    PRIMARY KEY(store, ckno, spbm));
CREATE TABLE IF NOT EXISTS SLIP(slipno CHAR(12), ckno CHAR(6), lineno INT, spbm CHAR(13), jscode CHAR(8),
    sl NUMERIC(10,3), lsj NUMERIC(12,2), zkje NUMERIC(12,2), ysje NUMERIC(12,2), zt CHAR(1), kpsj CHAR(14),
    PRIMARY KEY(slipno, lineno));
CREATE TABLE IF NOT EXISTS SLIPSD(slipno CHAR(12) PRIMARY KEY, till CHAR(6), sdsj CHAR(14), dh CHAR(64));
CREATE TABLE IF NOT EXISTS XSHEAD(txdate CHAR(8), store CHAR(4), till CHAR(6), docno CHAR(10), txtime CHAR(6),
    xslb CHAR(2), ydate CHAR(8), ystore CHAR(4), ytill CHAR(6), ydocno CHAR(10), syy CHAR(8), vip CHAR(20),
    ysje NUMERIC(12,2), sfje NUMERIC(12,2), zlje NUMERIC(12,2), dh CHAR(64), fp CHAR(1),
    PRIMARY KEY(txdate, store, till, docno));
CREATE INDEX IF NOT EXISTS XSHEAD_DH ON XSHEAD(dh);
CREATE TABLE IF NOT EXISTS XSDETAIL(txdate CHAR(8), store CHAR(4), till CHAR(6), docno CHAR(10), lineno INT,
    ckno CHAR(6), slipno CHAR(12), spbm CHAR(13), jscode CHAR(8), sl NUMERIC(10,3), lsj NUMERIC(12,2),
    hyzk NUMERIC(12,2), cxzk NUMERIC(12,2), ysje NUMERIC(12,2), PRIMARY KEY(txdate, store, till, docno, lineno));
CREATE TABLE IF NOT EXISTS XSPAY(txdate CHAR(8), store CHAR(4), till CHAR(6), docno CHAR(10), lineno INT,
    fkfs CHAR(4), je NUMERIC(12,2), ckh CHAR(64), PRIMARY KEY(txdate, store, till, docno, lineno));
CREATE TABLE IF NOT EXISTS XSFT(txdate CHAR(8), store CHAR(4), till CHAR(6), docno CHAR(10), sphh INT, fkhh INT,
    je NUMERIC(12,2), PRIMARY KEY(txdate, store, till, docno, sphh, fkhh));
CREATE TABLE IF NOT EXISTS CX(cxid CHAR(8) PRIMARY KEY, mc CHAR(40), lx CHAR(3), mje NUMERIC(12,2), jje NUMERIC(12,2));
CREATE TABLE IF NOT EXISTS HY(hykh CHAR(20) PRIMARY KEY, xm CHAR(20), zk NUMERIC(5,2));
CREATE TABLE IF NOT EXISTS QUAN(qh CHAR(20) PRIMARY KEY, mje NUMERIC(12,2), je NUMERIC(12,2));
CREATE TABLE IF NOT EXISTS FQ(fqh CHAR(20) PRIMARY KEY, docno CHAR(10), je NUMERIC(12,2), fqsj CHAR(14));
"""

#: store, Chinese name, English name, longitude, latitude (GCJ-02)
STORES = (
    ("S001", "银座百货湖滨店", "Yinzuo Department Store Lakeside", "117.0250", "36.6700"),
    ("S002", "银座百货东门店", "Yinzuo Department Store East Gate", "117.0680", "36.6680"),
)
#: counter, store, Chinese name, English name, contract form, its share of promotions in percent, monthly guarantee.
#: Contract forms: 1 owned (经销), 2 consignment (代销), 3 concession (联营), 4 lease (租赁).
COUNTERS = (
    ("K1", "S001", "步云鞋坊", "Cloudstep Shoes", "3", 60, 30000),
    ("K2", "S001", "素锦女装", "Sujin Dresses", "3", 50, 25000),
    ("K3", "S001", "丝路围巾", "Silkway Scarves", "3", 100, 8000),
    ("K4", "S001", "安居家纺", "Anju Home Textiles", "1", 0, 0),
    ("K5", "S001", "墨香文具", "Moxiang Stationery", "4", 100, 6000),
    ("K6", "S002", "步云鞋坊东门柜", "Cloudstep Shoes East", "3", 60, 20000),
    ("K7", "S002", "素锦女装东门柜", "Sujin Dresses East", "3", 50, 18000),
    ("K8", "S002", "小满童装", "Xiaoman Kids", "2", 50, 0),
)
#: item, Chinese name, English name, style number, category, counter -> stock,
#: cash codes as (settle code, price in yuan, deduction rate in percent), the first is the default
ITEMS: tuple[tuple[str, str, str, str, str, dict[str, int], tuple[tuple[str, str, str], ...]], ...] = (
    ("6901000000018", "女士真皮短靴", "Women's leather ankle boots", "BY-1403-01", "shoes", {"K1": 12, "K6": 8},
     (("J1001", "899.00", "25.00"), ("J1002", "699.00", "20.00"))),
    ("6901000000025", "男士商务皮鞋", "Men's derby shoes", "BY-1403-02", "shoes", {"K1": 10, "K6": 6},
     (("J1003", "759.00", "25.00"),)),
    ("6901000000032", "轻便运动鞋", "Light running shoes", "BY-1402-11", "shoes", {"K1": 20, "K6": 15},
     (("J1004", "429.00", "25.00"), ("J1005", "329.00", "22.00"))),
    ("6901000000117", "真丝连衣裙", "Silk dress", "SJ-14S-07", "dresses", {"K2": 9, "K7": 5},
     (("J2001", "659.00", "28.00"), ("J2002", "559.00", "24.00"))),
    ("6901000000124", "亚麻半身裙", "Linen skirt", "SJ-14S-12", "dresses", {"K2": 14, "K7": 7},
     (("J2003", "359.00", "28.00"),)),
    ("6901000000131", "羊绒开衫", "Cashmere cardigan", "SJ-13W-30", "dresses", {"K2": 6},
     (("J2004", "1280.00", "28.00"),)),
    ("6901000000216", "羊毛印花围巾", "Printed wool scarf", "SL-14-03", "scarves", {"K3": 25},
     (("J3001", "199.00", "30.00"), ("J3002", "149.00", "26.00"))),
    ("6901000000223", "桑蚕丝方巾", "Mulberry silk square", "SL-14-05", "scarves", {"K3": 18},
     (("J3003", "268.00", "30.00"),)),
    ("6901000000315", "纯棉四件套", "Cotton bedding set", "AJ-1401", "home", {"K4": 16},
     (("J4001", "498.00", "0.00"),)),
    ("6901000000322", "蚕丝被", "Silk duvet", "AJ-1407", "home", {"K4": 8}, (("J4002", "880.00", "0.00"),)),
    ("6901000000414", "铱金钢笔", "Iridium fountain pen", "MX-22", "stationery", {"K5": 30},
     (("J5001", "128.00", "12.00"),)),
    ("6901000000513", "儿童防风外套", "Children's windbreaker", "XM-14S-2", "kids", {"K8": 12},
     (("J8001", "239.00", "26.00"),)),
)  # fmt: skip
CAMPAIGNS = (("CX0308", "春季每满500减100", "MMJ", "500.00", "100.00"),)
MEMBERS = (("V880001", "陈女士", "95.00"), ("V880002", "赵先生", "98.00"))
COUPONS = (("Q50-0001", "300.00", "50.00"), ("Q50-0002", "300.00", "50.00"))


class Database:
    """The database file. Every use opens a connection of its own, as each till does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / DATABASE
        with self.write() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'MD'").fetchone():
                _create(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One write transaction, committed at the end and undone when the block raises."""
        connection = self._connect()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with."""
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        connection.row_factory = sqlite3.Row
        return connection


def _create(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    for store, name, english, longitude, latitude in STORES:
        row = (pad(store, 4), pad(name, 40), pad(english, 40), longitude, latitude)
        connection.execute("INSERT INTO MD VALUES(?,?,?,?,?)", row)
    for counter, store, name, english, form, share, guarantee in COUNTERS:
        place = (pad(counter, 6), pad(store, 4), pad(name, 40), pad(english, 40), form, share, guarantee)
        connection.execute("INSERT INTO CK VALUES(?,?,?,?,?,?,?)", place)
    _seed_items(connection)
    for code, name, kind, threshold, less in CAMPAIGNS:
        connection.execute("INSERT INTO CX VALUES(?,?,?,?,?)", (pad(code, 8), pad(name, 40), kind, threshold, less))
    for card, person, rate in MEMBERS:
        connection.execute("INSERT INTO HY VALUES(?,?,?)", (pad(card, 20), pad(person, 20), rate))
    for code, threshold, face in COUPONS:
        connection.execute("INSERT INTO QUAN VALUES(?,?,?)", (pad(code, 20), threshold, face))


def _seed_items(connection: sqlite3.Connection) -> None:
    store_of = {counter[0]: counter[1] for counter in COUNTERS}
    for item, name, english, style, category, stock, codes in ITEMS:
        row = (item, pad(name, 40), pad(english, 40), pad(style, 16), item, pad(category, 12))
        connection.execute("INSERT INTO SP VALUES(?,?,?,?,?,?)", row)
        for counter, count in stock.items():
            held = (pad(store_of[counter], 4), pad(counter, 6), item, count, 0)
            connection.execute("INSERT INTO KC VALUES(?,?,?,?,?)", held)
            for index, (code, price, rate) in enumerate(codes):
                priced = (pad(code, 8), item, pad(counter, 6), price, rate, "0" if index else "1")
                connection.execute("INSERT INTO JSM VALUES(?,?,?,?,?,?)", priced)
