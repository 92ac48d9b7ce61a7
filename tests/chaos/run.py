"""Breaks a whole installation by a seeded schedule, and proves that nothing is lost: `make chaos`.

    python tests/chaos/run.py [--seeds 10] [--first 1] [--form full] [--folder .cache/chaos]

For each seed an undisturbed run and a disturbed one of the same stream, on a broker of their own.
Results are kept in FOLDER/results.json; seeds that have passed are not run again. Prints the
results as one JSON object, and a table to standard error. Exit status 1 when a seed has failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from chaos.dependencies import (  # noqa: E402
    PUSH_TIMEOUT_SECONDS,
    BrokerFaults,
    Disk,
    ShakyAlertmanager,
)
from chaos.fleet import Fleet  # noqa: E402
from chaos.one_run import FEWEST, FailedError, Injector, Run  # noqa: E402
from chaos.outcome import Outcome, compare, outcome_of, told  # noqa: E402
from chaos.schedule import FULL, SHORT, FaultClass, Form, schedule  # noqa: E402
from chaos.store_disk import replays_on_a_full_disk  # noqa: E402
from chaos.stream import SkewedStamps, chaos_stream  # noqa: E402
from undertone.ingest.service import in_recorded_time  # noqa: E402
from undertone.settings import KafkaSettings, Settings  # noqa: E402
from undertone.transport.embedded_broker import EmbeddedBroker  # noqa: E402
from undertone.transport.raw_topics import prepare_topics  # noqa: E402

FORMS = {form.name: form for form in (SHORT, FULL)}
FINISH_SECONDS = 900.0
IN_NAMESPACE = "UNDERTONE_CHAOS_NAMESPACE"
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def main() -> int:
    options = _options()
    if IN_NAMESPACE not in os.environ and _can_mount():
        os.environ[IN_NAMESPACE] = "yes"
        os.execvp(NAMESPACE[0], [*NAMESPACE, sys.executable, *sys.argv])
    form = FORMS[options.form]
    options.folder.mkdir(parents=True, exist_ok=True)
    kept = options.folder / "results.json"
    results: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    wanted = range(options.first, options.first + options.seeds)
    for seed in wanted:
        name = f"{form.name}-{seed}"
        if results.get(name, {}).get("failures") == []:
            say(f"{name}: has passed before")
            continue
        results[name] = run_seed(seed, form, options.folder / name)
        written = kept.with_suffix(".new")
        written.write_text(json.dumps(results, indent=1))
        written.replace(kept)
    shown = {name: results[name] for seed in wanted if (name := f"{form.name}-{seed}") in results}
    print_table(shown)
    print(json.dumps(shown))
    return int(any(result["failures"] for result in shown.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first one")
    parser.add_argument("--form", choices=FORMS, default="full")
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "chaos")
    return parser.parse_args()


def _can_mount() -> bool:
    """Whether a namespace of our own can be had, in which disks of any size can be mounted."""
    if shutil.which(NAMESPACE[0]) is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = [*NAMESPACE, "mount", "-t", "tmpfs", "none", folder]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


def run_seed(seed: int, form: Form, folder: Path) -> dict[str, Any]:
    """Run one seed undisturbed and disturbed; what came of it, as JSON."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say(f"{form.name}-{seed}: {form.messages} messages, logs in {folder}")
    log_clients(folder / "harness.log")
    started = time.monotonic()
    result: dict[str, Any] = {"seed": seed, "form": form.name, "messages": form.messages}
    disks: list[Disk] = []
    try:
        disks += _disks(folder)
        with EmbeddedBroker(folder / "broker", log_dir=folder / "broker-logs") as broker:
            result |= _both_runs(seed, form, folder, broker, disks)
    except Exception as error:
        result.setdefault("faults", {})
        result["failures"] = [f"{type(error).__name__}: {error}"]
        if not isinstance(error, FailedError):
            raise
    finally:
        for disk in disks:
            disk.close()
    result["seconds"] = round(time.monotonic() - started)
    say(f"{form.name}-{seed}: " + ("; ".join(result["failures"]) or "passed"))
    return result


def _disks(folder: Path) -> list[Disk]:
    """Under the broker's records and under the store; none where nothing can be mounted."""
    try:
        return [Disk(folder / "broker"), Disk(folder / "store")]
    except OSError:
        return []


