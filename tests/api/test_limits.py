"""One platform's flood does not become everybody's, and nobody tries codes until one fits."""

from __future__ import annotations

import time
import timeit
import uuid
from collections.abc import Callable, Iterator

import pytest

from gateway.api.limits import MissLimit, RateLimit
from gateway.app import create_app
from gateway.engine.problems import Problem
from gateway.runtime.gateway_config import Limits
from tests.api.kit import PHONE, Api, Gateway
from tests.api.test_checkouts import basket, order
from tests.api.test_requests import slug

LOW = """
[limits]
requests_per_s = 20
burst_s = 1
misses_per_hour = 3
"""


@pytest.fixture(scope="module")
def low(gateway: Gateway) -> Iterator[Gateway]:
    """The same gateway, less patient."""
    file = gateway.parts.config.file.with_name(f"low-{uuid.uuid4().hex}.toml")
    file.write_text(gateway.parts.config.file.read_text(encoding="utf-8") + LOW, encoding="utf-8")
    app = create_app(file)
    yield Gateway(gateway.folder, app, gateway.running)
    app.extensions["gateway"].close()


def test_a_flood_is_told_to_wait_and_others_are_not(low: Gateway) -> None:
    flood, other = low.api("bun"), low.api("bun")
    replies = [flood.get("/v1/merchants") for _ in range(60)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert 20 < len(refused) < 60
    assert slug(refused[0]) == "rate-limited"
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert other.get("/v1/merchants").status_code == 200
    assert flood.client.get("/healthz").status_code == 200
    assert flood.client.get("/metrics").status_code == 200
    time.sleep(int(refused[-1].headers["Retry-After"]))
    assert flood.get("/v1/merchants").status_code == 200


def test_a_request_that_is_refused_takes_no_idempotency_key(low: Gateway) -> None:
    """The limit comes before the key is stored: the same request a moment later is a first one."""
    api, body, key = low.api("bun"), order(uuid.uuid4().hex), uuid.uuid4().hex
    while api.get("/v1/merchants").status_code == 200:
        continue
    refused = api.post("…/checkouts", body, key=key)
    assert slug(refused) == "rate-limited"
    time.sleep(int(refused.headers["Retry-After"]))
    done = api.post("…/checkouts", body, key=key)
    assert done.status_code == 201
    assert "Idempotency-Replayed" not in done.headers


GUESSES: dict[str, Callable[[Api], object]] = {
    "member": lambda api: api.post("…/members/lookup", {"type": "phone", "value": "13900000000"}),
    "coupon": lambda api: api.post("…/quotes", basket(coupons=["GUESS"])),
    "refund": lambda api: api.post(f"…/checkouts/chk_{'0' * 26}/refunds", {"refund_no": "x"}),
}


@pytest.mark.parametrize("kind", GUESSES)
def test_who_guesses_is_stopped_over_all_processes(low: Gateway, kind: str) -> None:
    """After three misses even a right guess is refused, by another worker too, and only of this kind."""
    api = low.api("bun")
    for _ in range(3):
        assert slug(GUESSES[kind](api)) != "rate-limited"
    again = GUESSES[kind](api)
    assert slug(again) == "rate-limited"
    assert 0 < int(again.headers["Retry-After"]) <= 3601  # type: ignore[attr-defined]
    app = create_app(low.parts.config.file)
    try:
        elsewhere = Api(app.test_client(), api.key, "bun", low.contract)
        assert slug(GUESSES[kind](elsewhere)) == "rate-limited"
        for other in GUESSES.keys() - {kind}:
            assert slug(GUESSES[other](elsewhere)) != "rate-limited"
    finally:
        app.extensions["gateway"].close()


def test_who_sells_all_day_is_not_stopped(low: Gateway) -> None:
    """Members who are there and quotes without codes are no misses."""
    api = low.api("bun")
    for _ in range(4):  # more than may be missed, and fewer than a flood
        assert api.post("…/members/lookup", {"type": "phone", "value": PHONE}).status_code == 200
        assert api.post("…/quotes", basket()).status_code == 200


def test_misses_of_the_hour_before_are_forgotten(gateway: Gateway) -> None:
    database = gateway.parts.database
    key = f"key_{uuid.uuid4().hex}"
    row = {"key": key, "hour": int(time.time()) // 3600 - 1}
    database.tx(lambda tx: tx.execute("INSERT INTO key_misses VALUES (:key, 'member', :hour, 99)", row))
    limit = MissLimit(database, Limits(misses_per_hour=2))
    limit.check(key, "member")
    limit.missed(key, "member")
    limit.missed(key, "member")
    with pytest.raises(Problem, match="member"):
        limit.check(key, "member")
    rows = database.read(lambda tx: tx.all("SELECT hour FROM key_misses WHERE key_id = :key", row))
    assert [found["hour"] for found in rows] == [row["hour"] + 1]


def test_the_rate_costs_next_to_nothing() -> None:
    """It stands before every request; a checkout takes about a millisecond."""
    limit = RateLimit(Limits(requests_per_s=1e9), 2)
    assert min(timeit.repeat(lambda: limit.take("key_1"), number=10_000, repeat=5)) / 10_000 < 10e-6
