"""`gateway tasks`: what a machine can't decide, listed, shown and settled by a person of this machine."""

from __future__ import annotations

import getpass
import json
import os
import sys
import uuid
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


@click.group("tasks", invoke_without_command=True)
@click.pass_context
def tasks(context: click.Context) -> None:
    """Cases that need a person: what there is, and what became of it. Without a command: those that are open."""
    if context.invoked_subcommand is None:
        with tasks_list.make_context("list", [], parent=context) as sub:
            tasks_list.invoke(sub)


@contextmanager
def _opened(config: Path) -> Iterator[Any]:
    from gateway.app import build_parts

    parts = build_parts(config.resolve())
    try:
        yield parts
    finally:
        parts.close()


@tasks.command("list")
@CONFIG
@click.option("--merchant", "merchant_id", help="[default: all]")
@click.option("--all", "everything", is_flag=True, help="those that are settled too")
@click.option("--json", "as_json", is_flag=True)
def tasks_list(config: Path, merchant_id: str | None, everything: bool, as_json: bool) -> None:
    """Tasks, oldest first, a line each."""
    from gateway.engine.views import task_view

    with _opened(config) as parts:
        asked = {"merchant": merchant_id or "", "status": "" if everything else "open"}
        sql = (
            "SELECT * FROM tasks WHERE (:merchant = '' OR merchant = :merchant)"
            " AND (:status = '' OR status = :status) ORDER BY id"
        )
        found = [task_view(row) for row in parts.database.read(lambda tx: tx.all(sql, asked))]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for task in found:
        click.echo(_line(task))
    if not found:
        click.echo("no open task")


def _line(task: dict[str, Any]) -> str:
    money = "" if task["amount"] is None else f"  {task['amount'] / 100:.2f}"
    said = f"  ({len(task['words'])} said so, one more is needed)" if task["words"] and not task["resolution"] else ""
    return (
        f"{task['id']}  {task['status']:<8}  {task['merchant']}  {task['subject']}  {task['leg']}  {task['kind']}"
        f"{money}  {task['owner']}: {task['detail']}{said}"
    )


@tasks.command("show")
@CONFIG
@click.argument("task_id")
def tasks_show(config: Path, task_id: str) -> None:
    """One task with all that was said of it, as JSON."""
    from gateway.engine.views import task_view

    with _opened(config) as parts:
        click.echo(json.dumps(task_view(_row(parts, task_id)), ensure_ascii=False, indent=2))


def _row(parts: Any, task_id: str) -> Any:
    from gateway.store import journal

    found = parts.database.read(lambda tx: journal.task(tx, task_id))
    if found is None:
        raise click.UsageError(f"there is no task {task_id!r}; `gateway tasks list --all` shows what there is")
    return found


@tasks.command("resolve")
@CONFIG
@click.argument("task_id")
@click.option("--outcome", type=click.Choice(["done", "not_done"]), required=True, help="whether it happened")
@click.option("--evidence", required=True, help="what this rests on: a slip number, a statement's line")
def tasks_resolve(config: Path, task_id: str, outcome: str, evidence: str) -> None:
    """Say what became of a task; its checkout goes on from there.

    `done`: it happened; or, where something was to be given back, it has been given back or was never taken.
    `not_done`: it did not happen; the gateway may do it, or try again to give it back.

    Kept as said by the account that runs this. Above the merchant's policy.two_person_above_amount it takes effect when
    a second person, by another account or key, has said the same: exit status 3 until then.
    """
    from gateway.engine.problems import Problem
    from gateway.engine.service import Asked
    from gateway.engine.tasks import Tasks, Word

    with _opened(config) as parts:
        asked = Asked(_row(parts, task_id)["merchant"], f"cli-{uuid.uuid4().hex}", f"{task_id} {outcome}")
        try:
            reply = Tasks(parts.engine).resolve(asked, task_id, Word(outcome, evidence, account()))
        except Problem as problem:
            raise click.ClickException(problem.detail) from None
    click.echo(_line(json.loads(reply.body)))
    if reply.status == 202:
        click.echo("kept; a second person has to say the same before it takes effect", err=True)
        sys.exit(3)


def account() -> str:
    """Who runs this; behind sudo, who called it."""
    return f"account {os.environ.get('SUDO_USER') or getpass.getuser()}"
