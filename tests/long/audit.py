"""Holds the journal against the books of those who have no reason to agree with it: the wallet, the till, the house's
ledger, and what the platform was told, byte for byte."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.engine.invariants import all_violations, parent_covers_refunds
from gateway.store.port import Tx
from tests.engine.street import Street
from tests.long.load import Deed, Load, at_once
from tests.long.town import Town

_CHARGES = ("payment_charge", "payment_authorize")
_BACK = ("payment_refund", "payment_release")
#: Statuses that a platform may get for what the load asks; after a 429 and a 503 nothing was sent anywhere.
EXPECTED = frozenset({201, 202, 402, 409, 422, 429, 503})
#: How often customers look for codes that are shown; the wallet's books are long.
SCAN_S = 0.5
_HOUSE = ("ledger", "members", "coupons", "stock")
Row = dict[str, Any]


@dataclass
class Journal:
    """The journal as it stands, by saga, and the house's own tables of the same moment."""

    sagas: dict[str, Row]
    ops: dict[str, list[Row]]
    children: dict[str, list[Row]]
    ends: dict[str, int]
    house: dict[str, list[Row]]

    @classmethod
    def read(cls, town: Street) -> Journal:
        names = "'checkout.completed', 'checkout.failed', 'checkout.cancelled', 'refund.succeeded'"
        found, every, told, *house = town.at_once(
            "SELECT * FROM sagas",
            "SELECT saga_id, key, leg, hook, turn, connection, state, outcome FROM ops ORDER BY key",
            f"SELECT subject, occurred FROM events WHERE type IN ({names})",
            *(f"SELECT * FROM house_{table}" for table in _HOUSE),
        )
        sagas = {row["id"]: row for row in found}
        ops, children = defaultdict(list), defaultdict(list)
        for op in every:
            ops[op["saga_id"]].append(op)
        for row in sagas.values():
            if row["parent"]:
                children[row["parent"]].append(row)
        ends = {row["subject"]: row["occurred"] for row in told}
        return cls(sagas, ops, children, ends, dict(zip(_HOUSE, house, strict=True)))

    def legs(self, saga: Row) -> dict[str, Row]:
        progress = json.loads(saga["progress"])
        return {leg["name"]: leg for leg in (*json.loads(saga["doc"])["legs"], *progress.get("legs", ()))}

    def amount(self, saga: Row, op: Row) -> int:
        """What an operation was to move, in fen."""
        return int(self.legs(saga)[op["leg"]]["params"]["amount"])


_OPEN = "SELECT id, state, number, doc FROM sagas WHERE state NOT IN ('completed', 'failed', 'cancelled')"


def _code_runs_out(row: Row) -> bool:
    return row["state"] == "closing" and '"qr_code"' in row["doc"]


