"""The matcher finds what people mean by a name, and says where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.watchlist.folding import fold
from undertone.watchlist.matcher import Matcher, SubjectMatch, joined_text
from undertone.watchlist.subjects import Watchlist


def matcher(*subjects: dict) -> Matcher:
    return Matcher(
        Watchlist.model_validate(
            {
                "subjects": [
                    {"id": f"s{index}", "name": f"Name {index}", **subject}
                    for index, subject in enumerate(subjects)
                ]
            }
        )
    )


def named(terms: list, text: str, **more: object) -> list[str]:
    """The pieces of the text in which one subject with these terms is named."""
    matches = matcher({"terms": terms, **more}).match(text, None, [])
    return [text[start:end] for match in matches for start, end in match.spans]


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("Lehman", "LEHMAN's shares fall", ["LEHMAN"]),
        ("Lehman", "Lehmann Maupin opens a gallery", []),
        ("Lehman", "ex-Lehman trader, Lehman-led deal", ["Lehman", "Lehman"]),
        ("$LEH", "Short $leh now", ["$leh"]),
        ("$LEH", "Short $LEHX now", []),
        ("AT&T", "AT&T's profit", ["AT&T"]),
        ("AT&T", "FLAT&T", []),
        ("C", "Citi (C) and C-suite; not CC or C3", ["C", "C"]),
        ("Goldman Sachs", "Goldman\nSachs cuts", ["Goldman\nSachs"]),
        ("McDonald's", "McDonald’s sales", ["McDonald’s"]),
        ("索尼", "日本索尼公司", ["索尼"]),
        ("ソニー", "今日ソニーが", ["ソニー"]),
        ("삼성", "오늘삼성전자", ["삼성"]),
        ("Apple", "苹果Apple公司", ["Apple"]),
        ("UBS", "ＵＢＳの損失", ["ＵＢＳ"]),
        ("Strasse", "Die Straße ist lang", ["Straße"]),
        ("İstanbul", "x İstanbul", ["İstanbul"]),
        ("S", "Maß", []),
        ("Société", "La Socie\u0301te\u0301.", ["Socie\u0301te\u0301"]),
        ("Societe", "La Socie\u0301te\u0301.", []),
        ("Chipotle", "Chipotle™ opens", ["Chipotle"]),
    ],
)
def test_a_term_is_found_as_a_whole_word(term: str, text: str, found: list[str]) -> None:
    assert named([term], text) == found


def test_a_case_sensitive_term_must_be_written_as_it_is() -> None:
    assert named([{"text": "LEH", "case_sensitive": True}], "LEH, Leh and leh") == ["LEH"]


def test_the_longest_of_overlapping_terms_counts_once() -> None:
    assert named(["Lehman", "Lehman Brothers", "Brothers Inc"], "Lehman Brothers Inc") == [
        "Lehman Brothers"
    ]


def test_a_required_context_must_also_occur() -> None:
    rule = {"require_any": ["bank", "shares"]}
    assert named(["Target"], "Target of the raid", **rule) == []
    assert named(["Target"], "Target shares fall", **rule) == ["Target"]


def test_an_excluded_context_rules_the_subject_out_even_when_tagged_or_matching_all() -> None:
    found = matcher({"terms": ["Apple"], "exclude": ["apple pie"]}, {"match_all": True})
    assert [match.subject_id for match in found.match("Apple pie", None, ["s0"])] == ["s1"]
    no_pie = matcher({"match_all": True, "exclude": ["pie"]})
    assert no_pie.match("Pie", None, []) == []


def test_a_term_that_the_watchlist_excludes_rules_out_every_subject() -> None:
    subjects = [{"id": "a", "name": "A", "terms": ["Apple"]}, {"id": "b", "name": "B"}]
    found = Matcher(Watchlist.model_validate({"subjects": subjects, "exclude": ["to present at"]}))
    assert found.match("Apple to Present at a conference", None, ["b"]) == []
    assert len(found.match("Apple to present results", None, ["b"])) == 2


def test_a_subject_that_matches_everything_is_read_under_its_name() -> None:
    assert matcher({"match_all": True}).match("anything", None, []) == [
        SubjectMatch("s0", "Name 0", (), 1.0, False)
    ]


def test_a_tag_stands_for_a_subject_that_the_text_does_not_name() -> None:
    found = matcher({"terms": ["Apple"]}, {"terms": ["Samsung"]})
    assert found.match("Phones sell badly", None, ["s1", "other"]) == [
        SubjectMatch("s1", "Name 1", (), 0.5, True)
    ]


def test_a_tag_may_be_a_name_and_stands_for_the_required_context() -> None:
    found = Matcher(
        Watchlist.model_validate(
            {"subjects": [{"id": "at-t", "name": "AT&T", "terms": ["T"], "require_any": ["phone"]}]}
        )
    )
    (match,) = found.match("T falls", None, ["AT&T"])
    assert match == SubjectMatch("at-t", "T", ((0, 1),), 1.0, True)


def test_tags_that_are_not_on_the_watchlist_are_counted() -> None:
    assert matcher({}).unknown_tags(["s0", "s1", "S0", ""]) == 2


def test_matches_come_in_the_order_of_their_ids() -> None:
    found = matcher({"terms": ["b"]}, {"terms": ["a"]}, {"match_all": True})
    assert [match.subject_id for match in found.match("a b", None, [])] == ["s0", "s1", "s2"]


def test_spans_count_in_the_joined_text() -> None:
    (match,) = matcher({"terms": ["Apple"]}).match("Shares of Apple fell.", "Apple sinks", [])
    joined = joined_text("Apple sinks", "Shares of Apple fell.")
    assert [joined[start:end] for start, end in match.spans] == ["Apple", "Apple"]
    assert match.target == "Apple"


def test_a_term_never_runs_from_the_title_into_the_text() -> None:
    found = matcher({"terms": ["Goldman Sachs"]})
    assert found.match("Sachs is a name", "Profile of Goldman", []) == []


@pytest.mark.parametrize(
    ("title", "text", "joined"),
    [
        (None, "text", "text"),
        ("  ", "text", "text"),
        ("title", "", "title"),
        ("title", "title and more", "title and more"),
        ("title", "text", "title\n\ntext"),
    ],
)
def test_title_and_text_are_joined_once(title: str | None, text: str, joined: str) -> None:
    assert joined_text(title, text) == joined


def test_relevance_falls_with_place_frequency_and_company() -> None:
    found = matcher({"terms": ["Apple"]}, {"terms": ["Samsung"]})

    def relevance(text: str) -> float:
        return found.match(text, None, [])[0].relevance

    alone, shared = relevance("Apple sinks"), relevance("Apple sinks, Samsung gains")
    late, long = relevance("word " * 100 + "Apple"), relevance("Apple " + "word " * 600)
    assert alone == 1.0
    assert alone > shared
    assert alone > late
    assert alone > long
    assert late < 0.7


def test_a_watchlist_without_terms_matches_nothing() -> None:
    assert matcher({}).match("anything", "at all", []) == []


TERMS = ["Lehman", "$LEH", "AT&T", "C", "Straße", "İx", "Société", "索尼", "a b", "e\u0301"]
ANY_TEXT = st.text() | st.lists(
    st.sampled_from([*TERMS, " ", "ß", "\u0301", "İ", "…", "ＡＴ＆Ｔ", "\n", "\ud800", "x", "'s"])
).map("".join)
PROPERTY_MATCHER = matcher(*({"terms": [term]} for term in TERMS), {"terms": ["lehman", "C"]})


@given(ANY_TEXT, st.none() | ANY_TEXT)
def test_every_span_lies_in_the_text_and_folds_to_a_term(text: str, title: str | None) -> None:
    joined = joined_text(title, text)
    folded_terms = {fold(term).folded for term in TERMS}
    for match in PROPERTY_MATCHER.match(text, title, []):
        assert 0.0 <= match.relevance <= 1.0
        reached = 0
        for start, end in match.spans:
            assert reached <= start < end <= len(joined)
            assert fold(joined[start:end]).folded in folded_terms
            reached = end


@given(ANY_TEXT, st.text("xyz ,.\n", max_size=50))
def test_unrelated_words_around_a_text_keep_its_matches(text: str, noise: str) -> None:
    before = {match.subject_id for match in PROPERTY_MATCHER.match(text, None, [])}
    around = f"{noise} . {text} . {noise}"
    assert {match.subject_id for match in PROPERTY_MATCHER.match(around, None, [])} == before


@given(ANY_TEXT)
def test_folding_keeps_the_place_of_every_character(text: str) -> None:
    folded = fold(text)
    assert folded.text == text
    if folded.starts is None or folded.ends is None:
        assert len(folded.folded) == len(text)
        return
    assert len(folded.starts) == len(folded.ends) == len(folded.folded)
    assert all(0 <= a < b <= len(text) for a, b in zip(folded.starts, folded.ends, strict=True))
    assert folded.starts == sorted(folded.starts)


def test_a_tag_may_be_the_name_of_a_subject_whose_id_differs() -> None:
    document = {"subjects": [{"id": "zenith", "name": "Zenith Air"}]}
    matcher = Matcher(Watchlist.model_validate(document))
    (match,) = matcher.match("No name here", None, ["Zenith Air"])
    assert match.subject_id == "zenith" and match.tagged
    assert matcher.unknown_tags(["Zenith Air", "zenith", "other"]) == 1
