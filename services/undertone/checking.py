"""What `undertone check` looks at: settings, environment, watchlist, rules, broker and topics.

Each check returns findings and raises nothing for a person's mistake, so that one run shows all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undertone.alerting.rules import RuleSet, load_rules
from undertone.errors import BrokerError, ConfigurationError
from undertone.settings import (
    DEFAULT_FILE,
    DEFAULT_MODEL,
    ENV_PREFIX,
    KafkaSettings,
    Settings,
    load_settings,
)
from undertone.watchlist.subjects import Subject, Watchlist, load_watchlist

if TYPE_CHECKING:
    from undertone.transport.topics import TopicSpec

BOOTSTRAP_TIMEOUT_MS = 5_000
# Variables that are no settings: the broker's cache folder (transport/broker_jars.py).
OTHER_VARIABLES = frozenset({"UNDERTONE_CACHE"})


class Status(StrEnum):
    """How a check went. `wrong` is for a person to correct, `down` for a broker to start."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"
    DOWN = "down"


@dataclass(frozen=True)
class Finding:
    """One result: what was looked at, how it stands, and what to do."""

    part: str
    where: str
    status: Status
    message: str


def exit_status(findings: Iterable[Finding]) -> int:
    """2 where something is configured wrongly, else 1 where no broker answers, else 0."""
    statuses = {finding.status for finding in findings}
    if Status.WRONG in statuses:
        return ConfigurationError.exit_status
    return BrokerError.exit_status if Status.DOWN in statuses else 0


def check_settings(
    path: Path | None, *, prefix: str | None, bootstrap: str | None
) -> tuple[list[Finding], Settings | None]:
    """Read the settings; None where they are wrong."""
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    where = str(path) if path is not None else "defaults"
    try:
        settings = load_settings(path, prefix=prefix, bootstrap=bootstrap)
    except ConfigurationError as error:
        return [_wrong("settings", where, error)], None
    topics = ", ".join(topic.name for topic in settings.effective_raw_topics)
    message = f"prefix {settings.prefix}, brokers {settings.kafka.bootstrap}, reads {topics}"
    findings = [Finding("settings", where, Status.OK, message)]
    for name, file in _named_files(settings):
        if not file.exists():
            message = f"{name}: there is no such file: {file}"
            findings.append(Finding("settings", where, Status.WRONG, message))
    return findings, settings


def check_environment(variables: Iterable[str]) -> list[Finding]:
    """Notes on UNDERTONE_* variables that name no setting, and so do nothing."""
    known = [f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields]
    findings = []
    for name in sorted(variables):
        setting = name.upper().partition("__")[0]
        if not setting.startswith(ENV_PREFIX) or setting in known or setting in OTHER_VARIABLES:
            continue
        near = get_close_matches(setting, known, n=1, cutoff=0.8)
        advice = f"; did you mean {near[0]}?" if near else ""
        message = f"names no setting, and is ignored{advice}"
        findings.append(Finding("environment", name, Status.NOTE, message))
    return findings


def check_models(settings: Settings) -> list[Finding]:
    """Read the descriptions of the checkpoints that are named; loads and fetches none."""
    from undertone.scoring.routing import load_detector
    from undertone_models.checkpoint import Checkpoint, CheckpointError, is_hub_name

    findings = []
    for language, path in settings.model_paths.items():
        if path is None or settings.model.engine == "stub":
            continue
        where = f"models.{language}" if language in settings.models else "model.path"
        if is_hub_name(path) and not Path(path).exists():
            message = f"{path} is no folder here; it is fetched when first needed"
            findings.append(Finding("model", where, Status.NOTE, message))
            continue
        try:
            checkpoint = Checkpoint.load(Path(path))
        except CheckpointError as error:
            findings.append(Finding("model", where, Status.WRONG, str(error)))
            continue
        findings.append(Finding("model", where, Status.OK, checkpoint.name))
        if checkpoint.label_note:
            findings.append(Finding("model", where, Status.NOTE, checkpoint.label_note))
    if further := settings.model_paths.keys() - {DEFAULT_MODEL}:
        try:
            load_detector(further)
        except ConfigurationError as error:
            findings.append(_wrong("model", "models", error))
    return findings


def check_watchlist(path: Path | None) -> tuple[list[Finding], Watchlist | None]:
    """Read the watchlist; None where it is wrong or not named."""
    if path is None:
        message = "no watchlist is named: set `watchlist:` in the settings, or give --watchlist"
        return [Finding("watchlist", "none", Status.WRONG, message)], None
    try:
        watchlist = load_watchlist(path)
    except ConfigurationError as error:
        return [_wrong("watchlist", str(path), error)], None
    terms = sum(len(subject.terms) for subject in watchlist.subjects)
    message = f"{len(watchlist.subjects)} subjects, {terms} terms"
    notes = [Finding("watchlist", str(path), Status.NOTE, note) for note in _notes(watchlist)]
    return [Finding("watchlist", str(path), Status.OK, message), *notes], watchlist


