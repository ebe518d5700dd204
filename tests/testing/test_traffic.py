"""Recorded traffic: nothing unmasked reaches the disk, and what was recorded serves an adapter as the system did."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from gateway.sdk.simulator import HttpReply, Running, Simulator, serve_http, start
from gateway.testing.context import call
from gateway.testing.far import Far
from gateway.testing.ground import Ground
from gateway.testing.outcome import classed
from gateway.testing.profile import Profile
from gateway.testing.traffic import Exchange, Masks, Recorder, Replay, Traffic, of_tape
from plugins.ktv.conformance import KtvProfile
from tests.sdk.cardhost import FRAMES, card_host
from tests.sdk.cardhost import PASSWORD as SESSION_PASSWORD
from tests.testing.wallet import PASSWORD, WalletProfile

PHONE, CODE = "13812345678", "281234567890123456"


@contextmanager
def _running(profile: Profile, folder: Path) -> Iterator[Far]:
    ground = Ground(profile, folder)
    ground.open()
    try:
        with ground.far() as far:
            yield far
    finally:
        ground.close()


@contextmanager
def _replayed(file: Path, **options: str) -> Iterator[Running]:
    running = start(Replay(file.parent / "replay", {"file": str(file), **options}))
    try:
        yield running
    finally:
        running.stop()


def _recorder(to: str, file: Path, framing: str = "", *secrets: str) -> Recorder:
    return Recorder(file, "it", to, Masks(secrets), framing=framing)


def test_a_karaoke_tills_frames_are_recorded_and_replayed(tmp_path: Path) -> None:
    """The adapter can't tell the recording from the till, though each question has another number."""
    file, profile = tmp_path / "till.traffic", KtvProfile()
    with _running(profile, tmp_path / "far") as far:
        recorder = _recorder(far.direct["till"], file, "ascii:4")
        request = profile.request("stock_slots", far)
        real = far.connect(port=recorder.port).stock_slots(request=request)  # type: ignore[attr-defined]
        recorder.stop()
        with _replayed(file, volatile=r"^\w+\|(\d+)") as running:
            port = int(running.addresses["system"].rpartition(":")[2])
            again = far.connect(port=port).stock_slots(request=request)  # type: ignore[attr-defined]
            assert [slot.resource_id for slot in again] == [slot.resource_id for slot in real]
            assert [slot.rates for slot in again] == [slot.rates for slot in real]
            assert running.simulator.books()["unknown"] == []
    assert recorder.count and real


def test_a_wallets_requests_are_recorded_and_replayed(tmp_path: Path) -> None:
    """A charge under a new key is answered by the recorded one, with the new key; the password is nowhere."""
    file, profile = tmp_path / "wallet.traffic", WalletProfile()
    with _running(profile, tmp_path / "far") as far:
        recorder = _recorder(far.direct["wallet"], file, "", PASSWORD)
        request = profile.request("payment_charge", far)

        def charged(port: int, key: str) -> Any:
            adapter: Any = far.connect(url=f"http://127.0.0.1:{port}")
            return classed("wallet", "payment_charge", lambda: adapter.payment_charge(request=request, call=call(key)))

        first = charged(recorder.port, "01WALLET000000000000000001")
        recorder.stop()
        with _replayed(file, volatile="key") as running:
            port = int(running.addresses["system"].rpartition(":")[2])
            second = charged(port, "01WALLET000000000000000002")
    assert (first.kind, second.kind) == ("done", "done"), second
    assert second.answer.ref == "01WALLET000000000000000002"
    assert PASSWORD not in file.read_text(encoding="utf-8")


