"""`undertone rules`: what the rules do, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undertone.cli.options import ConfigOption, JsonOption, RulesOption, WatchlistOption
from undertone.errors import UsageError

if TYPE_CHECKING:
    from undertone.alerting.rules import Rule

app = typer.Typer(help="What the rules do, in words.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """What the rules do, in words."""


@app.command()
def explain(
    rule: Annotated[str | None, typer.Argument(help="Its name; without one, all rules.")] = None,
    *,
    config: ConfigOption = None,
    rules: RulesOption = None,
    watchlist: WatchlistOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say in plain words when a rule fires, rises and ends, and which subjects it watches.

    Without a rules file these are the rules that come with undertone. With a watchlist the
    subjects are named one by one.
    """
    from undertone.alerting.rules import load_rules
    from undertone.settings import load_settings
    from undertone.watchlist.subjects import load_watchlist

    settings = load_settings(config)
    rule_set = load_rules(rules or settings.rules)
    watchlist_file = watchlist or settings.watchlist
    subjects = list(load_watchlist(watchlist_file).by_id) if watchlist_file else None
    chosen = [_named(rule, rule_set.rules)] if rule is not None else list(rule_set.rules)
    documents = [_document(each, subjects) for each in chosen]
    if as_json:
        told = {"rules_version": rule_set.version, "rules": documents}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    typer.echo("\n\n".join(map(_text, documents)))


def _named(name: str, rules: tuple[Rule, ...]) -> Rule:
    from difflib import get_close_matches

    known = {each.name: each for each in rules}
    if name not in known:
        near = get_close_matches(name.lower(), list(known), n=1, cutoff=0.3)
        advice = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"there is no rule {name!r}", hint=f"{advice}The rules are {', '.join(known)}."
        )
    return known[name]


def _document(rule: Rule, subjects: list[str] | None) -> dict[str, Any]:
    """What is printed: the words, and, where the watchlist is known, the subjects watched."""
    from undertone.alerting.explanation import explain_rule

    document: dict[str, Any] = {"name": rule.name, "says": list(explain_rule(rule))}
    if subjects is not None:
        watched = [subject for subject in subjects if rule.for_subject(subject) is not None]
        document |= {"subjects": watched, "subjects_on_watchlist": len(subjects)}
    return document


def _text(document: dict[str, Any]) -> str:
    from textwrap import wrap

    lines = [document["name"]]
    says = list(document["says"])
    if "subjects" in document:
        watched, total = document["subjects"], document["subjects_on_watchlist"]
        listed = f": {', '.join(watched)}" if watched else ""
        says.insert(1, f"On the watchlist that is {len(watched)} of {total}{listed}.")
    for sentence in says:
        lines += wrap(sentence, width=96, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)
