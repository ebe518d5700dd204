"""The keys of a terminal: a master key that never travels, and working keys that a sign-in brings under it."""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from gateway.sdk import ParseError

CHECK_BYTES = 4


def _cipher(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(TripleDES(key + key[:8]), modes.ECB())  # noqa: S305 - what the hosts demand


def wrap(master: bytes, key: bytes) -> bytes:
    """A working key of 16 bytes as a sign-in carries it: under the master key, and its check value after it."""
    return _cipher(master).encryptor().update(key) + check_value(key)


def unwrap(master: bytes, given: bytes) -> bytes:
    """The working key that a sign-in carries.

    Raises ``ParseError`` if the check value does not fit: the master key is another one than the host's.
    """
    if len(given) != 16 + CHECK_BYTES:
        raise ParseError(f"working keys of {len(given)} bytes, not {16 + CHECK_BYTES}")
    key = _cipher(master).decryptor().update(given[:16])
    if check_value(key) != given[16:]:
        raise ParseError("the working key does not fit its check value")
    return key


def check_value(key: bytes) -> bytes:
    """What tells two keys apart and gives neither away: zeros encrypted, the first four bytes."""
    return _cipher(key).encryptor().update(bytes(8))[:CHECK_BYTES]