def _both_runs(
    seed: int, form: Form, folder: Path, broker: EmbeddedBroker, disks: list[Disk]
) -> dict[str, Any]:
    stream, poisoned = chaos_stream(seed, form.messages, folder)
    skew = SkewedStamps(seed, form.messages)

    def settings_for(prefix: str) -> Settings:
        kafka = KafkaSettings(bootstrap=broker.bootstrap)
        return in_recorded_time(Settings(prefix=prefix, kafka=kafka))

    def fleet_for(name: str, settings: Settings, **environment: str) -> Fleet:
        (folder / name).mkdir()
        prepare_topics(settings)
        return Fleet(settings, stream.watchlist, folder / name, environment)

    settings = settings_for("calm")
    fleet = fleet_for("calm", settings)
    calm = undisturbed(Run(settings, stream, skew, fleet, say), stream.watchlist)
    say(f"undisturbed: {calm.counts}, {len(told(calm.alerts))} alerts")

    settings = settings_for("chaos")
    alertmanager = ShakyAlertmanager()
    fleet = fleet_for(
        "chaos",
        settings,
        UNDERTONE_WATCH__SESSION_TIMEOUT="6s",
        UNDERTONE_ALERTMANAGER__URL=alertmanager.url,
        UNDERTONE_ALERTMANAGER__TIMEOUT=f"{PUSH_TIMEOUT_SECONDS:.0f}s",
        UNDERTONE_ALERTMANAGER__REPEAT="5s",
    )
    run = Run(settings, stream, skew, fleet, say)
    faults = BrokerFaults(broker, disks[0] if disks else None)
    injector = Injector(run, schedule(seed, form), faults, alertmanager, say)
    try:
        disturb(run, injector, stream.span_ms / 1000 / form.play_seconds)
    finally:
        alertmanager.mend()
        alertmanager.close()
    disturbed = outcome_of(settings, stream.watchlist)
    wrong = compare(calm, disturbed)
    wrong += [f"a traceback in {told}" for told in fleet.tracebacks()]
    injector.injected[FaultClass.POISON_RAW] = poisoned
    injector.injected[FaultClass.SKEWED_STAMP] = skew.count
    if disks:
        wrong += replays_on_a_full_disk(seed, disks[1], stream.watchlist, folder)
        injector.injected[FaultClass.STORE_DISK] = 1
    else:
        injector.skipped.append(f"{FaultClass.STORE_DISK}: no disk can be mounted here")
    return {
        "faults": {str(what): injector.injected[what] for what in FaultClass},
        "skipped": injector.skipped,
        "counts": disturbed.counts,
        "alerts": len(told(disturbed.alerts)),
        "repeated_mentions": disturbed.repeated_mentions,
        "sent_twice": disturbed.sent_twice,
        "endings": dict(sorted(fleet.endings.counts.items())),
        "unasked": fleet.endings.unasked,
        "pushes": {"taken": alertmanager.taken, "failed": alertmanager.refused},
        "broker_survived_full_disk": faults.survived_full_disk,
        "failures": wrong,
    }


def undisturbed(run: Run, watchlist: Path) -> Outcome:
    """One worker of each service, the stream as fast as it goes."""
    for service in ("watch", "score"):
        run.fleet.add(service)
    try:
        run.play(None, run.fleet.supervise)
        run.finish(run.fleet.supervise, FINISH_SECONDS)
    finally:
        run.fleet.stop()
    if run.fleet.endings.unasked:
        raise FailedError(f"undisturbed, yet: {run.fleet.endings.unasked}")
    return outcome_of(run.settings, watchlist)


def disturb(run: Run, injector: Injector, speed: float) -> None:
    """Several workers, the stream in step with the schedule, until all is read."""
    for service in ("watch", "score") * FEWEST:
        run.fleet.add(service)
    try:
        run.play(speed, injector.tick)
        while not injector.done:
            injector.tick()
            time.sleep(0.25)
        injector.close()
        say("all faults have been; waiting for the services")
        run.finish(run.fleet.supervise, FINISH_SECONDS)
    finally:
        run.fleet.stop()


def print_table(results: dict[str, Any]) -> None:
    """One line a fault class, one column a seed."""
    columns = list(results)
    width = max(map(len, FaultClass))
    say(" " * width + "".join(f" {name:>9}" for name in columns))
    for what in FaultClass:
        numbers = [results[name]["faults"].get(what, 0) for name in columns]
        say(f"{what:<{width}}" + "".join(f" {number:>9}" for number in numbers))
    outcome = ["failed" if results[name]["failures"] else "passed" for name in columns]
    say(" " * width + "".join(f" {each:>9}" for each in outcome))


def log_clients(path: Path) -> None:
    """Keep what the Kafka clients of this process warn of."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in root.handlers:
        old.close()
    root.handlers[:] = [handler]


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
