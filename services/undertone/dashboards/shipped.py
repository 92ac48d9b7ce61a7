"""The dashboards that are shipped: the JSON files of `dashboards/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from undertone.errors import UndertoneError

Document = dict[str, Any]

TAG = "undertone"
FOLDER_UID = "undertone"
DATA_SOURCE_UID = "undertone-prometheus"
DATA_SOURCE_NAME = "undertone"
# As the shipped scrape configuration has it; $__rate_interval is at least four of them.
SCRAPE_INTERVAL = "5s"

_HERE = Path(__file__).parent
# In a wheel beside this file; in a checkout at its root.
_FOLDERS = (_HERE / "definitions", _HERE.parents[2] / "dashboards")


def shipped_dashboards() -> list[Document]:
    """Every dashboard, by uid. Raises UndertoneError where the installation lacks them."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    documents = (
        [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")] if folder else []
    )
    if not documents:
        raise UndertoneError(
            "this installation holds no dashboards", hint="Install undertone again."
        )
    return sorted(documents, key=lambda document: str(document["uid"]))


def data_source(prometheus_url: str) -> Document:
    """The data source that the dashboards choose where it is there."""
    return {
        "uid": DATA_SOURCE_UID,
        "name": DATA_SOURCE_NAME,
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus_url,
        "jsonData": {"httpMethod": "POST", "timeInterval": SCRAPE_INTERVAL},
    }
