"""A new subject gets its past from the raw topics, while its scorers go on: counted once each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from integration.test_reload import ACME, ZENITH, Deployment
from integration.test_score import recorded_settings
from undertone.cli import fill_in as fill_in_command
from undertone.errors import StateError, UsageError
from undertone.records import TrendPoint
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.reading import read_to_end

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def deployment(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(recorded_settings(broker, prefix), tmp_path)
    yield made
    made.close()


def fill_in(deployment: Deployment, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(fill_in_command.command)
    folder = deployment.folder
    options = ["--config", str(folder / "undertone.yaml"), "--store", str(folder / "scores.sqlite")]
    return CliRunner().invoke(app, ["zenith", "--json", *options, *arguments])


def zenith_in_an_hour(deployment: Deployment) -> set[int]:
    records = read_to_end(deployment.settings.kafka, deployment.names.trends)
    points = (TrendPoint.from_json(record.value) for record in records)
    return {point.mentions for point in points if (point.subject, point.window) == ("zenith", "1h")}


def test_a_new_subject_is_filled_in_while_the_scorer_goes_on(deployment: Deployment) -> None:
    deployment.send("Zenith", 20)
    deployment.send("Acme", 5)
    deployment.wait(lambda: deployment.most_in_a_window() >= 4, "watching Acme")
    deployment.watch([ACME, ZENITH])
    assert isinstance(fill_in(deployment).exception, StateError), "a worker runs"

    deployment.stop("watch")
    assert deployment.reload().exit_code == 0
    deployment.send("Zenith", 5)  # in the mentions, and in the log that is read
    result = fill_in(deployment)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"subjects": [{"subject": "zenith", "mentions": 25}]}
    assert isinstance(fill_in(deployment).exception, UsageError), "it is known now"
    assert fill_in(deployment, "--replace").exit_code == 0

    deployment.start("watch")
    deployment.send("Zenith", 2)
    deployment.send("Nobody", 12)  # time goes on
    deployment.wait(lambda: 27 in zenith_in_an_hour(deployment), "watching Zenith")
    assert max(zenith_in_an_hour(deployment)) == 27
