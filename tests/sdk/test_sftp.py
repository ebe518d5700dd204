"""SFTP against asyncssh's server: the pinned key, a file that appears whole or not at all, a claim that one wins."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import Misconfigured, NotSent, OutcomeUnknown, Secret
from gateway.sdk.transports import wire
from gateway.sdk.transports.sftp import Sftp, classify, failures
from tests.sdk.kit import ROOT, exceptions_of, make

paramiko = pytest.importorskip("paramiko", reason="paramiko is not installed: make peers")
pytest.importorskip("asyncssh", reason="asyncssh is not installed: make peers")


class Host:
    """The server's process and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "files"
        self.folder.mkdir()
        command = [sys.executable, "-W", "ignore", "-m", "tests.sdk.sftp_peer", str(self.folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self.about: dict[str, Any] = json.loads(self._process.stdout.readline())

    def lever(self, name: str) -> None:
        (self.folder.parent / name).touch()

    def account(self, **changes: Any) -> Sftp:
        settings = {"host_key": self.about["host_key"], "password": Secret("secret"), "port": self.about["port"]}
        return Sftp("127.0.0.1", "mall", **(settings | changes))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    found = Host(tmp_path_factory.mktemp("sftp"))
    yield found
    found.close()


@pytest.fixture
def host(server: Host) -> Host:
    """The server with an empty folder and no lever pulled."""
    shutil.rmtree(server.folder)
    server.folder.mkdir()
    for name in ("lose", "slow"):
        (server.folder.parent / name).unlink(missing_ok=True)
    return server


def test_files_both_ways(host: Host) -> None:
    (host.folder / ".hidden").write_bytes(b"x")
    (host.folder / "b.TXT.part").write_bytes(b"x")
    (host.folder / "out").mkdir()
    with host.account().session(5) as files:
        files.put("a.TXT", "茶".encode("gbk") * 50_000)
        files.put("a.TXT", "茶".encode("gbk"))
        assert files.list(".") == ["a.TXT"]
        assert files.read("a.TXT") == "茶".encode("gbk")
        files.move("a.TXT", "out/a.TXT")
        with pytest.raises(Misconfigured):  # the other reader was faster
            files.move("a.TXT", "out/b.TXT")
        files.remove("out/a.TXT")
        assert files.list("out") == []
    key = Secret(host.about["user_key"])
    with host.account(password=None, private_key=key).session(5) as files:
        assert files.list("out") == []


def test_a_host_that_shows_another_key_is_not_talked_to(host: Host) -> None:
    """Whoever stands in between would get the password and the day's sales."""
    for changes in ({"host_key": host.about["other_key"]}, {"password": Secret("wrong-one")}, {"password": None}):
        with pytest.raises(Misconfigured) as caught, host.account(**changes).session(5):
            pass
        assert "wrong-one" not in str(caught.value)
    with pytest.raises(Misconfigured, match="ssh-keyscan"):
        host.account(host_key="AAAA")
    with pytest.raises(Misconfigured, match="neither"), host.account(private_key=Secret("x")).session(5):
        pass
    assert wire.sends() == 0


def test_a_rename_whose_answer_is_lost_is_unknown(host: Host) -> None:
    """The till may be reading the file already."""
    host.lever("lose")
    with host.account().session(5) as files, pytest.raises(OutcomeUnknown):
        files.put("a.TXT", b"sales")
    assert (host.folder / "a.TXT").read_bytes() == b"sales"


def test_what_fails_before_the_rename_leaves_no_file(host: Host) -> None:
    with host.account().session(5) as files:
        with pytest.raises(Misconfigured):
            files.put("no/such/folder.TXT", b"x")
        with pytest.raises(Misconfigured):
            files.read("none.TXT")
        wire.begin(time.monotonic() - 1)
        with pytest.raises(NotSent, match="given up"):
            files.put("late.TXT", b"x")
    assert list(host.folder.iterdir()) == []


def test_time_is_bounded(host: Host) -> None:
    (host.folder / "a.TXT").write_bytes(b"x")
    host.lever("slow")
    began = time.monotonic()
    with host.account().session(1) as files, pytest.raises(NotSent):
        files.read("a.TXT")
    silent = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(NotSent), host.account(port=silent.getsockname()[1]).session(0.5):
        pass
    silent.close()
    with pytest.raises(NotSent), host.account(port=silent_port()).session(0.5):
        pass
    assert time.monotonic() - began < 4


def silent_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_every_exception_class_of_paramiko() -> None:
    """Only what comes before the rename is not sent."""
    for cls in exceptions_of(paramiko, paramiko.ssh_exception, paramiko.sftp):
        error = make(cls)
        assert isinstance(error, failures()), f"{cls} would escape as itself"
        assert isinstance(classify(error, moved=False), NotSent)
        assert type(classify(error, moved=True)) is OutcomeUnknown
