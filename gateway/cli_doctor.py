"""`gateway doctor`: whether everything is as it should be, asked of a store that goes on working."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
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
#: Sagas that are looked at unless all are asked for, and how many at once.
SAGAS_MOST, CHUNK = 5_000, 100


@click.command("doctor")
@CONFIG
@click.option("--all", "everything", is_flag=True, help=f"every checkout, not only the newest {SAGAS_MOST}")
@click.option("--audit", is_flag=True, help="verify the chain of evidence instead")
@click.option("--merchant", "merchant_id", help="with --audit: only this merchant's chain  [default: all]")
@click.option("--anchor", "anchors", multiple=True, help="with --audit: SEQ:HEAD or MERCHANT/SEQ:HEAD; may be repeated")
@click.option(
    "--anchors",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="with --audit: a file with an anchor, or an event or settlement as JSON, a line",
)
def doctor(
    config: Path,
    everything: bool,
    audit: bool,
    merchant_id: str | None,
    anchors: tuple[str, ...],
    files: tuple[Path, ...],
) -> None:
    """Read the configuration, the plugins, the connections, and ask the store everything that must hold.

    It may be run while the gateway works, and changes nothing. With --audit it holds the chain of evidence against the
    rows that it tells of, against the keyed checkpoints, and against heads that were seen elsewhere. Exit status 1 if
    anything is wrong; each line names the checkout, or the table and the row.
    """
    from gateway.app import build_parts

    parts = build_parts(config.resolve())
    try:
        seen = _anchors(anchors, files)
        bad = _audit(parts, merchant_id, seen) if audit or seen else _all_around(parts) + _store(parts, everything)
    finally:
        parts.close()
    sys.exit(1 if bad else 0)


# --- around the store ------------------------------------------------------------------------------------------------


def _all_around(parts: Any) -> int:
    """Plugins, database, connections; how many are not as they should be."""
    bad = len(parts.discovery.failed)
    for name, reason in parts.discovery.failed.items():
        click.echo(f"plugin {name}: {reason}")
    health = parts.database.health()
    click.echo(f"database: {health}")
    bad += not health.ok
    click.echo(f"clock: {'; '.join(clocks) if (clocks := parts.clock.warnings()) else 'ok'}")
    bad += len(clocks)
    for merchant in parts.runtime.merchants.values():
        for connection in parts.runtime.connections(merchant.id):
            said = checked(connection)
            bad += said != "ok"
            click.echo(f"{merchant.id}/{connection.name}: {said}")
    return bad + _receivers(parts)


def _receivers(parts: Any) -> int:
    """What plugins and members could not be told; how many of them have missed something."""
    from gateway.store import webhooks

    bad = 0
    for each in parts.listeners:
        row = parts.database.read(lambda tx, each=each: webhooks.endpoint(tx, each.id))
        letters = parts.database.read(lambda tx, each=each: webhooks.dead_letters(tx, each.id)) if row else ()
        said = [f"{letter['event_id']} {letter['type']} was parked: {letter['trouble']}" for letter in letters]
        waiting = f"{row['pending']} events wait" if row is not None and row["pending"] else "ok"
        click.echo(f"{each.id}: {'; '.join(said) or waiting}")
        bad += bool(said)
    lost = "SELECT * FROM tasks WHERE kind = 'messages-lost' AND status = 'open' ORDER BY id"
    cases = parts.database.read(lambda tx: tx.all(lost))
    for case in cases:
        click.echo(f"{case['subject']}: {case['detail']}")
    return bad + len(cases)


def checked(connection: Any) -> str:
    """What a connection says of itself: ``ok``, or what is wrong."""
    from gateway.domain.errors import AdapterError

    try:
        connection.check()
    except AdapterError as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


# --- the store -------------------------------------------------------------------------------------------------------


def _store(parts: Any, everything: bool) -> int:
    """Everything that must hold in the store; how much does not."""
    from gateway.engine import storewide

    wrong = list(_sagas(parts, None if everything else SAGAS_MOST))
    for name in storewide.table_checks():
        wrong += parts.database.read(lambda tx, name=name: storewide.of_tables(tx, name, parts.engine.clock.now()))
    wrong += parts.database.read(storewide.of_campaigns)
    for merchant in parts.runtime.merchants.values():
        for connection in parts.runtime.connections(merchant.id):
            said = parts.database.read(lambda tx, connection=connection: connection.discrepancies(tx))
            wrong += [storewide.Wrong(f"{merchant.id}/{connection.name}", text) for text in said]
    for each in wrong:
        click.echo(str(each))
    click.echo(f"store: {'all that was asked holds' if not wrong else f'{len(wrong)} violations'}")
    return len(wrong)


def _sagas(parts: Any, most: int | None) -> Iterator[Any]:
    """The sagas, newest first, each read in a snapshot of its own."""
    from gateway.engine import storewide

    row = parts.database.read(lambda tx: tx.one("SELECT count(*) AS n FROM sagas"))
    length = row["n"] if most is None else min(most, row["n"])
    far, before, left = parts.caller.far, "", length
    with click.progressbar(length=length, label="checkouts", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        while left > 0:
            limit = min(CHUNK, left)
            ids = parts.database.read(lambda tx, b=before, n=limit: storewide.sagas(tx, b, n))
            for saga_id in ids:
                now = parts.engine.clock.now()
                yield from parts.database.read(lambda tx, s=saga_id, n=now: storewide.of_saga(tx, s, far, n))
            if not ids:
                return
            before, left = ids[-1], left - len(ids)
            bar.update(len(ids))


# --- the chain -------------------------------------------------------------------------------------------------------


def _anchors(texts: Sequence[str], files: Sequence[Path]) -> list[Any]:
    from gateway.engine.audit import anchor_from

    given = [("--anchor", text) for text in texts]
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        given += [(f"{file}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    found = []
    for where, text in given:
        try:
            found.append(anchor_from(text, "anchor" if where == "--anchor" else where))
        except (ValueError, KeyError, AttributeError):
            raise click.UsageError(f"{where}: {text[:80]!r} is no anchor; it is SEQ:HEAD, as in audit_head") from None
    return found


def _audit(parts: Any, merchant_id: str | None, anchors: list[Any]) -> int:
    """Verify the chains; how many findings there are."""
    from gateway.engine.audit import Anchor, Auditor

    sealer = parts.engine.sealer
    if sealer.witness is not None:
        seen = sealer.witness.read().items()
        anchors += [
            Anchor(name, seq, head, sealer.witness.file.name)
            for name, (seq, head) in seen
            if merchant_id in (None, name)
        ]
    count = parts.database.read(lambda tx: tx.one("SELECT count(*) AS n FROM chain"))["n"]
    with click.progressbar(length=count, label="entries", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        tell: Callable[[int], None] = bar.update
        auditor = Auditor(parts.database, sealer.key, tell)
        findings = auditor.verify(None if merchant_id is None else [merchant_id], anchors)
    for finding in findings:
        click.echo(str(finding))
    verdict = "they hold together, and with what was seen of them" if not findings else f"{len(findings)} findings"
    click.echo(f"chain: {count} entries: {verdict}")
    return len(findings)
