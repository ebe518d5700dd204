"""Department store "银座百货 MIS": slips, sale upload, stock, nightly files; and the bank terminal at its till."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type]:
    """The adapters of this plugin."""
    from plugins.department.adapter import DepartmentAdapter
    from plugins.department.terminal_adapter import BankTerminalAdapter

    return (DepartmentAdapter, BankTerminalAdapter)
