"""No secret is ever written down: not in the database, its log, a timeline, a log file or a dump of the program."""

from __future__ import annotations

import faulthandler
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backoffice.evidence import told
from gateway.domain.common import Secret
from gateway.domain.membership import Enrol, Identity, IdentityType, MemberLookup
from gateway.engine.keeping import Keeper
from gateway.engine.timeline import timeline
from gateway.sdk.transports.masking import Masker, is_card, mask_numbers
from gateway.sdk.transports.recording import RECEIVED, SENT, Tape, secrets_in
from tests.audit import chatty
from tests.engine.conftest import seed
from tests.engine.kit import House, build
from tests.runtime.kit import host, plugin

SHOP = """
[merchant]
id = "m1"
name = "便民超市"
[[stores]]
id = "s1"
name = "武林店"
[connections.house]
adapter = "house"
[connections.wallet]
adapter = "chatty"
insecure_transport = true
grace_s = 0.1
[connections.wallet.settings]
port = {port}
api_key = "env:CANARY_KEY"
password = "file:{folder}/password"
deep = ["env:CANARY_DEEP"]
[[routes]]
family = "payments"
connection = "wallet"
[[routes]]
family = "stock"
connection = "house"
[[routes]]
family = "orders"
connection = "house"
"""
CODE = "281234567890123456"
CANARIES = {
    "a key from the environment": "canary-key-7f3a9c",
    "a password from a file": 'canary "pass" & wörd/1',
    "a secret deep in the settings": "canary-深-secret",
    "a payment code": CODE,
    "a card": chatty.CARD,
    "a card in groups": chatty.SPACED_CARD,
    "a phone": chatty.PHONE,
    "an identity number": chatty.IDENTITY,
    "a signature": "U0lHTkFUVVJF",
    "a signature in XML": "cdata-sign-canary",
    "a token in an address": "query-token-canary",
    "a password within a text within a message": "nested-password-canary",
    "a password in base64": "Y2FuYXJ5ICJwYXNzIiAmIHfDtnJkLzE",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    (tmp_path / "password").write_text(CANARIES["a password from a file"], encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    monkeypatch.setenv("CANARY_KEY", CANARIES["a key from the environment"])
    monkeypatch.setenv("CANARY_DEEP", CANARIES["a secret deep in the settings"])
    with host(chatty.echo) as port:
        shop = SHOP.format(port=port, folder=tmp_path)
        house = build(tmp_path, shop, {}, plugins=[plugin("chatty", chatty.ChattyAdapter)])
        house.database.tx(seed)
        yield house
        house.stop()


def sell(shop: House, number: str) -> dict[str, Any]:
    tenders = [{"method": "payment_code", "auth_code": CODE}]
    order = {"store_id": "s1", "order_no": number, "lines": [{"sku": "A", "quantity": "1"}], "tenders": tenders}
    return shop.checkout(order)[1]


def seen(shop: House, checkout: str) -> dict[str, Any]:
    return timeline(shop.database, shop.engine.sealer, "m1", checkout)


def attempts_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    legs = [leg for part in found["parts"] for leg in part["legs"] if leg["connection"] == "wallet"]
    return [each for leg in legs for operation in leg["operations"] for each in operation["attempts"]]


def test_no_planted_secret_is_found_anywhere(
    shop: House, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each kind of secret goes over the wire in each shape, comes back, and a bug raises it: nothing of it may stay."""
    caplog.set_level(logging.DEBUG)
    sold, broken = sell(shop, "O-1"), sell(shop, "O-bug")
    shop.settle(3)
    found = seen(shop, sold["id"])
    texts = {
        "the log": caplog.text,
        "what was printed": "".join(capfd.readouterr()),
        "the timeline": json.dumps([found, seen(shop, broken["id"])], ensure_ascii=False),
        "the timeline as text": "\n".join(told(found, shop.engine.merchant("m1").timezone, "zh")),
    }
    with (tmp_path / "dump").open("wb") as dump:
        faulthandler.dump_traceback(dump, all_threads=True)
    data = {name: text.encode() for name, text in texts.items()}
    data |= {path.name: path.read_bytes() for path in tmp_path.glob("gateway.db*")} | {
        "dump": (tmp_path / "dump").read_bytes()
    }
    assert {"gateway.db", "gateway.db-wal"} <= data.keys()
    shapes = {
        name: [canary.encode(), canary.encode("gb18030"), json.dumps(canary)[1:-1].encode()]
        for name, canary in CANARIES.items()
    }
    shapes["a card in packed decimals"] = [bytes.fromhex("4111111111111111"), b"4111111111111111"]
    leaks = [
        f"{name} in {where}"
        for name, each in shapes.items()
        for where, text in data.items()
        if any(shape in text for shape in each)
    ]
    assert leaks == []
    assert sum(len(attempt["frames"]) for attempt in attempts_of(found)) >= 14, "the frames themselves must be there"


def test_the_timeline_tells_what_went_over_the_wire(shop: House) -> None:
    """Whoever must explain a charge sees what was sent, what came back, when, and what was made of it."""
    found = seen(shop, sell(shop, "O-2")["id"])
    send, query, *_ = attempts_of(found)
    assert (send["verb"], send["number"], send["outcome"]) == ("send", 1, "unknown")
    assert send["said"] == {"error": "OutcomeUnknown: the answer was lost"}
    first, answer, *_ = send["frames"]
    assert (first["direction"], first["head"]) == ("sent", "POST /pay?token=***&k=***")
    assert (answer["direction"], answer["head"]) == ("received", "HTTP 200")
    assert json.loads(first["text"])["auth_code"].endswith("3456")
    assert "138****5678" not in first["text"]
    assert "139****5678" in first["text"]
    assert (query["verb"], query["outcome"], query["said"]["ref"]) == ("query", "done", "T1")
    assert query["frames"][0]["text"] == '{"no":"1"}'
    assert query["took_ms"] > 0


def test_a_call_that_was_given_up_on_leaves_its_messages(shop: House) -> None:
    """The caller's patience ends first: what had left by then is kept, and what comes later is kept as late."""
    began = sell(shop, "O-hang")
    shop.settle(3)
    assert isinstance(shop.engine.caller.late, object)  # type: ignore[attr-defined]
    send = attempts_of(seen(shop, began["id"]))[0]
    assert (send["outcome"], send["frames"][0]["head"]) == ("unknown", "POST /pay?token=***&k=***")


def test_an_answer_that_comes_after_the_deadline_reaches_the_store(shop: House) -> None:
    """Whoever has to explain a payment that was asked about sees what the wallet said in the end, masked."""
    began = sell(shop, "O-slow")
    late = shop.engine.caller.late  # type: ignore[attr-defined]
    until = time.monotonic() + 5
    while not late and time.monotonic() < until:
        time.sleep(0.05)
    Keeper(shop.database, shop.engine.clock, late, keep_days=30).keep()
    first, *_, last = attempts_of(seen(shop, began["id"]))
    assert (first["outcome"], last["outcome"], last["verb"]) == ("unknown", "late", "send")
    (frame,) = last["frames"]
    assert (frame["direction"], frame["head"], frame["text"]) == ("received", "HTTP 200", "139****5678")
    assert not late


def test_old_attempts_are_deleted_in_batches(shop: House) -> None:
    """Evidence is personal data too: after the days that the configuration says it goes."""
    sold = sell(shop, "O-3")["id"]
    keeper = Keeper(shop.database, shop.engine.clock, shop.engine.caller.late, keep_days=30)  # type: ignore[attr-defined]
    keeper.keep()
    assert attempts_of(seen(shop, sold))[0]["frames"]
    shop.database.tx(lambda tx: tx.execute("UPDATE attempts SET began = began - 86400000 * 31"))
    Keeper(shop.database, shop.engine.clock, shop.engine.caller.late, keep_days=30).keep()  # type: ignore[attr-defined]
    row = shop.database.read(lambda tx: tx.one("SELECT count(*) AS n FROM attempts"))
    assert row is not None
    assert row["n"] == 0


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"phone":"13812345678"}', '{"phone":"138****5678"}'),
        ("tel +8613812345678", "tel +86138****5678"),
        ("out_trade_no=20261122223344556677", "out_trade_no=20261122223344556677"),
        ("6228480402564890018", "****0018"),
        ('{"sign":"abc\\/d+e=","a":1}', '{"sign":"***","a":1}'),
        ("<sign>AB</sign><b>1</b>", "<sign>***</sign><b>1</b>"),
        ("pwd=abc&b=1", "pwd=***&b=1"),
        ('{"biz":"{\\"token\\":\\"t\\",\\"n\\":1}"}', '{"biz":"{\\"token\\":\\"***\\",\\"n\\":1}"}'),
        ('{"password":"a\\"b"', '{"password":"***"'),
        ('"secret":"cut off', '"secret":"***'),
        ("openid=oABCD1234567", "openid=***4567"),
        ("<sm:mobile>491701234567</sm:mobile>", "<sm:mobile>***4567</sm:mobile>"),
        ('{"telephone": "+49 170 1234567"}', '{"telephone": "***4567"}'),
        ('{"pay": "mobile", "till": 3}', '{"pay": "mobile", "till": 3}'),
    ],
)
def test_what_is_kept_of_what(text: str, masked: str) -> None:
    """Enough to recognise a payment by, and no more."""
    assert Masker(()).body(text.encode()) == masked


