"""The watchlist: which subjects to watch and how a text names them (design §9)."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from undertone.config_files import ConfigSection, Place, describe_findings, dotted, read_yaml
from undertone.errors import ConfigurationError

LABEL_NAME = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
# What an alert's own labels are called, and what scraping adds to every series.
OWN_LABELS = frozenset({"alertname", "subject", "rule", "severity", "name", "notified"})
SCRAPE_LABELS = frozenset(
    {"instance", "job", "namespace", "pod", "container", "endpoint", "service", "node"}
)
RESERVED_LABELS = OWN_LABELS | SCRAPE_LABELS


def _one_line(text: str) -> str:
    """The text with single spaces. Raises ValueError where nothing is left."""
    text = " ".join(text.split())
    if not text:
        raise ValueError("expected some text, not only spaces")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
LabelName = Annotated[str, Field(pattern=LABEL_NAME, max_length=64)]


class Term(ConfigSection):
    """An alias, ticker or phrase. Written as text, or {text, case_sensitive}."""

    text: Line
    """as a whole word, in any case; Chinese, Japanese, Korean and Thai need no word boundaries"""
    case_sensitive: bool = False
    """only as written"""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        if isinstance(value, str):
            return {"text": value}
        if isinstance(value, dict):
            return value
        raise ValueError(
            f"expected text or {{text, case_sensitive}}, not {value!r}; "
            "put quotes around a term that looks like a number, a date, yes or no"
        )


class Prior(ConfigSection):
    """What a subject's baseline starts from, before anything is learnt (design §6)."""

    stories_per_day: float = Field(default=2.0, gt=0, le=1_000_000)
    """how many stories"""
    negative_share: float = Field(default=0.25, gt=0, lt=1)
    """how many of them negative"""
    mean_score: float = Field(default=0.0, ge=-1, le=1)
    """their mean tone"""


class Subject(ConfigSection):
    """A company, person, product or theme to watch.

    Without terms (and without `match_all`) it is found by tags only: the producer names it in
    the message's `subjects`.
    """

    id: str = Field(pattern=r"^[a-z0-9-]+$", max_length=64)
    """`a-z`, `0-9`, hyphens; unique; the Kafka key and a metric label"""
    name: Line
    """shown to people; what the model reads it under where no term stands in the text"""
    type: str = Field(default="other", pattern=r"^[a-z][a-z0-9_-]*$", max_length=32)
    """a short word of yours: `company`, `person`, `product`, `theme` …"""
    terms: tuple[Term, ...] = ()
    """aliases, tickers, phrases that name it: text, or `{text: LEH, case_sensitive: true}`.
    Without terms it is found by tags alone
    """
    require_any: tuple[Term, ...] = ()
    """one of these must also occur, or a tag name it"""
    exclude: tuple[Term, ...] = ()
    """none of these may occur, whoever tagged it"""
    match_all: bool = False
    """`true`: every message is about it, and costs an inference"""
    labels: dict[LabelName, Annotated[str, Field(max_length=200)]] = Field(default_factory=dict)
    """copied to its alerts, for routing; names that alerts or scraping use are refused"""
    prior: Prior | None = None
    """what its baseline starts from; none: the list's own"""

    @property
    def by_tags_only(self) -> bool:
        """Whether no text can name it."""
        return not self.terms and not self.match_all

    @field_validator("labels")
    @classmethod
    def _labels_are_free(cls, labels: dict[str, str]) -> dict[str, str]:
        for name in labels:
            if name in RESERVED_LABELS or name.startswith("__"):
                taken = ", ".join(sorted(RESERVED_LABELS))
                raise ValueError(f"`{name}` is reserved; choose a name other than {taken} or __…")
        return labels


class Watchlist(ConfigSection):
    """All subjects, and what holds for each: the prior of those that have none of their own, the
    terms that rule a message out for all of them (boilerplate, say), and how much a voice counts
    (by pattern of a source, or of source/author; 1 where none fits)."""

    subjects: tuple[Subject, ...]
    """who or what is watched"""
    prior: Prior = Prior()
    """for subjects without one"""
    exclude: tuple[Term, ...] = ()
    """terms that rule a message out for every subject"""
    weights: dict[Line, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """how much a voice counts, 0 … 1: pattern of a source or of `source/author`, with `*` and `?`,
    in any case → weight; the first that fits counts (1 where none does). Of a voice of weight
    0.25 every fourth message about a subject is heard; the rest, and all of weight 0, are
    mentions but no stories, voices or evidence
    """

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        if not self.subjects:
            raise ValueError("subjects: expected at least one subject")
        counts = Counter(subject.id for subject in self.subjects)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"subjects: each id may stand once; used again: {', '.join(twice)}")
        return self

    @cached_property
    def by_id(self) -> dict[str, Subject]:
        """The subjects by id."""
        return {subject.id: subject for subject in self.subjects}

    @cached_property
    def version(self) -> str:
        """Twelve hex digits that change when anything on the watchlist changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def prior_of(self, subject: Subject | str) -> Prior:
        """The prior of a subject (or of its id): its own, else the watchlist's."""
        if isinstance(subject, str):
            subject = self.by_id[subject]
        return subject.prior or self.prior


def load_watchlist(path: Path) -> Watchlist:
    """Read a watchlist. Raises ConfigurationError: `file: field (subject id): what is wrong`."""
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"{path}: expected a mapping with a list of `subjects`",
            hint="examples/watchlist.yaml shows one",
        )
    try:
        return Watchlist.model_validate(document)
    except ValidationError as error:
        where = partial(_where, document.get("subjects"))
        raise ConfigurationError(f"{path}: {describe_findings(error, where)}") from None


def _where(subjects: object, place: Place) -> str:
    """`subjects.3.terms.0 (lehman)`: the place, and the id or name that stands there if any."""
    if len(place) < 2 or place[0] != "subjects" or not isinstance(subjects, list):
        return dotted(place)
    entry = subjects[int(place[1])]
    name = (entry.get("id") or entry.get("name")) if isinstance(entry, dict) else None
    return f"{dotted(place)} ({name})" if name else dotted(place)
