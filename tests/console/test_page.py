"""The console's page: what a shopkeeper finds there, and what must never be there."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from datetime import timedelta

import pytest

from gateway.console import day as days
from gateway.console import run_console
from gateway.console.pages import POLICY
from gateway.console.server import ConsoleError
from gateway.engine.basket import business_date
from tests.console.conftest import HOSTILE, PHONE, Evening


def page(evening: Evening, query: str = "", **headers: str) -> str:
    reply = evening.client().get(f"/console/{query}", headers=headers)
    assert reply.status_code == 200
    return reply.text


def numbers(text: str) -> list[str]:
    """The order numbers on the page, from the top."""
    return re.findall(r'<span class="no">([^<]*)<', text)


def block(text: str, saga_id: str) -> str:
    """One checkout on the page."""
    return text.partition(f'<details id="{saga_id}"')[2].partition("</details>")[0]


def test_the_newest_stand_first(evening: Evening) -> None:
    assert numbers(page(evening))[1:] == ["O3", "O2", "O1"]


def test_a_checkout_opens_to_what_every_system_did(evening: Evening) -> None:
    shown = block(page(evening, "?lang=en"), evening.ids["paid"])
    assert "229.96" in shown and "−49.40" in shown
    assert "Alipay <b>179.96</b>" in shown and "Stored value <b>50.00</b>" in shown
    for hook in ("stock_reserve", "coupon_confirm", "payment_charge", "value_confirm", "order_post", "points_earn"):
        assert f"<code>{hook}</code>" in shown
    assert "Refund 49.40" in shown and "<code>payment_refund</code>" in shown
    assert shown.count('class="op ok"') > 10
    assert "满200减30" not in shown and "…" not in shown.partition("Hold the coupon")[0]


def test_a_case_for_a_person_is_marked(evening: Evening) -> None:
    text = page(evening, "?lang=en")
    assert '<div class="warn"><dt>Tasks</dt><dd>1</dd>' in text
    shown = block(text, evening.ids["paid"])
    assert 'class="pill task"' in shown and "see at house whether order_post happened" in shown
    assert 'class="pill task"' not in block(text, evening.ids["declined"])


def test_what_failed_says_why(evening: Evening) -> None:
    shown = block(page(evening, "?lang=en"), evening.ids["declined"])
    assert 'class="pill failed"' in shown and 'class="op declined"' in shown
    assert "Failed because" in shown and "insufficient_funds" in shown


def test_the_day_at_a_glance(evening: Evening) -> None:
    text = page(evening, "?lang=en")
    totals = dict(re.findall(r"<dt>([^<]*)</dt><dd>(?:<small>¥</small>)?([^<]*)</dd>", text.partition("</dl>")[0]))
    assert totals == {"Checkouts": "4", "Taken": "357.96", "Refunded": "49.40", "Under way": "1", "Tasks": "1"}


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?status=failed", ["O2"]),
        ("?status=awaiting_customer", ["O3"]),
        ("?status=needs_attention", []),
        ("?merchant=m2", []),
        ("?merchant=m1&status=failed", ["O2"]),
        ("?status=nonsense", ["O9", "O3", "O2", "O1"]),
        ("?page=7", []),
        ("?page=-1", ["O9", "O3", "O2", "O1"]),
    ],
)
def test_filters(evening: Evening, query: str, shown: list[str]) -> None:
    assert [number[:2] for number in numbers(page(evening, query))] == shown


def test_a_date_is_a_business_date(evening: Evening) -> None:
    today = business_date(evening.house.engine.merchant("m1"), evening.house.engine.now())
    assert len(numbers(page(evening, f"?date={today.isoformat()}"))) == 4
    before = page(evening, f"?lang=en&date={(today - timedelta(days=1)).isoformat()}")
    assert numbers(before) == [] and "No checkout on this day" in before


@pytest.mark.parametrize(
    ("query", "said"), [("?lang=en&date=soon", "year-month-day"), ("?lang=en&merchant=x", "no such")]
)
def test_what_makes_no_sense_is_said(evening: Evening, query: str, said: str) -> None:
    assert said in page(evening, query)


def test_the_language_is_the_readers(evening: Evening) -> None:
    assert "当日结账" in page(evening)
    assert "Checkouts of the day" in page(evening, **{"Accept-Language": "en-GB,en;q=0.9,zh;q=0.5"})
    assert "当日结账" in page(evening, "?lang=zh", **{"Accept-Language": "en"})
    assert "当日结账" in page(evening, "?lang=fr", **{"Accept-Language": "fr"})
    assert ">Qinghe Table</option>" in page(evening, "?lang=en")


@pytest.mark.parametrize(
    ("store", "merchant", "shown"),
    [
        ("便民365 武林店", "便民365", "武林店"),
        ("青禾里·上城解放路店", "青禾里", "上城解放路店"),
        ("Bianmin 365, Wulin", "Bianmin 365", "Wulin"),
        ("武林店", "便民365", "武林店"),
        ("便民365", "便民365", "便民365"),
    ],
)
def test_a_stores_name_is_not_told_twice(store: str, merchant: str, shown: str) -> None:
    assert days.short(store, merchant) == shown


@pytest.mark.parametrize(("text", "shown"), [("1.000", "1"), ("0.350", "0.35"), ("10", "10"), ("2.5", "2.5")])
def test_quantities_have_no_idle_zeros(text: str, shown: str) -> None:
    assert days.quantity(text) == shown


def test_every_word_stands_in_both_languages() -> None:
    from gateway.console.words import _WORDS
    from gateway.hookspecs import UNDO_HOOKS

    assert all(chinese and english for chinese, english in _WORDS.values())
    assert set(days.STATUSES) <= set(_WORDS)
    planned = {
        hook for pair in UNDO_HOOKS.items() for hook in pair if not hook.startswith(("member_", "payment_share"))
    }
    missing = planned - set(_WORDS) - {"value_topup", "value_untopup", "coupon_issue", "coupon_void"}
    assert not missing


def test_nothing_personal_and_no_code_is_shown(evening: Evening) -> None:
    text = page(evening)
    for secret in (PHONE, "王小姐", "281234567890123456", "281234567890129011"):
        assert secret not in text


def test_what_a_platform_sends_is_text(evening: Evening) -> None:
    text = page(evening, "?open=%22%3E%3Cscript%3E")
    assert HOSTILE not in text and "<script" not in text
    assert "O9&#34;&gt;&lt;script&gt;" in text


def test_no_script_and_no_other_host(evening: Evening) -> None:
    reply = evening.client().get("/console/")
    assert reply.headers["Content-Security-Policy"] == POLICY
    assert "http://" not in reply.text and "https://" not in reply.text
    assert not re.search(r"<script|\son\w+=|style=", reply.text)
    (sheet,) = re.findall(r'href="([^"]*\.css)"', reply.text)
    with evening.client().get(sheet) as css:
        assert css.status_code == 200 and "url(" not in css.text and "@import" not in css.text


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_it_is_read_only(evening: Evening, method: str) -> None:
    assert getattr(evening.client(), method)("/console/").status_code == 405


def test_another_name_for_this_machine_is_refused(evening: Evening) -> None:
    """A page elsewhere must not read this one by pointing its own name at 127.0.0.1."""
    assert evening.client().get("/console/", headers={"Host": "evil.example"}).status_code == 400
    assert evening.client().get("/console/", headers={"Host": "localhost:8081"}).status_code == 200


def test_an_opened_checkout(evening: Evening) -> None:
    assert f'<details id="{evening.ids["split"]}" open>' in page(evening, "?open=O3")
    assert page(evening).count(" open>") == 0


def test_a_busy_day_has_pages(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(days, "PAGE", 3)
    first, second = page(evening, "?lang=en"), page(evening, "?lang=en&page=1")
    assert (len(numbers(first)), numbers(second)) == (3, ["O1"])
    assert "1 / 2" in first and "page=1" in first and "page=0" in second


def test_it_is_served_on_loopback_and_nowhere_else(evening: Evening) -> None:
    served = run_console(evening.parts)
    try:
        with urllib.request.urlopen(served.url, timeout=5) as reply:
            assert "O1" in reply.read().decode()
        with pytest.raises(ConsoleError, match="can't be opened"):
            run_console(evening.parts, "127.0.0.1", served.port)
    finally:
        served()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(served.url, timeout=2)
    served.stop()  # once more does no harm
    with pytest.raises(ConsoleError, match="loopback only"):
        run_console(evening.parts, "0.0.0.0")
    with socket.create_server(("127.0.0.1", served.port)):
        pass  # the port is free again


def test_one_checkout_has_its_timeline(evening: Evening) -> None:
    """Whoever is asked about a payment finds what was sent and said, masked, with nothing written by looking."""
    link = re.search(r'href="(/console/timeline/[^"]*)"', block(page(evening, "?lang=en"), evening.ids["paid"]))
    assert link is not None
    reply = evening.client().get(link[1].replace("&amp;", "&"))
    assert reply.status_code == 200
    assert "payment_charge" in reply.text and "POST /gateway.do" in reply.text and "order_post" in reply.text
    assert PHONE not in reply.text and "<script" not in reply.text
    for wrong in ("/console/timeline/m1/chk_nothing", f"/console/timeline/nobody/{evening.ids['paid']}"):
        assert evening.client().get(wrong).status_code == 404
