"""What Grafana is told of an alert: when, under which tags, in which words."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_alerts import START_MS, made_alert, resolved, risen
from undertone.alerting.annotations import annotation_of, identity_tags, revision_of
from undertone.records import Alert

ALLOWED = {"b", "br", "a", "ul", "li"}


class Page(HTMLParser):
    """The elements and links of a text, as a browser reads it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.said = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.said += data

    @property
    def links(self) -> list[str | None]:
        return [value for name, value in self.attributes if name == "href"]


def with_evidence(**changes: object) -> Alert:
    alert = made_alert()
    return made_alert(evidence=(alert.evidence[0].model_copy(update=changes),))


def test_a_firing_alert_is_a_mark_at_its_start_and_an_ended_one_a_span() -> None:
    alert = made_alert()
    assert (annotation_of(alert, "p").time_ms, annotation_of(alert, "p").end_ms) == (START_MS, None)
    ended = annotation_of(resolved(alert), "p")
    assert (ended.time_ms, ended.end_ms) == (START_MS, START_MS + 7_200_000)


def test_it_says_what_how_unusual_why_and_shows_the_evidence() -> None:
    page = Page(annotation_of(made_alert(), "p", "https://board.example/").text)
    assert "Acme Corporation: negative-surge" in page.said
    assert "negative volume 14 in 1h, usually 1.2 (surprise 6.2)" in page.said
    assert "volume ×4, tone ×2.1, novelty ×1" in page.said
    assert "Acme recalls 40,000 kettles after fires (wire, 2008-09-15T12:00:00Z)" in page.said
    assert page.links == ["https://board.example/alerts/acme-1", "https://news.example/acme"]


def test_every_revision_is_found_by_the_same_tags() -> None:
    alert = made_alert()
    for revision in (alert, risen(alert), resolved(risen(alert))):
        tags = annotation_of(revision, "p").tags
        assert set(identity_tags(alert, "p")) <= set(tags)
        assert revision_of(tags) == revision.revision
    assert not set(identity_tags(alert, "other")) <= set(annotation_of(alert, "p").tags)


def test_tags_that_name_no_revision_tell_none() -> None:
    assert revision_of(["undertone", "revision:", "revision:x", "revision:²"]) == 0


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", None])
def test_only_links_to_the_web_are_links(url: str | None) -> None:
    assert Page(annotation_of(with_evidence(url=url), "p").text).links == []


def test_a_link_cannot_leave_its_attribute() -> None:
    alert = with_evidence(url='https://news.example/"onmouseover="alert(1)')
    page = Page(annotation_of(alert, "p").text)
    assert page.links == ["https://news.example/%22onmouseover=%22alert%281%29"]
    assert {name for name, _ in page.attributes} == {"href", "target", "rel"}


@given(text=st.text(max_size=400) | st.just("<script>alert(1)</script><img src=x onerror=y>"))
def test_whatever_people_write_is_text(text: str) -> None:
    alert = with_evidence(excerpt=text, source=text).model_copy(update={"name": text})
    page = Page(annotation_of(alert, "p").text)
    assert set(page.elements) <= ALLOWED


def test_the_longest_names_fit_the_limits_of_tags() -> None:
    alert = made_alert(
        id="0" * 20, subject="s" * 500, rule="r" * 500, severity="critical", revision=10**6
    )
    tags = annotation_of(resolved(alert), "p" * 100).tags
    assert sum(len(tag) + 3 for tag in tags) + 1 <= 500
    assert all(len(side) <= 100 for tag in tags for side in tag.split(":", 1))
