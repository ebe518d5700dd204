"""The wallet without its panel, as the suite sees a real system: its day can't be closed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.sdk import StatementRequest
from gateway.testing import Far, ForeignSystem, Missing, Place
from tests.testing.wallet import WalletProfile, WalletSimulator


class Wallets(ForeignSystem):
    """A wallet a place."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.wallets: list[WalletSimulator] = []

    def start(self) -> None:
        """Each place starts its own."""

    def place(self) -> Place:
        wallet = WalletSimulator(self.folder / f"wallet{len(self.wallets)}")
        self.wallets.append(wallet)
        return Place(wallet.start(), {"wallet": wallet})

    def books(self, place: Place) -> Mapping[str, Any]:
        books: Mapping[str, Any] = place.facts["wallet"].books()
        return books

    def stop(self) -> None:
        for wallet in self.wallets:
            wallet.stop()


class ForeignWalletProfile(WalletProfile):
    """No lever closes the day."""

    simulator = None  # type: ignore[assignment]
    foreign = Wallets

    def statement(self, far: Far) -> StatementRequest:
        raise Missing("the day closes at 05:00")
