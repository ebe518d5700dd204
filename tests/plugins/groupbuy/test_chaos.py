"""Redemptions under random faults, crashes and other people's doings: whatever happens, the books add up in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from gateway.sdk import AdapterError, Change, Declined, Done, NotFound
from gateway.sdk.simulator import Fault
from plugins.groupbuy.protocol import UNUSED
from plugins.groupbuy.simulator import GroupBuySimulator
from tests.plugins.groupbuy.support import Shop, key
from tests.plugins.groupbuy.test_plugin import killed_at

pytestmark = pytest.mark.slow

OPERATIONS = ("prepare", "verify", "cancel", "query", "history", "token", "*")
NAMES = ("drop_before", "drop_after", "error", "extra_error", "garbage", "half_body", "duplicate", "wrong_id")
MORE = ("verify_error_acted", "partial_results", "token_expired", "wrong_encoding")
FAULTS = st.lists(
    st.builds(Fault, name=st.sampled_from((*NAMES, *MORE)), match=st.sampled_from(OPERATIONS), times=st.integers(1, 4)),
    max_size=4,
)
DOINGS = st.lists(st.sampled_from(["use_elsewhere", "refund", "nothing", "forget_tokens"]), max_size=3)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("chaos")
    sim = GroupBuySimulator(folder)
    shop = Shop(sim, sim.start()["platform"], folder)
    yield shop
    shop.adapter.context.http.close()
    sim.stop()


numbers = iter(range(1, 10**9))


def attempted(act: Any) -> Change | None:
    """The outcome of one attempt, ``None`` if it is not known or not sent."""
    try:
        outcome: Change = act()
    except AdapterError as error:
        note(f"{type(error).__name__}: {error}")
        return None
    return outcome


def meddle(shop: Shop, codes: list[str], doing: str) -> None:
    if doing == "forget_tokens":
        shop.pull("forget_tokens")
    elif doing != "nothing":
        book = shop.sim.book  # not the whole books: they grow with every example
        found = [book.row("SELECT code, status FROM certificates WHERE code = :code", code=code) for code in codes]
        free = [row["code"] for row in found if row is not None and row["status"] == UNUSED]
        if free:
            shop.pull(doing, code=free[0])


@given(
    bought=st.integers(1, 4),
    count=st.integers(1, 3),
    faults=FAULTS,
    doings=DOINGS,
    death=st.tuples(st.integers(1, 6), st.booleans()) | st.none(),
    undo=FAULTS,
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_voucher_is_redeemed_by_its_redemption_or_not_at_all(
    shop: Shop,
    bought: int,
    count: int,
    faults: list[Fault],
    doings: list[str],
    death: tuple[int, bool] | None,
    undo: list[Fault],
) -> None:
    codes, number = shop.buy(bought), next(numbers)
    shop.faults(*faults)
    outcome: Change | None = None
    for attempt in range(1, 9):
        if attempt == 5:
            shop.faults()  # the platform is well again

        def act(attempt: int = attempt) -> Change:
            return shop.redeem(number, codes[0], count, attempt=attempt)

        if attempt == 1 and death is not None:
            killed_at(shop, death[0], lambda: attempted(act), after=death[1])
        else:
            outcome = attempted(act)
        if outcome is not None:
            break
        if attempt <= len(doings):
            meddle(shop, codes, doings[attempt - 1])
    shop.faults()
    assert outcome is not None, "it ends, once the platform is well"
    mine = redeemed(shop, number)
    note(f"{outcome} {mine}")
    if isinstance(outcome, Done):
        assert len(mine) == count and {record["verify_id"] for record in mine} == {outcome.ref}
        asked = shop.ask(number, shop.use(codes[0], count))
        assert isinstance(asked, Done) and asked.ref == outcome.ref
        taken_back(shop, outcome, number, count, undo)
    else:
        assert isinstance(outcome, Declined) and mine == []
        assert isinstance(shop.ask(number, shop.use(codes[0], count)), Declined | NotFound)


def redeemed(shop: Shop, number: int) -> list[dict[str, Any]]:
    """What stands redeemed under this key."""
    sql = "SELECT * FROM records WHERE device = :device AND cancel_time = 0"
    return shop.sim.book.rows(sql, device=key(number))


def taken_back(shop: Shop, done: Done, number: int, count: int, faults: list[Fault]) -> None:
    request, undo = shop.restore_request(done, number, count), next(numbers)
    shop.faults(*faults)
    outcome: Change | None = None
    for attempt in range(1, 9):
        if attempt == 5:
            shop.faults()
        outcome = attempted(lambda attempt=attempt: shop.restore(undo, request, attempt=attempt))
        if outcome is not None:
            break
    shop.faults()
    assert isinstance(outcome, Done)
    assert redeemed(shop, number) == []
    assert isinstance(shop.ask(undo, request, "coupon_restore"), Done)
