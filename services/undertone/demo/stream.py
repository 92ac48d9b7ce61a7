"""What the demo plays: a scripted scenario with its truth, or somebody's own recorded stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from undertone.errors import InputFileError, UsageError
from undertone.field_mapping import mapping_for
from undertone.ingest.planning import Arrival, arrivals_of, in_arrival_order
from undertone.ingest.readers import Reject, merge_by_id, read_rows
from undertone.settings import FieldMapping
from undertone.simulate.scenarios import build_scenario
from undertone.truth import TruthEvent


@dataclass(frozen=True)
class DemoStream:
    """Arrivals in order of time, the watchlist that they are read with, and what is true."""

    name: str
    arrivals: list[Arrival]
    end_ms: int
    watchlist: Path
    rejected: int = 0
    truth: list[TruthEvent] | None = None

    @property
    def span_ms(self) -> int:
        """Recorded time from the first arrival to the end."""
        return self.end_ms - self.arrivals[0].at_ms


def scripted_stream(name: str, seed: int, folder: Path, messages: int | None = None) -> DemoStream:
    """A scenario, of its own length or of about `messages`; its watchlist goes into `folder`."""
    scenario = build_scenario(name, seed=seed, messages=messages)
    watchlist = folder / "watchlist.yaml"
    watchlist.write_text(yaml.safe_dump(scenario.watchlist, sort_keys=False, allow_unicode=True))
    return DemoStream(
        f"scenario {name}, seed {seed}",
        scenario.arrivals(),
        scenario.end_ms,
        watchlist,
        truth=scenario.truth,
    )


def recorded_stream(
    path: Path,
    watchlist: Path,
    fields: Mapping[str, Mapping[str, FieldMapping]],
    until_ms: int | None,
) -> DemoStream:
    """A file as `ingest` reads it; rows that are no message are counted.

    Raises InputFileError where the file cannot be read, UsageError where nothing is left to play.
    """
    rejects: list[Reject] = []
    mapping: Any = mapping_for(path.name, fields)
    try:
        with path.open("rb") as file:
            rows = merge_by_id(read_rows(file, path.name, mapping))
            arrivals = list(
                in_arrival_order(arrivals_of(rows, reject=rejects.append, until_ms=until_ms))
            )
    except (OSError, EOFError) as error:
        raise InputFileError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not arrivals:
        first = f"; the first reject, line {rejects[0].line}: {rejects[0].error}" if rejects else ""
        raise UsageError(f"{path}: holds no message to play before --until{first}")
    return DemoStream(
        path.name,
        arrivals,
        until_ms if until_ms is not None else arrivals[-1].at_ms + 1,
        watchlist,
        rejected=len(rejects),
    )
