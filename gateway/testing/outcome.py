"""What came of calling a hook under test, in one word each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.domain.errors import AdapterError, Misconfigured, NotSent, NotSupported, PluginError
from gateway.domain.outcomes import Declined, Done, NotFound, Pending
from gateway.hookspecs import QUERY_HOOKS
from gateway.runtime.answers import CHANGE_HOOKS
from gateway.runtime.guard import outcome
from gateway.sdk.transports.recording import Tape


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of calling a hook: ``kind`` is done, declined, pending, not_found, read, not_sent, misconfigured,
    not_supported, unknown, plugin_error or hung; ``sent`` how many messages left meanwhile."""

    kind: str
    answer: Any = None
    text: str = ""
    seconds: float = 0.0
    sent: int = 0
    cpu: float = 0.0

    def __str__(self) -> str:
        more = f" ({self.text})" if self.text else ""
        if isinstance(self.answer, Declined):
            more = f" ({self.answer.reason}, {self.answer.code or 'no code'})"
        return self.kind.replace("_", " ") + more

    @property
    def not_sent(self) -> bool:
        return self.kind in ("not_sent", "misconfigured", "not_supported")


_ANSWERS = {Done: "done", Declined: "declined", Pending: "pending", NotFound: "not_found"}


_TROUBLE: dict[type[AdapterError], str] = {
    Misconfigured: "misconfigured",
    NotSupported: "not_supported",
    NotSent: "not_sent",
    PluginError: "plugin_error",
}


#: Mistakes in the code, whose words name types and names of it; what others say may hold a secret.
_MISTAKES = (TypeError, AttributeError, NameError, ImportError)


def _words(cause: BaseException | None) -> str:
    return f": {cause}"[:200] if isinstance(cause, _MISTAKES) else ""


def classed(adapter: str, hook: str, work: Callable[[], Any], tape: Tape | None = None) -> Outcome:
    """Run a hook as the gateway's guard does, and say what came of it."""
    began = time.monotonic()
    try:
        answer = outcome(adapter, hook, work, tape=tape)
    except AdapterError as error:
        kind = next((name for trouble, name in _TROUBLE.items() if isinstance(error, trouble)), "unknown")
        return Outcome(kind, None, f"{error}{_words(error.__context__)}", time.monotonic() - began)
    kind = _ANSWERS.get(type(answer), "read") if hook in CHANGE_HOOKS or hook in QUERY_HOOKS.values() else "read"
    return Outcome(kind, answer, "", time.monotonic() - began)
