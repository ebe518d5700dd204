"""The terminal's fault panel, shared through a file: the panel's program writes it, the helper process reads it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from gateway.sdk.simulator import COMMON_FAULTS, Fault, FaultPanel

EXTRA_FAULTS = {
    "dll_hang": "act, and block before answering; value = milliseconds (90000 if 0)",
    "dll_hang_before": "block, then answer 98 without having acted; value = milliseconds (90000 if 0)",
    "host_timeout": "act, then answer 98: the bank took the money, the terminal does not know",
    "sign_on_expired": "answer N1 without acting, as at the start of a day",
}
FAULTS = "faults.json"
FaultList = list[Fault]
_LOCK = "faults.lock"


class SharedFaultPanel(FaultPanel):
    """A :class:`FaultPanel` whose faults lie in ``faults.json`` of the data folder, guarded by a file lock."""

    def __init__(self, folder: Path, known: Mapping[str, str] | None = None) -> None:
        super().__init__(known or {**COMMON_FAULTS, **EXTRA_FAULTS})
        self._path, self._lock_path = folder / FAULTS, folder / _LOCK

    def set(self, faults: FaultList) -> None:
        with self._locked():
            super().set(faults)
            self._save()

    def list(self) -> FaultList:
        with self._locked():
            return self._load()

    def take(self, name: str, operation: str = "*") -> Fault | None:
        if not self._path.exists():
            return None
        with self._locked():
            faults = self._load()
            for index, fault in enumerate(faults):
                if fault.name == name and fault.match in ("*", operation):
                    if fault.times is not None:
                        left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                        self._faults = faults[:index] + left + faults[index + 1 :]
                        self._save()
                    return fault
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock_path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _load(self) -> FaultList:
        if not self._path.exists():
            return []
        return [Fault(**item) for item in json.loads(self._path.read_text(encoding="utf-8"))]

    def _save(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps([asdict(fault) for fault in self._faults]), encoding="utf-8")
        new.replace(self._path)
