"""The plugin as the gateway sees it: what it offers, tenants apart, killed at every message, the cost of each hook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import plugins.alipay
from gateway.runtime.hookcheck import DOMAIN_SPECS, hook_problems, implemented_hooks
from gateway.sdk import Done, Http, HttpReply, NotFound, NotSent, Pending
from gateway.sdk.simulator import serve_http
from gateway.testing.context import call
from plugins.alipay.adapter import AlipayAdapter
from plugins.alipay.simulator import AlipaySimulator
from tests.plugins.alipay.support import Shop, key


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


def test_the_plugin_offers_its_adapter() -> None:
    assert list(plugins.alipay.o2o_adapters()) == [AlipayAdapter]
    assert list(hook_problems(AlipayAdapter, DOMAIN_SPECS, "alipay")) == []
    assert implemented_hooks(AlipayAdapter) == {
        "payment_charge",
        "payment_reverse",
        "payment_refund",
        "payment_query",
        "payment_statement",
        "notice_read",
    }


def killed_at(shop: Shop, at: int, act: Callable[[], object], *, after: bool) -> bool:
    """Run ``act`` in a process that dies at a message; another process stands ready. Whether it died."""
    whole = shop.adapter
    mortal = Mortal(at, after=after)
    shop.adapter = AlipayAdapter(replace(whole.context, http=mortal))
    try:
        act()
    except Killed:
        return True
    finally:
        mortal.close()
        shop.adapter = whole
    return False


@pytest.mark.parametrize("after", [False, True])
def test_a_charge_killed_at_any_message_is_taken_at_most_once(shop: Shop, after: bool) -> None:
    died = [killed_at(shop, at, lambda at=at: shop.charge(at), after=after) for at in (1, 1, 2)]  # type: ignore[misc]
    assert died == [True, True, False]
    found = shop.ask(1)
    assert isinstance(found, Done) if after else found == NotFound(final=False)
    assert isinstance(shop.reverse(11, original=1), Done)
    assert shop.money()["net"] == 1200  # of the third, which nobody killed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_reverse_and_a_refund_killed_at_any_message_act_once(shop: Shop, at: int, after: bool) -> None:
    shop.charge(1)
    shop.charge(2)
    assert killed_at(shop, at, lambda: shop.reverse(11, original=1), after=after)
    assert killed_at(shop, at, lambda: shop.refund(12, 2, 500), after=after)
    assert isinstance(shop.reverse(11, original=1, attempt=2), Done)
    assert isinstance(shop.refund(12, 2, 500, attempt=2), Done)
    assert shop.money() == {"received": 2400, "refunded": 1700, "net": 700, "fees": 5}


def test_a_shown_code_whose_process_died_is_not_forgotten(shop: Shop) -> None:
    """What was shown is noted before it is sent, so that a reverse knows that it can still be opened."""
    assert killed_at(shop, 1, lambda: shop.show(1), after=True)
    assert isinstance(shop.reverse(2, original=1), Pending)


def test_two_merchants_share_nothing(shop: Shop, tmp_path: Path, checked: dict[str, Any]) -> None:
    """Two connections in one process, each with keys of its own: neither can act for, or believe, the other."""
    other_folder = tmp_path / "other"
    other = AlipaySimulator(other_folder)
    try:
        theirs = Shop.__new__(Shop)
        theirs.sim, theirs.folder, theirs.address = other, other_folder, other.start()["gateway"]
        adapter = theirs.build()
        assert isinstance(shop.charge(1), Done)
        assert isinstance(adapter.payment_charge(shop.request(), call(key(1))), Done)
        assert shop.money()["received"] == 1200 and other.books()["money"]["received"] == 1200
        crossed = theirs.build(endpoint=f"http://{shop.address}/gateway.do")
        with pytest.raises(NotSent, match=r"app_private_key|app_id"):
            crossed.check()
    finally:
        other.stop()


def test_a_reply_may_not_send_us_to_another_host(shop: Shop) -> None:
    """A bill's address in plain text leads nowhere but to the endpoint's own host."""
    hits: list[str] = []
    elsewhere = serve_http(lambda request: hits.append(request.path))  # type: ignore[arg-type, return-value]
    try:
        for url in (f"http://localhost:{elsewhere.server_address[1]}/x", "ftp://127.0.0.1/x", "/x", ""):
            with pytest.raises(Exception, match="neither https nor"):
                shop.client.download(url, timeout=1)
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()
    assert hits == []


def test_what_each_hook_costs(shop: Shop) -> None:
    """Messages of each hook on the good path; more than these is a slower checkout."""
    costs: dict[str, Counter[str]] = {}

    def measured(name: str, act: Callable[[], object]) -> None:
        before = Counter(shop.sim.books()["requests"])
        act()
        costs[name] = Counter(shop.sim.books()["requests"]) - before

    measured("charge", lambda: shop.charge(1))
    measured("show", lambda: shop.show(2))
    measured("query", lambda: shop.ask(1))
    measured("refund", lambda: shop.refund(11, 1, 500))
    measured("decline", lambda: shop.charge(3, "9011"))
    measured("reverse", lambda: shop.reverse(13, original=3))
    assert {name: sum(cost.values()) for name, cost in costs.items()} == {
        "charge": 1,
        "show": 1,
        "query": 1,
        "refund": 2,
        "decline": 1,
        "reverse": 2,
    }
