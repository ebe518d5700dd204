"""The simulated platform's own rules: one prepare for one verify, the hour, the counts, the tokens, the history."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from gateway.sdk.simulator import Panel
from plugins.groupbuy.protocol import (
    Prepared,
    Reply,
    read_certificates,
    read_pois,
    read_prepared,
    read_records,
    read_reply,
    read_results,
    read_token,
)
from plugins.groupbuy.simulator import CLIENT_KEY, CLIENT_SECRET, GroupBuySimulator
from plugins.groupbuy.simulator_seed import KTV, POIS, RESTAURANT
from tests.plugins.groupbuy.support import Shop

OPERATOR = {"account": "a", "name": "n", "device": "D"}


class Direct:
    """The platform without the adapter."""

    def __init__(self, shop: Shop) -> None:
        self.base = f"http://{shop.address}"
        self.session = requests.Session()
        who = {"client_key": CLIENT_KEY, "client_secret": CLIENT_SECRET}
        self.session.headers["access-token"] = read_token(self.post("/oauth/client_token", **who))[0]

    def post(self, path: str, **fields: Any) -> Reply:
        return read_reply(self.session.post(self.base + path, json=fields, timeout=3).content)

    def get(self, path: str, **fields: Any) -> Reply:
        return read_reply(self.session.get(self.base + path, params=fields, timeout=3).content)

    def prepare(self, code: str, poi: str = KTV) -> Reply:
        return self.get("/v1/certificate/prepare", code=code, poi_id=poi)

    def prepared(self, code: str) -> Prepared:
        return read_prepared(self.prepare(code))

    def verify(self, token: str, codes: list[str], poi: str = KTV, operator: Any = OPERATOR) -> Reply:
        return self.post(
            "/v1/certificate/verify", verify_token=token, encrypted_codes=codes, poi_id=poi, operator=operator
        )

    def cancel(self, verify_id: str, ids: list[str], count: int, token: str = "T1") -> Reply:
        fields = {"verify_id": verify_id, "certificate_ids": ids, "count": count, "cancel_token": token}
        return self.post("/v1/certificate/cancel", **fields, operator=OPERATOR)


@pytest.fixture
def direct(shop: Shop) -> Any:
    direct = Direct(shop)
    yield direct
    direct.session.close()


def redeemed(direct: Direct, code: str) -> tuple[str, list[str]]:
    prepared = direct.prepared(code)
    results = read_results(
        direct.verify(prepared.verify_token, [item.encrypted_code for item in prepared.certificates])
    )
    return results[0].verify_id, [result.certificate_id for result in results]


def test_one_prepare_serves_one_verify(direct: Direct, shop: Shop) -> None:
    first, second = shop.buy(2)
    prepared = direct.prepared(second)
    codes = [item.encrypted_code for item in prepared.certificates]
    assert [item.code_tail for item in prepared.certificates] == [second[-4:], first[-4:]]  # the shown one first
    done = direct.verify(prepared.verify_token, codes[:1])
    assert done.code == 0 and read_results(done)[0].verify_id
    again = direct.verify(prepared.verify_token, codes[:1])
    assert (again.code, [result.result for result in read_results(again)]) == (1208, [2])
    other = direct.verify(prepared.verify_token, codes[1:])
    assert other.code == 1208 and shop.status(first) == "unused"
    assert shop.status(second) == "used"


def test_what_prepare_refuses(direct: Direct, shop: Shop) -> None:
    used, gone, old = shop.buy()[0], shop.buy()[0], shop.buy()[0]
    shop.pull("use_elsewhere", code=used)
    shop.pull("refund", code=gone)
    shop.pull("expire", code=old)
    answers = [direct.prepare(code).code for code in ("9" * 15, used, gone, old)]
    assert answers == [1201, 1202, 1202, 1205]
    assert direct.prepare(shop.buy()[0], RESTAURANT).code == 1203
    assert direct.prepare(shop.buy()[0], "1").code == 1101


def test_what_verify_says_of_each_certificate(direct: Direct, shop: Shop) -> None:
    codes = shop.buy(4)
    prepared = direct.prepared(codes[0])
    encrypted = {item.code_tail: item.encrypted_code for item in prepared.certificates}
    shop.pull("refund", code=codes[1])
    shop.pull("use_elsewhere", code=codes[2])
    shop.pull("expire", code=codes[3])
    reply = direct.verify(prepared.verify_token, [encrypted[code[-4:]] for code in codes])
    assert (reply.code, [result.result for result in read_results(reply)]) == (0, [0, 4, 2, 3])


def test_what_verify_refuses(direct: Direct, shop: Shop) -> None:
    prepared, other = direct.prepared(shop.buy()[0]), direct.prepared(shop.buy()[0])
    mine, theirs = prepared.certificates[0].encrypted_code, other.certificates[0].encrypted_code
    assert direct.verify("nonsense", [mine]).code == 1206
    assert direct.verify(prepared.verify_token, [mine, theirs]).code == 1207
    wrong: tuple[Any, ...] = ([], [mine, mine], [1], [[]], "x")
    for codes in wrong:
        assert direct.verify(prepared.verify_token, codes).code == 2100005
    for operator in (None, {}, {"account": "a"}):
        assert direct.verify(prepared.verify_token, [mine], operator=operator).code == 2100005
    assert shop.records() == []


def test_a_cancel_names_the_redemption_and_its_count(direct: Direct, shop: Shop) -> None:
    codes = shop.buy(2)
    verify_id, ids = redeemed(direct, codes[0])
    assert direct.cancel(verify_id, ids[:1], 1).code == 1303
    assert direct.cancel("6", ids, 2).code == 1301
    assert direct.cancel(verify_id, ids, 2).data["repeated"] is False
    assert direct.cancel(verify_id, ids, 2).data["repeated"] is True
    assert direct.cancel(verify_id, ids, 2, "T2").code == 1304
    assert shop.statuses(codes) == ["unused", "unused"]


def test_after_an_hour_it_is_too_late(direct: Direct, shop: Shop) -> None:
    code = shop.buy()[0]
    verify_id, ids = redeemed(direct, code)
    shop.pull("age", code=code, seconds=3601)
    assert direct.cancel(verify_id, ids, 1).code == 1302
    assert shop.status(code) == "used"


def test_a_used_token_says_1208_even_after_the_cancel(direct: Direct, shop: Shop) -> None:
    """A trap: 1208 is no proof that the certificate is used now."""
    code = shop.buy()[0]
    prepared = direct.prepared(code)
    encrypted = [prepared.certificates[0].encrypted_code]
    result = read_results(direct.verify(prepared.verify_token, encrypted))[0]
    direct.cancel(result.verify_id, [result.certificate_id], 1)
    assert direct.verify(prepared.verify_token, encrypted).code == 1208
    assert shop.status(code) == "unused"


def test_the_history_is_paged_and_keeps_what_was_cancelled(direct: Direct, shop: Shop) -> None:
    ids = [redeemed(direct, code) for code in [shop.buy()[0] for _ in range(25)]]
    direct.cancel(*ids[0], 1)
    span = {"start_time": int(shop.sim.now()) - 60, "end_time": int(shop.sim.now()) + 60, "poi_ids": KTV}
    first, cursor = read_records(direct.get("/v1/verify_record/query", **span))
    second, end = read_records(direct.get("/v1/verify_record/query", **span, cursor=cursor))
    assert (len(first), len(second), end) == (20, 5, "")
    assert [bool(record.cancel_time) for record in first] == [True] + [False] * 19
    assert direct.get("/v1/verify_record/query", **(span | {"poi_ids": RESTAURANT})).data["records"] == []
    assert direct.get("/v1/verify_record/query", **span, size=21).code == 2100005


@pytest.mark.parametrize("header", ["", "clt.wrong"])
def test_without_a_token_nothing_goes(direct: Direct, shop: Shop, header: str) -> None:
    direct.session.headers["access-token"] = header
    assert direct.prepare(shop.buy()[0]).code == 2190002
    assert direct.post("/oauth/client_token", client_key=CLIENT_KEY, client_secret="x").code == 10008


def test_seeded_codes_are_the_same_everywhere(direct: Direct, shop: Shop) -> None:
    prepared = direct.prepared("100100020000001")
    assert len(prepared.certificates) == 2 and prepared.certificates[0].deal.third_sku_id == "TC03"
    assert len(read_certificates(direct.get("/v1/certificate/query", order_id=prepared.order_id))) == 2
    assert read_pois(direct.get("/v1/shop/poi/query")) == POIS


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"[" * 9999, b'{"verify_token": {}}', b'{"encrypted_codes": 1}'])
def test_garbage_does_not_hurt_it(direct: Direct, shop: Shop, body: bytes) -> None:
    for path in ("verify", "cancel"):
        reply = direct.session.post(f"{direct.base}/v1/certificate/{path}", data=body, timeout=3)
        assert reply.json()["data"]["error_code"] == 2100005
    assert direct.session.get(f"{direct.base}/nothing", timeout=3).status_code == 404
    assert direct.prepare(shop.buy()[0]).code == 0


def test_concurrent_redemptions_of_one_certificate(direct: Direct, shop: Shop) -> None:
    code = shop.buy()[0]
    prepares = [direct.prepared(code) for _ in range(6)]
    results: list[int] = []

    def verify(prepared: Prepared) -> None:
        reply = direct.verify(prepared.verify_token, [prepared.certificates[0].encrypted_code])
        results.append(read_results(reply)[0].result)

    threads = [threading.Thread(target=verify, args=(prepared,)) for prepared in prepares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 2, 2, 2, 2, 2] and len(shop.records()) == 1


def test_the_books_survive_a_restart_and_the_tokens_do_not(direct: Direct, shop: Shop, tmp_path: Path) -> None:
    code = shop.buy()[0]
    redeemed(direct, code)
    shop.sim.stop()
    shop.sim = GroupBuySimulator(tmp_path)
    direct.base = f"http://{shop.sim.start()['platform']}"
    assert shop.status(code) == "used" and len(shop.sim.books()["certificates"]) == 39
    assert direct.prepare(code).code == 2190002


def test_the_panel_speaks_http(shop: Shop) -> None:
    panel = Panel(shop.sim, {})
    try:
        known = requests.get(panel.url, timeout=3).json()["faults"]
        assert "partial_results" in known and "bad_signature" not in known  # replies are not signed
        bought = requests.post(f"{panel.url}/control", json={"do": "buy", "deal": "V100", "count": 2}, timeout=3).json()
        assert len(bought["codes"]) == 2
        for wrong in ({"do": "x"}, {"do": "buy", "deal": "x"}, {"do": "refund", "code": "x"}, {"do": "expire"}):
            assert requests.post(f"{panel.url}/control", json=wrong, timeout=3).status_code == 400
    finally:
        panel.stop()
