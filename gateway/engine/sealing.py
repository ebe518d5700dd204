"""Sealing: what was committed gets its place in the merchant's chain, by whoever comes first."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.engine.seams import Clock, Journal
from gateway.store import audit
from gateway.store.encoding import dump
from gateway.store.port import Tx

log = logging.getLogger("gateway.audit")

Heads = Mapping[str, tuple[int, str]]


class Seal:
    """Makes and checks keyed checkpoints. ``key`` is asked for at the first use, after ``fork``."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    @property
    def name(self) -> str:
        """What tells one key from another, and nothing more."""
        return hashlib.sha256(b"name" + self._key()).hexdigest()[:8]

    def sign(self, merchant: str, seq: int, hash: str) -> str:
        """The checkpoint of a head."""
        text = dump([merchant, seq, hash]).encode()
        return f"{self.name}:{hmac.new(self._key(), text, hashlib.sha256).hexdigest()}"


class Witness:
    """A file that remembers the highest heads this machine has sealed, beside the database and not in it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> dict[str, tuple[int, str]]:
        """The heads by merchant; nothing if there is no file, or one that cannot be read."""
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
            return {merchant: (int(seq), str(hash)) for merchant, (seq, hash) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def note(self, heads: Heads, holds: Callable[[str, int, str], bool]) -> list[str]:
        """Take in new heads; a lower one never replaces a higher one. Several processes may do this at once.

        ``holds`` says whether a chain still has a head that is known. One that has not is kept, and its merchant is
        returned: an older copy was restored, and what was seen of the other must not be forgotten.
        """
        lost: list[str] = []
        with self.file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self.read()
            for merchant, (seq, hash) in heads.items():
                if merchant in known and not holds(merchant, *known[merchant]):
                    lost.append(merchant)
                elif seq > known.get(merchant, (0, ""))[0]:
                    known[merchant] = seq, hash
            temporary = self.file.with_suffix(".tmp")
            temporary.write_text(json.dumps(known, indent=0), encoding="utf-8")
            temporary.replace(self.file)
        return lost


class Sealer:
    """Seals in short transactions until nothing is left. Any thread of any process may call it at any time."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self.key: Seal | None = None
        self.witness: Witness | None = None

    def use(self, key: Callable[[], bytes], witness: Path | None = None) -> None:
        """Sign checkpoints from now on, and note heads in a file."""
        self.key = Seal(key)
        self.witness = None if witness is None else Witness(witness)

    def seal(self) -> None:
        """Seal all that has been committed. Raises what the store raises."""
        heads: dict[str, tuple[int, str]] = {}
        while self._journal.read(audit.waiting):
            sealed = self._journal.tx(self._unit)
            if not sealed:
                break
            heads |= sealed
        if heads and self.witness is not None:
            self._note(self.witness, heads)

    def _note(self, witness: Witness, heads: Heads) -> None:
        try:
            lost = witness.note(heads, self._holds)
        except OSError as error:
            log.warning("the witness file cannot be written", extra={"error": error.strerror})
            return
        for merchant in lost:
            log.error("the chain of evidence lacks a head that was seen", extra={"merchant": merchant})

    def _holds(self, merchant: str, seq: int, hash: str) -> bool:
        """Whether a chain has this head."""
        return self._journal.read(lambda tx: audit.hash_at(tx, merchant, seq)) == hash

    def _unit(self, tx: Tx) -> dict[str, tuple[int, str]]:
        return audit.seal(tx, self._clock.now(), self.key.sign if self.key is not None else None)

    def head(self, merchant: str) -> str:
        """The merchant's head as ``SEQ:HEAD``, with everything sealed that has been committed."""
        self.seal()
        return audit.shown(*self._journal.read(lambda tx: audit.head(tx, merchant)))
