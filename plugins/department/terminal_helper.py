"""The helper process beside a bank terminal: ``python -m plugins.department.terminal_helper FOLDER``.

A DLL has no wire and blocks for a minute and a half, so it lives in a process of its own that reads request frames on
standard input and writes response frames on standard output (:mod:`plugins.department.protocol_bankall`). An empty
frame says that the DLL is loaded. Requests are served one after the other; at the end of input the helper leaves.

Here the DLL is the simulated one, whose books lie in FOLDER; at a shop the same loop calls ``posinf.dll``. Only one
process at a time may have the terminal: another one is answered X1, busy, at once.
"""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from plugins.department.protocol import ParseError
from plugins.department.protocol_bankall import (
    BankRequest,
    BankResponse,
    Kind,
    decode_request,
    encode_response,
    read_frame,
    write_frame,
)
from plugins.department.terminal_books import TEXTS, TerminalBooks
from plugins.department.terminal_faults import SharedFaultPanel

_HANG_MS = 90_000
_NAMES = {kind.value: kind.name.lower() for kind in Kind}


class Helper:
    """Serves frames on the simulated DLL of one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.books = TerminalBooks(folder)
        self.faults = SharedFaultPanel(folder)
        self._lock_path = folder / "terminal.lock"

    def serve(self, source: BinaryIO, target: BinaryIO) -> int:
        """Serve until the input ends; the exit status is 1 when a fault made the DLL crash."""
        if self.faults.take("refuse", "start"):
            return 1
        write_frame(target, b"")
        while (frame := read_frame(source)) is not None:
            try:
                request = decode_request(frame)
            except ParseError:
                write_frame(target, b"")
                continue
            answer = self._answer(request)
            if answer is None:
                return 1
            write_frame(target, answer)
        return 0

    def _answer(self, request: BankRequest) -> bytes | None:
        """The response's bytes, or ``None`` when the DLL crashes."""
        with self._terminal() as free:
            if not free:
                return encode_response(_refusal(request, "X1"))
            return self._with_faults(request, _NAMES.get(request.kind, "other"))

    def _with_faults(self, request: BankRequest, name: str) -> bytes | None:
        take = self.faults.take
        if fault := take("latency", name):
            time.sleep(fault.value / 1000)
        if take("refuse", name) or take("drop_before", name):
            return None
        for fault_name, code in (("error", "96"), ("sign_on_expired", "N1")):
            if take(fault_name, name):
                return encode_response(_refusal(request, code))
        if fault := take("dll_hang_before", name):
            time.sleep((fault.value or _HANG_MS) / 1000)
            return encode_response(_refusal(request, "98"))
        late = take("late_success", name)
        if late:
            time.sleep(late.value / 1000)
        response = self.books.act(request, time.time() + self.faults.skew())
        if take("duplicate", name):
            response = self.books.act(request, time.time() + self.faults.skew())
        for fault_name in ("slow", "dll_hang"):
            if fault := take(fault_name, name):
                time.sleep((fault.value or _HANG_MS) / 1000)
        if late or take("drop_after", name):
            return None
        return self._spoil(request, response, name)

    def _spoil(self, request: BankRequest, response: BankResponse, name: str) -> bytes:
        take = self.faults.take
        if take("host_timeout", name):
            response = _refusal(request, "98")
        if fault := take("wrong_amount", name):
            response = replace(response, amount=response.amount + (fault.value or 1))
        if take("wrong_id", name) or take("bad_signature", name):
            response = replace(response, lrc=f"{(int(response.lrc) + 1) % 1000:03d}")
        frame = encode_response(response)
        if take("garbage", name):
            return b"\xff" * len(frame)
        if take("wrong_encoding", name):
            return response.text.encode().ljust(40)[:40].join((frame[:44], frame[84:]))
        return frame[: len(frame) // 2] if take("half_body", name) else frame

    @contextmanager
    def _terminal(self) -> Iterator[bool]:
        """The terminal's port: one process at a time, no waiting."""
        with self._lock_path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _refusal(request: BankRequest, code: str) -> BankResponse:
    return BankResponse(code, request.lrc, text=TEXTS[code])


def main(arguments: list[str]) -> int:
    """Run the helper on the folder named by the one argument."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m plugins.department.terminal_helper FOLDER\n")
        return 2
    return Helper(Path(arguments[0])).serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
