"""What is pushed and what is provisioned are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from undertone.dashboards import shipped
from undertone.settings import GrafanaSettings

DEPLOY = Path(__file__).parents[3] / "deploy"
PROVISIONING = DEPLOY / "grafana" / "provisioning"


def provisioned(kind: str) -> Any:
    return yaml.safe_load((PROVISIONING / kind / "undertone.yaml").read_text())


def test_the_dashboards_are_found_from_a_checkout() -> None:
    assert [each["uid"] for each in shipped.shipped_dashboards()] == [
        "undertone-backtest",
        "undertone-overview",
        "undertone-pipeline",
        "undertone-subject",
    ]


def test_the_provisioned_data_source_is_the_pushed_one() -> None:
    (source,) = provisioned("datasources")["datasources"]
    pushed = shipped.data_source(source["url"])
    assert {name: source[name] for name in pushed} == pushed
    for dashboard in shipped.shipped_dashboards():
        variable = dashboard["templating"]["list"][0]
        assert variable["current"] == {
            "selected": False,
            "text": shipped.DATA_SOURCE_NAME,
            "value": shipped.DATA_SOURCE_UID,
        }


def test_the_interval_of_the_data_source_is_that_of_the_scrapes() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert prometheus["global"]["scrape_interval"] == shipped.SCRAPE_INTERVAL


def test_the_provisioned_folder_is_the_pushed_one() -> None:
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["folderUid"] == shipped.FOLDER_UID
    assert provider["folder"] == GrafanaSettings().folder
    assert provider["type"] == "file"
