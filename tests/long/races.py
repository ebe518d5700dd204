"""Many at once for the same thing, from several processes: as many winners as there is of it, and a clean refusal for
everyone else.

A round is one race: one key, one order number, the last item, a coupon's last use, the same points, the same stored
value, a deposit, a room at an hour, a campaign's last use, or all of a checkout's money given back by many. Its clients
are spread over several processes, each a whole gateway with recovery; on SQLite they share the file, on PostgreSQL each
is a node of its own. Winners are counted in the journal, the house's books and the wallet's. A loser is told 409, or a
refusal of its request (402, 422), or what the winner was told; never 5xx.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway.sdk import Identity, IdentityType, Secret, Transaction
from gateway.testing.postgres import PostgresServer
from plugins.house import coupons, members, stock
from plugins.house.adapter import insert_identity, insert_member
from tests.engine.street import Street
from tests.long import runs
from tests.long.audit import kept

Json = dict[str, Any]
PROCESSES = 8
#: Rounds side by side at one moment, and in one life.
SIDE, LIFE = 8, 400
PRICE, RICH = 1_000, 2_500_000
#: Rooms of one class in the karaoke house's simulator.
ROOMS = ("805", "806", "808", "905")
#: A use is counted for each member; it needs a sale that nothing else in the races comes to.
CAMPAIGN = """
[[pricing.campaigns]]
id = "last"
version = 1
kind = "amount_off"
tiers = [{ threshold_amount = 2000000, off_amount = 1000 }]
limits = { per_member = 1 }
"""


@dataclass
class Race:
    """One round: who asks for what, how many may win, and what the books must then say."""

    kind: str
    name: str
    asks: list[Json]
    wins: int
    replies: list[Json] = field(default_factory=list)
    #: What the books must say at rest: a query with one number, and the number.
    books: list[tuple[str, int]] = field(default_factory=list)
    same_key: bool = False


@dataclass
class Arena(Street):
    """A street without a server: the gateway's processes are the racers."""

    names: Sequence[str] = ("alipay", "ktv", "groupbuy")
    merchants: Sequence[str] = ("ktv",)
    racers: list[subprocess.Popen[str]] = field(default_factory=list)
    processes: int = PROCESSES
    threads: int = 16

    def _write_config(self) -> None:
        super()._write_config()
        shop = self.config_file.parent / "merchants" / "m1.toml"
        shop.write_text(shop.read_text() + CAMPAIGN)

    def _start_gateway(self) -> None:
        for number in range(self.processes):
            self.racers.append(self._racer(number))
        for racer in self.racers:
            assert racer.stdout is not None
            if racer.stdout.readline() != "ready\n":
                raise RuntimeError("a racer did not start")

    def _racer(self, number: int) -> subprocess.Popen[str]:
        folder = self.data / f"racer{number}"
        folder.mkdir()
        text = self.config_file.read_text()
        text = text.replace('"merchants/*.toml"', f'"{self.config_file.parent}/merchants/*.toml"')
        data = '"data"' if self.database_url else f'"{self.data / "gateway"}"'
        (folder / "gateway.toml").write_text(text.replace('"../gateway"', data))
        command = [sys.executable, "-m", "tests.long.racer", str(folder / "gateway.toml"), self.key, str(self.threads)]
        with (folder / "log").open("w") as log:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def stop(self) -> None:
        for racer in self.racers:
            if racer.stdin is not None:
                racer.stdin.close()
        for racer in self.racers:
            try:
                racer.wait(20)
            except subprocess.TimeoutExpired:
                racer.kill()
                racer.wait()
            if racer.stdout is not None:
                racer.stdout.close()
        super().stop()

    def __enter__(self) -> Arena:
        super().__enter__()
        return self

    def go(self, asks: list[Json]) -> list[Json]:
        """Spread these over the processes, all at one moment; what each was told."""
        shares = [asks[number :: self.processes] for number in range(self.processes)]
        at = time.time() + 0.01 + len(asks) * 0.0002
        for racer, share in zip(self.racers, shares, strict=True):
            assert racer.stdin is not None
            racer.stdin.write(json.dumps({"at": at, "asks": share}) + "\n")
            racer.stdin.flush()
        told: list[Json] = []
        for racer in self.racers:
            assert racer.stdout is not None
            told += json.loads(racer.stdout.readline())
        return told


