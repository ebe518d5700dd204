"""kill -9 of the process that makes a change, at each send; another process then brings it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.testing.bench import Bench, Stage, moved, told
from gateway.testing.chains import Made
from gateway.testing.child import Job
from gateway.testing.far import Far
from gateway.testing.host import Host, name_of
from gateway.testing.outcome import Outcome
from gateway.testing.profile import Missing
from gateway.testing.proxy import Plan
from gateway.testing.resolver import resolve

RULE = "survives_kill"
SLICES, QUICK_SLICES = 12, 3
_WAIT_S = 10.0


def check(bench: Bench, hook: str) -> None:
    """Kill at each send of one hook, or, where nothing is sent over a network, at moments spread over the call."""
    tried = bad = 0
    try:
        with bench.stage(hook) as stage:
            for moment, kill in _moments(bench, stage, hook):
                tried += 1
                problem = _killed(bench, stage, hook, kill)
                if problem:
                    bad += 1
                    bench.report.refuted(RULE, hook, moment, problem)
    except (Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, hook, "", str(trouble))
        return
    if tried and not bad:
        bench.report.shown(RULE, hook, "", f"{tried} moments")


Kill = Callable[[Far, Job, Host], None]


def _moments(bench: Bench, stage: Stage, hook: str) -> list[tuple[str, Kill]]:
    messages = bench.measured[hook].messages
    if messages:
        messages = max(messages, _messages(bench, stage, hook))
    if messages:
        numbers = sorted({1, messages}) if bench.quick else range(1, messages + 1)
        return [
            (f"{'before' if plan == 'kill_before' else 'after'} message {at}", _at_message(plan, at))
            for at in numbers
            for plan in ("kill_before", "kill_after")
        ]
    took = _duration(bench, stage, hook)
    slices = QUICK_SLICES if bench.quick else SLICES
    return [(f"{100 * i // slices} % into it", _after(took * i / slices)) for i in range(1, slices)]


def _at_message(plan: str, at: int) -> Kill:
    def kill(far: Far, job: Job, host: Host) -> None:
        pids: list[int] = []

        def die() -> None:
            until = time.monotonic() + 2
            while not pids and time.monotonic() < until:
                time.sleep(0.001)
            host.stop(pids[0])

        far.line.set(Plan(plan, at, then=die))
        pids.append(host.run("gateway.testing.child:run", job))
        _wait(host, pids[0], max(_WAIT_S, far.profile.deadline_s + 5))
        far.line.set(None)

    return kill


def _after(seconds: float) -> Kill:
    def kill(far: Far, job: Job, host: Host) -> None:
        from dataclasses import replace

        _wait(host, host.run("gateway.testing.child:run", replace(job, dies_after_s=max(seconds, 0.0005))))

    return kill


def _wait(host: Host, pid: int, seconds: float = _WAIT_S) -> None:
    until = time.monotonic() + seconds
    while not host.gone(pid):
        if time.monotonic() > until:
            host.stop(pid)
        time.sleep(0.005)


def _job(far: Far, hook: str, request: object, key: str) -> Job:
    settings = dict(far.profile.settings(far))
    adapter, seconds = name_of(far.profile.adapter), far.profile.deadline_s
    return Job(adapter, settings, far.folder, hook, request, key, merchant=far.merchant, seconds=seconds)


def _messages(bench: Bench, stage: Stage, hook: str) -> int:
    """How many messages a process sends that has just started: it signs on and looks around first."""
    request, host = stage.request(), bench.ground.host_of_children()
    stage.far.line.set(None)
    job = _job(stage.far, hook, request, stage.far.key())
    _wait(host, host.run("gateway.testing.child:run", job), max(_WAIT_S, job.seconds + 5))
    return stage.far.line.messages


def _duration(bench: Bench, stage: Stage, hook: str) -> float:
    """How long the call takes in a child, unharmed."""
    request, host = stage.request(), bench.ground.host_of_children()
    job = _job(stage.far, hook, request, stage.far.key())
    _wait(host, host.run("gateway.testing.child:run", job))
    if not job.finished.exists():
        raise RuntimeError(f"{hook} does not work in a process of its own")
    return float(job.finished.read_text())


def _killed(bench: Bench, stage: Stage, hook: str, kill: Kill) -> str:
    """Kill one process; what is wrong afterwards."""
    request = stage.request()
    far, key, effect = stage.far, stage.far.key(), bench.measured[hook].effect
    before, sent_at = far.quiet(), far.now()
    job = _job(far, hook, request, key)
    kill(far, job, bench.ground.host_of_children())
    made = Made(hook, key, request, None, sent_at, job.steps())
    then = moved(before, far.quiet())
    end = resolve(far, made, Outcome("unknown"))
    traces = far.profile.traces.get(hook, ())
    now = {name: value for name, value in moved(before, far.quiet()).items() if name in effect or name not in traces}
    expected = {"done": (effect,), "declined": ({},), "undone": ({},), "person": ({}, effect)}[end.kind]
    if now not in [dict(each) for each in expected]:
        stage.renew()
        return f"the books showed {told(then)}, it ended as {end.kind} ({end.way}), and they show {told(now)}"
    return ""
