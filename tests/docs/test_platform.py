"""The platform's guide, run against a real server before real legacy protocols."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from gateway.api.keys import create_key, signing_secret
from gateway.app import build_parts
from gateway.demo.stage import SECRETS, Stage
from tests.docs.guides import run_guide


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_guide_for_platforms_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the page, in its order, on the demonstration's stage."""
    for name, value in SECRETS.items():  # the stage sets them in this process; afterwards they are gone again
        monkeypatch.setenv(name, value)
    with Stage(tmp_path / "stage") as stage:
        stage.set_up(lambda _: None)
        shell = tmp_path / "shell"
        shell.mkdir()
        wallet = stage.systems["alipay"].panel
        run_guide("platform.md", shell, {"GATEWAY": stage.url, "KEY": stage.key, "WALLET": wallet, **_signed(stage)})


def _signed(stage: Stage) -> dict[str, str]:
    """What the operator gives a platform that signs."""
    parts = build_parts(stage.config_file)
    try:
        verifier = parts.master.fingerprint
        key, made = create_key(parts.database, merchants=["bianmin"], signed="hmac-sha256", verifier=verifier)
        secret = b64encode(signing_secret(parts.master, made.id)).decode()
    finally:
        parts.close()
    return {"SIGNED_KEY": key, "SIGNING_SECRET": secret}
