"""Against a real Tryton: articles, levels and holds, as its own records show them afterwards."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import requests

from gateway.sdk import CatalogueRequest, Declined, DeclineReason, Done, LevelsRequest, NotFound, Product
from plugins.tryton import protocol
from plugins.tryton.adapter import TrytonAdapter
from plugins.tryton.real.desk import Desk
from plugins.tryton.real.server import TrytonServer
from tests.plugins.tryton.support import STORE, asked, at_once, call, held, key, reserve, returned


def level(adapter: TrytonAdapter, sku: str) -> tuple[Decimal, Decimal]:
    found = adapter.stock_levels(LevelsRequest(store_id=STORE, skus=(sku,)))[0]
    return found.on_hand, found.available


def state(desk: Desk, name: str) -> list[str]:
    return [row["state"] for row in desk.rows("stock.shipment.out", [["reference", "=", name]], "state")]


def test_the_library_is_read_to_its_end_in_pages(adapter: TrytonAdapter) -> None:
    """A page boundary that loses an article keeps it from being sold online."""
    found: list[Product] = []
    cursor = ""
    for _ in range(10):
        page = adapter.catalogue_page(CatalogueRequest(cursor=cursor, limit=2))
        found += page.items
        cursor = page.next_cursor or ""
        if not cursor:
            break
    by_sku = {product.sku: product for product in found}
    assert {"RC1", "TB2", "LAST", "GIFT"} <= by_sku.keys()
    assert by_sku["TB2"].unit_amount == 8990
    assert by_sku["RC1"].stocked
    assert not by_sku["GIFT"].stocked


def test_tryton_itself_calls_a_long_plain_reply_compressed(desk: Desk, server: TrytonServer) -> None:
    """Why every request here accepts gzip: without it a client cannot read an answer that is longer than a screen."""
    body = protocol.encode("model.product.product.fields_get", [{}])
    headers = {"Authorization": desk.authorization, "Content-Type": "application/json", "Accept-Encoding": "identity"}
    url = f"{server.url}/{server.database}/rpc/"
    with requests.post(url, data=body, headers=headers, timeout=20, stream=True) as reply:
        assert reply.headers["Content-Encoding"] == "gzip"
        assert reply.raw.read(1) == b"{"


def test_a_hold_takes_goods_from_what_may_be_promised_and_letting_go_gives_them_back(
    adapter: TrytonAdapter, desk: Desk
) -> None:
    """What is held and still promised is sold twice."""
    there, free = level(adapter, "RC1")
    name = key()
    assert isinstance(adapter.stock_reserve(reserve("RC1", 3), call(name)), Done)
    assert level(adapter, "RC1") == (there, free - 3)
    assert state(desk, name) == ["assigned"]
    assert isinstance(adapter.stock_query(asked("stock_reserve", name, reserve("RC1", 3))), Done)
    assert isinstance(adapter.stock_cancel(held(name, "RC1", 3), call()), Done)
    assert level(adapter, "RC1") == (there, free)


def test_goods_that_are_sold_leave_and_come_back_by_a_return(adapter: TrytonAdapter) -> None:
    """A sale that leaves the goods on the shelf's books shows stock that is not there."""
    there, free = level(adapter, "TB2")
    name = key()
    adapter.stock_reserve(reserve("TB2", 2), call(name))
    assert isinstance(adapter.stock_confirm(held(name, "TB2", 2), call()), Done)
    assert isinstance(adapter.stock_confirm(held(name, "TB2", 2), call()), Done)
    assert level(adapter, "TB2") == (there - 2, free - 2)
    again = key()
    for _ in range(2):
        assert isinstance(adapter.stock_return(returned(name, "TB2", 2), call(again)), Done)
    assert level(adapter, "TB2") == (there, free)


def test_the_same_hold_asked_for_twice_is_one_shipment(adapter: TrytonAdapter, desk: Desk) -> None:
    """A repeat after a lost answer must not hold twice the goods."""
    there, free = level(adapter, "TB2")
    name = key()
    for attempt in (1, 2):
        assert isinstance(adapter.stock_reserve(reserve("TB2", 4), call(name, attempt=attempt)), Done)
    assert state(desk, name) == ["assigned"]
    assert level(adapter, "TB2") == (there, free - 4)
    adapter.stock_cancel(held(name, "TB2", 4), call())


def test_too_much_is_out_of_stock_and_holds_nothing(adapter: TrytonAdapter, desk: Desk) -> None:
    """Tryton assigns what there is, in part: the part must not stay held."""
    before = level(adapter, "RC1")
    name = key()
    answer = adapter.stock_reserve(reserve("RC1", 4000), call(name))
    assert isinstance(answer, Declined)
    assert answer.reason is DeclineReason.OUT_OF_STOCK
    assert state(desk, name) == ["cancelled"]
    assert level(adapter, "RC1") == before


def test_of_two_who_want_the_last_one_exactly_one_gets_it(rebuild: Callable[..., TrytonAdapter], desk: Desk) -> None:
    """The last piece is promised once, whatever lock the server answers with."""
    first, second = rebuild(), rebuild()
    for _ in range(5):
        names = (key(), key())
        answers = at_once(
            partial(first.stock_reserve, reserve("LAST", 1), call(names[0])),
            partial(second.stock_reserve, reserve("LAST", 1), call(names[1])),
        )
        won = [name for name, answer in zip(names, answers, strict=True) if isinstance(answer, Done)]
        assert len(won) == 1, answers
        assert sum(isinstance(answer, Declined) for answer in answers) == 1, answers
        assert sorted(state(desk, names[0]) + state(desk, names[1])) == ["assigned", "cancelled"]
        assert isinstance(first.stock_cancel(held(won[0], "LAST", 1), call()), Done)


def test_a_hold_that_never_was_is_let_go_and_not_confirmed(adapter: TrytonAdapter) -> None:
    """The engine undoes what it does not know the outcome of."""
    assert isinstance(adapter.stock_cancel(held(key(), "RC1", 1), call()), Done)
    assert isinstance(adapter.stock_confirm(held(key(), "RC1", 1), call()), Declined)
    assert adapter.stock_query(asked("stock_reserve", key(), reserve("RC1", 1))) == NotFound()
