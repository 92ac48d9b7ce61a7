"""A watchlist is read strictly: each mistake names file, field, subject and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertone.errors import ConfigurationError
from undertone.watchlist.subjects import Prior, Term, Watchlist, load_watchlist

LEHMAN = """
prior: {stories_per_day: 5}
subjects:
  - id: lehman
    name: Lehman Brothers
    type: company
    terms: [Lehman, {text: LEH, case_sensitive: true}, $LEH]
    labels: {desk: banks}
    prior: {negative_share: 0.4}
  - {id: tagged, name: Tagged}
"""


def read(tmp_path: Path, text: str) -> Watchlist:
    path = tmp_path / "watchlist.yaml"
    path.write_text(text)
    return load_watchlist(path)


def test_a_watchlist_is_read(tmp_path: Path) -> None:
    watchlist = read(tmp_path, LEHMAN)
    lehman = watchlist.by_id["lehman"]
    assert lehman.terms == (
        Term(text="Lehman"),
        Term(text="LEH", case_sensitive=True),
        Term(text="$LEH"),
    )
    assert (lehman.name, lehman.type, lehman.labels) == (
        "Lehman Brothers",
        "company",
        {"desk": "banks"},
    )


def test_a_subject_has_its_own_prior_or_that_of_the_watchlist(tmp_path: Path) -> None:
    watchlist = read(tmp_path, LEHMAN)
    assert watchlist.prior_of("lehman") == Prior(stories_per_day=2.0, negative_share=0.4)
    assert watchlist.prior_of(watchlist.by_id["tagged"]) == Prior(stories_per_day=5)
    assert Watchlist.model_validate({"subjects": [{"id": "a", "name": "A"}]}).prior == Prior(
        stories_per_day=2.0, negative_share=0.25, mean_score=0.0
    )


def test_a_subject_without_terms_is_found_by_tags_only(tmp_path: Path) -> None:
    watchlist = read(tmp_path, LEHMAN)
    assert [subject.id for subject in watchlist.subjects if subject.by_tags_only] == ["tagged"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{id: Lehman, name: L}", "subjects.0.id (Lehman): String should match pattern"),
        ("{id: no, name: L}", "subjects.0.id (L): expected text; put quotes"),
        ("{name: L}", "subjects.0.id (L): is missing"),
        ("{id: a}", "subjects.0.name (a): is missing"),
        ("{id: a, name: ' '}", "subjects.0.name (a): expected some text, not only spaces"),
        ("{id: a, name: A, term: [x]}", "subjects.0 (a): unknown field `term`; did you mean"),
        ("{id: a, name: A, terms: x}", "subjects.0.terms (a): expected a list"),
        ("{id: a, name: A, terms: [3]}", "subjects.0.terms.0 (a): expected text or {text, case_"),
        ("{id: a, name: A, terms: ['']}", "subjects.0.terms.0.text (a): expected some text"),
        ("{id: a, name: A, terms: [{txt: x}]}", "subjects.0.terms.0 (a): unknown field `txt`; did"),
        ("{id: a, name: A, type: Big Bank}", "subjects.0.type (a): String should match"),
        ("{id: a, name: A, labels: {rule: x}}", "subjects.0.labels (a): `rule` is reserved"),
        ("{id: a, name: A, labels: {a-b: x}}", "subjects.0.labels.a-b.[key] (a): String should"),
        ("{id: a, name: A, labels: {a: 3}}", "subjects.0.labels.a (a): expected text"),
        ("{id: a, name: A, prior: {negative_share: 1}}", "subjects.0.prior.negative_share (a): "),
        ("{id: a, name: A, match_all: [1]}", "subjects.0.match_all (a): Input should be a valid"),
        ("just text", "subjects.0: expected a mapping of fields"),
    ],
)
def test_a_mistake_names_its_place(tmp_path: Path, entry: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, f"subjects:\n  - {entry}\n")
    assert str(caught.value).startswith(f"{tmp_path / 'watchlist.yaml'}: ")
    assert expected in str(caught.value)


def test_an_id_stands_once(tmp_path: Path) -> None:
    twice = "subjects: [{id: a, name: A}, {id: a, name: B}]"
    with pytest.raises(ConfigurationError, match="each id may stand once; used again: a"):
        read(tmp_path, twice)


@pytest.mark.parametrize("text", ["", "subjects: []", "- id: a", "subjects: {a: b}"])
def test_a_watchlist_has_subjects(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"watchlist\.yaml: .*subject"):
        read(tmp_path, text)
