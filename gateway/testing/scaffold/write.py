"""Writes a plugin's package from the templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.testing.scaffold.families import CHARSETS, EXTRAS, NoSuchPlugin, Wanted
from gateway.testing.scaffold.sections import fill, joined, lines, template, words

#: A line of Python is no longer.
_WIDE = 120
_ASKING = "    # -- how it is asked"
_ADAPTER = "Adapter Answer Call Change Context Declined Done InvalidReply NotFound OutcomeUnknown Query Settings Traits"
_ASKED = f"{_ADAPTER} Misconfigured NotSent"
#: By transport: the settings (name, field, meaning), and what the adapter says of a system that does not answer.
_ASKED_ABOUT_POINTS = "        return self._asked(request, request.request.points)"
_ASKED_ABOUT_HOLDS = """        points = None if request.hook == "points_cancel" else request.request.points
        return self._asked(request, points)"""
_ASKED_ABOUT_VALUE = """        asked = request.request
        moved = asked.amount if request.hook.startswith("value_") else asked.points
        found = self._asked(request, None if request.hook.endswith("_cancel") else moved)
        return self._with_buckets(found, moved) if request.hook == "value_reserve" else found"""
_PASSWORD = ("password", "SecretField(required=True)", "its password, as `env:NAME` or `file:PATH`")
_TCP = (("host", "fields.Str(required=True)", "its host"), ("port", "fields.Int(required=True)", "its port"))
_URL = ("url", "fields.Url(required=True, require_tld=False)", "its address")
_SETTINGS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "http": (_URL, _PASSWORD),
    "xml": (_URL, _PASSWORD),
    "soap": (_URL, _PASSWORD),
    "tcp": (*_TCP, _PASSWORD),
    "database": (("database", "PathField(required=True)", "its database file"),),
    "files": (
        ("inbox", "PathField(required=True)", "the folder that it takes requests from"),
        ("outbox", "PathField(required=True)", "the folder that it lays its answers in"),
    ),
    "iso8583": (*_TCP, ("terminal", "fields.Str(required=True)", "our terminal's number, 8 characters")),
}
_PASSED = ("password", 'far.secret("password", PASSWORD)')
_AT = (
    ("host", 'far.address("system").partition(":")[0]'),
    ("port", 'int(far.address("system").partition(":")[2])'),
)
#: By transport: the settings in the suite.
_IN_SUITE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "http": (("url", "f\"http://{far.address('system')}\""), _PASSED),
    "xml": (("url", "f\"http://{far.address('system')}/service\""), _PASSED),
    "soap": (("url", "f\"http://{far.address('system')}/service\""), _PASSED),
    "tcp": (*_AT, _PASSED),
    "database": (("database", 'far.address("system")'),),
    "files": (("inbox", 'far.address("inbox")'), ("outbox", 'far.address("outbox")')),
    "iso8583": (*_AT, ("terminal", '"10000001"')),
}
#: By transport: what else can go wrong: where there is no wire that the suite could spoil, or more than a wire.
_TROUBLE: Mapping[str, str] = {
    "xml": """
    #: The token runs out just before a call.
    faults: ClassVar[Mapping[str, int]] = {"token_over": 0}

    def prepare(self, far: Far) -> None:
        far.adapter.check()  # signs on: the first message of a change is then the change
""",
    "database": """
    def disturbances(self, far: Far, hook: str) -> Mapping[str, Callable[[], Any]]:
        return {"the database is locked": lambda: far.control("lock", ms=1500)}
""",
    "files": """
    def disturbances(self, far: Far, hook: str) -> Mapping[str, Callable[[], Any]]:
        return {
            "the system looks late": lambda: far.control("sleep", ms=300),
            "half an answer lies there": lambda: far.control("tear", ms=300),
        }
