"""`gateway webhooks`: where events go, and what could not be delivered."""

from __future__ import annotations

import json
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
#: As many endpoints as anybody will look at.
MOST = 10_000


@click.group()
def webhooks() -> None:
    """Webhook endpoints and their dead letters."""


@contextmanager
def _opened(config: Path) -> Iterator[Any]:
    from gateway.app import build_parts

    parts = build_parts(config.resolve())
    try:
        yield parts
    finally:
        parts.close()


@webhooks.command("list")
@CONFIG
@click.option("--dead", is_flag=True, help="name the events that have been given up")
def webhooks_list(config: Path, dead: bool) -> None:
    """All endpoints: state, how many events wait and how many are dead letters."""
    from gateway.store import webhooks as sql

    with _opened(config) as parts:
        for row in parts.database.read(lambda tx: sql.endpoints(tx, "", MOST)):
            merchants = ",".join(json.loads(row["merchants"]))
            counts = f"{row['pending']} pending  {row['dead']} dead"
            click.echo(f"{row['id']}  {row['state']:<8}  {counts}  {merchants}  {row['url']}  {row['reason']}".rstrip())
            for letter in parts.database.read(lambda tx, e=row["id"]: sql.dead_letters(tx, e)) if dead else ():
                click.echo(f"  {letter['event_id']}  {letter['type']}  {letter['subject']}  {letter['trouble']}")


@webhooks.command("retry")
@CONFIG
@click.argument("endpoint")
def webhooks_retry(config: Path, endpoint: str) -> None:
    """Send to an endpoint again, and try everything at once that is dead or waits; the server does it."""
    from gateway.store import webhooks as sql

    def unit(tx: Any) -> int:
        _need(tx, endpoint)
        count = sql.revive(tx, endpoint, now)
        parts.relay.cases.close(tx, endpoint, "tried again by hand")
        return count

    with _opened(config) as parts:
        now = parts.engine.clock.now()
        click.echo(f"{parts.database.tx(unit)} events are tried again")


@webhooks.command("skip")
@CONFIG
@click.argument("endpoint")
def webhooks_skip(config: Path, endpoint: str) -> None:
    """Give up an endpoint's dead letters for good; what waited behind them goes on. They stay in the feed."""
    from gateway.store import webhooks as sql

    def unit(tx: Any) -> int:
        _need(tx, endpoint)
        count = sql.skip(tx, endpoint, now)
        parts.relay.cases.close(tx, endpoint, "given up by hand")
        return count

    with _opened(config) as parts:
        now = parts.engine.clock.now()
        click.echo(f"{parts.database.tx(unit)} events are given up")


def _need(tx: Any, endpoint: str) -> None:
    from gateway.store import webhooks as sql

    if sql.endpoint(tx, endpoint) is None:
        raise click.UsageError(f"there is no endpoint {endpoint!r}; see: gateway webhooks list")
