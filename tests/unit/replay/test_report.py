"""The report's page: what it says, that it is bounded, and that users' text stays text."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from array import array
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import DAY_MS, HOUR_MS, MINUTE_MS
from html_pages import HtmlPage
from made_alerts import made_alert, made_trend_point
from made_results import (
    FROM_MS,
    HOSTILE,
    UNTIL_MS,
    crisis,
    event,
    made_result,
    made_sweep,
    made_timeline,
)
from undertone.errors import InputFileError
from undertone.pages.axis import Axis
from undertone.pages.paths import HEIGHT, WIDTH, nice_ceiling, step_area, step_line
from undertone.pages.wording import delay, number, odds, percent, safe_url
from undertone.records import Evidence
from undertone.replay import report
from undertone.replay.overlays import Overlay
from undertone.replay.report import write_report
from undertone.replay.report_charts import frontier, overlay_panel
from undertone.replay.result import ReplayResult
from undertone.replay.timeline import Timeline
from undertone.trends.points import columns_of_records
from undertone.watch.core import WatchedSubject

pytest.importorskip("jinja2", reason="jinja2 is not installed (the extra `replay`)")


def page(
    tmp_path: Path,
    result: ReplayResult,
    timeline: Timeline | None = None,
    overlays: tuple[Overlay, ...] = (),
) -> HtmlPage:
    path = tmp_path / "report.html"
    write_report(path, result, timeline or made_timeline("acme", "quiet"), overlays)
    return HtmlPage(path.read_text())


def test_the_summary_tells_what_was_found_how_soon_and_how_often_wrongly(tmp_path: Path) -> None:
    alerts = [*crisis(), *crisis(15, id="acme-2")]
    events = (event(7 - 1 / 48), event(2, description="nobody wrote of it"))
    words = page(tmp_path, made_result(*alerts, events=events)).words
    assert "8 Sep 2008 – 28 Sep 2008" in words
    assert "Events found 1 of 2 recall 50%" in words
    assert "Precision 50%" in words
    assert "Median delay 30 min" in words
    assert "Messages 14,249 1,659 mentions" in words
    assert "✗ missed 10 Sep 2008, 00:00 Acme Corporation nobody wrote of it" in words
    assert "bundled@1 1,600" in words


def test_an_alert_is_told_with_its_conditions_factors_evidence_and_tipping_message(
    tmp_path: Path,
) -> None:
    words = page(tmp_path, made_result(*crisis())).words
    assert "14 negative stories in 1h, where 1.20 are usual" in words
    assert "surprise 6.25 (about 1 in 1.8 million)" in words
    assert "Volume × 4.0 Tone × 2.1 Novelty × 1.0" in words
    assert "Acme recalls 40,000 kettles after fires" in words
    assert "negative 97% · tipped the rule" in words
    assert "with message m1 (t.raw.news, partition 1, offset 42)" in words
    assert "Rose to critical 15 Sep 2008, 02:00" in words
    assert "Resolved 15 Sep 2008, 09:00 , after 9 h" in words


def test_without_events_what_fired_is_ranked_by_surprise(tmp_path: Path) -> None:
    alerts = [
        made_alert(id=str(n), surprise=surprise, name=f"Number {n}", detected_at=FROM_MS + n)
        for n, surprise in enumerate((4.5, 9.1, 6.0))
    ]
    document = page(tmp_path, made_result(*alerts))
    order = [document.text.index(f"Number {n}") for n in (1, 2, 0)]
    assert order == sorted(order)
    assert "no event" not in document.text
    assert "Precision 5" not in document.words


def test_an_alert_that_was_already_open_counts_by_its_first_known_revision(tmp_path: Path) -> None:
    _first, second, last = crisis()
    assert "Rose to" not in page(tmp_path, made_result(second, last)).words


def test_a_partial_replay_and_its_notes_stand_at_the_top(tmp_path: Path) -> None:
    note = "The log begins 3 days before the range."
    words = page(tmp_path, made_result(partial=True, notes=(note,))).words
    assert words.index("Partial report.") < words.index(note) < words.index("What fired")
    assert "Nothing fired." in words


def test_users_text_stays_text_and_only_web_links_are_links(tmp_path: Path) -> None:
    proof = [
        Evidence(
            message_id=f"m{n}",
            excerpt=HOSTILE,
            url=url,
            source=HOSTILE,
            published_at=FROM_MS,
            raw=made_alert().tipping.raw,
        )
        for n, url in enumerate(
            ["javascript:alert(1)", "https://a.example/?q='\"><script>", "data:text/html,x", "//x"]
        )
    ]
    alert = made_alert(name=HOSTILE, evidence=tuple(proof), detected_at=FROM_MS, rule="surge")
    document = page(
        tmp_path,
        made_result(
            alert,
            source=HOSTILE,
            notes=(HOSTILE,),
            models={HOSTILE: 1},
            subjects={"acme": WatchedSubject(HOSTILE)},
            events=(event(0.01, description=HOSTILE),),
            sweep=made_sweep(),
        ),
        overlays=(Overlay(HOSTILE, array("q", [FROM_MS]), array("d", [1.0])),),
    )
    tags = {tag for tag, _ in document.elements}
    assert not tags & {"script", "img", "iframe", "object", "form", "link"}
    assert not any(name.startswith("on") for _, found in document.elements for name in found)
    links = [found for found in document.all("a") if not found["href"].startswith("#")]
    assert [found["href"] for found in links] == ["https://a.example/?q='\"><script>"]
    assert all("noopener" in found["rel"] for found in links)


def test_the_policy_allows_its_own_style_and_nothing_else(tmp_path: Path) -> None:
    document = page(tmp_path, made_result(*crisis(), sweep=made_sweep()))
    text = (tmp_path / "report.html").read_text()
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(found["content"] for found in document.all("meta") if "http-equiv" in found)
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert not any("style" in found for _, found in document.elements)


def test_charts_have_names_tables_captions_and_headings_no_gaps(tmp_path: Path) -> None:
    result = made_result(*crisis(), events=(event(7),), sweep=made_sweep())
    document = page(tmp_path, result)
    ids = [found["id"] for _, found in document.elements if "id" in found]
    assert len(ids) == len(set(ids))
    images = [found for found in document.all("svg") if found.get("role") == "img"]
    assert len(images) == 3  # the frontier, acme, and the quiet subject
    for found in images:
        assert set(found["aria-labelledby"].split()) <= set(ids)
    assert len(document.all("caption")) == len(document.all("table"))
    levels = [int(tag[1]) for tag, _ in document.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    targets = {found["href"][1:] for found in document.all("a") if found["href"][0] == "#"}
    assert targets <= set(ids)
    assert {found["href"][1:] for found in document.all("use")} <= set(ids)


def test_quiet_subjects_are_folded_and_the_loudest_come_first(tmp_path: Path) -> None:
    names = {name: WatchedSubject(name.title()) for name in ("calm", "loud", "some")}
    alerts = [
        made_alert(id=f"{name}{n}", subject=name, name=name.title(), detected_at=FROM_MS + n)
        for name, count in (("some", 1), ("loud", 3))
        for n in range(count)
    ]
    text = page(tmp_path, made_result(*alerts, subjects=names), made_timeline(*names)).words
    subjects = text[text.index("Subjects stories in 24h") :]
    assert subjects.index("Loud 3 alerts") < subjects.index("Some 1 alert")
    assert subjects.index("Some") < subjects.index("1 quiet subject: nothing fired Calm")


def test_the_frontier_names_each_point_by_its_parameters(tmp_path: Path) -> None:
    words = page(tmp_path, made_result(events=(event(7),), sweep=made_sweep())).words
    assert "Point 2: surge.surprise = 4, surge.min_stories = 3. Found 3 of 4, 9 alerts." in words
    assert "2 other points" in words
    without = page(tmp_path, made_result(sweep=made_sweep(judged=False))).words
    assert "All points" in without
    assert "recall (share" not in without


def test_an_overlay_is_drawn_for_its_subject_alone(tmp_path: Path) -> None:
    times = array("q", [FROM_MS + day * DAY_MS for day in range(20)])
    overlay = Overlay("close", times, array("d", [60.0 - day for day in range(20)]), "acme")
    words = page(tmp_path, made_result(*crisis()), overlays=(overlay,)).words
    assert words.count("close: 41 to 60") == 1


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, made_result(*crisis()), made_timeline("acme"))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_text_that_is_no_unicode_is_replaced_and_a_missing_folder_named(tmp_path: Path) -> None:
    alert = made_alert(name="half \ud800 a pair", detected_at=FROM_MS)
    assert "half ? a pair" in page(tmp_path, made_result(alert)).text
    with pytest.raises(InputFileError, match=r"nowhere/report\.html: cannot be written"):
        write_report(tmp_path / "nowhere" / "report.html", made_result(), made_timeline())


def test_bins_that_reach_beyond_a_range_keep_the_time_axis(tmp_path: Path) -> None:
    timeline = Timeline(["acme"], FROM_MS)
    for hour in range(20 * 24):
        point = made_trend_point(window="24h", window_end=FROM_MS + hour * HOUR_MS)
        timeline.add(columns_of_records([point]))
    document = page(tmp_path, made_result(*crisis()), timeline)
    widths = {
        float(found["width"].rstrip("%"))
        for found in document.all("svg")
        if found.get("viewbox") == f"0 0 {WIDTH} {HEIGHT}"
    }
    span = UNTIL_MS - FROM_MS
    assert widths == {round(100 * (timeline.end_ms() - FROM_MS) / span, 3)}


@pytest.mark.slow
def test_the_page_is_bounded_however_much_was_found(tmp_path: Path) -> None:
    names = {f"s{n}": WatchedSubject(f"Subject {n}") for n in range(600)}
    proof = made_alert().evidence[0]
    alerts = [
        made_alert(
            id=f"a{n}",
            subject=f"s{n % 400}",
            name=f"Subject {n % 400}",
            surprise=4 + n % 50 / 10,
            started_at=FROM_MS + n * MINUTE_MS,
            detected_at=FROM_MS + n * MINUTE_MS,
            evidence=tuple(
                proof.model_copy(update={"message_id": f"{n}-{k}", "excerpt": "<&" * 140})
                for k in range(5)
            ),
        )
        for n in range(5_000)
    ]
    document = page(
        tmp_path, made_result(*alerts, subjects=names), made_timeline(*list(names)[:160])
    )
    assert len(document.all("article")) == report.CARDS
    assert f"The {5_000 - report.CARDS:,} least surprising alerts are not listed" in document.words
    assert (tmp_path / "report.html").stat().st_size < 8_000_000


# The geometry.

_values = st.lists(
    st.one_of(st.just(float("nan")), st.floats(0, HEIGHT)), min_size=1, max_size=60
).map(np.array)


@given(values=_values)
def test_paths_stay_in_their_box_and_break_where_nothing_is_known(values: Any) -> None:
    known = np.isfinite(values)
    line = step_line(values)
    runs = int(known[0]) + int(np.sum(known[1:] & ~known[:-1]))
    assert line.count("M") == runs
    for path in (line, step_area(values)):
        for command, text in re.findall(r"([HV])(-?[0-9]+)", path):
            assert 0 <= int(text) <= (WIDTH if command == "H" else HEIGHT)


@pytest.mark.parametrize(
    ("span_ms", "texts"),
    [
        (20 * DAY_MS, ["10 Sep", "14 Sep"]),
        (HOUR_MS, ["00:00", "00:10"]),
        (400 * DAY_MS, ["Nov 2008", "Jan 2009"]),
        (9 * 365 * DAY_MS, ["2010", "2012"]),
    ],
)
def test_ticks_are_round_moments(span_ms: int, texts: list[str]) -> None:
    ticks = Axis(FROM_MS, FROM_MS + span_ms).ticks()
    assert 2 <= len(ticks) <= 9
    assert all(0 <= tick.at <= 100 for tick in ticks)
    found = [tick.text for tick in ticks]
    assert len(set(found)) == len(found)
    assert set(texts) <= set(found)


@given(span_ms=st.integers(1, 4_000 * 365 * DAY_MS), from_ms=st.integers(0, 2**41))
def test_any_range_has_an_axis(span_ms: int, from_ms: int) -> None:
    ticks = Axis(from_ms, from_ms + span_ms).ticks()
    assert len(ticks) <= 9
    assert all(0 <= tick.at <= 100 for tick in ticks)


def test_an_overlay_stands_at_its_last_value_and_ends_where_it_ends() -> None:
    axis = Axis(FROM_MS, FROM_MS + 10 * DAY_MS)
    times = array("q", [FROM_MS - DAY_MS, FROM_MS + 5 * DAY_MS])
    panel = overlay_panel(Overlay("x", times, array("d", [1.0, 3.0])), axis, 10)
    assert panel is not None
    assert (panel.lowest, panel.highest) == (1, 3)
    assert panel.line == f"M0 950H{WIDTH // 2}V50H{WIDTH * 6 // 10}"
    late = Overlay("x", array("q", [axis.until_ms]), array("d", [1.0]))
    assert overlay_panel(late, axis, 10) is None


def test_the_best_points_of_a_sweep_are_joined() -> None:
    chart = frontier(made_sweep())
    assert chart is not None
    assert chart.false_alarms
    assert [dot.point.number for dot in chart.dots if dot.label] == [1, 2]
    assert chart.line.startswith("M")
    same = [dataclasses.replace(p, false_alerts_per_subject_month=0.0) for p in made_sweep()]
    assert frontier(same) is not None
    assert frontier(made_sweep(judged=False)) is None


@given(value=st.floats(0, 1e12))
def test_a_scale_ends_at_a_round_number_above_its_values(value: float) -> None:
    top = nice_ceiling(value)
    assert value <= top * (1 + 1e-6)
    assert top <= max(1.0, 2 * value)


def test_numbers_times_and_odds_read_as_people_write_them() -> None:
    assert [number(x) for x in (142_490, 11.71, 1.2, 0.0451, -3.0, 0, None)] == [
        "142,490",
        "11.7",
        "1.20",
        "0.045",
        "−3",
        "0",
        "–",
    ]
    assert [percent(x) for x in (0.5, 0.012, 0, None)] == ["50%", "1.2%", "0%", "–"]
    assert [delay(x) for x in (8, 200, 60, -30, 3_100, None)] == [
        "8 min",
        "3 h 20 min",
        "1 h",
        "30 min early",
        "2 d 4 h",
        "–",
    ]
    assert [odds(x) for x in (3, 6.25, 9.63, 40)] == [
        "about 1 in 1,000",
        "about 1 in 1.8 million",
        "about 1 in 4.3 billion",
        "rarer than 1 in a thousand trillion",
    ]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://a.example/x", True),
        (" http://a.example", True),
        ("HTTPS://A.EXAMPLE", True),
        ("javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("//a.example", False),
        ("https://[bad", False),
        ("file:///etc/passwd", False),
        (None, False),
    ],
)
def test_only_addresses_of_the_web_become_links(url: str | None, kept: bool) -> None:
    assert (safe_url(url) is not None) is kept
