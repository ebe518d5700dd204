"""Blocks of work over several processes, given back in their order; killed at any moment, nothing is left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

T = TypeVar("T")


def side_by_side(work: Callable[..., T], blocks: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[T]:
    """``work(*block)`` for every block; process ``k`` of ``jobs`` does blocks k, k + jobs, …

    Results come in the order of the blocks, so that what was given so far is always a whole beginning. Raises
    ``RuntimeError`` if a process dies.
    """
    if jobs < 2:
        yield from (work(*block) for block in blocks)
        return
    running = {}
    for index in range(jobs):
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=_lives, args=(work, blocks[index::jobs], there), daemon=True)
        process.start()
        there.close()
        running[here] = (process, index)
    try:
        yield from _in_order(running, len(blocks), jobs)
    finally:
        for process, _ in running.values():
            process.terminate()
            process.join()


def _in_order(running: dict[Connection, tuple[Any, int]], count: int, jobs: int) -> Iterator[Any]:
    early: dict[int, Any] = {}
    done = dict.fromkeys(running, 0)
    open_ends = set(running)
    for index in range(count):
        while index not in early:
            for end in wait(list(open_ends)):
                assert isinstance(end, Connection)
                try:
                    result = end.recv()
                except EOFError:
                    open_ends.discard(end)
                    if done[end] < len(range(running[end][1], count, jobs)):
                        raise RuntimeError("a process of the run died") from None
                    continue
                early[running[end][1] + done[end] * jobs] = result
                done[end] += 1
        yield early.pop(index)


def _lives(work: Callable[..., Any], blocks: Sequence[tuple[Any, ...]], told: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's stop is for whoever started this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = os.getppid()
    for block in blocks:
        if os.getppid() != parent:  # whoever asked for this is gone
            return
        told.send(work(*block))
