"""`gateway price FILE`: the pricing engine alone, a document in and a document out, or tables for people."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from gateway.pricing.documents import run_document
from gateway.pricing.errors import PricingError, PricingErrors, fail
from gateway.pricing.explain import explain
from gateway.pricing.words import LANGUAGES

MAX_BYTES = 16 * 1024 * 1024


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {double!r} stands in an object twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def read_document(data: bytes) -> dict[str, Any]:
    """A JSON object, strictly: UTF-8, no member twice, no NaN. A byte order mark is passed over.

    Raises `PricingErrors`.
    """
    if not data.strip():
        raise fail("", "is empty")
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise fail("", "is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError too
        raise fail("", f"is not a JSON document: {error}") from error
    if not isinstance(document, dict):
        raise fail("", "must be an object")
    return document


def _read(file: str) -> bytes:
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise fail("", f"cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise fail("", f"is larger than {MAX_BYTES} bytes")
    return data


def _refuse(errors: tuple[PricingError, ...], as_table: bool) -> NoReturn:
    if as_table:
        for error in errors:
            click.echo(f"{error['pointer'] or '/'}: {error['detail']}", err=True)
    else:
        click.echo(json.dumps({"errors": list(errors)}, ensure_ascii=False, indent=2))
    sys.exit(2)


@click.command("price")
@click.argument("file", metavar="FILE")
@click.option("--explain", "as_table", is_flag=True, help="Tables for people instead of the document.")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", help="The language of the tables.")
def price_command(file: str, as_table: bool, lang: str) -> None:
    """Price the document in FILE ("-" is standard input) and apply its refunds.

    Prints the priced document as JSON. A document with an error is not priced: its paths are named, and the exit
    status is 2.
    """
    try:
        result = run_document(read_document(_read(file)))
    except PricingErrors as errors:
        _refuse(errors.errors, as_table)
    click.echo(explain(result, lang) if as_table else json.dumps(result, ensure_ascii=False, indent=2), nl=not as_table)
