"""Bring a Grafana to the state of the shipped files: folder, data source, dashboards.

What is there already is read first, and only what differs is written, so that a second push writes
nothing. A push writes over what people changed in these dashboards, but never over a change that
it has not read: Grafana refuses a version that is no longer the newest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from undertone import __version__
from undertone.dashboards.client import GrafanaClient
from undertone.dashboards.shipped import (
    DATA_SOURCE_UID,
    FOLDER_UID,
    TAG,
    Document,
    data_source,
)
from undertone.errors import GrafanaError

Action = Literal["created", "updated", "unchanged"]

# Grafana gives its own of these, and raises the schema's when it migrates a dashboard.
_GRAFANAS_OWN = frozenset({"id", "version", "schemaVersion"})
_VALUE_LIMIT = 80


@dataclass(frozen=True)
class Change:
    """What was, or with a dry run would be, done to one thing."""

    kind: Literal["folder", "data source", "dashboard"]
    uid: str
    action: Action
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class PushResult:
    """Every change in order, and the dashboards tagged as ours that are none of the shipped."""

    changes: list[Change] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def push(
    client: GrafanaClient,
    dashboards: Sequence[Document],
    *,
    folder: str,
    prometheus_url: str | None = None,
    dry_run: bool = False,
) -> PushResult:
    """Bring folder, data source (where a URL is given) and dashboards to the shipped state.

    Raises GrafanaError; what was written before it stays, and a second push goes on from there.
    """
    changes = [_push_folder(client, folder, dry_run)]
    if prometheus_url is not None:
        changes.append(_push_data_source(client, data_source(prometheus_url), dry_run))
    changes += [_push_dashboard(client, dashboard, dry_run) for dashboard in dashboards]
    shipped = {dashboard["uid"] for dashboard in dashboards}
    tagged = client.find_dashboards(TAG)
    others = sorted(str(hit["uid"]) for hit in tagged if hit.get("uid") not in shipped)
    return PushResult(changes, others)


def _push_folder(client: GrafanaClient, title: str, dry_run: bool) -> Change:
    found = client.folder(FOLDER_UID)
    if found is None:
        if not dry_run:
            client.create_folder(FOLDER_UID, title)
        return Change("folder", FOLDER_UID, "created")
    lines = tuple(differences({"title": title}, found))
    if lines and not dry_run:
        client.rename_folder(FOLDER_UID, title, int(found.get("version") or 0))
    return Change("folder", FOLDER_UID, "updated" if lines else "unchanged", lines)


def _push_data_source(client: GrafanaClient, wanted: Document, dry_run: bool) -> Change:
    found = client.data_source(DATA_SOURCE_UID)
    if found is None:
        if not dry_run:
            client.create_data_source(wanted)
        return Change("data source", DATA_SOURCE_UID, "created")
    lines = tuple(differences(wanted, found))
    if lines and found.get("readOnly"):
        raise _provisioned("data source", DATA_SOURCE_UID)
    if lines and not dry_run:
        options = {**(found.get("jsonData") or {}), **wanted["jsonData"]}
        merged = {**found, **wanted, "jsonData": options}
        client.update_data_source(DATA_SOURCE_UID, merged)
    return Change("data source", DATA_SOURCE_UID, "updated" if lines else "unchanged", lines)


def _push_dashboard(client: GrafanaClient, wanted: Document, dry_run: bool) -> Change:
    uid = str(wanted["uid"])
    message = f"undertone {__version__}"
    found = client.dashboard(uid)
    if found is None:
        if not dry_run:
            client.save_dashboard(wanted, FOLDER_UID, message)
        return Change("dashboard", uid, "created")
    there, meta = found.get("dashboard") or {}, found.get("meta") or {}
    lines = (
        *differences({"folder": FOLDER_UID}, {"folder": meta.get("folderUid") or ""}),
        *differences(wanted, there),
    )
    if lines and meta.get("provisioned"):
        raise _provisioned("dashboard", uid)
    if lines and not dry_run:
        newer = {**wanted, "id": there.get("id"), "version": there.get("version")}
        client.save_dashboard(newer, FOLDER_UID, message)
    return Change("dashboard", uid, "updated" if lines else "unchanged", lines)


def _provisioned(kind: str, uid: str) -> GrafanaError:
    return GrafanaError(
        f"the {kind} {uid} is provisioned from files: Grafana lets nobody else change it",
        hint="Replace the files that it is provisioned from, or remove the provisioning.",
    )


def differences(wanted: object, there: object, place: str = "") -> Iterator[str]:
    """Where `there` is not as wanted, a line each: `panels[2].title: "Old" → "New"`.

    What `there` has beyond that is Grafana's to add, and no difference; lists differ in length.
    """
    if isinstance(wanted, dict) and isinstance(there, dict):
        for name, value in wanted.items():
            where = f"{place}.{name}" if place else name
            if not place and name in _GRAFANAS_OWN:
                continue
            if name in there:
                yield from differences(value, there[name], where)
            elif value is not None:  # Grafana leaves out what is null
                yield f"{where}: nothing → {_shown(value)}"
    elif isinstance(wanted, list) and isinstance(there, list):
        if len(wanted) != len(there):
            yield f"{place}: {len(there)} items → {len(wanted)} items"
        for number, (value, old) in enumerate(zip(wanted, there, strict=False)):
            yield from differences(value, old, f"{place}[{number}]")
    elif wanted != there:
        yield f"{place}: {_shown(there)} → {_shown(wanted)}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _VALUE_LIMIT else text[: _VALUE_LIMIT - 1] + "…"