def test_nothing_unmasked_touches_the_disk(tmp_path: Path) -> None:
    """A recording is handed to colleagues: a phone, a code, a password or a token in it is a leak."""
    secrets = {"phone": PHONE, "auth_code": CODE, "password": "hunter2hunter2", "note": "the-secret-value"}
    server = serve_http(lambda request: HttpReply(200, request.body))
    recorder = _recorder(f"127.0.0.1:{server.server_address[1]}", tmp_path / "it.traffic", "", "the-secret-value")
    url = f"http://127.0.0.1:{recorder.port}/pay?token=abcdef123456&mobile={PHONE}"
    for _ in range(2):
        answer = requests.post(url, json=secrets, headers={"Authorization": "Bearer qwertyuiop"}, timeout=5)
        assert answer.json() == secrets, "the one who asks must be answered unmasked"
    recorder.stop()
    server.shutdown()
    server.server_close()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()).decode()
    for value in (*secrets.values(), "abcdef123456", "qwertyuiop"):
        assert value not in kept
    assert kept.count("138****5678") >= 4


@pytest.mark.parametrize(
    "raw",
    [
        f"EARN|17|{PHONE}|张|密码=abcdef".encode("gb18030"),
        b"\x02\x00\x60" + bytes.fromhex("1962220212345678901280") + b"\x00end",
        f"<name>password</name><value>abcdef</value><m>{PHONE}</m>".encode(),
    ],
)
def test_masks_change_no_length(raw: bytes) -> None:
    """A frame's length and a column's place must stay what they were, or the recording can't be replayed."""
    masked = Masks()(raw)
    assert len(masked) == len(raw) and masked != raw
    assert PHONE.encode() not in masked and b"abcdef" not in masked and "622202123456789" not in masked.hex()


def _told(line: socket.socket, text: str) -> str:
    """One question on a connection that stays open, and its answer; empty when the other side hung up."""
    line.sendall(FRAMES.encode(text.encode()))
    buffer = b""
    while (found := FRAMES.cut(buffer)) is None:
        data = line.recv(4096)
        if not data:
            return ""
        buffer += data
    return found[0].decode()


def test_a_session_is_recorded_and_replayed(tmp_path: Path) -> None:
    """A sign-on holds for its connection: asked over another one, the host would answer `11` and nothing were shown.

    The mask for the password's field stands for questions alone, and the host's time in the answer is no card number.
    """
    file = tmp_path / "host.traffic"
    asked = [f"LG|{SESSION_PASSWORD}", "BK|0001|A", "QR|0002|A", "LO"]
    with card_host(lingers=60) as host:
        recorder = Recorder(file, "it", f"127.0.0.1:{host.port}", Masks(asked=[r"^LG\|([^|]+)"]), framing="ascii:4")
        with closing(socket.create_connection(("127.0.0.1", recorder.port), timeout=5)) as line:
            said = [_told(line, text) for text in asked]
        recorder.stop()
    assert said == ["LG|00|20140308210005|0000", "BK|00|0001", "QR|00|0002|1", "LO|00"]
    assert SESSION_PASSWORD not in file.read_text(encoding="utf-8") and "20140308210005" in file.read_text(
        encoding="utf-8"
    )
    with _replayed(file, volatile=r"^LG\|(\S+)") as running:
        address, _, port = running.addresses["system"].partition(":")
        with closing(socket.create_connection((address, int(port)), timeout=5)) as line:
            assert [_told(line, text) for text in asked] == said
        assert running.simulator.books()["unknown"] == []


def test_whoever_hangs_up_hangs_up_both(tmp_path: Path) -> None:
    """A host that drops a session, and a client that goes away: each must see the other's end, or both wait for it."""
    with card_host(lingers=0) as host:
        recorder = _recorder(f"127.0.0.1:{host.port}", tmp_path / "it.traffic", "ascii:4")
        with closing(socket.create_connection(("127.0.0.1", recorder.port), timeout=5)) as line:
            assert _told(line, f"LG|{SESSION_PASSWORD}").startswith("LG|00")
            host.faults["BK"] = "drop"
            assert _told(line, "BK|0001|A") == "", "the host hung up"
        with closing(socket.create_connection(("127.0.0.1", recorder.port), timeout=5)) as line:
            assert _told(line, f"LG|{SESSION_PASSWORD}").startswith("LG|00")
        deadline = time.monotonic() + 5
        while host.taken and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not host.taken, "the client went away, and the host still holds its session"
        recorder.stop()
    assert [each.reply is None for each in Traffic.load(tmp_path / "it.traffic").exchanges] == [False, True, False]


