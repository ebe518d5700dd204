"""An account on a real socket, and adapters as several workers, or machines, would have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway.sdk import Message
from gateway.sdk.adapter import utc_now
from gateway.sdk.simulator import Fault
from gateway.testing.context import FileStore, build, call
from plugins.messages.adapter import OfficialAccountAdapter
from plugins.messages.conformance import message, settings_for
from plugins.messages.simulator import OfficialAccountSimulator


def key(number: int) -> str:
    return f"01JMSG{number:020d}"


@dataclass
class Account:
    """Short words for the two sides."""

    simulator: OfficialAccountSimulator
    url: str
    folder: Path
    adapter: OfficialAccountAdapter = field(init=False)

    def __post_init__(self) -> None:
        self.adapter = self.worker()

    def settings(self, **changes: Any) -> dict[str, Any]:
        return settings_for(self.url, self.simulator.data, **changes)

    def worker(self, machine: str = "one", ahead_s: float = 0.0, **changes: Any) -> OfficialAccountAdapter:
        """An adapter as a worker process has it: the gateway's store, the spool folder of its machine, its clock."""
        folder = self.folder / machine
        folder.mkdir(exist_ok=True)
        store = FileStore(self.folder / "store.db")
        ahead = timedelta(seconds=ahead_s)
        return build(
            OfficialAccountAdapter, self.settings(**changes), folder, store=store, clock=lambda: utc_now() + ahead
        )

    def once(self, name: str, match: str = "*", value: int = 0) -> None:
        self.simulator.faults.set([Fault(name, match=match, times=1, value=value)])

    def do(self, lever: str, **fields: Any) -> str:
        return str(self.simulator.control({"do": lever, **fields})["openid"])

    def follower(self, number: int = 1) -> str:
        return self.do("follower", follower=number)

    def send(self, request: Message | None = None, number: int = 1, attempt: int = 1, seconds: float = 5.0) -> Any:
        asked = request or message(self.follower())
        return self.adapter.message_send(request=asked, call=call(key(number), attempt=attempt, seconds=seconds))

    @property
    def sent(self) -> list[Mapping[str, Any]]:
        return list(self.simulator.books()["messages"])

    @property
    def tokens(self) -> int:
        return int(self.simulator.books()["tokens_issued"])
