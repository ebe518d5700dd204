"""Who made a key and who revoked it stands in the chain of evidence, by the account of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.app import build_parts
from gateway.cli import main
from gateway.engine.audit import Auditor
from gateway.store import audit


def test_the_account_that_made_or_revoked_a_key_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that somebody made for himself must not look as if the operator had."""
    config = tmp_path / "gateway.toml"
    (tmp_path / "merchants").mkdir()
    (tmp_path / "merchants" / "m1.toml").write_text('[merchant]\nid = "m1"\nname = "店"\n', encoding="utf-8")
    config.write_text('data = "data"\nmerchants = ["merchants/*.toml"]\n', encoding="utf-8")

    def run(account: str, *words: str) -> str:
        monkeypatch.setenv("SUDO_USER", account)
        result = CliRunner().invoke(main, ["keys", *words, "--config", str(config)])
        assert result.exit_code == 0, result.output
        return result.output

    run("wang", "create", "--merchant", "m1")
    key_id = run("wang", "list").split()[0]
    run("li", "revoke", key_id)
    parts = build_parts(config)
    try:
        told = [(act["kind"], act["who"]) for act in parts.database.read(lambda tx: audit.acts_of(tx, key_id))]
        assert told == [("key.made", "account wang"), ("key.revoked", "account li")]
        parts.engine.sealer.seal()
        assert Auditor(parts.database, parts.engine.sealer.key).verify(["m1"], []) == []
    finally:
        parts.close()
