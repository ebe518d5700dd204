"""Writes the reference pages that are made from the code: ``python -m docs.generate``, from the project's folder.

``tests/docs`` fails when a page is not what this would write. Prose about a settings key stands in
``docs/settings_texts.toml``; everything else is the code's own words. ``reliability.md``'s figures are made from
``docs/evidence``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from docs import figures
from docs.reference_bench import performance_page
from docs.reference_hooks import hooks_page, records_page
from docs.reference_matrix import matrix_page
from docs.reference_plugins import plugins_page
from docs.reference_profile import profile_page
from docs.reference_sdk import sdk_page
from docs.reference_settings import settings_page
from gateway.api import RESOURCES
from gateway.api.openapi import slugs_of
from gateway.api.operation import OPERATIONS, TENANT, Operation
from gateway.api.pages import problem_texts
from gateway.cli import main as gateway_command
from gateway.engine.problems import PROBLEMS

FOLDER = Path(__file__).parent
NOTE = "<!-- Made by `python -m docs.generate`; do not edit. -->"

#: Addresses that are no operation of the API: no key, no JSON Schema.
OTHER_ROUTES = {
    "/openapi.json": "this API as an OpenAPI 3.1 document",
    "/docs": "the same as a page; no file comes from another host",
    "/docs/<name>": "the page's own files",
    "/problems": "all problems",
    "/problems/<slug>": "one problem, in English and Chinese",
    "/healthz": "200 while the process answers",
    "/readyz": "200 if new work can be taken, else 503; the database, clock, plugins and connections as JSON",
    "/metrics": "Prometheus",
    "/v1/callbacks/<merchant>/<connection>/<token>": "notices of far systems: any body, verified by the adapter, "
    "which also gives the reply's bytes",
}


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def code(text: str) -> str:
    """The text as code, or nothing for no text."""
    return f"`{text}`" if text else ""


# --- problems --------------------------------------------------------------------------------------------------------


def problems_page() -> Iterator[str]:
    yield "# Problems"
    yield ""
    yield "Every refusal is an RFC 9457 document, `application/problem+json`: `type` (`/problems/<slug>`, a page of"
    yield "the running gateway), `title`, `status`, `detail`, `request_id`, `errors[] {pointer, detail}` for a body"
    yield "that does not validate, and `checkout_id` where it is about a checkout."
    yield ""
    rows = [(f"[`{slug}`](#{slug})", str(status), title) for slug, (status, title) in PROBLEMS.items()]
    yield from table(("Slug", "HTTP", "Title"), rows)
    for slug, (status, _) in PROBLEMS.items():
        yield ""
        yield f"## {slug}"
        yield ""
        texts = problem_texts()[slug]
        yield f"HTTP {status}. {' '.join(texts['en'])}"
        yield ""
        yield " ".join(texts["zh"])


# --- commands --------------------------------------------------------------------------------------------------------


def commands_page() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "Exit status 0 is success, 1 trouble that the command tells in a sentence, 2 a wrong call."
    yield "`GATEWAY_CONFIG` names the configuration for every command that takes `--config`."
    yield from _command(gateway_command, "gateway")


def _command(command: click.Command, name: str) -> Iterator[str]:
    yield ""
    yield f"## {name}"
    yield ""
    yield from _unwrapped(command.help or "")
    yield ""
    yield "```text"
    with click.Context(command, info_name=name) as context:
        yield " ".join([name, *command.collect_usage_pieces(context)])
    yield "```"
    rows = [_parameter(each) for each in command.params]
    if rows:
        yield ""
        yield from table(("Option", "Meaning"), rows)
    if isinstance(command, click.Group):
        for word, below in sorted(command.commands.items()):
            yield from _command(below, f"{name} {word}")


def _parameter(parameter: click.Parameter) -> tuple[str, str]:
    if not isinstance(parameter, click.Option):
        need = "required" if parameter.required else "optional"
        return code(parameter.human_readable_name.upper()), need
    name = ", ".join(code(each) for each in (*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else f" {(parameter.metavar or parameter.type.name).upper()}"
    text = parameter.help or ""
    if parameter.show_default and "default" not in text:
        text += f" [default: {parameter.default}]"
    return f"{name}{value}", text.strip()


def _unwrapped(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield " ".join(paragraph.split())


# --- routes ----------------------------------------------------------------------------------------------------------


def routes_page() -> Iterator[str]:
    yield "# Routes"
    yield ""
    yield "`…` is `/v1/merchants/{merchant}`. *Key* marks what needs an `Idempotency-Key`. Bodies, fields and replies"
    yield "stand in `GET /openapi.json`, and readable at `GET /docs` of a running gateway."
    yield ""
    operations = in_order()
    rows = [_route(each) for each in operations]
    yield from table(("Route", "What it does", "Scope", "Key", "Success"), rows)
    yield ""
    yield "## Without a key"
    yield ""
    yield from table(("Address", "What it is"), [(code(path), text) for path, text in OTHER_ROUTES.items()])
    yield ""
    yield "## What each may be refused by"
    yield ""
    yield from _refusals(operations)


def _refusals(operations: Sequence[Operation]) -> Iterator[str]:
    """What all have in common is said once; each operation's row has the rest."""
    every = _common(operations)
    posts = _common([each for each in operations if each.method == "POST"])
    changes = _common([each for each in operations if each.idempotent])
    rows: list[tuple[str, ...]] = [
        ("every route", _linked(every)),
        ("every `POST`", _linked(each for each in posts if each not in every)),
        ("every change", _linked(each for each in changes if each not in (*every, *posts))),
    ]
    for operation in operations:
        known = {*every, *(posts if operation.method == "POST" else ()), *(changes if operation.idempotent else ())}
        rows.append((code(operation.id), _linked(slug for slug in slugs_of(operation) if slug not in known)))
    yield from table(("Operation", "Problems"), rows)


