"""The queries of the shipped dashboards, as Grafana would send them to Prometheus."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from undertone.dashboards.shipped import shipped_dashboards


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel, annotation or variable, with its variables still in it."""

    where: str
    text: str
    instant: bool = False


@dataclass(frozen=True)
class TimeRange:
    """What is asked for, in seconds since 1970, and what stands for Grafana's own variables."""

    start: float
    end: float
    step: float
    own: Mapping[str, str]


def queries_of(uid: str) -> list[PanelQuery]:
    """Every query of a dashboard: its panels', and those of its annotations."""
    dashboard = _dashboard(uid)
    queries = [
        PanelQuery(f"{panel['title']} {target['refId']}", target["expr"], "instant" in target)
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    marks = [mark for mark in dashboard["annotations"]["list"] if "expr" in mark]
    return queries + [PanelQuery(f"annotation {mark['name']}", mark["expr"]) for mark in marks]


def variables_of(uid: str) -> list[PanelQuery]:
    """The selector of each variable that asks Prometheus for the values of a label."""
    found = []
    for variable in _dashboard(uid)["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), ([a-z]+)\)", variable["query"])
            assert match is not None, variable["query"]
            query = f"count by ({match[2]}) ({match[1]})"
            found.append(PanelQuery(f"variable {variable['name']}", query))
    return found


def substituted(text: str, values: Mapping[str, str]) -> str:
    """The query with its variables replaced; fails where one is left."""
    names = sorted(values, key=len, reverse=True)
    for name in names:
        text = text.replace(f"${name}", values[name])
    assert "$" not in text, text
    return text


def answer(
    client: httpx.Client, query: PanelQuery, values: Mapping[str, str], over: TimeRange
) -> list[dict[str, Any]]:
    """The series of an answer that hold a number."""
    expression = substituted(query.text, {**over.own, **values})
    if query.instant:
        asked = {"query": expression, "time": str(over.end)}
        reply = client.get("/api/v1/query", params=asked)
    else:
        asked = {"query": expression, "start": str(over.start), "end": str(over.end)}
        reply = client.get("/api/v1/query_range", params={**asked, "step": str(over.step)})
    assert reply.is_success, f"{reply.text}: {expression}"
    series: list[dict[str, Any]] = reply.json()["data"]["result"]
    return [each for each in series if any(math.isfinite(float(v)) for _, v in _points(each))]


def _points(series: dict[str, Any]) -> list[tuple[float, str]]:
    points: list[tuple[float, str]] = series.get("values") or [series["value"]]
    return points


def _dashboard(uid: str) -> dict[str, Any]:
    return next(each for each in shipped_dashboards() if each["uid"] == uid)
