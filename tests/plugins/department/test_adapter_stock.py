"""Stock that no slip holds: held all or nothing over counters, sold, let go and put back, each once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway.sdk import (
    CatalogueRequest,
    Declined,
    DeclineReason,
    Done,
    LevelsRequest,
    NotFound,
    NotSent,
    NotSupported,
    Original,
    Query,
    Site,
    SlotHold,
    StockHeld,
    StockItem,
    StockReserve,
    StockReturn,
)

SHOES, SCARF, BEDDING = "6901000000018", "6901000000216", "6901000000315"


def reserve(site: Site, **items: int) -> StockReserve:
    goods = tuple(StockItem(sku=sku[1:], quantity=Decimal(count)) for sku, count in sorted(items.items()))
    return StockReserve(store_id="lakeside", items=goods, slots=(), order_no="PF1", site=site, ttl_s=600)


def held(desk: Any, request: StockReserve, name: str = "s") -> StockHeld:
    original = Original(key=desk.key(name))
    return StockHeld(original=original, store_id="lakeside", items=request.items, slots=(), site=request.site)


def asked(desk: Any, hook: str, name: str, request: Any) -> Query:
    return Query(hook=hook, key=desk.key(name), request=request, sent_at=datetime.now(UTC))


def test_levels_add_up_over_counters_and_show_what_slips_hold(store: Any, adapter: Any) -> None:
    store.slip("K1", SHOES, quantity="2")
    (level,) = adapter.stock_levels(request=LevelsRequest(store_id="lakeside", skus=(SHOES, "nothing")))
    assert (level.on_hand, level.reserved, level.available) == (Decimal(12), Decimal(2), Decimal(10))
    assert level.as_of.tzinfo is not None
    assert len(adapter.stock_levels(request=LevelsRequest(store_id="lakeside"))) == 11


def test_the_catalogue_comes_in_pages_with_its_cash_codes(adapter: Any) -> None:
    seen, cursor = [], ""
    while True:
        page = adapter.catalogue_page(request=CatalogueRequest(cursor=cursor, limit=5))
        seen += page.items
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert [len({one.sku for one in seen}), len(seen)] == [12, 12]
    shoes = seen[0]
    assert (shoes.sku, shoes.unit_amount, shoes.store_ids) == (SHOES, 89900, ("eastgate", "lakeside"))
    assert shoes.facts["settle_codes"]["K1/J1002"] == {"unit_amount": 69900, "deduction_bp": 2000}
    assert shoes.name_en == "Women's leather ankle boots"


def test_a_hold_over_counters_is_taken_sold_and_put_back_once(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    request = reserve(site, **{f"s{SHOES}": 2, f"s{BEDDING}": 1})
    steps: list[Any] = []
    for attempt in (1, 2):
        done = adapter.stock_reserve(request=request, call=desk.call("s", attempt=attempt, journal=steps))
        assert isinstance(done, Done)
    assert [step.ref for step in steps if not step.done][:2] == ["K1", "K4"]
    assert store.stock("K1", SHOES) == ("12.000", "2.000")
    assert isinstance(adapter.stock_query(request=asked(desk, "stock_reserve", "s", request)), Done)
    for name in ("c", "c2"):
        assert isinstance(adapter.stock_confirm(request=held(desk, request), call=desk.call(name)), Done)
    assert store.stock("K1", SHOES) == ("10.000", "0.000")
    assert isinstance(adapter.stock_query(request=asked(desk, "stock_confirm", "c", held(desk, request))), Done)
    back = StockReturn(original=Original(key=desk.key("s")), store_id="lakeside", items=(request.items[0],), site=site)
    for _ in range(2):
        assert isinstance(adapter.stock_return(request=back, call=desk.call("r")), Done)
    assert store.stock("K1", SHOES) == ("12.000", "0.000")
    assert store.stock("K4", BEDDING) == ("15.000", "0.000")
    refused = adapter.stock_cancel(request=held(desk, request), call=desk.call("x"))
    assert isinstance(refused, Declined)


def test_a_shortage_at_one_counter_gives_the_others_back(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    request = reserve(site, **{f"s{SHOES}": 2, f"s{BEDDING}": 17})
    declined = adapter.stock_reserve(request=request, call=desk.call("s"))
    assert isinstance(declined, Declined)
    assert (declined.reason, declined.code) == (DeclineReason.OUT_OF_STOCK, BEDDING)
    assert store.stock("K1", SHOES) == ("12.000", "0.000")
    again = adapter.stock_reserve(request=request, call=desk.call("s", attempt=2))
    assert again.reason is DeclineReason.OUT_OF_STOCK
    assert adapter.stock_query(request=asked(desk, "stock_reserve", "s", request)) == NotFound()


def test_a_cancel_frees_the_goods_and_blocks_a_late_hold(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    request = reserve(site, **{f"s{SCARF}": 3})
    adapter.stock_reserve(request=request, call=desk.call("s"))
    for name in ("x", "x2"):
        assert isinstance(adapter.stock_cancel(request=held(desk, request), call=desk.call(name)), Done)
    assert store.stock("K3", SCARF) == ("25.000", "0.000")
    assert isinstance(adapter.stock_query(request=asked(desk, "stock_cancel", "x", held(desk, request))), Done)
    late = adapter.stock_reserve(request=request, call=desk.call("s", attempt=2))
    assert isinstance(late, Declined)
    assert late.reason is DeclineReason.CLOSED
    assert adapter.stock_confirm(request=held(desk, request), call=desk.call("c")).reason is DeclineReason.NOT_FOUND


def test_a_cancel_before_the_hold_blocks_it_for_ever(store: Any, adapter: Any, desk: Any, site: Site) -> None:
    request = reserve(site, **{f"s{SCARF}": 3})
    assert isinstance(adapter.stock_cancel(request=held(desk, request), call=desk.call("x")), Done)
    assert adapter.stock_reserve(request=request, call=desk.call("s")).reason is DeclineReason.CLOSED
    assert store.stock("K3", SCARF) == ("25.000", "0.000")


def test_the_last_piece_goes_to_one_of_many(store: Any, make_adapter: Any, desk: Any, site: Site) -> None:
    """Guarded writes: sixteen buyers race for eight duvets, and no more is held than there is."""
    adapter = make_adapter()
    request = reserve(site, s6901000000322=1)  # eight silk duvets
    outcomes: list[Any] = []

    def buy(number: int) -> None:
        outcomes.append(adapter.stock_reserve(request=request, call=desk.call(f"{number:02d}B", seconds=10)))

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(isinstance(outcome, Done) for outcome in outcomes) == 8
    assert store.stock("K4", "6901000000322") == ("8.000", "8.000")


def test_slots_are_not_supported_and_a_locked_database_is_not_sent(
    store: Any, adapter: Any, desk: Any, site: Site
) -> None:
    request = reserve(site, **{f"s{SCARF}": 1})
    now = datetime.now(UTC)
    slot = SlotHold(resource_id="r", resource_class="room", start=now, end=now)
    with pytest.raises(NotSupported):
        adapter.stock_reserve(
            request=StockReserve(store_id="lakeside", items=(), slots=(slot,), order_no="x", site=site, ttl_s=1),
            call=desk.call("s"),
        )
    store.do("lock_database", ms=500)
    with pytest.raises(NotSent):
        adapter.stock_reserve(request=request, call=desk.call("s", seconds=0.1))
    assert store.stock("K3", SCARF) == ("25.000", "0.000")
