"""`gateway campaigns`: import, export and list the campaigns of a merchant."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
MERCHANT = click.option("--merchant", "merchant_id", help="needed where there are several")


@click.group("campaigns")
def campaigns() -> None:
    """Campaigns of merchants: data with versions, in force within seconds."""


@contextmanager
def _opened(config: Path, merchant_id: str | None) -> Iterator[tuple[Any, Any]]:
    """The engine and the merchant that is meant."""
    from gateway.app import build_parts

    parts = build_parts(config.resolve())
    try:
        known = parts.runtime.merchants
        chosen = merchant_id or (next(iter(known)) if len(known) == 1 else "")
        if chosen not in known:
            raise click.UsageError(f"say --merchant, one of: {', '.join(known)}")
        yield parts.engine, known[chosen]
    finally:
        parts.close()


@campaigns.command("import")
@CONFIG
@MERCHANT
@click.option("--check", is_flag=True, help="say what would be done, and do nothing")
@click.option("--draft", is_flag=True, help="keep it, and do not put it in force")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def campaigns_import(config: Path, merchant_id: str | None, check: bool, draft: bool, file: Path) -> None:
    """Import FILE (.toml or .json), all of it or nothing; exit status 2 with the path of everything that is wrong.

    An id with a new version replaces the one in force. The same id and version with another text is refused.
    """
    from gateway.backoffice.campaigns import import_campaigns
    from gateway.pricing import PricingErrors

    with _opened(config, merchant_id) as (engine, merchant):
        try:
            state = "draft" if draft else "active"
            done = import_campaigns(engine, merchant, file, state=state, check=check)
        except PricingErrors as errors:
            for error in errors.errors:
                click.echo(f"{file}: {error['pointer'] or '/'}: {error['detail']}", err=True)
            sys.exit(2)
    for item in done:
        click.echo(f"{item.id}  version {item.version}  {item.result}{' (not written)' if check else ''}")


@campaigns.command("export")
@CONFIG
@MERCHANT
@click.option("--format", "form", type=click.Choice(["json", "toml"]), default="json", show_default=True)
def campaigns_export(config: Path, merchant_id: str | None, form: str) -> None:
    """Print the campaigns in force as a file that can be imported."""
    from gateway.backoffice.campaigns import export_campaigns

    with _opened(config, merchant_id) as (engine, merchant):
        click.echo(export_campaigns(engine, merchant, form), nl=False)


@campaigns.command("list")
@CONFIG
@MERCHANT
def campaigns_list(config: Path, merchant_id: str | None) -> None:
    """Every version that is known, with its state."""
    from gateway.backoffice.campaigns import list_campaigns

    with _opened(config, merchant_id) as (engine, merchant):
        for item in list_campaigns(engine, merchant):
            click.echo(f"{item.id:<20} {item.version:<8} {item.state:<7} {item.origin:<7} {item.kind:<18} {item.name}")


@campaigns.command("state")
@CONFIG
@MERCHANT
@click.argument("campaign")
@click.argument("version")
@click.argument("state", type=click.Choice(["active", "paused", "ended"]))
def campaigns_state(config: Path, merchant_id: str | None, campaign: str, version: str, state: str) -> None:
    """Put an imported VERSION of a CAMPAIGN in force, pause it, or end it."""
    from gateway.backoffice.campaigns import set_state

    with _opened(config, merchant_id) as (engine, merchant):
        if not set_state(engine, merchant, campaign, version, state):
            raise click.ClickException(f"{merchant.id} has no imported campaign {campaign!r} of version {version!r}")
    click.echo(f"{campaign}  version {version}  {state}")
