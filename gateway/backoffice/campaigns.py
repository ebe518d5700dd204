"""Campaigns as files: imported with every fault named by its path, exported, listed, paused; versions are for ever.

A definition is known by id and version: the same two with another text are refused. A new version that is active ends
the one before. A campaign that stands in the merchant's own file is changed there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.engine.service import Engine
from gateway.pricing import PricingErrors, parse_campaigns
from gateway.pricing.schema import dump_benefits, load_benefit_file
from gateway.runtime import ConfigError, Merchant
from gateway.runtime.config_errors import Problem as ConfigProblem
from gateway.store import campaigns as sql
from gateway.store.port import Database, Tx

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one definition of a file: ``new``, a new ``version``, or ``unchanged``."""

    id: str
    version: str
    result: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One version of one campaign; ``origin`` is ``file`` or ``import``."""

    id: str
    version: str
    kind: str
    name: str
    state: str
    origin: str


def import_campaigns(engine: Engine, merchant: Merchant, file: Path, *, state: str, check: bool) -> list[Imported]:
    """Import a file's campaigns, all or none. With ``check`` nothing is written.

    Raises ``PricingErrors`` with a pointer for everything that is wrong. Idempotent.
    """
    documents = _read(file, merchant)
    if check:
        return engine.journal.read(lambda tx: _plan(tx, merchant.id, documents))
    return engine.journal.tx(lambda tx: _write(tx, merchant.id, documents, state, engine.clock.now()))


def _read(file: Path, merchant: Merchant) -> list[Json]:
    """The file's campaigns. Raises ``PricingErrors``."""
    found = load_benefit_file(file)
    documents = [dict(item) for item in found["campaigns"]]
    own = {str(item.get("id")) for item in merchant.pricing.campaigns}
    errors: list[tuple[str, str]] = []
    if found["coupons"]:
        errors.append(("/coupons", "coupons are issued, not imported"))
    if not documents:
        errors.append(("/campaigns", "there are none"))
    for index, document in enumerate(documents):
        if document.get("version") is None:
            errors.append((f"/campaigns/{index}/version", "is required: a definition is known by id and version"))
        if document["id"] in own:
            detail = f"{document['id']!r} stands in {merchant.file.name}: change it there"
            errors.append((f"/campaigns/{index}/id", detail))
    _raise(errors)
    return documents


def _raise(errors: Iterable[tuple[str, str]]) -> None:
    found = [{"pointer": pointer, "detail": detail} for pointer, detail in errors]
    if found:
        raise PricingErrors(found)  # type: ignore[arg-type]


def _plan(tx: Tx, merchant_id: str, documents: list[Json]) -> list[Imported]:
    """What an import would do. Raises ``PricingErrors`` for a version whose text has changed."""
    known = {(row["id"], row["version"]): row["doc"] for row in sql.listed(tx, merchant_id)}
    ids = {campaign for campaign, _ in known}
    planned, errors = [], []
    for index, document in enumerate(documents):
        key = (document["id"], str(document["version"]))
        if key not in known:
            planned.append(Imported(*key, "version" if key[0] in ids else "new"))
        elif known[key] == text_of(document):
            planned.append(Imported(*key, "unchanged"))
        else:
            errors.append((f"/campaigns/{index}", f"{key[0]} version {key[1]} is known with another text"))
    _raise(errors)
    return planned


def _write(tx: Tx, merchant_id: str, documents: list[Json], state: str, now: int) -> list[Imported]:
    sql.lock(tx, merchant_id)
    planned = _plan(tx, merchant_id, documents)
    for document, item in zip(documents, planned, strict=True):
        if item.result != "unchanged":
            row = {"merchant": merchant_id, "id": item.id, "version": item.version, "state": state, "now": now}
            sql.insert(tx, {**row, "doc": text_of(document)})
    return planned


def text_of(document: Mapping[str, Any]) -> str:
    """A definition as it is kept: neither the order of members nor white space counts."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def export_campaigns(engine: Engine, merchant: Merchant, form: str) -> str:
    """The campaigns in force, of the file and imported, as a file's text that can be imported again."""
    return dump_benefits(engine.campaigns(merchant).benefits, form)


def list_campaigns(engine: Engine, merchant: Merchant) -> list[Listed]:
    """Every version that is known, those of the merchant's file first."""
    found = [_listed(dict(item), "active", "file") for item in merchant.pricing.campaigns]
    rows = engine.journal.read(lambda tx: sql.listed(tx, merchant.id))
    return found + [_listed(json.loads(row["doc"]), row["state"], "import") for row in rows]


def _listed(document: Json, state: str, origin: str) -> Listed:
    version = "" if document.get("version") is None else str(document["version"])
    return Listed(document["id"], version, document["kind"], document.get("name", ""), state, origin)


def set_state(engine: Engine, merchant: Merchant, campaign: str, version: str, state: str) -> bool:
    """Move an imported version to another state; False if there is no such version."""
    return engine.journal.tx(lambda tx: sql.set_state(tx, merchant.id, campaign, version, state))


def pin_campaigns(database: Database, merchants: Iterable[Merchant], now: int) -> None:
    """Hold the files' campaigns to their versions. Raises ``ConfigError`` where a version's text has changed."""
    problems: list[ConfigProblem] = []
    for merchant in merchants:
        problems.extend(_pinned(database, merchant, now))
    if problems:
        raise ConfigError(problems)


def _pinned(database: Database, merchant: Merchant, now: int) -> list[ConfigProblem]:
    documents = [dict(item) for item in merchant.pricing.campaigns]
    try:
        parse_campaigns(documents)
    except PricingErrors as errors:
        found = [(error["pointer"].strip("/").replace("/", "."), error["detail"]) for error in errors.errors]
        return [ConfigProblem(merchant.file, f"pricing.{path}", text) for path, text in found]
    pinned = {
        index: (document["id"], str(document["version"]), text_of(document))
        for index, document in enumerate(documents)
        if document.get("version") is not None
    }
    if not pinned:
        return []
    seen = database.read(lambda tx: {key: sql.pinned(tx, merchant.id, *item[:2]) for key, item in pinned.items()})
    if any(text is None for text in seen.values()):
        seen |= database.tx(lambda tx: {key: sql.pin(tx, merchant.id, *item, now) for key, item in pinned.items()})
    text = "{} version {} is known with another text: give it a new version"
    return [
        ConfigProblem(merchant.file, f"pricing.campaigns[{index}]", text.format(*item[:2]))
        for index, item in pinned.items()
        if seen[index] != item[2]
    ]
