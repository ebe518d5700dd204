"""Charges, cancels and refunds under random faults and deaths: no fen is taken twice, given back twice, or lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from gateway.sdk import AdapterError, Declined, Done, NotFound, Pending
from gateway.sdk.simulator import Fault
from plugins.alipay.simulator import AlipaySimulator
from plugins.alipay.simulator_ledger import Refund, Trade
from tests.plugins.alipay.support import Shop, key
from tests.plugins.alipay.test_plugin import killed_at

pytestmark = pytest.mark.slow

OPERATIONS = (*(f"alipay.trade.{name}" for name in ("pay", "query", "cancel", "refund", "fastpay.refund.query")), "*")
NAMES = ("drop_before", "drop_after", "error", "garbage", "half_body", "duplicate", "wrong_id", "wrong_amount")
MORE = ("bad_signature", "wrong_encoding", "unknown", "cancel_retry", "old_refund_query")
FAULTS = st.lists(
    st.builds(
        Fault,
        name=st.sampled_from((*NAMES, *MORE)),
        match=st.sampled_from(OPERATIONS),
        times=st.integers(1, 3),
        value=st.sampled_from((0, 100, -100)),
    ),
    max_size=4,
)
DEATH = st.tuples(st.integers(1, 3), st.booleans()) | st.none()
CODES = st.sampled_from(["0000", "9001", "9011", "9012", "9013", "9014", "9015", "9016", "9017"])

numbers = iter(range(1, 10**9))


@pytest.fixture(scope="module")
def rough(keys: Path, tmp_path_factory: pytest.TempPathFactory, checked: dict[str, Any]) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("chaos") / "alipay"
    shutil.copytree(keys, folder)
    sim = AlipaySimulator(folder)
    shop = Shop(sim, sim.start()["gateway"], folder, checked)
    yield shop
    shop.adapter.context.http.close()
    sim.stop()


def tried(act: Any) -> Any:
    """What an attempt came to; ``None`` if it is not known or not sent."""
    try:
        outcome = act()
    except AdapterError as error:
        note(f"{type(error).__name__}: {error}")
        return None
    note(str(outcome))
    return outcome


def until_known(shop: Shop, act: Any) -> Any:
    """Repeat what may be repeated until it has an outcome; after four attempts the channel is well again."""
    for attempt in range(1, 8):
        if attempt == 5:
            shop.faults()
        outcome = tried(lambda attempt=attempt: act(attempt))
        if outcome is not None and not isinstance(outcome, Pending):
            return outcome
    raise AssertionError("it has no outcome though the channel is well")


def trade_of(shop: Shop, number: int) -> Trade | None:
    return shop.sim.main.ledger.get(Trade, out_trade_no=key(number))


@given(ending=CODES, faults=FAULTS, death=DEATH, then=st.sampled_from(["reverse", "refund"]), more=FAULTS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_the_channel_agrees_with_us(
    rough: Shop, ending: str, faults: list[Fault], death: tuple[int, bool] | None, then: str, more: list[Fault]
) -> None:
    number = next(numbers)
    rough.faults(*faults)
    outcome: Any = None
    if death is None:
        outcome = tried(lambda: rough.charge(number, ending))
    else:
        killed_at(rough, death[0], lambda: tried(lambda: rough.charge(number, ending)), after=death[1])
    if outcome is None:  # a code is sent once: from now on we ask
        outcome = until_asked(rough, number)
    trade = trade_of(rough, number)
    if isinstance(outcome, Done):
        assert trade is not None and trade.status == "TRADE_SUCCESS" and outcome.amount == trade.total == 1200
    else:
        assert isinstance(outcome, Declined | NotFound | Pending)
        assert trade is None or not trade.paid_at
    rough.faults(*more)
    if then == "refund" and isinstance(outcome, Done):
        refunded(rough, number)
    else:
        reversed_(rough, number)


def until_asked(shop: Shop, number: int) -> Any:
    for attempt in range(1, 8):
        if attempt == 5:
            shop.faults()
        answer = tried(lambda: shop.ask(number))
        if answer is not None:
            return answer
    raise AssertionError("nobody can say what became of it though the channel is well")


def refunded(shop: Shop, number: int) -> None:
    refund = next(numbers)
    outcome = until_known(shop, lambda attempt: shop.refund(refund, number, 500, attempt))
    shop.faults()
    assert isinstance(outcome, Done) and outcome.amount == 500
    rows = shop.sim.main.ledger.all(Refund, out_trade_no=key(number))
    assert [(row.out_request_no, row.amount) for row in rows] == [(key(refund), 500)]


def reversed_(shop: Shop, number: int) -> None:
    reverse = next(numbers)
    outcome = until_known(shop, lambda attempt: shop.reverse(reverse, number, attempt))
    shop.faults()
    assert isinstance(outcome, Done)
    trade = trade_of(shop, number)
    assert trade is None or (trade.status == "TRADE_CLOSED" and trade.refunded == (trade.total if trade.paid_at else 0))
    assert isinstance(shop.ask(number), Declined | NotFound)
