"""Keys and identity of the simulated merchant and of the channel, made at first start in the data folder.

``private_key.pem`` is the merchant's, ``platform1_…``/``platform2_…`` are the channel's two certificates and keys (the
second is for the exchange of keys), ``public_key.pem`` is the channel's key without a certificate, ``api_v3_key.txt``
the key under which things are encrypted, ``merchant.json`` has ``mchid``, ``appid``, ``serial_no`` and
``public_key_id``. All are mode 0600, so that a gateway's settings may refer to them by ``file:``.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

MCHID, APPID = "1900009191", "wx8888888888888888"
YEARS_5 = timedelta(days=5 * 365)


@dataclass(frozen=True, slots=True)
class Platform:
    """One of the channel's keys by its serial number; ``pem`` is its certificate, empty for the bare public key."""

    serial: str
    key: rsa.RSAPrivateKey
    pem: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the merchant is, the key its requests are verified with, and the channel's own keys."""

    mchid: str
    appid: str
    serial_no: str
    public_key_id: str
    api_v3_key: bytes
    merchant_key: rsa.RSAPublicKey
    platforms: tuple[Platform, Platform]
    bare: Platform


def load_or_make(folder: Path) -> Identity:
    """The identity in this folder; made if it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    merchant = _private(folder, "private_key")
    bare = _private(folder, "public_key_private")
    public = folder / "public_key.pem"
    if not public.exists():
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        _write(public, bare.public_key().public_bytes(serialization.Encoding.PEM, form))
    api_key, who_file = folder / "api_v3_key.txt", folder / "merchant.json"
    if not api_key.exists():
        _write(api_key, secrets.token_hex(16).encode())
    if not who_file.exists():
        who = {"mchid": MCHID, "appid": APPID, "serial_no": secrets.token_hex(20).upper()}
        _write(who_file, json.dumps(who | {"public_key_id": f"PUB_KEY_ID_0{MCHID}{secrets.token_hex(8)}"}).encode())
    who = json.loads(who_file.read_text(encoding="utf-8"))
    platforms = _platform(folder, "platform1"), _platform(folder, "platform2")
    bare_ = Platform(who["public_key_id"], bare, "")
    key = api_key.read_bytes()
    return Identity(
        who["mchid"], who["appid"], who["serial_no"], bare_.serial, key, merchant.public_key(), platforms, bare_
    )


def _platform(folder: Path, name: str) -> Platform:
    key, path = _private(folder, f"{name}_key"), folder / f"{name}_certificate.pem"
    if not path.exists():
        _write(path, _certificate(key).public_bytes(serialization.Encoding.PEM))
    pem = path.read_text(encoding="ascii")
    serial = x509.load_pem_x509_certificate(pem.encode()).serial_number
    return Platform(f"{serial:X}", key, pem)


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "payment platform (simulated)")])
    now = datetime.now(UTC) - timedelta(days=30)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(int.from_bytes(b"\x5a" + secrets.token_bytes(18)))
    return built.not_valid_before(now).not_valid_after(now + YEARS_5).sign(key, hashes.SHA256())


def _private(folder: Path, name: str) -> rsa.RSAPrivateKey:
    path = folder / f"{name}.pem"
    if path.exists():
        key = serialization.load_pem_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    _write(path, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return key


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
