"""The examples for deployment are read by the programs that they are for, where these are installed."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.packaging.installed import ROOT

DEPLOY = ROOT / "config" / "deploy"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_its_unit(tmp_path: Path) -> None:
    """Misspelt keys and sections are told; the program's path is another's on this machine."""
    name = "gateway.service"
    text = (DEPLOY / name).read_text(encoding="utf-8").replace("/opt/gateway/bin/gateway", "/bin/true")
    unit = tmp_path / name
    unit.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if name in line or str(tmp_path) in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here")
def test_nginx_understands_its_configuration(tmp_path: Path) -> None:
    certificate(tmp_path)
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8").replace("/etc/nginx/", f"{tmp_path}/")
    main = tmp_path / "main.conf"
    main.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\nhttp {{ access_log off;\n{text}\n}}\n", encoding="utf-8"
    )
    done = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(main)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def certificate(folder: Path) -> None:
    """A certificate of our own for ``gateway.example``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "gateway.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, no = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "gateway.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, no))
