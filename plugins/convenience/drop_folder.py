"""Our side of a shop's drop folder: put an order file there once, and see what the till made of it.

The till moves a file forward only: ``.ORD`` → ``.ING`` → ``.OK`` or ``.ERR``. Looking in that order can't miss one that
moves meanwhile.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from gateway.sdk import InvalidReply, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.transports import wire
from gateway.sdk.transports.files import write_atomically

from .files import Accepted, OrderFile, Refused, parse_answer
from .protocol import ParseError


class Trace(StrEnum):
    """What lies in the folder under a reference."""

    WAITING = ".ORD"
    CLAIMED = ".ING"
    ACCEPTED = ".OK"
    REFUSED = ".ERR"


class DropFolder:
    """The folder with one subfolder a branch."""

    def __init__(self, root: Path, encoding: str) -> None:
        self.root = root
        self.encoding = encoding

    def path(self, branch: str, reference: str, trace: Trace) -> Path:
        return self.root / branch / f"{reference}{trace}"

    def check(self, branch: str) -> None:
        """Raises ``Misconfigured`` unless the branch's folder is there."""
        if not (self.root / branch).is_dir():
            raise Misconfigured(f"drop_folder: {self.root / branch} is not a folder; is the shop's share mounted?")

    def trace(self, branch: str, reference: str) -> Trace | None:
        """How far the till is with this reference; ``None``: nothing lies there."""
        return next((trace for trace in Trace if self.path(branch, reference, trace).exists()), None)

    def answer(self, branch: str, reference: str, trace: Trace) -> Accepted | Refused:
        """The till's answer. Raises ``InvalidReply`` for one that can't be read or that is about something else."""
        path = self.path(branch, reference, trace)
        try:
            content = path.read_bytes()
            wire.record(wire.RECEIVED, content, f"file {path.name}")
            answer = parse_answer(content, self.encoding)
        except (ParseError, OSError) as error:
            raise InvalidReply(f"{path.name}: {error}") from error
        if answer.reference != reference or isinstance(answer, Refused) != (trace is Trace.REFUSED):
            raise InvalidReply(f"{path.name}: the answer is about {answer.reference}")
        return answer

    def put(self, order: OrderFile) -> None:
        """Drop an order: it appears whole and durable, or not at all.

        A refusal that an earlier attempt got is taken away first. Raises ``NotSent`` if the file did not get there,
        ``Misconfigured`` if its folder is not there or the file can't be written in the till's characters.
        """
        self.check(order.branch)
        try:
            content = order.encode(self.encoding)
        except ValueError as error:
            raise Misconfigured(f"order file: {error}") from error
        target = self.path(order.branch, order.reference, Trace.WAITING)
        try:
            wire.left()
            self.path(order.branch, order.reference, Trace.REFUSED).unlink(missing_ok=True)
            write_atomically(target, content)
        except OSError as error:
            self._failed(order, error)

    def _failed(self, order: OrderFile, error: OSError) -> None:
        """Even a failed write may have been renamed (a share that goes away): only an empty folder proves otherwise."""
        try:
            trace = self.trace(order.branch, order.reference)
        except OSError as second:
            raise OutcomeUnknown(f"drop folder went away while writing: {second.strerror}") from error
        if trace is None:
            raise NotSent(f"order file not written: {error.strerror}") from error
