"""The model reads whole sentences around a mention; people see a short excerpt of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from undertone.scoring.windows import estimated_tokens, excerpt, windows_around

FILLER = "The weather was mild and the harbour was calm that day. " * 12
LONG = (
    f"Nothing happened at first. {FILLER}Acme lost its licence on Monday. {FILLER}"
    f"Later Acme promised to appeal. {FILLER}The court was silent. {FILLER}"
)


def spans_of(text: str, name: str) -> list[tuple[int, int]]:
    """Where a name stands."""
    found, at = [], text.find(name)
    while at >= 0:
        found.append((at, at + len(name)))
        at = text.find(name, at + 1)
    return found


def test_a_short_text_is_one_window() -> None:
    (window,) = windows_around(" Acme lost its licence. ", [(1, 5)], 100)
    assert (window.text, window.weight) == ("Acme lost its licence.", 1.0)


def test_a_long_text_is_read_around_its_mentions() -> None:
    windows = windows_around(LONG, spans_of(LONG, "Acme"), 60)
    assert len(windows) == 2
    assert "Acme lost its licence on Monday." in windows[0].text
    assert "Later Acme promised to appeal." in windows[1].text
    assert windows[0].weight > windows[1].weight
    assert all(estimated_tokens(window.text) <= 60 for window in windows)


def test_neighbouring_mentions_share_a_window() -> None:
    text = f"{FILLER}Acme lost. Acme wept. Acme closed. {FILLER}"
    (window,) = windows_around(text, spans_of(text, "Acme"), 60)
    assert window.text.count("Acme") == 3


def test_there_are_three_windows_at_most() -> None:
    text = f"Acme lost. {FILLER}" * 9
    assert len(windows_around(text, spans_of(text, "Acme"), 40)) == 3


def test_a_text_that_does_not_name_the_subject_is_read_from_its_start() -> None:
    (window,) = windows_around(LONG, [], 60)
    assert LONG.startswith(window.text)


def test_an_endless_sentence_is_cut_around_the_mention() -> None:
    text = "word " * 4000 + "Acme " + "word " * 4000
    (window,) = windows_around(text, spans_of(text, "Acme"), 50)
    assert "Acme" in window.text
    assert estimated_tokens(window.text) <= 150


def test_an_excerpt_shows_the_mention() -> None:
    shown = excerpt(LONG, spans_of(LONG, "Acme"))
    assert "Acme lost its licence" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_a_short_text_is_its_own_excerpt_on_one_line() -> None:
    assert excerpt("Acme\n\nlost  it", [(0, 4)]) == "Acme lost it"


@given(st.text(max_size=2000), st.data())
def test_any_text_has_windows_and_an_excerpt(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(min_value=0, max_value=max(0, len(text) - 1)))
    spans = [(at, at + 1)] if text else []
    windows = windows_around(text, spans, 20)
    assert 1 <= len(windows) <= 3
    assert all(window.weight > 0 for window in windows)
    assert len(excerpt(text, spans)) <= 280


# Chinese: no spaces between words, sentences that end in 。！？, and one token a character.
CHINESE_FILLER = "当天港口风平浪静，天气也很温和！没有人注意到什么变化？一切都和往常一样。" * 6
CHINESE = (
    f"起初什么也没有发生。{CHINESE_FILLER}北辰银行周一失去了牌照。{CHINESE_FILLER}"
    f"后来北辰银行承诺上诉。{CHINESE_FILLER}"
)


def test_chinese_is_read_in_whole_sentences_around_its_mentions() -> None:
    windows = windows_around(CHINESE, spans_of(CHINESE, "北辰银行"), 60)
    assert len(windows) == 2
    assert "北辰银行周一失去了牌照。" in windows[0].text
    assert "后来北辰银行承诺上诉。" in windows[1].text
    for window in windows:
        assert window.text[-1] in "。！？"
        assert CHINESE[CHINESE.find(window.text) - 1] in "。！？"
        assert 40 <= estimated_tokens(window.text) <= 60


def test_an_endless_sentence_without_spaces_is_cut_around_the_mention() -> None:
    text = "风" * 4000 + "北辰银行" + "浪" * 4000
    (window,) = windows_around(text, spans_of(text, "北辰银行"), 60)
    assert window.text == "风" * 20 + "北辰银行" + "浪" * 36


def test_full_width_marks_and_digits_are_counted() -> None:
    assert estimated_tokens("涨５％！") == 4
    assert estimated_tokens("𠀀𠀁") == 2


def test_an_excerpt_without_spaces_is_full() -> None:
    shown = excerpt(CHINESE, spans_of(CHINESE, "北辰银行"))
    assert "北辰银行周一失去了牌照。" in shown
    assert (len(shown), shown[0], shown[-1]) == (280, "…", "…")


def test_a_lone_space_does_not_take_the_rest_of_an_excerpt_along() -> None:
    text = f"北辰银行 {'风' * 600}"
    assert len(excerpt(text, [(0, 4)])) == 280
    text = f"{'浪' * 300} {'风' * 60}北辰银行{'风' * 600}"
    shown = excerpt(text, spans_of(text, "北辰银行"))
    assert shown.startswith("…浪")
    assert "风北辰银行风" in shown
