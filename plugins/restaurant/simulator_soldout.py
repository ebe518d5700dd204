r"""The sold-out file of the simulated chain: ``SOLD\GQ20140308.TXT``, written anew every five minutes, in place."""

from __future__ import annotations

import threading
from pathlib import Path

from plugins.restaurant.protocol import SoldOutRow, encode_sold_out
from plugins.restaurant.simulator_till import Chain, local_time


class SoldOutWriter:
    """Writes the day's file for all shops; a thread of its own repeats that while the simulator runs."""

    def __init__(self, chain: Chain, folder: Path, every_s: float) -> None:
        self._chain = chain
        self._folder = folder
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        self.write()
        if self._every_s > 0:
            self._thread = threading.Thread(target=self._repeat, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread:
            self._thread.join(timeout=5)

    def _repeat(self) -> None:
        while not self._stopped.wait(self._every_s):
            self.write()

    def write(self, half: bool = False) -> Path:
        """Write today's file; ``half`` stops in the middle, as a reader that comes too early sees it."""
        content = encode_sold_out(self._rows())
        path = self._folder / f"GQ{local_time(self._chain.now()).strftime('%Y%m%d')}.TXT"
        path.write_bytes(content[: len(content) // 2] if half else content)
        return path

    def _rows(self) -> list[SoldOutRow]:
        dishes = self._chain.dishes
        return [
            SoldOutRow(shop, dish, dishes[dish].name, left, at) for shop, dish, left, at in self._chain.store.all_left()
        ]
