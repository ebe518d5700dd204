"""`gateway plugins`: what is installed, and the conformance suite."""

from __future__ import annotations

import json
import sys
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


@click.group("plugins", invoke_without_command=True)
@CONFIG
@click.pass_context
def plugins(context: click.Context, config: Path) -> None:
    """Plugins: what is installed (list), and what grade it has earned (check)."""
    if context.invoked_subcommand is None:
        context.invoke(list_plugins, config=config)


@plugins.command("list")
@CONFIG
def list_plugins(config: Path) -> None:
    """What is installed, and why something is not in force; without a configuration, what came with the gateway."""
    found = discovered(config)
    for name in sorted(found.adapters):
        click.echo(f"{name:<16} {found.adapters[name].__module__}")
    for name in found.ignored:
        click.echo(f"{name:<16} installed, but not in plugins.allow")
    for name, reason in sorted(found.failed.items()):
        click.echo(f"{name:<16} NOT LOADED: {reason}")
    sys.exit(1 if found.failed else 0)


def discovered(config: Path) -> Any:
    """The plugins that this configuration allows; without one, those that came with the gateway."""
    from gateway.runtime import discover, read_gateway

    return discover(read_gateway(config.resolve()).plugins_allow) if config.exists() else discover()


@plugins.command("check")
@click.argument("names", nargs=-1, metavar="NAME…")
@click.option(
    "--quick",
    is_flag=True,
    help="the most telling faults only, at the first and the last message; it says what it omits",
)
@click.option("--hook", "hooks", multiple=True, help="only what concerns this hook, several times; gives no grade")
@click.option("--json", "as_json", is_flag=True, help="the whole report, as JSON")
@click.option("--badge", type=click.Path(path_type=Path, dir_okay=False), help="write the grade as an SVG picture")
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), help="write what was found into this file")
def check(
    names: tuple[str, ...],
    quick: bool,
    hooks: tuple[str, ...],
    as_json: bool,
    badge: Path | None,
    record: Path | None,
) -> None:
    """Run the conformance suite on plugins: against their own simulators, with faults on.

    NAME is a plugin, one of its adapters, or a package with a conformance.py. On standard error it shows each check
    with its time, and about how much is left. Exit status 1 if a grade is below the one that quality.toml claims, if a
    claim was refuted, or if quality.toml says what can't be so.
    """
    from gateway.testing import printing
    from gateway.testing.suite import BadQuality, NoProfile, profile_of, run

    if not names:
        raise click.UsageError("name a plugin; `gateway plugins list` lists them")
    if hooks and (badge is not None or record is not None):
        raise click.UsageError("--hook gives no grade that could be written: leave out --badge and --record")
    reports = []
    for name in names:
        try:
            profiles = profile_of(name)
        except NoProfile as error:
            raise click.UsageError(str(error)) from None
        for profile in profiles:
            _are_changes_of(profile, hooks)
            try:
                report = run(profile, quick=quick, progress=sys.stderr, hooks=hooks)
            except BadQuality as error:
                raise click.ClickException(str(error)) from None
            reports.append(report)
            if not as_json:
                printing.print_report(report, click.echo)
    if as_json:
        found = [printing.as_json(report) for report in reports]
        click.echo(json.dumps(found[0] if len(found) == 1 else found, ensure_ascii=False, indent=1))
    if badge is not None:
        badge.write_text(printing.badge(reports[0]), encoding="utf-8")
    if record is not None:
        printing.record(reports, record)
    sys.exit(0 if all(report.ok for report in reports) else 1)


def _are_changes_of(profile: Any, hooks: tuple[str, ...]) -> None:
    from gateway.runtime.answers import CHANGE_HOOKS
    from gateway.runtime.capabilities import capabilities

    there = [hook for hook in capabilities(profile.adapter)["hooks"] if hook in CHANGE_HOOKS]
    if unknown := [hook for hook in hooks if hook not in there]:
        raise click.UsageError(f"{profile.adapter.name} makes no change {unknown[0]}; it makes: {', '.join(there)}")


@plugins.command("new")
@click.argument("name")
@click.option(
    "--family",
    "families",
    multiple=True,
    help="payments, membership, coupons, stock, orders, messages; may be given several times",
)
@click.option("--with", "parts", multiple=True, help="of membership: points-holds, value; several times or with commas")
@click.option("--transport", help="http, xml, soap, tcp, database, files, iso8583")
@click.option("--charset", help="of xml: gb18030 (if nothing is said), gbk, big5, utf-8")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default=True,
    help="where the package's folder is made",
)
def new(
    name: str,
    families: tuple[str, ...],
    parts: tuple[str, ...],
    transport: str | None,
    charset: str | None,
    folder: Path,
) -> None:
    """Write a package that installs: an adapter that works, the system beside it as a simulator, tests, a grade.

    What is not given as an option is asked. Its protocol is made up; its tests list what is left to fill in.
    """
    from gateway.testing.scaffold import FAMILIES, NoSuchPlugin, Wanted, sensible, write
    from gateway.testing.scaffold.families import CHARSETS, TRANSPORTS

    if not transport:
        transport = click.prompt("How is the system reached", type=click.Choice(list(TRANSPORTS)))
        if transport == "xml" and not charset:
            kinds = click.Choice(CHARSETS)
            charset = click.prompt("What are its documents written in", type=kinds, default=CHARSETS[0])
    if not families:
        there = sensible(transport) if transport in TRANSPORTS else FAMILIES
        told = click.prompt(f"What does it keep ({', '.join(there)}; several with commas)", default=there[0])
        families = _split((told,))
    try:
        wanted = Wanted(name, tuple(dict.fromkeys(families)), str(transport), _split(parts), charset or "")
        written = write(wanted, folder)
    except NoSuchPlugin as error:
        raise click.UsageError(str(error)) from None
    for file in written:
        click.echo(str(file))
    click.echo(f"Next: python -m pip install -e {folder / name}")
    click.echo(f"      python -m pytest {folder / name}; gateway plugins check {name}")


def _split(told: tuple[str, ...]) -> tuple[str, ...]:
    """Words that were given several times, or with commas; each once."""
    return tuple(dict.fromkeys(word.strip() for text in told for word in text.split(",") if word.strip()))
