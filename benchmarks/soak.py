"""Half an hour at half of what saturates: does memory stay flat, does anything leak, does p99 hold?

    python benchmarks/soak.py [--minutes 30] [--share 0.5]

`score` (bundled model, cache off), `watch` and `board` run as processes on a broker of their own.
Scripted crises of eight days follow each other in recorded time, so that in half an hour what is
remembered for a month is filled and let go many times. First one of them goes as fast as it can:
that is saturation, of all services on this machine together.

Prints JSON. Of each process: resident memory (MiB, medians of the first and the last third), its
slope over the last two thirds (MiB an hour, least squares over medians of a minute, with its
standard error), open files and threads (least and most in the last two thirds). `p99_ms`: from the
sending of a message to the reading of its mentions, by minute. A table by minute goes to standard
error, and to FOLDER/minutes.jsonl with --folder.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import psutil
from kafka import TopicPartition

from undertone.demo.processes import ServiceProcess, service_environment
from undertone.demo.session import percentile
from undertone.demo.stream import scripted_stream
from undertone.ingest.planning import Routes, TickPolicy, TimedRecord, arrival_of, plan
from undertone.ingest.service import Ingestor, in_recorded_time
from undertone.scoring.accounting import accounting
from undertone.settings import KafkaSettings, ModelSettings, Settings
from undertone.simulate.scenarios import build_scenario
from undertone.transport import clients
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.raw_topics import prepare_topics
from undertone.transport.reading import committed_of
from undertone.transport.topics import TopicNames

BEGIN_MS = 1_262_304_000_000  # 2010
LOOK_SECONDS = 5.0
MINUTE = 60.0
THREADS = 2
FULL = 5_000  # messages sent as fast as they go
DONE_SECONDS = 120.0
MIB = 2**20


def records(settings: Settings, seeds: Iterator[int]) -> Iterator[TimedRecord]:
    """Scenarios one after the other, in recorded time and with ids of their own."""
    routes, ticks = Routes(settings.effective_raw_topics), TickPolicy.for_speed(None)
    begin_ms = BEGIN_MS
    for seed in seeds:
        scenario = build_scenario("demo", seed=seed)
        shift_ms = begin_ms - scenario.start_ms
        arrivals = []
        for entry in scenario.entries:
            if entry.message is None:
                continue
            moved = entry.message.model_copy(
                update={
                    "id": f"{seed}-{entry.message.id}",
                    "published_at": entry.message.published_at + shift_ms,
                    "arrived_at": entry.at_ms + shift_ms,
                }
            )
            arrivals.append(arrival_of(moved))
        begin_ms = scenario.end_ms + shift_ms
        yield from plan(arrivals, routes, ticks, end_ms=begin_ms)


def paced(found: Iterator[TimedRecord], rate: float, until: float) -> Iterator[TimedRecord]:
    """So many messages a second, until a monotonic moment."""
    due = time.monotonic()
    for record in found:
        if not record.is_tick:
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        if time.monotonic() > until:
            return
        yield record


@dataclass
class Latencies:
    """When messages were sent, and how long each took until its first mention was read."""

    sent_at: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    sent: int = 0

    def note(self, record: TimedRecord, now: float) -> None:
        """One record goes out."""
        if record.message_id is not None:
            self.sent += 1
            self.sent_at[record.message_id] = now

    def take(self) -> list[float]:
        """What has been measured since the last time."""
        taken, self.seconds = self.seconds, []
        # About no subject: these have no mention.
        old = time.monotonic() - MINUTE
        self.sent_at = {name: at for name, at in list(self.sent_at.items()) if at > old}
        return taken


def follow(settings: Settings, latencies: Latencies, stopping: threading.Event) -> None:
    """Read the mentions as they come."""
    names = TopicNames(settings.prefix)
    places = [TopicPartition(names.mentions, n) for n in range(settings.mentions_partitions)]
    with closing(clients.consumer(settings.kafka)) as consumer:
        consumer.assign(places)
        while not stopping.is_set():
            for batch in consumer.poll(timeout_ms=100).values():
                now = time.monotonic()
                for record in batch:
                    name = orjson.loads(record.value).get("message_id")
                    sent_at = latencies.sent_at.pop(name, None)
                    if sent_at is not None:
                        latencies.seconds.append(now - sent_at)


def wait_until_done(settings: Settings, messages: int) -> None:
    """Until so many messages are scored, and the watchers' group has passed their mentions."""
    kafka, names = settings.kafka, TopicNames(settings.prefix)
    places = [TopicPartition(names.mentions, n) for n in range(settings.mentions_partitions)]
    deadline, scored, behind = time.monotonic() + DONE_SECONDS, 0, 0
    with closing(clients.consumer(kafka)) as consumer:
        while time.monotonic() < deadline:
            time.sleep(0.5)
            scored = accounting(kafka, names, settings.effective_raw_topics)["messages_in"]
            committed = committed_of(kafka, names.watch_app, names.mentions)
            ends = clients.ends_of(consumer, places)
            behind = sum(end - committed.get(place.partition, 0) for place, end in ends.items())
            # Progress goes on for ever: a few records may always be on their way.
            if scored >= messages and behind <= 20:
                return
    raise SystemExit(
        f"not done within {DONE_SECONDS:.0f} s: {scored} of {messages} messages are scored, the "
        f"watcher is {behind} records behind"
    )