""",
}
#: By transport: what the suite spoils to try the parsers.
_PARSERS: Mapping[str, tuple[str, str]] = {
    "http": ("decode_reply, encode_reply", "yield decode_reply, encode_reply(Reply(OK, '', (ROW,)))"),
    "xml": ("decode_reply, encode_reply", "yield decode_reply, encode_reply(Reply(OK, '', (ROW,)))"),
    "tcp": ("decode_reply, encode_reply", "yield decode_reply, encode_reply('17', Reply(OK, '', (ROW,)))"),
    "soap": ("", "yield from ()  # zeep reads the envelopes; the suite spoils them on the wire"),
    "database": ("", "yield lambda raw: number_of({'n': raw.decode('utf-8', 'replace')}, 'n'), b'1200'"),
    "files": ("decode_reply, encode_reply", "yield decode_reply, encode_reply(Reply(OK, '', (ROW,)))"),
    "iso8583": (
        "HOST, decode_reply",
        'yield decode_reply, HOST.encode({"t": "0210", "3": "000000", "11": "000017", "39": "00", "62": "K1"})',
    ),
}


def write(wanted: Wanted, folder: Path) -> list[Path]:
    """Write the package into ``folder/NAME``; the files written. Raises ``NoSuchPlugin`` if something is there."""
    root = folder / wanted.name
    if root.exists():
        raise NoSuchPlugin(f"{root} is there already: nothing was written")
    written = []
    for path, text in _files(wanted):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return written


def _files(wanted: Wanted) -> Iterator[tuple[str, str]]:
    values, source = _values(wanted), f"src/{wanted.module}"
    yield "pyproject.toml", fill(template("common/pyproject.toml.txt"), values)
    yield "README.md", fill(template("common/README.md.txt"), values)
    yield f"tests/test_{wanted.module}.py", fill(template("common/tests.py.txt"), values)
    for name in ("__init__.py", "book.py", "mapping.py", "conformance.py", "quality.toml"):
        yield f"{source}/{name}", fill(template(f"common/{name}.txt"), values)
    yield f"{source}/README.md", fill(template("common/README.src.md.txt"), values)
    yield f"{source}/adapter.py", fill(_adapter(wanted), values)
    for name in ("protocol.py", "client.py", "simulator.py"):
        yield f"{source}/{name}", fill(template(f"transport/{wanted.transport}/{name}.txt"), values)
    if wanted.transport == "soap":
        yield f"{source}/service.wsdl", fill(template("transport/soap/service.wsdl.txt"), values)


def _adapter(wanted: Wanted) -> str:
    """The adapter's template; over files it asks otherwise."""
    text = template("common/adapter.py.txt")
    if wanted.transport != "files":
        return text
    head = text.partition(_ASKING)[0]
    check = head.index("    def check(self)"), head.index("@@HOOKS@@")
    own = "    def check(self) -> None:\n        self._client.check()\n\n"
    return head[: check[0]] + own + head[check[1] :] + template("files/adapter_asking.txt")


def _values(wanted: Wanted) -> dict[str, str]:
    families, transport = wanted.written, wanted.transport
    named = wanted.families
    told = ", ".join(named[:-1]) + " and " + named[-1] if len(named) > 1 else named[0]
    extra = EXTRAS.get(transport, "")
    return {
        "NAME": wanted.name,
        "MODULE": wanted.module,
        "CLASS": wanted.class_name,
        "FAMILIES": told,
        "FAMILIES_CAP": told.capitalize(),
        "TRANSPORT_TEXT": wanted.transport_text,
        "CHARSET": wanted.charset or CHARSETS[0],
        "REQUIREMENT": f"o2o-gateway[{extra}]" if extra else "o2o-gateway",
        "GRADE": "silver",
        **_simulator_values(wanted),
        **_adapter_values(wanted),
        **_test_values(wanted),
        "ITEMS": f"[\n{items}\n]" if (items := joined(families, transport, "items")) else "[]",
        "TRAITS": f"{{\n{traits}\n    }}" if (traits := lines(families, transport, "traits")) else "{}",
        "MOVES": f"\n{moves}" if (moves := lines(families, transport, "moves")) else "",
        "READS": f"\n{reads}" if (reads := lines(families, transport, "reads")) else "",
        **{name.upper(): joined(families, transport, name) for name in ("effects", "hooks", "tests")},
        **{name.upper(): lines(families, transport, name) for name in ("changes", "declines")},
        **_member_values(wanted),
    }


def _member_values(wanted: Wanted) -> dict[str, str]:
    """What holds and stored value change in the membership's own sections."""
    holds, value = "points-holds" in wanted.parts, "value" in wanted.parts
    return {
        "POINTS_OPS": "earn,revoke,points_spend,points_back" if holds else "earn,revoke",
        "POINTS_HELD": ' - number_of(row, "held")' if holds else "",
        "MEMBER_TOLD": ', value=value_of(session, row["code"])' if value else "",
        "MEMBER_VALUE": ', value=Value(real=number_of(row, "value"))' if value else "",
        "MEMBER_ASKED": _ASKED_ABOUT_VALUE if value else _ASKED_ABOUT_HOLDS if holds else _ASKED_ABOUT_POINTS,
        "ADAPTER_STDLIB": "from dataclasses import replace\n" if value else "",
    }


