"""The report in a real browser: it fits, asks for nothing, and runs nothing of what it quotes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import DAY_MS
from chromium import LEAST_CONTRAST, STICKING_OUT, Page, chromium
from made_results import (
    FROM_MS,
    HOSTILE,
    crisis,
    event,
    made_result,
    made_sweep,
    made_timeline,
)
from undertone.records import Evidence
from undertone.replay.overlays import Overlay
from undertone.replay.report import write_report
from undertone.watch.core import WatchedSubject

pytest.importorskip("jinja2", reason="jinja2 is not installed (the extra `replay`)")
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it, and with markup wherever a user may write."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    proof = crisis()[0].evidence[0]
    hostile = [
        Evidence(**(proof.model_dump() | {"message_id": f"h{n}", "excerpt": HOSTILE, "url": url}))
        for n, url in enumerate(["javascript:document.title='owned'", "https://a.example/" * 40])
    ]
    alerts = [
        *crisis(),
        *crisis(12, id="acme-2", rule="tone-shift"),
        *crisis(3, id="h1", subject="hostile", name=HOSTILE, evidence=(proof, *hostile)),
    ]
    subjects = {
        "acme": WatchedSubject("Acme Corporation"),
        "hostile": WatchedSubject(HOSTILE),
        "quiet": WatchedSubject("A" * 200),
    }
    events = (
        event(6.9, end=FROM_MS + 9 * DAY_MS, description="The regulator closes it"),
        event(2, "hostile", description=HOSTILE),
        event(15),
    )
    days = array("q", [FROM_MS + day * DAY_MS for day in range(20)])
    overlay = Overlay(HOSTILE, days, array("d", [60.0 - day for day in range(20)]))
    result = made_result(
        *alerts,
        events=events,
        subjects=subjects,
        sweep=made_sweep(),
        source=HOSTILE,
        partial=True,
        notes=("The log begins later than the warm-up.", HOSTILE, "x" * 300),
    )
    write_report(path, result, made_timeline(*subjects), [overlay])
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_can_be_read_and_asks_for_nothing(
    browser: Page, report: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    browser.requests.clear()
    browser.problems.clear()
    browser.show_as(width, scheme=scheme)  # type: ignore[arg-type]
    browser.open(report)
    browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(STICKING_OUT) == []
    ratio, element = browser.evaluate(LEAST_CONTRAST)
    assert ratio >= 4.5, element
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(246, 247, 249)") is (scheme == "light")
    picture = tmp_path / "report.png"
    browser.screenshot(picture)
    assert picture.stat().st_size > 50_000
    assert browser.requests == [report.as_uri()]
    assert browser.problems == []


def test_markup_in_names_and_excerpts_stays_text(browser: Page, report: Path) -> None:
    browser.problems.clear()
    browser.show_as(1200)
    browser.open(report)
    assert browser.evaluate("document.title").startswith("undertone replay")
    assert browser.evaluate("document.querySelectorAll('script, img, iframe').length") == 0
    assert HOSTILE in browser.evaluate(
        "document.querySelector('.evidence').closest('main').textContent"
    )
    links = browser.evaluate("[...document.links].map(each => each.protocol)")
    assert set(links) == {"file:", "https:"}
    assert browser.problems == []


def test_the_policy_stops_what_is_put_into_the_page_by_hand(
    browser: Page, report: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tampered.html"
    path.write_text(
        report.read_text().replace(
            "<main>",
            '<main><script>document.title = "owned"</script>'
            '<img src="http://127.0.0.1:9/x.png" onerror="document.title = \'owned\'">',
        )
    )
    browser.requests.clear()
    browser.show_as(1200)
    browser.open(path)
    assert browser.evaluate("document.title").startswith("undertone replay")
    assert "blocked (csp): http://127.0.0.1:9/x.png" in browser.problems
    assert any("script" in problem for problem in browser.problems)
    assert not [url for url in browser.requests if not url.startswith("file:")]


def test_the_charts_are_drawn_along_one_axis_of_time(browser: Page, report: Path) -> None:
    browser.show_as(360)
    browser.open(report)
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.subject:first-of-type .timeline path.stories')]"
        ".map(each => { const b = each.getBoundingClientRect(); return [b.width, b.height]; })"
    )
    chart = browser.evaluate(
        "document.querySelector('.timeline > svg').getBoundingClientRect().width"
    )
    assert boxes[0][0] == pytest.approx(chart, rel=0.02)
    assert boxes[0][1] > 60


def test_it_prints_with_its_evidence_on_white(browser: Page, report: Path, tmp_path: Path) -> None:
    browser.show_as(1200, scheme="dark", media="print")
    browser.open(report)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    assert browser.evaluate(
        "[...document.querySelectorAll('.alerts .evidence')].every(e => e.offsetHeight > 0)"
    )
    browser.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