@dataclass
class Watched:
    """What one process takes, by minute."""

    process: psutil.Process
    rss_mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    _now: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Take one sample."""
        with self.process.oneshot():
            self._now.append(self.process.memory_info().rss / MIB)
            self.files.append(self.process.num_fds())
            self.threads.append(self.process.num_threads())

    def end_minute(self) -> float:
        """The minute's median of resident memory."""
        self.rss_mib.append(statistics.median(self._now))
        self._now = []
        return self.rss_mib[-1]

    def summary(self) -> dict[str, Any]:
        """What stands in the report."""
        third = max(1, len(self.rss_mib) // 3)
        late = self.rss_mib[third:]
        slope, error = slope_of(late)
        settled = len(self.files) // 3
        return {
            "rss_mib": [
                round(statistics.median(part), 1)
                for part in (self.rss_mib[:third], self.rss_mib[-third:])
            ],
            "slope_mib_an_hour": round(slope * 60, 2),
            "slope_error": round(error * 60, 2),
            "files": [min(self.files[settled:]), max(self.files[settled:])],
            "threads": [min(self.threads[settled:]), max(self.threads[settled:])],
        }


def slope_of(values: list[float]) -> tuple[float, float]:
    """The slope of the least-squares line, a step, and its standard error."""
    steps = list(range(len(values)))
    if len(values) < 3:
        return 0.0, 0.0
    slope, intercept = statistics.linear_regression(steps, values)
    squares = sum(
        (value - intercept - slope * step) ** 2 for step, value in zip(steps, values, strict=True)
    )
    spread = sum((step - statistics.mean(steps)) ** 2 for step in steps)
    return slope, (squares / (len(values) - 2) / spread) ** 0.5


def main() -> None:
    """Run, then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--share", type=float, default=0.5, help="of what saturates")
    parser.add_argument("--folder", type=Path, help="where logs are kept")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        broker = stack.enter_context(EmbeddedBroker())
        model = ModelSettings(threads=THREADS)
        kafka = KafkaSettings(bootstrap=broker.bootstrap)
        settings = in_recorded_time(Settings(prefix="soak", kafka=kafka, model=model))
        prepare_topics(settings)
        services = start(settings, folder)
        for service in services.values():
            stack.callback(service.stop)
        report = soak(settings, services, options.minutes, options.share, folder)
    print(json.dumps(report))


def start(settings: Settings, folder: Path) -> dict[str, ServiceProcess]:
    """The services, as processes."""
    watchlist = scripted_stream("demo", 1, folder).watchlist
    common = ["--prefix", settings.prefix, "--bootstrap", settings.kafka.bootstrap]
    common += ["--watchlist", str(watchlist)]
    environment = {**service_environment(settings), "UNDERTONE_MODEL__CACHE_ENTRIES": "0"}
    commands = {
        "watch": ["watch", *common, "--metrics-port", "0"],
        "score": ["score", *common, "--metrics-port", "0"],
        "board": ["board", *common, "--port", "0"],
    }
    return {
        name: ServiceProcess(command, environment, folder / f"{name}.log")
        for name, command in commands.items()
    }


def soak(
    settings: Settings,
    services: dict[str, ServiceProcess],
    minutes: float,
    share: float,
    folder: Path,
) -> dict[str, Any]:
    """Saturate once, then go on at a share of it."""
    latencies, stopping = Latencies(), threading.Event()
    follower = threading.Thread(target=follow, args=(settings, latencies, stopping), daemon=True)
    follower.start()
    ingestor = Ingestor(settings.kafka, on_sent=latencies.note)
    stream = records(settings, count(1))
    ingestor.run(first(stream, FULL))  # what is loaded at the first messages is loaded
    wait_until_done(settings, latencies.sent)
    began, before = time.monotonic(), latencies.sent
    ingestor.run(iter(list(first(stream, FULL))))
    wait_until_done(settings, latencies.sent)
    saturated = (latencies.sent - before) / (time.monotonic() - began)
    latencies.take()
    rate = share * saturated
    # Made before: who sends must not stop to write texts, and then send all that is due at once.
    made = iter(list(first(stream, math.ceil(rate * minutes * MINUTE))))
    until = time.monotonic() + minutes * MINUTE
    before = latencies.sent
    sender = threading.Thread(target=ingestor.run, args=(paced(made, rate, until),), daemon=True)
    sender.start()
    watched = {name: Watched(psutil.Process(each.pid)) for name, each in services.items()}
    by_minute: dict[str, list[float]] = defaultdict(list)
    with (folder / "minutes.jsonl").open("w") as kept:
        while time.monotonic() < until:
            ends = min(until, time.monotonic() + MINUTE)
            while time.monotonic() < ends:
                time.sleep(min(LOOK_SECONDS, max(0.0, ends - time.monotonic())))
                for name, each in watched.items():
                    services[name].check()
                    each.look()
            took = latencies.take()
            row = {name: round(each.end_minute(), 1) for name, each in watched.items()}
            for percent in (50, 99):
                row[f"p{percent}_ms"] = round(1000 * (percentile(took, percent) or 0.0))
                by_minute[f"p{percent}_ms"].append(row[f"p{percent}_ms"])
            kept.write(json.dumps(row) + "\n")
            kept.flush()
            print(json.dumps(row), file=sys.stderr, flush=True)
    sender.join()
    sent = latencies.sent - before
    wait_until_done(settings, latencies.sent)
    stopping.set()
    follower.join()
    return {
        "minutes": minutes,
        "saturated_a_second": round(saturated, 1),
        "sent_a_second": round(sent / (minutes * MINUTE), 1),
        "messages": sent,
        "processes": {name: each.summary() for name, each in watched.items()},
        **by_minute,
    }


def first(stream: Iterator[TimedRecord], messages: int) -> Iterator[TimedRecord]:
    """The next records, up to so many messages."""
    for record in stream:
        yield record
        messages -= not record.is_tick
        if messages <= 0:
            return


if __name__ == "__main__":
    main()
