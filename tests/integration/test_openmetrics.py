"""A month of history, through promtool into a real Prometheus, and asked for by name."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from builders import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, mention, progress, written
from dashboard_queries import PanelQuery, TimeRange, answer, queries_of, variables_of
from servers import binary, free_port, running
from undertone.alerting.rules import load_rules
from undertone.records import Alert, Mention, TrendPoint
from undertone.replay.openmetrics import OpenMetricsFile
from undertone.trends.points import TrendReading
from undertone.watch.core import Watch, WatchConfig, WatchedSubject

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

MONTH_MS = 30 * DAY_MS
BURST_MS = START_MS + 20 * DAY_MS


def month_of_mentions() -> list[Mention]:
    """A mention every 50 minutes, and a burst of 25 negative ones on the 20th day."""
    quiet = [
        mention(START_MS + number * 50 * MINUTE_MS, number, ("neutral", "positive")[number % 2])
        for number in range(MONTH_MS // (50 * MINUTE_MS))
    ]
    burst = [
        mention(BURST_MS + number * MINUTE_MS, 10_000 + number, "negative") for number in range(25)
    ]
    ordered = sorted(quiet + burst, key=lambda each: each.ingested_at)
    return [
        each.model_copy(update={"raw": each.raw.model_copy(update={"offset": offset})})
        for offset, each in enumerate(ordered)
    ]


@dataclass(frozen=True)
class History:
    """What was written, and a client of a Prometheus that holds it."""

    mentions: list[Mention]
    points: list[TrendPoint]
    alerts: list[Alert]
    client: httpx.Client

    def query(self, expression: str, at_ms: int) -> list[dict[str, Any]]:
        """The instant vector of an expression at a moment of the history."""
        moment = {"query": expression, "time": at_ms / 1000}
        answer = self.client.get("/api/v1/query", params=moment)
        answer.raise_for_status()
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def value(self, expression: str, at_ms: int) -> float:
        """The only value of an expression at a moment."""
        (series,) = self.query(expression, at_ms)
        return float(series["value"][1])


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    promtool, prometheus = binary("promtool"), binary("prometheus")
    folder = tmp_path_factory.mktemp("history")
    mentions = month_of_mentions()
    watch = Watch(
        WatchConfig(rules=load_rules(), subjects={"acme": WatchedSubject("Acme Corporation")})
    )
    records: list[Alert | TrendPoint] = []
    with OpenMetricsFile(folder / "history.om") as file:

        def take(outputs: Iterable[Alert | TrendReading]) -> None:
            for record in written(outputs):
                records.append(record)
                file.add(record)

        for each in mentions:
            file.add(each)
            take(watch.apply(each))
            take(watch.apply(progress(each.ingested_at)))
        take(watch.apply(progress(START_MS + MONTH_MS)))
    data = folder / "data"
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run(
        [*command, "--max-block-duration=744h", str(folder / "history.om"), str(data)],
        check=True,
        capture_output=True,
    )
    assert len([path for path in data.iterdir() if path.is_dir()]) <= 6, "blocks of two hours"
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    address = f"127.0.0.1:{free_port()}"
    server = [
        prometheus,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
    ]
    url = f"http://{address}"
    with (
        running(server, f"{url}/-/ready", folder / "log"),
        httpx.Client(base_url=url) as client,
    ):
        yield History(
            mentions,
            [record for record in records if isinstance(record, TrendPoint)],
            [record for record in records if isinstance(record, Alert)],
            client,
        )


def test_each_trend_point_is_found_at_its_own_time(history: History) -> None:
    for window in ("5m", "1h", "24h"):
        points = [point for point in history.points if point.window == window]
        for point in points[:: max(1, len(points) // 20)]:
            labels = f'{{subject="acme",kind="news",window="{window}"}}'
            stories = history.value(f"undertone_window_stories{labels}", point.window_end)
            assert stories == point.stories
            surprise = history.value(
                f'undertone_window_surprise{{signal="negative_volume",window="{window}"}}',
                point.window_end,
            )
            assert surprise == pytest.approx(point.surprise_negative_volume)


def test_a_window_is_drawn_without_gaps_while_it_holds_mentions(history: History) -> None:
    expression = 'undertone_window_stories{window="24h"}'
    for hour in range(30, 29 * 24, 17):
        assert history.value(expression, START_MS + hour * HOUR_MS + 7 * MINUTE_MS) > 0


def test_the_alert_fires_in_the_burst_and_not_before(history: History) -> None:
    fired = next(alert for alert in history.alerts)
    assert BURST_MS <= fired.detected_at < BURST_MS + HOUR_MS
    series = history.query("undertone_alert_firing", fired.detected_at + MINUTE_MS)
    assert {entry["metric"]["severity"] for entry in series} >= {str(fired.severity)}
    assert series[0]["metric"]["notified"] == "replay"
    assert history.query("undertone_alert_firing", BURST_MS - MINUTE_MS) == []


def test_counters_add_up_as_they_would_have_live(history: History) -> None:
    end_ms = BURST_MS + 30 * MINUTE_MS
    negative = 'undertone_mentions_total{subject="acme",sentiment="negative"}'
    assert history.value(f"increase({negative}[1h])", end_ms) == pytest.approx(25, rel=0.1)
    assert history.value(negative, end_ms) == 25
    rate = history.value("sum(rate(undertone_mentions_total[1d]))", START_MS + 10 * DAY_MS)
    assert rate * 3_000 == pytest.approx(1, rel=0.1)  # one every 50 minutes


@pytest.mark.parametrize(
    "query",
    [*queries_of("undertone-backtest"), *variables_of("undertone-backtest")],
    ids=lambda query: query.where,
)
def test_each_query_of_the_backtest_dashboard_finds_series(
    history: History, query: PanelQuery
) -> None:
    # As Grafana asks for ten days in a panel of 960 points.
    own = {"__interval": "15m", "__rate_interval": "30m"}
    over = TimeRange(BURST_MS / 1000 - 5 * 86_400, BURST_MS / 1000 + 5 * 86_400, 900, own)
    values = {"subject": ".+", "kind": ".+", "window": "24h"}
    assert answer(history.client, query, values, over), query.text
