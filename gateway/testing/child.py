"""One call of a hook in a process of its own, which is meant to be killed. It is called by the host after a fork."""

from __future__ import annotations

import pickle
import signal
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.domain.call import Call
from gateway.domain.common import Step
from gateway.sdk.adapter import Adapter, EmbeddedAdapter
from gateway.testing.context import FileStore, build
from gateway.testing.far import open_books
from gateway.testing.host import locate


@dataclass(frozen=True, slots=True)
class Job:
    """What to call, on which settings, where the journal goes; ``dies_after_s`` of the call's own time, if set."""

    adapter: tuple[str, str]
    settings: dict[str, Any]
    folder: Path
    hook: str
    request: Any
    key: str
    dies_after_s: float = 0.0
    merchant: str = "test"
    seconds: float = 5.0

    @property
    def journal(self) -> Path:
        return self.folder / f"{self.key}.journal"

    @property
    def finished(self) -> Path:
        return self.folder / f"{self.key}.took"

    def steps(self) -> tuple[Step, ...]:
        """What was journalled before the process died."""
        steps: list[Step] = []
        if self.journal.exists():
            with self.journal.open("rb") as file:
                while True:
                    try:
                        steps.append(pickle.load(file))  # noqa: S301 - our own child wrote it
                    except (EOFError, pickle.UnpicklingError):
                        break
        return tuple(steps)


def run(job: Job) -> None:
    """Build the adapter and make the change; die in the middle if the job says so."""
    kind: type[Adapter] = locate(*job.adapter)
    books = open_books(kind, job.folder) if issubclass(kind, EmbeddedAdapter) else None
    store = FileStore(job.folder / "store.db")
    adapter = build(kind, job.settings, job.folder, store=store, database=books, merchant=job.merchant)
    call = Call(key=job.key, deadline=datetime.now(UTC) + timedelta(seconds=job.seconds), journal=_journal(job.journal))
    hook = getattr(adapter, job.hook)
    began = time.monotonic()
    if job.dies_after_s:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, job.dies_after_s)
    if books is None:
        hook(request=job.request, call=call)
    else:
        books.tx(lambda tx: hook(request=job.request, call=replace(call, tx=tx)))
    job.finished.write_text(str(time.monotonic() - began))


def _journal(path: Path) -> Any:
    def append(step: Step) -> None:
        with path.open("ab") as file:
            file.write(pickle.dumps(step))

    return append
