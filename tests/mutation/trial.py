"""Tries mutants: collects the tests once, learns which of them come by which function, forks for each mutant.

Runs by itself in a group's folder, where the mutated code is (``run`` starts it): ``trial.py TODO RESULTS TEST…``.
TODO has the mutants' names with the digests of their functions; what became of one is a line of RESULTS as soon as it
is known.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.format_utils import mangled_name_from_mutant_name

#: Processor time that the tests of one mutant may take: what takes longer does not end, and was noticed.
CPU_S = 10


class Trials:
    """Takes the place of pytest's own loop over the tests."""

    def __init__(self, functions: Mapping[str, str], tests: str, results: Path) -> None:
        self.functions, self.tests, self.results = functions, tests, results
        self.forked = False
        #: The test that a child runs, where its parent sees it: what noticed one change often notices the next.
        self.running = mmap.mmap(-1, 8)
        self.failed: list[str] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        by_function = self._look(session.items)
        gc.collect()
        gc.disable()
        gc.freeze()  # children share this memory as long as nobody touches it
        if self.failed:
            raise pytest.UsageError(f"these fail without any change: {', '.join(self.failed)}")
        with self.results.open("a", encoding="utf-8") as file:
            for name, digest in self.functions.items():
                tests = by_function.get(mangled_name_from_mutant_name(name), [])
                outcome = self._try(name, tests) if tests else "no test"
                file.write(
                    json.dumps({"name": name, "function": digest, "tests": self.tests, "outcome": outcome}) + "\n"
                )
                file.flush()
        return True

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is None or isinstance(call.excinfo.value, pytest.skip.Exception):
            return
        if self.forked:
            os._exit(1)
        self.failed.append(item.nodeid)

    def _look(self, items: Sequence[pytest.Item]) -> dict[str, list[pytest.Item]]:
        """Run all tests unchanged; which come by a function, the quickest first."""
        found: dict[str, list[tuple[float, int]]] = defaultdict(list)
        set_mutant_under_test("stats")
        for number in range(len(items)):
            state()._stats.clear()
            begun = time.process_time()
            _run(items, number, number + 1)
            for function in state()._stats:
                found[function].append((time.process_time() - begun, number))
        set_mutant_under_test("")
        return {function: [items[number] for _, number in sorted(tests)] for function, tests in found.items()}

    def _try(self, name: str, tests: list[pytest.Item]) -> str:
        """Run a mutant's tests until one notices it; that one comes first for the next mutant of the function."""
        child = os.fork()
        if child == 0:
            self._suffer(name, tests)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return "survived"
        tests.insert(0, tests.pop(int.from_bytes(self.running[:8], "big")))
        return "endless" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU else "killed"

    def _suffer(self, name: str, tests: Sequence[pytest.Item]) -> None:
        self.forked = True
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU_S, -1))
            set_mutant_under_test(name)
            for number in range(len(tests)):
                self.running[:8] = number.to_bytes(8, "big")
                _run(tests, number, number + 1)
        except BaseException:
            os._exit(1)
        os._exit(0)


def _run(items: Sequence[pytest.Item], number: int, following: int) -> None:
    item, after = items[number], items[following] if following < len(items) else None
    item.ihook.pytest_runtest_protocol(item=item, nextitem=after)


def main() -> int:
    todo, results, *tests = sys.argv[1:]
    asked = json.loads(Path(todo).read_text(encoding="utf-8"))
    trials = Trials(asked["functions"], asked["tests"], Path(results))
    return int(pytest.main([*tests, "-q", "-s", "--assert=plain"], plugins=[trials]))


if __name__ == "__main__":
    sys.exit(main())