# --- the rounds ------------------------------------------------------------------------------------------------------


class Maker:
    """Makes rounds; each has its own article, member and coupon."""

    def __init__(self, arena: Arena, seed: int, clients: int, few: int = 8) -> None:
        self.arena, self.rng, self.clients, self.few = arena, random.Random(seed), clients, few
        self._ids, self._names, self._rooms = itertools.count(), itertools.count(), itertools.count()
        self.seed = seed

    def all(self, kinds: list[str], tx: Transaction) -> list[Race]:
        return [self.make(kind, tx) for kind in kinds]

    def make(self, kind: str, tx: Transaction) -> Race:
        """One race of this kind, with all that it needs put into the store."""
        name = f"{kind}{self.seed}-{next(self._names)}"
        stock.set_level(tx, "m1", "s1", name, 1_000_000)
        price = RICH if kind == "campaign" else PRICE
        doc = json.dumps({"sku": name, "name": name, "unit_amount": price})
        tx.execute(
            "INSERT INTO products (merchant, sku, name, doc, as_of) VALUES ('m1', :sku, :sku, :doc, 0)",
            {"sku": name, "doc": doc},
        )
        made: Race = getattr(self, f"_{kind}")(name, tx)
        return made

    def _race(self, name: str, clients: int, wins: int, *, cash: bool = False, **more: Any) -> Race:
        asks = [
            self._ask(f"{name}-{n}", "/checkouts", self._basket(name, n, cash=cash, **more)) for n in range(clients)
        ]
        return Race(name.rstrip("0123456789-"), name, asks, wins)

    def _ask(self, key: str, path: str, body: Json) -> Json:
        return {"id": next(self._ids), "merchant": "m1", "path": path, "key": key, "body": body}

    def _basket(self, name: str, number: int, *, cash: bool, **more: Any) -> Json:
        code = f"28{self.seed % 1000:03d}{next(self._ids):09d}{self.rng.randrange(1000, 9000)}"
        tender = {"method": "cash"} if cash else {"method": "payment_code", "auth_code": code}
        lines = [{"line_id": "1", "sku": name, "quantity": "1"}]
        return {"store_id": "s1", "order_no": f"{name}-{number}", "lines": lines, "tenders": [tender], **more}

    def _member(self, name: str, tx: Transaction, **balances: int) -> Json:
        insert_member(tx, "m1", name, "会员", "", **balances)
        digest = members.digest_of(Identity(type=IdentityType.CARD, value=Secret(name)), "m1")
        insert_identity(tx, "m1", name, "card", digest)
        return {"type": "card", "value": name}

    def _key(self, name: str, tx: Transaction) -> Race:
        race = self._race(name, 1, 1)
        race.asks = [{**race.asks[0], "id": next(self._ids)} for _ in range(self.few)]
        race.same_key = True
        return race

    def _order(self, name: str, tx: Transaction) -> Race:
        race = self._race(name, self.few, 1)
        for ask in race.asks:
            ask["body"]["order_no"] = f"{name}-0"
        return race

    def _item(self, name: str, tx: Transaction) -> Race:
        stock.set_level(tx, "m1", "s1", name, 1000)
        race = self._race(name, self.clients, 1)
        race.books = [(f"SELECT on_hand + reserved AS n FROM house_stock WHERE sku = '{name}'", 0)]
        return race

    def _coupon(self, name: str, tx: Transaction) -> Race:
        terms = {"off_amount": 100, "threshold_amount": 500, "basis": "after_member"}
        coupons.insert(tx, "m1", name, {"kind": "cash", "title": "立减1元", "terms": terms}, 1, "", 0)
        race = self._race(name, self.clients, 1, coupons=[name])
        race.books = [(f"SELECT 10 * used + held AS n FROM house_coupons WHERE code = '{name}'", 10)]
        return race

    def _points(self, name: str, tx: Transaction) -> Race:
        """350 points, 100 wanted by each: three win. What they earn is less than another 100."""
        member = self._member(name, tx, points=350)
        race = self._race(name, self.few, 3, member=member, points=100)
        race.books = [(f"SELECT points_held + points / 100 AS n FROM house_members WHERE ref = '{name}'", 0)]
        return race

    def _value(self, name: str, tx: Transaction) -> Race:
        member = self._member(name, tx, real=2 * PRICE + 500)
        race = self._race(name, self.few, 2, member=member)
        for ask in race.asks:
            ask["body"]["tenders"] = [{"method": "stored_value"}]
        race.books = [(f"SELECT real + gift + prepaid AS n FROM house_members WHERE ref = '{name}'", 500)]
        return race

    def _campaign(self, name: str, tx: Transaction) -> Race:
        """The platform expects the price with the campaign: it is there once."""
        member = self._member(name, tx)
        race = self._race(name, self.few, 1, cash=True, member=member, expected_payable_amount=RICH - 1000)
        used = f"SELECT count(*) AS n FROM campaign_uses WHERE state = 'used' AND member = '{name}'"
        race.books = [(used, 1)]
        return race

    def _refund(self, name: str, tx: Transaction) -> Race:
        race = Race("refund", name, [], 1)
        for number in range(self.few):
            body = {"refund_no": f"{name}-{number}"}
            race.asks.append(self._ask(f"{name}-{number}", "/checkouts/SOLD/refunds", body))
        return race

    def _deposit(self, name: str, tx: Transaction) -> Race:
        """15 yuan are held, and each wants ten of them."""
        race = self._race(name, self.few, 1)
        for ask in race.asks:
            ask["body"]["tenders"] = [{"method": "deposit", "id": "HELD"}]
        return race

    def _room(self, name: str, tx: Transaction) -> Race:
        """One room of a karaoke house for the same evening."""
        number = next(self._rooms)
        day = datetime.now(ZoneInfo("Asia/Shanghai")).replace(hour=20, minute=0, second=0, microsecond=0)
        begins = day + timedelta(days=1 + number // len(ROOMS))
        slot = {"resource_id": ROOMS[number % len(ROOMS)], "from": begins.isoformat()}
        slot["to"] = (begins + timedelta(hours=3)).isoformat()
        race = self._race(name, self.few, 1)
        for ask in race.asks:
            ask["merchant"] = "yinhu"
            ask["body"] |= {"store_id": "xuhui", "lines": [{"line_id": "room", "sku": "TC03", "slot": slot}]}
        return race

    def before(self, races: list[Race]) -> None:
        """Sell what is to be given back, hold what is to be drawn on."""
        asks: dict[int, tuple[Race, str]] = {}
        wanted = []
        for race in races:
            if race.kind not in ("refund", "deposit"):
                continue
            basket = self._basket(race.name, 99, cash=False)
            body = {"store_id": "s1", "amount": 1_500, "tender": basket["tenders"][0]}
            path, body = ("/checkouts", basket) if race.kind == "refund" else ("/deposits", body)
            ask = self._ask(f"{race.name}-before", path, body)
            asks[ask["id"]] = race, path
            wanted.append(ask)
        for told in self.arena.go(wanted) if wanted else ():
            race, _ = asks[told["id"]]
            number = json.loads(base64.b64decode(told["body"]))["id"]
            for each in race.asks:
                each["path"] = each["path"].replace("SOLD", number)
                each["body"] = json.loads(json.dumps(each["body"]).replace("HELD", number))


KINDS = ("key", "order", "item", "coupon", "points", "value", "campaign", "refund", "deposit", "room")


# --- and what came of them -------------------------------------------------------------------------------------------


def judge(arena: Arena, races: list[Race]) -> Iterator[str]:
    """Every race against what the clients were told, the journal and the books."""
    rows = arena.rows("SELECT id, number, parent, kind, state FROM sagas")
    states = {row["number"]: row["state"] for row in rows}
    for race in races:
        statuses = Counter(reply["status"] for reply in race.replies)
        numbers = {ask["body"].get("order_no") or ask["body"].get("refund_no") for ask in race.asks}
        won = sum(states.get(number) == "completed" for number in numbers)
        told = statuses[201] + statuses[202]
        if won != race.wins:
            yield f"{race.name}: {won} of {race.wins} won, {dict(statuses)}"
        if not race.same_key and told != won and not statuses[202]:
            yield f"{race.name}: {told} were told that they won, and {won} did"
        strange = set(statuses) - {201, 202, 402, 409, 422}
        if strange:
            bad = next(reply for reply in race.replies if reply["status"] in strange)
            yield f"{race.name}: {dict(statuses)} {base64.b64decode(bad['body'])[:300]!r}"
        bodies = {reply["body"] for reply in race.replies if reply["status"] in (201, 202)}
        if race.same_key and len(bodies) != 1:
            yield f"{race.name}: one key, {len(bodies)} replies"
        for sql, wanted in race.books:
            if (found := arena.rows(sql)[0]["n"]) != wanted:
                yield f"{race.name}: {sql} says {found}, not {wanted}"


def settled(arena: Arena, seconds: float = 20.0) -> Iterator[str]:
    """Everything has ended."""
    deadline = time.monotonic() + seconds
    sql = "SELECT number, state FROM sagas WHERE state NOT IN ('completed', 'failed', 'cancelled')"
    while rows := arena.rows(sql):
        if time.monotonic() > deadline:
            yield from (f"{row['number']} has not ended: {row['state']}" for row in rows)
            return
        time.sleep(0.05)


def run_races(arena: Arena, maker: Maker, rounds: int, figures: Counter[str]) -> Iterator[str]:
    """So many rounds, a few at a moment, and then all checks."""
    kinds, done = itertools.cycle(KINDS), list[Race]()
    for _ in range(0, rounds, SIDE):
        part = [next(kinds) for _ in range(min(SIDE, rounds - len(done)))]
        with arena.opened() as database:
            races = database.tx(partial(maker.all, part))
        maker.before(races)
        by_id = {ask["id"]: race for race in races for ask in race.asks}
        asks = [ask for race in races for ask in race.asks]
        maker.rng.shuffle(asks)
        for told in arena.go(asks):
            by_id[told["id"]].replies.append(told)
            figures[f"http_{told['status']}"] += 1
        done += races
        figures["requests"] += len(asks)
    yield from settled(arena)
    yield from judge(arena, done)
    yield from kept(arena)
    figures |= Counter(race.kind for race in done)


def life(seed: int, rounds: int, *, postgres: bool, clients: int = 64) -> runs.Found:
    """So many rounds in one arena."""
    folder = Path(tempfile.mkdtemp(prefix="races-"))
    try:
        if not postgres:
            return _lived(Arena(folder, threads=clients), seed, rounds, clients)
        with PostgresServer() as server:
            arena = Arena(folder, threads=clients, database_url=server.new_database(), processes=4)
            return _lived(arena, seed, rounds, clients)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lived(arena: Arena, seed: int, rounds: int, clients: int) -> runs.Found:
    figures: Counter[str] = Counter()
    with arena:
        wrong = list(run_races(arena, Maker(arena, seed, clients), rounds, figures))
    database = "postgresql" if arena.database_url else "sqlite"
    return runs.Found(rounds, wrong, {"database": database, "processes": arena.processes, **figures})


def main() -> int:
    asked = runs.parser(__doc__, total=10_000)
    asked.add_argument("--clients", type=int, default=64, help="for the last item and the last use")
    args = asked.parse_args()
    both: Callable[[int, int], runs.Found] = partial(either, clients=args.clients)
    plan = runs.Plan(
        "races", "rounds", args.total, LIFE, args.jobs, args.minutes * 60, args.seed, f"make races N={args.total}"
    )
    return runs.run(plan, both)


def either(seed: int, rounds: int, *, clients: int) -> runs.Found:
    """Lives on SQLite and on PostgreSQL by turns."""
    return life(seed, rounds, postgres=seed % 2 == 0, clients=clients)


if __name__ == "__main__":
    sys.exit(main())
