"""The house's books: nothing is spent twice or below zero, a repeat changes nothing, a refusal leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.sdk import (
    Call,
    CouponHeld,
    CouponLookup,
    CouponRestore,
    CouponUse,
    Declined,
    DeclineReason,
    Done,
    Enrol,
    Identity,
    IdentityType,
    LevelsRequest,
    MemberLookup,
    Original,
    PointsEarn,
    PointsHeld,
    PointsReserve,
    PointsReturn,
    PointsRevoke,
    Secret,
    Site,
    StatementRequest,
    StockHeld,
    StockItem,
    StockReserve,
    StockReturn,
    Value,
    ValueHeld,
    ValueOrder,
    ValueReserve,
    ValueReturn,
)
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database
from gateway.testing.context import build
from plugins.house import coupons, members, stock
from plugins.house.adapter import HouseAdapter, insert_identity, insert_member

SITE = Site(store_id="s1", business_date=date(2026, 11, 22))
PHONE = Identity(type=IdentityType.PHONE, value=Secret("13800001001"))


class Books:
    """The house adapter on a real database, each change in a transaction of its own."""

    def __init__(self, folder: Path) -> None:
        self.database: Database = open_database(f"sqlite:///{folder / 'house.db'}")
        migrate(self.database, [Migration(*pair) for pair in HouseAdapter.migrations])
        adapter = build(HouseAdapter, {"tiers": {"gold": 9500}}, folder, merchant="m1")
        context = type(adapter.context)(**{**_fields(adapter.context), "database": self.database})
        self.adapter = HouseAdapter(context)
        self.database.tx(self._seed)
        self.keys = 0

    @staticmethod
    def _seed(tx: Any) -> None:
        insert_member(tx, "m1", "mem", "王小姐", "gold", points=1000, real=10_000, gift=2_000, prepaid=500)
        insert_identity(tx, "m1", "mem", "phone", members.digest_of(PHONE, "m1"))
        coupons.insert(tx, "m1", "PASS", {"kind": "count_pass", "title": "次卡"}, 5, "", 0)
        coupons.insert(tx, "m1", "CARD", {"kind": "gift_card", "title": "礼品卡", "balance": 5_000}, 1, "", 0)
        stock.set_level(tx, "m1", "s1", "A", 10_000)
        stock.set_level(tx, "m1", "s1", "B", 3_000)

    def key(self) -> str:
        self.keys += 1
        return f"{self.keys:026d}"

    def change(self, hook: Callable[..., Any], request: Any, key: str = "") -> tuple[Any, str]:
        key = key or self.key()
        deadline = datetime.now(UTC) + timedelta(seconds=5)
        done = self.database.tx(lambda tx: hook(request=request, call=Call(key=key, deadline=deadline, tx=tx)))
        return done, key

    def member(self) -> dict[str, Any]:
        row = self.database.read(lambda tx: members.by_ref(tx, "m1", "mem"))
        return dict(row)

    def sums(self, *hooks: str) -> int:
        """Σ of a ledger's entries over these hooks."""
        rows = self.database.read(lambda tx: tx.all("SELECT hook, amount FROM house_ledger"))
        return sum(row["amount"] for row in rows if row["hook"] in hooks)


def _fields(context: Any) -> dict[str, Any]:
    return {name: getattr(context, name) for name in type(context).__dataclass_fields__}


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.database.close()


def hold(points: int) -> PointsReserve:
    return PointsReserve(member_ref="mem", points=points, amount=points, order_no="o", site=SITE, ttl_s=60)


def _run(sql: str, tx: Any) -> int:
    return int(tx.execute(sql))


def original(key: str) -> Original:
    return Original(key=key, ref=key)


def test_members_are_recognised_without_keeping_what_they_are_recognised_by(books: Books) -> None:
    found = books.adapter.member_find(request=MemberLookup(identity=PHONE))
    assert found is not None
    assert (found.ref, found.tier, found.rate_bp, found.points_available) == ("mem", "gold", 9500, 1000)
    kept = books.database.read(lambda tx: tx.all("SELECT * FROM house_identities"))
    assert all(PHONE.value.reveal() not in str(dict(row)) for row in kept)


def test_who_enrols_twice_is_one_member(books: Books) -> None:
    someone = Enrol(identities=(Identity(type=IdentityType.CARD, value=Secret("C-9")),), display_name="新会员")
    first, _ = books.change(books.adapter.member_enrol, someone)
    again, _ = books.change(books.adapter.member_enrol, someone)
    assert (again.ref, again.replayed) == (first.ref, True)


