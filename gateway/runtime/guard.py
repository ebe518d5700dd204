"""What stands between the engine and an adapter: deadline, slots, breaker, outcome classes, the answer's type, metrics.

Whatever an adapter does, the caller gets an answer of the right type or one of these: ``NotSent`` (the breaker is open,
no slot was free, or the adapter can prove that nothing left us), ``OutcomeUnknown`` (something may have), or
``PluginError`` (any other exception, an answer of the wrong type), whose text names a place in the code and no value.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from traceback import walk_tb
from typing import Any

from gateway.domain.errors import AdapterError, Misconfigured, NotSent, NotSupported, OutcomeUnknown, PluginError
from gateway.domain.outcomes import Declined, Done, NotFound, Pending
from gateway.runtime import metrics
from gateway.runtime.answers import CHANGE_HOOKS, CHECKS
from gateway.runtime.breaker import Breaker
from gateway.runtime.pool import Late, NoSlot, Pool
from gateway.sdk.transports import wire
from gateway.sdk.transports.recording import Tape

Work = Callable[[], Any]
Passing = type[Exception] | tuple[()]

#: A call that has waited longer than this share of its time for a slot is not begun: it would be cut off half way, and
#: "not sent" can be tried again where "unknown" must be resolved.
START_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class LastError:
    """The last trouble on a connection: when, in which hook, of what class, in the adapter's words."""

    at: datetime
    hook: str
    kind: str
    text: str


class Guard:
    """The guard of one connection. An embedded adapter is called inline, without pool and breaker."""

    def __init__(
        self,
        adapter: str,
        log: logging.LoggerAdapter[logging.Logger],
        pool: Pool,
        breaker: Breaker,
        told: Callable[[bool], None],
    ) -> None:
        """``told`` hears when the breaker opens (``False``: down) and closes (``True``: up again)."""
        self.adapter, self.log, self.pool, self.breaker, self._told = adapter, log, pool, breaker, told
        self.last_error: LastError | None = None
        self.last_success: float | None = None

    def run(self, hook: str, work: Work, seconds: float, grace: float, tape: Tape | None = None) -> Any:
        """Call the adapter in a thread, for at most ``seconds`` and then ``grace`` for a clean answer of its own.

        What goes over the wire goes onto ``tape``.
        """
        if not self.breaker.admit():
            self._count(hook, "breaker_open")
            raise NotSent(f"{self.adapter} is taken for down, next try in {self.breaker.opens_in():.0f} s")
        return self._admitted(hook, work, seconds, grace, tape)

    def probe(self, hook: str, work: Work, seconds: float, grace: float) -> None:
        """Call the adapter whatever the breaker says; an answer closes it."""
        self._admitted(hook, work, seconds, grace)

    def _admitted(self, hook: str, work: Work, seconds: float, grace: float, tape: Tape | None = None) -> Any:
        began = time.monotonic()
        end = began + seconds
        try:
            start_by = began + seconds * START_SHARE
            answer = self.pool.run(
                lambda: outcome(self.adapter, hook, work, until=end + grace, tape=tape), start_by, end + grace
            )
        except NoSlot:
            self.breaker.skip()
            self._count(hook, "no_slot")
            raise NotSent(f"all {self.pool.size} slots of {self.adapter} were busy") from None
        except Late:
            metrics.LATE.labels(self.adapter, hook).inc()
            late = OutcomeUnknown(f"{self.adapter} did not come back from {hook} in time")
            self._failed(hook, late)
            raise late from None
        except AdapterError as error:
            self._failed(hook, error)
            raise
        self._succeeded(hook, answer, time.monotonic() - began)
        return answer

    def inline(self, hook: str, work: Work, *, passing: Passing = ()) -> Any:
        """Call the adapter in this thread, without breaker or deadline: it must not call out.

        ``passing`` are exceptions handed on as they are: the store's end the unit that an embedded adapter runs in.
        """
        try:
            answer = outcome(self.adapter, hook, work, passing)
        except AdapterError as error:
            self.note(hook, error)
            raise
        self._count(hook, _ANSWER_NAMES.get(type(answer), "ok"))
        return answer

    def _succeeded(self, hook: str, answer: Any, took: float) -> None:
        if self.breaker.success():
            self.log.warning("up again")
            self._told(True)
        self.last_success = time.time()
        self._count(hook, _ANSWER_NAMES.get(type(answer), "ok"))
        metrics.seconds(self.adapter, hook).observe(took)

    def _failed(self, hook: str, error: AdapterError) -> None:
        """Note trouble; what says nothing about whether the far system is up does not count for the breaker."""
        self.note(hook, error)
        if not _counts(error):
            self.breaker.skip()
        elif self.breaker.failure():
            metrics.OPENED.labels(self.adapter).inc()
            self.log.warning("taken for down after %s in %s", type(error).__name__, hook)
            self._told(False)

    def note(self, hook: str, error: AdapterError) -> None:
        """Remember trouble for the health page, and count it."""
        self.last_error = LastError(datetime.now(UTC), hook, type(error).__name__, str(error))
        self._count(hook, _OUTCOME_NAMES.get(type(error), "unknown"))
        if isinstance(error, PluginError):
            self.log.error("%s", error)

    def _count(self, hook: str, outcome: str) -> None:
        metrics.calls(self.adapter, hook, outcome).inc()


def _counts(error: AdapterError) -> bool:
    """Whether trouble may mean that the far system is down: a bug in one hook must not close the others.

    Of a plugin's own exceptions only those of the operating system do, which a network's failure is.
    """
    if isinstance(error, PluginError):
        return isinstance(error.__context__, OSError)
    return not isinstance(error, NotSupported)


_ANSWER_NAMES = {Done: "done", Declined: "declined", Pending: "pending", NotFound: "not_found"}
_OUTCOME_NAMES = {
    NotSent: "not_sent",
    Misconfigured: "misconfigured",
    NotSupported: "not_supported",
    PluginError: "plugin_error",
}


def outcome(
    adapter: str, hook: str, work: Work, passing: Passing = (), until: float = math.inf, tape: Tape | None = None
) -> Any:
    """Run a hook; return its checked answer, or raise one of the classes that the engine knows, or ``passing``.

    After ``until`` the transports send nothing more.
    """
    wire.begin(until, tape)
    try:
        answer = work()
    except (Misconfigured, NotSupported) as error:
        if hook in CHANGE_HOOKS and wire.sends():
            raise OutcomeUnknown(f"{type(error).__name__} after something was sent: {error}") from error
        raise
    except (NotSent, OutcomeUnknown, PluginError):
        raise
    except passing:
        raise
    except BaseException as error:
        if from_a_person(error):
            raise
        raise PluginError(f"{adapter}.{hook} raised {type(error).__name__} {place(error)}") from None
    check = CHECKS.get(hook)
    wrong = check(answer) if check else ""
    if wrong:
        raise PluginError(f"{adapter}.{hook} answered wrongly: {wrong}")
    return answer


def from_a_person(error: BaseException) -> bool:
    """Whether this is somebody's Ctrl-C.

    All else that is no ``Exception`` (an exit, a cancelled task, a generator's end, a ``KeyboardInterrupt`` in a thread
    that cannot get one) is the plugin's own, and must not end a thread of ours.
    """
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def place(error: BaseException) -> str:
    """Where an exception was raised, file and line; its text may hold a secret and is left out."""
    frames = list(walk_tb(error.__traceback__))
    if not frames:
        return "at an unknown place"
    frame, line = frames[-1]
    return f"at {Path(frame.f_code.co_filename).name}:{line}"
