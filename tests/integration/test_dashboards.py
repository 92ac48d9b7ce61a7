"""No panel without data: every query of the dashboards on a real Prometheus.

It scrapes a demo while it plays (with the stub as classifier). The backtest's dashboard asks
replayed series: tests/integration/test_openmetrics.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import yaml

from dashboard_queries import PanelQuery, TimeRange, answer, queries_of, variables_of
from servers import DEPLOY, binary, free_port, running
from undertone.demo.session import DemoSession
from undertone.demo.stream import DemoStream, scripted_stream
from undertone.ingest.service import in_recorded_time
from undertone.records import AlertState
from undertone.settings import KafkaSettings, Settings
from undertone.transport.embedded_broker import EmbeddedBroker

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.prometheus,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

MESSAGES = 700
PLAY_SECONDS = 6.0
LIVE = ("undertone-overview", "undertone-subject", "undertone-pipeline")
ASKED = [(uid, query) for uid in LIVE for query in (*queries_of(uid), *variables_of(uid))]
# What Grafana makes of its own variables, for scrapes each second.
OWN = {"__rate_interval": "10s", "__interval": "5s", "__range": "5m"}


@dataclass(frozen=True)
class Scraped:
    """A Prometheus that has scraped a whole demo."""

    client: httpx.Client
    over: TimeRange
    subject: str


@pytest.fixture(scope="module")
def scraped(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    binary("prometheus")
    folder = tmp_path_factory.mktemp("scraped")
    stream = _until_a_crisis(scripted_stream("demo", 3, folder, messages=MESSAGES))
    settings = in_recorded_time(
        Settings(prefix="dashboards", kafka=KafkaSettings(bootstrap=broker.bootstrap))
    )
    with DemoSession(settings, stream, folder, engine="stub") as session:
        session.start()
        targets = {name: _target(session, f"{name}-1") for name in ("score", "watch")}
        start = time.time()
        with _prometheus(folder, targets) as url, httpx.Client(base_url=url) as client:
            session.play(stream.span_ms / 1000 / PLAY_SECONDS)
            result = session.finish(120)
            end = time.time()
            _wait_for_scrape(client, end)
            over = TimeRange(start, end + 1, 1, OWN)
            (open_alert, *_) = [alert for alert in result.alerts if alert.revision == 1]
            assert open_alert.state is AlertState.FIRING
            yield Scraped(client, over, open_alert.subject)


def _until_a_crisis(stream: DemoStream) -> DemoStream:
    """The stream cut off with its first crisis: its alert is open at the end."""
    assert stream.truth is not None
    end_ms = min(event.end for event in stream.truth if event.end and event.polarity == "negative")
    arrivals = [arrival for arrival in stream.arrivals if arrival.at_ms < end_ms]
    return replace(stream, arrivals=arrivals, end_ms=end_ms, truth=None)


def _target(session: DemoSession, name: str) -> str:
    """Where a service serves its metrics, as it says itself."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        session.check()
        said = session.services[name].log.read_text()
        if match := re.search(r"metrics: http://(\S+)/metrics", said):
            return match[1]
        time.sleep(0.05)
    raise AssertionError(f"{name} serves no metrics: {session.services[name].log_end()}")


@contextmanager
def _prometheus(folder: Path, targets: dict[str, str]) -> Iterator[str]:
    """Prometheus with the jobs of the shipped configuration, each second; yields its URL."""
    document = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    for name, target in targets.items():
        jobs[f"undertone-{name}"]["static_configs"] = [{"targets": [target]}]
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [jobs[f"undertone-{name}"] for name in targets],
            }
        )
    )
    address = f"127.0.0.1:{free_port()}"
    command = [
        binary("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with running(command, f"http://{address}/-/ready", folder / "prometheus.log"):
        yield f"http://{address}"


def _wait_for_scrape(client: httpx.Client, after: float) -> None:
    """Wait until every target has been scraped after a moment."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        reply = client.get("/api/v1/query", params={"query": "min(timestamp(up))"})
        result = reply.json()["data"]["result"]
        if result and float(result[0]["value"][1]) > after:
            return
        time.sleep(0.1)
    raise AssertionError("Prometheus has not scraped the services")


@pytest.mark.parametrize(
    ("uid", "query"), ASKED, ids=[f"{uid}: {query.where}" for uid, query in ASKED]
)
def test_it_finds_series(scraped: Scraped, uid: str, query: PanelQuery) -> None:
    values = {
        **dict.fromkeys(("job", "instance", "kind"), ".+"),
        "window": "1h",
        "subject": scraped.subject,
    }
    assert answer(scraped.client, query, values, scraped.over), query.text


def test_the_sources_add_up_to_the_mentions(scraped: Scraped) -> None:
    def total(name: str) -> float:
        reply = scraped.client.get("/api/v1/query", params={"query": f"sum({name})"})
        return float(reply.json()["data"]["result"][0]["value"][1])

    assert total("undertone_source_mentions_total") == total("undertone_mentions_total") > 0
