"""`undertone simulate`: a scripted stream with known truth."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from undertone.errors import InputFileError, UsageError

if TYPE_CHECKING:
    from undertone.simulate.script import Scenario


def command(
    *,
    scenario: Annotated[str | None, typer.Option(help="Which one; --list shows them all.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same stream.")] = 1,
    messages: Annotated[int | None, typer.Option(help="How many, instead of its usual.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON lines, gzipped for .gz (default: standard output).")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="What truly happens: TSV, or JSON lines for .jsonl.")
    ] = None,
    watchlist_out: Annotated[
        Path | None, typer.Option("--watchlist-out", help="The watchlist that fits, as YAML.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Name the scenarios.")] = False,
) -> None:
    """Write a simulated stream, its truth and its watchlist."""
    import yaml

    from undertone.simulate.scenarios import SCENARIOS, build_scenario
    from undertone.truth import write_truth

    if list_all:
        for name, outline in SCENARIOS.items():
            print(f"{name:14} {outline.messages:6,} messages  {outline.description}")
        return
    if scenario is None:
        raise UsageError("name a scenario with --scenario", hint="--list shows them all.")
    built = build_scenario(scenario, seed=seed, messages=messages)
    _write_stream(built, out)
    if truth is not None:
        write_truth(truth, built.truth)
    if watchlist_out is not None:
        text = yaml.safe_dump(built.watchlist, sort_keys=False, allow_unicode=True)
        try:
            watchlist_out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise _cannot_write(watchlist_out, error) from None
    console = Console(stderr=True)
    console.print(
        f"{len(built.entries):,} records, {len(built.truth)} true events", highlight=False
    )


def _write_stream(built: Scenario, out: Path | None) -> None:
    import gzip

    try:
        if out is None:
            stream: AbstractContextManager[Any] = nullcontext(sys.stdout.buffer)
        elif out.suffix == ".gz":
            # No time stamp, no name: the same scenario gives the same bytes.
            stream = gzip.GzipFile("", "wb", fileobj=out.open("wb"), mtime=0)
        else:
            stream = out.open("wb")
        with stream as file:
            for entry in built.entries:
                file.write(entry.line() + b"\n")
    except BrokenPipeError:
        sys.stderr.close()  # the reader has enough
    except OSError as error:
        raise _cannot_write(out or Path("standard output"), error) from None


def _cannot_write(path: Path, error: OSError) -> InputFileError:
    return InputFileError(
        f"{path}: cannot be written: {error.strerror}", hint="Name a file in a folder that exists."
    )
