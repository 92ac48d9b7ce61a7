"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

# The exit status after Ctrl-C.
INTERRUPTED = 130


class EngineName(StrEnum):
    """What runs the model."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"
    STUB = "stub"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file (default: undertone.yaml here, if any)."),
]
PrefixOption = Annotated[
    str | None, typer.Option("--prefix", help="Prefix of all topics and groups.")
]
BootstrapOption = Annotated[
    str | None, typer.Option("--bootstrap", help="Kafka brokers, HOST:PORT[,HOST:PORT].")
]
WatchlistOption = Annotated[
    Path | None, typer.Option("--watchlist", help="Watchlist file, over that of the settings.")
]
RulesOption = Annotated[
    Path | None, typer.Option("--rules", help="Rules file, over that of the settings.")
]
HostOption = Annotated[
    str | None, typer.Option("--host", help="Address to listen on (default: 127.0.0.1).")
]
PortOption = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
