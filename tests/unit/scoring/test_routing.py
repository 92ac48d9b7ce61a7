"""A message goes to the model of its language, and to the default model where none is told."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.errors import ConfigurationError
from undertone.records import RawMessage
from undertone.scoring.routing import Detect, LanguageRouter, load_detector, stated_language


def message(text: str, language: str | None = None) -> RawMessage:
    return RawMessage.model_validate(
        {
            "source": "wire",
            "kind": "news",
            "published_at": "2026-01-31T09:30:00Z",
            "text": text,
            "language": language,
        }
    )


@pytest.fixture(scope="module")
def detect() -> Detect:
    pytest.importorskip("py3langid", reason="py3langid is not installed (the extra `languages`)")
    return load_detector(["zh", "de"])


def test_one_model_reads_everything_and_nothing_is_detected() -> None:
    def refuse(_text: str) -> None:
        raise AssertionError("detected")

    assert (
        LanguageRouter((), refuse).route(message("苹果股价大跌", "zh"), "苹果股价大跌") == "default"
    )


@pytest.mark.parametrize(
    ("language", "route"),
    [
        ("zh", "zh"),
        ("zh-Hant-TW", "zh"),
        ("ZH_cn", "zh"),
        ("cmn", "zh"),
        ("en", "default"),
        ("ja", "default"),
        ("default", "default"),
    ],
)
def test_a_message_that_states_its_language_is_believed(language: str, route: str) -> None:
    router = LanguageRouter(["zh"], lambda _text: "zh" if route == "default" else "en")
    assert router.route(message("x", language), "x") == route


@pytest.mark.parametrize("language", [None, "", " ", "und", "mul"])
def test_a_message_that_states_none_is_detected(language: str | None) -> None:
    assert LanguageRouter(["zh"], lambda _text: "zh").route(message("x", language), "x") == "zh"


def test_links_names_and_tickers_are_no_language() -> None:
    seen: list[str] = []

    def detect(text: str) -> None:
        seen.append(text)

    text = "$BABA 大涨 https://example.org/a?b=c @someone #涨停"
    LanguageRouter(["zh"], detect).route(message(text), text)
    assert seen[0].split() == ["大涨", "#涨停"]


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("苹果股价大跌", "zh"),
        ("蘋果公司發佈了新手機", "zh"),
        ("Tesla 在华召回 Model 3", "zh"),
        ("阿里巴巴被罚款182亿元", "zh"),
        ("好评", "zh"),
        ("GDP同比增长5.2%", "zh"),
        ("VW ruft Autos zurück", "de"),
        ("Die Aktie fällt nach der Gewinnwarnung", "de"),
        ("Acme shares plunge after a profit warning", "default"),
        ("So good, love it!!!", "default"),
        ("トヨタの株価が急落した", "default"),
        ("Les actions de Renault chutent", "default"),
        ("$AAPL", "default"),
        ("😡😡", "default"),
        ("123", "default"),
        (" ", "default"),
    ],
)
def test_short_texts_find_their_model(detect: Detect, text: str, route: str) -> None:
    assert LanguageRouter(["zh", "de"], detect).route(message("x"), text) == route


@given(st.text(max_size=300), st.one_of(st.none(), st.text(max_size=35)))
def test_every_message_has_a_model(detect: Detect, text: str, language: str | None) -> None:
    router = LanguageRouter(["zh", "de"], detect)
    assert router.route(message("x", language), text) in {"zh", "de", "default"}


def test_tags_of_the_same_language_are_alike() -> None:
    assert [stated_language(tag) for tag in ("pt-BR", "iw", "in", "nb-NO")] == [
        "pt",
        "he",
        "id",
        "no",
    ]


def test_a_language_that_the_library_does_not_know_is_named(detect: Detect) -> None:
    with pytest.raises(ConfigurationError, match="does not know qq, xx") as caught:
        load_detector(["xx", "qq", "zh"])
    assert "zh" in str(caught.value.hint)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(ConfigurationError, match="py3langid") as caught:
        load_detector(["zh"])
    assert 'pip install "undertone[languages]"' in str(caught.value.hint)
