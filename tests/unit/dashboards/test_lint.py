"""The dashboards hold to the rules that Grafana publishes for its dashboard-linter.

Each test is one of its rules and bears its name; `dashboards/.lint` holds the exceptions, in its
format, with reasons.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
EXCLUSIONS = yaml.safe_load((FOLDER / ".lint").read_text())["exclusions"]
# Those of Grafana's units that are used here.
UNITS = {"none", "short", "percentunit", "cps", "s", "bytes"}
QUERYING = {"stat", "timeseries", "table", "gauge", "bargauge", "state-timeline"}

Document = dict[str, Any]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> Document:
    document: Document = json.loads(request.param.read_text("utf-8"))
    return document


def panels(dashboard: Document) -> list[Document]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables(dashboard: Document) -> dict[str, Document]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def excluded(rule: str, dashboard: Document, panel: Document | None = None) -> bool:
    return any(
        entry["dashboard"] == dashboard["title"]
        and ("panel" not in entry or (panel is not None and entry["panel"] == panel["title"]))
        for entry in EXCLUSIONS.get(rule, {}).get("entries", [])
    )


def queries(dashboard: Document, rule: str) -> Iterator[str]:
    for panel in panels(dashboard):
        if not excluded(rule, dashboard, panel):
            yield from (target["expr"] for target in panel["targets"])


def selectors(query: str) -> Iterator[tuple[str, str]]:
    """(metric, matchers) of every selector of a query; none without braces is overlooked."""
    yield from re.findall(r"([a-z_:]+)\{([^}]*)\}", query)
    rest = re.sub(r"[a-z_:]+\{[^}]*\}", "", query)
    yield from ((metric, "") for metric in re.findall(r"\b(?:undertone|process)_[a-z_]+\b", rest))


def test_uids_are_stable_and_titles_unique() -> None:
    documents = [json.loads(path.read_text("utf-8")) for path in FILES]
    assert {
        path.stem: document["uid"] for path, document in zip(FILES, documents, strict=True)
    } == {
        "backtest": "undertone-backtest",
        "overview": "undertone-overview",
        "pipeline": "undertone-pipeline",
        "subject": "undertone-subject",
    }
    assert len({document["title"] for document in documents}) == len(documents)


def test_every_exclusion_says_why_and_names_what_is_there() -> None:
    titles = {json.loads(path.read_text("utf-8"))["title"] for path in FILES}
    for exclusion in EXCLUSIONS.values():
        assert exclusion["reason"]
        assert {entry["dashboard"] for entry in exclusion["entries"]} <= titles


def test_template_datasource_rule(dashboard: Document) -> None:
    sources = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
    assert [(each["name"], each["label"], each["query"]) for each in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance_rule(dashboard: Document, name: str) -> None:
    if excluded(f"template-{name}-rule", dashboard):
        return
    variable = variables(dashboard)[name]
    assert variable["datasource"]["uid"] == "${datasource}"
    assert (variable["type"], variable["label"]) == ("query", name.capitalize())
    assert variable["multi"] and variable["allValue"] == ".+"


def test_template_label_promql_rule_and_template_on_time_change_reload_rule(
    dashboard: Document,
) -> None:
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            assert re.fullmatch(r"label_values\([a-z_]+(\{.*\})?, [a-z]+\)", variable["query"])
            assert variable["refresh"] == 2


def test_template_uneditable_rule(dashboard: Document) -> None:
    assert dashboard["editable"] is False


def test_panel_datasource_rule(dashboard: Document) -> None:
    for panel in panels(dashboard):
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_panel_title_description_rule(dashboard: Document) -> None:
    assert dashboard["description"]
    for panel in panels(dashboard):
        assert panel["title"] and panel["description"].endswith("."), panel["title"]


def test_panel_units_rule(dashboard: Document) -> None:
    for panel in panels(dashboard):
        config = panel["fieldConfig"]
        units = [config["defaults"]["unit"]] + [
            item["value"]
            for override in config["overrides"]
            for item in override["properties"]
            if item["id"] == "unit"
        ]
        assert set(units) <= UNITS, panel["title"]


def test_panel_no_targets_rule(dashboard: Document) -> None:
    for panel in panels(dashboard):
        assert panel["type"] in QUERYING
        references = [target["refId"] for target in panel["targets"]]
        assert references and len(set(references)) == len(references)


def test_target_rate_interval_rule(dashboard: Document) -> None:
    for query in queries(dashboard, "target-rate-interval-rule"):
        for call in re.findall(r"\b(?:rate|irate|increase|deriv)\([^\[]*\[([^\]]+)\]", query):
            assert call == "$__rate_interval", query


@pytest.mark.parametrize("name", ["job", "instance"])
def test_target_job_and_instance_rule(dashboard: Document, name: str) -> None:
    for query in queries(dashboard, f"target-{name}-rule"):
        for metric, matchers in selectors(query):
            assert f'{name}=~"${name}"' in matchers, metric


def test_target_counter_agg_rule(dashboard: Document) -> None:
    for query in queries(dashboard, "target-counter-agg-rule"):
        counters = re.findall(r"[a-z_]+_total\b", query)
        aggregated = re.findall(r"\b(?:rate|irate|increase)\(([a-z_]+_total)\b", query)
        assert counters == aggregated, query


def test_every_variable_is_used_and_every_name_used_is_a_variable(dashboard: Document) -> None:
    text = json.dumps([dashboard["panels"], dashboard["annotations"], dashboard["templating"]])
    used = {name for name in re.findall(r"\$\{?([a-z]+)\b", text) if not name.startswith("_")}
    assert used - {"value"} == set(variables(dashboard))


def test_panels_do_not_overlap_and_have_their_own_ids(dashboard: Document) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def test_dashboards_are_linked_to_each_other(dashboard: Document) -> None:
    assert "undertone" in dashboard["tags"]
    (link,) = dashboard["links"]
    assert (link["type"], link["tags"]) == ("dashboards", ["undertone"])
    assert link["includeVars"] and link["keepTime"]
    for uid in re.findall(r'"/d/([a-z-]+)', json.dumps(dashboard)):
        assert uid in {json.loads(path.read_text("utf-8"))["uid"] for path in FILES}