def test_points_that_are_not_there_are_declined_and_leave_no_trace(books: Books) -> None:
    refused, key = books.change(books.adapter.points_reserve, hold(1001))
    assert refused == Declined(reason=DeclineReason.INSUFFICIENT_POINTS)
    held = PointsHeld(original=original(key), member_ref="mem", points=1001, site=SITE)
    books.change(books.adapter.points_cancel, held)
    assert (books.member()["points"], books.member()["points_held"]) == (1000, 0), "a cancel must not make points"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["reserve", "confirm", "cancel", "return", "earn", "revoke"]), st.integers(1, 600)),
        max_size=25,
    )
)
def test_points_always_add_up(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    """Opening + earned − revoked − spent + returned − held = available, and available is never below zero."""
    books = Books(tmp_path_factory.mktemp("points"))
    held: list[tuple[str, int]] = []
    spent: list[tuple[str, int]] = []
    earned: list[tuple[str, int]] = []
    for verb, points in steps:
        if verb == "reserve":
            result, key = books.change(books.adapter.points_reserve, hold(points))
            held += [(key, points)] if isinstance(result, Done) else []
        elif verb in ("confirm", "cancel") and held:
            key, count = held.pop()
            request = PointsHeld(original=original(key), member_ref="mem", points=count, site=SITE)
            hook = books.adapter.points_confirm if verb == "confirm" else books.adapter.points_cancel
            _, twice = books.change(hook, request)
            books.change(hook, request, twice)  # the same key again changes nothing
            spent += [(key, count)] if verb == "confirm" else []
        elif verb == "return" and spent:
            key, count = spent.pop()
            back = PointsReturn(original=original(key), member_ref="mem", points=count, site=SITE)
            books.change(books.adapter.points_return, back)
        elif verb == "earn":
            earn = PointsEarn(member_ref="mem", points=points, basis_amount=points, order_no="o", site=SITE)
            _, key = books.change(books.adapter.points_earn, earn)
            earned.append((key, points))
        elif verb == "revoke" and earned:
            key, count = earned.pop()
            revoke = PointsRevoke(original=original(key), member_ref="mem", points=count, site=SITE)
            books.change(books.adapter.points_revoke, revoke)
    row = books.member()
    frozen = sum(count for _, count in held)
    ledger = books.sums("points_earn", "points_return") - books.sums("points_revoke", "points_confirm")
    books.database.close()
    assert row["points"] >= 0
    assert row["points_held"] == frozen
    assert row["points"] == 1000 + ledger - frozen


@pytest.mark.parametrize(
    ("order", "taken"),
    [
        (ValueOrder.REAL_FIRST, {"real": 10_000, "gift": 500, "prepaid": 500}),
        (ValueOrder.GIFT_FIRST, {"real": 8_500, "gift": 2_000, "prepaid": 500}),
        (ValueOrder.PERCENT, {"real": 8_800, "gift": 1_760, "prepaid": 440}),
    ],
)
def test_stored_value_is_drawn_in_its_order_and_goes_back_to_its_buckets(
    books: Books, order: ValueOrder, taken: dict[str, int]
) -> None:
    request = ValueReserve(account="mem", amount=11_000, order=order, order_no="o", site=SITE, ttl_s=60)
    done, key = books.change(books.adapter.value_reserve, request)
    assert done.facts["buckets"] == taken
    again, _ = books.change(books.adapter.value_reserve, request, key)
    assert (again.replayed, again.facts["buckets"]) == (True, taken)
    held = ValueHeld(original=original(key), account="mem", amount=11_000, site=SITE)
    books.change(books.adapter.value_confirm, held)
    back = ValueReturn(original=original(key), account="mem", amount=11_000, buckets=Value(**taken), site=SITE)
    books.change(books.adapter.value_return, back)
    row = books.member()
    assert (row["real"], row["gift"], row["prepaid"]) == (10_000, 2_000, 500)


def test_more_value_than_there_is_is_declined(books: Books) -> None:
    order = ValueOrder.REAL_FIRST
    request = ValueReserve(account="mem", amount=12_501, order=order, order_no="o", site=SITE, ttl_s=60)
    refused, _ = books.change(books.adapter.value_reserve, request)
    assert refused == Declined(reason=DeclineReason.INSUFFICIENT_VALUE)
    assert books.member()["real"] == 10_000


def test_a_count_pass_is_used_by_count_and_restored_by_its_redemption(books: Books) -> None:
    use = CouponUse(code="PASS", count=2, amount=0, order_no="o", site=SITE)
    _, key = books.change(books.adapter.coupon_reserve, use)
    held = CouponHeld(original=original(key), code="PASS", count=2, amount=0, site=SITE)
    books.change(books.adapter.coupon_confirm, held)
    found = books.adapter.coupon_find(request=CouponLookup(code="PASS"))
    assert found is not None
    assert (found.counts.available, found.counts.used) == (3, 2)
    too_many, _ = books.change(
        books.adapter.coupon_reserve, CouponUse(code="PASS", count=4, amount=0, order_no="o", site=SITE)
    )
    assert too_many == Declined(reason=DeclineReason.COUPON_EXHAUSTED)
    back = CouponRestore(original=original(key), code="PASS", count=2, amount=0, site=SITE)
    books.change(books.adapter.coupon_restore, back)
    found = books.adapter.coupon_find(request=CouponLookup(code="PASS"))
    assert found is not None
    assert found.counts.available == 5


def test_a_balance_gives_back_no_more_than_a_sale_took(books: Books) -> None:
    use = CouponUse(code="CARD", count=1, amount=3_000, order_no="o", site=SITE)
    _, key = books.change(books.adapter.coupon_reserve, use)
    first = CouponRestore(original=original(key), code="CARD", count=1, amount=2_000, site=SITE)
    books.change(books.adapter.coupon_restore, first)
    second, _ = books.change(books.adapter.coupon_restore, first)
    assert second == Declined(reason=DeclineReason.AMOUNT_MISMATCH)
    card = books.adapter.coupon_find(request=CouponLookup(code="CARD"))
    assert card is not None
    assert card.balance_amount == 4_000


def goods(*items: tuple[str, int]) -> tuple[StockItem, ...]:
    return tuple(StockItem(sku=sku, quantity=Decimal(count)) for sku, count in items)


def test_goods_are_held_all_or_nothing(books: Books) -> None:
    wanted = StockReserve(store_id="s1", items=goods(("A", 2), ("B", 4)), slots=(), order_no="o", site=SITE, ttl_s=60)
    refused, _ = books.change(books.adapter.stock_reserve, wanted)
    assert refused == Declined(reason=DeclineReason.OUT_OF_STOCK)
    levels = books.adapter.stock_levels(request=LevelsRequest(store_id="s1"))
    assert {level.sku: level.available for level in levels} == {"A": Decimal(10), "B": Decimal(3)}


def test_goods_are_sold_and_come_back(books: Books) -> None:
    items = goods(("A", 2))
    wanted = StockReserve(store_id="s1", items=items, slots=(), order_no="o", site=SITE, ttl_s=60)
    _, key = books.change(books.adapter.stock_reserve, wanted)
    held = StockHeld(original=original(key), store_id="s1", items=items, slots=(), site=SITE)
    _, confirm = books.change(books.adapter.stock_confirm, held)
    books.change(books.adapter.stock_confirm, held, confirm)
    back = StockReturn(original=original(key), store_id="s1", items=goods(("A", 1)), site=SITE)
    books.change(books.adapter.stock_return, back)
    level = books.adapter.stock_levels(request=LevelsRequest(store_id="s1", skus=("A",)))[0]
    assert (level.on_hand, level.reserved) == (Decimal(9), Decimal(0))


def test_the_statement_tells_what_moved(books: Books) -> None:
    _, key = books.change(books.adapter.points_reserve, hold(300))
    held = PointsHeld(original=original(key), member_ref="mem", points=300, site=SITE)
    books.change(books.adapter.points_confirm, held)
    page = books.adapter.points_statement(request=StatementRequest(business_date=SITE.business_date))
    assert [(row.kind, row.amount, row.original_ref) for row in page.items] == [("spend", -300, key)]
    assert json.dumps([row.ref for row in page.items]) == '["mem"]'


def test_a_card_that_is_void_or_over_is_not_spent_and_still_gets_its_refund(books: Books) -> None:
    use = CouponUse(code="CARD", count=1, amount=3_000, order_no="o", site=SITE, ttl_s=60)
    _, held = books.change(books.adapter.coupon_reserve, use)
    for change in ("voided = 1", "voided = 0, expires = 1"):
        spoil = partial(_run, f"UPDATE house_coupons SET {change} WHERE code = 'CARD'")
        books.database.tx(spoil)
        refused, _ = books.change(books.adapter.coupon_reserve, use)
        assert isinstance(refused, Declined) and refused.reason == DeclineReason.COUPON_EXHAUSTED
    back = CouponRestore(original=original(held), code="CARD", count=1, amount=3_000, site=SITE)
    assert isinstance(books.change(books.adapter.coupon_restore, back)[0], Done)
    assert books.database.read(lambda tx: coupons.row_of(tx, "m1", "CARD"))["balance"] == 5_000


def test_a_hold_on_a_pass_that_is_voided_meanwhile_still_comes_to_its_end(books: Books) -> None:
    """Else the use would stay held for ever: neither used nor given back."""
    use = CouponUse(code="PASS", count=2, amount=600, order_no="o", site=SITE, ttl_s=60)
    _, first = books.change(books.adapter.coupon_reserve, use)
    _, second = books.change(books.adapter.coupon_reserve, use)
    books.database.tx(lambda tx: tx.execute("UPDATE house_coupons SET voided = 1 WHERE code = 'PASS'"))
    books.change(
        books.adapter.coupon_confirm, CouponHeld(original=original(first), code="PASS", count=2, amount=600, site=SITE)
    )
    books.change(
        books.adapter.coupon_cancel, CouponHeld(original=original(second), code="PASS", count=2, amount=600, site=SITE)
    )
    row = books.database.read(lambda tx: coupons.row_of(tx, "m1", "PASS"))
    assert (row["available"], row["held"], row["used"]) == (3, 0, 2)
