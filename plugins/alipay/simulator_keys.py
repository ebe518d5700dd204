"""Keys and identity of the simulated merchant, made at first start in the simulator's data folder.

``app_private_key.pem``/``app_public_key.pem`` are the merchant's pair, ``alipay_private_key.pem``/
``alipay_public_key.pem`` Alipay's, ``merchant.json`` has ``app_id`` and ``seller_id``. All are mode 0600, so that a
gateway's settings may refer to them as ``file:…/app_private_key.pem``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

APP_ID, SELLER_ID = "2021000118654321", "2088102170208855"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the merchant is, the key its requests are verified with, and the key that replies are signed with."""

    app_id: str
    seller_id: str
    app_public_key: rsa.RSAPublicKey
    alipay_private_key: rsa.RSAPrivateKey


def load_or_make(folder: Path, name: str = "") -> Identity:
    """The identity in this folder; made if it is not there yet, with numbers that follow from ``name``."""
    folder.mkdir(parents=True, exist_ok=True)
    alipay = _pair(folder, "alipay")
    app = _pair(folder, "app")
    merchant = folder / "merchant.json"
    if not merchant.exists():
        _write(merchant, json.dumps(_numbers(name)).encode())
    who = json.loads(merchant.read_text(encoding="utf-8"))
    return Identity(who["app_id"], who["seller_id"], app.public_key(), alipay)


def _numbers(name: str) -> dict[str, str]:
    number = crc32(name.encode()) if name else 0
    return {"app_id": str(int(APP_ID) + number), "seller_id": str(int(SELLER_ID) + number)}


def _pair(folder: Path, name: str) -> rsa.RSAPrivateKey:
    path = folder / f"{name}_private_key.pem"
    if path.exists():
        key = serialization.load_pem_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / f"{name}_public_key.pem", public)
    _write(path, private)
    return key


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
