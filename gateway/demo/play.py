"""``gateway demo``: sets the stage, tells the story, closes the day, and leaves it all running."""

from __future__ import annotations

import signal
import sys
import time
from datetime import date, datetime
from pathlib import Path

from gateway.api.parts import Parts
from gateway.app import build_parts
from gateway.backoffice.reconcile import reconcile_day
from gateway.backoffice.report import print_reconciliation, print_settlement
from gateway.backoffice.result import Class, Result, all_reconciled
from gateway.backoffice.settle import settlement_of
from gateway.demo.books import agree
from gateway.demo.stage import Stage, StageError
from gateway.demo.story import ZONE, tell_day
from gateway.demo.telling import Story
from gateway.engine.basket import business_date
from gateway.runtime import Merchant

#: How long the story waits for what tills upload late, in seconds.
LATE_UPLOADS_S = 30.0
#: How long it waits for a checkout when a leg is broken on purpose.
BROKEN_PATIENCE_S = 5.0


def play(data: Path, port: int, *, once: bool, as_json: bool, broken: str = "") -> int:
    """Play the demonstration; the exit status is 0 only if every step did what it should."""
    story = Story(_say, quiet=as_json)
    run = data / datetime.now(ZONE).strftime("%Y%m%d-%H%M%S")
    with Stage(run.resolve(), port) as stage:
        try:
            story.line("The legacy systems, each a program of its own:")
            stage.set_up(story.line)
            _break(stage, broken)
            tell_day(stage, story)
            close_day(stage, story)
        except StageError as error:
            sys.stderr.write(f"gateway demo: {error}\n")
            return 2
        if as_json:
            _say(story.to_json())
        else:
            _verdict(stage, story)
        if not once:
            _stay(stage)
    return 0 if story.ok else 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _break(stage: Stage, broken: str) -> None:
    """Break one leg on purpose, to see that the story notices."""
    if broken:
        system, _, fault = broken.partition(":")
        if system not in stage.systems:
            raise StageError(f"--break names no system: {system!r}; there are: {', '.join(stage.systems)}")
        name, _, match = fault.partition("@")
        stage.patience_s = BROKEN_PATIENCE_S
        stage.systems[system].faults({"name": name or "error", "match": match or "*"})


def close_day(stage: Stage, story: Story) -> None:
    """The day's reconciliation and settlement, and every system's own books against ours."""
    story.chapter("日终对账与结算", "The day is closed")
    parts = build_parts(stage.config_file)
    now = datetime.now(ZONE)
    try:
        for merchant in parts.runtime.merchants.values():
            # A wallet's day is the calendar's, a karaoke house's ends in the morning: both are closed.
            for day in sorted({business_date(merchant, now), now.date()}):
                _reconcile(parts, story, merchant, day)
        story.line("")
        today = business_date(parts.runtime.merchant("hubin"), now)
        print_settlement(settlement_of(parts.engine, "hubin", today), story.tell)
        agree(stage, parts, story)
    finally:
        parts.close()


def _reconcile(parts: Parts, story: Story, merchant: Merchant, day: date) -> None:
    """Reconcile one merchant's day, once its tills have uploaded what they were late with."""
    deadline = time.monotonic() + LATE_UPLOADS_S
    results = reconcile_day(parts.engine, merchant.id, day)
    while any(_still_coming(result) for result in results) and time.monotonic() < deadline:
        time.sleep(0.5)
        results = reconcile_day(parts.engine, merchant.id, day)
    story.line("")
    story.tell(f"{merchant.name}  {merchant.name_en}  {day}")
    print_reconciliation(results, story.tell)
    agrees = f"{merchant.id}: every system's record of {day} agrees with the journal"
    story.check(agrees, True, all_reconciled(results))


def _still_coming(result: Result) -> bool:
    """Whether a till has not uploaded yet, or its upload has not been taken note of here."""
    return bool(result.pending) or any(each.cls is Class.STATUS_RESOLVED for each in result.differences)


def _verdict(stage: Stage, story: Story) -> None:
    good = sum(step.ok for step in story.steps)
    _say("")
    _say(f"{good} of {len(story.steps)} steps did what they should" + ("." if story.ok else ":"))
    for step in story.steps:
        if not step.ok:
            _say(f"  ✗ {step.name}: expected {step.expected}, found {step.found}")


def _stay(stage: Stage) -> None:
    """Leave it running until Ctrl-C or SIGTERM."""
    _say("")
    _say(f"API docs  {stage.url}/docs")
    _say(f"Console   http://127.0.0.1:{stage.console_port}/console/")
    _say(f"Key       {stage.key}")
    for system in stage.systems.values():
        _say(f"Faults    {system.panel}/faults   ({system.name})")
    _say("Ctrl-C ends it all.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        _say("")
