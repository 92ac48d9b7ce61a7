"""Alerts as Grafana's annotations: a mark where an alert fires, a span once it has ended.

Tags carry what an annotation is of, as nothing else of it can be searched. Grafana shows the text
as HTML, so whatever comes from outside is escaped. Its limits: 100 characters on each side of a
tag's colon, and 500 for all tags of an annotation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from undertone.alerting.notice import NAME_LIMIT, link, one_line
from undertone.records import Alert, AlertState, Evidence, format_instant

TAG = "undertone"
_EXCERPT_LIMIT = 280
_REVISION = "revision:"


@dataclass(frozen=True)
class Annotation:
    """What Grafana is told; instants in milliseconds since 1970, `end_ms` none while it fires."""

    time_ms: int
    end_ms: int | None
    tags: tuple[str, ...]
    text: str


def identity_tags(alert: Alert, prefix: str) -> tuple[str, ...]:
    """The tags by which the annotation of an alert is found again, whatever its revision.

    `prefix` is that of the topics: two deployments may share a Grafana, and even alert ids.
    """
    return (TAG, f"prefix:{prefix}", f"alert:{alert.id}")


def annotation_of(alert: Alert, prefix: str, board_url: str | None = None) -> Annotation:
    """The annotation of an alert as this revision tells it.

    `board_url` is where people reach the board, whose page of the alert is linked.
    """
    ended = alert.state is AlertState.RESOLVED
    return Annotation(
        time_ms=alert.started_at,
        end_ms=(alert.resolved_at or alert.detected_at) if ended else None,
        tags=(
            *identity_tags(alert, prefix),
            f"subject:{alert.subject}"[:100],
            f"rule:{alert.rule}"[:100],
            f"severity:{alert.severity}",
            f"state:{alert.state}",
            f"{_REVISION}{alert.revision}",
        ),
        text=_text(alert, board_url),
    )


def revision_of(tags: Iterable[str]) -> int:
    """The alert's revision that an annotation with these tags tells; 0 where none says so."""
    for tag in tags:
        number = tag.removeprefix(_REVISION)
        if number != tag and number.isascii() and number.isdigit():
            return int(number)
    return 0


def _text(alert: Alert, board_url: str | None) -> str:
    factors = ", ".join(f"{name} ×{value:.2g}" for name, value in alert.factors)
    lines = [
        f"<b>{_line(alert.name, NAME_LIMIT)}: {_line(alert.rule, NAME_LIMIT)}</b> "
        f"({alert.severity})",
        f"{alert.signal.replace('_', ' ')} {alert.observed:.3g} in {_line(alert.window, 20)}, "
        f"usually {alert.expected:.3g} (surprise {alert.surprise:.1f})",
        f"Factors: {factors}",
    ]
    if alert.state is AlertState.RESOLVED and alert.resolved_at is not None:
        lines.append(f"Ended {format_instant(alert.resolved_at)}")
    if board_url is not None:
        address = f"{board_url.rstrip('/')}/alerts/{quote(alert.id, safe='')}"
        lines.append(_link(address, "All evidence"))
    evidence = "".join(f"<li>{_evidence(item, alert)}</li>" for item in alert.evidence)
    return "<br>".join(lines) + (f"<ul>{evidence}</ul>" if evidence else "")


def _evidence(item: Evidence, alert: Alert) -> str:
    address = link(item.url)
    excerpt = _link(address, item.excerpt) if address else _line(item.excerpt, _EXCERPT_LIMIT)
    line = f"{excerpt} ({_line(item.source, 80)}, {format_instant(item.published_at)})"
    tipped = item.message_id == alert.tipping.message_id
    return f"{line} ← tipped the rule" if tipped else line


def _link(address: str, text: str) -> str:
    target = escape(address, quote=True)
    return f'<a href="{target}" target="_blank" rel="noopener">{_line(text, _EXCERPT_LIMIT)}</a>'


def _line(text: str, limit: int) -> str:
    """External text as HTML: one line, cut, nothing in it that is markup."""
    return escape(one_line(text, limit), quote=True)