@dataclass
class Audit:
    """The checks of one load on one town; every one yields what is wrong as text."""

    town: Town
    load: Load
    seen: int = 0
    #: Checkouts that wait for a code to run out.
    waiting: int = 0
    opening: dict[str, int] = field(default_factory=dict)
    #: What is counted for the evidence.
    figures: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    # --- the end of it -----------------------------------------------------------------------------------------------

    def settled(self, seconds: float, *, patient: bool = False) -> list[str]:
        """Wait until nothing is open any more, for at most so long; what is.

        A code that was made for a customer can be paid until it runs out, and no channel closes it before: a checkout
        that closes one is waited for only if ``patient``.
        """
        deadline, scan_at = time.monotonic() + seconds, time.monotonic()
        while True:
            rows = self.town.rows(_OPEN)
            self.waiting = sum(_code_runs_out(row) for row in rows)
            if len(rows) == (0 if patient else self.waiting):
                return []
            if time.monotonic() > deadline:
                return [f"{row['number']} {row['id']} has not ended: {row['state']}" for row in rows]
            shown = any(row["state"] in ("paying", "closing") and '"qr_code"' in row["doc"] for row in rows)
            if shown and time.monotonic() > scan_at:
                self.load.scan_all()  # a customer who has been shown a code pays in the end
                scan_at = time.monotonic() + SCAN_S
            time.sleep(0.05)

    # --- all checks --------------------------------------------------------------------------------------------------

    def all(self) -> Iterator[str]:
        """Every check but the time; asked at rest."""
        journal = Journal.read(self.town)
        yield from kept(self.town, journal)
        yield from self.ledger(journal)
        yield from self.balances(journal)
        yield from self.till(journal)
        yield from self.told(journal)
        yield from self.invariants(journal)
        if not self.town.database_url and self.town.intact() != "ok":
            yield f"the file: {self.town.intact()}"

    def invariants(self, journal: Journal) -> Iterator[str]:
        """The engine's own, over every saga at rest."""
        now = int(time.time() * 1000)
        with self.town.opened() as database:
            yield from database.read(lambda tx: list(all_violations(tx, now)))
            for saga_id in journal.children:
                if journal.sagas[saga_id]["kind"] == "checkout":
                    yield from database.read(partial(_covered, saga_id))

    def ledger(self, journal: Journal) -> Iterator[str]:
        """The house's ledger and the journal tell the same changes, each of them once."""
        done = {op["key"]: op for ops in journal.ops.values() for op in ops if op["state"] == "ok"}
        hooks = {"points_", "value_", "coupon_", "stock_"}
        rows = journal.house["ledger"]
        forgotten: dict[tuple[str, str], int] = defaultdict(int)
        for row in rows:
            if row["key"] not in done:
                forgotten[row["hook"], row["account"]] += row["amount"]
        yield from _came_to_nothing(forgotten)
        written = {row["key"] for row in rows}
        for key, op in done.items():
            family = op["hook"].partition("_")[0] + "_"
            if op["connection"] == "house" and family in hooks and key not in written:
                yield f"{op['hook']} is done and not in the house's ledger: {key}"

    def balances(self, journal: Journal) -> Iterator[str]:
        """What is left is what there was, less what the ledger says was used; nothing is held at rest."""
        got: Counter[str] = Counter()
        for row in journal.house["ledger"]:
            got[row["hook"]] += int(row["amount"])
        got = Counter({hook: abs(amount) for hook, amount in got.items()})
        times = Counter(row["hook"] for row in journal.house["ledger"])
        members, goods = (
            [row for row in journal.house[name] if row["merchant"] == "m1"] for name in ("members", "stock")
        )
        held = sum(row["points_held"] for row in members)
        coupons = sum(row["held"] for row in journal.house["coupons"])
        if not self.waiting and (held or coupons or any(row["reserved"] for row in goods)):
            yield f"held at rest: {held} points, {coupons} coupons, {[row['reserved'] for row in goods]} goods"
        now = {
            "points": sum(row["points"] for row in members),
            "value": sum(row["real"] + row["gift"] + row["prepaid"] for row in members),
            "goods": sum(row["on_hand"] for row in goods),
            "used": sum(row["used"] for row in journal.house["coupons"]),
        }
        moved = {
            "points": got["points_earn"] + got["points_return"] - got["points_confirm"] - got["points_revoke"],
            "value": got["value_cancel"] + got["value_return"] - got["value_reserve"],
            "goods": got["stock_return"] - got["stock_confirm"],
            "used": times["coupon_confirm"] - times["coupon_restore"],
        }
        self.opening = self.opening or {name: now[name] - moved[name] for name in now}
        for name, opening in self.opening.items():
            if now[name] != opening + moved[name]:
                yield f"{name}: {now[name]} is left, {opening} and {moved[name]} by the ledger"

    def till(self, journal: Journal) -> Iterator[str]:
        """A sale is in the corner shop's till once, if it is one; nothing that failed is there."""
        if "convenience" not in self.town.systems:
            return
        orders = self.town.systems["convenience"].books()["orders"]
        for saga in journal.sagas.values():
            for op in journal.ops[saga["id"]]:
                if op["hook"] not in ("order_post", "order_return") or saga["merchant"] != "bianmin":
                    continue
                rung = len(orders.get(op["key"], ()))
                self.figures["bills"] += rung
                if rung > 1 or (saga["state"] != "completed" and rung) or (op["state"] == "ok" and rung != 1):
                    yield f"{saga['number']} {saga['state']}: rung up {rung} times, the journal says {op['state']}"

    # --- what the platform was told ----------------------------------------------------------------------------------

    def again(self, seconds: float) -> list[str]:
        """Ask everything again that was asked since the last time: what was answered stands, byte for byte."""
        new, self.seen = self.load.deeds[self.seen :], len(self.load.deeds)
        wrong: list[str] = []
        deadline = time.monotonic() + seconds
        at_once([partial(self._ask_again, deed, deadline, wrong) for deed in new])
        return wrong

    def _ask_again(self, deed: Deed, deadline: float, wrong: list[str]) -> None:
        wrong.extend(self._asked_again(deed, deadline))

    def _asked_again(self, deed: Deed, deadline: float) -> Iterator[str]:
        name = f"{deed.key} {deed.path} {deed.body.get('order_no', '')}"
        if deed.status not in EXPECTED | {0}:
            yield f"{name}: HTTP {deed.status} {deed.content[:200]!r}"
        first = (deed.status, deed.content) if deed.final else None
        self.figures["acknowledged" if deed.status in (201, 202) else "not_acknowledged"] += 1
        for _ in range(2):
            response = self._answer(deed, deadline)
            if response is not None and response.status_code == 429:
                return  # the machine is too slow for its load: nothing was said
            if response is None or response.status_code in (422, 503, 404):
                if first is not None and not (response is None and self.waiting):
                    yield f"{name}: it was {first[0]}, and now it is {response and response.status_code}"
                return
            if response.status_code in (402, 409) and b'"checkout_id"' not in response.content:
                if first is not None:
                    yield f"{name}: it was {first[0]}, and now it is as if it had never been"
                return
            if first is None:
                first = (response.status_code, response.content)
                continue
            if (response.status_code, response.content) != first:
                now = f"{response.status_code} {response.content[:80]!r}"
                yield f"{name}: it was {first[0]} {first[1][:80]!r}, and now it is {now}"
                return

    def _answer(self, deed: Deed, deadline: float) -> Any:
        """The answer, once it is not "in progress" any more."""
        while True:
            response = self.load.send(deed)
            content = b"" if response is None else response.content
            busy = response is None or response.status_code == 429 or b"/problems/request-in-progress" in content
            if busy and "qr_code" in str(deed.body) and self.waiting:
                return None  # it is answered when its code has run out
            if not busy or time.monotonic() > deadline:
                return response
            time.sleep(0.1)

    def told(self, journal: Journal) -> Iterator[str]:
        """What was acknowledged is there, and as it was said."""
        for deed in self.load.deeds:
            if deed.status not in (201, 202):
                continue
            body = json.loads(deed.content)
            saga = journal.sagas.get(body["id"])
            if saga is None:
                yield f"{deed.key}: acknowledged and lost: {body['id']}"
            elif deed.status == 201 and saga["state"] != "completed":
                yield f"{deed.key}: 201, and it is {saga['state']}"


