"""Message authentication codes of bank terminals, over DES: weak by today's measure, and what the hosts demand.

A message is filled with zero bytes to whole blocks of eight. Keys are 8 bytes, or 16 where two are needed.

- :func:`x9_9`: CBC under one key, the last block (ISO 9797-1 algorithm 1, also called CBC-MAC);
- :func:`x9_19`: the same under the first half, the last block once more through the second and the first (algorithm 3);
- :func:`ecb`: the kind of China's terminals (field 64): all blocks XORed, written as 16 hex characters, the first half
  encrypted, XORed with the second, encrypted again; of its hex the first eight *characters* are the code.
"""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes


def x9_9(key: bytes, message: bytes) -> bytes:
    """The CBC-MAC, 8 bytes; a host that wants four takes the first four. ``key`` is 8 or 16 bytes (then 3DES)."""
    last = bytes(8)
    for block in _blocks(message):
        last = _encrypt(key, _xor(last, block))
    return last


def x9_19(key: bytes, message: bytes) -> bytes:
    """The retail MAC, 8 bytes. ``key`` is 16 bytes. Raises ``ValueError`` otherwise."""
    if len(key) != 16:
        raise ValueError("X9.19 needs a key of 16 bytes")
    last = x9_9(key[:8], message)
    return _encrypt(key[:8], _decrypt(key[8:], last))


def ecb(key: bytes, message: bytes) -> bytes:
    """The MAC of China's terminals, 8 ASCII bytes of hex. ``key`` is 8 or 16 bytes (then 3DES)."""
    folded = bytes(8)
    for block in _blocks(message):
        folded = _xor(folded, block)
    text = folded.hex().upper().encode()
    last = _encrypt(key, _xor(_encrypt(key, text[:8]), text[8:]))
    return last.hex().upper().encode()[:8]


def _blocks(message: bytes) -> list[bytes]:
    filled = message + bytes(-len(message) % 8)
    return [filled[at : at + 8] for at in range(0, len(filled), 8)]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _cipher(key: bytes) -> Cipher[modes.ECB]:
    """DES is 3DES with one key three times: the library has no other."""
    if len(key) not in (8, 16):
        raise ValueError(f"a key of 8 or 16 bytes, not {len(key)}")
    whole = key * 3 if len(key) == 8 else key + key[:8]
    return Cipher(TripleDES(whole), modes.ECB())  # noqa: S305 - single blocks


def _encrypt(key: bytes, block: bytes) -> bytes:
    return _cipher(key).encryptor().update(block)


def _decrypt(key: bytes, block: bytes) -> bytes:
    return _cipher(key).decryptor().update(block)
