"""`gateway messages`: what members were told of what happened, and what could not be said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    default=Path("config/gateway.toml"),
    show_default=True,
    help="gateway.toml; the merchants' files are named in it",
)


@click.command("messages")
@CONFIG
@click.argument("merchant_id", required=False, default="")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="name so many that were not sent")
def messages(config: Path, merchant_id: str, limit: int) -> None:
    """How many messages to members stand how, and the newest that were not sent, each with the reason.

    Of one checkout: gateway timeline. No address and no word of a message is shown.
    """
    from gateway.app import build_parts
    from gateway.store import messages as sql

    parts = build_parts(config.resolve())
    try:
        for row in parts.database.read(lambda tx: sql.counts(tx, merchant_id)):
            click.echo(f"{row['merchant']}/{row['connection']}  {row['template']}  {row['status']}: {row['n']}")
        for row in parts.database.read(lambda tx: sql.unfinished(tx, merchant_id, limit)):
            click.echo(_line(row))
    finally:
        parts.close()


def _line(row: Any) -> str:
    from gateway.engine.views import moment
    from gateway.sdk.transports.masking import mask_numbers
    from gateway.store.encoding import load

    outcome = load(row["outcome"])
    said = " ".join(str(outcome.get(name, "")) for name in ("reason", "code", "message", "error")).split()
    about = f"{moment(row['occurred'])}  {row['status']}  {row['template']}  {row['type']} {row['subject']}"
    return f"  {about}  {row['attempts']} tries  {mask_numbers(' '.join(said))}".rstrip()
