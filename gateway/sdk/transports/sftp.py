"""Files over SFTP by paramiko (extra ``sftp``): the host's key is pinned, a file appears whole or not at all.

with Sftp("files.example", "mall", host_key="ssh-ed25519 AAAA…", password=secret).session(10) as files:
    for name in files.list("out"): ...
    files.put("in/SALES.TXT", data)
"""

from __future__ import annotations

import io
import posixpath
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gateway.domain.common import Secret
from gateway.domain.errors import AdapterError, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.optional import load
from gateway.sdk.transports import wire

MOST_BYTES = 64 << 20


def failures() -> tuple[type[BaseException], ...]:
    """All that paramiko raises: its own, and the operating system's for a refusal of the server."""
    paramiko = load("paramiko", "sftp")
    own = (paramiko.SSHException, paramiko.SFTPError, paramiko.ConfigParseError, paramiko.UnknownKeyType)
    return (*own, OSError, EOFError, ValueError)


def classify(error: BaseException, *, moved: bool, where: str = "the host") -> AdapterError:
    """The outcome class of a failure; ``moved`` tells whether the rename that makes a file appear had been sent."""
    paramiko = load("paramiko", "sftp")
    name = type(error).__name__
    if moved:
        return OutcomeUnknown(f"{where}: {name} while a file was put in its place")
    if isinstance(
        error, paramiko.AuthenticationException | paramiko.BadHostKeyException | paramiko.UnknownKeyType | ValueError
    ):
        return Misconfigured(f"{where} does not let us in, check user, password and keys: {name}")
    if isinstance(error, PermissionError | FileNotFoundError):
        return Misconfigured(f"{where}: no such file or folder, or not allowed: {name}")
    return NotSent(f"{where}: {name}: {' '.join(str(each) for each in error.args)[:120]}")


class Sftp:
    """One account at one host. ``host_key`` is its public key as ``ssh-keyscan`` prints it, type and base64.

    Either ``password`` or ``private_key`` (OpenSSH or PEM text) is given.
    """

    def __init__(
        self,
        host: str,
        user: str,
        *,
        host_key: str,
        password: Secret | None = None,
        private_key: Secret | None = None,
        port: int = 22,
    ) -> None:
        self._host, self._port, self._user, self._host_key = host, port, user, host_key.split()[-2:]
        self._password, self._private_key = password, private_key
        if len(self._host_key) != 2:
            raise Misconfigured("host_key: expected a type and base64, as ssh-keyscan prints")

    @contextmanager
    def session(self, seconds: float) -> Iterator[SftpSession]:
        """A connection for so many seconds; raises ``NotSent`` or ``Misconfigured`` if none comes about."""
        deadline = time.monotonic() + seconds
        transport = None
        try:
            transport = self._connect(deadline)
            client = load("paramiko", "sftp").SFTPClient.from_transport(transport)
        except failures() as error:
            if transport is not None:
                transport.close()
            raise classify(error, moved=False, where=self._host) from None
        try:
            yield SftpSession(client, deadline, self._host)
        finally:
            transport.close()

    def _connect(self, deadline: float) -> Any:
        paramiko = load("paramiko", "sftp")
        left = deadline - time.monotonic()
        if left <= 0:
            raise NotSent(f"no time left to connect to {self._host}")
        line = socket.create_connection((self._host, self._port), timeout=left)
        try:
            transport = paramiko.Transport(line)
            transport.banner_timeout = transport.auth_timeout = transport.channel_timeout = max(left, 0.1)
            transport.start_client(timeout=left)
            found = transport.get_remote_server_key()
            if [found.get_name(), found.get_base64()] != self._host_key:
                raise Misconfigured(f"{self._host} shows another host key than the one pinned: {found.get_name()}")
            if self._private_key is not None:
                transport.auth_publickey(self._user, _key(self._private_key))
            else:
                transport.auth_password(self._user, self._password.reveal() if self._password else "")
        except BaseException:
            line.close()  # a transport that was not begun closes nothing
            raise
        return transport


def _key(secret: Secret) -> Any:
    paramiko = load("paramiko", "sftp")
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        with suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(secret.reveal()))
    raise Misconfigured("private_key: neither an Ed25519, nor an ECDSA, nor an RSA key")


class SftpSession:
    """What can be done while the connection stands."""

    def __init__(self, client: Any, deadline: float, host: str) -> None:
        self._client, self._deadline, self._host = client, deadline, host

    def list(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted; hidden and temporary ones are left out."""
        with self._step():
            found = self._client.listdir_attr(folder)
        return sorted(
            each.filename
            for each in found
            if stat.S_ISREG(each.st_mode or 0)
            and not each.filename.startswith(".")
            and not each.filename.endswith(".part")
        )

    def read(self, path: str, limit: int = MOST_BYTES) -> bytes:
        """A file's bytes. Whether it is whole, its trailer must say: SFTP does not."""
        data = bytearray()
        with self._step(), self._client.open(path, "rb") as file:
            while chunk := file.read(1 << 16):
                data += chunk
                if len(data) > limit or time.monotonic() > self._deadline:
                    raise OSError("too long, or no time left")
        wire.record(wire.RECEIVED, data, f"file {path}")
        return bytes(data)

    def put(self, path: str, data: bytes) -> None:
        """Write a file under a hidden name, compare its size, and rename it: nobody sees a part of it.

        A file of that name is replaced. Raises ``NotSent`` before the rename was sent, ``OutcomeUnknown`` after it.
        """
        hidden = posixpath.join(posixpath.dirname(path), f".{posixpath.basename(path)}.part")
        wire.left()
        wire.record(wire.SENT, data, f"file {path}")
        with self._step():
            with self._client.open(hidden, "wb") as file:
                file.write(data)
            if self._client.stat(hidden).st_size != len(data):
                raise OSError("the file there has another size")
        self.move(hidden, path)

    def move(self, path: str, target: str) -> None:
        """Rename; with ``posix-rename`` a target is replaced, else one that is there is an error.

        Of two that claim a file by moving it away, one gets ``Misconfigured`` (no such file).
        """
        wire.left()
        with self._step(moved=True):
            try:
                self._client.posix_rename(path, target)
            except OSError as error:
                if "unsupported" not in str(error).lower():
                    if type(error) in (FileNotFoundError, PermissionError):  # the server's own word: nothing moved
                        raise classify(error, moved=False, where=self._host) from None
                    raise
                self._client.rename(path, target)

    def remove(self, path: str) -> None:
        """Delete a file."""
        wire.left()
        with self._step(moved=True):
            self._client.remove(path)

    @contextmanager
    def _step(self, *, moved: bool = False) -> Iterator[None]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise NotSent(f"{self._host}: no time left")
        self._client.get_channel().settimeout(left)
        try:
            yield
        except AdapterError:
            raise
        except failures() as error:
            raise classify(error, moved=moved, where=self._host) from None