def check_rules(path: Path | None, watchlist: Watchlist | None) -> list[Finding]:
    """Read the rules, or those that come with undertone, and look up their subjects."""
    where = str(path) if path is not None else "default rules"
    try:
        rules = load_rules(path)
    except ConfigurationError as error:
        return [_wrong("rules", where, error)]
    message = f"{len(rules.rules)} rules, version {rules.version}"
    unknown = list(_unknown_subjects(rules, watchlist)) if watchlist is not None else []
    return [
        Finding("rules", where, Status.OK, message),
        *(Finding("rules", where, Status.NOTE, note) for note in unknown),
    ]


def check_broker(settings: Settings) -> list[Finding]:
    """Ask the broker for the topics of these settings. Changes nothing there."""
    from undertone.transport.clients import admin_client
    from undertone.transport.topics import topic_specs

    kafka = settings.kafka
    wanted = {spec.name: spec for spec in topic_specs(settings)}
    try:
        with admin_client(kafka, bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS) as admin:
            there = sorted(wanted.keys() & set(admin.list_topics()))
            described = admin.describe_topics(there) if there else []
            configs = _topic_configs(admin, there) if there else {}
    except BrokerError as error:
        return [Finding("broker", kafka.bootstrap, Status.DOWN, str(error))]
    findings = [Finding("broker", kafka.bootstrap, Status.OK, "answers")]
    partitions = {topic["name"]: len(topic["partitions"]) for topic in described}
    raw = {topic.name for topic in settings.effective_raw_topics}
    for name, spec in wanted.items():
        if name in partitions:
            findings += check_topic(spec, partitions[name], configs[name], is_raw=name in raw)
        else:
            message = "is not there yet; it is created when first needed"
            findings.append(Finding("topic", name, Status.NOTE, message))
    return findings


def check_topic(
    spec: TopicSpec, partitions: int, configs: Mapping[str, str], *, is_raw: bool
) -> list[Finding]:
    """Compare a topic with what the settings want of it.

    Of a raw topic all of its configuration matters: stamps on append when it is live, no deletion
    when its time is recorded. How long the others are kept is the user's choice.
    """
    findings = []
    if partitions != spec.partitions:
        message = (
            f"has {partitions} partitions, the settings say {spec.partitions}; correct the "
            "settings, as a topic that must grow is a new topic and a rebuild"
        )
        findings.append(Finding("topic", spec.name, Status.WRONG, message))
    for name, wanted in spec.configs.items():
        if configs.get(name) != wanted:
            status = Status.WRONG if is_raw else Status.NOTE
            message = f"has {name}={configs.get(name)}, expected {wanted}"
            findings.append(Finding("topic", spec.name, status, message))
    fine = Finding("topic", spec.name, Status.OK, f"{partitions} partitions")
    return findings or [fine]


def _topic_configs(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    from kafka.admin import ConfigResource, ConfigResourceType

    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    described = admin.describe_configs(resources, config_filter="all")
    return {
        name: {key: entry["value"] for key, entry in configs.items()}
        for name, configs in described["topic"].items()
    }


def _wrong(part: str, where: str, error: ConfigurationError) -> Finding:
    return Finding(part, where, Status.WRONG, str(error).removeprefix(f"{where}: "))


def _named_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The files that the settings name, but those that have a check of their own."""
    kafka: KafkaSettings = settings.kafka
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        if (file := getattr(kafka, name)) is not None:
            yield f"kafka.{name}", file


def _notes(watchlist: Watchlist) -> Iterator[str]:
    """What is allowed in a watchlist, but may surprise."""
    by_term: dict[str, list[str]] = defaultdict(list)
    for subject in watchlist.subjects:
        if subject.by_tags_only:
            yield f"{subject.id} has no terms: it is found only where a message tags it"
        yield from _short_terms(subject)
        for term in {term.text.casefold() for term in subject.terms}:
            by_term[term].append(subject.id)
    for term, ids in by_term.items():
        if len(ids) > 1:
            yield f"the term {term!r} names several subjects: {', '.join(ids)}"


def _short_terms(subject: Subject) -> Iterator[str]:
    for term in subject.terms:
        is_short = len(term.text) <= 2 and term.text.isascii() and term.text.isalnum()
        if is_short and not term.case_sensitive:
            yield f"{subject.id}: the term {term.text!r} is short; case_sensitive: true?"


def _unknown_subjects(rules: RuleSet, watchlist: Watchlist) -> Iterator[str]:
    for rule in rules.rules:
        places = [("subjects", rule.subjects or ())]
        places += [
            (f"overrides.{number}.subjects", override.subjects)
            for number, override in enumerate(rule.overrides)
            if rule.subjects is None  # else they are among those
        ]
        for place, names in places:
            for name in names:
                if name not in watchlist.by_id:
                    near = get_close_matches(name, list(watchlist.by_id), n=1)
                    advice = f"; did you mean {near[0]}?" if near else ""
                    yield f"{rule.name}: {place}: {name} is not on the watchlist{advice}"
