"""Campaigns as files through the command line: all or nothing, every fault with its path, versions for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.app import build_parts
from gateway.cli import main
from gateway.runtime import ConfigError
from plugins.alipay.simulator import AlipaySimulator
from tests.engine.conftest import seed, shop_file
from tests.engine.kit import House, build

IN_FILE = """
[[pricing.campaigns]]
id = "house"
version = 1
kind = "amount_off"
tiers = [{ threshold_amount = 100000, off_amount = 100 }]
"""
SPRING = {"id": "spring", "version": 1, "kind": "amount_off", "name": "春", "off_amount": 500}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    """A shop with one campaign in its file, on the database that the command line finds."""
    wallet = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"})
    (tmp_path / "data").mkdir()
    url = f"sqlite:///{tmp_path / 'data' / 'gateway.db'}"
    house = build(tmp_path, shop_file(wallet) + IN_FILE, {"alipay": wallet}, url=url)
    house.database.tx(seed)
    yield house
    house.stop()


def run(shop: House, *words: str) -> Result:
    return CliRunner().invoke(main, ["campaigns", words[0], "--config", str(shop.folder / "gateway.toml"), *words[1:]])


def file_of(shop: House, *campaigns: dict[str, Any], **more: Any) -> str:
    file = shop.folder / "campaigns.json"
    file.write_text(json.dumps({"campaigns": campaigns, **more}), encoding="utf-8")
    return str(file)


def price(shop: House) -> tuple[int, list[tuple[str, Any]]]:
    """What one article B of 59.90 comes to, and under which versions of which campaigns."""
    shop.engine.campaign_book.forget()
    lines = [{"line_id": "B", "sku": "B", "quantity": "1"}]
    quote = shop.checkouts.quote("m1", {"store_id": "s1", "lines": lines})
    return quote["payable_amount"], [(item["id"], item["version"]) for item in quote["applied"]]


def test_an_import_is_in_force_and_a_new_version_replaces_it(shop: House) -> None:
    done = run(shop, "import", file_of(shop, SPRING))
    assert (done.exit_code, done.output) == (0, "spring  version 1  new\n")
    assert price(shop) == (5490, [("spring", 1)])
    assert run(shop, "import", file_of(shop, SPRING)).output == "spring  version 1  unchanged\n"
    again = run(shop, "import", file_of(shop, {**SPRING, "version": 2, "off_amount": 700}))
    assert again.output == "spring  version 2  version\n"
    assert price(shop) == (5290, [("spring", 2)])
    listed = [line.split()[:4] for line in run(shop, "list").output.splitlines()]
    assert listed == [
        ["house", "1", "active", "file"],
        ["spring", "1", "ended", "import"],
        ["spring", "2", "active", "import"],
    ]


def test_the_same_version_with_another_text_is_refused(shop: House) -> None:
    run(shop, "import", file_of(shop, SPRING))
    refused = run(shop, "import", file_of(shop, {**SPRING, "off_amount": 501}, {**SPRING, "id": "other"}))
    assert refused.exit_code == 2
    assert "/campaigns/0: spring version 1 is known with another text" in refused.output
    assert price(shop) == (5490, [("spring", 1)]), "and nothing of the file was taken"


@pytest.mark.parametrize(
    ("campaign", "told"),
    [
        ({**SPRING, "version": None}, "/campaigns/0/version"),
        ({**SPRING, "kind": "gift"}, "/campaigns/0"),
        ({**SPRING, "kind": "discount"}, "/campaigns/0/kind"),
        ({**SPRING, "off_amount": 0}, "/campaigns/0/off_amount"),
        ({**SPRING, "tyers": []}, "/campaigns/0/tyers: Unknown field"),
        ({**SPRING, "when": {"weekdays": [1, 8]}}, "/campaigns/0/when/weekdays/1"),
        ({**SPRING, "id": "house"}, "stands in m1.toml"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(shop: House, campaign: dict[str, Any], told: str) -> None:
    refused = run(shop, "import", file_of(shop, campaign))
    assert refused.exit_code == 2
    assert told in refused.output
    assert price(shop) == (5990, [])


def test_coupons_and_files_without_campaigns_are_refused(shop: House) -> None:
    coupon = {"code": "C1", "kind": "cash", "off_amount": 100}
    assert "/coupons: coupons are issued" in run(shop, "import", file_of(shop, SPRING, coupons=[coupon])).output
    assert "/campaigns: there are none" in run(shop, "import", file_of(shop)).output


def test_a_check_and_a_draft_change_no_price(shop: House) -> None:
    assert "not written" in run(shop, "import", "--check", file_of(shop, SPRING)).output
    assert len(run(shop, "list").output.splitlines()) == 1
    run(shop, "import", "--draft", file_of(shop, SPRING))
    assert price(shop) == (5990, [])
    run(shop, "state", "spring", "1", "active")
    assert price(shop) == (5490, [("spring", 1)])
    run(shop, "state", "spring", "1", "paused")
    assert price(shop) == (5990, [])
    assert run(shop, "state", "spring", "9", "active").exit_code == 1


@pytest.mark.parametrize("form", ["json", "toml"])
def test_what_is_exported_can_be_imported_elsewhere(shop: House, form: str) -> None:
    every = {
        **SPRING,
        "scope": {"skus": ["B"], "exclude": {"brands": ['酒 "x"']}},
        "when": {"from": "2014-03-01", "hours": [["22:00", "02:00"]]},
        "limits": {"total": 5},
        "budget_amount": 1000,
    }
    run(shop, "import", file_of(shop, every))
    shop.engine.campaign_book.forget()
    text = run(shop, "export", "--format", form).output
    file = shop.folder / f"exported.{form}"
    file.write_text(text, encoding="utf-8")
    told = run(shop, "import", str(file)).output
    assert "house" in told and "change it there" in told  # the file's own one is not for importing
    file.write_text(text.replace('"house"', '"other"'), encoding="utf-8")
    assert run(shop, "import", str(file)).output == "other  version 1  new\nspring  version 1  unchanged\n"


def test_every_sale_keeps_the_version_it_was_priced_under(shop: House) -> None:
    run(shop, "import", file_of(shop, SPRING))
    shop.engine.campaign_book.forget()
    lines = [{"line_id": "B", "sku": "B", "quantity": "1"}]
    request = {"store_id": "s1", "order_no": "O1", "lines": lines, "tenders": [{"method": "cash"}]}
    quote = shop.checkouts.quote("m1", {"store_id": "s1", "lines": lines})
    _, body = shop.checkout(request)
    run(shop, "import", file_of(shop, {**SPRING, "version": 2, "off_amount": 5990}))
    assert price(shop)[0] == 0
    kept = shop.checkouts.get("m1", body["id"])["quote"]
    assert [(item["id"], item["version"], item["amount"]) for item in kept["applied"]] == [("spring", 1, 500)]
    reply = shop.refunds.create(shop.asked(), body["id"], {})
    assert json.loads(reply.body)["amount"] == 5490
    again = {"quote_id": quote["quote_id"], "order_no": "O2", "tenders": [{"method": "cash"}]}
    _, honoured = shop.checkout(again)
    assert honoured["quote"]["payable_amount"] == 5490, "the quote's version is honoured"


def test_a_files_campaign_is_held_to_its_version(shop: House) -> None:
    config, merchant = shop.folder / "gateway.toml", shop.folder / "merchants" / "m1.toml"
    build_parts(config).close()
    text = merchant.read_text(encoding="utf-8")
    merchant.write_text(text.replace("off_amount = 100 ", "off_amount = 200 "), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"m1.toml: pricing.campaigns\[0\]: house version 1 is known with another"):
        build_parts(config)
    changed = text.replace("off_amount = 100 ", "off_amount = 200 ").replace(
        '"house"\nversion = 1', '"house"\nversion = 2'
    )
    merchant.write_text(changed, encoding="utf-8")
    build_parts(config).close()
    merchant.write_text(text.replace('kind = "amount_off"', 'kind = "gift"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"pricing.campaigns.0"):
        build_parts(config)