@pytest.mark.parametrize("number", ["20140308210005", "1394283605000", "26112310080799", "22345678901235"])
def test_a_time_is_no_card_number(number: str) -> None:
    """No card has 14 digits that begin so; a masked time breaks the check sum of its message, and its replay."""
    assert Masks()(number.encode()) == number.encode()


def test_an_unknown_request_is_told_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "it.traffic"
    Traffic("it", "", (Exchange(b'{"member": "M1"}', b"{}", "POST /earn"),)).save(file)
    with _replayed(file) as running:
        answer = requests.post(f"http://{running.addresses['system']}/earn", b'{"member": "M2"}', timeout=5)
        assert answer.status_code == 501
        assert answer.json()["nearest"] == 'POST /earn {"member": "M1"}'
        assert len(running.simulator.books()["unknown"]) == 1


def test_answers_come_in_the_order_of_the_recording_and_as_slowly(tmp_path: Path) -> None:
    """A till that first says no and then yes does so again."""
    file = tmp_path / "it.traffic"
    Traffic("it", "lines", (Exchange(b"Q", b"no"), Exchange(b"Q", b"yes", ms=200), Exchange(b"X", None))).save(file)
    assert Traffic.load(file).exchanges[2].reply is None
    with _replayed(file, timing="1") as running:
        host, _, port = running.addresses["system"].partition(":")
        with closing(socket.create_connection((host, int(port)), timeout=5)) as line:
            said = []
            for _ in range(3):
                line.sendall(b"Q\r\n")
                said.append(line.recv(100))
            line.sendall(b"X\r\n")
            assert line.recv(100) == b""
        assert said == [b"no\r\n", b"yes\r\n", b"yes\r\n"]


def test_a_file_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "it.traffic"
    for text, why in (("", ":1:"), ('{"o2o_traffic": 9}', "version 9"), ('{"o2o_traffic": 1}', ":1:")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=why):
            Traffic.load(file)
    file.write_text('{"o2o_traffic": 1, "name": "it", "framing": ""}\n{"head": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=":2:"):
        Traffic.load(file)


def test_the_sdks_own_recording_becomes_a_file(tmp_path: Path) -> None:
    frames: list[dict[str, Any]] = [
        {"direction": "sent", "ms": 1.0, "size": 3, "text": "a=1", "head": "POST /earn"},
        {"direction": "received", "ms": 5.0, "size": 2, "text": "{}", "head": "HTTP 200"},
    ]
    of_tape("it", frames).save(tmp_path / "it.traffic")
    with _replayed(tmp_path / "it.traffic") as running:
        assert requests.post(f"http://{running.addresses['system']}/earn", b"a=1", timeout=5).text == "{}"


def test_the_commands_record_and_replay(tmp_path: Path) -> None:
    """As an integrator uses them: two processes, one file."""
    server = serve_http(lambda request: HttpReply(200, b'{"ok": 1}'))
    file = tmp_path / "it.traffic"
    command = [sys.executable, "-u", "-m", "gateway.cli"]
    record = ["record", "it", "--to", f"127.0.0.1:{server.server_address[1]}", "--file", str(file)]
    for arguments in (record, ["replay", str(file)]):
        with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = json.loads(line)["addresses"]["system"] if line.startswith("{") else line.split()[0]
            assert requests.get(f"http://{port}/hello", timeout=5).json() == {"ok": 1}
            process.terminate()
            process.wait(10)
        server.shutdown()
    server.server_close()


assert issubclass(Replay, Simulator), "the conformance suite takes it as a profile's simulator"
