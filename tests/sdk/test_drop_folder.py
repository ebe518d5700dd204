"""File drops on a real folder: half-written files, two readers, a crash between claim and end, the same name again."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gateway.sdk import Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.transports import drop_folder as module
from gateway.sdk.transports import wire
from gateway.sdk.transports.drop_folder import DropFolder, drop

TRAILER = "合计\r\n".encode("gbk")


def whole(data: bytes) -> bool:
    return data.endswith(TRAILER)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "spool").mkdir()
    return tmp_path / "in"


def folder(inbox: Path, **settings: float) -> DropFolder:
    return DropFolder(inbox, inbox.parent / "spool", **settings)


def test_a_half_written_file_waits_for_its_trailer(inbox: Path) -> None:
    """Taken too early, the last counters of the day are missing from the settlement."""
    drops = folder(inbox)
    (inbox / "JS0308.DAT").write_bytes(b"line\r\n" + TRAILER[:2])
    (inbox / "JS0309.tmp").write_bytes(TRAILER)
    (inbox / ".JS0310.DAT").write_bytes(TRAILER)
    assert list(drops.poll("JS*", whole)) == []
    (inbox / "JS0308.DAT").write_bytes(b"line\r\n" + TRAILER)
    (found,) = drops.poll("JS*", whole)
    assert (found.name, found.data) == ("JS0308.DAT", b"line\r\n" + TRAILER)
    kept = found.done(ack=".OK")
    assert kept.read_bytes() == found.data
    assert (inbox / "JS0308.OK").exists()
    assert not (inbox / "JS0308.DAT").exists()
    assert list(drops.poll("JS*.DAT", whole)) == []


def test_without_a_trailer_two_looks_must_see_the_same(inbox: Path) -> None:
    drops = folder(inbox, settle_s=0.05)
    path = inbox / "PLU.TXT"
    path.write_bytes(b"one")
    assert list(drops.poll("*.TXT")) == []
    time.sleep(0.06)
    path.write_bytes(b"one two")
    assert list(drops.poll("*.TXT")) == []
    time.sleep(0.06)
    assert [found.data for found in drops.poll("*.TXT")] == [b"one two"]


def test_a_file_claimed_before_a_crash_comes_again(inbox: Path) -> None:
    (inbox / "a.DAT").write_bytes(TRAILER)
    assert len(list(folder(inbox).poll("*.DAT", whole))) == 1
    (found,) = folder(inbox).poll("*.DAT", whole)
    found.done()
    assert list(folder(inbox).poll("*.DAT", whole)) == []


def test_one_of_several_readers_gets_a_file(inbox: Path) -> None:
    """Each with a spool of its own, as two gateways on one share: a file booked twice is money twice."""
    for number in range(40):
        (inbox / f"{number:02}.DAT").write_bytes(TRAILER)
    got: list[str] = []

    def read(name: str) -> None:
        spool = inbox.parent / name
        spool.mkdir()
        for _ in range(3):
            got.extend(found.done().name for found in DropFolder(inbox, spool).poll("*.DAT", whole))

    readers = [threading.Thread(target=read, args=(f"spool{number}",)) for number in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert sorted(got) == [f"{number:02}.DAT" for number in range(40)]


def test_the_same_name_next_year_and_a_file_that_is_refused(inbox: Path) -> None:
    names = []
    for _ in range(2):
        (inbox / "JS0308.DAT").write_bytes(TRAILER)
        (found,) = folder(inbox).poll("*.DAT", whole)
        names.append(found.done().name)
    assert names == ["JS0308.DAT", "JS0308.DAT.1"]
    (inbox / "bad.DAT").write_bytes(TRAILER)
    (found,) = folder(inbox).poll("*.DAT", whole)
    kept = found.reject("line 3 is torn", ack=".ERR")
    assert kept.with_name("bad.DAT.reason").read_text() == (inbox / "bad.ERR").read_text() == "line 3 is torn"


def test_a_share_that_is_not_mounted_is_a_setting(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="mounted"):
        list(DropFolder(tmp_path / "no", tmp_path).poll("*"))
    with pytest.raises(Misconfigured, match="mounted"):
        drop(tmp_path / "no" / "a.txt", b"x")
    assert wire.sends() == 0


def test_a_file_is_laid_there_once(inbox: Path) -> None:
    drop(inbox / "a.ORD", b"order")
    drop(inbox / "a.ORD", b"order")
    assert wire.sends() == 1
    with pytest.raises(NotSent, match="other content"):
        drop(inbox / "a.ORD", b"other")
    assert [path.name for path in inbox.iterdir()] == ["a.ORD"]
    wire.begin(time.monotonic() - 1)
    with pytest.raises(NotSent, match="given up"):
        drop(inbox / "b.ORD", b"late")
    assert not (inbox / "b.ORD").exists()


def test_trouble_after_the_rename_is_unknown(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there and may be read by the till, although its folder could not be made durable."""
    real = module.write_atomically

    def fails(path: Path, data: bytes) -> None:
        real(path, data)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "write_atomically", fails)
    with pytest.raises(OutcomeUnknown):
        drop(inbox / "a.ORD", b"x")
    (inbox / "f").write_bytes(b"")
    with pytest.raises((NotSent, Misconfigured)):
        drop(inbox / "f" / "a.ORD", b"x")
