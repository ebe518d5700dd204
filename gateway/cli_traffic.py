"""`gateway record` and `gateway replay`: a legacy system's real traffic, masked, and served as a simulator."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

_FRAMES = "frames instead of HTTP: ascii:4, binary:2, little:4, bcd:2, lines, end:03, stx:02:03, fixed:148"


@click.command("record")
@click.argument("name")
@click.option("--listen", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
@click.option("--to", required=True, metavar="HOST:PORT", help="where the legacy system is")
@click.option("--frames", default="", help=_FRAMES)
@click.option("--file", "path", type=click.Path(path_type=Path, dir_okay=False), help="NAME.traffic if not given")
@click.option("--secret", "secrets", multiple=True, help="env:NAME or file:PATH of a value that must not be kept")
@click.option("--mask", "names", multiple=True, help="part of a field's name whose value must not be kept")
@click.option("--mask-pattern", "patterns", multiple=True, help="expression; its first group must not be kept")
@click.option("--mask-question", "asked", multiple=True, help="the same, for questions alone; answers stay as they are")
def record(
    name: str,
    listen: int,
    to: str,
    frames: str,
    path: Path | None,
    secrets: tuple[str, ...],
    names: tuple[str, ...],
    patterns: tuple[str, ...],
    asked: tuple[str, ...],
) -> None:
    """Stand before a legacy system and write down what goes by, masked before it is written.

    Phones, payment codes, card numbers and what stands under names such as password or token are always masked.
    """
    from gateway.sdk.settings import resolve_secret
    from gateway.testing.traffic import Masks, Recorder

    file = path or Path(f"{name}.traffic")
    try:
        masks = Masks([resolve_secret(each).reveal() for each in secrets], names, patterns, asked)
        recorder = Recorder(file, name, to, masks, framing=frames, port=listen)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"127.0.0.1:{recorder.port} -> {to}, written to {file}; end with Ctrl-C")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    recorder.stop()
    click.echo(f"{recorder.count} exchanges in {file}")


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
@click.option("--volatile", multiple=True, help="field, or expression with a group, whose value differs each time")
@click.option("--timing", is_flag=True, help="answer as slowly as the system did")
@click.option("--panel", type=int, default=0, help="port of the panel (GET /books)")
def replay(file: Path, port: int, volatile: tuple[str, ...], timing: bool, panel: int) -> None:
    """Serve recorded traffic as a simulator. What was not recorded is told with what was nearest."""
    import tempfile

    from gateway.sdk.simulator import run
    from gateway.testing.traffic import Replay

    options = {"file": str(file), "port": str(port), "volatile": " ".join(volatile), "timing": "1" if timing else "0"}
    try:
        simulator = Replay(Path(tempfile.mkdtemp(prefix="replay-")), options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    run(simulator, panel)
