"""The command ``gateway``: serve, demonstrate, simulate, price, look after merchants."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import tomllib
from base64 import b64encode
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from gateway import __version__
from gateway.cli_campaigns import campaigns
from gateway.cli_doctor import checked, doctor
from gateway.cli_messages import messages
from gateway.cli_plugins import plugins
from gateway.cli_tasks import account, tasks
from gateway.cli_timeline import timeline_command
from gateway.cli_traffic import record, replay
from gateway.cli_webhooks import webhooks
from gateway.domain.errors import GatewayError
from gateway.folders import config_folder
from gateway.pricing.command import price_command
from gateway.store.errors import StorageError

CONFIG = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    default=Path("config/gateway.toml"),
    show_default=True,
    help="gateway.toml; the merchants' files are named in it",
)


class Friendly(click.Group):
    """Trouble that the gateway knows is told in a sentence, with exit status 1; anything else is a bug."""

    def invoke(self, context: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):  # no command breaks off for a sign that a terminal of GBK lacks
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(context)
        except (GatewayError, StorageError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Friendly)
@click.version_option(__version__)
def main() -> None:
    """A merchant integration gateway: one API over merchants' legacy systems."""


main.add_command(price_command, "price")
for _command in (campaigns, webhooks, messages, plugins, tasks, doctor, timeline_command, record, replay):
    main.add_command(_command)


def _parts(config: Path) -> Any:
    from gateway.app import build_parts

    return build_parts(config.resolve())


@main.command()
@CONFIG
@click.option(
    "--log",
    "form",
    type=click.Choice(["json", "text"]),
    envvar="GATEWAY_LOG",
    default="json",
    show_default=True,
    help="how the lines of the log look, one event each, on standard error; text is for a terminal",
)
def serve(config: Path, form: str) -> None:
    """Run the gateway under gunicorn, from config/gunicorn.conf.py."""
    from gateway.app import build_parts
    from gateway.ops import logs

    os.environ[logs.FORM_VARIABLE] = form
    logs.set_up()
    build_parts(config.resolve()).close()  # what is wrong in a file is told here, once, and not by every worker
    os.environ["GATEWAY_CONFIG"] = str(config.resolve())
    settings = str(config_folder() / "gunicorn.conf.py")
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", settings, "wsgi:app"])  # noqa: S606 - our own server


@main.command()
@CONFIG
def console(config: Path) -> None:
    """Serve the merchant's web pages on loopback, as console_host and console_port say; `gateway serve` starts it."""
    from gateway.console import run_console
    from gateway.ops import logs

    logs.set_up()
    parts = _parts(config)
    server = parts.config.server
    try:
        if not server.console_port:
            raise click.ClickException("server.console_port is 0, which means: no console")
        served = run_console(parts, server.console_host, server.console_port)
        click.echo(served.url)
        _until_told()
        served.stop()
    finally:
        parts.close()


def _until_told() -> None:
    """Wait for SIGTERM or Ctrl-C, or until whoever started this process is gone."""
    told, parent = threading.Event(), os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    while os.getppid() == parent and not told.wait(1):
        continue


@main.command()
@click.option("--port", type=int, default=0, help="of the gateway; any free one if left out")
@click.option("--data", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True)
@click.option("--once", is_flag=True, help="end after the story; exit status 0 only if every step did what it should")
@click.option("--json", "as_json", is_flag=True, help="tell the story as JSON")
@click.option("--break", "broken", default="", help="break one leg on purpose: SYSTEM:FAULT, as alipay:error")
def demo(port: int, data: Path, once: bool, as_json: bool, broken: str) -> None:
    """Start legacy systems and the gateway, and settle a day of checkouts over them."""
    from gateway.demo.play import play

    sys.exit(play(data, port, once=once, as_json=as_json, broken=broken))


@main.command()
@click.argument("name", required=False)
@click.option("--data", type=click.Path(path_type=Path), help="the system's own folder  [default: var/systems/NAME]")
@click.option("--panel-port", type=int, default=0, help="of the fault panel; any free one if left out")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="an option of the simulator; may be repeated"
)
def simulate(name: str | None, data: Path | None, panel_port: int, settings: tuple[str, ...]) -> None:
    """Run one legacy system's simulator by itself; without NAME, list them."""
    from gateway.folders import entry_points
    from gateway.sdk.simulator import run

    known = entry_points("o2o_gateway.simulators")
    if name is None:
        for each in sorted(known):
            click.echo(each)
        return
    if name not in known:
        raise click.UsageError(f"no simulator {name!r}; there are: {', '.join(sorted(known))}")
    options = dict(pair.split("=", 1) for pair in settings if "=" in pair)
    if len(options) != len(settings):
        raise click.UsageError("--set takes NAME=VALUE")
    module, _, attribute = known[name].partition(":")
    simulator = getattr(import_module(module), attribute)
    run(simulator(data or Path("var/systems") / name, options), panel_port)


