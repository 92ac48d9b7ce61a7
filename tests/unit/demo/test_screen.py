"""What the demo prints: bars, safe text, the live table within 80 columns, the summary."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from made_alerts import START_MS, made_alert, made_trend_point, resolved, risen
from undertone.alerting.verdict import Verdict
from undertone.demo.screen import open_alerts, plain, print_summary, subject_table, tone_bar
from undertone.demo.session import DemoResult
from undertone.records import Alert
from undertone.truth import TruthEvent

EVENT = TruthEvent(
    subject="acme", start=START_MS, polarity="negative", description="Acme recalls kettles"
)
COUNTS = {
    "messages_in": 5010,
    "scored": 5000,
    "unscored": 1,
    "unmatched": 4,
    "dead_letters": 5,
    "mentions": 6001,
}


def shown(result: DemoResult, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    print_summary(result, console)
    return console.export_text()


def made_result(alerts: list[Alert], verdict: Verdict | None = None) -> DemoResult:
    return DemoResult(
        COUNTS, sent=5010, rejected=2, alerts=alerts, verdict=verdict, detection_seconds=[0.5]
    )


@pytest.mark.parametrize(
    ("score", "bar"),
    [
        (0.0, "     │      +0.00"),
        (-1.0, "█████│      -1.00"),
        (1.0, "     │█████ +1.00"),
        (-0.42, "   ██│      -0.42"),
    ],
)
def test_a_tone_is_a_bar_around_its_middle(score: float, bar: str) -> None:
    assert tone_bar(score).plain == bar


@given(st.floats(-1, 1))
def test_every_tone_has_the_same_width(score: float) -> None:
    assert len(tone_bar(score).plain) == 17


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("bell\x07 and \x9b2J", "bell and 2J"),
        ("[bold]loud[/bold]", "[bold]loud[/bold]"),
        ("[/] closes nothing", "[/] closes nothing"),
        ("turned \u202eround", "turned round"),
        ("日本語 é ✓", "日本語 é ✓"),
    ],
)
def test_external_text_has_no_power_over_the_terminal(text: str, safe: str) -> None:
    assert Text.from_markup(plain(text)).plain == safe


@given(st.text())
def test_any_external_text_can_be_printed(text: str) -> None:
    rendered = Text.from_markup(plain(text)).plain
    assert not any(ord(letter) < 32 and letter not in "\t\n" for letter in rendered)


@pytest.mark.parametrize("width", [80, 100])
def test_the_live_table_fits_the_terminal(width: int) -> None:
    subject = "a-subject-with-a-very-long-name-indeed"
    point = made_trend_point(subject=subject, stories=123_456, expected_volume=99_999.5)
    alert = made_alert(subject=subject, rule="a-rule-with-a-very-long-name-indeed-too")
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(subject_table("stream", [(subject, [point])], {subject: alert}))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if "a-subject" in line]
    assert len(rows) == 1
    assert "● warning" in rows[0]
    assert "123456" in rows[0] and "99999.5" not in rows[0].split("●")[1]


def test_an_alert_is_open_until_it_resolves() -> None:
    first = made_alert()
    assert open_alerts([first, risen(first)]) == [risen(first)]
    assert open_alerts([first, resolved(first)]) == []


@pytest.mark.parametrize("width", [80, 100])
def test_the_summary_shows_accounting_alerts_evidence_and_truth(width: int) -> None:
    first = made_alert()
    other = made_alert(subject="zenith", name="Zenith Air", id="zenith-1")
    verdict = Verdict(found=(EVENT,), missed=(EVENT,), false_alerts=("zenith-1",))
    text = shown(made_result([first, other, risen(first), resolved(risen(first))], verdict), width)
    assert "5,010" in text and "✓" in text and "2 rejected" in text
    assert "Acme Corporation · negative-surge" in text
    assert text.index("fires as warning") < text.index("rises as critical")
    assert text.index("rises as critical") < text.index("resolved")
    assert "► 2008-09-15 12:00  Acme recalls 40,000 kettles" in text
    assert "median 0.50 s" in text
    for word in ("found", "missed", "false"):
        assert word in text
    assert max(map(len, text.splitlines())) <= width


def test_an_excerpt_keeps_its_brackets() -> None:
    evil = made_alert().evidence[0].model_copy(update={"excerpt": "[red]buy[/red] \x1b[2J now"})
    assert "[red]buy[/red] [2J now" in shown(made_result([made_alert(evidence=(evil,))]))


def test_without_alerts_and_truth_it_says_so() -> None:
    text = shown(made_result([]))
    assert "No alert fired." in text
    assert "Truth" not in text
