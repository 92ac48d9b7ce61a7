"""`undertone dead-letters`: records that could not be read, and how they are sent again."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undertone.cli.alerts import SinceOption, since_instant
from undertone.cli.options import BootstrapOption, ConfigOption, JsonOption, PrefixOption
from undertone.cli.terminal import print_json
from undertone.records import format_instant

if TYPE_CHECKING:
    from undertone.settings import Settings
    from undertone.transport.letter_box import KeptLetter, LetterFilter, Place, RetryPlan

SHOWN_CHARACTERS = 4_000

app = typer.Typer(
    help="Records that could not be read: list, show, send again.", no_args_is_help=True
)


class Stage(StrEnum):
    """Where a record failed."""

    DECODE = "decode"
    MATCH = "match"
    SCORE = "score"
    WATCH = "watch"


StageOption = Annotated[Stage | None, typer.Option("--stage", help="Only what failed here.")]
TopicOption = Annotated[str | None, typer.Option("--topic", help="Only records of this topic.")]
PLACE_HELP = "TOPIC/PARTITION/OFFSET, as `list` shows it."


@app.command("list")
def list_letters(
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    stage: StageOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, each once, in the order in which they were written."""
    settings = _settings(config, prefix, bootstrap)
    letters = _chosen(settings, _filter(stage, topic, since))
    if as_json:
        print_json({"dead_letters": [_document(kept) for kept in letters]})
        return
    _print_list(letters)


@app.command()
def show(
    place: Annotated[str, typer.Argument(help=PLACE_HELP)],
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write the record's bytes alone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter: the error, and the record as far as it can be shown."""
    from undertone.errors import UsageError
    from undertone.transport.letter_box import LetterFilter, Place

    settings = _settings(config, prefix, bootstrap)
    wanted = Place.parse(place)
    letters = _chosen(settings, LetterFilter(places=frozenset({wanted})))
    if not letters:
        raise UsageError(
            f"there is no dead letter of {wanted}",
            hint="`undertone dead-letters list` shows those that are kept.",
        )
    if as_json:
        print_json({"dead_letters": [_document(kept) for kept in letters]})
    elif raw:
        typer.get_binary_stream("stdout").write(letters[0].value)
    else:
        for kept in letters:
            _print_letter(kept)


@app.command()
def retry(
    places: Annotated[list[str] | None, typer.Argument(help=PLACE_HELP)] = None,
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    stage: StageOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    every: Annotated[bool, typer.Option("--all", help="All that are kept.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was retried before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the raw bytes of dead letters to their raw topic once more, as new messages.

    Each takes a new offset and is counted as a message of its own; the first stays counted as a
    dead letter. What fails again becomes another dead letter. In a live topic a message arrives
    now: one published longer ago than the allowed lateness is counted as late and moves no window.
    """
    from undertone.errors import UsageError
    from undertone.ingest.retry import send_again
    from undertone.transport.letter_box import plan_retry

    if bool(places) + (stage is not None or topic is not None or since is not None) + every != 1:
        raise UsageError(
            "expected places, or --stage, --topic or --since, or --all",
            hint="`undertone dead-letters list` shows what there is.",
        )
    settings = _settings(config, prefix, bootstrap)
    wanted = _filter(stage, topic, since, places or ())
    letters = _chosen(settings, wanted)
    if missing := sorted(wanted.places - {kept.place for kept in letters}):
        raise UsageError(f"there is no dead letter of {', '.join(map(str, missing))}")
    plan = plan_retry(letters, settings.effective_raw_topics, again=again)
    if plan.send and not (yes or dry_run or places):
        if as_json:
            raise UsageError("--json asks nothing: give --yes, or --dry-run")
        typer.confirm(f"Send {len(plan.send)} records again?", abort=True, err=True)
    sent: list[tuple[KeptLetter, Place | None]] = [(kept, None) for kept in plan.send]
    if not dry_run:
        sent = list(send_again(settings.kafka, settings.prefix, plan.send))
    _print_retry(sent, plan, as_json=as_json, dry_run=dry_run)


def _settings(config: Any, prefix: str | None, bootstrap: str | None) -> Settings:
    from undertone.settings import load_settings

    return load_settings(config, prefix=prefix, bootstrap=bootstrap)


def _filter(
    stage: Stage | None, topic: str | None, since: str | None, places: Any = ()
) -> LetterFilter:
    from undertone.transport.letter_box import LetterFilter, Place

    return LetterFilter(
        stage=stage.value if stage else None,
        topic=topic,
        since_ms=since_instant(since),
        places=frozenset(map(Place.parse, places)),
    )


def _chosen(settings: Settings, wanted: LetterFilter) -> list[KeptLetter]:
    from undertone.ingest.retry import read_letters

    return [kept for kept in read_letters(settings) if wanted.wants(kept)]


def _document(kept: KeptLetter) -> dict[str, Any]:
    document = kept.letter.model_dump(mode="json")
    return {**document, "retried_as": [place._asdict() for place in kept.retried_as]}


def _print_list(letters: list[KeptLetter]) -> None:
    from rich.table import Table

    from undertone.cli.terminal import console, shown

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("place", "stage", "at", "error", "retried as"):
        table.add_column(column, overflow="fold")
    for kept in letters:
        letter = kept.letter
        table.add_row(
            shown(str(kept.place)),
            letter.stage,
            format_instant(letter.at),
            shown(letter.error),
            shown(", ".join(map(str, kept.retried_as))),
        )
    if letters:
        console().print(table)
    typer.echo(f"{len(letters)} dead letters", err=True)


def _print_letter(kept: KeptLetter) -> None:
    from undertone.cli.terminal import console, shown

    letter, out = kept.letter, console()
    out.print(f"[bold]{shown(str(kept.place))}[/]: {letter.stage}, {format_instant(letter.at)}")
    out.print(f"error: {shown(letter.error)}")
    for place in kept.retried_as:
        out.print(f"retried as {shown(str(place))}")
    value = kept.value
    text = value.decode("utf-8", "backslashreplace")
    cut = "" if len(text) <= SHOWN_CHARACTERS else " …"
    out.print(f"{len(value)} bytes: {shown(text[:SHOWN_CHARACTERS])}{cut}")


def _print_retry(
    sent: list[tuple[KeptLetter, Place | None]], plan: RetryPlan, *, as_json: bool, dry_run: bool
) -> None:
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "sent": [
                    {"from": kept.place._asdict(), "as": place and place._asdict()}
                    for kept, place in sent
                ],
                "skipped": [
                    {"from": kept.place._asdict(), "reason": reason} for kept, reason in plan.skip
                ],
            }
        )
        return
    from undertone.cli.terminal import written_out

    for kept, place in sent:
        told = "would be sent again" if place is None else f"sent again as {place}"
        typer.echo(f"{written_out(str(kept.place))}: {told}")
    for kept, reason in plan.skip:
        typer.echo(f"{written_out(str(kept.place))}: left: {written_out(reason)}", err=True)
    verb = "would be sent" if dry_run else "sent"
    typer.echo(f"{len(sent)} {verb}, {len(plan.skip)} left", err=True)
