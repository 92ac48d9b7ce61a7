"""Every file in examples/ loads as it is, and the settings' example tells every setting."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from undertone.checking import Status, check_rules, check_settings, check_watchlist
from undertone.field_mapping import apply_mapping, mapping_for, subject_id
from undertone.records import RawMessage
from undertone.settings import RawTopic, Settings, load_settings
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist, load_watchlist

EXAMPLES = Path(__file__).parents[2] / "examples"
WATCHLISTS = sorted(path for path in EXAMPLES.rglob("*.yaml") if "watchlist" in path.stem)
WATCHLISTS.append(EXAMPLES / "banks.yaml")
RULES = sorted(path for path in EXAMPLES.glob("*.yaml") if "rules" in path.stem)
SETTINGS = sorted(set(EXAMPLES.rglob("*.yaml")) - {*WATCHLISTS, *RULES})


def place(path: Path) -> str:
    """The example's name below the folder."""
    return str(path.relative_to(EXAMPLES))


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables of the person who runs the tests."""
    for name in os.environ:
        if name.startswith("UNDERTONE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("path", SETTINGS, ids=place)
def test_settings_load_with_their_watchlist(path: Path) -> None:
    findings, settings = check_settings(path, prefix=None, bootstrap=None)
    assert settings is not None
    assert [finding.status for finding in findings] == [Status.OK]
    assert settings.watchlist is not None
    assert load_watchlist(settings.watchlist).subjects


@pytest.mark.parametrize("path", WATCHLISTS, ids=place)
def test_watchlists_load(path: Path) -> None:
    findings, watchlist = check_watchlist(path)
    assert watchlist is not None
    tags_only = [finding.message for finding in findings if "only where" in finding.message]
    assert len(tags_only) == (
        1 if path == EXAMPLES / "watchlist.yaml" else 0
    )  # it shows what that is


@pytest.mark.parametrize("path", RULES, ids=place)
def test_rules_load(path: Path) -> None:
    assert [finding.status for finding in check_rules(path, None)] == [Status.OK]


def test_the_example_tells_every_setting_and_gives_its_default() -> None:
    path = EXAMPLES / "undertone.yaml"
    text = path.read_text()

    def untold(model: type[BaseModel]) -> list[str]:
        return [
            name
            for name in model.model_fields
            if not re.search(rf"^[ #-]*{name}:", text, flags=re.MULTILINE)
        ]

    shown = load_settings(path)
    sections = [type(value) for _, value in shown if isinstance(value, BaseModel)]
    assert [untold(model) for model in (Settings, RawTopic, *sections)] == [[]] * (
        2 + len(sections)
    )
    same = {"raw_topics": (), "watchlist": None, "fields": {}}
    assert shown.effective_raw_topics == Settings().effective_raw_topics
    assert shown.model_copy(update=same) == Settings()


def test_tagged_rows_find_their_subjects() -> None:
    for name, tag, found in (
        ("reuters", "Societe Generale", "societe-generale"),
        ("reuters", "BlackBerry/RIM", "blackberry-rim"),
        ("stocknet", "BRK-A", "brk-a"),
    ):
        settings = load_settings(EXAMPLES / f"{name}.yaml")
        row = {
            "id": "1",
            "source": "test",
            "published_at": "2010-01-01T00:00:00Z",
            "text": "Nothing is named here",
            "entities": [tag],
        }
        mapping = mapping_for(f"{name}_some_2010.jsonl.gz", settings.fields)
        message = RawMessage.model_validate(apply_mapping(row, mapping))
        assert settings.watchlist is not None
        matcher = Matcher(load_watchlist(settings.watchlist))
        assert matcher.unknown_tags(message.subjects) == 0
        (match,) = matcher.match(message.text, message.title, message.subjects)
        assert (match.subject_id, match.tagged) == (found, True)


def test_the_reuters_watchlist_has_an_id_for_each_of_its_42_names() -> None:
    watchlist = load_watchlist(EXAMPLES / "reuters-watchlist.yaml")
    assert len(watchlist.subjects) == 42
    assert all(subject.id == subject_id(subject.name) for subject in watchlist.subjects)


@pytest.fixture(scope="module")
def banks() -> Watchlist:
    return load_watchlist(EXAMPLES / "banks.yaml")


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("Lehman seeks a buyer as its shares sink", ["lehman"]),
        ("RESEARCH ALERT-Lehman cuts a chip maker to neutral", []),
        ("RESEARCH ALERT-Goldman cuts Lehman to sell", ["lehman"]),
        ("Goldman Sachs downgrades Lehman", ["lehman"]),
        ("A rating agency downgrades Goldman Sachs", ["goldman-sachs"]),
        ("Lehman cuts 1,500 jobs", ["lehman"]),
        ("Acme Corp to Present at the UBS Chemicals Conference", []),
        ("Fannie, Freddie rescued", ["fannie-mae", "freddie-mac"]),
        ("A FREDDIE MERCURY musical opens", []),
        ("An aig of butter, ubs of tea", []),
        ("Citizens protest in ten cities", []),
        ("Mr Lehmann paints", []),
    ],
)
def test_the_banks_are_watched_not_their_analysts(
    banks: Watchlist, title: str, found: list[str]
) -> None:
    assert [match.subject_id for match in Matcher(banks).match(title, None, [])] == found
