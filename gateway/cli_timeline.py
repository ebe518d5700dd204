"""`gateway timeline`: the evidence of one checkout, for a person who has to explain it."""

from __future__ import annotations

import json
from pathlib import Path

import click

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    default=Path("config/gateway.toml"),
    show_default=True,
    help="gateway.toml; the merchants' files are named in it",
)


@click.command("timeline")
@CONFIG
@click.argument("checkout_id")
@click.option("--json", "as_json", is_flag=True, help="as the API gives it")
@click.option("--lang", type=click.Choice(("en", "zh")), default="en", show_default=True)
def timeline_command(config: Path, checkout_id: str, as_json: bool, lang: str) -> None:
    """Show everything that is known of one checkout: legs, attempts, masked messages, events, cases, people's acts.

    Times are in the merchant's own zone.
    """
    from gateway.app import build_parts
    from gateway.backoffice.evidence import told
    from gateway.engine.problems import Problem
    from gateway.engine.timeline import timeline

    parts = build_parts(config.resolve())
    try:
        row = parts.database.read(lambda tx: tx.one("SELECT merchant FROM sagas WHERE id = :id", {"id": checkout_id}))
        if row is None:
            raise click.ClickException(f"there is no checkout {checkout_id!r}")
        found = timeline(parts.database, parts.engine.sealer, row["merchant"], checkout_id)
        zone = parts.engine.merchant(row["merchant"]).timezone
    except Problem as problem:
        raise click.ClickException(problem.detail) from None
    finally:
        parts.close()
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    for line in told(found, zone, lang):
        click.echo(line)
