"""Reads a guide and runs it as a reader would: files are written, commands run in one shell, in the order of the page.

- A fenced block ``sh`` is run. After ``<!-- not run: REASON -->`` it is not.
- A fenced block after ``<!-- file: NAME -->`` is written to NAME, below the folder that the guide is run in.
- ``<!-- expect: TEXT -->`` says what the block before it must have printed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"```(\w*)\n(.*?)^```$|<!-- (file|not run|expect): (.*?) -->", re.MULTILINE | re.DOTALL)
_MARK = "=====block"


@dataclass(frozen=True, slots=True)
class Block:
    """One thing to do: ``kind`` is ``run``, ``skip``, ``file`` or ``expect``; ``note`` the comment's text."""

    kind: str
    text: str = ""
    note: str = ""


def blocks(text: str) -> Iterator[Block]:
    """What a guide asks for, in order."""
    kind, note = "", ""
    for found in _FENCE.finditer(text):
        if found[3]:
            kind, note = found[3], found[4]
            if kind == "expect":
                yield Block("expect", note)
                kind = ""
            continue
        if kind == "file":
            yield Block("file", found[2], note)
        elif found[1] == "sh":
            yield Block("skip" if kind == "not run" else "run", found[2], note)
        kind, note = "", ""


def script(found: list[Block]) -> str:
    """One shell script of the blocks that are run and the files that are written."""
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for index, block in enumerate(found):
        if block.kind == "run":
            lines += [f"echo {_MARK} {index}", block.text]
        elif block.kind == "file":
            lines += [
                f"mkdir -p $(dirname {block.note})",
                f"cat > {block.note} <<'END_OF_FILE'\n{block.text}END_OF_FILE",
            ]
    return "\n".join(lines)


def run_guide(
    name: str,
    folder: Path,
    environment: Mapping[str, str],
    instead: Mapping[str, str] | None = None,
    programs: Path = Path(sys.executable).parent,
) -> None:
    """Run a guide of ``docs/``. Fails with what was printed if a command fails, or something expected is not said.

    ``instead`` replaces texts of the guide, such as ports that may be taken on this machine; ``programs`` is the folder
    of the Python and the ``gateway`` that are used.
    """
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for told, here in (instead or {}).items():
        text = text.replace(told, here)
    found = list(blocks(text))
    output = _shell(script(found), folder, {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", **environment})
    said = _by_block(output)
    for index, block in enumerate(found):
        if block.kind == "expect":
            ran = max(i for i in said if i < index)
            assert block.text in said[ran], f"expected {block.text!r} after:\n{found[ran].text}\nit said:\n{said[ran]}"


def _shell(text: str, folder: Path, environment: Mapping[str, str], timeout: float = 170) -> str:
    """What a script prints. It and all that it started are ended afterwards."""
    shell = subprocess.Popen(
        ["bash", "-c", text],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=timeout)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert shell.returncode == 0, output
    return output


def _by_block(output: str) -> dict[int, str]:
    parts = re.split(rf"^{_MARK} (\d+)\n", output, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}
