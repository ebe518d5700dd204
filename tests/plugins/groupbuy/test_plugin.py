"""The plugin as the gateway sees it: what it offers, killed at every message, races, the cost of each hook."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import plugins.groupbuy
from gateway.runtime.hookcheck import DOMAIN_SPECS, hook_problems, implemented_hooks
from gateway.sdk import Change, Declined, Done, Http, HttpReply, NotFound
from plugins.groupbuy.adapter import GroupBuyAdapter
from plugins.groupbuy.simulator import GroupBuySimulator
from tests.plugins.groupbuy.support import Shop


class Killed(BaseException):
    """The process has died here."""


class Mortal(Http):
    """A client whose process dies at the ``at``-th message: before it is sent, or after its answer came."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.left, self.after = at, after

    def send(
        self, method: str, url: str, *, data: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float
    ) -> HttpReply:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        reply = super().send(method, url, data=data, headers=headers, timeout=timeout)
        if self.left == 0:
            raise Killed
        return reply


def killed_at(shop: Shop, at: int, act: Callable[[], object], *, after: bool) -> bool:
    """Run ``act`` in a process that dies at a message; a fresh one takes over. Whether it died."""
    context = shop.adapter.context
    mortal = Mortal(at, after=after)
    shop.adapter = GroupBuyAdapter(replace(context, http=mortal))
    try:
        act()
    except Killed:
        return True
    finally:
        mortal.close()
        shop.adapter = GroupBuyAdapter(context)
    return False


def test_the_plugin_offers_its_adapter() -> None:
    assert list(plugins.groupbuy.o2o_adapters()) == [GroupBuyAdapter]
    assert list(hook_problems(GroupBuyAdapter, DOMAIN_SPECS, "groupbuy")) == []
    hooks = {"coupon_find", "coupon_redeem", "coupon_restore", "coupon_query", "coupon_statement"}
    assert implemented_hooks(GroupBuyAdapter) == hooks


#: Messages of a first redemption: token, prepare, verify.
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_redemption_killed_at_any_message_happens_once(shop: Shop, at: int, after: bool) -> None:
    codes = shop.buy(3)
    assert killed_at(shop, at, lambda: shop.redeem(1, codes[0], 2), after=after)
    sent = (at, after) == (3, True)
    asked = shop.ask(1, shop.use(codes[0], 2))
    assert isinstance(asked, Done) if sent else isinstance(asked, NotFound)
    done = shop.redeem(1, codes[0], 2, attempt=2)
    assert isinstance(done, Done) and done.replayed is sent
    assert sorted(shop.statuses(codes)) == ["unused", "used", "used"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_part_s_undo_killed_at_any_message_is_finished_later(shop: Shop, at: int, after: bool) -> None:
    """Token, prepare, a verify of which one certificate is refused, the cancel of the others."""
    codes = shop.buy(2)
    shop.once("partial_results", "verify")
    assert killed_at(shop, at, lambda: shop.redeem(1, codes[0], 2), after=after)
    final = shop.redeem(1, codes[0], 2, attempt=2)
    assert isinstance(final, Declined)
    assert sorted(shop.statuses(codes)) == ["refunded", "unused"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_restore_killed_at_any_message_happens_once(shop: Shop, at: int, after: bool) -> None:
    code = shop.buy()[0]
    done = shop.redeem(1, code)
    assert isinstance(done, Done)
    request = shop.restore_request(done, 1)
    assert killed_at(shop, at, lambda: shop.restore(2, request), after=after)
    assert isinstance(shop.restore(2, request, attempt=2), Done)
    assert shop.status(code) == "unused" and [row.amount for row in shop.rows()] == [1, -1]


def test_eight_checkouts_race_for_three_vouchers(shop: Shop) -> None:
    codes = shop.buy(3)
    answers: list[Change] = []

    def redeem(number: int) -> None:
        answers.append(shop.redeem(number, codes[0]))

    threads = [threading.Thread(target=redeem, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [answer for answer in answers if isinstance(answer, Done)]
    assert len(answers) == 8 and 1 <= len(done) <= 3
    assert len({answer.ref for answer in done}) == len(done) == len(shop.records())
    assert shop.requests("token") == 1  # one token for all of them


def test_what_each_hook_costs(shop: Shop) -> None:
    """Messages of each hook once a token is there; more than these is a slower checkout."""
    codes = shop.buy(2)
    shop.adapter.check()
    costs: dict[str, int] = {}

    def measured(name: str, act: Callable[[], object]) -> object:
        before = Counter(shop.sim.books()["requests"])
        answer = act()
        costs[name] = sum((Counter(shop.sim.books()["requests"]) - before).values())
        return answer

    measured("find", lambda: shop.find(codes[0]))
    done = measured("redeem", lambda: shop.redeem(1, codes[0], 2))
    assert isinstance(done, Done)
    measured("query", lambda: shop.ask(1, shop.use(codes[0], 2)))
    measured("restore", lambda: shop.restore(2, shop.restore_request(done, 1, 2)))
    measured("statement", shop.rows)
    assert costs == {"find": 2, "redeem": 2, "query": 1, "restore": 1, "statement": 1}


def test_two_merchants_share_nothing(shop: Shop, tmp_path: Path) -> None:
    """Two connections in one process, each at a platform and with a token of its own."""
    sim = GroupBuySimulator(tmp_path / "other")
    other = Shop(sim, sim.start()["platform"], tmp_path / "other")
    try:
        code = "100100010000001"  # both platforms have sold it
        assert isinstance(shop.redeem(1, code), Done) and other.status(code) == "unused"
        assert isinstance(other.redeem(1, code), Done)
        assert other.ask(2, other.use(code)) == NotFound(final=True)
        assert len(shop.records()) == len(other.records()) == 1
        tokens = {each.adapter._platform._client._token for each in (shop, other)}
        assert len(tokens) == 2
    finally:
        other.adapter.context.http.close()
        sim.stop()