@main.group()
def keys() -> None:
    """Keys of platforms: created and shown once, stored hashed."""


@keys.command("create")
@CONFIG
@click.option("--name", default="", help="who it is for")
@click.option("--merchant", "merchants", multiple=True, help="may be repeated  [default: all]")
@click.option("--store", "stores", multiple=True, help="may be repeated  [default: all]")
@click.option("--scope", "scopes", multiple=True, help="may be repeated  [default: all]")
@click.option("--signed", default="", help="its requests must be signed: hmac-sha256 or ed25519 (RFC 9421)")
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="for ed25519: the platform's public key in PEM",
)
def keys_create(
    config: Path,
    name: str,
    merchants: tuple[str, ...],
    stores: tuple[str, ...],
    scopes: tuple[str, ...],
    signed: str,
    public_key: Path | None,
) -> None:
    """Make a key; it is shown now and never again, and so is the secret of one that signs with HMAC."""
    from gateway.api.keys import ALL, SCOPES, create_key, signing_secret

    if signed not in ("", "hmac-sha256", "ed25519") or (signed == "ed25519") != (public_key is not None):
        raise click.UsageError("--signed is hmac-sha256, or ed25519 with --public-key FILE")
    parts = _parts(config)
    try:
        key, made = create_key(
            parts.database,
            name=name,
            merchants=merchants or (ALL,),
            stores=stores or (ALL,),
            scopes=scopes or SCOPES,
            signed=signed,
            verifier=_verifier(parts, signed, public_key),
            by=account(),
        )
        click.echo(key)
        click.echo(f"id {made.id}; it is not shown again", err=True)
        if signed == "hmac-sha256":
            click.echo(b64encode(signing_secret(parts.master, made.id)).decode())
            click.echo("the second line is the secret that it signs with, in base64; it is not shown again", err=True)
    finally:
        parts.close()


def _verifier(parts: Any, signed: str, public_key: Path | None) -> str:
    """What is stored to verify a key's signatures with."""
    from gateway.api.keys import ed25519_verifier

    if public_key is not None:
        return ed25519_verifier(public_key.read_bytes())
    return parts.master.fingerprint if signed else ""


@keys.command("list")
@CONFIG
def keys_list(config: Path) -> None:
    """All keys, without the keys themselves."""
    from gateway.api.keys import list_keys

    parts = _parts(config)
    try:
        for key in list_keys(parts.database):
            state = f"revoked {key.revoked:%Y-%m-%d}" if key.revoked else "live"
            click.echo(f"{key.id}  {key.name:<16} {state}{f'  {key.signed}' if key.signed else ''}")
    finally:
        parts.close()


@keys.command("revoke")
@CONFIG
@click.argument("key_id")
def keys_revoke(config: Path, key_id: str) -> None:
    """Revoke a key; workers know it within seconds."""
    from gateway.api.keys import revoke_key

    parts = _parts(config)
    try:
        revoke_key(parts.database, key_id, account())
    finally:
        parts.close()


@main.command()
@CONFIG
@click.option("--check", is_flag=True, help="ask every connection whether its system can be reached")
@click.option("--callbacks", is_flag=True, help="show where systems must send their notices; keep it secret")
def merchants(config: Path, check: bool, callbacks: bool) -> None:
    """The merchants configured, their stores and connections."""
    parts = _parts(config)
    failed = 0
    try:
        for merchant in parts.runtime.merchants.values():
            click.echo(f"{merchant.id}  {merchant.name}  {merchant.industry}  {len(merchant.stores)} stores")
            for connection in parts.runtime.connections(merchant.id):
                said = "" if not check else checked(connection)
                failed += bool(said and said != "ok")
                click.echo(f"  {connection.name:<12} {connection.adapter_name:<16} {said}")
                if callbacks and connection.has("notice_read"):
                    click.echo(f"    {parts.notices.path(merchant.id, connection.name)}")
    finally:
        parts.close()
    sys.exit(1 if failed else 0)