def _simulator_values(wanted: Wanted) -> dict[str, str]:
    return {
        "BASE": template("common/simulator_base.txt"),
        "ANSWER": template("common/simulator_answer.txt").rstrip("\n"),
        "FRAMES": template("common/frames_server.txt"),
    }


def _adapter_values(wanted: Wanted) -> dict[str, str]:
    families, transport = wanted.written, wanted.transport
    settings = _SETTINGS[transport]
    kinds = [kind for kind in ("PathField", "SecretField") if any(kind in made for _, made, _ in settings)]
    base = [*_ADAPTER.split(), "Pending"] if transport == "files" else _ASKED.split()
    own = sorted({*base, *kinds, *words(families, transport, "imports")} - _unused(wanted))
    mapped = words(families, transport, "mapping_imports")
    stdlib = lines(families, transport, "mapping_stdlib")
    return {
        "IMPORTS": "\n".join(f"    {name}," for name in [*own, "hookimpl"]),
        "SETTINGS": "\n".join(f"    {name} = {made}" for name, made, _ in settings),
        "SETTINGS_TABLE": "\n".join(f"| `{name}` | {meaning} |" for name, _, meaning in settings),
        "ADDRESS": settings[0][0],
        "MAPPING_STDLIB": f"{stdlib}\n" if stdlib else "",
        "MAPPING_IMPORTS": _imported(sorted({"DeclineReason", *mapped})).rstrip("\n"),
        "MAPPERS": joined(families, transport, "mappers"),
    }


def _unused(wanted: Wanted) -> set[str]:
    """What a transport's adapter has no use for."""
    return {"StatementRequest", "StatementRow", "Page"} if wanted.transport == "iso8583" else set()


def _test_values(wanted: Wanted) -> dict[str, str]:
    families, transport = wanted.written, wanted.transport
    protocol, parsers = _PARSERS[transport]
    if "ROW" in parsers:
        protocol = f"OK, Reply, {protocol}"
        row = '{"ref": "K1", "number": "1", "amount": "1200", "again": "0"}'
        parsers = f"row = {row}\n        {parsers.replace('(ROW,)', '(row,)')}"
    parsers = parsers.replace("'", '"')
    protocol = f"from .protocol import {protocol}" if protocol else ""
    if transport == "database":
        protocol = "from .mapping import number_of"
    imported = words(families, transport, "conf_imports")
    standard = lines(families, transport, "conf_stdlib")
    requests = joined(families, transport, "conf_requests")
    functions = joined(families, transport, "conf_functions")
    passed = [f'"{name}": {given}' for name, given in _IN_SUITE[transport]]
    return {
        "CONF_STDLIB": f"{standard}\n" if standard else "",
        "CONF_IMPORTS": _imported(imported),
        "CONF_CHARGE": ", charge" if "payments" in families else "",
        "CONF_PROTOCOL": f"{protocol}\n" if protocol else "",
        "CONF_SETTINGS": _bracketed(passed, "{}", 8, 15),
        "CONF_TROUBLE": _TROUBLE.get(transport, ""),
        "CONF_CALLABLE": "Callable, " if "Callable" in _TROUBLE.get(transport, "") else "",
        "CONF_CLASSVAR": ", ClassVar" if "ClassVar" in _TROUBLE.get(transport, "") else "",
        "CONF_PASSWORD": "PASSWORD, " if _PASSED in _IN_SUITE[transport] else "",
        "CONF_DECLINES": joined(families, transport, "conf_declines"),
        "CONF_PARSERS": f"        {parsers}",
        "CONF_REQUESTS": f"{requests}\n\n\n{functions}".rstrip("\n"),
        "MUST": _listed(words(families, transport, "must")),
    }


def _imported(names: list[str]) -> str:
    line = f"from gateway.sdk import {', '.join(names)}\n" if names else ""
    if len(line) <= _WIDE:
        return line
    return "from gateway.sdk import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"


def _listed(names: list[str]) -> str:
    return _bracketed([f'"{name}"' for name in names], "[]", 0, 7)


def _bracketed(parts: list[str], pair: str, indent: int, before: int) -> str:
    """Parts in brackets: on one line after so many characters where they fit, else a line each."""
    line = pair[0] + ", ".join(parts) + pair[1]
    if indent + before + len(line) <= _WIDE:
        return line
    return f"{pair[0]}\n" + "".join(f"{' ' * (indent + 4)}{part},\n" for part in parts) + " " * indent + pair[1]