def _common(operations: Sequence[Operation]) -> list[str]:
    first, *others = (slugs_of(each) for each in operations)
    return sorted(slug for slug in first if all(slug in other for other in others))


def _linked(slugs: Iterable[str]) -> str:
    return ", ".join(f"[{slug}](problems.md#{slug})" for slug in sorted(slugs))


def in_order() -> list[Operation]:
    """All operations, resource by resource, whatever was imported first."""
    places = {module.__name__: index for index, module in enumerate(RESOURCES)}
    return sorted(OPERATIONS, key=lambda each: places[each.view.__module__])


def _route(operation: Operation) -> tuple[str, ...]:
    path = re.sub(r"<(\w+)>", r"{\1}", operation.path.replace(TENANT, "…"))
    said = " ".join((operation.view.__doc__ or "").replace("``", "`").split())
    statuses = ", ".join(map(str, operation.returns))
    scopes = ", ".join(code(scope) for scope in operation.scopes)
    return code(f"{operation.method} {path}"), said, scopes, "yes" if operation.idempotent else "", statuses


# --- all of them -----------------------------------------------------------------------------------------------------

PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "hooks.md": hooks_page,
    "records.md": records_page,
    "problems.md": problems_page,
    "settings.md": settings_page,
    "commands.md": commands_page,
    "routes.md": routes_page,
    "matrix-of-faults.md": matrix_page,
    "matrix.md": plugins_page,
    "profile.md": profile_page,
    "sdk-reference.md": sdk_page,
    "performance.md": performance_page,
}


def page(name: str) -> str:
    """A page's text, as it should stand in the file."""
    title, *rest = PAGES[name]()
    text = "\n".join([title, "", NOTE, *rest]).rstrip() + "\n"
    return re.sub(r"\n{3,}", "\n\n", text)


def main() -> None:
    for name in PAGES:
        file = FOLDER / name
        text = page(name)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{file.relative_to(FOLDER.parent)} written\n")
    _renew_figures(FOLDER / "reliability.md")


def _renew_figures(file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    after = figures.renewed(before)
    if after != before:
        file.write_text(after, encoding="utf-8")
        sys.stdout.write(f"{file.relative_to(FOLDER.parent)}: figures written\n")


if __name__ == "__main__":
    main()