@main.command()
@CONFIG
@click.argument("merchant_id", required=False)
def sync(config: Path, merchant_id: str | None) -> None:
    """Mirror the product libraries."""
    from gateway.backoffice.sync import sync_products

    parts = _parts(config)
    try:
        for merchant in _chosen(parts, merchant_id):
            click.echo(f"{merchant.id}: {sync_products(parts.engine, merchant.id).read} articles")
    finally:
        parts.close()


@main.command("house")
@CONFIG
@click.option("--merchant", "merchant_id", required=True)
@click.option("--check", "only_check", is_flag=True, help="read the file and say what is wrong; change nothing")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def house_import(config: Path, merchant_id: str, only_check: bool, file: Path) -> None:
    """Put articles, stock, members and coupons from FILE (TOML or JSON) into the house's books.

    For a merchant who has no system for one of them. Importing again brings articles and stock to what the file says;
    members and coupons that are there stay as they are.
    """
    from plugins.house.importing import ImportRefused, check, put

    try:
        text = file.read_text(encoding="utf-8")
        data = check(tomllib.loads(text) if file.suffix == ".toml" else json.loads(text))
    except ImportRefused as refused:
        for path, problem in refused.problems:
            click.echo(f"{file}: {path}: {problem}", err=True)
        sys.exit(2)
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from None
    if only_check:
        click.echo(f"{file} is right")
        return
    parts = _parts(config)
    try:
        merchant = _chosen(parts, merchant_id)[0]
        done = parts.database.tx(lambda tx: put(tx, merchant.id, data, parts.engine.clock.now()))
    finally:
        parts.close()
    click.echo(f"{done.products} products, {done.stock} stock levels, {done.members} members, {done.coupons} coupons")


def _chosen(parts: Any, merchant_id: str | None) -> list[Any]:
    known = parts.runtime.merchants
    if merchant_id is not None and merchant_id not in known:
        raise click.UsageError(f"no merchant {merchant_id!r}; there are: {', '.join(known)}")
    return [known[merchant_id]] if merchant_id else list(known.values())


def _day(text: str | None, merchant: Any) -> date:
    from gateway.engine.basket import business_date
    from gateway.sdk.adapter import utc_now

    today = business_date(merchant, utc_now())
    return date.fromisoformat(text) if text else today - timedelta(days=1)


@main.command()
@CONFIG
@click.argument("merchant_id", required=False)
@click.option("--date", "day", help="business date, YYYY-MM-DD  [default: yesterday]")
@click.option("--json", "as_json", is_flag=True)
def reconcile(config: Path, merchant_id: str | None, day: str | None, as_json: bool) -> None:
    """Compare the journal with every system's own record of a business date.

    Exit status 1 if anything differs, is still awaited, or has no statement yet.
    """
    from gateway.backoffice.reconcile import reconcile_day
    from gateway.backoffice.report import print_reconciliation
    from gateway.backoffice.result import all_reconciled

    parts = _parts(config)
    differs = False
    try:
        for merchant in _chosen(parts, merchant_id):
            results = reconcile_day(parts.engine, merchant.id, _day(day, merchant))
            differs |= not all_reconciled(results)
            if as_json:
                click.echo(json.dumps([result.to_json() for result in results], ensure_ascii=False))
            else:
                print_reconciliation(results, click.echo)
    finally:
        parts.close()
    sys.exit(1 if differs else 0)


@main.command()
@CONFIG
@click.argument("merchant_id", required=False)
@click.option("--date", "day", help="business date, YYYY-MM-DD  [default: yesterday]")
@click.option("--json", "as_json", is_flag=True)
def settle(config: Path, merchant_id: str | None, day: str | None, as_json: bool) -> None:
    """Who earned and who bore what on a business date, by party; exit status 1 if it does not add up."""
    from gateway.backoffice.report import print_settlement
    from gateway.backoffice.settle import settlement_of

    parts, balanced = _parts(config), True
    try:
        for merchant in _chosen(parts, merchant_id):
            statement = settlement_of(parts.engine, merchant.id, _day(day, merchant))
            balanced &= statement.balanced
            if as_json:
                click.echo(json.dumps(statement.to_json(), ensure_ascii=False))
            else:
                print_settlement(statement, click.echo)
    finally:
        parts.close()
    sys.exit(0 if balanced else 1)


if __name__ == "__main__":
    main()
