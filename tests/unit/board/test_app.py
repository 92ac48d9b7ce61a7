"""The pages and the API: what they say, that users' text stays text, and who may look."""

from __future__ import annotations

import base64
import re

import pytest

from builders import HOUR_MS
from html_pages import HtmlPage
from made_alerts import START_MS, made_alert, made_trend_point

pytest.importorskip("jinja2", reason="jinja2 is not installed (the extra `board`)")
pytest.importorskip("starlette", reason="starlette is not installed (the extra `board`)")

from made_board import WATCHLIST, MadeBoard, hostile_alert, points, records
from made_results import HOSTILE
from undertone.board import view


@pytest.fixture(scope="module")
def client() -> MadeBoard:
    return MadeBoard().take(*records())


def words(client: MadeBoard, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return HtmlPage(response.text).words


def test_the_first_page_shows_every_subject_with_its_tone_stories_and_surprise(
    client: MadeBoard,
) -> None:
    said = words(client, "/")
    assert "2 open alerts 3 subjects, as of 15 Sep 2008, 12:05" in said
    assert "Acme Corporation company critical" in said
    assert "−0.60 usual" in said
    assert "32 usual 2" in said  # two kinds of 16 stories, where one of each is usual
    assert "5.2 negative stories in 1h" in said
    assert "Quiet Ltd company no mention yet" in said
    assert said.index("Acme Corporation company") < said.index("Quiet Ltd company")


def test_open_alerts_stand_above_with_what_is_unusual_and_the_first_message(
    client: MadeBoard,
) -> None:
    said = words(client, "/")
    assert "Acme Corporation critical negative-surge" in said
    assert "14 negative stories in 1h, where 1.20 are usual" in said
    assert "Acme recalls 40,000 kettles after fires" in said
    assert "15 Sep 2008, 12:00 , open for 5 min" in said
    assert "Lately over Acme Corporation warning tone-shift" in said
    assert "over after 2 h" in said


def test_sparklines_have_a_text_in_their_place(client: MadeBoard) -> None:
    page = HtmlPage(client.get("/").text)
    labels = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert "Mean tone over 7 days: now −0.60, usual 0.00." in [
        label.replace("+0.00", "0.00") for label in labels
    ]
    assert any(
        label.startswith("Stories in 1h over 7 days: now 32, at most 32, usual 2. 2 alerts")
        for label in labels
    )
    decorative = [svg for svg in page.all("svg") if svg.get("role") != "img"]
    inner = [svg for svg in decorative if "viewBox" in svg and "aria-hidden" not in svg]
    assert all(svg["viewBox"] == "0 0 2400 1000" for svg in inner)  # lines of a chart


def test_another_window_may_be_looked_through(client: MadeBoard) -> None:
    page = HtmlPage(client.get("/?window=24h").text)
    assert "in windows of 24h, over the last 28 days" in page.words
    (chosen,) = [link for link in page.all("a") if "aria-current" in link]
    assert chosen["href"] == "./?window=24h"
    assert "in windows of 1h" in words(client, "/?window=<b>")


def test_an_alert_shows_its_evidence_factors_conditions_and_revisions(client: MadeBoard) -> None:
    said = words(client, "/alerts/acme-1")
    assert "Critical , open; rule negative-surge" in said
    assert "14 negative stories in 1h, where 1.20 are usual (surprise 6.25" in said
    assert "Volume × 4.0" in said and "Tone × 2.1" in said and "Novelty × 1.0" in said
    assert "wire · 15 Sep 2008, 12:00 · negative 97% · tipped the rule" in said
    assert "t.raw.news partition 1, offset 42" in said
    assert "15 Sep 2008, 12:00 fired warning" in said
    assert "15 Sep 2008, 12:05 rose critical" in said
    assert "desk retail" in said
    assert "stub@1" in said


def test_links_lead_out_only_to_web_addresses_and_tell_them_nothing(client: MadeBoard) -> None:
    page = HtmlPage(client.get("/alerts/hostile-1").text)
    outside = [link for link in page.all("a") if ":" in link["href"]]
    assert [link["href"][:24] for link in outside] == [
        "https://news.example/acm",
        "https://a.example/https:",
    ]
    assert all("noopener noreferrer" in link["rel"] for link in outside)


@pytest.mark.parametrize("path", ["/", "/alerts", "/alerts/hostile-1", "/subjects/hostile"])
def test_markup_of_others_stays_text_on_every_page(client: MadeBoard, path: str) -> None:
    page = HtmlPage(client.get(path).text)
    assert HOSTILE in page.text
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not [a for _tag, attributes in page.elements for a in attributes if a[:2] == "on"]
    assert not [a for _tag, attributes in page.elements for a in attributes if a == "style"]


def test_every_link_between_pages_leads_somewhere(client: MadeBoard) -> None:
    for path in ("/", "/alerts", "/alerts/acme-1", "/subjects/acme", "/subjects/quiet"):
        response = client.get(path)
        for link in HtmlPage(response.text).all("a"):
            if ":" not in link["href"] and not link["href"].startswith("#"):
                target = response.url.join(link["href"])
                assert client.get(str(target)).status_code == 200, (path, link["href"])


def test_a_subject_shows_its_windows_kinds_and_alerts(client: MadeBoard) -> None:
    said = words(client, "/subjects/acme")
    assert "Windows of 1h" in said and "Windows of 24h" in said
    assert "1h news 16 1 6" in said
    assert "tone-shift" in said


@pytest.mark.parametrize("path", ["/alerts/none", "/subjects/none", "/elsewhere", "/alerts/a/b"])
def test_what_is_not_there_is_told_in_the_look_of_the_rest(client: MadeBoard, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert "Not here" in HtmlPage(response.text).words
    assert "Content-Security-Policy" in response.headers


def test_the_api_tells_the_same_as_json(client: MadeBoard) -> None:
    subjects = {each["id"]: each for each in client.get("/api/subjects").json()["subjects"]}
    assert subjects["acme"]["open_alerts"] == ["acme-1"]
    assert subjects["acme"]["windows"]["1h"]["stories"] == 32
    assert subjects["quiet"]["windows"] == {}
    alerts = client.get("/api/alerts").json()["alerts"]
    assert [(alert["id"], alert["revision"]) for alert in alerts] == [
        ("acme-1", 2),
        ("hostile-1", 1),
        ("acme-0", 2),
    ]
    revisions = client.get("/api/alerts/acme-1").json()["revisions"]
    assert [each["severity"] for each in revisions] == ["warning", "critical"]
    assert client.get("/api/alerts/none").status_code == 404


def test_the_policy_allows_the_pages_own_style_and_script_alone(client: MadeBoard) -> None:
    response = client.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"(src|href)=\"(https?:)?//", response.text)


def test_without_a_token_nothing_and_with_it_everything() -> None:
    client = MadeBoard(token="s3cret").take(made_alert())
    for path in ("/", "/alerts", "/api/alerts", "/metrics", "/icon.svg", "/elsewhere"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
        assert "Acme" not in refused.text
    basic = base64.b64encode(b"anyone:s3cret").decode()
    for header in ("Bearer s3cret", f"Basic {basic}"):
        assert client.get("/", headers={"Authorization": header}).status_code == 200
    wrong = base64.b64encode(b"anyone:other").decode()
    for header in ("Bearer other", f"Basic {wrong}", "Basic ?", "Digest s3cret", "Bearer"):
        assert client.get("/", headers={"Authorization": header}).status_code == 401
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_while_the_topics_are_read_it_says_so_and_is_not_ready() -> None:
    board = MadeBoard()
    board.reader.is_ready = False
    assert board.get("/readyz").status_code == 503
    assert board.get("/healthz").status_code == 200
    assert "Not complete yet: the topics are being looked up" in words(board, "/")


def test_a_broker_that_does_not_answer_is_told_and_the_page_stays() -> None:
    board = MadeBoard().take(made_alert())
    board.reader.is_cut_off = True
    said = words(board, "/")
    assert "Kafka does not answer. What is shown may be old." in said
    assert "Acme Corporation" in said


def test_the_age_of_a_live_stream_is_told() -> None:
    board = MadeBoard(options={"wall_clock_ms": lambda: START_MS + 3 * HOUR_MS})
    board.take(made_trend_point())
    assert "as of 15 Sep 2008, 12:00 (3 h ago)" in words(board, "/")


def test_requests_are_counted_by_status(client: MadeBoard) -> None:
    board = MadeBoard()
    for path in ("/", "/alerts", "/alerts/none", "/healthz"):
        board.get(path)
    metrics = board.get("/metrics").text
    assert 'undertone_board_requests_total{status="200"} 2.0' in metrics
    assert 'undertone_board_requests_total{status="404"} 1.0' in metrics


def test_many_subjects_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "ROWS", 2)
    client = MadeBoard().take(*points(hours=2))
    assert "Page 1 of 2" in words(client, "/")
    assert "Page 2 of 2" in words(client, "/?page=99")
    assert "Page 1 of 2" in words(client, "/?page=-1")


def test_a_board_with_nothing_to_show_says_so() -> None:
    client = MadeBoard(watchlist={})
    assert "All quiet 0 subjects, nothing read yet" in words(client, "/")
    assert "Nothing has fired." in words(client, "/alerts")


def test_an_alert_without_trends_has_a_page_too() -> None:
    odd = made_alert(window="a while", evidence=(), started_at=START_MS - HOUR_MS)
    client = MadeBoard().take(odd, hostile_alert())
    said = words(client, "/alerts/acme-1")
    assert "No evidence was kept." in said
    assert "The message that tipped the rule: m1" in said
    client = MadeBoard().take(odd, *points(hours=3))
    assert "How it went" in words(client, "/alerts/acme-1")


def test_the_watchlists_names_win_over_those_of_alerts() -> None:
    client = MadeBoard(watchlist=WATCHLIST).take(made_alert(name="ACME"))
    assert "Acme Corporation company" in words(client, "/")
