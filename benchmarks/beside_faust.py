"""`undertone score` beside a Faust agent that does the same to each message as it comes.

Prints JSON: `stub_per_faust` is mentions a second of a scorer with the stub classifier ÷ those of
the agent (benchmarks/parts/faust_agent.py: the same core, the same stub, Faust at its defaults);
`stub_per_faust_cpu` is the same for a second of CPU time of the two processes. Each reads a topic
filled before; the first tenth is left out. Medians of five interleaved rounds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
from parts.rounds import by_turns, is_quick, ratio, tell
from parts.scoring import (
    LEFT_OUT,
    answered,
    appended,
    broker,
    fill,
    fresh_settings,
    mentions_a_second,
    score_command,
    wait_until,
    watchlist_file,
)
from parts.texts import encoded, mixed_rows

from undertone.settings import KafkaSettings, Settings
from undertone.transport import clients
from undertone.transport.topics import TopicNames

MESSAGES, QUICK_MESSAGES = 6_000, 2_000
AGENT = Path(__file__).parent / "parts" / "faust_agent.py"


class Contest:
    """The two, each on topics of its own."""

    def __init__(self, kafka: KafkaSettings, watchlist: Path, values: list[bytes]) -> None:
        self._kafka, self._watchlist, self._values = kafka, watchlist, values
        self.by_cpu: dict[str, list[float]] = {"score": [], "faust": []}

    def score(self) -> float:
        """Mentions a second of `undertone score`."""
        settings = fresh_settings(self._kafka)
        return self._run("score", settings, *score_command(settings, self._watchlist, "stub"))

    def faust(self) -> float:
        """Mentions a second of the agent."""
        settings = fresh_settings(self._kafka)
        agent = [sys.executable, str(AGENT), self._kafka.bootstrap, settings.prefix]
        return self._run("faust", settings, [*agent, str(self._watchlist)], {})

    def _run(
        self, name: str, settings: Settings, command: list[str], variables: dict[str, str]
    ) -> float:
        fill(settings, self._values)
        topic, wanted = TopicNames(settings.prefix).mentions, len(self._values)
        process = psutil.Popen(
            command, env=variables or None, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with closing(clients.consumer(settings.kafka)) as consumer:
            wait_until(
                lambda: appended(consumer, topic) >= LEFT_OUT * wanted, f"{name} at work", 0.02
            )
            before, first = cpu_seconds(process), appended(consumer, topic)
            wait_until(lambda: appended(consumer, topic) >= wanted, f"{name} at its end")
            spent = cpu_seconds(process) - before
        self.by_cpu[name].append((wanted - first) / spent)
        time.sleep(0.5)  # the last ones
        process.terminate()
        process.wait(60)
        return mentions_a_second(answered(settings))


def cpu_seconds(process: psutil.Popen) -> float:
    """User and system time so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Print the ratios."""
    quick = is_quick(__doc__)
    values = encoded(mixed_rows(QUICK_MESSAGES if quick else MESSAGES))
    with broker() as kafka, watchlist_file() as watchlist:
        contest = Contest(kafka, watchlist, values)
        found = by_turns({"score": contest.score, "faust": contest.faust}, quick=quick)
    tell(
        {
            "stub_per_faust": ratio(found["score"], found["faust"]),
            "stub_per_faust_cpu": ratio(contest.by_cpu["score"], contest.by_cpu["faust"]),
        }
    )


if __name__ == "__main__":
    main()
