"""The same key again: one effect, whoever repeats it and when; nothing at all under a key that was closed.

``idempotent`` lets the engine send a key again at once, while the first request may still be on its way, and from
another process than the first. So it must be the far system that acts once. An adapter that looks before it repeats, or
remembers what it sent, is found out by a second one that was told nothing (an empty store, a first attempt). Where the
profile says that the hook ``remembers`` the number that it chose, the second has the store of the first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from gateway.domain.traits import Traits
from gateway.hookspecs import UNDO_HOOKS
from gateway.testing.bench import Bench, Stage, moved
from gateway.testing.chains import Made
from gateway.testing.checks.claims import NotShown, Refuted, must_be, must_show
from gateway.testing.checks.ledger import STATEMENTS
from gateway.testing.far import Far
from gateway.testing.outcome import Outcome
from gateway.testing.proxy import Plan

_UNDONE_BY = {undo: change for change, undo in UNDO_HOOKS.items()}
_JOIN_S = 20.0
_DAY_S = 86_400.0


def idempotent(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str:
    """The same key acts once: again, anew, side by side, while the first is on its way."""
    for how, twice in _WAYS.items():
        request = stage.request()
        far, key = stage.far, stage.far.key()
        before = far.quiet()
        second = twice(far, hook, request, key)
        must_show(moved(before, far.quiet()), bench.measured[hook].effect, f"the same key twice {how}")
        if second is not None:
            must_be(second, *_ANSWERS[twice is _anew], what=f"the second call with the same key {how}")
    _on_its_way(bench, stage, hook)
    if traits.idempotent_for_s is None and hook in STATEMENTS and stage.far.foreign is None:
        _the_next_day(bench, stage, hook)
    return "the same key twice, by one and by two processes, in a row, side by side and late: one effect"


def _again(far: Far, hook: str, request: Any, key: str) -> Outcome | None:
    """As the engine does after an answer that nobody understood."""
    _once(far, hook, request, key)
    return _once(far, hook, request, key, attempt=2)


def _anew(far: Far, hook: str, request: Any, key: str) -> Outcome | None:
    """By a process that knows of no first time: its store is empty, and its attempt is the first."""
    _once(far, hook, request, key)
    with _beside(far, hook) as other:
        return _once(other, hook, request, key)


def _two_calls(far: Far, hook: str, request: Any, key: str) -> Outcome | None:
    _side_by_side(lambda: _once(far, hook, request, key), lambda: _once(far, hook, request, key, attempt=2))
    return None


def _two_processes(far: Far, hook: str, request: Any, key: str) -> Outcome | None:
    with _beside(far, hook) as other:
        _side_by_side(lambda: _once(far, hook, request, key), lambda: _once(other, hook, request, key))
    return None


def _beside(far: Far, hook: str) -> AbstractContextManager[Far]:
    return far.beside(far.store if hook in far.profile.remembers else None)


#: Where the second call must be answered like the first it gives its outcome; side by side it may have to give way.
_WAYS: dict[str, Callable[[Far, str, Any, str], Outcome | None]] = {
    "in a row": _again,
    "in a row, the second by a process that was told nothing": _anew,
    "side by side": _two_calls,
    "side by side, the second by a process that was told nothing": _two_processes,
}


#: What the second call may come to. A process that was told nothing may not understand; it must not say "refused".
_ANSWERS = {False: ("done", "pending"), True: ("done", "pending", "unknown", "not_sent")}


def _once(far: Far, hook: str, request: Any, key: str, attempt: int = 1) -> Outcome:
    return far.settled(*far.change(hook, request, key=key, attempt=attempt))[1]


def _side_by_side(*work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_JOIN_S)


def _the_next_day(bench: Bench, stage: Stage, hook: str) -> None:
    """The key is sent again when the far system's day has ended, as after a night in which the gateway was down. Of
    what stays in the books, that is: what is only held may be over by then."""
    request = stage.request()
    far, key = stage.far, stage.far.key()
    before = far.quiet()
    _once(far, hook, request, key)
    with far.later(_DAY_S):
        _once(far, hook, request, key, attempt=2)
        must_show(moved(before, far.quiet()), bench.measured[hook].effect, "the same key again a day later")


def _on_its_way(bench: Bench, stage: Stage, hook: str) -> None:
    """The key is sent again while its first request is held up by the network, which then arrives."""
    measured = bench.measured[hook]
    if not measured.messages:
        return
    request = stage.request()
    far = stage.far
    before = far.quiet()
    far.line.set(Plan("hold", measured.messages))
    made, _ = far.change(hook, request, seconds=far.profile.patience_s)
    again = far.change(hook, request, key=made.key, attempt=2, steps=made.steps)
    came = far.settled(*again)[1]
    far.line.release()
    far.line.set(None)
    now = moved(before, far.quiet())
    if now or came.kind == "done":
        must_show(now, measured.effect, "the same key sent again while the first request was on its way")


def tombstone(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str:
    """Closing a number that was never seen blocks what comes later under it: late by the network, or called anew."""
    change, undo = (_UNDONE_BY[hook], hook) if hook in _UNDONE_BY else (hook, UNDO_HOOKS.get(hook, ""))
    if undo not in bench.hooks or change not in bench.measured:
        raise NotShown("there is nothing that it could close")
    with bench.stage(change) as other:
        if bench.measured[change].messages:
            _arrives_late(bench, other, change, undo)
        _called_anew(other, change, undo)
    return f"{change} that arrives after its {undo}, or is called anew under its key, does nothing"


def _arrives_late(bench: Bench, stage: Stage, change: str, undo: str) -> None:
    """Close a number while the change under it is held back by the network; then let it arrive."""
    request = stage.request()
    far = stage.far
    before = far.quiet()
    far.line.set(Plan("hold", bench.measured[change].messages))
    made, _ = far.change(change, request, seconds=far.profile.patience_s)
    _close(far, made, undo)
    far.line.release()
    far.line.set(None)
    must_show(moved(before, far.quiet()), {}, f"{change} arrived after its {undo}")
    asked = far.query(made) if far.queryable(change) else None
    if asked is not None:
        must_be(asked, "declined", "not_found", what=f"a query about the {change}")


def _called_anew(stage: Stage, change: str, undo: str) -> None:
    """Close a number; then have the change under it made by processes that slept: by the one that closed, and by
    another with the same store, which knows of the closing what was noted there."""
    with ExitStack() as others:
        for number in (1, 2):
            request = stage.request()
            far = stage.far
            before = far.quiet()
            made = Made(change, far.key(), request)
            _close(far, made, undo)
            caller = far if number == 1 else others.enter_context(far.beside(store=far.store))
            came = _once(caller, change, request, made.key)
            must_show(moved(before, far.quiet()), {}, f"{change} called anew under the key that its {undo} closed")
            if came.kind == "done":
                raise Refuted(f"{change} called anew under the key that its {undo} closed says that it is done")


def _close(far: Far, made: Made, undo: str) -> None:
    closing = far.change(undo, far.profile.request(undo, far, made))
    must_be(far.settled(*closing)[1], "done", what=f"{undo} of a number that was never seen")
