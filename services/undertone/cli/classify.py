"""`undertone classify`: the sentiment of one text, or of the rows of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from undertone.cli.model_errors import model_errors
from undertone.cli.options import EngineName, JsonOption
from undertone.errors import UsageError

if TYPE_CHECKING:
    from undertone_models.pairs import FloatArray, Pair


def command(
    *,
    text: Annotated[str | None, typer.Argument(help="The text to read.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="JSON lines or CSV with text and target?.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Whose sentiment: words of the text (default: the whole)."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Checkpoint (default: the bundled one).")
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="What runs the model.")] = EngineName.AUTO,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the model.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a text is negative, neutral or positive about a target."""
    from undertone_models.classifier import Pair, load_classifier
    from undertone_models.labelled import read_pairs

    if (text is None) == (data is None):
        raise UsageError("give either a text or --data FILE")
    if text is not None and not text.strip():
        raise UsageError("the text is empty")
    with model_errors():
        if data is None:
            pairs = [Pair(text or "", target or None)]
        else:
            pairs = [pair._replace(target=pair.target or target) for pair in read_pairs(data)]
        classifier = load_classifier(engine.value, model, threads=threads)
        results = as_results(pairs, classifier.classify(pairs))
    if as_json:
        typer.echo(json.dumps({"results": results}, ensure_ascii=False))
    else:
        print_table(results)


def as_results(pairs: list[Pair], probabilities: FloatArray) -> list[dict[str, Any]]:
    """One object a pair, probabilities to three decimals."""
    from undertone_models.answers import answer_of

    return [
        {"text": pair.text, "target": pair.target, **answer_of(row)}
        for pair, row in zip(pairs, probabilities, strict=True)
    ]


def print_table(results: list[dict[str, Any]]) -> None:
    """The results for a person."""
    table = Table("label", "negative", "neutral", "positive", "target", "text")
    for result in results:
        table.add_row(
            result["label"],
            *(f"{result[name]:.3f}" for name in ("p_negative", "p_neutral", "p_positive")),
            Text(result["target"] or "–"),
            Text(result["text"]),
        )
    Console().print(table)