def test_what_an_adapter_calls_personal_is_not_kept() -> None:
    """Which field holds a birthday only its author knows."""
    text = "<Kunde><Geburtsdatum>01.02.1990</Geburtsdatum><Punkte>7</Punkte></Kunde>"
    kept = Masker((), ("geburtsDatum",)).body(text.encode())
    assert kept == "<Kunde><Geburtsdatum>***</Geburtsdatum><Punkte>7</Punkte></Kunde>"


def test_what_a_request_calls_secret_is_not_kept() -> None:
    """The phone that a member is looked up by has any country's shape, and comes back in the answer."""
    lookup = MemberLookup(identity=Identity(type=IdentityType.PHONE, value=Secret("491701234567")))
    tape = Tape(Masker(), secrets_in(lookup))
    tape.add(SENT, b"FIND;491701234567")
    tape.add(RECEIVED, b"HIT;491701234567;7")
    assert [frame["text"] for frame in tape.end()] == ["FIND;****4567", "HIT;****4567;7"]
    join = Enrol(identities=(lookup.identity, Identity(type=IdentityType.CARD, value=Secret("8"))))
    assert list(secrets_in(join)) == ["491701234567"], "a member's number 8 would mask every 8"


@pytest.mark.parametrize(
    "sent",
    [bytes.fromhex("2748193652"), (2_748_193_652).to_bytes(4, "little"), (2_748_193_652).to_bytes(8, "big")],
    ids=["packed decimals", "a chip's own order", "eight bytes"],
)
def test_a_number_is_not_kept_in_the_shapes_of_binary_frames(sent: bytes) -> None:
    """A campus card's number travels as the chip gives it; whoever reads the evidence can turn it back."""
    tape = Tape(Masker(), secrets_in(Identity(type=IdentityType.CARD, value=Secret("2748193652"))))
    tape.add(SENT, b"\x02\x11" + sent + b"\x03")
    assert [frame["text"] for frame in tape.end()] == [r"\x02\x11****\x03"]


