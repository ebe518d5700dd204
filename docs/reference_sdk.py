"""The page about the SDK's parts that are imported by their place, from their signatures and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from docs.reference_hooks import function, markdown, record, source_line
from gateway.sdk.simulator import COMMON_FAULTS

#: Modules in the order in which an author meets them.
MODULES = {
    "gateway.sdk.simulator": "Simulators",
    "gateway.sdk.transports.soap": "SOAP",
    "gateway.sdk.transports.sql": "Databases",
    "gateway.sdk.transports.sql_drivers": "Databases: drivers",
    "gateway.sdk.transports.claims": "Databases: claims",
    "gateway.sdk.transports.late_rows": "Databases: late rows",
    "gateway.sdk.transports.files": "Files",
    "gateway.sdk.transports.serial_port": "Serial port",
    "gateway.sdk.transports.sftp": "SFTP",
    "gateway.sdk.transports.wire": "A transport of your own",
    "gateway.sdk.formats.fixed": "Fixed width",
    "gateway.sdk.formats.separated": "Separated values",
    "gateway.sdk.formats.dbf": "DBF",
    "gateway.sdk.formats.xml": "XML",
    "gateway.sdk.formats.iso8583": "ISO 8583",
    "gateway.sdk.signers.sorted_params": "Signatures over sorted parameters",
    "gateway.sdk.signers.rsa": "RSA",
    "gateway.sdk.signers.wechat_v3": "Signed headers and sealed notices",
    "gateway.sdk.signers.mac": "Message authentication codes",
    "gateway.sdk.signers.shared": "Shared secrets",
    "gateway.sdk.convert.money": "Money",
    "gateway.sdk.convert.dates": "Dates",
    "gateway.sdk.convert.text": "Text",
    "gateway.sdk.convert.labels": "Labels of scales",
}


def sdk_page() -> Iterator[str]:
    yield "# The SDK's parts, one by one"
    yield ""
    yield "Every public class and function of the parts that are imported by their place; [sdk.md](sdk.md) shows them"
    yield "in use, and [records.md](records.md) has all that `from gateway.sdk import …` gives."
    for name, title in MODULES.items():
        module = import_module(name)
        yield ""
        yield f"## {title}"
        yield ""
        yield f"`{name}`: {markdown(module.__doc__ or '').strip()}"
        for each in sorted(public(module), key=source_line):
            yield from function(each) if inspect.isfunction(each) else record(each)
        if name == "gateway.sdk.simulator":
            yield from _faults()


def public(module: ModuleType) -> list[Any]:
    """The classes and functions that a module defines for others."""
    made = [each for name, each in vars(module).items() if not name.startswith("_")]
    return [
        each
        for each in made
        if (inspect.isclass(each) or inspect.isfunction(each)) and each.__module__ == module.__name__
    ]


def _faults() -> Iterator[str]:
    yield ""
    yield "The faults that every simulator knows (`COMMON_FAULTS`); a handler asks `self.faults.take(name, operation)`,"
    yield "and goes by `self.now()` for its clock, which is all that `clock_skew` needs:"
    yield ""
    yield "| Fault | What the simulator does |"
    yield "|---|---|"
    for name, meaning in COMMON_FAULTS.items():
        yield f"| `{name}` | {meaning} |"
