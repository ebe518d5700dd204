"""The templates: files with ``@@NAME@@`` to fill in, and a family's sections, each after a line ``### NAME``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

#: What stands between two families' sections; a line's end where nothing is said.
_BETWEEN = {
    "effects": "\n\n\n",
    "mappers": "\n\n\n",
    "tests": "\n\n\n",
    "hooks": "\n\n",
    "conf_requests": "\n\n",
    "conf_functions": "\n\n\n",
}
_PLACE = re.compile(r"@@([A-Z_]+)@@")
_STATEMENT = re.compile(r"^<<STATEMENT\n(.*?)^STATEMENT>>\n", re.MULTILINE | re.DOTALL)


@cache
def template(path: str) -> str:
    """The text of a template, by its path in the folder of templates."""
    return files(__package__).joinpath("templates", path).read_text(encoding="utf-8")


def fill(text: str, values: Mapping[str, str]) -> str:
    """A template with its places filled in; at most two empty lines follow each other. A place without a value is a
    ``KeyError``."""
    found = _PLACE.sub(lambda place: values[place[1]], text)
    found = _PLACE.sub(lambda place: values[place[1]], found)
    return re.sub(r"\n{4,}", "\n\n\n", found).rstrip("\n") + "\n"


@cache
def sections(family: str, transport: str) -> Mapping[str, str]:
    """A family's sections; those that dropped files want otherwise replace the others."""
    found = _cut(template(f"family/{family}.txt"))
    if transport == "files":
        found = {**found, **_cut(template(f"files/{family}.txt"))}
    kept = "" if transport == "iso8583" else r"\1"
    return {name: _STATEMENT.sub(kept, text) for name, text in found.items()}


def _cut(text: str) -> dict[str, str]:
    parts = re.split(r"^### (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def joined(families: Sequence[str], transport: str, name: str) -> str:
    """One section of all families, one after the other."""
    found = [sections(family, transport).get(name, "").strip("\n") for family in families]
    return _BETWEEN.get(name, "\n").join(filter(None, found))


def lines(families: Sequence[str], transport: str, name: str) -> str:
    """One section of all families, each of its lines once."""
    return "\n".join(dict.fromkeys(joined(families, transport, name).splitlines()))


def words(families: Sequence[str], transport: str, name: str) -> list[str]:
    """The words of a section of all families, each once, in order."""
    found = " ".join(sections(family, transport).get(name, "") for family in families).split()
    return sorted(set(found), key=lambda word: (word.lower(), word))