@pytest.mark.parametrize(
    "sent",
    [
        b"notify_url=https%3A%2F%2Fshop.example%2Fv1%2Fcallbacks%2Fm1%2Fwallet%2FAb3-x_9ZkQ7&amount=1",
        rb'{"notify_url": "https:\/\/shop.example\/v1\/callbacks\/m1\/wallet\/Ab3-x_9ZkQ7"}',
        b"<notify_url>https://shop.example/v1/callbacks/m1/wallet/Ab3-x_9ZkQ7</notify_url>",
    ],
    ids=["form", "JSON", "XML"],
)
def test_our_address_for_callbacks_keeps_its_last_part_to_itself(sent: bytes) -> None:
    """Whoever reads a timeline could else send notices, and make the gateway ask its systems as often as he likes."""
    head, body = Masker()("", sent)
    assert "Ab3-x_9ZkQ7" not in body and "callbacks" in body and head == ""


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_masked(data: bytes) -> None:
    """A far system's garbage must not keep an outcome from being written."""
    text = Masker(("secret-1", "geheim")).body(data)
    json.dumps(text).encode()


@given(st.text(max_size=60), st.text(alphabet='abcdefXYZ09!/"\\&=%', min_size=8, max_size=20), st.text(max_size=60))
def test_a_known_secret_never_survives(before: str, secret: str, after: str) -> None:
    """Whatever stands around it, in JSON, a form or plain text."""
    from urllib.parse import quote

    for text in (
        before + secret + after,
        json.dumps({"a": before + secret + after}),
        f"a={quote(before + secret + after)}",
    ):
        kept = Masker((secret,)).body(text.encode("utf-8", "surrogatepass"))
        assert secret not in kept


@given(st.integers(10**11, 10**18 - 1))
def test_a_card_in_free_text_never_survives(number: int) -> None:
    body = f"62{number}"[:18]
    card = next(f"{body}{digit}" for digit in range(10) if is_card(f"{body}{digit}"))
    assert card not in mask_numbers(f"paid with {card}.")
