"""An hour of constant load on a real server: nothing may grow that should not.

Two workers on SQLite, a mixed load with declines, timeouts, refunds and long-polls on the event feed. Every ten seconds
(more often in a short run): memory, threads and descriptors of every worker, the write-ahead log, how long events take
to be told, in the feed and by webhook, and the median reply. After the warm-up, memory may grow by 5 % and come to 150
MB a worker, the log to 64 MB; threads, descriptors and the events' lags stay flat. A run is one line of evidence.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from tests import evidence
from tests.long import runs
from tests.long.audit import Audit, Journal
from tests.long.load import Load
from tests.long.town import Town, stock_up
from tests.webhooks.kit import Receiver, Seen

RSS_MOST_MB, WAL_MOST_MB, GROWTH_MOST = 150.0, 64.0, 0.05
#: Threads and descriptors that may come and go: a connection of a client, a pool's spare, eight senders of webhooks.
SLACK = 4 + 8
#: A part of the run that is not judged: caches fill, connections are made.
WARM_UP = 0.25
CLIENTS = 4
#: What the wallet does to one request now and then.
TROUBLES = ("drop_after", "drop_before", "slow", "error", "garbage")


@dataclass
class Sample:
    """One look at the server; memory in megabytes, times in seconds."""

    at: float
    rss_mb: list[float]
    threads: list[int]
    descriptors: list[int]
    wal_mb: float
    lag_s: float
    hook_s: float
    p50_s: float
    replies: int


class TownWithReceiver(Town):
    """A town that tells one receiver inside of its events."""

    receiver: Receiver

    def _write_config(self) -> None:
        super()._write_config()
        with self.config_file.open("a", encoding="utf-8") as file:
            file.write(f'[webhooks]\nallow_hosts = ["{self.receiver.host}"]\n')

    def listen(self, lags: list[float]) -> None:
        """Take note of how late each event comes to the receiver; one in fifty is refused once and comes again."""
        refused = random.Random(1)

        def answer(seen: Seen) -> int:
            self.receiver.seen.clear()
            self.receiver.accepted.clear()
            lags.append(time.time() - datetime.fromisoformat(seen.event["occurred_at"]).timestamp())
            return 503 if refused.random() < 0.02 else 204

        self.receiver.behaviour = answer
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": "soak"}
        url = f"{self.nodes[0].url}/v1/webhook-endpoints"
        requests.post(url, json={"url": self.receiver.url}, headers=headers, timeout=20).raise_for_status()


@dataclass
class Soak:
    """A town under load and what is seen of it."""

    town: TownWithReceiver
    load: Load
    every: float
    growth: float = GROWTH_MOST
    samples: list[Sample] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    hooks: list[float] = field(default_factory=list)
    server_errors: int = 0

    def run(self, seconds: float) -> Iterator[str]:
        """Load, look, and judge."""
        began = time.monotonic()
        threads = [threading.Thread(target=work, daemon=True) for work in (self._poll, self._trouble)]
        self.town.listen(self.hooks)
        self.load.start(CLIENTS)
        for thread in threads:
            thread.start()
        while (left := began + seconds - time.monotonic()) > 0 and not self.load.broken:
            time.sleep(min(self.every, left))
            self._look(time.monotonic() - began)
        self.load.stop()
        for thread in threads:
            thread.join(15)
        self.town.systems["alipay"].faults()
        yield from self.load.broken
        yield from judge(self.samples, self.growth)
        if self.server_errors:
            yield f"{self.server_errors} replies of 500"

    def _look(self, at: float) -> None:
        deeds, self.load.deeds = self.load.deeds, []
        times = [deed.seconds for deed in deeds if deed.status]
        self.server_errors += sum(deed.status == 500 for deed in deeds)
        lags, self.lags = self.lags, []
        hooks = [self.hooks.pop() for _ in range(len(self.hooks))]
        wal = Path(f"{self.town.store}-wal")
        pids = sorted(self.town.nodes[0].workers())
        self.samples.append(
            Sample(
                at=round(at, 1),
                rss_mb=[round(_status(pid, "VmRSS") / 1024, 1) for pid in pids],
                threads=[_status(pid, "Threads") for pid in pids],
                descriptors=[len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids],
                wal_mb=round(wal.stat().st_size / 2**20, 2) if wal.exists() else 0.0,
                lag_s=round(statistics.median(lags), 3) if lags else 0.0,
                hook_s=round(statistics.median(hooks), 3) if hooks else 0.0,
                p50_s=round(statistics.median(times), 4) if times else 0.0,
                replies=len(times),
            )
        )
        runs.say(f"  {json.dumps(asdict(self.samples[-1]))}")

    def _trouble(self) -> None:
        """The wallet loses a request or an answer now and then."""
        rng = random.Random(self.load.seed)
        while not self.load.stopping.wait(rng.uniform(1, 3)):
            with suppress(requests.RequestException):
                fault = {"name": rng.choice(TROUBLES), "times": 1, "value": 1500}
                self.town.systems["alipay"].faults(fault)

    def _poll(self) -> None:
        """Read the feed as a platform does, waiting for what comes next; how late each event is told."""
        session, after = requests.Session(), ""
        session.headers["Authorization"] = f"Bearer {self.town.key}"
        while not self.load.stopping.is_set():
            query = {"wait": "5", "limit": "200", **({"after": after} if after else {})}
            try:
                told = session.get(f"{self.town.nodes[0].url}/v1/events", params=query, timeout=20).json()["data"]
            except (requests.RequestException, ValueError, KeyError):
                time.sleep(0.2)
                continue
            now = time.time()
            self.lags += [now - datetime.fromisoformat(event["occurred_at"]).timestamp() for event in told[-20:]]
            after = told[-1]["id"] if told else after


def _status(pid: int, name: str) -> int:
    """A number of ``/proc/PID/status`` (memory in kB)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def judge(samples: list[Sample], growth: float = GROWTH_MOST) -> Iterator[str]:
    """What grew that should not: the last third of the time after the warm-up against the first."""
    calm = samples[int(len(samples) * WARM_UP) :]
    third = max(1, len(calm) // 3)
    if len(calm) < 3:
        yield f"only {len(calm)} samples: nothing can be said"
        return
    first, last = calm[:third], calm[-third:]
    for worker in range(min(len(sample.rss_mb) for sample in calm)):
        before = statistics.median(sample.rss_mb[worker] for sample in first)
        after = statistics.median(sample.rss_mb[worker] for sample in last)
        most = max(sample.rss_mb[worker] for sample in samples)
        if after > before * (1 + growth):
            yield f"worker {worker}: memory grew from {before} MB to {after} MB"
        if most > RSS_MOST_MB:
            yield f"worker {worker}: {most} MB of memory"
        for name in ("threads", "descriptors"):
            then, now = (max(getattr(sample, name)[worker] for sample in part) for part in (first, last))
            if now > then + SLACK:
                yield f"worker {worker}: {name} grew from {then} to {now}"
    if (wal := max(sample.wal_mb for sample in samples)) > WAL_MOST_MB:
        yield f"the write-ahead log came to {wal} MB"
    for name, where in (("lag_s", "in the feed"), ("hook_s", "by webhook")):
        then, now = (statistics.median(getattr(sample, name) for sample in part) for part in (first, last))
        if now > 2 * then + 0.5:
            yield f"events are told later and later {where}: {then} s, and then {now} s"
    if not any(sample.hook_s for sample in calm):
        yield "no event was told by webhook"


def soak(
    seconds: float, seed: int, every: float, folder: Path, growth: float = GROWTH_MOST
) -> tuple[list[str], dict[str, Any]]:
    """One soak: what was wrong, its figures, its samples."""
    town = TownWithReceiver(folder, names=("alipay", "convenience"), merchants=("convenience",))
    town.receiver = Receiver()
    with closing_receiver(town), town:
        with town.opened() as database:
            database.tx(stock_up)
        load = Load(town, seed, mix=("simple", "whole", "whole", "corner", "deposit", "refund", "decline"))
        watched, audit = Soak(town, load, every, growth), Audit(town, load)
        wrong = [*audit.balances(Journal.read(town)), *watched.run(seconds)]
        wrong += [*audit.settled(60.0), *audit.balances(Journal.read(town))]
        return wrong, _figures(watched.samples)


@contextmanager
def closing_receiver(town: TownWithReceiver) -> Iterator[None]:
    """The receiver ends after the town."""
    try:
        yield
    finally:
        town.receiver.stop()


def _figures(samples: list[Sample]) -> dict[str, Any]:
    calm = samples[int(len(samples) * WARM_UP) :] or samples
    steps = samples[:: max(1, len(samples) // 30)]
    return {
        "series": [[step.at, sum(step.rss_mb), sum(step.descriptors), step.lag_s, step.p50_s] for step in steps],
        "replies": sum(sample.replies for sample in samples),
        "rss_mb": [calm[0].rss_mb, calm[-1].rss_mb],
        "threads": [calm[0].threads, calm[-1].threads],
        "descriptors": [calm[0].descriptors, calm[-1].descriptors],
        "wal_most_mb": max(sample.wal_mb for sample in samples),
        "lag_s": [calm[0].lag_s, calm[-1].lag_s],
        "hook_s": [calm[0].hook_s, calm[-1].hook_s],
        "p50_ms": [round(calm[0].p50_s * 1000, 1), round(calm[-1].p50_s * 1000, 1)],
    }


def main() -> int:
    asked = runs.parser(__doc__, total=1, minutes=60)
    args = asked.parse_args()
    runs.stoppable()
    seconds, folder, began = args.minutes * 60, Path(tempfile.mkdtemp(prefix="soak-")), time.monotonic()
    evidence.tree()
    try:
        wrong, figures = soak(seconds, args.seed, min(10.0, max(1.0, seconds / 30)), folder)
    except KeyboardInterrupt:
        runs.say("stopped: a soak is one run, nothing of it is kept")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for text in wrong:
        runs.say(f"  WRONG: {text}")
    if wrong:
        figures["error"] = wrong[0][:500]
    evidence.append(
        "soak",
        command=f"make soak MINUTES={args.minutes:g}",
        count=round(args.minutes),
        violations=len(wrong),
        seconds=time.monotonic() - began,
        **figures,
    )
    figures.pop("series")
    runs.say(f"soak: {args.minutes:g} minutes, {figures['replies']} replies, {len(wrong)} wrong: {json.dumps(figures)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