def kept(street: Street, journal: Journal | None = None) -> Iterator[str]:
    """What the wallet keeps of each checkout and deposit is what the journal says, to the fen; no trade more."""
    journal, trades = journal or Journal.read(street), street.trades()
    back: dict[str, int] = defaultdict(int)
    for refund in street.refunds():
        back[refund["out_trade_no"]] += refund["receipt"]
    known = set()
    for saga in journal.sagas.values():
        charges = [op for op in journal.ops[saga["id"]] if op["hook"] in _CHARGES]
        known |= {op["key"] for op in charges}
        paid = [op["key"] for op in charges if trades.get(op["key"], {}).get("paid_at")]
        keeps = sum(trades[key]["receipt"] - back[key] for key in paid)
        owed = _owed(journal, saga, charges)
        if keeps != owed:
            yield f"{saga['number']} {saga['state']}: the wallet keeps {keeps}, the journal says {owed}"
    for key in trades.keys() - known:
        yield f"the wallet has a trade that the journal does not know: {key}"


def _owed(journal: Journal, saga: Row, charges: list[Row]) -> int:
    """What should be kept: what stands, less what was given back since."""
    if saga["state"] != "completed":
        return 0
    declined = json.loads(saga["progress"]).get("declined", ())
    standing = [op for op in charges if op["state"] == "ok" and op["leg"] not in declined]
    given = 0
    for child in journal.children[saga["id"]]:
        done = (op for op in journal.ops[child["id"]] if op["hook"] in _BACK and op["state"] == "ok")
        given += sum(journal.amount(child, op) for op in done)
    return sum(journal.amount(saga, op) for op in standing) - given


def _came_to_nothing(forgotten: dict[tuple[str, str], int]) -> Iterator[str]:
    """A checkout of which nothing ever left the house is forgotten: what it held was let go, all of it."""
    for (hook, account), amount in forgotten.items():
        family, _, verb = hook.partition("_")
        other = {"reserve": "cancel", "cancel": "reserve"}.get(verb, "")
        if amount != forgotten.get((f"{family}_{other}", account), 0):
            yield f"the house's ledger has {amount} of {hook} on {account} that the journal does not call done"


def _covered(saga_id: str, tx: Tx) -> list[str]:
    return list(parent_covers_refunds(tx, saga_id))
