"""The till program's eye on its drop folder: order files and price files in, ``.OK`` and ``.ERR`` out.

Every fault of the panel that a file drop can have is here or in the upload; the operations are ``order``, ``return``,
``plu`` and ``upload``.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from pathlib import Path

from gateway.sdk.simulator import FaultPanel

from .files import ERR_BUSY, ERR_DISK, ERR_FORMAT, Accepted, OrderFile, PluRow, Refused
from .protocol import ENCODING, FlowNo, ParseError, decode_numeric
from .simulator_head_office import Flow
from .simulator_till import Refusal, Tills


class Watcher:
    """One shop's drop folder and the till that reads it; :meth:`look` is one round."""

    def __init__(self, branch: str, folder: Path, tills: Tills, faults: FaultPanel, stopped: threading.Event) -> None:
        self.branch = branch
        self.folder = folder
        self._tills = tills
        self._faults = faults
        self._stopped = stopped
        self.latency = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, every: float) -> None:
        """Look until stopped."""
        while not self._stopped.wait(every):
            self.look()

    def look(self) -> None:
        """Work through what lies in the folder, oldest first. Nothing in it stops the till."""
        with contextlib.suppress(OSError):
            for path in sorted(self.folder.glob("*.ORD"), key=_age):
                self._order(path)
            prices = self.folder / "PLU.TXT"
            if prices.exists():
                self._prices(prices)

    # --- order files -----------------------------------------------------------------------------------------------

    def _order(self, path: Path) -> None:
        operation = "return" if b"\tB\t" in path.read_bytes()[:80] else "order"
        if self._faults.take("refuse", operation):
            return  # the till program is not looking
        claimed = path.with_suffix(".ING")
        path.rename(claimed)
        self._wait(operation, "latency", self.latency)
        if self._faults.take("drop_before", operation):
            return  # it dies with the file claimed and nothing rung up
        self._wait(operation, "late_success")
        answer = self._answer(claimed.stem, claimed.read_bytes(), operation)
        self._wait(operation, "slow")
        if self._faults.take("drop_after", operation):
            return  # it dies after ringing up, before the answer
        content = self._spoil(answer, operation)
        self._write(claimed, content, ".ERR" if isinstance(answer, Refused) else ".OK")

    def _answer(self, stem: str, content: bytes, operation: str) -> Accepted | Refused:
        for fault, code in (("error", ERR_BUSY), ("disk_full", ERR_DISK)):
            if self._faults.take(fault, operation):
                return Refused(stem, code)
        try:
            order = OrderFile.parse(content)
        except ParseError:
            return Refused(stem, ERR_FORMAT)
        try:
            flow = self._ring(order, operation)
        except Refusal as refusal:
            return refusal.answer(order.reference)
        return Accepted(flow.memo, FlowNo.parse(flow.flow_no), flow.total)

    def _ring(self, order: OrderFile, operation: str) -> Flow:
        memo = order.reference
        if self._faults.take("wrong_id", operation):
            memo = order.reference[:-4] + "ZZZZ"
        if self._faults.take("till_reset", operation):
            self._tills.set_till(self.branch, "01", sequence=0)
        wrong = self._faults.take("wrong_amount", operation)
        if wrong:
            order = _shift(order, wrong.value)
        flow = self._tills.ring_order(order, self.branch, memo)
        if self._faults.take("duplicate", operation):
            self._tills.ring_order(order, self.branch, memo)
        if self._faults.take("lose_memory", operation):
            self._tills.lose(self.branch, "01")
        return flow

    def _spoil(self, answer: Accepted | Refused, operation: str) -> bytes:
        content = answer.encode()
        if self._faults.take("garbage", operation):
            return b"\x00\xff\xfe" + content[::-1]
        if self._faults.take("half_body", operation):
            return content[: len(content) // 2]
        if self._faults.take("wrong_encoding", operation):
            return content.decode(ENCODING).encode("utf-16")
        if self._faults.take("bad_signature", operation) and isinstance(answer, Accepted):
            digit = (int(content[-3:-2]) + 1) % 10
            return content[:-3] + str(digit).encode() + b"\r\n"
        return content

    def _write(self, claimed: Path, content: bytes, suffix: str) -> None:
        answer = claimed.with_suffix(".TMP")
        answer.write_bytes(content)
        answer.replace(claimed.with_suffix(suffix))
        claimed.unlink(missing_ok=True)

    def _wait(self, operation: str, fault: str, always: float = 0.0) -> None:
        taken = self._faults.take(fault, operation)
        seconds = always + (taken.value / 1000 if taken else 0.0)
        if seconds:
            self._stopped.wait(seconds)

    # --- price files -----------------------------------------------------------------------------------------------

    def _prices(self, path: Path) -> None:
        if self._faults.take("refuse", "plu"):
            return
        self._tills.load_prices(self.branch, read_prices_as_a_till(path.read_bytes()))
        path.replace(path.with_suffix(".OK"))


def read_prices_as_a_till(content: bytes) -> list[PluRow]:
    """What a till makes of a price file: every row that looks like one, even the cut last one with its cut price."""
    rows = []
    for line in content.decode(ENCODING, "replace").split("\r\n"):
        fields = line.split("\t")
        with contextlib.suppress(ParseError):
            if len(fields) >= 4 and fields[0]:
                name, unit = fields[2], fields[4] if len(fields) > 4 else ""
                rows.append(PluRow(fields[0], fields[1], name, decode_numeric(fields[3].rstrip(".")), unit))
    return rows


def _age(path: Path) -> tuple[float, str]:
    return (path.stat().st_mtime, path.name)


def _shift(order: OrderFile, fen: int) -> OrderFile:
    """The same order with its first line and first tender off by some fen, as a till that rounds would have it."""
    line = replace(order.lines[0], amount=max(0, order.lines[0].amount + fen))
    tender = replace(order.tenders[0], amount=max(0, order.tenders[0].amount + line.amount - order.lines[0].amount))
    return replace(order, lines=(line, *order.lines[1:]), tenders=(tender, *order.tenders[1:]))
