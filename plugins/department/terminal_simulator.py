"""The bank terminal beside a department store's till: its panel and books over the folder that its helper works in.

Runs by itself: ``gateway simulate bank-terminal``. Addresses: ``folder`` (for the adapter's setting ``folder``) and
``details`` (the DLL's own detail files). The helper processes are started by whoever wants to pay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk.simulator import Simulator
from plugins.department.terminal_books import DETAILS, TerminalBooks
from plugins.department.terminal_faults import EXTRA_FAULTS, SharedFaultPanel


class BankTerminalSimulator(Simulator):
    """See the module."""

    name: ClassVar[str] = "bank-terminal"
    extra_faults: ClassVar[dict[str, str]] = EXTRA_FAULTS

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self.faults = SharedFaultPanel(data)
        self._books = TerminalBooks(data)

    def start(self) -> dict[str, str]:
        return {"folder": str(self.data), "details": str(self.data / DETAILS)}

    def stop(self) -> None:
        """Nothing is held open."""

    def books(self) -> dict[str, Any]:
        return self._books.books()

    def reset(self) -> None:
        """Begin anew: no transactions, no faults, the first cards with their first balances."""
        self.faults.set([])
        self._books.reset()

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Levers: ``present_card {card}``, ``add_card {card, bank, balance}``, ``customer {does: pays | cancels |
        wrong_pin}`` (for the next transaction), ``sign_off``, ``reset``."""
        levers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "present_card": lambda c: self._books.set_state("card", self._known_card(str(c["card"]))),
            "add_card": lambda c: self._books.add_card(str(c["card"]), str(c.get("bank", "0102")), int(c["balance"])),
            "customer": lambda c: self._books.set_state("customer", str(c["does"])),
            "reset": lambda _: self.reset(),
            "sign_off": lambda _: self._books.set_state("signed_on", "0"),
        }
        lever = levers.get(str(command.get("do")))
        if lever is None:
            raise ValueError(f"no lever {command.get('do')!r}; known: {', '.join(levers)}")
        lever(command)
        return {"done": command["do"]}

    def _known_card(self, masked: str) -> str:
        if masked not in {card["masked"] for card in self.books()["cards"]}:
            raise ValueError(f"no card {masked!r}")
        return masked
