"""`undertone fill-in`: give a new subject its past."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.options import (
    BootstrapOption,
    ConfigOption,
    EngineName,
    JsonOption,
    PrefixOption,
    RulesOption,
    WatchlistOption,
)
from undertone.cli.terminal import print_json


def command(
    subjects: Annotated[
        list[str], typer.Argument(metavar="SUBJECT...", help="Ids, as in the watchlist.")
    ],
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    watchlist: WatchlistOption = None,
    rules: RulesOption = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Only arrivals at or after this time.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where the watcher knows the subject already.")
    ] = False,
    engine: Annotated[
        EngineName | None, typer.Option("--engine", help="What runs the model.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Checkpoint [default: the one of the settings].")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="File that keeps scores between runs.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read the raw topics for subjects that are new on the watchlist, and remember their past.

    The watcher then knows what is usual for them, as if they had always been watched. Have the
    scorers take up the watchlist first (`undertone reload`), and stop every watch worker; start
    them again after it. No alert or trend point of the past is written.
    """
    from undertone.alerting.rules import load_rules
    from undertone.cli.model_errors import model_errors
    from undertone.cli.replay_input import Input, models_of, range_of
    from undertone.errors import ConfigurationError
    from undertone.replay.fill_in import OnlySubjects, fill_in
    from undertone.replay.reading import RawSteps, StoredScores
    from undertone.replay.sources import RawTopicSource
    from undertone.replay.store import Store, default_store
    from undertone.scoring.pipeline import Reader
    from undertone.scoring.routing import LanguageRouter, load_detector
    from undertone.settings import load_settings
    from undertone.watch.core import WatchConfig
    from undertone.watchlist.subjects import load_watchlist

    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    watchlist_file = watchlist or settings.watchlist
    if watchlist_file is None:
        raise ConfigurationError(
            "no watchlist is named", hint="Set `watchlist` in undertone.yaml, or give --watchlist."
        )
    everyone = load_watchlist(watchlist_file)
    matcher = OnlySubjects(everyone, subjects)
    watch_config = WatchConfig.of(settings, load_rules(rules or settings.rules), everyone)
    span = range_of(from_, None, 0).span
    topics = settings.effective_raw_topics
    names = [topic.name for topic in topics]
    err = Console(stderr=True)
    with model_errors(), Store(store or default_store()) as opened, err.status("reading") as status:
        models = models_of(Input([], names, 0, False, None, engine, model), settings)
        languages = [route for route in models if route != "default"]
        router = LanguageRouter(languages, load_detector(languages)) if languages else None
        tokens = settings.model.max_tokens
        reader = Reader(matcher, topics, settings.fields, tokens, router)
        reading = RawSteps(reader, StoredScores(models, opened), span)
        source = RawTopicSource(settings.kafka, names, reading, span, reading_identity="")
        mentions = fill_in(
            settings,
            watch_config,
            subjects,
            source,
            replace=replace,
            on_look=lambda at: status.update(f"read {at.done:,} of {at.total:,} records"),
        )
    if as_json:
        print_json({"subjects": [{"subject": k, "mentions": v} for k, v in mentions.items()]})
        return
    for subject, count in mentions.items():
        told = f"{count:,} mentions" if count else "the raw topics hold nothing about it"
        typer.echo(f"{subject}: {told}")
