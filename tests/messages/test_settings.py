"""A merchant's file that would send nothing, or nonsense, is refused before anything happens, with the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.backoffice.messages.values import amount_text, facts_of
from gateway.engine.model import Kind, Saga, State
from gateway.runtime import ConfigError, discover
from gateway.runtime.config import load_merchant
from gateway.runtime.merchant import Merchant
from tests.messages.conftest import PAID, REFUNDED, SHOP

#: 2026-11-23, 16:30 UTC: past midnight in Shanghai.
HALF_PAST_MIDNIGHT = 1_795_451_400_000


def written(folder: Path, rules: str, shop: str = SHOP) -> Path:
    """The shop's file on a disk."""
    secret, file = folder / "app_secret.txt", folder / "m1.toml"
    secret.write_text("secret-secret")
    secret.chmod(0o600)
    shop = shop.replace('"APP"', '"wx8888888888888888"').replace("<messages.data>", str(folder))
    file.write_text(shop.replace("<messages.account>", "127.0.0.1:1") + rules, encoding="utf-8")
    return file


def refused(folder: Path, rules: str, shop: str = SHOP) -> dict[str, str]:
    """What is wrong, by key."""
    with pytest.raises(ConfigError) as caught:
        load_merchant(written(folder, rules, shop), discover())
    return {problem.path: problem.text for problem in caught.value.problems}


def test_what_cannot_be_sent_is_refused_with_its_key(tmp_path: Path) -> None:
    found = refused(tmp_path, PAID.replace("{merchant}{store}", "{shop}").replace("checkout.completed", "sale"))
    assert found["messages.on[0].texts.zh.title"].startswith("{shop} is none of: order_no")
    assert found["messages.on[0].event"].startswith("expected one of: checkout.completed")
    twice = refused(tmp_path, PAID + REFUNDED + REFUNDED)
    assert twice == {"messages.on": "more than once: refund.succeeded with refunded"}
    found = refused(tmp_path, PAID.replace('"paid"', '"payed"'))
    assert found["messages.on[0].template"].startswith("connection 'account' has no template 'payed'; there are: paid")
    shop = SHOP.replace('[[routes]]\nfamily = "messages"\nconnection = "account"\n', "")
    assert 'family = "messages"' in refused(tmp_path, PAID, shop)["messages.on[0]"]


def test_times_are_the_merchants_and_names_the_members(tmp_path: Path) -> None:
    """A bill of half past midnight is not one of the day before."""
    merchant = load_merchant(written(tmp_path, PAID), discover())
    told = facts_of(merchant, _saga(merchant), _saga(merchant), HALF_PAST_MIDNIGHT, "en")
    assert told == {
        "order_no": "W-1",
        "number": "W-1",
        "amount": "¥12.05",
        "store": "Wulin",
        "merchant": "Corner Shop",
        "time": "2026-11-24 00:30",
    }
    assert facts_of(merchant, _saga(merchant), _saga(merchant), 0, "zh")["store"] == "武林店"
    assert amount_text(100, "USD") == "USD 1.00"


def _saga(merchant: Merchant) -> Saga:
    return Saga(
        id="chk_1",
        kind=Kind.CHECKOUT,
        merchant=merchant.id,
        store_id="s1",
        number="W-1",
        parent="",
        state=State.COMPLETED,
        doc={"legs": []},
        progress={},
        amount=1205,
        created=0,
        updated=0,
    )
