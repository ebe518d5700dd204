"""The mutants of a file, made by mutmut: the whole file once, with each mutant beside the function that it is of.

mutmut's own runner collects the tests anew for every mutant, which takes ten times as long as the tests; ``trial`` does
that once. Which mutant acts is switched at run time, so that no file is written for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from mutmut.mutation.file_mutation import MutatedFile, mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name, mangled_name_from_mutant_name


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: its name as mutmut has it, a digest of the function as it was, and the lines before and after."""

    name: str
    file: str
    function: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.name}\n    - {self.was}\n    + {self.now}"


def made(source: Path, file: str, folder: Path) -> list[Mutant]:
    """Write the file with its mutants into the folder, unless it is there already; what mutants there are."""
    text = source.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    listed = folder / f"{file}.mutants.json"
    if listed.exists():
        known: dict[str, Any] = json.loads(listed.read_text(encoding="utf-8"))
        if known["source"] == digest:
            return [Mutant(**each) for each in known["mutants"]]
    mutated = mutate_file_contents(file, text)
    found = list(_mutants(file, mutated))
    target = folder / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(mutated.code, encoding="utf-8")
    listed.write_text(json.dumps({"source": digest, "mutants": [asdict(each) for each in found]}), encoding="utf-8")
    return found


def _mutants(file: str, mutated: MutatedFile) -> Iterator[Mutant]:
    lines = mutated.code.splitlines()

    def body(name: str) -> list[str]:
        span = mutated.line_span_by_function_name[name]
        return [line.strip() for line in lines[span.start - 1 : span.end] if "__mutmut_" not in line]

    for name in mutated.mutant_names:
        function = mangled_name_from_mutant_name(name)
        before = body(f"{function}__mutmut_orig")
        changed = list(unified_diff(before, body(name), n=0, lineterm=""))[2:]
        was, now = (" ".join(line[1:] for line in changed if line.startswith(sign)) for sign in "-+")
        digest = hashlib.sha256("\n".join(before).encode()).hexdigest()[:16]
        yield Mutant(get_mutant_name(Path(file), name), file, digest, was, now)
