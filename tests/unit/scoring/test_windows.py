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
