"""One secret a gateway, from which the secrets that it shares with platforms are derived; the database holds none."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from threading import Lock

from gateway.domain.common import Secret
from gateway.domain.errors import GatewayError
from gateway.sdk.settings import resolve_secret

LEAST = 32


class MasterKeyUnusable(GatewayError):
    """The master key cannot be read, or is too short; the text says what to do."""


class MasterKey:
    """The master key, read at its first use: the one given, or the file's, which is made if it is not there.

    Safe to share between threads, and for several processes to make the file at once: the first one's stays.
    """

    def __init__(self, file: Path, given: Secret | None = None) -> None:
        self._file, self._given = file, given
        self._key = b""
        self._lock = Lock()

    def derive(self, purpose: str) -> bytes:
        """32 bytes that are always the same for a purpose. Raises ``MasterKeyUnusable``."""
        return hmac.digest(self._bytes(), purpose.encode(), hashlib.sha256)

    @property
    def fingerprint(self) -> str:
        """What tells one master key from another, and nothing more. Raises ``MasterKeyUnusable``."""
        return self.derive("fingerprint").hex()[:16]

    def _bytes(self) -> bytes:
        with self._lock:
            if not self._key:
                self._key = self._read().encode()
        return self._key

    def _read(self) -> str:
        if self._given is not None:
            return _long_enough(self._given.reveal(), "server.master_key")
        if not self._file.exists():
            self._make()
        try:
            return _long_enough(resolve_secret(f"file:{self._file}").reveal(), str(self._file))
        except ValueError as error:
            raise MasterKeyUnusable(str(error)) from None

    def _make(self) -> None:
        """Write a whole file beside it, then give it the name, which only one process can."""
        fresh = self._file.with_name(f"{self._file.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48))
                file.flush()
                os.fsync(file.fileno())
            os.link(fresh, self._file)
        except FileExistsError:
            pass
        except OSError as error:
            raise MasterKeyUnusable(f"cannot make {self._file}: {error.strerror}") from None
        finally:
            fresh.unlink(missing_ok=True)


def _long_enough(text: str, where: str) -> str:
    if len(text) < LEAST:
        raise MasterKeyUnusable(f"{where} must have at least {LEAST} characters")
    return text
