"""The page about what a profile says to the conformance suite, from the attributes and methods of the class itself."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docs.reference_hooks import markdown, record
from gateway.testing.chains import Made
from gateway.testing.far import Far
from gateway.testing.profile import Profile, charge

_TOLD = re.compile(r"(?P<meaning>.*?)\s*Unit: (?P<unit>[^\n]*?)\. Example: ``(?P<example>.*?)``\s*\Z", re.DOTALL)
_MUST = ("settings", "tally")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its meaning, what its values are, its default (``""``: it must be said), and one in use."""

    name: str
    kind: str
    default: str
    meaning: str
    unit: str
    example: str


def attributes() -> Iterator[Attribute]:
    """The profile's attributes in their order. Raises ``ValueError`` for one that does not say unit and example."""
    body = _class().body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        found = _TOLD.match(inspect.cleandoc(str(text)))
        if found is None:
            raise ValueError(f"Profile.{node.target.id}: expected its meaning, then `Unit: …. Example: …` below it")
        default = ast.unparse(node.value) if node.value is not None else ""
        kind = re.sub(r"^ClassVar\[(.*)\]$", r"\1", ast.unparse(node.annotation))
        yield Attribute(node.target.id, kind, default, found["meaning"], found["unit"], found["example"])


def _class() -> ast.ClassDef:
    tree = ast.parse(inspect.getsource(Profile))
    assert isinstance(tree.body[0], ast.ClassDef)
    return tree.body[0]


def profile_page() -> Iterator[str]:
    yield "# What a profile says"
    yield ""
    yield "A profile is a subclass of `gateway.testing.Profile` in a plugin's `conformance.py`; what it is for stands"
    yield "in [conformance.md](conformance.md#what-an-author-writes). `adapter`, `settings` and `tally` must be said;"
    yield "all else has a default."
    yield ""
    yield "## Attributes"
    for each in attributes():
        yield ""
        yield f"### {each.name}"
        yield ""
        said = f"default `{each.default}`" if each.default else "**must be said**"
        yield f"`{each.kind}` · {said} · unit: {markdown(each.unit).strip()}"
        yield ""
        yield markdown(each.meaning)
        yield ""
        yield "```python"
        yield each.example
        yield "```"
    yield ""
    yield "## Methods"
    yield ""
    yield "`far` is the far system that runs, with an adapter connected to it: `far.address(role)`, `far.secret(name,"
    yield "value)`, `far.control(do, …)`, `far.site()`, `far.number(prefix)`, `far.now()`, `far.data`, `far.place`; the"
    yield "others stand [below](#the-far-system). `made` is the change that a request follows from, the first of its"
    yield "chain: of a confirm, a cancel and a return the hold, of a refund the charge."
    for name, method in vars(Profile).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            yield from _method(name, method)
    yield ""
    yield "## Ready requests"
    yield ""
    yield "From `gateway.testing`; all other requests are made of their records, as `gateway plugins new` does."
    yield ""
    yield f"- `charge{inspect.signature(charge)}`: {markdown(inspect.getdoc(charge) or '').strip()}".replace("'", "")
    yield ""
    yield "## The far system"
    yield from record(Far)
    yield from record(Made)


def _method(name: str, method: Any) -> Iterator[str]:
    yield ""
    yield f"### {name}()"
    yield ""
    must = "**Must be said.** " if name in _MUST else ""
    text = markdown(method.__doc__ or f"A valid request for the hook `{name}`; the default fits most systems.")
    yield "```python"
    yield f"def {name}{inspect.signature(method)}".replace("'", "")
    yield "```"
    yield ""
    yield f"{must}{text}"
