"""Serial lines to tills, scales and terminals, by pyserial (extra ``serial``).

    line = Line(serial_port("/dev/ttyUSB0", 9600), Delimited(b"\\x03", start=b"\\x02", check=xor_with_end), keep=True)

A wire has no connections: what a device says late is read by whoever asks next. So every answer must carry a number of
its question, and :class:`~gateway.sdk.transports.stream.Line` insists on ``matches``. What came before the question is
thrown away. The port is opened for this process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.domain.errors import Misconfigured, NotSent
from gateway.sdk.optional import load
from gateway.sdk.transports.stream import Stream

try:
    from termios import error as TerminalError
except ImportError:  # not a POSIX system
    TerminalError = OSError  # type: ignore[misc, assignment]

#: All that pyserial raises: its own are ``OSError``; ``ValueError`` is a setting that the port cannot have.
FAILURES = (OSError, ValueError, TerminalError)


def classify(error: BaseException, port: str) -> NotSent:
    """The outcome class of a failure to open a port; after the first byte a stream's own rule holds."""
    if isinstance(error, ValueError):
        return Misconfigured(f"the serial port {port} cannot be set so: {error}")
    return NotSent(f"the serial port {port} cannot be opened: {error}")


class SerialConnection(Stream):
    """A serial port. ``settings`` are pyserial's: ``bytesize``, ``parity``, ``stopbits``, ``rtscts``, ``xonxoff``."""

    clean_when_opened = False

    def __init__(self, port: str, baud: int, *, deadline: float, **settings: Any) -> None:
        super().__init__(deadline)
        serial = load("serial", "serial")
        try:
            self._port = serial.Serial(port, baud, exclusive=True, **settings)
            self._port.reset_input_buffer()
        except FAILURES as error:
            raise classify(error, port) from None

    def _put(self, data: bytes) -> None:
        self._port.write_timeout = self._left()
        try:
            self._port.write(data)
        except TerminalError as error:
            raise OSError(str(error)) from None

    def _get(self) -> bytes:
        self._port.timeout = self._left()
        try:
            data = bytes(self._port.read(max(1, self._port.in_waiting)))
        except TerminalError as error:
            raise OSError(str(error)) from None
        if not data:
            raise OSError("timed out")
        return data

    def stale(self) -> bool:
        """Whether the device has gone, or has said something that nobody asked for: opening anew throws it away."""
        try:
            return bool(self._buffer) or self._port.in_waiting > 0
        except (OSError, TerminalError):
            return True

    def close(self) -> None:
        """Give the port back."""
        self._port.close()


def serial_port(port: str, baud: int = 9600, **settings: Any) -> Callable[[float], SerialConnection]:
    """What opens a port, for a ``Line``."""
    return lambda deadline: SerialConnection(port, baud, deadline=deadline, **settings)
