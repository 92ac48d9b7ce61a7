"""The board in a real browser: it fits, links lead to the evidence, and nothing of others runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from chromium import LEAST_CONTRAST, STICKING_OUT, Page, chromium
from made_alerts import made_alert, resolved
from made_board import MadeBoard, records
from made_results import HOSTILE
from undertone.listening import listen, url_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DEADLINE_SECONDS = 30
PAGES = ("/", "/alerts", "/alerts/acme-1", "/alerts/hostile-1", "/subjects/hostile", "/nowhere")


@dataclass(frozen=True)
class Served:
    """A board that is served, and what it is made from."""

    made: MadeBoard
    url: str


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def board() -> Iterator[Served]:
    """Subjects, open and ended alerts, and markup wherever others may write"""
    made = MadeBoard().take(*records())
    opened = listen("127.0.0.1", 0, section="board")
    server = uvicorn.Server(uvicorn.Config(made.app, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    thread.start()
    yield Served(made, url_of(opened))
    server.should_exit = True
    thread.join()
    opened.close()


def click(browser: Page, text: str) -> None:
    """Follow the first link with this text, as a reader does."""
    link = f"[...document.links].find(each => each.textContent.trim() === {text!r})"
    before = browser.evaluate("location.href")
    browser.evaluate(f"{link}.click()")
    wait_until(browser, f"location.href !== {before!r} && document.readyState === 'complete'")


def wait_until(browser: Page, condition: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not browser.evaluate(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_page_fits_can_be_read_and_asks_for_nothing_from_outside(
    browser: Page, board: Served, tmp_path: Path, width: int, scheme: str
) -> None:
    browser.requests.clear()
    browser.problems.clear()
    browser.show_as(width, scheme=scheme)  # type: ignore[arg-type]
    for path in PAGES:
        browser.open(board.url + path)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, path
        assert browser.evaluate(STICKING_OUT) == [], path
        ratio, element = browser.evaluate(LEAST_CONTRAST)
        assert ratio >= 4.5, (path, element)
        headings = "[...document.querySelectorAll('h1, h2, h3')].map(each => each.tagName)"
        assert browser.evaluate(headings)[0] == "H1"
    picture = tmp_path / "board.png"
    browser.open(board.url)
    browser.screenshot(picture)
    assert picture.stat().st_size > 30_000
    assert all(url.startswith(board.url) for url in browser.requests)
    not_found = "the server responded with a status of 404"
    assert [each for each in browser.problems if not_found not in each] == []


def test_from_the_first_page_a_link_leads_to_an_alerts_evidence(
    browser: Page, board: Served
) -> None:
    browser.problems.clear()
    browser.show_as(1200)
    browser.open(board.url)
    links = "[...document.querySelectorAll('table.board tbody th > a:first-child')]"
    subjects = browser.evaluate(f"{links}.map(each => each.textContent)")
    assert subjects == ["Acme Corporation", HOSTILE, "Quiet Ltd"]
    assert browser.evaluate("document.querySelectorAll('svg[role=img]').length") == 4
    click(browser, "Acme Corporation")
    assert browser.evaluate("location.pathname") == "/alerts/acme-1"
    said = browser.evaluate("document.querySelector('ol.evidence').innerText")
    assert "Acme recalls 40,000 kettles after fires" in said
    assert "tipped the rule" in said
    click(browser, "Subject Acme Corporation")
    assert browser.evaluate("location.pathname") == "/subjects/acme"
    assert browser.problems == []


def test_markup_of_others_stays_text_and_script_addresses_are_no_links(
    browser: Page, board: Served
) -> None:
    browser.problems.clear()
    browser.show_as(1200)
    for path in ("/", "/alerts/hostile-1", "/subjects/hostile"):
        browser.open(board.url + path)
        assert "undertone" in browser.evaluate("document.title")
        assert HOSTILE in browser.evaluate("document.querySelector('main').textContent") + (
            browser.evaluate("document.querySelector('h1').textContent")
        )
        assert browser.evaluate("document.querySelectorAll('script').length") == 1
        assert browser.evaluate("document.querySelectorAll('img, iframe').length") == 0
        protocols = set(browser.evaluate("[...document.links].map(each => each.protocol)"))
        assert protocols <= {"http:", "https:"}
    assert browser.problems == []


def test_a_new_alert_appears_by_itself_unless_updates_are_paused(
    browser: Page, board: Served
) -> None:
    browser.problems.clear()
    browser.show_as(1200)
    timer = "window.setInterval = update => { window.tick = update; };"  # time passes when we say
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=timer)
    browser.open(board.url)
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **script)

    def after_a_tick() -> str:
        browser.call("Runtime.evaluate", expression="tick()", awaitPromise=True)
        return str(browser.evaluate("document.querySelector('h1').textContent")).strip()

    fired = made_alert(id="quiet-1", subject="quiet", name="Quiet Ltd")
    board.made.take(fired)
    assert after_a_tick() == "3 open alerts"
    assert browser.evaluate("document.title").startswith("3 open alerts")
    browser.evaluate("document.getElementById('pause').click()")
    assert browser.evaluate("document.getElementById('told').textContent") == "Paused."
    board.made.take(resolved(fired))
    assert after_a_tick() == "3 open alerts"
    browser.evaluate("document.getElementById('pause').click()")
    assert after_a_tick() == "2 open alerts"
    assert browser.problems == []


def test_without_scripts_the_page_is_whole(browser: Page, board: Served) -> None:
    browser.show_as(360)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(board.url)
        assert "Acme Corporation" in browser.evaluate("document.body.innerText")
        hidden = "document.getElementById('pause').hidden"
        assert browser.evaluate(hidden)  # what only a script can do is not offered
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
