"""Fuzzing guided by coverage, for as long as it is told: ``python -m tests.sdk.fuzz --minutes 60``.

Each wire format gets its share of the time, in a process of its own, by atheris; without atheris by plain mutation. An
input that breaks a reader is kept below ``var/fuzz`` and its name printed; the command then ends with 1.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

from tests.sdk.kit import ROOT

FOUND = ROOT / "var" / "fuzz"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--wire", type=int, help="the number of one format, for the process that fuzzes it")
    arguments.add_argument("--match", default="", help="only formats whose name holds this")
    given = arguments.parse_args()
    if given.wire is not None:
        fuzz(given.wire, given.minutes * 60)
        return 0
    from tests.sdk.wires import WIRES

    chosen = [number for number, wire in enumerate(WIRES) if given.match in wire.name]
    broken = [WIRES[number].name for number in chosen if not fuzzed_apart(number, given.minutes / len(chosen))]
    print(f"{len(chosen)} formats, {len(broken)} broken", *broken, sep="\n  ")
    return 1 if broken else 0


def fuzzed_apart(number: int, minutes: float) -> bool:
    """Fuzz one format in a process of its own; whether it survived."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.sdk.fuzz", f"--wire={number}", f"--minutes={minutes}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=minutes * 60 + 120)
    report = [line for line in done.stderr.splitlines() if line.startswith(("DONE", "#", "Done"))][-1:]
    print(number, "survived" if done.returncode == 0 else done.stderr[-1500:], *report, flush=True)
    return done.returncode == 0


def fuzz(number: int, seconds: float) -> None:
    folder = FOUND / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    if find_spec("atheris"):
        by_coverage(number, seconds, folder)
    else:
        by_mutation(number, seconds, folder)


def by_coverage(number: int, seconds: float, folder: Path) -> None:
    import atheris  # type: ignore[import-not-found, unused-ignore]

    with atheris.instrument_imports(include=["gateway.sdk", "plugins"]):
        from tests.sdk.wires import WIRES, examine

    tracemalloc.start()
    wire = WIRES[number]
    seeds = folder / "seeds"
    seeds.mkdir(exist_ok=True)
    for index, seed in enumerate(wire.seeds):
        (seeds / f"seed{index}").write_bytes(seed)
    options = [
        f"-max_total_time={max(1, int(seconds))}",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={folder}/",
        "-timeout=10",
    ]
    atheris.Setup([sys.argv[0], *options, str(seeds)], lambda data: (examine(wire, data), None)[1])
    atheris.Fuzz()


def by_mutation(number: int, seconds: float, folder: Path) -> None:
    from tests.sdk.wires import WIRES, examine

    tracemalloc.start()
    wire, chance, until, corpus = WIRES[number], random.Random(), time.monotonic() + seconds, [*WIRES[number].seeds]
    count = 0
    while time.monotonic() < until:
        data = bytearray(chance.choice(corpus))
        for _ in range(chance.randint(1, 6)):
            at = chance.randint(0, len(data))
            data[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 4))
        count += 1
        try:
            if examine(wire, bytes(data)) and len(corpus) < 500:
                corpus.append(bytes(data))
        except AssertionError:
            (folder / f"broken-{count}").write_bytes(data)
            raise
    print(f"Done {count} inputs", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
